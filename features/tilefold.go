package features

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// Tests make these smaller.
var (
	leastExact  = 256 // bound of exact_events
	latestExact = 16  // times exact_events: what the log holds for late events at most
)

// overflow folds the oldest entries of a log into tiles when there are too many. It
// is called when an event was put into the log, and nowhere else.
//
// With N = exact_events, the log keeps the newest N entries, and beyond them those
// that are newer than the floor, among which late events may still fall, up to 16 N
// in all. Entries that no window reaches any more do not count, whether or not
// they are still there. So that the work comes in portions, nothing happens until
// N/16 entries are too many. Entries of the same instant go together.
//
// All of that follows from the entity's events, the floor and the limit: not from
// chunks, sweeps, checkpoints or what is in memory.
func (st *State) overflow(e *entity) {
	exact := st.set.limits.ExactEvents
	portion := max(exact/16, 1)
	if e.entries < exact+portion {
		return
	}
	gone := e.chunks[0].after(st.floor - e.layout.reach) // chunks of nothing else were dropped
	n := e.entries - gone
	if n < exact+portion || n < latestExact*exact+portion && e.timeOf(gone+portion-1) > st.floor {
		return
	}
	p, old := e.after(st.floor), -gone
	for i := range p.chunk {
		old += e.chunks[i].n
	}
	surplus := max(min(n-exact, old+int(p.entry)), n-latestExact*exact)
	if surplus >= portion {
		st.foldUntil(e, e.timeOf(gone+surplus-1))
	}
}

// timeOf gives the time of the i-th entry of the log.
func (e *entity) timeOf(i int) risk.Time {
	k := 0
	for i >= e.chunks[k].n {
		i -= e.chunks[k].n
		k++
	}
	return e.chunks[k].time(i)
}

// foldUntil moves the entries up to an instant out of the log.
func (st *State) foldUntil(e *entity, until risk.Time) {
	if st.expireTiles(e); e.past == nil {
		e.past = &past{until: beforeAll, slots: make([]*tiles, len(e.layout.slots))}
	}
	e.past.until, e.past.dirty = until, true
	st.list(e)
	for bit := range e.run {
		if r := &e.run[bit]; r.on && !r.reachTiles(e, &e.layout.def.slots[bit]) {
			r.stop()
		}
	}
	k := 0
	for ; k < len(e.chunks) && e.chunks[k].last() <= until; k++ {
		c := &e.chunks[k]
		st.pour(e, c, c.n)
		st.forget(e, c)
		e.words -= len(c.data)
		e.entries -= c.n
	}
	e.chunks = slices.Delete(e.chunks, 0, k)
	if len(e.chunks) > 0 {
		if n := e.chunks[0].after(until); n > 0 {
			st.pour(e, &e.chunks[0], n)
			e.chunks[0].cut(n)
			e.entries -= n
			st.touch(e, 0, 0)
		}
	}
	e.oldest = 0
	for bit := range e.run {
		if r := &e.run[bit]; r.on {
			r.seek(e)
			for r.first < len(r.queue) && r.queue[r.first].at <= until {
				r.first++
			}
		}
	}
}

// pour takes the first n entries of c into tiles.
func (st *State) pour(e *entity, c *chunk, n int) {
	for bit := range e.layout.def.slots {
		s := &e.layout.def.slots[bit]
		to := tilePlace{until: beforeAll}
		st.picks(s, c, n, func(p pick) {
			if p.at > to.until {
				to = st.placeOf(e, s, p.at)
			}
			st.take(e, s, &to, p, true)
		})
	}
}

// late counts an event that belongs among the tiles.
func (st *State) late(e *entity, at risk.Time, mask, values []uint64) {
	st.expireTiles(e)
	for bit := range e.layout.def.slots {
		s := &e.layout.def.slots[bit]
		if !s.in(mask[bit>>6]) {
			continue
		}
		p := pick{at: at, set: true}
		if s.col >= 0 {
			p.value = values[s.col]
		}
		if s.textual() {
			p.text = (*text)(values[s.col:])
		}
		if r := e.running(s); s.last > 0 && r != nil {
			r.insertLast(s, at, p.value)
		}
		to := st.placeOf(e, s, at)
		st.take(e, s, &to, p, false)
	}
}

// tilePlace is where an event goes that leaves the log or comes too late for it: to a
// tile, for good to a fold, or, with neither, nowhere.
type tilePlace struct {
	until risk.Time // of the tile, or of all that goes nowhere
	tile  int64
	block *block
	fold  *fold
}

// placeOf gives the place of slot s for the events of an instant and those up to
// the end of its tile. What no instant that is still to be read can lie before is
// folded for good when the slot has no window, and passed over when it has one.
// That goes by whole blocks, so that a fold gets its events in their order.
func (st *State) placeOf(e *entity, s *slot, at risk.Time) tilePlace {
	width, bound := s.tile(), st.floor-s.delay-s.window
	tile := tileOf(at, width)
	to := tilePlace{until: risk.Time(tile+1) * width, tile: tile}
	switch {
	case s.life >= 0 && (e.past.until <= bound || risk.Time(blockOf(tile)+1)*blockTiles*width <= bound):
		to.fold = st.foldInto(e, s)
	case s.life < 0 && to.until <= bound:
		to.until = risk.Time(tileFrom(bound, width)) * width
	default:
		ts := e.past.slots[s.bit]
		if ts == nil {
			ts = &tiles{width: width}
			e.past.slots[s.bit] = ts
		}
		to.block = ts.block(tile)
		st.touchBlock(e, to.block)
	}
	return to
}

// take gives an event to its place. An aggregate that cannot be brought up to date
// starts again when it is next read.
func (st *State) take(e *entity, s *slot, to *tilePlace, p pick, logged bool) {
	r := e.running(s)
	switch {
	case to.fold != nil:
		to.fold.take(s, p)
		if r != nil && s.last == 0 && (!logged || r.hi < p.at) {
			r.stop()
		}
		return
	case to.block == nil:
		if r != nil && p.at > r.lo {
			r.stop() // it was last read long ago
		}
		return
	}
	was := to.block.coarse()
	fresh := to.block.take(s, to.tile, p)
	if to.block.coarse() && !was {
		e.past.slots[s.bit].coarse++
	}
	if r != nil && !r.took(s, to, p, logged, fresh) {
		r.stop()
	}
}

// foldInto gives what slot s, which has no window of time, makes of the oldest
// events.
func (st *State) foldInto(e *entity, s *slot) *fold {
	if e.folds == nil {
		e.folds = make([]*fold, len(e.layout.def.life))
	}
	if e.folds[s.life] == nil {
		e.folds[s.life] = &fold{slot: e.layout.slots[s.bit]}
	}
	st.list(e)
	return e.folds[s.life]
}

// expireTiles drops the blocks that no window can reach any more. Those of a slot
// without a window move to its fold: every window holds all of them.
func (st *State) expireTiles(e *entity) {
	if e.past == nil {
		return
	}
	left := false
	for bit, ts := range e.past.slots {
		if ts == nil {
			continue
		}
		s := &e.layout.def.slots[bit]
		bound, k := st.floor-s.delay-s.window, 0
		for k < len(ts.blocks) && ts.ends(ts.blocks[k]) <= bound {
			k++
		}
		if s.life >= 0 && e.past.until <= bound {
			k = len(ts.blocks)
		}
		if k > 0 && s.life >= 0 {
			f := st.foldInto(e, s)
			for _, b := range ts.blocks[:k] {
				f.absorb(s, b)
			}
		}
		if r := e.running(s); k > 0 && r != nil && s.last == 0 && (s.life >= 0 || r.over != noTiles && r.over.from <= ts.blocks[k-1].last()) {
			r.stop() // it still holds some of them
		}
		if k > 0 {
			st.list(e)
		}
		for _, b := range ts.blocks[:k] {
			st.forgetBlock(e, e.layout.slots[bit], b, 0)
			if b.coarse() {
				ts.coarse--
			}
		}
		if ts.blocks = slices.Delete(ts.blocks, 0, k); len(ts.blocks) == 0 {
			e.past.slots[bit] = nil
		} else {
			left = true
		}
	}
	if !left && e.past.until <= st.floor-e.layout.reach {
		st.forgetPast(e)
		st.list(e)
		e.past = nil
	}
}

// absorb adds the events of a block, which are newer than all in f.
func (f *fold) absorb(s *slot, b *block) {
	if b.tiles != nil {
		for i := range b.tiles {
			f.summary.merge(s, &b.tiles[i])
		}
	}
	for _, n := range b.n {
		f.n += int64(n)
	}
	for i := range b.values {
		f.add(s, b.values[i].key, b.values[i].times(^uint16(0)), false)
	}
	for i, at := range b.events.times {
		f.take(s, pick{at: risk.Time(at), value: b.events.values[i], set: true})
	}
}
