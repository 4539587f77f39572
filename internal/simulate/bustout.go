package simulate

import (
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// opened makes a merchant that only one case knows.
func (w *World) opened(p *place, kind string, age int64) *merchant {
	t := trades[0]
	for _, other := range trades {
		if other.kind == kind {
			t = other
		}
	}
	w.people++
	return &merchant{
		Merchant: risk.Merchant{
			ID: "m_" + strconv.Itoa(100_000+w.people), Name: shopNames[0][w.d.n(15)] + " " + shopNames[1][w.d.n(15)], MCC: t.mcc, Country: p.country,
			Created: risk.Time(w.now - age),
		},
		median: t.median, tail: t.tail, goods: words(t.goods), kind: t.kind, posts: t.posts,
	}
}

// even is an amount as somebody writes it who invents it.
func even(m risk.Money) risk.Money {
	unit := int64(1)
	for m.Minor/unit >= 100 {
		unit *= 10
	}
	m.Minor = m.Minor / unit * unit
	return m
}

// bustOut is a merchant who takes as much by stolen cards as can be had before
// the chargebacks come, or runs somebody else's business through the till.
//
//	variant 0  a shop of a few weeks, suddenly dear and paid from one country abroad
//	variant 1  a bookshop with payments of even hundreds from all over the world
//	variant 2  many cards, all of them keyed in on the merchant's own two devices
//
// One case in eleven stops after four payments.
func (w *World) bustOut() {
	t, turn := w.turn(BustOut)
	variant, n := turn%3, w.d.between(10, 14)
	if turn%11 == 10 {
		n = 4
	}
	w.planted += 3 * n / 2
	p := w.anyPlace()
	issuer := w.elsewhere(p)
	var m *merchant
	switch variant {
	case 0:
		m = w.opened(p, "electronics", w.d.span(8*86400, 45*86400))
	case 1:
		m = w.opened(p, "books", w.d.span(60*86400, 160*86400))
	case 2:
		m = w.opened(p, "furniture", w.d.span(200*86400, 600*86400))
	}
	till := [2]risk.Device{w.d.device(p, false), w.d.device(p, true)}
	till[0].IP, till[1].IP = dotted(p.home.address(w.d)), dotted(p.home.address(w.d))
	at := int64(0)
	for i := range n {
		at += w.d.span(60, 420)
		w.later(at, func() {
			from := issuer
			if variant > 0 {
				from = w.elsewhere(p)
			}
			holder := w.person(from, w.d.span(5*86400, 300*86400))
			x := w.buy(holder, m, holder.atHome(), w.d.between(22_000, 39_000))
			switch variant {
			case 1:
				x.amount = even(p.money([...]int{20_000, 30_000, 50_000}[w.d.n(3)]))
			case 2:
				x.from = till[w.d.n(2)]
				x.amount = p.priced(w.d.between(9_000, 38_000), w.d)
			}
			x.card, x.truth, x.threeDS = holder.cards[0], t, ""
			x.card.Funding = "credit"
			if i%3 == 0 {
				x.done = func(event string, _ bool) { w.fraudReports(event, t) }
			}
			w.authorize(x)
		})
	}
}

// sale is a shop's best hour of the year.
//
//	variant 0  an old shop with prices cut, customers from everywhere
//	variant 1  one new product at one price, dear, customers from everywhere
//	variant 2  a shop that has just opened, customers from its own country
func (w *World) sale() {
	t, turn := w.turn(Sale)
	variant, n := turn%3, w.d.between(18, 28)
	w.disguised += n + n/3
	p := w.anyPlace()
	var m *merchant
	switch variant {
	case 0:
		m = w.opened(p, "clothing", w.d.span(500*86400, 2500*86400))
	case 1:
		m = w.opened(p, "electronics", w.d.span(500*86400, 2500*86400))
	case 2:
		m = w.opened(p, "toys", w.d.span(8*86400, 50*86400))
	}
	price, at := p.money(w.d.between(24_000, 39_000)), int64(0)
	for i := range n {
		at += w.d.span(10, 200)
		w.later(at, func() {
			q := w.settledFolk()
			if variant == 2 {
				q = w.settled(p, "individual")
			}
			x := w.buy(q, m, q.atHome(), w.d.between(1_800, 9_000))
			if variant == 1 {
				x.amount = price
			}
			x.card, x.truth, x.refuse, x.avs = q.cards[0], t, 20, "Y"
			if i%3 == 0 {
				x.done = func(string, bool) {}
			}
			w.authorize(x)
		})
	}
}
