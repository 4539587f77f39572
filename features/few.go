package features

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// newestIn gives the newest chunk and its first entry in (lo, hi] when no other
// chunk has entries there.
func (e *entity) newestIn(lo, hi risk.Time) (c *chunk, from int) {
	k := len(e.chunks) - 1
	if k < 0 || e.chunks[k].last() > hi {
		return nil, 0
	}
	c = &e.chunks[k]
	if c.first() <= lo {
		return c, c.after(lo)
	}
	if k > 0 && e.chunks[k-1].last() > lo {
		return nil, 0
	}
	return c, 0
}

// few computes the value of slot s from a few events, oldest first, which are all
// that there are.
func (st *State) few(s *slot, times, masks, values []uint64, r *reading) (v float64, n int64) {
	switch {
	case s.agg.different():
		distinct, n := st.sieve.pass(masks, values, uint(s.bit))
		return float64(distinct), n
	case s.agg.tally != nil:
		a := &st.scratch
		a.start(s, nil, false)
		if s.agg.own {
			a.compare(s, r)
		}
		s.agg.tally(a, s, masks, values, 1)
		return s.total(a, r), a.n
	case s.agg.streak:
		var k streak
		k.extend(s, masks, values, 0, len(times))
		return float64(k.n), int64(len(times))
	}
	best := pick{}
	if s.agg.oldest {
		if i := slices.IndexFunc(masks, s.in); i >= 0 {
			best = pick{at: risk.Time(times[i]), value: values[i], set: true}
		}
	} else {
		best, _ = s.extreme(best, times, masks, values, 0, len(times))
	}
	return s.pick(best, r), int64(len(times))
}

// sieve tells how many different values there are among a few. It need not be
// emptied between two readings.
type sieve struct {
	reading uint64
	seats   [2 * maxLast]struct{ value, reading uint64 }
}

func (f *sieve) pass(masks, values []uint64, bit uint) (distinct int, n int64) {
	f.reading++
	values = values[:len(masks)]
	for i, m := range masks {
		if m>>(bit&63)&1 == 0 {
			continue
		}
		n++
		v := values[i]
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
