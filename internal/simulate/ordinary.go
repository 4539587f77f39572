package simulate

import "github.com/sluice-risk/sluice/risk"

// ordinary lets somebody do what people do all day. It emits the first event at
// once and puts the rest into the agenda.
func (w *World) ordinary() {
	q := w.anyone()
	ip := w.where(q)
	from := w.using(q, ip)
	var none Truth
	switch n := w.d.n(1000); {
	case n < 560:
		m := w.shop()
		w.shopping(w.buy(q, m, from, min(w.d.around(m.median, m.tail)*q.spend/100, 600_000)))
	case n < 566: // a spree: the same basket trade several times over
		m := w.shopOf("games", "digital_media", "clothing")
		for i := range w.d.between(4, 6) {
			w.later(int64(i)*w.d.span(40, 100), func() {
				w.shopping(w.buy(q, m, from, w.d.around(m.median, m.tail)*q.spend/100))
			})
		}
	case n < 690:
		w.login(q, from, none)
	case n < 760:
		w.giving(q, from)
	case n < 820:
		w.withdrawing(q, from)
	case n < 875:
		w.ordering(q, from)
	case n < 925:
		w.topup(q, from, q.place.money(w.d.around(8000, &narrow)), none)
	case n < 943:
		w.change(q, from, [...]string{"password", "phone", "email", "address", "address"}[w.d.n(5)], none)
	case n < 975:
		w.joining()
	default:
		e := w.begin("kyc.updated", q, from)
		e.KYC = risk.KYC{Level: q.KYCLevel, Status: "verified"}
		w.emit(none)
	}
	// Only someone who used the usual device counts as known by it.
	if from.ID == q.devices[0].ID {
		w.seen.add(q, w.now)
	}
}

// shopping sends a purchase and what follows from an honest one.
func (w *World) shopping(p *purchase) {
	if w.d.in(60) && p.ship != nil { // a present for somebody abroad
		there := w.folk[w.d.n(len(w.folk))].street
		p.ship = &there
	}
	if w.d.in(2) {
		p.cvc = "N"
	}
	p.done = func(event string, approved bool) {
		if !approved {
			if again := *p; p.attempt == 1 && w.d.in(450) {
				again.attempt, again.id, again.cvc = 2, "", "M"
				again.card = p.buyer.cards[w.d.n(len(p.buyer.cards))]
				w.later(w.d.span(15, 90), func() { w.authorize(&again) })
			}
			return
		}
		if p.ship != nil && w.d.in(250) {
			w.later(w.d.span(600, 6*3600), func() { w.after(p, "payment.capture", "captured", p.amount) })
		}
		switch n := w.d.n(1000); {
		case n < 12:
			back := p.amount
			if w.d.in(300) {
				back.Minor = max(back.Minor/2, 1)
			}
			w.later(w.d.span(3600, 30*3600), func() { w.after(p, "payment.refund", "refunded", back) })
		case n < 17: // the customer was asked and has confirmed it
			w.report(w.d.span(1800, 24*3600), event, "genuine", "", p.truth)
		case n < 19:
			w.disputed(p, event)
		}
	}
	w.authorize(p)
}

// disputed is a claim without fraud; some go on to a chargeback.
func (w *World) disputed(p *purchase, event string) {
	w.later(w.d.span(2*3600, 80*3600), func() {
		w.after(p, "dispute.opened", "open", p.amount)
		won := w.d.in(600)
		w.later(w.d.span(5*86400, 25*86400), func() {
			if won {
				w.after(p, "dispute.won", "won", p.amount)
				return
			}
			w.after(p, "dispute.lost", "lost", p.amount)
			w.report(w.d.span(2*86400, 15*86400), event, "chargeback", "not_received", p.truth)
		})
	})
}

func (w *World) purpose() string {
	return [...]string{"rent share", "gift", "thank you", "tickets", "family support", "order", "investment"}[w.d.n(7)]
}

// giving sends money to somebody on the platform, mostly to the same friend.
func (w *World) giving(q *person, from risk.Device) {
	to := w.folk[q.friend%len(w.folk)]
	if w.d.in(350) || to == q {
		to = w.folk[w.d.n(len(w.folk))]
	}
	amount := q.place.money(w.d.around(4500, &wide))
	purpose := w.purpose()
	w.pay("transfer", q, from, to.party(), amount, purpose, Truth{})
	if w.d.in(12) { // pressed twice
		w.later(w.d.span(4, 60), func() { w.pay("transfer", q, from, to.party(), amount, purpose, Truth{}) })
	}
}

// withdrawing pays out to a bank: sellers their takings, others a balance.
func (w *World) withdrawing(q *person, from risk.Device) {
	cents := w.d.around(12_000, &wide)
	if w.d.in(400) {
		q = w.sellers[w.d.n(len(w.sellers))]
		from = w.using(q, w.where(q))
		cents = w.d.around(60_000, &wide)
		if w.d.in(15) { // the takings of a season
			cents = w.d.around(1_100_000, &narrow)
		}
	}
	to := q.outside()
	if w.d.in(60) { // a relative or a supplier abroad
		to = w.stranger(w.elsewhere(q.place).country)
		if w.d.in(60) {
			to.Country = "MM"
		}
	}
	w.pay("payment.payout", q, from, to, q.place.money(cents), "withdrawal", Truth{})
}

var lots = words("phone laptop bicycle camera console watch guitar drone lens printer")

// ordering is an escrow order from payment to release.
func (w *World) ordering(q *person, from risk.Device) {
	x := &deal{buyer: q, seller: w.sellers[w.d.n(len(w.sellers))], goods: lots[w.d.n(len(lots))]}
	x.amount = q.place.money(min(w.d.around(18_000, &narrow), 300_000))
	w.escrow(x, "escrow.funded", "funded", q, from)
	w.delivery(x, func() risk.Device { return w.using(q, w.where(q)) })
}

// delivery lets the parcel travel, and both sides do their part.
func (w *World) delivery(x *deal, atHome func() risk.Device) {
	s := x.seller
	release := func(ms int64) {
		w.later(ms, func() {
			event := w.escrow(x, "escrow.release", "release_requested", s, w.using(s, w.where(s)))
			if w.d.in(4) {
				w.report(w.d.span(6*3600, 72*3600), event, "genuine", "", x.truth)
			}
		})
	}
	confirm := func(ms int64) {
		w.later(ms, func() {
			w.escrow(x, "escrow.confirmed", "confirmed", x.buyer, atHome())
			release(w.d.span(30, 1800))
		})
	}
	switch n := w.d.n(1000); {
	case n < 12 && x.truth.Case == 0: // a service: nothing is ever shipped
		confirm(w.d.span(2*3600, 20*3600))
	case n < 35: // given up
		w.later(w.d.span(3*3600, 40*3600), func() {
			w.escrow(x, "escrow.refund", "refunded", s, w.using(s, w.where(s)))
		})
	default:
		w.later(w.d.span(600, 3*3600), func() {
			w.escrow(x, "escrow.shipped", "shipped", s, w.using(s, w.where(s)))
			transit := w.d.span(5400, 6*3600) // by courier
			if w.d.in(500) {
				transit = w.d.span(6*3600, 30*3600)
			}
			confirm(transit)
		})
	}
}

// joining opens an account, in the place of one that is given up, and often buys
// something with it.
func (w *World) joining() {
	q := w.person(w.anyPlace(), 1000)
	w.folk[w.d.n(len(w.folk))] = q
	from := q.devices[0]
	from.IP = dotted(q.home)
	w.begin("account.created", q, from)
	w.emit(Truth{})
	if w.d.in(700) {
		w.later(w.d.span(60, 1800), func() {
			m := w.shop()
			w.shopping(w.buy(q, m, from, w.d.around(m.median, m.tail)))
		})
	}
}
