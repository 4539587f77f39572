package features

import (
	"math/bits"

	"github.com/sluice-risk/sluice/risk"
)

// edges tells whether a tile lies across an end of (lo, hi], so that a value read
// from whole tiles may differ from the exact one.
func (p *past) edges(ts *tiles, r stretch, lo, hi risk.Time) bool {
	return ts != nil && r != noTiles && (p.across(ts, r.from, lo, hi) && ts.holds(r.from) || p.across(ts, r.to, lo, hi) && ts.holds(r.to))
}

// across tells whether a tile would lie across an end of (lo, hi].
func (p *past) across(ts *tiles, index int64, lo, hi risk.Time) bool {
	if index == farTile || index == -farTile {
		return false
	}
	from := risk.Time(index) * ts.width
	return lo > from && lo < from+ts.width || hi < p.until && hi > from && hi < from+ts.width
}

// addTiles adds to a, which is indexed, what slot s has in the tiles of r, and
// gives about the number of steps it took.
func (a *tally) addTiles(s *slot, ts *tiles, r stretch, sign int64) (seen int) {
	for _, b := range ts.within(r) {
		seen += a.addBlock(s, b, r, sign)
	}
	return seen
}

func (a *tally) addBlock(s *slot, b *block, r stretch, sign int64) (seen int) {
	if s.agg.keeps == noValues {
		in := b.in(r)
		for i := range in {
			a.plus(&in[i].fold, sign)
		}
		return len(in)
	}
	tiles := b.bits(r)
	if a.coarse && s.window != 0 {
		tiles = ^uint16(0)
	}
	for in := tiles; in != 0; in &= in - 1 {
		a.n += sign * int64(b.n[bits.TrailingZeros16(in)])
	}
	for i := range b.values {
		if v := &b.values[i]; v.in&tiles != 0 {
			key := v.key
			if a.coarse {
				key = s.coarse(key)
			}
			a.hold(s, key, sign*int64(v.times(tiles)))
		}
	}
	for i := range b.bins {
		a.hold(s, b.bins[i].key, sign*int64(b.bins[i].n))
	}
	return len(b.values) + len(b.bins)
}

// plus adds or takes away events that are already added up.
func (a *tally) plus(f *fold, sign int64) {
	sum := f.sum
	if sign < 0 {
		sum = sum.neg()
	}
	a.n += f.n * sign
	a.sum = a.sum.add(sum)
	if f.more == nil {
		return
	}
	if sign > 0 {
		a.more.squares.add(&f.more.squares)
	} else {
		a.more.squares.sub(&f.more.squares)
	}
	for i, n := range f.more.digits {
		a.more.digits[i] += n * sign
	}
}

// hold counts a value, coarse where a is, n times more, or takes it away as often.
// It leaves a.n alone.
func (a *tally) hold(s *slot, v uint64, n int64) {
	switch {
	case n > 0 && s.agg.keeps == differentValues:
		if int64(a.keys.add(v, uint32(n)).n) == n && !a.folded.has(v) {
			a.distinct++
		}
	case n > 0:
		a.put(s, v, uint32(n))
	default:
		for ; n < 0; n++ {
			a.release(s, v)
		}
	}
}

func (a *tally) release(s *slot, v uint64) {
	if s.agg.keeps == orderedValues {
		a.order.remove(s.column.rank(v))
		return
	}
	switch left := a.keys.remove(v); {
	case s.agg.keeps == differentValues:
		if left == 0 && !a.folded.has(v) {
			a.distinct--
		}
	case !s.agg.own:
		a.most.fall(left)
	}
}

// estimate gives the number of different values in the tiles of r and among the
// keys of a, and adds the events of the former to a.n.
func (st *State) estimate(a *tally, s *slot, ts *tiles, r stretch) float64 {
	if st.sketched == nil {
		st.sketched = new(sketch)
	}
	k := st.sketched
	k.reset()
	for _, b := range ts.within(r) {
		a.n += b.join(k)
	}
	for _, c := range a.keys.slots {
		if c.n != 0 {
			k.add(c.key)
		}
	}
	return k.count()
}

// join adds the values of b to a sketch, and gives its number of events.
func (b *block) join(k *sketch) (n int64) {
	if b.ranks != nil {
		k.join(b.ranks)
	}
	for i := range b.values {
		k.add(b.values[i].key)
	}
	for _, in := range b.n {
		n += int64(in)
	}
	return n
}

// tileChoice gives the event among the tiles of r that slot s falls on.
func (s *slot) tileChoice(ts *tiles, r stretch) (best pick, seen int) {
	if ts == nil {
		return pick{}, 0
	}
	for _, b := range ts.within(r) {
		in := b.in(r)
		for i := range in {
			best = s.best(in[i].best, best)
		}
		if seen += len(in); s.agg.oldest && best.set {
			break
		}
	}
	return best, seen
}

// tileStreak goes on with a streak that all of the log has not ended.
func (p *past) tileStreak(k *streak, ts *tiles, r stretch, lo, hi risk.Time) (seen int, rough bool) {
	if ts == nil {
		return 0, false
	}
	blocks := ts.within(r)
	for i := len(blocks) - 1; i >= 0; i-- {
		in := blocks[i].in(r)
		for j := len(in) - 1; j >= 0; j-- {
			seen++
			rough = rough || p.across(ts, in[j].index, lo, hi)
			k.n += in[j].n
			if in[j].best.set {
				k.broken = true
				return seen, rough
			}
		}
	}
	return seen, rough
}

// asCoarse tells whether the slot is read as coarse over the tiles of r.
func (s *slot) asCoarse(ts *tiles, r stretch) bool { return s.window != 0 && ts.isCoarse(r) }

// sketches tells whether a coarse block of the slot is a sketch.
func (s *slot) sketches() bool { return s.agg.keeps == differentValues && !s.agg.own }

// isCoarse tells whether tiles have made r coarse.
func (r *running) isCoarse(s *slot) bool { return s.window != 0 && (r.sketch != nil || r.tally.coarse) }

// slideTiles brings what a tally holds of tiles up to the window (lo, hi], and
// reports false when it has to start again: when values become coarse or exact.
func (r *running) slideTiles(e *entity, s *slot, lo, hi risk.Time) bool {
	ts, to := e.tilesOf(s), e.past.stretch(s, lo, hi)
	if s.asCoarse(ts, to) != r.isCoarse(s) {
		return false
	}
	over := r.over
	r.over = to
	if r.sketch != nil {
		return r.slideSketch(ts, over)
	}
	if s.window != 0 && r.tally.coarse {
		over, to = over.whole(), to.whole()
	}
	if to == over || ts == nil {
		return true
	}
	if over == noTiles { // an empty range at the other's end, so that all of that is new
		over = stretch{to.to + 1, to.to}
	}
	if to == noTiles {
		to = stretch{over.to + 1, over.to}
	}
	r.tally.addTiles(s, ts, stretch{to.from, min(over.from-1, to.to)}, 1)
	r.tally.addTiles(s, ts, stretch{max(over.to+1, to.from), to.to}, 1)
	r.tally.addTiles(s, ts, stretch{over.from, min(to.from-1, over.to)}, -1)
	r.tally.addTiles(s, ts, stretch{max(to.to+1, over.from), over.to}, -1)
	return true
}

// took brings r up to date with an event that went into tile index of b, from the
// log or late. It reports false when r has to start again.
func (r *running) took(s *slot, b *block, index int64, p pick, logged, fresh bool) bool {
	whole := r.isCoarse(s)
	switch {
	case s.last > 0 || s.agg.oldest:
		return true
	case s.agg.streak:
		return false
	case !r.over.blocks().has(b.index):
		return true
	case b.coarse() && !whole:
		return false
	case !whole && !r.over.has(index):
		return true
	case s.agg.choice:
		r.best = s.best(p.keep(), r.best)
		return true
	case r.sketch != nil:
		if r.sketch.add(p.value); !logged || p.at > r.hi {
			r.tally.n++
		}
		return true
	}
	had := logged && p.at > r.lo && p.at <= r.hi
	switch {
	case had && fresh:
	case had:
		r.tally.hold(s, p.value, -1)
	case s.agg.keeps == noValues:
		s.one(&r.tally, p.value, 1)
	default:
		r.tally.n++
		if r.tally.coarse {
			r.tally.hold(s, s.coarse(p.value), 1)
		} else if fresh {
			r.tally.hold(s, p.value, 1)
		}
	}
	return true
}

// reach brings the extreme of the tiles up to date for the window (lo, hi].
func (r *running) reach(e *entity, s *slot, lo, hi risk.Time) {
	ts, to := e.tilesOf(s), e.past.stretch(s, lo, hi)
	if to == r.over {
		return
	}
	if ts == nil {
		r.over, r.best = to, pick{}
		return
	}
	same := r.over != noTiles && to.from >= r.over.from && to.to >= r.over.to
	if same && (!r.best.set || ts.indexOf(r.best.at) >= to.from) {
		more, _ := s.tileChoice(ts, stretch{max(r.over.to+1, to.from), to.to})
		r.best = s.best(more, r.best)
	} else {
		r.best, _ = s.tileChoice(ts, to)
	}
	r.over = to
}

// Tests make these smaller.
var (
	sketchLag  = 32 // entries of the log that stay out of a running sketch at least
	sketchWait = 96 // and at most
)

// slideSketch joins the blocks that come into the stretch. When one leaves, the
// sketch starts again from what is left.
func (r *running) slideSketch(ts *tiles, over stretch) bool {
	from, to := over.blocks(), r.over.blocks()
	switch {
	case from == to:
	case over != noTiles && to.from == from.from && to.to > from.to:
		for _, b := range ts.within(stretch{(from.to + 1) * blockTiles, r.over.to}) {
			r.tally.n += b.join(r.sketch)
		}
	default:
		r.sketch.reset()
		r.tally.n = 0
		r.hi, r.tail = beforeAll, cursor{}
		for _, b := range ts.within(r.over) {
			r.tally.n += b.join(r.sketch)
		}
	}
	return true
}

// readSketch estimates the number of different values in (lo, hi], and gives the
// number of events. Of the log, all of which is newer than lo, the sketch lacks
// the newest entries, so that an event that is a little late finds its window's
// end not yet in it.
func (r *running) readSketch(e *entity, s *slot, lo, hi risk.Time) (v float64, n int64, ok bool) {
	if hi < r.hi || lo < r.lo || !r.slideTiles(e, s, lo, hi) {
		return 0, 0, false
	}
	r.lo = lo
	if hi < e.past.until {
		r.hi, r.tail = hi, cursor{}
		return r.sketch.count(), r.tally.n, true
	}
	if waiting := r.waiting(e, lo, hi); waiting > sketchWait {
		r.soak(e, s, waiting-sketchLag)
	}
	known, p, n := r.sketch.count(), r.tail, r.tally.n
	r.undo = r.undo[:0]
	for k, end := p.chunk, e.after(hi); k <= end.chunk && k < len(e.chunks); k, p.entry = k+1, 0 {
		c, upto := &e.chunks[k], end.entry
		if k < end.chunk {
			upto = c.n
		}
		masks, values := s.parts(c, e.layout)
		for i := p.entry; i < upto; i++ {
			if !s.in(masks[i]) {
				continue
			}
			n++
			if at, rank := registerOf(values[i]); rank > r.sketch.ranks[at] {
				r.undo = append(r.undo, register{at, r.sketch.ranks[at]})
				r.sketch.set(at, rank)
			}
		}
	}
	v = r.sketch.count()
	for k := len(r.undo) - 1; k >= 0; k-- {
		r.sketch.set(r.undo[k].index, r.undo[k].rank)
	}
	r.sketch.estimate, r.sketch.stale = known, false
	return v, n, true
}

// register is what one held before.
type register struct {
	index int
	rank  uint8
}

// soak adds the next n entries of the log to the sketch for good, and those of the
// same instant as the last of them.
func (r *running) soak(e *entity, s *slot, n int) {
	for c := e.at(&r.tail); c != nil; c = e.at(&r.tail) {
		at := risk.Time(c.data[r.tail.entry])
		if n--; n < 0 && at > r.hi {
			break
		}
		masks, values := s.parts(c, e.layout)
		if s.in(masks[r.tail.entry]) {
			r.sketch.add(values[r.tail.entry])
			r.tally.n++
		}
		r.hi = at
		r.tail.entry++
	}
}
