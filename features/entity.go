package features

import (
	"math"
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// entity is the state of one card, account, merchant …: its events in the order
// of time as far back as a window can reach, and what older ones fold into.
type entity struct {
	id     entityID
	layout *layout
	chunks []chunk
	folds  []*fold    // by entityDef.life, nil until something was folded
	run    []*running // by slot, nil while its windows are small

	oldest    risk.Time // not later than the end of the first chunk; 0: not known
	seat      int       // in State.all
	headSum   uint64
	headDirty bool
	listed    bool // in State.dirty
	removed   bool
}

type entityID [16]byte

// fold is what one feature without a window has made of the events that have
// left the log. They are older than any instant that can still be read, so every
// window holds all of them, and the value does not change by folding.
type fold struct {
	slot uint32 // its number in State.numbers
	tally
	best pick
	keys *keySet // of distinct
}

// pick is one event that an extreme may choose.
type pick struct {
	at    risk.Time
	value uint64
	set   bool
}

// keySet is a set that only grows. Its list is stored in parts, of which only
// the last changes.
type keySet struct {
	list  []uint64
	index counts
	saved int      // keys that are stored
	sums  []uint64 // of the stored parts
}

func (k *keySet) has(key uint64) bool { return k != nil && k.index.has(key) }

func (k *keySet) add(key uint64) {
	if !k.index.has(key) {
		k.index.add(key)
		k.list = append(k.list, key)
	}
}

// beforeAll is earlier than any event: the start of a window without end.
const beforeAll = risk.Time(math.MinInt64)

// span gives the bounds (lo, hi] of what slot s counts at t.
func (s *slot) span(t risk.Time) (lo, hi risk.Time) {
	hi = t - s.delay
	if s.window == 0 {
		return beforeAll, hi
	}
	return hi - s.window, hi
}

func (s *slot) in(mask uint64) bool { return mask>>(uint(s.bit)&63)&1 != 0 }

// parts gives the mask words and values of a chunk that slot s looks at.
func (s *slot) parts(c *chunk, l *layout) (masks, values []uint64) {
	stride := l.stride()
	masks = c.part(1+s.bit>>6, stride)
	if s.col < 0 {
		return masks, masks
	}
	return masks, c.part(1+l.words()+s.col, stride)
}

// busyWindow is the number of entries in a window above which its aggregate is
// kept up to date instead of being computed when it is read.
const busyWindow = 64

// read gives the value of slot s at t. It is the same whether it is computed
// from the log or kept up to date.
func (st *State) read(e *entity, s *slot, t risk.Time) float64 {
	if e == nil {
		return s.agg.empty
	}
	lo, hi := s.span(t)
	if e.run != nil && e.run[s.bit] != nil {
		if v, ok := e.run[s.bit].read(e, s, lo, hi, t); ok {
			return v
		}
		v, _ := st.scan(e, s, lo, hi, t)
		return v
	}
	v, seen := st.scan(e, s, lo, hi, t)
	if seen > st.busy {
		if e.run == nil {
			e.run = make([]*running, len(e.layout.slots))
		}
		e.run[s.bit] = newRunning(e, s, e.foldOf(s), lo, hi)
	}
	return v
}

func (e *entity) foldOf(s *slot) *fold {
	if s.life < 0 || e.folds == nil {
		return nil
	}
	return e.folds[s.life]
}

// scan computes the value of slot s over (lo, hi] from the log, newest first,
// and gives the number of entries it went over.
func (st *State) scan(e *entity, s *slot, lo, hi, now risk.Time) (v float64, seen int) {
	a, best := &st.scratch, pick{}
	f := e.foldOf(s)
	if s.agg.tally != nil {
		a.start(f, s.agg.keeps)
	}
	p := cursor{}
	if len(e.chunks) > 0 {
		p = e.after(hi)
	}
	for k := min(p.chunk, len(e.chunks)-1); k >= 0; k-- {
		c, n := &e.chunks[k], p.entry
		if k < p.chunk {
			n = c.n
		}
		from := 0
		if c.first() <= lo {
			if from = c.after(lo); from >= n {
				break
			}
		}
		seen += n - from
		masks, values := s.parts(c, e.layout)
		if s.agg.tally != nil {
			s.agg.tally(a, s.column, uint(s.bit), masks[from:n], values[from:n], 1)
		} else if best = s.extreme(best, c.data, masks, values, from, n); best.set && s.agg.wins == nil {
			break
		}
		if from > 0 {
			break
		}
	}
	if s.agg.tally != nil {
		return s.total(a), seen
	}
	if f != nil && f.best.set && !(best.set && s.agg.beats(s.column, best.value, f.best.value)) {
		best = f.best
	}
	return s.pick(best, now), seen
}

// extreme goes over the entries [from, n) of a chunk, newest first, for one that
// beats best, which is newer.
func (s *slot) extreme(best pick, times, masks, values []uint64, from, n int) pick {
	for i := n - 1; i >= from; i-- {
		if s.in(masks[i]) && !(best.set && s.agg.beats(s.column, best.value, values[i])) {
			best = pick{risk.Time(times[i]), values[i], true}
			if s.agg.wins == nil {
				break
			}
		}
	}
	return best
}

func (s *slot) total(a *tally) float64 {
	if a.n == 0 {
		return s.agg.empty
	}
	return s.agg.total(a, s.column)
}

func (s *slot) pick(p pick, now risk.Time) float64 {
	if !p.set {
		return s.agg.empty
	}
	return s.agg.pick(s.column, p.value, p.at, now)
}

// one adds one value to a tally, or takes it away.
func (s *slot) one(a *tally, v uint64, sign int64) {
	mask, value := [1]uint64{1 << (uint(s.bit) & 63)}, [1]uint64{v}
	s.agg.tally(a, s.column, uint(s.bit), mask[:], value[:], sign)
}

// start makes a hold what was folded away, and nothing else.
func (a *tally) start(f *fold, keys bool) {
	if keys {
		a.keys.reset()
	}
	a.n, a.sum, a.distinct, a.folded = 0, int128{}, 0, nil
	if f != nil {
		a.n, a.sum, a.folded = f.n, f.sum, f.keys
		if f.keys != nil {
			a.distinct = int64(len(f.keys.list))
		}
	}
}

// take folds entry i of c into f.
func (f *fold) take(s *slot, at risk.Time, v uint64) {
	switch {
	case s.agg.tally == nil:
		if p := (pick{at, v, true}); !f.best.set || s.agg.beats(s.column, v, f.best.value) {
			f.best = p
		}
	case s.agg.keeps:
		if f.keys == nil {
			f.keys = &keySet{}
		}
		f.n++
		f.keys.add(v)
	default:
		s.one(&f.tally, v, 1)
	}
}

// expire drops the chunks that no window can reach any more.
func (st *State) expire(e *entity) {
	bound := st.floor - e.layout.reach
	if e.oldest > bound || len(e.chunks) == 0 {
		return
	}
	k, last := 0, risk.Time(0)
	for ; k < len(e.chunks) && e.chunks[k].last() <= bound; k++ {
		c := &e.chunks[k]
		last = c.last()
		st.fold(e, c, c.n)
		st.forget(e, c)
	}
	if k > 0 {
		e.chunks = slices.Delete(e.chunks, 0, k)
		e.dropped(last, st)
	}
	if e.oldest = 0; len(e.chunks) > 0 {
		e.oldest = e.chunks[0].last()
	}
}

// makeRoom grows the last chunk, or frees entries at the front when it is also
// the first and half of it has expired.
func (st *State) makeRoom(e *entity, i int) {
	c, stride := &e.chunks[i], e.layout.stride()
	if i == 0 {
		if k := c.after(st.floor - e.layout.reach); 2*k >= c.n {
			last := risk.Time(c.data[k-1])
			st.fold(e, c, k)
			c.cut(stride, k)
			e.dropped(last, st)
			return
		}
	}
	c.resize(stride, min(2*c.n, maxEntries(stride)), 0, c.n)
}

// fold takes the first n entries of c into the features without a window.
func (st *State) fold(e *entity, c *chunk, n int) {
	def := e.layout.def
	for life, bit := range def.life {
		s := &def.slots[bit]
		masks, values := s.parts(c, e.layout)
		for i := range n {
			if !s.in(masks[i]) {
				continue
			}
			if e.folds == nil {
				e.folds = make([]*fold, len(def.life))
			}
			if e.folds[life] == nil {
				e.folds[life] = &fold{slot: e.layout.slots[bit]}
			}
			e.folds[life].take(s, risk.Time(c.data[i]), values[i])
			st.touchHead(e)
		}
	}
}
