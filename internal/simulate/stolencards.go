package simulate

import "github.com/sluice-risk/sluice/risk"

// stolenCard buys what is easily sold with the cards of people far away, and has
// it sent to a depot.
//
//	variant 0  card, network and depot in three countries, account minutes old
//	variant 1  the network is moved to the depot's country, account some days old
//	variant 2  several cards of several issuers, one after the other
//
// One case in eleven has a bought account, a year old, and a card of its country.
func (w *World) stolenCard() {
	t, turn := w.turn(StolenCard)
	variant := turn % 3
	issuer := w.anyPlace()
	drop := w.elsewhere(issuer)
	age := w.d.span(86400, 20*86400)
	if variant == 0 {
		age = 1000
	}
	if turn%11 == 9 {
		issuer, age = drop, int64(w.d.between(400, 900))*day
	}
	q := w.person(drop, age)
	q.BirthDate = midnight(w.now - int64(w.d.between(22, 50))*365*day)
	from := q.atHome()
	if variant == 0 && issuer != drop {
		from.IP = dotted(w.abroad(issuer.country, drop.country))
	}
	if age == 1000 {
		w.begin("account.created", q, from)
		w.emit(t)
	} else {
		w.login(q, from, t)
	}
	cards, depot := []risk.Card{w.d.card(issuer)}, w.depot(q.Name, drop.country)
	n := w.d.between(2, 3)
	if variant == 2 {
		n = w.d.between(3, 5)
		for range n {
			cards = append(cards, w.d.card(w.elsewhere(drop)))
		}
	}
	w.planted += 1 + 4*n
	at := int64(0)
	for i := range n {
		at += w.d.span(120, 1200)
		w.later(at, func() {
			p := w.buy(q, w.shopOf("electronics", "cosmetics", "clothing", "gift_cards"), from, w.d.between(26_000, 110_000))
			p.card, p.truth, p.threeDS, p.refuse = cards[i%len(cards)], t, "", 250
			if w.d.in(700) {
				p.avs = "N"
			}
			if p.ship != nil {
				p.ship = depot
			}
			p.done = func(event string, approved bool) {
				if approved {
					w.fraudReports(event, t)
				}
			}
			w.authorize(p)
		})
	}
}

// expat is somebody who lives in one country and has kept the card of another;
// one in four came a few months ago.
func (w *World) expat() *person {
	q := w.settled(w.anyPlace(), "individual")
	home := w.elsewhere(q.place)
	q.cards = []risk.Card{w.d.card(home)}
	q.devices[0].Language = home.language
	if w.d.in(250) {
		q.Created = risk.Time(w.now - int64(w.d.between(60, 200))*day)
		q.PasswordChanged, q.PhoneChanged = 0, 0
	}
	return q
}

// present is an expatriate who orders presents for people far away.
//
//	variant 0  card, network and parcel in three countries
//	variant 1  the parcel goes to the country of the card
//	variant 2  two parcels, two countries
func (w *World) present() {
	t, turn := w.turn(PresentHome)
	q := w.cast.expats[w.d.n(len(w.cast.expats))]
	from := q.atHome()
	w.disguised += 5
	w.login(q, from, t)
	at := w.d.span(70*60, 3*3600) // chosen in one evening
	for range 1 + turn%3/2 {
		to := w.elsewhere(q.place)
		for turn%3 == 1 && to.country != q.cards[0].Country {
			to = w.elsewhere(q.place)
		}
		at += w.d.span(300, 1800)
		w.later(at, func() {
			p := w.buy(q, w.shopOf("toys", "clothing", "cosmetics", "books"), from, w.d.between(3_000, 18_000))
			street := to.cities[w.d.n(len(to.cities))]
			p.ship = &risk.Address{Name: "Family of " + q.Name, Line1: "12 Garden Street", City: street.name, Region: street.region, PostalCode: street.postal, Country: to.country}
			p.card, p.truth, p.refuse, p.cvc, p.avs = q.cards[0], t, 20, "M", "Y"
			p.done = func(string, bool) {}
			w.authorize(p)
		})
	}
}
