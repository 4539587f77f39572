package features

import (
	"math/bits"

	"github.com/sluice-risk/sluice/risk"
)

// addTiles adds to a, which is indexed, what slot s has in the tiles of r, and
// gives about the number of steps it took.
func (a *tally) addTiles(s *slot, ts *tiles, r stretch, sign int64) (seen int) {
	for _, b := range ts.within(r) {
		seen += a.addBlock(s, b, r, sign)
	}
	return seen
}

// addBlock adds those of a block, which has some of r.
func (a *tally) addBlock(s *slot, b *block, r stretch, sign int64) (seen int) {
	if s.agg.keeps == noValues {
		in := b.in(r)
		for i := range in {
			a.plus(&in[i], sign)
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
func (a *tally) plus(f *summary, sign int64) {
	a.n += f.n * sign
	if sign > 0 {
		a.sum = a.sum.add(f.sum)
	} else {
		a.sum = a.sum.add(f.sum.neg())
	}
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

// estimate gives about the number of different values of slot s in the tiles of
// `over` and in its log, both in (lo, hi], the number of their events, and how many
// of the log's it went over.
func (st *State) estimate(e *entity, s *slot, over stretch, lo, hi risk.Time) (v float64, n int64, seen int) {
	if st.sketched == nil {
		st.sketched = new(sketch)
	}
	k := st.sketched
	k.reset()
	for _, b := range e.tilesOf(s).within(over) {
		n += b.join(k)
	}
	e.backwards(lo, hi, func(c *chunk, from, to int) bool {
		for i := from; i < to; i++ {
			if entry := c.entry(i); s.in(entry[s.maskAt]) {
				k.add(entry[s.valueAt])
				n++
			}
		}
		seen += to - from
		return true
	})
	return k.count(), n, seen
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

// tileChoice gives the event among the tiles of r that slot s falls on, and about
// the number of steps it took.
func (s *slot) tileChoice(ts *tiles, r stretch) (best pick, seen int) {
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
	blocks := ts.within(r)
	for i := len(blocks) - 1; i >= 0; i-- {
		b := blocks[i]
		for in := b.filled & b.bits(r); in != 0; {
			place := bits.Len16(in) - 1
			in &^= 1 << place
			seen++
			rough = rough || p.across(ts, b.first()+int64(place), lo, hi)
			k.n += b.tiles[place].n
			if b.tiles[place].best.set {
				k.broken = true
				return seen, rough
			}
		}
	}
	return seen, rough
}

// asCoarse tells whether the slot is read as coarse over the tiles of r.
func (s *slot) asCoarse(ts *tiles, r stretch) bool { return s.window != 0 && ts.isCoarse(r) }
