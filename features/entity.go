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
	folds  []*fold   // by entityDef.life, nil until something was folded
	run    []running // by slot, nil while all its windows are small
	past   *past     // what the log has given up; nil while it holds everything

	oldest  risk.Time // not later than the end of the first chunk; 0: not known
	headSum uint64    // what the store gave for the head; 0: not stored
	saved   uint64    // checkpoint that holds all of it
	words   int       // of the chunks' data
	entries int       // in the log
	size    int       // bytes it was last counted with
	turn    uint32    // of the batch that touched it last
	used    bool      // since the clock's hand came by
	listed  bool      // in State.dirty
	kept    bool      // the store may hold rows of it
	leaving bool      // in State.leaving
	removed bool      // from State.table
}

type entityID [16]byte

// beforeAll is earlier than any event: the start of a window without end.
const beforeAll = risk.Time(math.MinInt64)

// bounds gives (lo, hi], what slot s counts at t.
func (s *slot) bounds(t risk.Time) (lo, hi risk.Time) {
	hi = t - s.delay
	if s.window == 0 {
		return beforeAll, hi
	}
	return hi - s.window, hi
}

// textual tells whether its values are texts, which lie in several columns.
func (s *slot) textual() bool { return s.column != nil && s.column.kind == textColumn }

func (s *slot) in(mask uint64) bool { return mask>>(uint(s.bit)&63)&1 != 0 }

// busyWindow is the number of entries in a window above which its aggregate is
// kept up to date instead of being computed when it is read.
const busyWindow = 24

// read gives the value of slot s for the entity in st.sight as of r.now, and of a
// tally the number of events in its window, and sets st.rough when tiles have made
// them approximate. It is the same whether it is computed from the log or kept up to
// date.
func (st *State) read(s *slot, r *reading) (v float64, n int64) {
	st.rough = false
	w := &st.sight
	e := w.entity
	if e == nil {
		return s.agg.empty, 0
	}
	lo, hi := s.bounds(r.now)
	if s.last > 0 {
		return st.readLast(e, s, hi, r)
	}
	own := e.running(s)
	if own == nil && e.past == nil && s.life < 0 && !s.textual() {
		if from := w.newestIn(s, lo, hi); from >= 0 && w.chunk.n-from <= st.busy {
			return st.few(s, w.chunk.between(s, from, w.chunk.n), r)
		}
	}
	if own != nil {
		if own.unmoved(s, lo, hi) {
			return s.total(&own.tally, r), own.tally.n
		}
		if v, n, ok := own.read(st, e, s, lo, hi, r); ok {
			return v, n
		}
		st.rough = false
		if own.on {
			v, n, _ = st.scan(e, s, lo, hi, r)
			return v, n
		}
	}
	v, n, seen := st.scan(e, s, lo, hi, r)
	if seen > st.busy && !(s.agg.streak && s.window == 0 && e.tilesOf(s) != nil) {
		e.keep(s, lo, hi)
	}
	return v, n
}

// scan computes the value of slot s over (lo, hi] from the log, and gives the
// number of events that it went over.
func (st *State) scan(e *entity, s *slot, lo, hi risk.Time, r *reading) (v float64, n int64, seen int) {
	f := e.foldOf(s)
	switch {
	case s.agg.tally != nil:
		return st.scanTally(e, s, f, lo, hi, r)
	case s.agg.streak:
		v, seen = st.scanStreak(e, s, f, lo, hi)
		return v, 0, seen
	case s.agg.oldest:
		var best pick
		best, seen = st.scanOldest(e, s, f, lo, hi)
		st.rough = best.outside(lo, hi)
		return s.pick(best, r), 0, seen
	}
	var best pick
	e.backwards(lo, hi, func(c *chunk, from, n int) bool {
		seen += n - from
		best = s.choose(best, c, from, n, &st.text)
		return !(best.set && s.agg.wins == nil)
	})
	old, tiles := s.tileChoice(e.tilesOf(s), e.past.stretch(s, lo, hi))
	best = s.best(best, old)
	if f != nil {
		best = s.best(best, f.best)
	}
	st.rough = best.outside(lo, hi)
	return s.pick(best, r), 0, seen + tiles
}

// backwards goes over the entries in (lo, hi], chunk by chunk, newest first, until
// visit gives false.
func (e *entity) backwards(lo, hi risk.Time, visit func(c *chunk, from, n int) bool) {
	if len(e.chunks) == 0 {
		return
	}
	p := e.after(hi)
	for k := min(int(p.chunk), len(e.chunks)-1); k >= 0; k-- {
		c, n := &e.chunks[k], int(p.entry)
		if k < int(p.chunk) {
			n = c.n
		}
		from := 0
		if c.first() <= lo {
			if from = c.after(lo); from >= n {
				return
			}
		}
		if !visit(c, from, n) || from > 0 {
			return
		}
	}
}

func (st *State) scanTally(e *entity, s *slot, f *fold, lo, hi risk.Time, r *reading) (v float64, n int64, seen int) {
	a, ts, over := &st.scratch, e.tilesOf(s), e.past.stretch(s, lo, hi)
	coarse := s.asCoarse(ts, over)
	if coarse && s.sketches() {
		st.rough = true
		return st.estimate(e, s, over, lo, hi)
	}
	a.start(s, f, ts != nil)
	if s.agg.own {
		a.compare(s, r)
	}
	for again := false; ; again = true {
		seen = f.size()
		if coarse {
			a.coarse = true
		}
		e.backwards(lo, hi, func(c *chunk, from, n int) bool {
			seen += n - from
			s.agg.tally(a, s, c.between(s, from, n), 1)
			return true
		})
		if ts != nil {
			seen += a.addTiles(s, ts, over, 1)
			st.rough = coarse || e.past.edges(ts, over, lo, hi)
		}
		if again || !a.tooMany(s) {
			return s.total(a, r), a.n, seen
		}
		a.start(s, f, true)
		a.coarsen(s)
	}
}

// tooMany tells whether a must be coarse and is not.
func (a *tally) tooMany(s *slot) bool {
	return a.n > exactValues && s.life >= 0 && s.agg.coarse != nil && !a.coarse
}

// scanOldest goes forward from the start of the window to the first event that
// counts.
func (st *State) scanOldest(e *entity, s *slot, f *fold, lo, hi risk.Time) (best pick, seen int) {
	if f != nil && f.best.set {
		return f.best, 0
	}
	if best, seen = s.tileChoice(e.tilesOf(s), e.past.stretch(s, lo, hi)); best.set {
		return best, seen
	}
	p := e.after(lo)
	for c := e.at(&p); c != nil; c = e.at(&p) {
		entry := c.entry(int(p.entry))
		at := risk.Time(entry[0])
		if at > hi {
			break
		}
		if s.in(entry[s.maskAt]) {
			return pick{at: at, value: entry[s.valueAt], set: true}, seen
		}
		seen++
		p.entry++
	}
	return pick{}, seen
}

// scanStreak counts the newest events in a row whose condition holds.
func (st *State) scanStreak(e *entity, s *slot, f *fold, lo, hi risk.Time) (v float64, seen int) {
	var k streak
	e.backwards(lo, hi, func(c *chunk, from, n int) bool {
		seen += n - from
		k.extend(s, c.between(s, from, n))
		return !k.broken
	})
	if !k.broken {
		tiles := 0
		tiles, st.rough = e.past.tileStreak(&k, e.tilesOf(s), e.past.stretch(s, lo, hi), lo, hi)
		seen += tiles
	}
	if !k.broken && f != nil {
		k.n += f.n
	}
	return float64(k.n), seen
}

// streak is a number of events in a row, counted from the newest back.
type streak struct {
	n      int64
	broken bool // by an event whose condition does not hold
}

// extend goes on with some entries, newest first.
func (k *streak) extend(s *slot, in entries) {
	for at := len(in.data) - in.stride; at >= 0; at -= in.stride {
		if s.in(in.data[at+in.mask]) {
			if in.data[at+in.value] == 0 {
				k.broken = true
				return
			}
			k.n++
		}
	}
}

// choose goes over the entries [from, n) of a chunk, newest first, for one that
// beats best, which is newer. The text of the event that it chooses, if texts are
// kept, goes where into says.
func (s *slot) choose(best pick, c *chunk, from, n int, into *text) pick {
	in := c.between(s, from, n)
	best, at := s.extreme(best, in)
	if at >= 0 && s.textual() {
		copy(into[:], in.data[at+in.value:])
		best.text = into
	}
	return best
}

// extreme is choose without texts; it gives where in the entries the chosen one
// begins, -1 for none.
func (s *slot) extreme(best pick, in entries) (pick, int) {
	chosen := -1
	for at := len(in.data) - in.stride; at >= 0; at -= in.stride {
		if v := in.data[at+in.value]; s.in(in.data[at+in.mask]) && !(best.set && s.agg.beats(s.column, best.value, v)) {
			best, chosen = pick{at: risk.Time(in.data[at]), value: v, set: true}, at
			if s.agg.wins == nil && !s.agg.oldest {
				break
			}
		}
	}
	return best, chosen
}

func (s *slot) total(a *tally, r *reading) float64 {
	if a.n == 0 {
		return s.agg.empty
	}
	return s.agg.total(a, s, r)
}

func (s *slot) pick(p pick, r *reading) float64 {
	if !p.set {
		return s.agg.empty
	}
	return s.agg.pick(s, p, r)
}

// one adds one value to a tally, or takes it away.
func (s *slot) one(a *tally, v uint64, sign int64) {
	if !s.adds {
		a.entry = [2]uint64{1 << (uint(s.bit) & 63), v}
		s.agg.tally(a, s, entries{a.entry[:], 2, 0, 1}, sign)
		return
	}
	if a.n += sign; s.agg.sums == sumValues {
		units := s.column.units(v)
		if sign < 0 {
			units = units.neg()
		}
		a.sum = a.sum.add(units)
	}
}

// running gives nil for a slot whose aggregate is not kept up to date.
func (e *entity) running(s *slot) *running {
	if e.run == nil || !e.run[s.bit].on {
		return nil
	}
	return &e.run[s.bit]
}

func (e *entity) foldOf(s *slot) *fold {
	if s.life < 0 || e.folds == nil {
		return nil
	}
	return e.folds[s.life]
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
		e.words -= len(c.data)
		e.entries -= c.n
	}
	if k > 0 {
		e.chunks = slices.Delete(e.chunks, 0, k)
		e.dropped(last, st)
		st.list(e)
	}
	if e.oldest = 0; len(e.chunks) > 0 {
		e.oldest = e.chunks[0].last()
	}
}

// makeRoom grows the last chunk, or frees entries at the front when it is also
// the first and half of it has expired.
func (st *State) makeRoom(e *entity, i int) {
	c := &e.chunks[i]
	if i == 0 {
		if k := c.after(st.floor - e.layout.reach); 2*k >= c.n {
			last := c.time(k - 1)
			st.fold(e, c, k)
			c.cut(k)
			e.entries -= k
			st.touch(e, i, 0)
			e.dropped(last, st)
			return
		}
	}
	e.resize(c, roomFor(c.n, int(c.stride)))
}

func (e *entity) resize(c *chunk, room int) {
	e.words -= len(c.data)
	c.resize(e.layout.stride(), room, 0, c.n)
	e.words += len(c.data)
}

// fold takes the first n entries of c into the features without a window.
func (st *State) fold(e *entity, c *chunk, n int) {
	def := e.layout.def
	st.expireTiles(e) // what they hold is older
	for _, bit := range def.life {
		s := &def.slots[bit]
		st.picks(s, c, n, func(p pick) { st.foldInto(e, s).take(s, p) })
	}
}

// picks visits those of the first n entries of c that slot s counts. A pick's text
// is good until the next one.
func (st *State) picks(s *slot, c *chunk, n int, visit func(pick)) {
	for i := range n {
		entry := c.entry(i)
		if !s.in(entry[s.maskAt]) {
			continue
		}
		p := pick{at: risk.Time(entry[0]), value: entry[s.valueAt], set: true}
		if s.textual() {
			copy(st.text[:], entry[s.valueAt:])
			p.text = &st.text
		}
		visit(p)
	}
}
