package stream

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// An empty partition of which nothing more is known to come stops counting
	// after this. It is also how long a record may wait for one, at most.
	idleAfter = time.Second
	// A partition that holds records and gives none is waited for so long: its
	// leader may be moving. Order among partitions is worth a wait, not a standstill.
	stalledAfter = 30 * time.Second

	mostBuffered  = 1 << 16 // records fetched ahead, of all partitions
	mostOfLane    = 1 << 13
	leastOfLane   = 1 << 9
	forever       = int64(1<<63 - 1)
	fetchPatience = 100 * time.Millisecond // a resumed partition waits no longer to be in a fetch
)

// merge puts the records of all partitions into the order of their timestamps, as
// far as a log of many partitions has one. Each partition keeps its own order. The
// oldest head goes first, once no other partition can hold an older one: one with
// records shows its head, one that is behind its end is waited for, one that is
// empty at its end is taken to be at most skew behind, until it has been so for
// idleAfter. Without that, a backlog that drains unevenly would have events judged
// before those that came first: half of all features would be wrong.
//
// It belongs to the reading goroutine and knows no clients; skew 0 merges nothing.
type merge struct {
	skew  time.Duration
	lanes []*lane
	turn  int // of the lanes, where nothing is merged
	limit int // records of a lane beyond which it is paused
}

// lane is a partition in the merge.
type lane struct {
	*partition
	queue  []*kgo.Record // fetched and not handed in
	clock  int64         // of the newest record handed in, milliseconds
	active time.Time     // when a record was last fetched or handed in, or reading began
	asked  time.Time     // since when nothing was fetched although it was asked for
	given  bool          // it gave one since reading began
	paused bool
	told   bool // that it is not waited for any more
}

func newMerge(skew time.Duration, lanes []*lane) *merge {
	limit := mostBuffered / max(len(lanes), 1)
	return &merge{skew: skew, lanes: lanes, limit: min(max(limit, leastOfLane), mostOfLane)}
}

// add takes what was fetched.
func (l *lane) add(records []*kgo.Record, now time.Time) {
	l.queue = append(l.queue, records...)
	l.settle()
	if len(records) > 0 {
		l.active, l.asked, l.given, l.told = now, now, true, false
	}
}

// settle passes over what is no record of anybody: its timestamp is the broker's.
func (l *lane) settle() {
	for len(l.queue) > 0 && l.queue[0].Attrs.IsControl() {
		l.pop()
	}
}

// pop takes the head off, for good.
func (l *lane) pop() {
	l.next.Store(l.queue[0].Offset + 1)
	l.queue[0] = nil
	l.queue = l.queue[1:]
}

// take gives the head and shows the one behind it.
func (l *lane) take(now time.Time) {
	if ts := l.queue[0].Timestamp.UnixMilli(); ts > l.clock {
		l.clock = ts
	}
	l.pop()
	l.settle()
	l.active = now
}

// ready gives the partition whose records come next, all those with a timestamp up
// to until, or how long to wait for the one that keeps them back. Without records
// at hand, both are zero.
func (m *merge) ready(now time.Time) (from *lane, until int64, wait time.Duration) {
	if m.skew == 0 {
		for range m.lanes {
			l := m.lanes[m.turn%len(m.lanes)]
			if m.turn++; len(l.queue) > 0 {
				return l, forever, 0
			}
		}
		return nil, 0, 0
	}
	for _, l := range m.lanes {
		if len(l.queue) > 0 && (from == nil || l.head() < from.head()) {
			from = l
		}
	}
	if from == nil {
		return nil, 0, 0
	}
	until, before := forever, true
	for _, l := range m.lanes {
		switch {
		case l == from:
			before = false
		case len(l.queue) == 0:
			held, patience := l.holds(now, m.skew)
			if from.head() > held {
				wait = max(wait, patience)
			}
			until = min(until, held)
		case before: // at equal times the first partition's records go first
			until = min(until, l.head()-1)
		default:
			until = min(until, l.head())
		}
	}
	if wait > 0 {
		return nil, 0, wait
	}
	return from, until, 0
}

func (l *lane) head() int64 { return l.queue[0].Timestamp.UnixMilli() }

// holds tells up to which timestamp nothing is expected of an empty lane, and how
// long that is believed.
func (l *lane) holds(now time.Time, skew time.Duration) (until int64, patience time.Duration) {
	if l.next.Load() < l.end.Load() {
		if silent := now.Sub(l.active); silent < stalledAfter {
			return -forever, stalledAfter - silent
		}
	} else if silent := now.Sub(l.asked); l.given && silent < idleAfter {
		return l.clock + skew.Milliseconds(), idleAfter - silent
	}
	return forever, 0
}

// fill tells which partitions have enough buffered to be paused, and which are to
// be fetched again.
func (m *merge) fill(now time.Time) (pause, resume map[string][]int32) {
	for _, l := range m.lanes {
		switch {
		case !l.paused && len(l.queue) > m.limit:
			pause = named(pause, l)
		case l.paused && len(l.queue) <= m.limit/2:
			resume = named(resume, l)
			l.asked = now // nobody had asked while it was paused
		default:
			continue
		}
		l.paused = !l.paused
	}
	return pause, resume
}

func named(m map[string][]int32, l *lane) map[string][]int32 {
	if m == nil {
		m = map[string][]int32{}
	}
	m[l.Topic] = append(m[l.Topic], l.id)
	return m
}

// stalled gives those that hold records, give none, and are not waited for any
// more; each once.
func (m *merge) stalled(now time.Time) (out []*lane) {
	for _, l := range m.lanes {
		if !l.told && len(l.queue) == 0 && l.next.Load() < l.end.Load() && now.Sub(l.active) >= stalledAfter {
			l.told = true
			out = append(out, l)
		}
	}
	return out
}
