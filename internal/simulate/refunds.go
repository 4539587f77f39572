package simulate

import "github.com/sluice-risk/sluice/risk"

// refundAbuse takes money out of a shop by way of its refunds.
//
//	variant 0  paid with a stolen card, refunded to another one
//	variant 1  refunded in full, and then once more
//	variant 2  a new account gets everything it bought refunded: "never arrived"
//
// One case in eleven claims no more than an honest customer might.
func (w *World) refundAbuse() {
	t, turn := w.turn(RefundAbuse)
	variant := turn % 3
	p := w.anyPlace()
	q := w.person(p, w.d.span(3*86400, 25*86400))
	n := w.d.between(1, 2)
	if variant == 2 {
		n = w.d.between(5, 6)
	}
	from := q.atHome()
	other := w.d.card(w.elsewhere(p))
	w.planted += n * 5
	w.login(q, from, t)
	at := w.d.span(60, 600)
	for range n {
		at += w.d.span(120, 900)
		w.later(at, func() {
			x := w.buy(q, w.shopOf("clothing", "electronics", "cosmetics", "toys"), from, w.d.between(6_000, 24_000))
			x.card, x.truth, x.refuse, x.threeDS = q.cards[0], t, 0, ""
			x.done = func(event string, approved bool) {
				if !approved {
					return
				}
				back := *x
				if variant == 0 && turn%11 != 9 {
					back.card = other
					w.fraudReports(event, t)
				}
				wait := w.d.span(1200, 3600)
				w.later(wait, func() { w.after(&back, "payment.refund", "refunded", back.amount) })
				if variant == 1 {
					again := x.amount
					if w.d.in(500) {
						again.Minor = max(again.Minor/2, 1)
					}
					w.later(wait+w.d.span(300, 1800), func() { w.after(&back, "payment.refund", "refunded", again) })
				}
			}
			w.authorize(x)
		})
	}
}

// shopper is somebody who orders three sizes and keeps one.
func (w *World) shopper() *person {
	q := w.settled(w.anyPlace(), "individual")
	q.cards = []risk.Card{w.d.card(q.place), w.d.card(q.place)}
	return q
}

// returns are the refunds of an honest shopper: some of what was bought, to the
// card that paid, never more than was paid. One parcel goes back in two parts.
func (w *World) returns() {
	t, turn := w.turn(Returns)
	q := w.cast.shoppers[w.d.n(len(w.cast.shoppers))]
	from, n := q.atHome(), w.d.between(4, 6)
	w.disguised += n*2 + 3
	w.login(q, from, t)
	at := w.d.span(60, 600)
	for i := range n {
		at += w.d.span(150, 900)
		w.later(at, func() {
			x := w.buy(q, w.shopOf("clothing"), from, w.d.between(3_000, 12_000))
			x.card, x.truth, x.refuse, x.cvc, x.avs = q.cards[(i+turn)%2], t, 0, "M", "Y"
			x.done = func(string, bool) {
				if i >= n/2 {
					return
				}
				wait, back := w.d.span(2*3600, 6*3600), x.amount
				if i == 0 {
					half := risk.Money{Minor: max(back.Minor/2, 1), Currency: back.Currency}
					back.Minor = max(back.Minor-half.Minor, 1)
					w.later(wait+w.d.span(300, 3600), func() { w.after(x, "payment.refund", "refunded", half) })
				}
				w.later(wait, func() { w.after(x, "payment.refund", "refunded", back) })
			}
			w.authorize(x)
		})
	}
}
