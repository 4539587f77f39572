package features

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// history is a sketch of the events up to an instant that can be taken back to an
// earlier one, not too long ago: for an event that is a little late. Few events
// raise a register of a sketch that has seen many, so little is to be remembered.
type history struct {
	sketch
	steps []step    // by rising time
	since risk.Time // of the newest step that was forgotten
}

// step is how an event raised a register.
type step struct {
	at       risk.Time
	register int
	was, is  uint8
}

// mostSteps bounds the steps that are remembered. Tests make it smaller.
var mostSteps = 512

func (k *history) reset() {
	k.sketch.reset()
	k.steps, k.since = k.steps[:0], beforeAll
}

// learn adds an event. One that is not the newest may raise a register before a
// newer one did.
func (k *history) learn(at risk.Time, v uint64) {
	i := k.rewind(at)
	if register, rank := registerOf(v); rank > k.ranks[register] {
		k.steps = slices.Insert(k.steps, i, step{at, register, k.ranks[register], rank})
		k.set(register, rank)
		i++
	}
	k.replay(i)
	if n := len(k.steps) / 2; n >= mostSteps {
		k.since = max(k.since, k.steps[n-1].at)
		k.steps = slices.Delete(k.steps, 0, n)
	}
}

// settle makes all that was learned up to an instant final.
func (k *history) settle(at risk.Time) { k.steps, k.since = k.steps[:0], max(k.since, at) }

// countAt estimates the number of different values up to an instant, which is not
// before since.
func (k *history) countAt(at risk.Time) float64 {
	now := k.count()
	if i := k.rewind(at); i < len(k.steps) {
		then := k.count()
		k.replay(i)
		k.estimate, k.stale = now, false
		return then
	}
	return now
}

// rewind takes back the steps that are newer than an instant, and gives the first.
func (k *history) rewind(at risk.Time) int {
	i := len(k.steps)
	for ; i > 0 && k.steps[i-1].at > at; i-- {
		k.set(k.steps[i-1].register, k.steps[i-1].was)
	}
	return i
}

// replay takes the steps from i on again, but for those that raise nothing now.
func (k *history) replay(i int) {
	kept := k.steps[:i]
	for _, x := range k.steps[i:] {
		if x.was = k.ranks[x.register]; x.is > x.was {
			k.set(x.register, x.is)
			kept = append(kept, x)
		}
	}
	k.steps = kept
}

// slideSketch gives r the whole blocks `to` for those it has. It joins those that
// come into the window; when one leaves, it starts again from what is left.
func (r *running) slideSketch(ts *tiles, was, to stretch) {
	if was == to {
		return
	}
	if was == noTiles || to.from != was.from || to.to < was.to {
		r.sketch.reset()
		r.tally.n = 0
		r.hi, r.tail = beforeAll, cursor{}
	} else {
		r.sketch.settle(r.hi)
		to.from = was.to + 1
	}
	for _, b := range ts.within(to.tiles()) {
		r.tally.n += b.join(&r.sketch.sketch)
	}
}

// readSketch estimates the number of different values in (lo, hi], and gives the
// number of events, or false when that lies too far back. The tiles of the window
// are joined; of the log, all of which is newer than lo, the sketch has what is not
// newer than r.hi.
func (r *running) readSketch(e *entity, s *slot, lo, hi risk.Time) (v float64, n int64, ok bool) {
	if hi < e.past.until { // the log is behind the window
		r.lo, r.hi, r.tail = lo, hi, cursor{}
		return r.sketch.count(), r.tally.n, true
	}
	r.lo = lo
	for c := e.at(&r.tail); c != nil && c.time(int(r.tail.entry)) <= hi; c = e.at(&r.tail) {
		if entry := c.entry(int(r.tail.entry)); s.in(entry[s.maskAt]) {
			r.learn(risk.Time(entry[0]), entry[s.valueAt])
		}
		r.tail.entry++
	}
	if hi >= r.hi {
		r.hi = hi
		return r.sketch.count(), r.tally.n, true
	}
	if hi < r.sketch.since {
		return 0, 0, false
	}
	n = r.tally.n
	p := e.after(hi)
	for c := e.at(&p); c != nil && c.time(int(p.entry)) <= r.hi; c = e.at(&p) {
		if s.in(c.entry(int(p.entry))[s.maskAt]) {
			n--
		}
		p.entry++
	}
	return r.sketch.countAt(hi), n, true
}

// learn adds an event to the sketch.
func (r *running) learn(at risk.Time, v uint64) {
	r.sketch.learn(at, v)
	r.tally.n++
}
