package simulate

import (
	"strconv"
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

// purchase is one attempt to pay a merchant by card.
type purchase struct {
	buyer   *person // nil: nobody is known, as at a ticket machine
	shop    *merchant
	card    risk.Card
	from    risk.Device
	amount  risk.Money
	ship    *risk.Address // nil: nothing is posted
	rail    string        // ecommerce, card_present
	attempt int
	refuse  int // per mille
	cvc     string
	avs     string
	threeDS string
	truth   Truth
	// done is called with the authorization's event id and the issuer's answer;
	// nil: no answer is sent.
	done func(event string, approved bool)

	id, order string
}

// buy fills a purchase that a person makes in the ordinary way.
func (w *World) buy(q *person, m *merchant, from risk.Device, cents int) *purchase {
	p := &purchase{buyer: q, shop: m, card: q.cards[0], from: from, rail: "ecommerce", attempt: 1, refuse: 45, cvc: "M", avs: "Y"}
	if len(q.cards) > 1 && w.d.in(250) {
		p.card = q.cards[1]
	}
	p.amount = q.place.priced(cents, w.d)
	if m.posts {
		p.ship = &q.street
	}
	if w.d.in(40) {
		p.avs = "N"
	} else if w.d.in(100) {
		p.avs = "U"
	}
	if w.d.in(350) {
		p.threeDS = "authenticated"
	}
	return p
}

// authorize emits the purchase's authorization; the answer of the issuer follows
// within two seconds. A second attempt is a purchase of its own.
func (w *World) authorize(p *purchase) {
	if p.id == "" {
		p.id, p.order = w.id("-p"), w.id("-o")
	}
	e := w.begin("payment.authorization", p.buyer, p.from)
	e.Amount = p.amount
	e.Payment = risk.Payment{ID: p.id, Method: "card", Rail: p.rail, CVCResult: p.cvc, AVSResult: p.avs, ThreeDS: p.threeDS,
		Attempt: risk.Number{Value: float64(p.attempt), Set: true}}
	e.Card = p.card
	e.Merchant = p.shop.Merchant
	if q := p.buyer; q != nil {
		e.Billing = q.street
		e.Billing.Name, e.Billing.Region = "", ""
		e.Custom = append(e.Custom[:0], risk.Custom{Name: "basket_size", Kind: risk.Decimal, Number: float64(w.items(e, p))},
			risk.Custom{Name: "channel", Kind: risk.Text, Text: channel(p.from)})
		if p.ship != nil {
			e.Shipping = *p.ship
		}
	}
	event := w.emit(p.truth)
	if p.done == nil {
		return
	}
	w.later(int64(w.d.between(300, 1900)), func() { w.answer(p, event) })
}

// channel tells an app from a browser by the device's id.
func channel(v risk.Device) string {
	if len(v.ID) > 6 && (v.ID[2:5] == "ios" || v.ID[2:5] == "and") {
		return "app"
	}
	return "web"
}

// items writes what was bought and gives how many pieces.
func (w *World) items(e *risk.Event, p *purchase) int {
	e.Order.ID = p.order
	item := func(m risk.Money, quantity int) {
		i := w.d.n(len(p.shop.goods))
		name := p.shop.goods[i]
		e.Order.Items = append(e.Order.Items, risk.Item{
			SKU: "sku-" + p.shop.ID[2:] + "-" + strconv.Itoa(10+i), Name: name, Category: p.shop.kind,
			Quantity: risk.Number{Value: float64(quantity), Set: true}, Price: m.Decimal(),
		})
	}
	if p.amount.Minor < 1000 || w.d.in(550) {
		item(p.amount, 1)
		return 1
	}
	first := p.amount
	first.Minor = first.Minor * int64(w.d.between(40, 80)) / 100
	rest := p.amount
	rest.Minor -= first.Minor
	item(first, 1)
	item(rest, 1)
	return 2
}

// answer emits what the issuer says to an authorization.
func (w *World) answer(p *purchase, event string) {
	e := w.begin("payment.outcome", p.buyer, risk.Device{ID: p.from.ID, IP: p.from.IP})
	if p.buyer != nil {
		e.Customer = risk.Customer{ID: p.buyer.ID, Country: p.buyer.Country}
	}
	e.Amount = p.amount
	e.Card = risk.Card{Token: p.card.Token, BIN: p.card.BIN, Country: p.card.Country}
	e.Merchant = risk.Merchant{ID: p.shop.ID, MCC: p.shop.MCC, Country: p.shop.Country}
	e.Payment = risk.Payment{ID: p.id, Method: "card", Rail: p.rail, Status: "approved", CVCResult: p.cvc, AVSResult: p.avs,
		Attempt: risk.Number{Value: float64(p.attempt), Set: true}}
	approved := !w.d.in(p.refuse)
	if p.cvc == "N" && w.d.in(900) {
		approved = false
		e.Payment.DeclineCode = "incorrect_cvc"
	}
	if !approved {
		e.Payment.Status = "declined"
		if e.Payment.DeclineCode == "" {
			e.Payment.DeclineCode = [...]string{"do_not_honor", "insufficient_funds", "do_not_honor", "expired_card", "invalid_account"}[w.d.n(5)]
		}
	}
	w.emit(p.truth)
	p.done(event, approved)
}

// after emits a later step of a purchase: capture, refund, dispute.
func (w *World) after(p *purchase, typ, status string, amount risk.Money) {
	e := w.begin(typ, nil, risk.Device{})
	e.Amount = amount
	e.Payment = risk.Payment{ID: p.id, Method: "card", Rail: p.rail, Status: status}
	if p.buyer != nil {
		e.Customer = risk.Customer{ID: p.buyer.ID, Country: p.buyer.Country}
	}
	e.Card = risk.Card{Token: p.card.Token, BIN: p.card.BIN, Country: p.card.Country}
	e.Merchant = risk.Merchant{ID: p.shop.ID, MCC: p.shop.MCC, Country: p.shop.Country}
	e.Order.ID = p.order
	w.emit(p.truth)
}

// report sends, after some milliseconds, what an event turned out to be.
func (w *World) report(ms int64, event, kind, reason string, t Truth) {
	w.later(ms, func() {
		typ := "label"
		if kind == "chargeback" {
			typ = kind
		}
		e := w.begin(typ, nil, risk.Device{})
		e.Label = risk.Label{Event: event, Kind: kind, Reason: reason}
		w.emit(t)
	})
}

// fraudReports sends what becomes known about a fraudulent payment: an early
// warning or the victim's own report within hours, for some a chargeback weeks
// later.
func (w *World) fraudReports(event string, t Truth) {
	if w.d.in(400) {
		w.report(w.d.span(20*60, 3*3600), event, "early_warning", "", t)
	}
	if w.d.in(800) {
		w.report(20*60*1000+w.d.exponential(8*3600*1000), event, "fraud", "", t)
	}
	if w.d.in(300) {
		w.report(w.d.span(5*86400, 45*86400), event, "chargeback", "fraud", t)
	}
}

// login, change and create are what happens to an account without money.
func (w *World) login(q *person, from risk.Device, t Truth) {
	w.begin("account.login", q, from)
	w.emit(t)
}

func (w *World) change(q *person, from risk.Device, what string, t Truth) {
	at := risk.Time(w.now - 1500)
	switch what {
	case "password":
		q.PasswordChanged = at
	case "email":
		q.EmailChanged = at
		if !strings.HasPrefix(q.Email, "new.") {
			q.Email = "new." + q.Email
		}
	case "phone":
		q.PhoneChanged = at
	case "sim":
		q.SIMChanged = at
	}
	w.begin("account.updated", q, from)
	w.emit(t)
}

// pay emits money leaving a person's account on the platform: a transfer to
// another account there, or a payout to a bank.
func (w *World) pay(typ string, q *person, from risk.Device, to risk.Party, amount risk.Money, purpose string, t Truth) string {
	e := w.begin(typ, q, from)
	e.Amount = amount
	rail := "wallet"
	if typ == "payment.payout" {
		rail = "bank"
	}
	e.Payment = risk.Payment{ID: w.id("-p"), Method: "account", Rail: rail, Purpose: purpose, MIT: risk.No}
	e.Sender, e.Receiver = q.party(), to
	return w.emit(t)
}

// topup emits money coming into a person's account from their card.
func (w *World) topup(q *person, from risk.Device, amount risk.Money, t Truth) {
	e := w.begin("topup", q, from)
	e.Amount = amount
	e.Payment = risk.Payment{ID: w.id("-p"), Method: "card", Rail: "ecommerce", MIT: risk.No}
	e.Card = q.cards[0]
	e.Receiver = q.party()
	w.emit(t)
}

// deal is one escrow order.
type deal struct {
	buyer, seller *person
	amount        risk.Money
	goods         string
	funded        risk.Time
	id, order     string
	truth         Truth
}

// escrow emits one step of a deal, done by one of its two sides.
func (w *World) escrow(x *deal, typ, state string, who *person, from risk.Device) string {
	if x.id == "" {
		x.id, x.order, x.funded = w.id("-e"), w.id("-o"), risk.Time(w.now-1000)
	}
	e := w.begin(typ, who, from)
	e.Amount = x.amount
	if typ == "escrow.funded" {
		e.Payment = risk.Payment{ID: w.id("-p"), Method: "card", Rail: "ecommerce", CVCResult: "M", AVSResult: "Y", MIT: risk.No}
		e.Card = who.cards[0]
		e.Billing, e.Shipping = x.buyer.street, x.buyer.street
		e.Billing.Name, e.Billing.Region = "", ""
	}
	e.Escrow = risk.Escrow{ID: x.id, State: state, Seller: x.seller.ID, Buyer: x.buyer.ID, Funded: x.funded, ReleaseDue: x.funded + risk.Time(14*day)}
	e.Order = risk.Order{ID: x.order, Items: []risk.Item{{SKU: "lot-" + x.order, Name: x.goods, Category: "marketplace",
		Quantity: risk.Number{Value: 1, Set: true}, Price: x.amount.Decimal()}}}
	return w.emit(x.truth)
}
