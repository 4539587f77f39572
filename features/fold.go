package features

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// fold is what one slot has made of events that stand in the log no more, or need
// not be looked at one by one: of all that an entity had before the log begins,
// or of a stretch of time. The zero fold, but for its slot, is that of no events.
//
//   - take adds one event that is newer than all in the fold (equal instants in
//     the order of arrival).
//   - merge adds another fold of the same slot, all of whose events are newer.
//     Folding events one by one, or in parts that are then merged in order, gives
//     the same fold.
//   - A reading begins with a fold: tally.start; pick.best and fold.n where a
//     choice or a streak finds no newer event; recent for the last N.
//
// A fold cannot give up an event again, so a window may hold all of it or nothing.
// It is exact, and bounded in size, for count, sum, avg, stddev, min, max, first,
// last, since_first, since_last, run, speed, distance, text_distance, benford and
// every window of the last N. For the others it is
//
//   - exact and not bounded: distinct and seen keep each different value;
//   - exact up to exactValues events, then coarse: quantile and similar round each
//     value to 9 significant bits (one part in 512; at most some 46,000 different
//     ones), share puts it into one of 65,536 bins (another value in the bin of
//     the commonest adds to its share), nearby rounds places to 0.01 degrees.
//
// Making a value coarse is a function of that value alone. So whether a window is
// read as coarse can depend on how many events it holds, and not on how many of
// them were folded: the reading makes the others coarse too (tally.coarsen).
type fold struct {
	slot   uint32 // its number in State.numbers
	coarse bool
	summary
	keys   *keySet // of those that keep values
	recent *recent // of a window of the last N
}

// summary is the part of a fold that has the same size however many events there
// are. A tile of a slot that keeps no values is no more than that.
type summary struct {
	n    int64 // events; of a run those since the condition last failed
	sum  int128
	best pick // of a choice; of a run the newest event whose condition failed
	more *sums
}

// sums are for those aggregates that need more than a sum.
type sums struct {
	squares uint256  // of stddev
	digits  [9]int64 // of benford: how often each leading digit occurs
}

// pick is one event as an aggregate sees it.
type pick struct {
	at    risk.Time
	value uint64
	set   bool
	text  *text // of text_distance; not changed, but not kept by those who are given one
}

// outside tells whether an event was chosen that does not lie in (lo, hi], but in
// a tile that does in part.
func (p pick) outside(lo, hi risk.Time) bool { return p.set && (p.at <= lo || p.at > hi) }

// keep gives a copy whose text is its own.
func (p pick) keep() pick {
	if p.text != nil {
		p.text = p.text.clone()
	}
	return p
}

// size is about the number of steps that a reading takes that begins with f.
func (f *fold) size() int {
	if f == nil || f.keys == nil || f.keys.once {
		return 0
	}
	return len(f.keys.list)
}

// fits tells whether a fold that was read can be one of slot s.
func (f *fold) fits(s *slot) bool {
	if f.keys != nil {
		n := int64(0)
		for _, key := range f.keys.list {
			n += int64(f.keys.index.of(key))
		}
		if f.keys.once != (s.agg.keeps == differentValues) || n > f.n || !f.keys.once && n != f.n {
			return false
		}
	}
	return f.n >= 0 && (f.recent == nil || s.last > 0) && (f.keys == nil || s.agg.keeps != noValues && s.last == 0) &&
		(!f.coarse || s.agg.coarse != nil) && (f.more == nil || s.agg.sums >= sumDigits) &&
		(f.best.text != nil) == (f.best.set && s.textual())
}

// take adds an event that is newer than all in f.
func (f *fold) take(s *slot, p pick) {
	switch {
	case s.last > 0:
		if f.recent == nil {
			f.recent = &recent{}
		}
		f.recent.push(p.at, p.value)
		f.recent.trim(s.last)
	case s.agg.keeps != noValues:
		f.n++
		f.add(s, p.value, 1, false)
	default:
		f.summary.take(s, p)
	}
}

// take adds an event. For a choice and for sums it need not be the newest; of a
// run those count in the order in which they come.
func (f *summary) take(s *slot, p pick) {
	switch digit := 0; {
	case s.agg.choice:
		if s.best(p, f.best) == p {
			f.best = p.keep()
		}
	case s.agg.streak:
		if f.n++; p.value == 0 {
			f.n, f.best = 0, pick{at: p.at, set: true}
		}
	case s.agg.sums == sumEvents:
		f.n++
	case s.agg.sums == sumValues:
		f.n++
		f.sum = f.sum.add(s.column.units(p.value))
	case s.agg.sums == sumSquares:
		units := s.column.units(p.value)
		square := squareOf(units)
		f.n++
		f.sum = f.sum.add(units)
		f.sums().squares.add(&square)
	default:
		if digit = s.column.digit(p.value); digit > 0 {
			f.n++
			f.sums().digits[digit-1]++
		}
	}
}

// best gives the one of two events that a choice falls on; of two at the same
// instant p is the newer.
func (s *slot) best(p, q pick) pick {
	switch {
	case !p.set || !q.set:
		if q.set {
			return q
		}
		return p
	case s.agg.oldest:
		if p.at < q.at {
			return p
		}
		return q
	case p.at < q.at:
		p, q = q, p
	}
	if s.agg.beats(s.column, p.value, q.value) {
		return p
	}
	return q
}

func (f *summary) sums() *sums {
	if f.more == nil {
		f.more = &sums{}
	}
	return f.more
}

// add adds a value that is kept, and may be coarse already; f.n counts it.
func (f *fold) add(s *slot, v uint64, n uint32, coarse bool) {
	if f.keys == nil {
		f.keys = &keySet{once: s.agg.keeps == differentValues}
	}
	if f.n > exactValues && s.agg.coarse != nil && !f.coarse {
		f.coarse = true
		old := f.keys
		f.keys = &keySet{sums: old.sums}
		for _, key := range old.list {
			f.keys.add(s.agg.coarse(s, key), old.index.of(key))
		}
	}
	if f.coarse && !coarse {
		v = s.agg.coarse(s, v)
	}
	f.keys.add(v, n)
}

// merge adds g, of the same slot and of newer events. It takes g's text and lists
// over only as copies.
func (f *fold) merge(s *slot, g *fold) {
	f.summary.merge(s, &g.summary)
	if g.keys != nil {
		for _, key := range g.keys.list {
			f.add(s, key, g.keys.index.of(key), g.coarse)
		}
	}
	if g.recent != nil {
		if f.recent == nil {
			f.recent = &recent{}
		}
		f.recent.times = append(f.recent.times, g.recent.times...)
		f.recent.values = append(f.recent.values, g.recent.values...)
		f.recent.trim(s.last)
	}
}

// merge adds g, of the same slot and of newer events.
func (f *summary) merge(s *slot, g *summary) {
	if s.agg.streak && g.best.set {
		f.n, f.best = 0, g.best
	}
	f.n += g.n
	f.sum = f.sum.add(g.sum)
	if s.agg.choice && g.best.set {
		f.take(s, g.best)
	}
	if g.more != nil {
		more := f.sums()
		more.squares.add(&g.more.squares)
		for i, n := range g.more.digits {
			more.digits[i] += n
		}
	}
}

// keySet is a set of values that only grows, with how often each occurs. Its list
// is stored in parts, of which only those that changed are written again.
type keySet struct {
	once  bool // how often does not matter
	list  []uint64
	index counts
	stale []bool   // by part: differs from what is stored
	sums  []uint64 // of the stored parts
}

func (k *keySet) has(key uint64) bool { return k != nil && k.index.of(key) > 0 }

func (k *keySet) add(key uint64, n uint32) {
	if k.once {
		if k.has(key) {
			return
		}
		n = 1
	}
	c := k.index.add(key, n)
	if c.n == n {
		c.at = uint32(len(k.list))
		k.list = append(k.list, key)
	}
	part := int(c.at) / keysPart
	for part >= len(k.stale) {
		k.stale = append(k.stale, false)
	}
	k.stale[part] = true
}

// recent are the newest events of a window of the last N, oldest first.
type recent struct {
	times, values []uint64
	stale         bool   // differs from what is stored
	sum           uint64 // of what is stored
}

func (q *recent) push(at risk.Time, v uint64) {
	q.times, q.values, q.stale = append(q.times, uint64(at)), append(q.values, v), true
}

// trim leaves the newest n.
func (q *recent) trim(n int) {
	if over := len(q.times) - n; over > 0 {
		q.times, q.values, q.stale = slices.Delete(q.times, 0, over), slices.Delete(q.values, 0, over), true
	}
}
