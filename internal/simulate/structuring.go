package simulate

import "github.com/sluice-risk/sluice/risk"

// structuring cuts a large sum into parts below the amount that must be reported.
//
//	variant 0  one customer, one account abroad, several times
//	variant 1  several helpers pay into one account
//	variant 2  one customer, several accounts abroad
//
// One case in nine takes its time: two parts today, the rest another day.
func (w *World) structuring() {
	t, turn := w.turn(Structuring)
	variant, parts := turn%3, w.d.between(4, 5)
	if turn%9 == 8 {
		variant, parts = 0, 2
	}
	q := w.settled(w.anyPlace(), "individual")
	w.planted += parts + 1
	below := func() int { return w.d.between(550_000, 940_000) }
	at := int64(0)
	if variant == 1 {
		for range parts {
			at += w.d.span(300, 2400)
			w.later(at, func() {
				helper := w.settled(q.place, "individual")
				w.pay("transfer", helper, helper.atHome(), q.party(), q.place.money(below()), w.purpose(), t)
			})
		}
		return
	}
	from := q.atHome()
	w.login(q, from, t)
	var to risk.Party
	for i := range parts {
		if i == 0 || variant == 2 {
			to = w.stranger(w.elsewhere(q.place).country)
		}
		at += w.d.span(300, 2400)
		w.later(at, func() { w.pay("payment.payout", q, from, to, q.place.money(below()), w.purpose(), t) })
	}
}

// takings are sums of the same size with an ordinary reason.
//
//	variant 0  a business with several tills pays the day's takings to its bank
//	variant 1  a family pays rent, deposit and removal
//	variant 2  several shops pay a wholesaler's invoices
func (w *World) takings() {
	t, turn := w.turn(Takings)
	at := int64(0)
	if turn%3 == 2 {
		whole := w.cast.wholesale[turn/3%len(w.cast.wholesale)]
		n := w.d.between(3, 5)
		w.disguised += n
		for i := range n {
			shop := w.cast.shops[(turn+i*7)%len(w.cast.shops)]
			at += w.d.span(300, 2400)
			w.later(at, func() {
				w.pay("transfer", shop, shop.atHome(), whole.party(), shop.place.money(w.d.between(400_000, 890_000)), "invoice", t)
			})
		}
		return
	}
	if turn%3 == 1 {
		q := w.cast.staff[w.d.n(len(w.cast.staff))]
		landlord := w.cast.suppliers[turn%len(w.cast.suppliers)]
		from, rent := q.atHome(), w.d.between(90_000, 260_000)
		w.disguised += 4
		w.login(q, from, t)
		for i, cents := range []int{rent, 2 * rent, rent * 3 / 10} {
			to, purpose := landlord, [...]string{"rent", "deposit", "removal"}[i]
			if i == 2 {
				to = w.cast.suppliers[(turn+5)%len(w.cast.suppliers)]
			}
			at += w.d.span(120, 1200)
			w.later(at, func() { w.pay("payment.payout", q, from, to, q.place.money(cents), purpose, t) })
		}
		return
	}
	q := w.cast.shops[turn%len(w.cast.shops)]
	from, tills := q.atHome(), w.d.between(3, 5)
	w.disguised += tills + 1
	w.login(q, from, t)
	for range tills {
		at += w.d.span(600, 3600)
		w.later(at, func() {
			w.pay("payment.payout", q, from, q.outside(), q.place.money(w.d.between(300_000, 940_000)), "takings", t)
		})
	}
}
