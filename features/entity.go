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
	past   *past      // what the log has given up; nil while it holds everything

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

// span gives the bounds (lo, hi] of what slot s counts at t.
func (s *slot) span(t risk.Time) (lo, hi risk.Time) {
	hi = t - s.delay
	if s.window == 0 {
		return beforeAll, hi
	}
	return hi - s.window, hi
}

// textual tells whether its values are texts, which lie in several columns.
func (s *slot) textual() bool { return s.column != nil && s.column.kind == textColumn }

func (s *slot) in(mask uint64) bool { return mask>>(uint(s.bit)&63)&1 != 0 }

// parts gives the mask words and values of a chunk that slot s looks at.
func (s *slot) parts(c *chunk, l *layout) (masks, values []uint64) {
	masks = c.part(1 + s.bit>>6)
	if s.col < 0 {
		return masks, masks
	}
	return masks, c.part(1 + l.words() + s.col)
}

// busyWindow is the number of entries in a window above which its aggregate is
// kept up to date instead of being computed when it is read.
const busyWindow = 64

// read gives the value of slot s as of r.now, and of a tally the number of events
// in its window, and sets st.rough when tiles have made them approximate. It is the
// same whether it is computed from the log or kept up to date.
func (st *State) read(e *entity, s *slot, r *reading) (v float64, n int64) {
	st.rough = false
	if e == nil {
		return s.agg.empty, 0
	}
	lo, hi := s.span(r.now)
	if s.last > 0 {
		return st.readLast(e, s, hi, r)
	}
	own := e.running(s)
	if own == nil && e.past == nil && s.life < 0 && !s.textual() {
		if c, from := e.newestIn(lo, hi); c != nil && c.n-from <= st.busy {
			masks, values := s.parts(c, e.layout)
			return st.few(s, c.data[from:c.n], masks[from:], values[from:], r)
		}
	}
	if own != nil {
		if v, n, ok := own.read(st, e, s, lo, hi, r); ok {
			st.rough = own.rough
			return v, n
		}
		if e.run[s.bit] != nil {
			v, n, _ = st.scan(e, s, lo, hi, r)
			return v, n
		}
	}
	v, n, seen := st.scan(e, s, lo, hi, r)
	if seen > st.busy && !(s.agg.streak && s.window == 0 && e.tilesOf(s) != nil) {
		if e.run == nil {
			e.run = make([]*running, len(e.layout.slots))
		}
		e.run[s.bit] = newRunning(st, e, s, lo, hi)
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
		best = s.choose(best, c, e.layout, from, n, &st.text)
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
	for k := min(p.chunk, len(e.chunks)-1); k >= 0; k-- {
		c, n := &e.chunks[k], p.entry
		if k < p.chunk {
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
		a.coarse = a.coarse || coarse
		e.backwards(lo, hi, func(c *chunk, from, n int) bool {
			seen += n - from
			masks, values := s.parts(c, e.layout)
			s.agg.tally(a, s, masks[from:n], values[from:n], 1)
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
		at := risk.Time(c.data[p.entry])
		if at > hi {
			break
		}
		if masks, values := s.parts(c, e.layout); s.in(masks[p.entry]) {
			return pick{at: at, value: values[p.entry], set: true}, seen
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
		masks, values := s.parts(c, e.layout)
		k.extend(s, masks, values, from, n)
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

// extend goes on with the entries [from, n), newest first.
func (k *streak) extend(s *slot, masks, values []uint64, from, n int) {
	for i := n - 1; i >= from; i-- {
		if s.in(masks[i]) {
			if values[i] == 0 {
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
func (s *slot) choose(best pick, c *chunk, l *layout, from, n int, into *text) pick {
	masks, values := s.parts(c, l)
	best, i := s.extreme(best, c.times(), masks, values, from, n)
	if i >= 0 && s.textual() {
		s.text(c, l, i, into)
		best.text = into
	}
	return best
}

// extreme is choose without texts; it gives the place of the event it chose, -1
// for none.
func (s *slot) extreme(best pick, times, masks, values []uint64, from, n int) (pick, int) {
	chosen := -1
	for i := n - 1; i >= from; i-- {
		if s.in(masks[i]) && !(best.set && s.agg.beats(s.column, best.value, values[i])) {
			best, chosen = pick{at: risk.Time(times[i]), value: values[i], set: true}, i
			if s.agg.wins == nil && !s.agg.oldest {
				break
			}
		}
	}
	return best, chosen
}

// text reads the text of entry i.
func (s *slot) text(c *chunk, l *layout, i int, into *text) {
	for w := range into {
		into[w] = c.part(1 + l.words() + s.col + w)[i]
	}
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
	a.mask[0], a.value[0] = 1<<(uint(s.bit)&63), v
	s.agg.tally(a, s, a.mask[:], a.value[:], sign)
}

func (e *entity) running(s *slot) *running {
	if e.run == nil {
		return nil
	}
	return e.run[s.bit]
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
	c, stride := &e.chunks[i], e.layout.stride()
	if i == 0 {
		if k := c.after(st.floor - e.layout.reach); 2*k >= c.n {
			last := risk.Time(c.data[k-1])
			st.fold(e, c, k)
			c.cut(stride, k)
			e.entries -= k
			st.touch(e, i, 0)
			e.dropped(last, st)
			return
		}
	}
	e.resize(c, roomFor(c.n, stride))
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
		st.picks(e, s, c, n, func(p pick) { st.foldInto(e, s).take(s, p) })
	}
}

// picks visits those of the first n entries of c that slot s counts. A pick's text
// is good until the next one.
func (st *State) picks(e *entity, s *slot, c *chunk, n int, visit func(pick)) {
	masks, values := s.parts(c, e.layout)
	for i := range n {
		if !s.in(masks[i]) {
			continue
		}
		p := pick{at: risk.Time(c.data[i]), value: values[i], set: true}
		if s.textual() {
			s.text(c, e.layout, i, &st.text)
			p.text = &st.text
		}
		visit(p)
	}
}
