package features

import (
	"math"
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// Windows of the last N events.
//
// A slot's log holds the events that a reading may still find itself in the midst
// of, its fold the newest N of those before. What a reading needs is gathered from
// both, newest first; of a slot with few of the entity's events that goes over
// many others, so then the slot gets a list of its own.

// maxLast bounds N.
const maxLast = 256

// readLast gives the value of slot s over its last N events up to hi.
func (st *State) readLast(e *entity, s *slot, hi risk.Time, r *reading) (v float64, n int64) {
	own := e.running(s)
	if own != nil {
		end := len(own.recent.times)
		for end > 0 && risk.Time(own.recent.times[end-1]) > hi {
			end--
		}
		if end >= s.last || own.whole {
			from := max(0, end-s.last)
			return st.overLast(s, own.recent.times[from:end], own.recent.values[from:end], r)
		}
	}
	q := &st.last
	seen, _ := st.gather(e, s, hi, s.last, q)
	v, n = st.overLast(s, q.times, q.values, r)
	if seen > st.busy && own == nil {
		own = e.start(s)
		_, own.whole = st.gather(e, s, risk.Time(1<<62), s.last+lastSpare, &own.recent)
	}
	return v, n
}

// lastSpare is how many events a list of its own holds beside the N, for readings
// that lie back in time. Tests make it smaller.
var lastSpare = 32

// gather fills q with the newest n events of slot s up to hi. It gives the number
// of entries that it went over, and whether there are no more events than those.
func (st *State) gather(e *entity, s *slot, hi risk.Time, n int, q *recent) (seen int, whole bool) {
	q.times, q.values = q.times[:0], q.values[:0]
	e.backwards(beforeAll, hi, func(c *chunk, from, to int) bool {
		for i := to - 1; i >= from; i-- {
			seen++
			if entry := c.entry(i); s.in(entry[s.maskAt]) {
				if len(q.times) == n {
					return false
				}
				q.times, q.values = append(q.times, entry[0]), append(q.values, entry[s.valueAt])
			}
		}
		return true
	})
	if ts := e.tilesOf(s); ts != nil {
		for k := len(ts.blocks) - 1; k >= 0 && len(q.times) < n; k-- {
			q.older(&ts.blocks[k].events, hi, n)
		}
	}
	whole = len(q.times) < n
	if f := e.foldOf(s); whole && f != nil && f.recent != nil {
		q.older(f.recent, hi, n)
		// A fold of N events has forgotten those before.
		whole = len(q.times) < n && len(f.recent.times) < s.last
	}
	slices.Reverse(q.times)
	slices.Reverse(q.values)
	return seen, whole
}

// older appends to q, which is newest first, the events of p up to hi, until there
// are n.
func (q *recent) older(p *recent, hi risk.Time, n int) {
	for i := len(p.times) - 1; i >= 0 && len(q.times) < n; i-- {
		if risk.Time(p.times[i]) <= hi {
			q.times, q.values = append(q.times, p.times[i]), append(q.values, p.values[i])
		}
	}
}

// overLast computes the aggregate of a few events, oldest first.
func (st *State) overLast(s *slot, times, values []uint64, r *reading) (v float64, n int64) {
	st.line = st.line[:0]
	for i, v := range values {
		st.line = append(st.line, times[i], math.MaxUint64, v)
	}
	v, n = st.few(s, entries{st.line, 3, 1, 2}, r)
	if s.agg.tally == nil {
		n = int64(len(times))
	}
	return v, n
}

// insertLast brings a slot's own list up to date with an event.
func (r *running) insertLast(s *slot, at risk.Time, v uint64) {
	q := &r.recent
	i := len(q.times)
	for i > 0 && risk.Time(q.times[i-1]) > at {
		i--
	}
	if i == 0 && !r.whole {
		return // older than all in it: what lies between is not known
	}
	q.times, q.values = slices.Insert(q.times, i, uint64(at)), slices.Insert(q.values, i, v)
	if len(q.times) > 2*(s.last+lastSpare) {
		q.trim(s.last + lastSpare)
		r.whole = false
	}
}
