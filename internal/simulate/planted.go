package simulate

import (
	"slices"
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// Planted fraud. Each pattern has a file of its own, with its look-alike.
const (
	CardTesting = "card_testing"
	Takeover    = "account_takeover"
	StolenCard  = "stolen_card"
	RefundAbuse = "refund_abuse"
	BustOut     = "merchant_bust_out"
	Mule        = "mule"
	Structuring = "structuring"
	Collusion   = "escrow_collusion"
)

// Lawful behaviour that looks like it.
const (
	TinyTickets = "tiny_tickets"
	Traveller   = "traveller"
	PresentHome = "present_home"
	Returns     = "honest_returns"
	Sale        = "seasonal_sale"
	ManyPayers  = "many_payers"
	Takings     = "daily_takings"
	Household   = "household"
)

// Frauds are the patterns of planted fraud; LookAlikes[i] looks like Frauds[i].
var (
	Frauds     = [...]string{CardTesting, Takeover, StolenCard, RefundAbuse, BustOut, Mule, Structuring, Collusion}
	LookAlikes = [len(Frauds)]string{TinyTickets, Traveller, PresentHome, Returns, Sale, ManyPayers, Takings, Household}
)

// fraud begins the next case. Their order is fixed, so that every pattern is seen
// early; card tests and bust-outs are many events each and come least often.
func (w *World) fraud() {
	order := [...]func(){
		w.takeover, w.stolenCard, w.collusion, w.refundAbuse, w.structuring, w.mule, w.bustOut, w.cardTesting,
		w.takeover, w.refundAbuse, w.structuring, w.stolenCard, w.collusion, w.mule,
	}
	order[w.fraudTurn%len(order)]()
	w.fraudTurn++
}

// lawful begins the next look-alike.
func (w *World) lawful() {
	order := [...]func(){
		w.traveller, w.present, w.household, w.returns, w.takings, w.manyPayers, w.sale, w.tunnel,
		w.tinyTickets, w.present, w.takings, w.returns, w.traveller, w.household, w.payday,
	}
	order[w.lawfulTurn%len(order)]()
	w.lawfulTurn++
}

// turn numbers the cases of a pattern, so that its variants come in turn and all
// of them early.
func (w *World) turn(pattern string) (Truth, int) {
	w.cases++
	n := w.turns[pattern]
	w.turns[pattern] = n + 1
	return Truth{Pattern: pattern, Lawful: !slices.Contains(Frauds[:], pattern), Case: w.cases}, n
}

// abroad draws the address of a proxy that is in none of the given countries.
func (w *World) abroad(countries ...string) uint32 {
	for {
		if h := hosts[w.d.n(len(hosts))]; !slices.Contains(countries, h.country) {
			return h.block.address(w.d)
		}
	}
}

// Identifiers that earlier frauds have made known; the shipped lists name them.
var (
	listedCards    = words("tok_listed00001 tok_listed00002 tok_listed00003")
	listedAccounts = words("ext_listed00001 ext_listed00002")
)

// depot is where parcels go that nobody should trace to a person.
func (w *World) depot(name, country string) *risk.Address {
	return &risk.Address{Name: name, Line1: "Unit " + strconv.Itoa(w.d.between(2, 40)) + " Harbour Depot", City: "Port", Country: country}
}

// cast are the people and merchants of the lawful look-alikes. They do nothing
// else, so that whatever is answered about them is about their case.
type cast struct {
	machines   []*merchant // tickets and snacks; the shipped list names them
	travellers []*person
	expats     []*person // live in one country, with cards of another
	shoppers   []*person // keep half of what they order
	sellers    []*person // businesses that many people pay
	employers  []*person
	staff      []*person
	shops      []*person // businesses with takings
	wholesale  []*person // businesses that shops pay
	suppliers  []risk.Party
	families   [][]*person
}

func (w *World) casting() (c cast) {
	for i, m := range []struct {
		name, mcc string
		cents     int
	}{{"City Metro", "4111", 240}, {"Harbour Ferry", "4111", 310}, {"Lobby Vending", "5814", 150}, {"Campus Snacks", "5814", 180}, {"Tram Line Nine", "4131", 260}, {"Kerbside Parking", "7523", 200}} {
		c.machines = append(c.machines, &merchant{
			Merchant: risk.Merchant{ID: "m_tiny_" + strconv.Itoa(i+1), Name: m.name, MCC: m.mcc, Country: places[i*2].country, Created: risk.Time(w.now - 2000*day)},
			median:   m.cents, tail: &narrow, goods: words("ticket"), kind: "transit",
		})
	}
	for range 120 {
		c.travellers = append(c.travellers, w.settled(w.anyPlace(), "individual"))
		c.staff = append(c.staff, w.settled(w.anyPlace(), "individual"))
	}
	for range 60 {
		c.expats = append(c.expats, w.expat())
		c.shoppers = append(c.shoppers, w.shopper())
	}
	business := func() *person {
		q := w.settled(w.anyPlace(), "business")
		q.Name = shopNames[0][w.d.n(15)] + " " + shopNames[1][w.d.n(15)] + " Ltd"
		return q
	}
	for range 30 {
		c.sellers = append(c.sellers, business())
		c.employers = append(c.employers, business())
		c.shops = append(c.shops, business())
		x := w.stranger(w.anyPlace().country)
		x.Type, x.Name = "business", "Supply "+x.Name
		c.suppliers = append(c.suppliers, x)
	}
	for range 8 {
		c.wholesale = append(c.wholesale, business())
	}
	for range 60 {
		p := w.anyPlace()
		var family []*person
		for range w.d.between(2, 4) {
			q := w.settled(p, "individual")
			if len(family) > 0 { // one tablet, one household
				q.devices, q.home, q.street = family[0].devices[:1], family[0].home, family[0].street
			}
			family = append(family, q)
		}
		c.families = append(c.families, family)
	}
	return c
}

// settledFolk draws one of the ordinary people whose payment gives no reason to
// look at it, for the innocent side of a case.
func (w *World) settledFolk() *person {
	for range 200 {
		q := w.folk[w.d.n(len(w.folk))]
		if q.KYCLevel == "full" && int64(q.Created) < w.now-400*day && int64(q.BirthDate) < w.now-19*366*day {
			return q
		}
	}
	return w.anyone()
}

// atHome is the person's usual device, at home.
func (q *person) atHome() risk.Device {
	v := q.devices[0]
	v.IP = dotted(q.home)
	return v
}

// calm is a purchase with nothing odd about it but what the case makes odd.
func (w *World) calm(q *person, from risk.Device, cents int, t Truth) {
	p := w.buy(q, w.shopOf("clothing", "books", "restaurant", "grocery", "cosmetics"), from, cents)
	p.truth, p.refuse, p.avs = t, 20, "Y"
	p.card = q.cards[0]
	p.done = func(string, bool) {}
	w.authorize(p)
}
