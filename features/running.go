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
// newer one up to hi beats; tail is the first entry behind hi, and lo is where the
// queue once began. The queue stays some entries behind the front, which are
// looked at one by one, so that an event that is a little late finds its window's
// end not yet queued. Of a streak the queue holds the entries of the streak that
// ends at hi; without a window only their number, in tally.n.
//
// Of a choice of the oldest it only knows that no event counts in (lo, hi].
//
// Of a window of the last N it is a list of the slot's own events.
type running struct {
	lo, hi     risk.Time
	head, tail cursor
	leaves     risk.Time // of a tally: time of the entry at head, beforeAll when not known
	tally      tally
	queue      []pick
	first      int // of the queue's live part
	recent     recent
	whole      bool // recent holds all events there are

	over   stretch    // the tiles that are in the window, too
	best   pick       // of a choice: the one among those
	broken bool       // of a streak: the log that was queued has ended it
	sketch *sketch    // of a tally, where a sketch is all that is known of some tiles
	undo   []register // of the sketch
	rough  bool       // what was read last is approximate
}

// Tests make these smaller.
var (
	queueLag  = 8  // entries that stay out of the queue at least
	queueWait = 24 // and at most
)

// newRunning begins the aggregate of a slot that was last read over (lo, hi].
func newRunning(st *State, e *entity, s *slot, lo, hi risk.Time) *running {
	r := &running{lo: lo, hi: lo, head: e.after(lo), leaves: beforeAll, over: noTiles}
	r.tail = r.head
	f := e.foldOf(s)
	switch {
	case s.agg.tally != nil:
		r.tally.start(s, f, true)
		if s.asCoarse(e.tilesOf(s), e.past.stretch(s, lo, hi)) {
			if s.sketches() {
				r.sketch, r.hi = new(sketch), beforeAll
				break
			}
			r.tally.coarse = true
		}
		r.slide(e, s, lo, hi)
		r.slideTiles(e, s, lo, hi)
	case s.agg.oldest:
	default:
		if f != nil && s.agg.streak {
			r.tally.n = f.n
		}
		if n := r.waiting(e, lo, hi); n > queueWait {
			r.enqueue(e, s, n-queueLag)
		}
	}
	return r
}

// read gives the value over (lo, hi] and, of a tally, the number of its events, or
// false when that lies too far back.
func (r *running) read(st *State, e *entity, s *slot, lo, hi risk.Time, q *reading) (v float64, n int64, ok bool) {
	r.rough = false
	switch {
	case s.agg.tally != nil && r.isCoarse(s) != s.asCoarse(e.tilesOf(s), e.past.stretch(s, lo, hi)):
		if hi >= r.hi {
			e.run[s.bit] = nil
		}
		return 0, 0, false
	case r.sketch != nil:
		r.rough = true
		return r.readSketch(e, s, lo, hi)
	case s.agg.tally != nil:
		if hi < r.hi && r.tail.chunk-e.after(hi).chunk > 1 {
			return 0, 0, false
		}
		r.slide(e, s, lo, hi)
		if e.past != nil {
			r.slideTiles(e, s, lo, hi)
			r.rough = r.isCoarse(s) || e.past.edges(e.tilesOf(s), r.over, lo, hi)
		}
		if r.tally.tooMany(s) {
			r.tally.coarsen(s)
		}
		if s.life >= 0 && r.tally.coarse && r.tally.n <= exactValues {
			return 0, 0, false
		}
		return s.total(&r.tally, q), r.tally.n, true
	case s.agg.oldest:
		v, ok = r.readOldest(st, e, s, lo, hi, q), true
	case hi < r.hi || lo < r.lo:
		return 0, 0, false
	case s.agg.streak:
		v, ok = r.readStreak(e, s, lo, hi), true
	default:
		v, ok = r.readChoice(st, e, s, lo, hi, q), true
	}
	return v, 0, ok
}

// slide moves a tally to (lo, hi].
func (r *running) slide(e *entity, s *slot, lo, hi risk.Time) {
	// Grow first, then shrink: nothing is taken away that was not there.
	add := func(c *chunk, i int, sign int64) {
		masks, values := s.parts(c, e.layout)
		s.agg.tally(&r.tally, s, masks[i:i+1], values[i:i+1], sign)
	}
	for c := e.at(&r.tail); c != nil && risk.Time(c.data[r.tail.entry]) <= hi; c = e.at(&r.tail) {
		add(c, r.tail.entry, 1)
		r.tail.entry++
	}
	if lo < r.lo {
		for c := e.before(&r.head); c != nil && risk.Time(c.data[r.head.entry-1]) > lo; c = e.before(&r.head) {
			r.head.entry--
			add(c, r.head.entry, 1)
		}
		r.leaves = beforeAll
	}
	if hi < r.hi {
		for c := e.before(&r.tail); c != nil && risk.Time(c.data[r.tail.entry-1]) > hi; c = e.before(&r.tail) {
			r.tail.entry--
			add(c, r.tail.entry, -1)
		}
	}
	if lo >= r.leaves { // else the old end of the log, long out of the cache, is left alone
		c := e.at(&r.head)
		for ; c != nil && risk.Time(c.data[r.head.entry]) <= lo; c = e.at(&r.head) {
			add(c, r.head.entry, -1)
			r.head.entry++
		}
		if r.leaves = beforeAll; c != nil {
			r.leaves = risk.Time(c.data[r.head.entry])
		}
	}
	r.lo, r.hi = lo, hi
}

// at gives the chunk of the entry behind p, nil at the end of the log.
func (e *entity) at(p *cursor) *chunk {
	for p.chunk < len(e.chunks) {
		if c := &e.chunks[p.chunk]; p.entry < c.n {
			return c
		}
		if p.chunk == len(e.chunks)-1 {
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
		*p = cursor{p.chunk - 1, e.chunks[p.chunk-1].n}
	}
	return &e.chunks[p.chunk]
}

// ahead goes over the entries in (lo, hi] that are not queued yet, newest first,
// until visit gives false, and gives the number of those not queued.
func (r *running) ahead(e *entity, lo, hi risk.Time, visit func(c *chunk, from, n int) bool) (waiting int) {
	end := e.after(hi)
	going := true
	for k := min(end.chunk, len(e.chunks)-1); k >= r.tail.chunk; k-- {
		c, n, from := &e.chunks[k], end.entry, 0
		if k < end.chunk {
			n = c.n
		}
		if k == r.tail.chunk {
			from = r.tail.entry
		}
		waiting += max(n-from, 0)
		if c.first() <= lo {
			from = max(from, c.after(lo))
		}
		if going && from < n {
			going = visit(c, from, n)
		}
	}
	return waiting
}

func (r *running) waiting(e *entity, lo, hi risk.Time) int {
	return r.ahead(e, lo, hi, func(*chunk, int, int) bool { return false })
}

func (r *running) readChoice(st *State, e *entity, s *slot, lo, hi risk.Time, q *reading) float64 {
	best := pick{}
	waiting := r.ahead(e, lo, hi, func(c *chunk, from, n int) bool {
		best = s.choose(best, c, e.layout, from, n, &st.text)
		return !(best.set && s.agg.wins == nil)
	})
	for i := r.first; i < len(r.queue); i++ {
		if p := &r.queue[i]; p.at > lo {
			best = s.best(best, *p)
			break
		}
	}
	if e.past != nil {
		r.reach(e, s, lo, hi)
		best = s.best(best, r.best)
		r.rough = best.outside(lo, hi)
	}
	if f := e.foldOf(s); f != nil {
		best = s.best(best, f.best)
	}
	v := s.pick(best, q) // before its text is overwritten
	if waiting > queueWait {
		r.enqueue(e, s, waiting-queueLag)
	}
	return v
}

func (r *running) readStreak(e *entity, s *slot, lo, hi risk.Time) float64 {
	var k streak
	waiting := r.ahead(e, lo, hi, func(c *chunk, from, n int) bool {
		masks, values := s.parts(c, e.layout)
		k.extend(s, masks, values, from, n)
		return !k.broken
	})
	switch {
	case k.broken:
	case s.window == 0:
		k.n += r.tally.n
	default:
		live := r.queue[r.first:]
		from, _ := slices.BinarySearchFunc(live, lo, func(p pick, lo risk.Time) int {
			if p.at <= lo {
				return -1
			}
			return 1
		})
		k.n += int64(len(live) - from)
		if !r.broken {
			_, r.rough = e.past.tileStreak(&k, e.tilesOf(s), e.past.stretch(s, lo, hi), lo, hi)
		}
	}
	if waiting > queueWait {
		r.enqueue(e, s, waiting-queueLag)
	}
	return float64(k.n)
}

// readOldest goes forward from lo, past the stretch that is known to hold nothing.
func (r *running) readOldest(st *State, e *entity, s *slot, lo, hi risk.Time, q *reading) float64 {
	if f := e.foldOf(s); f != nil && f.best.set {
		return s.pick(f.best, q)
	}
	if best, _ := s.tileChoice(e.tilesOf(s), e.past.stretch(s, lo, hi)); best.set {
		r.rough = best.outside(lo, hi)
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

// enqueue moves the next n entries into the queue, and those of the same instant
// as the last of them: hi must lie between instants.
func (r *running) enqueue(e *entity, s *slot, n int) {
	for c := e.at(&r.tail); c != nil; c = e.at(&r.tail) {
		at := risk.Time(c.data[r.tail.entry])
		if n--; n < 0 && at > r.hi {
			break
		}
		masks, values := s.parts(c, e.layout)
		if i := r.tail.entry; s.in(masks[i]) {
			p := pick{at: at, value: values[i], set: true}
			if s.column != nil && s.column.kind == textColumn {
				p.text = new(text)
				s.text(c, e.layout, i, p.text)
			}
			r.push(s, p)
		}
		r.hi = at
		r.tail.entry++
	}
	if s.window == 0 {
		return
	}
	// No window read from here on starts before hi - window.
	for r.first < len(r.queue) && r.queue[r.first].at <= r.hi-s.window {
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

// inserted brings the aggregates of e up to date with an entry that was put into
// its log, at the end or, late, in the middle.
func (e *entity) inserted(at risk.Time, mask, values []uint64, atEnd bool) {
	for bit, r := range e.run {
		if r == nil {
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
			continue
		}
		if at > r.lo && at <= r.hi && counts {
			switch {
			case r.sketch != nil:
				r.sketch.add(v)
				r.tally.n++
			case s.agg.tally != nil:
				s.one(&r.tally, v, 1)
			case s.agg.streak && !atEnd:
				e.run[bit] = nil // begins again when read
				continue
			default:
				p := pick{at: at, value: v, set: true}
				if s.column != nil && s.column.kind == textColumn {
					p.text = (*text)(values[s.col:]).clone()
				}
				r.push(s, p)
			}
		}
		if atEnd && at > r.lo {
			last := len(e.chunks) - 1
			r.tail = cursor{last, e.chunks[last].n}
		} else {
			r.head, r.tail, r.leaves = e.after(r.lo), e.after(r.hi), beforeAll
		}
	}
}

// dropped brings them up to date when entries up to last have left the log. An
// aggregate that still held or still missed some of them starts again when read.
func (e *entity) dropped(last risk.Time, st *State) {
	for bit, r := range e.run {
		if r == nil {
			continue
		}
		s := &e.layout.def.slots[bit]
		switch {
		case s.last > 0 || s.agg.oldest:
		case s.window == 0 && r.hi < last || s.window != 0 && s.agg.tally != nil && r.lo < last:
			e.run[bit] = nil
		default:
			r.head, r.tail, r.leaves = e.after(r.lo), e.after(r.hi), beforeAll
		}
	}
}
