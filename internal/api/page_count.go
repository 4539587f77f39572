package api

import (
	"math/bits"
	"time"
)

const seconds = 64 // kept by counters; more than the minute that is shown

// perSecond counts by the second of the clock, for the last minute. Seconds are
// those since 1970.
type perSecond struct {
	last  int64
	slots [seconds]uint32
}

func (p *perSecond) roll(now int64) {
	if now <= p.last {
		return // a clock that was set back counts on in its newest second
	}
	if now-p.last >= seconds {
		p.slots = [seconds]uint32{}
	} else {
		for s := p.last + 1; s <= now; s++ {
			p.slots[s%seconds] = 0
		}
	}
	p.last = now
}

func (p *perSecond) add(now int64) {
	p.roll(now)
	p.slots[p.last%seconds]++
}

// sum counts the seconds from n before now on, and now's so far.
func (p *perSecond) sum(now int64, n int64) (total uint64) {
	p.roll(now)
	for s := now - n; s <= now; s++ {
		total += uint64(p.slots[s%seconds])
	}
	return total
}

// past gives the last n whole seconds, oldest first.
func (p *perSecond) past(now, n int64) []float64 {
	p.roll(now)
	out := make([]float64, 0, n)
	for s := now - n; s < now; s++ {
		out = append(out, float64(p.slots[s%seconds]))
	}
	return out
}

// latencies are durations of the last minute in buckets of an eighth of an
// octave, so a quantile is known to about 6 percent.
type latencies struct {
	last  int64
	slots [seconds][buckets]uint32
}

const buckets = 8 * 24 // to 2^26 µs, a minute

func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < 8 {
		return int(us)
	}
	octave := bits.Len64(us) - 4
	return min(8*octave+int(us>>octave), buckets-1)
}

// middle is the duration that stands for a bucket.
func middle(b int) time.Duration {
	if b < 16 {
		return time.Duration(b)*time.Microsecond + 500*time.Nanosecond
	}
	octave := b/8 - 1
	low := uint64(b-8*octave) << octave
	return time.Duration(low+1<<octave/2) * time.Microsecond
}

func (l *latencies) roll(now int64) {
	if now <= l.last {
		return
	}
	for s := max(l.last+1, now-seconds+1); s <= now; s++ {
		l.slots[s%seconds] = [buckets]uint32{}
	}
	l.last = now
}

func (l *latencies) add(now int64, d time.Duration) {
	l.roll(now)
	l.slots[l.last%seconds][bucket(d)]++
}

// quantiles gives p50 and p99 of the last minute, 0 when there was nothing.
func (l *latencies) quantiles(now int64) (p50, p99 time.Duration) {
	l.roll(now)
	var sums [buckets]uint64
	var n uint64
	for s := now - 59; s <= now; s++ {
		for b, k := range l.slots[s%seconds] {
			sums[b] += uint64(k)
			n += uint64(k)
		}
	}
	if n == 0 {
		return 0, 0
	}
	var below uint64
	for b, k := range sums {
		below += k
		if p50 == 0 && 2*below >= n {
			p50 = middle(b)
		}
		if 100*below >= 99*n {
			return p50, middle(b)
		}
	}
	return p50, p99
}

// ring keeps the newest of what it is given.
type ring[T any] struct {
	items []T
	n     int // of all that were ever put
	size  int
}

func (r *ring[T]) put(v T) {
	if len(r.items) < r.size {
		r.items = append(r.items, v)
	} else {
		r.items[r.n%r.size] = v
	}
	r.n++
}

// newest yields from the newest on.
func (r *ring[T]) newest(yield func(*T) bool) {
	for i := 1; i <= len(r.items); i++ {
		if !yield(&r.items[(r.n-i)%r.size]) {
			return
		}
	}
}
