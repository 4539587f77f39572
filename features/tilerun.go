package features

import "github.com/sluice-risk/sluice/risk"

// tiled is what the running aggregate of a slot holds of tiles: those of `over` are
// in its tally or its sketch, or its choice among them is in best. As the window
// moves, tiles come in and go out (slideTiles, slideChoice); an event that goes to
// a tile of `over` is counted at once (took).
type tiled struct {
	over   stretch
	from   risk.Time // a window that begins in [from, end), and ends behind the tiles,
	end    risk.Time // has the same `over`
	edge   bool      // the first tile of `over` has events
	best   pick      // of a choice
	sketch *history  // of a tally, where a sketch is all that is known of some tiles
	broken bool      // of a streak: the log that was queued has ended it
}

// still tells whether (lo, hi] has the tiles of `over`, without the division that
// finds them.
func (r *tiled) still(p *past, lo, hi risk.Time) bool {
	return lo >= r.from && lo < r.end && p != nil && hi >= p.until
}

// move makes `over` the tiles of (lo, hi].
func (r *tiled) move(e *entity, s *slot, lo, hi risk.Time) {
	p, ts := e.past, e.tilesOf(s)
	r.over = p.stretch(s, lo, hi)
	r.edge = r.over != noTiles && lo != beforeAll && ts != nil && ts.holds(r.over.from)
	r.from = lo
	switch {
	case p == nil || hi < p.until:
		r.end = lo // look again
	case r.over == noTiles:
		r.end = never
	case lo == beforeAll:
		r.end = lo + 1
	default:
		r.from = risk.Time(r.over.from) * s.tile()
		r.end = min(r.from+s.tile(), p.until)
	}
}

// isCoarse tells whether tiles have made r coarse.
func (r *running) isCoarse(s *slot) bool {
	return s.window != 0 && (r.tally.held != nil && r.tally.coarse || r.sketches())
}

func (r *running) sketches() bool { return r.beside != nil && r.sketch != nil }

// slideTiles brings what a tally holds of tiles up to the window (lo, hi], and
// tells whether the value is approximate. It is not ok, and r is as it was, when
// the tally has to start again because values become coarse or exact.
func (r *running) slideTiles(e *entity, s *slot, lo, hi risk.Time) (rough, ok bool) {
	if !r.still(e.past, lo, hi) {
		ts, was, to := e.tilesOf(s), r.over, e.past.stretch(s, lo, hi)
		coarse := r.isCoarse(s)
		if s.asCoarse(ts, to) != coarse || r.sketch != nil && hi < r.hi && to.blocks() != was.blocks() {
			return false, false
		}
		r.move(e, s, lo, hi)
		switch {
		case r.sketch != nil:
			r.slideSketch(ts, was.blocks(), to.blocks())
		case ts == nil:
		case coarse:
			r.tally.exchange(s, ts, was.blocks().tiles(), to.blocks().tiles())
		default:
			r.tally.exchange(s, ts, was, to)
		}
	}
	switch {
	case r.isCoarse(s):
		return true, true
	case e.past == nil || hi >= e.past.until:
		return r.edge && lo > r.from, true
	}
	return e.past.edges(e.tilesOf(s), r.over, lo, hi), true
}

// exchange gives a the tiles of one stretch for those of another.
func (a *tally) exchange(s *slot, ts *tiles, was, to stretch) {
	if was == to {
		return
	}
	if was == noTiles { // an empty range at the other's end, so that all of that is new
		was = stretch{to.to + 1, to.to}
	}
	if to == noTiles {
		to = stretch{was.to + 1, was.to}
	}
	a.addTiles(s, ts, stretch{to.from, min(was.from-1, to.to)}, 1)
	a.addTiles(s, ts, stretch{max(was.to+1, to.from), to.to}, 1)
	a.addTiles(s, ts, stretch{was.from, min(to.from-1, was.to)}, -1)
	a.addTiles(s, ts, stretch{max(to.to+1, was.from), was.to}, -1)
}

// slideChoice brings the choice among the tiles up to the window (lo, hi].
func (r *running) slideChoice(e *entity, s *slot, lo, hi risk.Time) {
	if r.still(e.past, lo, hi) {
		return
	}
	ts, was := e.tilesOf(s), r.over
	r.move(e, s, lo, hi)
	switch to := r.over; {
	case to == was:
	case ts != nil && was != noTiles && to.from >= was.from && to.to >= was.to && (!r.best.set || tileOf(r.best.at, ts.width) >= to.from):
		more, _ := s.tileChoice(ts, stretch{max(was.to+1, to.from), to.to})
		r.best = s.best(more, r.best)
	default:
		r.best, _ = s.tileChoice(ts, to)
	}
}

// reachTiles readies r for the events that its log is about to give up: its window
// may begin or end among the tiles now. It reports false when r has to start again.
func (r *running) reachTiles(e *entity, s *slot) bool {
	if r.beside == nil {
		r.beside = newBeside()
	}
	r.end = beforeAll
	switch {
	case s.last > 0 || r.sketch != nil:
		return true
	case s.agg.tally != nil:
		_, ok := r.slideTiles(e, s, r.lo, r.hi)
		return ok
	}
	return !s.agg.streak
}

// took brings r up to date with an event that went to a tile, from the log or late.
// It reports false when r has to start again.
func (r *running) took(s *slot, to *tilePlace, p pick, logged, fresh bool) bool {
	had := logged && p.at > r.lo && p.at <= r.hi // as one of the log's
	r.edge = r.edge || to.tile == r.over.from
	switch {
	case s.last > 0 || s.agg.oldest:
		return true
	case s.agg.streak:
		return false
	case had && s.agg.tally != nil && s.agg.keeps == noValues:
		return true
	case !r.over.meets(to.block):
		return true
	case to.block.coarse() && !r.isCoarse(s):
		return false
	case !r.isCoarse(s) && !r.over.has(to.tile):
		return true
	case s.agg.choice:
		if s.best(p, r.best) == p {
			r.best = p.keep()
		}
		return true
	case r.sketch != nil:
		if !had {
			r.learn(p.at, p.value)
		}
		return true
	case s.agg.keeps == noValues:
		s.one(&r.tally, p.value, 1)
		return true
	}
	v := p.value
	if r.tally.coarse {
		v = s.coarse(v)
	}
	switch {
	case !had:
		if r.tally.n++; fresh {
			r.tally.hold(s, v, 1)
		}
	case !fresh:
		r.tally.hold(s, v, -1)
	}
	return true
}
