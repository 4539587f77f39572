package simulate

import (
	"cmp"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/sluice-risk/sluice/risk"
)

// Start is when a world begins by default: a Monday morning.
var Start = time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)

// Options shape a world. A zero field means its default; the zero Options are
// the default world.
type Options struct {
	Seed  uint64        // default 1
	Start time.Time     // default Start
	Gap   time.Duration // mean event time between two events, default 2s, at least 1ms
	// People who act of their own accord, default 4,000; 200 to 1,000,000.
	People int
	// Fraud and Lawful are the shares of events that belong to planted fraud and
	// to its lawful look-alikes, per 10,000. Defaults 250 and 800; negative: none.
	Fraud, Lawful int
	// Prefix starts the id of every event and payment, default "sim": letters,
	// digits, - and _. Two streams into one tenant need two prefixes.
	Prefix string
}

func (o Options) withDefaults() Options {
	fill := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Start.IsZero() {
		o.Start = Start
	}
	if o.Gap == 0 {
		o.Gap = 2 * time.Second
	}
	o.Gap = max(o.Gap, time.Millisecond)
	fill(&o.People, 4000)
	o.People = min(max(o.People, 200), 1_000_000)
	fill(&o.Fraud, 250)
	fill(&o.Lawful, 800)
	if o.Prefix == "" {
		o.Prefix = "sim"
	}
	return o
}

// Event is one event as a sender would put it on the wire.
type Event struct {
	ID   string // as in the body
	Body []byte // canonical JSON; the caller's to keep
	// Key is what keeps one party's events in order on a partitioned log: the
	// customer, else the card, else the event that a label names.
	Key   string
	At    time.Time // arrival; the event's own time lies slightly before
	Truth Truth
}

// Truth is what an event really is. The zero Truth is ordinary life.
type Truth struct {
	Pattern string // one of Frauds or LookAlikes, "" for ordinary
	Lawful  bool   // a look-alike that must not be stopped
	Case    int    // numbered from 1 over all patterns, 0 for ordinary
}

// World is the state of the simulated platform.
type World struct {
	o   Options
	d   dice
	now int64 // arrival of what happens now, milliseconds since 1970
	// tick is when the next session of people acting of their own accord begins;
	// what follows from earlier ones waits in agenda.
	tick   int64
	agenda agenda

	weights   int       // sum over places
	people    int       // made so far: numbers their ids
	folk      []*person // who acts of their own accord
	sellers   []*person
	merchants []*merchant
	trade     []int // cumulated
	tempo     [24]int64
	seen      ring // who was active lately: victims of takeovers come from here

	emitted, planted, disguised int // events so far, and those that cases account for
	cases                       int
	fraudTurn, lawfulTurn       int
	turns                       map[string]int // cases begun of each pattern, looked up only
	gang                        []risk.Device  // devices of earlier card tests, used again
	cast                        cast

	ids uint64
	ev  risk.Event // under construction
	buf []byte
	out Event
}

// New makes a world. Numbers outside their range are moved to its edge.
func New(o Options) *World {
	o = o.withDefaults()
	w := &World{o: o, d: dice{rand.NewPCG(o.Seed, 0x5eed)}, now: o.Start.UnixMilli(), turns: map[string]int{}}
	for _, p := range places {
		w.weights += p.weight
	}
	w.tick = w.now
	w.shops(300)
	for range o.People {
		age := int64(w.d.between(1, 2200)) * day
		if w.d.in(40) {
			age = int64(w.d.between(0, 29)) * day
		}
		w.folk = append(w.folk, w.person(w.anyPlace(), age))
	}
	for range o.People / 25 {
		age := int64(w.d.between(90, 2200)) * day
		if w.d.in(80) {
			age = int64(w.d.between(3, 29)) * day
		}
		q := w.person(w.anyPlace(), age)
		if q.KYCLevel == "basic" { // who sells has shown a document
			q.KYCLevel = "standard"
		}
		w.sellers = append(w.sellers, q)
	}
	w.cast = w.casting()
	w.setTempo()
	return w
}

// activity is how much people do in each hour of their own day, per cent.
var activity = [24]int64{12, 7, 4, 3, 3, 6, 15, 32, 52, 66, 76, 82, 88, 84, 78, 76, 78, 84, 92, 100, 98, 82, 52, 26}

// setTempo makes the world as a whole busier when more of its people are awake,
// with a mean of 1 over the day.
func (w *World) setTempo() {
	var awake [24]int64
	var sum int64
	for h := range awake {
		for _, p := range places {
			awake[h] += int64(p.weight) * activity[p.hour(int64(h)*day/24)]
		}
		sum += awake[h]
	}
	for h := range awake {
		w.tempo[h] = sum * 1000 / 24 / awake[h]
	}
}

// hour gives the local hour of the day.
func (p *place) hour(ms int64) int {
	return int((ms/60000 + int64(p.offset) + 1440) / 60 % 24)
}

// sessionEvents is how many events one session leads to on average, in
// hundredths; a test holds the mean gap against Options.Gap.
const sessionEvents = 218

// Next gives the next event in order of arrival. It never ends.
func (w *World) Next() Event {
	for w.out.Body == nil {
		if s, ok := w.agenda.next(w.tick); ok {
			w.now = s.at
			s.do()
			continue
		}
		w.now = w.tick
		mean := w.o.Gap.Microseconds() * sessionEvents / 100 * w.tempo[w.now/3_600_000%24] / 1000
		w.tick += (w.d.exponential(mean) + 999) / 1000
		w.session()
	}
	out := w.out
	w.out = Event{}
	return out
}

// session begins something new. Planted cases begin whenever their share of the
// events is not used up.
func (w *World) session() {
	switch {
	case w.below(w.planted, w.o.Fraud) && w.d.in(150):
		w.fraud()
	case w.below(w.disguised, w.o.Lawful) && w.d.in(250):
		w.lawful()
	default:
		w.ordinary()
	}
}

// below reports whether n of the events so far are fewer than share per 10,000.
func (w *World) below(n, share int) bool { return int64(n)*10_000 < int64(share)*int64(w.emitted) }

// later puts off a step by some milliseconds. A step emits one event at most.
func (w *World) later(ms int64, do func()) { w.agenda.add(w.now+ms, do) }

// begin starts an event about somebody acting from a device.
func (w *World) begin(typ string, who *person, from risk.Device) *risk.Event {
	w.ev = risk.Event{Type: typ, Device: from}
	if who != nil {
		w.ev.Customer = who.Customer
		var buf [48]byte
		b := append(append(append(buf[:0], "s_"...), who.ID[2:]...), '_')
		w.ev.Device.SessionID = string(strconv.AppendInt(b, w.now/1_800_000%1_000_000, 10))
	}
	return &w.ev
}

// emit sends the event under construction and gives its id.
func (w *World) emit(t Truth) string {
	if w.out.Body != nil {
		panic("simulate: a step emitted two events")
	}
	late := int64(w.d.between(20, 600))
	if w.ev.Device.ID != "" { // from a phone, by way of its network
		switch n := w.d.n(2000); {
		case n == 0:
			late = w.d.span(120, 900)
		case n < 9:
			late = w.d.span(5, 90)
		}
	}
	w.emitted++
	w.ev.ID = w.number("-", 1_000_000_000+uint64(w.emitted))
	w.ev.Time = risk.Time(w.now - late)
	w.buf = appendEvent(w.buf[:0], &w.ev)
	w.out = Event{ID: w.ev.ID, Body: append([]byte(nil), w.buf...), Key: cmp.Or(w.ev.Customer.ID, w.ev.Card.Token, w.ev.Label.Event), At: time.UnixMilli(w.now).UTC(), Truth: t}
	return w.ev.ID
}

// id numbers what is not an event: payments, orders, escrows.
func (w *World) id(kind string) string {
	w.ids++
	return w.number(kind, 100_000_000+w.ids)
}

// number writes n without its first digit, so that ids have one length at first.
func (w *World) number(kind string, n uint64) string {
	var buf [64]byte
	b := append(append(buf[:0], w.o.Prefix...), kind...)
	first := len(b)
	b = strconv.AppendUint(b, n, 10)
	return string(append(b[:first], b[first+1:]...))
}

// anyone draws somebody who is awake.
func (w *World) anyone() *person {
	for range 12 {
		// The lower of two draws: some people are much more active than others.
		q := w.folk[min(w.d.n(len(w.folk)), w.d.n(len(w.folk)))]
		if int64(w.d.n(100)) < activity[q.place.hour(w.now)] {
			return q
		}
	}
	return w.folk[w.d.n(len(w.folk))]
}

// ring remembers who was active, oldest overwritten first.
type ring struct {
	who [2048]struct {
		q  *person
		at int64
	}
	n int
}

func (r *ring) add(q *person, at int64) {
	s := &r.who[r.n%len(r.who)]
	s.q, s.at = q, at
	r.n++
}

// before draws somebody whose activity lies before at, or nil.
func (r *ring) before(at int64, d dice) *person {
	kept := min(r.n, len(r.who))
	if kept == 0 {
		return nil
	}
	for range 40 {
		if s := &r.who[d.n(kept)]; s.at <= at {
			return s.q
		}
	}
	return nil
}

// agenda is a heap of steps by time, then by the order in which they were added.
type agenda struct {
	heap  []step
	added uint64
}

type step struct {
	at  int64
	seq uint64
	do  func()
}

func (a step) before(b step) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (a *agenda) add(at int64, do func()) {
	a.added++
	a.heap = append(a.heap, step{at, a.added, do})
	for i := len(a.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !a.heap[i].before(a.heap[up]) {
			break
		}
		a.heap[i], a.heap[up] = a.heap[up], a.heap[i]
		i = up
	}
}

// next takes the first step that is due at the given time.
func (a *agenda) next(at int64) (step, bool) {
	if len(a.heap) == 0 || a.heap[0].at > at {
		return step{}, false
	}
	first, last := a.heap[0], len(a.heap)-1
	a.heap[0], a.heap[last] = a.heap[last], step{}
	a.heap = a.heap[:last]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < last; c++ {
			if a.heap[c].before(a.heap[least]) {
				least = c
			}
		}
		if least == i {
			return first, true
		}
		a.heap[i], a.heap[least] = a.heap[least], a.heap[i]
		i = least
	}
}
