package simulate

import (
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// cast are the people and merchants of the lawful look-alikes. They do nothing
// else, so that whatever is answered about them is about their case.
type cast struct {
	machines   []*merchant // tickets and snacks; the shipped list names them
	travellers []*person
	sellers    []*person // businesses that many people pay
	employers  []*person
	staff      []*person
	suppliers  []risk.Party
	families   [][]*person
}

func (w *World) casting() (c cast) {
	for i, m := range []struct {
		name, mcc string
		cents     int
	}{{"City Metro", "4111", 240}, {"Harbour Ferry", "4111", 310}, {"Lobby Vending", "5814", 150}, {"Campus Snacks", "5814", 180}, {"Tram Line Nine", "4131", 260}, {"Kerbside Parking", "7523", 200}} {
		c.machines = append(c.machines, &merchant{
			Merchant: risk.Merchant{ID: "m_tiny_" + strconv.Itoa(i+1), Name: m.name, MCC: m.mcc, Country: places[i*2].country, Created: risk.Time(w.now - 2000*day)},
			median:   m.cents, tail: &narrow, goods: words("ticket"), kind: "transit",
		})
	}
	for range 120 {
		c.travellers = append(c.travellers, w.settled(w.anyPlace(), "individual"))
		c.staff = append(c.staff, w.settled(w.anyPlace(), "individual"))
	}
	for i := range 30 {
		s := w.settled(w.anyPlace(), "business")
		s.Name = shopNames[0][i%15] + " " + shopNames[1][i*7%15] + " Ltd"
		c.sellers = append(c.sellers, s)
		c.employers = append(c.employers, w.settled(w.anyPlace(), "business"))
		x := w.stranger(w.anyPlace().country)
		x.Type, x.Name = "business", "Supply "+x.Name
		c.suppliers = append(c.suppliers, x)
	}
	for range 60 {
		p := w.anyPlace()
		var family []*person
		for range w.d.between(2, 4) {
			q := w.settled(p, "individual")
			if len(family) > 0 { // one tablet, one household
				q.devices, q.home, q.street = family[0].devices[:1], family[0].home, family[0].street
			}
			family = append(family, q)
		}
		c.families = append(c.families, family)
	}
	return c
}

// lawful begins the next look-alike.
func (w *World) lawful() {
	order := [...]func(){w.traveller, w.household, w.manyPayers, w.tunnel, w.traveller, w.tinyTickets, w.household, w.payday}
	order[w.lawfulTurn%len(order)]()
	w.lawfulTurn++
}

// tinyTickets is a ticket machine at a busy hour: many cards on one device, equal
// tiny amounts, a few refusals, and one card that pays for a group.
func (w *World) tinyTickets() {
	t, turn := w.turn(TinyTickets, true)
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

// traveller buys at home, and hours later abroad with the same device. One in
// four has changed the password before leaving.
func (w *World) traveller() {
	t, turn := w.turn(Traveller, true)
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
	t, _ := w.turn(Traveller, true)
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

// calm is a purchase with nothing odd about it but what the case makes odd.
func (w *World) calm(q *person, from risk.Device, cents int, t Truth) {
	p := w.buy(q, w.shopOf("clothing", "books", "restaurant", "grocery", "cosmetics"), from, cents)
	p.truth, p.refuse, p.avs = t, 20, "Y"
	p.card = q.cards[0]
	p.done = func(string, bool) {}
	w.authorize(p)
}

// manyPayers is a marketplace seller: many people pay in, and most of it goes out
// to suppliers the same day.
func (w *World) manyPayers() {
	t, turn := w.turn(ManyPayers, true)
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
	t, turn := w.turn(ManyPayers, true)
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

// household is a family with one tablet behind one line: each of them orders
// from sellers they have nothing to do with, and the parcels come.
func (w *World) household() {
	t, _ := w.turn(Household, true)
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
