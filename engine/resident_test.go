package engine_test

import (
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/simulate"
)

// How much of the entities is in memory, when checkpoints are taken, where a
// process dies and when a pass over the store comes by changes no byte.
func TestStateMemoryChangesNothing(t *testing.T) {
	rng := seeded(t, uint64(time.Now().UnixNano()))
	for range torture(3, 60) {
		events := world(rng.Uint64(), 2500)
		want, _ := undisturbed(events)

		dir := t.TempDir()
		var all engine.Memory
		results := make([]engine.Result, len(events))
		for fed := 0; fed < len(events); {
			o := options()
			o.StateMemory = []int64{1, 64 << 10, 1 << 20}[rng.IntN(3)]
			o.SweepEvery = []time.Duration{time.Millisecond, time.Hour}[rng.IntN(2)]
			o.BatchEvents = 1 + rng.IntN(200)
			o.CheckpointEvents = 1 + rng.IntN(400)
			o.CheckpointEvery = time.Duration(1+rng.IntN(50)) * time.Millisecond
			c := start(t, dir, o)
			n := min(1+rng.IntN(1500), len(events)-fed)
			copy(results[fed:], c.feed(events[fed:fed+n], fed))
			fed += n
			killed := copyTree(t, dir) // as the disk is at this moment
			m := c.Memory()
			all.Evictions += m.Evictions
			all.Prefetched += m.Prefetched
			all.Hits += m.Hits
			all.New += m.New
			all.Read += m.Read
			c.close()
			if fed < len(events) && rng.IntN(2) == 0 {
				dir = killed
			}
		}
		same(t, "with little memory", bodies(results), want)
		if all.Evictions == 0 || all.Prefetched == 0 || all.Hits == 0 || all.New == 0 {
			t.Errorf("nothing came and went: %+v", all)
		}
		if all.Read > all.Prefetched { // how many they are is a matter of timing
			t.Errorf("%d entities were read while everything waited, %d before: %+v", all.Read, all.Prefetched, all.Figures)
		}
		if err := replaysTo(dir, want); err != nil {
			t.Error(err)
		}
	}
}

// What no window reaches any more goes from disk, though no event touches it.
func TestAPassForgetsWhatNoWindowReaches(t *testing.T) {
	now := clock()
	o := options()
	o.StateMemory, o.SweepEvery = 1, 20*time.Millisecond
	o.Now = func() time.Time { return now }
	c := start(t, t.TempDir(), o)
	defer c.close()
	c.feed(world(5, 1500), 0)
	settle(c.Cell)
	before := c.Memory().Stored
	now = now.AddDate(2, 0, 0)
	later := simulate.New(simulate.Options{Seed: 6, People: 300, Gap: 20 * time.Second, Prefix: "later-", Start: now.Add(-time.Hour)})
	var events [][]byte
	for range 20 {
		events = append(events, later.Next().Body)
	}
	c.feed(events, 2000)
	for began := time.Now(); c.Memory().Stored > before/2; time.Sleep(time.Millisecond) {
		if time.Since(began) > 2*time.Minute { // alone it takes a second; under the race detector, beside others, many
			t.Fatalf("%d entities are stored two years later, %d before", c.Memory().Stored, before)
		}
	}
}
