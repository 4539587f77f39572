package simulate

import "github.com/sluice-risk/sluice/risk"

// turn numbers the cases of a pattern, so that its variants come in turn and all
// of them early.
func (w *World) turn(pattern string, lawful bool) (Truth, int) {
	w.cases++
	n := w.turns[pattern]
	w.turns[pattern] = n + 1
	return Truth{Pattern: pattern, Lawful: lawful, Case: w.cases}, n
}

// fraud begins the next case. Their order is fixed: card tests are many events
// each, so they come least often.
func (w *World) fraud() {
	order := [...]func(){w.takeover, w.collusion, w.mule, w.takeover, w.cardTesting, w.collusion, w.takeover, w.mule}
	order[w.fraudTurn%len(order)]()
	w.fraudTurn++
}

// abroad draws an address in a country that is not the given one.
func (w *World) abroad(country string) uint32 {
	for {
		if h := hosts[w.d.n(len(hosts))]; h.country != country {
			return h.block.address(w.d)
		}
	}
}

// Identifiers that earlier frauds have made known; the shipped lists name them.
var (
	listedCards    = words("tok_listed00001 tok_listed00002 tok_listed00003")
	listedAccounts = words("ext_listed00001 ext_listed00002")
)

// cardTesting tries many stolen cards, or one of them many times, with tiny
// amounts at a shop whose goods need no parcel. Most are declined. Some time
// later the cards that worked buy something dear.
//
//	variant 0  one device
//	variant 1  a new device for every few cards, behind one address
//	variant 2  one card over and over, to guess its security code
func (w *World) cardTesting() {
	t, turn := w.turn(CardTesting, false)
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
			if w.d.in(300) {
				p.card.Token = listedCards[w.d.n(len(listedCards))]
			}
			if p.ship != nil {
				there := w.stranger("").ID
				p.ship = &risk.Address{Name: "Receiving " + there[:6], Line1: "Unit 4 Harbour Depot", City: "Port", Country: w.elsewhere(issuer).country}
			}
			p.done = func(event string, _ bool) { w.fraudReports(event, t) }
			w.authorize(p)
		})
	}
}

// takeover enters the account of somebody who was active on their own device a
// while ago: a login from a new device abroad, new credentials, then the money.
//
//	one in ten changes the SIM instead of the password
//	one in ten sits behind an address in the victim's own country
func (w *World) takeover() {
	q := w.seen.before(w.now-75*60*1000, w.d)
	if q == nil {
		w.collusion()
		return
	}
	t, turn := w.turn(Takeover, false)
	w.planted += 7
	ip := w.abroad(q.Country)
	if turn%10 == 7 {
		ip = q.place.home.address(w.d)
	}
	from := w.d.device(w.elsewhere(q.place), turn%3 == 0)
	from.IP = dotted(ip)
	w.login(q, from, t)
	at := w.d.span(90, 600)
	what := "password"
	if turn%10 == 3 {
		what = "sim"
	}
	w.later(at, func() { w.change(q, from, what, t) })
	if w.d.in(400) {
		at += w.d.span(20, 200)
		w.later(at, func() { w.change(q, from, "email", t) })
	}
	drop := w.stranger(w.elsewhere(q.place).country)
	typ := "payment.payout"
	if turn%4 == 1 {
		drop.Account = listedAccounts[w.d.n(len(listedAccounts))]
	}
	if turn%3 == 1 {
		typ = "transfer"
	}
	for range w.d.between(1, 3) {
		at += w.d.span(60, 900)
		if turn%5 < 3 {
			w.later(at, func() {
				event := w.pay(typ, q, from, drop, q.place.money(w.d.between(25_000, 250_000)), w.purpose(), t)
				w.fraudReports(event, t)
			})
			continue
		}
		w.later(at, func() {
			p := w.buy(q, w.shopOf("electronics", "gift_cards", "travel"), from, w.d.between(18_000, 120_000))
			p.truth, p.threeDS, p.refuse = t, "", 250
			if p.ship != nil {
				p.ship = &risk.Address{Name: drop.Name, Line1: "Unit 9 Harbour Depot", City: "Port", Country: drop.Country}
			}
			p.done = func(event string, _ bool) { w.fraudReports(event, t) }
			w.authorize(p)
		})
	}
}

// mule is an account a few days old that many victims pay within hours, and that
// passes nearly all of it on.
//
//	variant 0  at once, to one account abroad
//	variant 1  spread over several accounts
//	variant 2  large sums, in parts just below the amount that must be reported
func (w *World) mule() {
	t, turn := w.turn(Mule, false)
	variant := turn % 3
	q := w.person(w.anyPlace(), w.d.span(86400, 12*86400))
	from := q.devices[0]
	from.IP = dotted(q.home)
	w.login(q, from, t)
	n := w.d.between(6, 10)
	w.planted += n + 4
	total, at := 0, int64(0)
	for range n {
		cents := w.d.between(9_000, 80_000)
		if variant == 2 {
			cents = w.d.between(300_000, 450_000)
		}
		total += cents
		at += w.d.span(30, 400)
		w.later(at, func() {
			victim := w.settledFolk()
			v := w.using(victim, w.where(victim))
			w.pay("transfer", victim, v, q.party(), victim.place.money(cents), w.purpose(), t)
		})
	}
	left := total * w.d.between(86, 97) / 100
	parts := 1
	switch variant {
	case 1:
		parts = w.d.between(5, 6)
	case 2:
		parts = max(left/960_000, 3)
		left = parts * 960_000
	}
	at += w.d.span(600, 2400)
	for i := range parts {
		at += w.d.span(60, 400)
		w.later(at, func() {
			to := w.stranger(w.elsewhere(q.place).country)
			if i == 0 && turn%4 == 1 {
				to.Account = listedAccounts[w.d.n(len(listedAccounts))]
			}
			if i == 0 && turn%4 == 2 {
				to.Country = "MM"
			}
			cents := left / parts
			if variant == 2 {
				cents = w.d.between(930_000, 985_000)
			}
			event := w.pay("payment.payout", q, from, to, q.place.money(cents), "withdrawal", t)
			w.fraudReports(event, t)
		})
	}
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
	t, turn := w.turn(Collusion, false)
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
	orders := w.d.between(1, 3)
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
