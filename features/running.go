package features

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// running is the aggregate of one slot of a busy entity, kept up to date at the
// front of its log. The scan of the log is its oracle: both give the same value.
//
// Of a tally it holds the entries in (lo, hi], which lie between head and tail.
// The window slides both ways, so an event that is a little late costs what it
// moves.
//
// Of a choice it holds in queue, oldest first, the entries in (lo, hi] that no
// newer one up to hi beats; tail is the first entry behind hi. For an event that is
// a little late its first one in the window is mostly the same. Of a streak the
// queue holds the entries of the streak that ends at hi; without a window only
// their number, in tally.n.
//
// Of a choice of the oldest it only knows that no event counts in (lo, hi].
//
// Of a window of the last N it is a list of the slot's own events.
//
// Those of an entity lie side by side, and most are no more than this: an event
// touches all of them, and would wait for each line of memory between them.
type running struct {
	lo, hi     risk.Time
	leaves     risk.Time // of a tally: time of the entry at head, never without, beforeAll when not known
	enters     risk.Time // of a tally: time of the entry at tail, likewise
	head, tail cursor
	tally      tally
	*beside    // nil for a tally or a choice of the oldest of an entity without tiles
	on         bool
}

// beside is what some running aggregates hold beside their tally.
type beside struct {
	queue  []pick
	first  int // of the queue's live part
	recent recent
	whole  bool // recent holds all events there are

	tiled
}

func newBeside() *beside { return &beside{tiled: tiled{over: noTiles}} }

// stop makes the aggregate begin again when it is next read.
func (r *running) stop() { *r = running{} }

// queueSpare is how many entries that have left the window stay in the queue for
// late events, beside an eighth of all. Tests make it smaller.
var queueSpare = 16

// start gives the aggregate of slot s, which is not kept up to date yet.
func (e *entity) start(s *slot) *running {
	if e.run == nil {
		e.run = make([]running, len(e.layout.slots))
	}
	r := &e.run[s.bit]
	r.on = true
	if s.agg.tally == nil && !s.agg.oldest || s.last > 0 || e.past != nil {
		r.beside = newBeside()
	}
	return r
}

// keep begins the aggregate of a slot that was last read over (lo, hi].
func (e *entity) keep(s *slot, lo, hi risk.Time) {
	r := e.start(s)
	r.lo, r.hi = lo, lo
	r.seek(e)
	f := e.foldOf(s)
	switch {
	case s.agg.tally != nil:
		r.tally.start(s, f, true)
		if s.asCoarse(e.tilesOf(s), e.past.stretch(s, lo, hi)) {
			if s.sketches() {
				r.sketch, r.hi = new(history), beforeAll
				break
			}
			r.tally.coarse = true
		}
		r.slide(e, s, lo, hi)
		if e.past != nil {
			r.slideTiles(e, s, lo, hi)
		}
	case s.agg.oldest:
	default:
		if f != nil && s.agg.streak {
			r.tally.n = f.n
		}
		r.enqueue(e, s, hi)
	}
}

// read gives the value over (lo, hi] and, of a tally, the number of its events, or
// false when that lies too far back.
func (r *running) read(st *State, e *entity, s *slot, lo, hi risk.Time, q *reading) (v float64, n int64, ok bool) {
	switch {
	case s.agg.tally != nil:
		if hi < r.hi && !r.sketches() && r.tail.chunk-e.after(hi).chunk > 1 {
			return 0, 0, false
		}
		if e.past != nil || r.isCoarse(s) {
			if st.rough, ok = r.slideTiles(e, s, lo, hi); !ok {
				if hi >= r.hi {
					r.stop()
				}
				return 0, 0, false
			}
			if r.sketches() {
				return r.readSketch(e, s, lo, hi)
			}
		}
		r.slide(e, s, lo, hi)
		if r.tally.tooMany(s) {
			r.tally.coarsen(s)
		}
		if s.life >= 0 && s.agg.coarse != nil && r.tally.coarse && r.tally.n <= exactValues {
			return 0, 0, false
		}
		return s.total(&r.tally, q), r.tally.n, true
	case s.agg.oldest:
		v, ok = r.readOldest(st, e, s, lo, hi, q), true
	case lo < r.lo:
		return 0, 0, false
	case s.agg.streak:
		v, ok = r.readStreak(st, e, s, lo, hi)
	default:
		v, ok = r.readChoice(st, e, s, lo, hi, q)
	}
	return v, 0, ok
}

// slide moves a tally to (lo, hi].
func (r *running) slide(e *entity, s *slot, lo, hi risk.Time) {
	// Grow first, then shrink: nothing is taken away that was not there. What does not
	// move is left alone: it may be long out of the cache.
	if hi >= r.enters {
		r.enters = r.forth(e, s, &r.tail, hi, 1)
	}
	if lo < r.lo {
		r.back(e, s, &r.head, lo, 1)
		r.leaves = beforeAll
	}
	if hi < r.hi {
		r.back(e, s, &r.tail, hi, -1)
		r.enters = beforeAll
	}
	if lo >= r.leaves {
		r.leaves = r.forth(e, s, &r.head, lo, -1)
	}
	r.lo, r.hi = lo, hi
}

// seek finds where lo and hi are after the log has changed in front of its end.
func (r *running) seek(e *entity) {
	r.head, r.tail, r.leaves, r.enters = e.after(r.lo), e.after(r.hi), beforeAll, beforeAll
}

// forth moves p behind the last entry that is not later than t, and adds what it
// passes to the tally or takes it away. It gives the time of the entry at p then,
// never without.
func (r *running) forth(e *entity, s *slot, p *cursor, t risk.Time, sign int64) risk.Time {
	for c := e.at(p); c != nil; c = e.at(p) {
		from := p.entry
		next := never
		for ; int(p.entry) < c.n; p.entry++ {
			if next = c.time(int(p.entry)); next > t {
				break
			}
		}
		if p.entry > from {
			s.agg.tally(&r.tally, s, c.between(s, int(from), int(p.entry)), sign)
		}
		if int(p.entry) < c.n {
			return next
		}
	}
	return never
}

// back moves p in front of the first entry that is later than t.
func (r *running) back(e *entity, s *slot, p *cursor, t risk.Time, sign int64) {
	for c := e.before(p); c != nil; c = e.before(p) {
		n := p.entry
		for p.entry > 0 && c.time(int(p.entry)-1) > t {
			p.entry--
		}
		if p.entry == n {
			return
		}
		s.agg.tally(&r.tally, s, c.between(s, int(p.entry), int(n)), sign)
	}
}

// tail gives the place behind the last entry.
func (e *entity) tail() cursor {
	k := len(e.chunks) - 1
	return cursorAt(k, e.chunks[k].n)
}

// at gives the chunk of the entry behind p, nil at the end of the log.
func (e *entity) at(p *cursor) *chunk {
	for int(p.chunk) < len(e.chunks) {
		if c := &e.chunks[p.chunk]; int(p.entry) < c.n {
			return c
		}
		if int(p.chunk) == len(e.chunks)-1 {
			return nil
		}
		*p = cursor{p.chunk + 1, 0}
	}
	return nil
}

// before gives the chunk of the entry in front of p, nil at the start.
func (e *entity) before(p *cursor) *chunk {
	if p.entry == 0 {
		if p.chunk == 0 || len(e.chunks) == 0 {
			return nil
		}
		*p = cursorAt(int(p.chunk)-1, e.chunks[p.chunk-1].n)
	}
	return &e.chunks[p.chunk]
}

// readChoice gives false when the choice up to r.hi is newer than hi: which ones it
// beat is not known any more.
func (r *running) readChoice(st *State, e *entity, s *slot, lo, hi risk.Time, q *reading) (v float64, ok bool) {
	r.enqueue(e, s, hi)
	best := pick{}
	if live := r.live(lo); len(live) > 0 {
		if best = live[0]; best.at > hi {
			return 0, false
		}
	}
	if e.past != nil {
		r.slideChoice(e, s, lo, hi)
		best = s.best(best, r.best)
	}
	if f := e.foldOf(s); f != nil {
		best = s.best(best, f.best)
	}
	st.rough = best.outside(lo, hi)
	return s.pick(best, q), true
}

// readStreak gives false when the streak that ended at hi is broken by now.
func (r *running) readStreak(st *State, e *entity, s *slot, lo, hi risk.Time) (v float64, ok bool) {
	r.enqueue(e, s, hi)
	var k, newer streak
	if hi < r.hi {
		e.backwards(hi, r.hi, func(c *chunk, from, n int) bool {
			newer.extend(s, c.between(s, from, n))
			return !newer.broken
		})
	}
	switch {
	case newer.broken:
		return 0, false
	case s.window == 0:
		k.n = r.tally.n - newer.n
	default:
		k.n = int64(len(r.live(lo))) - newer.n
		if !r.broken {
			_, st.rough = e.past.tileStreak(&k, e.tilesOf(s), e.past.stretch(s, lo, hi), lo, hi)
		}
	}
	return float64(k.n), true
}

// live gives the part of the queue that is newer than lo.
func (r *running) live(lo risk.Time) []pick {
	queue := r.queue[r.first:]
	from, _ := slices.BinarySearchFunc(queue, lo, func(p pick, lo risk.Time) int {
		if p.at <= lo {
			return -1
		}
		return 1
	})
	return queue[from:]
}

// readOldest goes forward from lo, past the stretch that is known to hold nothing.
func (r *running) readOldest(st *State, e *entity, s *slot, lo, hi risk.Time, q *reading) float64 {
	if f := e.foldOf(s); f != nil && f.best.set {
		return s.pick(f.best, q)
	}
	if best, _ := s.tileChoice(e.tilesOf(s), e.past.stretch(s, lo, hi)); best.set {
		st.rough = best.outside(lo, hi)
		return s.pick(best, q)
	}
	switch {
	case lo < r.lo && r.lo <= hi:
		if best, _ := st.scanOldest(e, s, nil, lo, r.lo); best.set {
			return s.pick(best, q)
		}
		r.lo = lo
	case lo < r.lo || lo > r.hi:
		r.lo, r.hi = lo, lo
	}
	best, _ := st.scanOldest(e, s, nil, r.hi, hi)
	if best.set {
		r.hi = best.at - 1
	} else {
		r.hi = max(r.hi, hi)
	}
	return s.pick(best, q)
}

// enqueue moves the entries up to hi into the queue.
func (r *running) enqueue(e *entity, s *slot, hi risk.Time) {
	if hi <= r.hi {
		return
	}
	for c := e.at(&r.tail); c != nil && c.time(int(r.tail.entry)) <= hi; c = e.at(&r.tail) {
		if entry := c.entry(int(r.tail.entry)); s.in(entry[s.maskAt]) {
			p := pick{at: risk.Time(entry[0]), value: entry[s.valueAt], set: true}
			if s.textual() {
				p.text = (*text)(entry[s.valueAt:]).clone()
			}
			r.push(s, p)
		}
		r.tail.entry++
	}
	r.hi = hi
	if s.window == 0 {
		return
	}
	for n := len(r.queue) - r.first; ; n-- {
		spare := queueSpare + n/8
		if spare >= n || r.queue[r.first+spare].at > r.hi-s.window {
			break
		}
		r.lo = r.queue[r.first].at
		r.first++
	}
	if 2*r.first > len(r.queue) {
		r.queue = append(r.queue[:0], r.queue[r.first:]...)
		r.first = 0
	}
}

// push puts p where it belongs in the queue unless a newer entry beats it, and
// removes the older ones that it beats. A streak is never pushed into the middle.
func (r *running) push(s *slot, p pick) {
	if s.agg.streak {
		switch {
		case p.value == 0:
			r.tally.n, r.queue, r.first, r.broken = 0, r.queue[:0], 0, true
		case s.window == 0:
			r.tally.n++
		default:
			r.queue = append(r.queue, p)
		}
		return
	}
	i := len(r.queue)
	for i > r.first && r.queue[i-1].at > p.at {
		i--
	}
	if i < len(r.queue) && s.agg.beats(s.column, r.queue[i].value, p.value) {
		return
	}
	k := i
	for k > r.first && s.agg.beats(s.column, p.value, r.queue[k-1].value) {
		k--
	}
	if k == i {
		r.queue = append(r.queue, pick{})
		copy(r.queue[i+1:], r.queue[i:])
	} else {
		r.queue = append(r.queue[:k+1], r.queue[i:]...)
	}
	r.queue[k] = p
}

// unmoved moves a tally to (lo, hi] when no entry comes or goes by that, as is mostly
// so: inserted has counted the newest.
func (r *running) unmoved(s *slot, lo, hi risk.Time) bool {
	if lo < r.lo || hi < r.hi || hi >= r.enters || lo >= r.leaves || r.beside != nil || !s.plain {
		return false
	}
	r.lo, r.hi = lo, hi
	return true
}

// inserted brings the aggregates of e up to date with an entry that was put into
// its log, at the end or, late, in the middle.
func (e *entity) inserted(at risk.Time, mask, values []uint64, atEnd bool) {
	for bit := range e.run {
		r := &e.run[bit]
		if !r.on {
			continue
		}
		s := &e.layout.def.slots[bit]
		counts := s.in(mask[bit>>6])
		v := uint64(0)
		if s.col >= 0 {
			v = values[s.col]
		}
		switch {
		case s.last > 0:
			if counts {
				r.insertLast(s, at, v)
			}
			continue
		case s.agg.oldest:
			if counts && at > r.lo && at <= r.hi {
				r.hi = at - 1
			}
			continue
		case atEnd && at > r.hi:
			r.leaves = min(r.leaves, at)
			switch {
			case r.enters != never:
			case s.delay > 0 || r.beside != nil:
				r.enters = at
			default: // the next reading would count it first of all
				if counts {
					s.one(&r.tally, v, 1)
				}
				r.hi, r.tail = at, e.tail()
			}
			continue
		}
		if at > r.lo && at <= r.hi && counts {
			switch {
			case r.sketches():
				r.learn(at, v)
			case s.agg.tally != nil:
				s.one(&r.tally, v, 1)
			case s.agg.streak && !atEnd:
				r.stop()
				continue
			default:
				p := pick{at: at, value: v, set: true}
				if s.textual() {
					p.text = (*text)(values[s.col:]).clone()
				}
				r.push(s, p)
			}
		}
		if atEnd && at > r.lo {
			r.tail, r.leaves = e.tail(), min(r.leaves, at)
		} else {
			r.seek(e)
		}
	}
}

// dropped brings them up to date when entries up to last have left the log. An
// aggregate that still held or still missed some of them starts again when read.
func (e *entity) dropped(last risk.Time, st *State) {
	for bit := range e.run {
		r := &e.run[bit]
		if !r.on {
			continue
		}
		s := &e.layout.def.slots[bit]
		switch {
		case s.last > 0 || s.agg.oldest:
		case s.window == 0 && r.hi < last || s.window != 0 && s.agg.tally != nil && r.lo < last:
			r.stop()
		default:
			r.seek(e)
		}
	}
}
