package simulate

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
	t, turn := w.turn(Takeover)
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
				p.ship = w.depot(drop.Name, drop.Country)
			}
			p.done = func(event string, _ bool) { w.fraudReports(event, t) }
			w.authorize(p)
		})
	}
}

// traveller buys at home, and hours later abroad with the same device. One in
// four has changed the password before leaving.
func (w *World) traveller() {
	t, turn := w.turn(Traveller)
	q := w.cast.travellers[w.d.n(len(w.cast.travellers))]
	w.disguised += 12
	from := q.devices[0]
	from.IP = dotted(q.home)
	w.login(q, from, t)
	w.later(w.d.span(120, 900), func() { w.calm(q, from, 3000, t) })
	if turn%4 == 2 {
		w.later(w.d.span(1000, 3000), func() { w.change(q, from, "password", t) })
	}
	there := w.elsewhere(q.place)
	away := q.devices[0]
	away.IP = dotted(there.home.address(w.d))
	at := w.d.span(2*3600, 5*3600)
	w.later(at, func() { w.login(q, away, t) })
	for range w.d.between(3, 5) {
		at += w.d.span(900, 5400)
		w.later(at, func() { w.calm(q, away, w.d.between(900, 9000), t) })
	}
}

// tunnel is a customer whose usual device leaves through a shared network abroad
// every time.
func (w *World) tunnel() {
	t, _ := w.turn(Traveller)
	q := w.cast.travellers[w.d.n(len(w.cast.travellers))]
	w.disguised += 8
	exits := hosts[w.d.n(2)].block
	at := int64(0)
	for i := range w.d.between(3, 4) {
		from := q.devices[0]
		from.IP = dotted(uint32(exits.first)<<16 | uint32(7+w.d.n(12))<<8 | uint32(w.d.between(2, 250)))
		at += w.d.span(120, 2400)
		w.later(at, func() {
			if i == 0 {
				w.login(q, from, t)
				return
			}
			w.calm(q, from, w.d.between(900, 7000), t)
		})
	}
}
