package stream

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// lanes of one topic; a lane's records have the seconds given and are all known to
// the broker.
func lanesOf(seconds ...[]int) (lanes []*lane, held [][]*kgo.Record) {
	for id, list := range seconds {
		l := &lane{partition: &partition{Source: Source{Topic: "payments"}, id: int32(id)}, active: noon}
		l.end.Store(int64(len(list)))
		var records []*kgo.Record
		for offset, s := range list {
			records = append(records, &kgo.Record{Topic: "payments", Partition: int32(id), Offset: int64(offset), Timestamp: noon.Add(time.Duration(s) * time.Second)})
		}
		lanes, held = append(lanes, l), append(held, records)
	}
	return lanes, held
}

// out takes what is ready now, as partition:offset.
func out(m *merge, now time.Time) (got []string, wait time.Duration) {
	for {
		from, until, wait := m.ready(now)
		if from == nil {
			return got, wait
		}
		for len(from.queue) > 0 && from.head() <= until {
			got = append(got, fmt.Sprintf("%d:%d", from.id, from.queue[0].Offset))
			from.take(now)
		}
	}
}

func TestABacklogIsReadInTheOrderOfTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := make([][]int, rapid.IntRange(1, 5).Draw(t, "partitions"))
		for i := range seconds {
			seconds[i] = rapid.SliceOfN(rapid.IntRange(0, 40), 0, 30).Draw(t, "seconds")
			slices.Sort(seconds[i])
		}
		lanes, held := lanesOf(seconds...)
		m := newMerge(time.Second, lanes)
		type place struct {
			at, partition, offset int
		}
		var want []place
		for id, list := range seconds {
			for offset, s := range list {
				want = append(want, place{s, id, offset})
			}
		}
		slices.SortStableFunc(want, func(a, b place) int {
			if a.at != b.at {
				return a.at - b.at
			}
			return a.partition - b.partition
		})
		var got []string
		for now := noon; ; now = now.Add(10 * time.Millisecond) {
			more, _ := out(m, now)
			got = append(got, more...)
			if len(got) == len(want) {
				break
			}
			// One partition more or less at a time, unevenly.
			id := rapid.IntRange(0, len(lanes)-1).Draw(t, "fetched")
			n := min(rapid.IntRange(0, 12).Draw(t, "records"), len(held[id]))
			lanes[id].add(held[id][:n], now)
			held[id] = held[id][n:]
			if now.Sub(noon) > 20*time.Second { // rapid may never draw the partition that is waited for
				for id := range lanes {
					lanes[id].add(held[id], now)
					held[id] = nil
				}
			}
		}
		for i, w := range want {
			if name := fmt.Sprintf("%d:%d", w.partition, w.offset); got[i] != name {
				t.Fatalf("record %d is %s, want %s\nall: %v", i, got[i], name, got)
			}
		}
	})
}

func TestWhatAnEmptyPartitionKeepsBack(t *testing.T) {
	lanes, held := lanesOf([]int{0, 1, 5}, []int{0})
	m := newMerge(time.Second, lanes)
	now := noon
	expect := func(what string, after time.Duration, wantWait time.Duration, want ...string) {
		t.Helper()
		now = now.Add(after)
		if got, wait := out(m, now); !slices.Equal(got, want) || wait != wantWait {
			t.Errorf("%s: %v, wait %s; want %v, wait %s", what, got, wait, want, wantWait)
		}
	}
	lanes[0].add(held[0], now)
	expect("the other one holds a record that has not come", 0, stalledAfter)
	lanes[1].add(held[1], now)
	expect("up to a second ahead of the empty one, no more", 0, idleAfter, "0:0", "1:0", "0:1")
	expect("while it may still be on its way", 400*time.Millisecond, idleAfter-400*time.Millisecond)
	expect("after a second without a record it does not count", 600*time.Millisecond, 0, "0:2")

	lanes[1].end.Store(3)
	lanes[0].add([]*kgo.Record{{Offset: 3, Timestamp: noon.Add(9 * time.Second)}}, now)
	if got := m.stalled(now.Add(stalledAfter - 2*time.Second)); len(got) > 0 {
		t.Errorf("stalled too early: %v", got)
	}
	expect("a partition known to hold more is waited for", time.Second, stalledAfter-2*time.Second)
	expect("but not for ever", stalledAfter-2*time.Second, 0, "0:3")
	if got := m.stalled(now); len(got) != 1 || got[0] != lanes[1] {
		t.Errorf("stalled() = %v, want partition 1", got)
	}
	if got := m.stalled(now); len(got) != 0 {
		t.Errorf("stalled() told twice: %v", got)
	}
}

// What was fetched long ago and is handed in now says nothing of what may come: at
// the end of a backlog nobody waits a second for each partition.
func TestTheEndOfABacklog(t *testing.T) {
	lanes, held := lanesOf([]int{0, 1}, []int{60, 120}, []int{600})
	m := newMerge(time.Second, lanes)
	for id := range lanes {
		lanes[id].add(held[id], noon)
	}
	later := noon.Add(2 * time.Second)
	if got, wait := out(m, later); len(got) != 5 || wait != 0 {
		t.Errorf("out() = %v, wait %s; want all five at once", got, wait)
	}
	// But a partition that was paused has only just been asked.
	lanes, held = lanesOf([]int{0}, []int{60})
	m = newMerge(time.Second, lanes)
	for id := range lanes {
		lanes[id].add(held[id], noon)
	}
	lanes[0].paused = true
	m.fill(later)
	if got, wait := out(m, later); len(got) != 1 || wait != idleAfter {
		t.Errorf("out() = %v, wait %s; want to wait for the one that was paused", got, wait)
	}
}

func TestPartitionsThatRunAheadArePaused(t *testing.T) {
	list := make([]int, mostOfLane+1)
	lanes, held := lanesOf(list, []int{0})
	m := newMerge(time.Second, lanes)
	lanes[0].add(held[0], noon)
	pause, resume := m.fill(noon)
	if len(pause["payments"]) != 1 || resume != nil {
		t.Fatalf("fill() = %v, %v; want partition 0 paused", pause, resume)
	}
	if pause, resume = m.fill(noon); pause != nil || resume != nil {
		t.Errorf("fill() again = %v, %v", pause, resume)
	}
	lanes[1].add(held[1], noon)
	out(m, noon)
	if pause, resume = m.fill(noon); pause != nil || len(resume["payments"]) != 1 {
		t.Errorf("fill() = %v, %v when it has drained; want it resumed", pause, resume)
	}
}

func TestWithoutSkewNothingWaits(t *testing.T) {
	lanes, held := lanesOf([]int{9}, []int{1}, []int{5})
	m := newMerge(0, lanes)
	for id := range lanes[:2] {
		lanes[id].add(held[id], noon)
	}
	if got, wait := out(m, noon); !slices.Equal(got, []string{"0:0", "1:0"}) || wait != 0 {
		t.Errorf("out() = %v, wait %s", got, wait)
	}
}
