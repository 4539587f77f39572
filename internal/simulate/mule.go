package simulate

// mule is an account a few days old that many victims pay within hours, and that
// passes nearly all of it on.
//
//	variant 0  at once, to one account abroad; in every other case above the
//	           amount that must be reported
//	variant 1  spread over several accounts
//	variant 2  large sums, in parts just below the amount that must be reported
func (w *World) mule() {
	t, turn := w.turn(Mule)
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
		switch {
		case variant == 0 && turn%2 == 1:
			cents = w.d.between(170_000, 260_000)
		case variant == 2:
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

// manyPayers is a marketplace seller: many people pay in, and most of it goes out
// to suppliers the same day.
func (w *World) manyPayers() {
	t, turn := w.turn(ManyPayers)
	q := w.cast.sellers[turn%len(w.cast.sellers)]
	n, at, total := w.d.between(7, 12), int64(0), 0
	w.disguised += n + 4
	for range n {
		cents := w.d.between(2_000, 9_000)
		total += cents
		at += w.d.span(120, 900)
		w.later(at, func() {
			payer := w.settledFolk()
			w.pay("transfer", payer, w.using(payer, w.where(payer)), q.party(), payer.place.money(cents), w.purpose(), t)
		})
	}
	from := q.devices[0]
	from.IP = dotted(q.home)
	at += w.d.span(1800, 2*3600)
	w.later(at, func() { w.login(q, from, t) })
	parts := w.d.between(2, 3)
	for i := range parts {
		at += w.d.span(60, 600)
		w.later(at, func() {
			to := w.cast.suppliers[(turn+i*11)%len(w.cast.suppliers)]
			w.pay("payment.payout", q, from, to, q.place.money(total*w.d.between(80, 92)/100/parts), "supplies", t)
		})
	}
}

// payday is an employer who fills an account and pays many people from it.
func (w *World) payday() {
	t, turn := w.turn(ManyPayers)
	q := w.cast.employers[turn%len(w.cast.employers)]
	from := q.devices[0]
	from.IP = dotted(q.home)
	n := w.d.between(8, 12)
	w.disguised += n + 2
	salaries := w.d.between(120_000, 280_000)
	w.login(q, from, t)
	w.later(w.d.span(60, 600), func() { w.topup(q, from, q.place.money(salaries*n*105/100), t) })
	at := w.d.span(700, 1500)
	for i := range n {
		at += w.d.span(5, 40)
		w.later(at, func() {
			to := w.cast.staff[(turn*12+i)%len(w.cast.staff)]
			w.pay("transfer", q, from, to.party(), q.place.money(salaries*w.d.between(80, 120)/100), "salary", t)
		})
	}
}
