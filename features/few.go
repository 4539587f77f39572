package features

import "github.com/sluice-risk/sluice/risk"

// view is an entity as the readings for one event find it, while nothing is
// counted.
type view struct {
	*entity
	chunk  *chunk    // the newest, nil without any
	newest risk.Time // its last entry's, beforeAll without
	from   []int     // by slot.span, see newestIn
}

const (
	notSought = -1
	elsewhere = -2 // in other chunks, too
)

// look readies st.sight for readings of an entity.
func (st *State) look(e *entity, def *entityDef) {
	w := &st.sight
	w.entity, w.chunk, w.newest = e, nil, beforeAll
	w.from = append(w.from[:0], def.notSought...)
	if e != nil && len(e.chunks) > 0 {
		w.chunk = &e.chunks[len(e.chunks)-1]
		w.newest = w.chunk.last()
	}
}

// newestIn gives the first entry of the newest chunk in the window (lo, hi] of slot
// s, or elsewhere when not just the newest chunk has entries there.
func (w *view) newestIn(s *slot, lo, hi risk.Time) int {
	from := &w.from[s.span]
	if *from != notSought {
		return *from
	}
	*from = elsewhere
	if n := len(w.chunks); n > 0 && w.newest <= hi && (n == 1 || w.chunks[n-2].last() <= lo) {
		*from = w.chunk.after(lo)
	}
	return *from
}

// few computes the value of slot s from a few entries, which are all that there are,
// and of a tally the number of events.
func (st *State) few(s *slot, in entries, r *reading) (v float64, n int64) {
	switch {
	case s.agg.different():
		distinct, n := st.sieve.pass(in, uint(s.bit))
		return float64(distinct), n
	case s.adds:
		a := &st.scratch
		a.n, a.sum = 0, int128{}
		s.agg.tally(a, s, in, 1)
		return s.total(a, r), a.n
	case s.agg.tally != nil:
		a := &st.scratch
		a.start(s, nil, false)
		if s.agg.own {
			a.compare(s, r)
		}
		s.agg.tally(a, s, in, 1)
		return s.total(a, r), a.n
	case s.agg.streak:
		var k streak
		k.extend(s, in)
		return float64(k.n), 0
	case s.agg.oldest:
		for at := 0; at < len(in.data); at += in.stride {
			if s.in(in.data[at+in.mask]) {
				return s.pick(pick{at: risk.Time(in.data[at]), value: in.data[at+in.value], set: true}, r), 0
			}
		}
		return s.agg.empty, 0
	}
	best, _ := s.extreme(pick{}, in)
	return s.pick(best, r), 0
}

// sieve tells how many different values there are among a few. It need not be
// emptied between two readings.
type sieve struct {
	reading uint64
	seats   [2 * maxLast]struct{ value, reading uint64 }
}

func (f *sieve) pass(in entries, bit uint) (distinct int, n int64) {
	f.reading++
	for i := 0; i < len(in.data); i += in.stride {
		if in.data[i+in.mask]>>(bit&63)&1 == 0 {
			continue
		}
		n++
		v := in.data[i+in.value]
		at := v * 0x9e3779b97f4a7c15 >> 40
		seat := &f.seats[at%uint64(len(f.seats))]
		for seat.reading == f.reading && seat.value != v {
			at++
			seat = &f.seats[at%uint64(len(f.seats))]
		}
		if seat.reading != f.reading {
			seat.value, seat.reading = v, f.reading
			distinct++
		}
	}
	return distinct, n
}
