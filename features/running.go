package features

import "github.com/sluice-risk/sluice/risk"

// running is the aggregate of one slot of a busy entity, kept up to date at the
// front of its log. The scan of the log is its oracle: both give the same value.
//
// Of a tally it holds the entries in (lo, hi], which lie between head and tail.
// The window slides both ways, so an event that is a little late costs what it
// moves.
//
// Of an extreme it holds in queue, oldest first, the entries in (lo, hi] that no
// newer one up to hi beats; tail is the first entry behind hi, and lo is where the
// queue once began. The queue stays some entries behind the front, which are looked at one by one, so that an event
// that is a little late finds its window's end not yet queued.
type running struct {
	lo, hi     risk.Time
	head, tail cursor
	leaves     risk.Time // of a tally: time of the entry at head, beforeAll when not known
	tally      tally
	queue      []pick
	first      int // of the queue's live part
}

// Tests make these smaller.
var (
	queueLag  = 8  // entries that stay out of the queue at least
	queueWait = 24 // and at most
)

func newRunning(e *entity, s *slot, f *fold, lo, hi risk.Time) *running {
	r := &running{lo: lo, hi: lo, head: e.after(lo), leaves: beforeAll}
	r.tail = r.head
	r.tally.start(f, true)
	if f != nil && f.best.set {
		r.queue = append(r.queue, f.best)
	}
	r.read(e, s, lo, hi, hi)
	return r
}

// read gives the value over (lo, hi], or false when that lies too far back.
func (r *running) read(e *entity, s *slot, lo, hi, now risk.Time) (float64, bool) {
	if s.agg.tally == nil {
		return r.readExtreme(e, s, lo, hi, now)
	}
	if hi < r.hi && r.tail.chunk-e.after(hi).chunk > 1 {
		return 0, false
	}
	// Grow first, then shrink: nothing is taken away that was not there.
	add := func(c *chunk, i int, sign int64) {
		masks, values := s.parts(c, e.layout)
		s.agg.tally(&r.tally, s.column, uint(s.bit), masks[i:i+1], values[i:i+1], sign)
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
	return s.total(&r.tally), true
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

func (r *running) readExtreme(e *entity, s *slot, lo, hi, now risk.Time) (float64, bool) {
	if hi < r.hi || lo < r.lo {
		return 0, false
	}
	best, waiting := pick{}, 0
	end := e.after(hi)
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
		masks, values := s.parts(c, e.layout)
		best = s.extreme(best, c.data, masks, values, from, n)
	}
	for _, q := range r.queue[r.first:] {
		if q.at > lo {
			if !(best.set && s.agg.beats(s.column, best.value, q.value)) {
				best = q
			}
			break
		}
	}
	if waiting > queueWait {
		r.enqueue(e, s, waiting-queueLag)
	}
	return s.pick(best, now), true
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
		if s.in(masks[r.tail.entry]) {
			r.push(s, pick{at, values[r.tail.entry], true})
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
// removes the older ones that it beats.
func (r *running) push(s *slot, p pick) {
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
		if r == nil || atEnd && at > r.hi {
			continue
		}
		s := &e.layout.def.slots[bit]
		if at > r.lo && at <= r.hi && s.in(mask[bit>>6]) {
			v := uint64(0)
			if s.col >= 0 {
				v = values[s.col]
			}
			if s.agg.tally != nil {
				s.one(&r.tally, v, 1)
			} else {
				r.push(s, pick{at, v, true})
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
		if s.window == 0 && r.hi < last || s.window != 0 && s.agg.tally != nil && r.lo < last {
			e.run[bit] = nil
			continue
		}
		r.head, r.tail, r.leaves = e.after(r.lo), e.after(r.hi), beforeAll
	}
}
