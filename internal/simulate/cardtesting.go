package simulate

import (
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// cardTesting tries many stolen cards, or one of them many times, with tiny
// amounts at a shop whose goods need no parcel. Most are declined. Some time
// later the cards that worked buy something dear.
//
//	variant 0  one device
//	variant 1  a new device for every few cards, behind one address
//	variant 2  one card over and over, to guess its security code
func (w *World) cardTesting() {
	t, turn := w.turn(CardTesting)
	variant := [...]int{0, 1, 2, 0}[turn%4]
	home := w.anyPlace()
	ip := w.abroad(home.country)
	m := w.shopOf("games", "digital_media", "gift_cards")
	device := w.d.device(home, false)
	if len(w.gang) > 0 && turn%2 == 1 {
		device = w.gang[w.d.n(len(w.gang))]
	} else {
		w.gang = append(w.gang, device)
		if len(w.gang) > 6 {
			w.gang = w.gang[1:]
		}
	}
	guests := make([]*person, 4)
	for i := range guests {
		guests[i] = w.person(home, w.d.span(60, 20*3600))
		guests[i].KYCLevel = "basic"
	}
	n := w.d.between(13, 20)
	w.planted += 2*n + 4
	// One issuer's cards, bought as a batch.
	issuer := w.elsewhere(home)
	cards := make([]risk.Card, n)
	for i := range cards {
		cards[i] = w.d.card(issuer)
		cards[i].BIN = issuer.bins[0]
		switch {
		case variant == 2:
			cards[i] = cards[0]
		case i >= 5 && i%3 == 2:
			cards[i] = cards[2] // tried again from another guest account
		}
	}
	var good []risk.Card
	at := w.d.span(1, 60)
	for i := range n {
		at += w.d.span(4, 16)
		from := device
		if variant == 1 && i%2 == 0 {
			from = w.d.device(home, false)
		}
		from.IP = dotted(ip)
		w.later(at, func() {
			guest := guests[i%len(guests)]
			if variant == 2 {
				guest = guests[0]
			}
			p := w.buy(guest, m, from, 0)
			p.card, p.ship, p.threeDS, p.refuse, p.truth = cards[i], nil, "", 780, t
			p.amount = home.money([...]int{100, 50, 100, 150}[w.d.n(4)])
			p.attempt = 1
			if w.d.in(200) || variant == 2 {
				p.cvc, p.attempt = "N", 1+i/4
			}
			p.done = func(event string, approved bool) {
				if approved {
					good = append(good, p.card)
				}
				if i < 5 {
					w.report(w.d.span(20*60, 2*3600), event, "early_warning", "", t)
				}
				if i < 3 {
					w.report(w.d.span(40*60, 5*3600), event, "fraud", "", t)
				}
			}
			w.authorize(p)
		})
	}
	for range w.d.between(1, 2) {
		at += w.d.span(15*60, 60*60)
		w.later(at, func() {
			if len(good) == 0 {
				good = append(good, cards[0])
			}
			from := device
			if w.d.in(300) {
				from = w.d.device(home, true)
			}
			from.IP = dotted(near(ip, w.d))
			p := w.buy(guests[0], w.shopOf("electronics", "gift_cards"), from, w.d.between(16_000, 90_000))
			p.card, p.truth, p.threeDS = good[w.d.n(len(good))], t, ""
			if turn%3 == 1 {
				p.card.Token = listedCards[w.d.n(len(listedCards))]
			}
			if p.ship != nil {
				there := w.stranger("").ID
				p.ship = w.depot("Receiving "+there[:6], w.elsewhere(issuer).country)
			}
			p.done = func(event string, _ bool) { w.fraudReports(event, t) }
			w.authorize(p)
		})
	}
}

// tinyTickets is a ticket machine at a busy hour: many cards on one device, equal
// tiny amounts, a few refusals, and one card that pays for a group.
func (w *World) tinyTickets() {
	t, turn := w.turn(TinyTickets)
	m := w.cast.machines[turn%len(w.cast.machines)]
	var home *place
	for _, p := range places {
		if p.country == m.Country {
			home = p
		}
	}
	from := risk.Device{ID: "d_machine_" + m.ID[7:] + "_" + strconv.Itoa(turn%9), IP: dotted(uint32(home.home.first)<<16 | uint32(turn%200)<<8 | 20)}
	n, at := w.d.between(24, 38), int64(0)
	w.disguised += n * 4 / 3
	group := w.d.card(home)
	for i := range n {
		at += w.d.span(5, 35)
		card := w.folk[w.d.n(len(w.folk))].cards[0]
		if i >= 8 && i < 15 {
			card = group
		}
		w.later(at, func() {
			p := &purchase{shop: m, card: card, from: from, amount: home.money(m.median), rail: "card_present", attempt: 1, refuse: 60, truth: t}
			if i%3 == 0 {
				p.done = func(string, bool) {}
			}
			w.authorize(p)
		})
	}
}
