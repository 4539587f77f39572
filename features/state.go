package features

import (
	"time"

	"github.com/sluice-risk/sluice/risk"
)

// State is the only thing here that changes: the events that the entities of a
// cell remember. One goroutine owns it. With a store behind it, see Attach, only
// the entities in use are in memory.
type State struct {
	set    *Set
	table  table  // the entities in memory
	broom  hand   // of the sweep over them
	events uint64 // for its pace
	resident

	started   bool
	watermark risk.Time // newest event time
	floor     risk.Time // oldest event time that is still accepted; never falls

	numbers []tenure // of the set's slots
	layouts layouts
	partial partials

	awaited   []int    // features that wait for their past
	awaiting  []string // their names and those of the formulas that read one
	unawaited []uint64 // mask over all slots: those that do not; nil: none waits

	dirty      []*entity
	dirtyBytes int
	gone       map[string]uint64 // stored keys to delete, with their sums

	busy     int // busyWindow; tests change it
	sight    view
	scratch  tally
	sieve    sieve
	line     []uint64 // of a window of the last N, see overLast
	sketched *sketch
	rough    bool // what was read last is approximate
	last     recent
	text     text
	ask      reading
	hits     []hit
	masks    []uint64
	values   []uint64
	near     []near // see Warm
	warm     uint64
}

// tenure says since when a slot is counted, and under which number. A feature
// that leaves a release and comes back in a later one gets a new number, so that
// what it counted before is not taken for its past.
type tenure struct {
	number  uint32
	since   risk.Time
	genesis bool // since the journal's first event
	fresh   bool // added by the last release
	awaited bool // not counted; see Await
}

// Timing is where an event falls in time.
type Timing struct {
	At      risk.Time // the event's time, clamped
	Future  bool      // it was clamped
	TooLate bool      // decided, but not counted
}

// Vector is the value of every feature for one event.
type Vector struct {
	Values  []float64      // in the order of Set.Names; NaN is missing
	Partial []risk.Partial // shared: do not change; nil when all are complete

	// Awaiting names the features that wait for their past, which have no value, and
	// the formulas that read one. Shared: do not change; nil when none waits.
	Awaiting []string

	rough []int // the features that are approximate, see Set.Approximate
}

// Ahead is how far an event's time may lie after its arrival.
const Ahead = 5 * time.Minute

// Clamp gives the time that an event is taken to have, and whether it had to be
// pulled back.
func Clamp(at, arrival risk.Time) (risk.Time, bool) {
	if most := arrival.Add(Ahead); at > most {
		return most, true
	}
	return at, false
}

// NewState gives the state before the first event of a journal.
func NewState(set *Set) *State {
	st := &State{gone: map[string]uint64{}, busy: busyWindow}
	st.Activate(set)
	return st
}

// Watermark gives the newest event time seen, zero before the first event.
func (st *State) Watermark() risk.Time { return st.watermark }

// hit is an entity that the event touches.
type hit struct {
	id     entityID
	def    int
	entity *entity
	mask   []uint64 // of the slots that count the event
}

// Observe takes one event into the state and reads every feature for it. A
// window includes the event itself, so that "the fifth today" is true of the
// fifth; features with `current: exclude` are read before it is counted.
func (st *State) Observe(p *Prepared, at, arrival risk.Time, v *Vector) Timing {
	if p.set != st.set {
		panic("features: event prepared for another release")
	}
	t := st.clock(at, arrival)
	// An instant before the floor cannot be read exactly: what its windows held
	// may have been dropped. The floor itself can, so that is what is read.
	now := max(t.At, st.floor)
	st.ask.now = now
	st.find(p)

	set := st.set
	v.Values = append(v.Values[:0], set.missing...)
	v.rough = v.rough[:0]
	for k := range set.keys {
		st.readAll(v, p, k, set.keys[k].before)
	}
	if !t.TooLate {
		st.count(p, t.At)
	}
	for k := range set.keys {
		st.readAll(v, p, k, set.keys[k].after)
	}
	for _, f := range st.awaited {
		v.Values[f] = missing
	}
	v.Partial, v.Awaiting = st.partial.at(now), st.awaiting
	st.sweep()
	p.Forget()
	return t
}

// readAll gives v some features of the entity that the event p names by key k, as
// of st.ask.now.
func (st *State) readAll(v *Vector, p *Prepared, k int, list []lookup) {
	i := p.hit[k]
	if i < 0 || len(list) == 0 {
		return
	}
	h := &st.hits[i]
	st.look(h.entity, &st.set.entities[h.def])
	for i := range list {
		x := &list[i]
		s := x.slot
		if s.agg.own && !st.askFor(p, s) {
			continue
		}
		value, n := st.read(s, &st.ask)
		rough := st.rough
		if x.least > 0 {
			if x.guard != nil {
				_, n = st.read(x.guard, &st.ask)
				rough = rough || st.rough
			}
			if n < x.least {
				value = missing
			}
		}
		if v.Values[x.feature] = value; rough {
			v.rough = append(v.rough, x.feature)
		}
	}
}

// askFor puts the event's own value into st.ask; it reports false when there is none.
func (st *State) askFor(p *Prepared, s *slot) bool {
	if !p.given[s.operand] {
		return false
	}
	own := p.values[st.set.operands[s.operand].from:]
	if s.textual() {
		own = own[:len(text{})]
	}
	st.ask.own = own
	return true
}

// clock places an event in time and moves the watermark.
func (st *State) clock(at, arrival risk.Time) (t Timing) {
	t.At, t.Future = Clamp(at, arrival)
	lateness := risk.Time(st.set.limits.AllowedLateness.Milliseconds())
	if !st.started {
		st.started, st.watermark, st.floor = true, t.At, t.At-lateness
		for i := range st.numbers {
			st.numbers[i].since = t.At
		}
		st.settle()
	}
	t.TooLate = t.At < st.floor
	st.watermark = max(st.watermark, t.At)
	st.floor = max(st.floor, st.watermark-lateness)
	return t
}

// find looks up the entities that the event touches: its own, and those of the
// event that it names. One that it names stands in for one that it lacks.
func (st *State) find(p *Prepared) {
	st.hits, st.masks = st.hits[:0], st.masks[:0]
	for k := range st.set.keys {
		p.hit[k] = -1
		if id := p.ids[k]; id != (entityID{}) {
			p.hit[k] = st.hit(p, k, id)
		}
	}
	for _, r := range p.recalled {
		if i := st.hit(p, r.key, r.id); p.hit[r.key] < 0 {
			p.hit[r.key] = i
		}
	}
	for i := range st.hits {
		st.hits[i].entity = st.table.find(&st.hits[i].id)
	}
	if st.view != nil {
		for i := range st.hits {
			st.reside(p, &st.hits[i])
		}
	}
	for i := range st.hits {
		if e := st.hits[i].entity; e != nil {
			st.current(e)
		}
	}
}

// hit gives the index of an entity in st.hits. An event counts once for an
// entity, whichever of its keys name it.
func (st *State) hit(p *Prepared, key int, id entityID) int {
	k := &st.set.keys[key]
	def := &st.set.entities[k.entity]
	found := -1
	for i := range st.hits {
		if st.hits[i].def == k.entity && st.hits[i].id == id {
			found = i
			break
		}
	}
	if found < 0 {
		from := len(st.masks)
		for range def.words {
			st.masks = append(st.masks, 0)
		}
		st.hits = append(st.hits, hit{id: id, def: k.entity, mask: st.masks[from:len(st.masks):len(st.masks)]})
		found = len(st.hits) - 1
	}
	for i, m := range k.observes {
		st.hits[found].mask[i] |= p.mask[def.word+i] & m
	}
	return found
}

// count puts the event into the log of every entity of which a feature counts it.
func (st *State) count(p *Prepared, at risk.Time) {
	for i := range st.hits {
		h := &st.hits[i]
		def := &st.set.entities[h.def]
		if st.unawaited != nil {
			for w := range h.mask {
				h.mask[w] &= st.unawaited[def.word+w]
			}
		}
		var any uint64
		for _, m := range h.mask {
			any |= m
		}
		if any == 0 {
			continue
		}
		st.values = st.values[:0]
		for _, from := range def.from {
			st.values = append(st.values, p.values[from])
		}
		if h.entity == nil {
			h.entity = st.add(&entity{id: h.id, layout: st.layouts.now[h.def]})
		}
		e := h.entity
		if e.past != nil && at <= e.past.until {
			st.late(e, at, h.mask, st.values)
			continue
		}
		atEnd := e.insert(at, h.mask, st.values, st)
		if e.run != nil {
			e.inserted(at, h.mask, st.values, atEnd)
		}
		st.overflow(e)
	}
}

func (st *State) add(e *entity) *entity {
	e.layout.entities++
	st.table.add(e)
	st.use(e)
	return e
}

// sweepEvery is the number of events after which one entity is looked at.
const sweepEvery = 4

// sweep finds the entities that nobody touches any more and forgets them, one at
// a time.
func (st *State) sweep() {
	if st.events++; st.events%sweepEvery != 0 {
		return
	}
	if e := st.table.next(&st.broom); e != nil && !e.leaving {
		st.expired(e)
	}
}

// expired drops what no window of the active set reaches, and the entity when
// that is all of it.
func (st *State) expired(e *entity) {
	if n := len(e.chunks); n > 0 && e.chunks[n-1].last() > st.floor {
		return
	}
	if e.layout.def == nil {
		now := st.layouts.of(e.layout.entity)
		if now == nil || !now.shares(e.layout) {
			st.remove(e)
			return
		}
		if n := len(e.chunks); n > 0 && e.chunks[n-1].last() > st.floor-now.reach {
			return
		}
		st.current(e)
	}
	e.run = nil
	st.expire(e)
	st.expireTiles(e)
	if e.empty() {
		st.remove(e)
	}
}

// empty tells whether an entity says the same as one that never was.
func (e *entity) empty() bool { return len(e.chunks) == 0 && e.folds == nil && e.past == nil }

// newest is the time of the last entry, 0 without any.
func (e *entity) newest() risk.Time {
	for i := len(e.chunks) - 1; i >= 0; i-- {
		if c := &e.chunks[i]; c.n > 0 {
			return c.last()
		}
	}
	return 0
}

// remove empties an entity. What a store may hold of it must be seen to be gone
// before it leaves memory.
func (st *State) remove(e *entity) {
	st.forgetAll(e)
	e.chunks, e.folds, e.run, e.past, e.oldest, e.words, e.entries = nil, nil, nil, nil, 0, 0, 0
	if st.view == nil || !e.kept {
		st.drop(e)
		return
	}
	st.list(e)
	st.leave(e)
	st.weigh(e)
}

// leave marks an entity that is empty, to be dropped when the store shows it.
func (st *State) leave(e *entity) {
	if st.view != nil && !e.leaving {
		e.leaving = true
		st.leaving = append(st.leaving, e)
	}
}

// drop takes an entity out of memory.
func (st *State) drop(e *entity) {
	st.table.remove(e)
	e.layout.entities--
	st.bytes -= e.size
	e.size, e.removed = 0, true
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
