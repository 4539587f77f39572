package simulate

import "github.com/sluice-risk/sluice/risk"

// collusion is a buyer and a seller who are one hand: the buyer pays with a
// stolen card, nothing travels, the seller asks for the money.
//
//	variant 0  one device, nothing shipped
//	variant 1  two devices in one network, a shipment is claimed
//	variant 2  one device, a shipment is claimed
//	variant 3  two devices in one network, nothing shipped
//
// One case in thirteen keeps its traces apart and waits.
func (w *World) collusion() {
	t, turn := w.turn(Collusion)
	variant := turn % 4
	p := w.anyPlace()
	seller := w.person(p, w.d.span(3*86400, 50*86400))
	buyer := w.person(p, w.d.span(600, 9*86400))
	buyer.cards[0] = w.d.card(w.elsewhere(p))
	apart := turn%13 == 12
	theirs := w.d.device(p, true)
	mine, ip := theirs, p.home.address(w.d)
	other := near(ip, w.d)
	if variant%2 == 1 || apart {
		mine = w.d.device(p, false)
	}
	if apart {
		other = p.home.address(w.d)
	}
	theirs.IP, mine.IP = dotted(ip), dotted(other)
	at := int64(0)
	orders := 1 + turn%3
	w.planted += 4 * orders
	for range orders {
		x := &deal{buyer: buyer, seller: seller, goods: lots[w.d.n(len(lots))], truth: t}
		x.amount = p.money(w.d.between(40_000, 280_000))
		at += w.d.span(30, 400)
		w.later(at, func() { w.escrow(x, "escrow.funded", "funded", buyer, theirs) })
		wait := w.d.span(180, 1500)
		if apart {
			wait += w.d.span(4000, 9000)
		}
		if variant == 1 || variant == 2 || apart {
			w.later(at+wait/2, func() { w.escrow(x, "escrow.shipped", "shipped", seller, mine) })
		}
		w.later(at+wait, func() { w.escrow(x, "escrow.confirmed", "confirmed", buyer, theirs) })
		w.later(at+wait+w.d.span(30, 900), func() {
			event := w.escrow(x, "escrow.release", "release_requested", seller, mine)
			w.fraudReports(event, t)
		})
	}
}

// household is a family with one tablet behind one line: each of them orders
// from sellers they have nothing to do with, and the parcels come.
func (w *World) household() {
	t, _ := w.turn(Household)
	family := w.cast.families[w.d.n(len(w.cast.families))]
	w.disguised += 6 * len(family)
	at := int64(0)
	for _, q := range family {
		from := q.devices[0]
		from.IP = dotted(q.home)
		at += w.d.span(30, 1200)
		w.later(at, func() { w.login(q, from, t) })
		at += w.d.span(60, 600)
		if w.d.in(400) {
			w.later(at, func() { w.calm(q, from, w.d.between(1500, 9000), t) })
			continue
		}
		x := &deal{buyer: q, goods: lots[w.d.n(len(lots))], amount: q.place.money(w.d.between(4_000, 40_000)), truth: t}
		for x.seller == nil || w.now-int64(x.seller.Created) < 60*day {
			x.seller = w.sellers[w.d.n(len(w.sellers))]
		}
		w.later(at, func() {
			w.escrow(x, "escrow.funded", "funded", q, from)
			w.delivery(x, func() risk.Device { return from })
		})
	}
}
