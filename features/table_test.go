package features

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// The table holds what a map holds, whatever comes and goes, and others may look.
func TestTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var tab table
	want := map[entityID]*entity{}
	random := func() (id entityID) {
		id[0] = byte(rng.IntN(4))
		id[8], id[15] = byte(rng.IntN(3)), byte(rng.IntN(40)) // shards and homes collide
		id[9] = byte(rng.IntN(2))
		return id
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := byte(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				tab.has(&entityID{15: i})
			}
		}
	})
	for range unlessShort(100_000, 20_000) {
		id := random()
		if e := want[id]; e == nil {
			e = &entity{id: id}
			want[id] = e
			tab.add(e)
		} else if rng.IntN(3) > 0 {
			delete(want, id)
			tab.remove(e)
		}
		id = random()
		if got := tab.find(&id); got != want[id] {
			t.Fatalf("find(%x) = %p, want %p", id, got, want[id])
		}
		if want[id] != nil && !tab.has(&id) {
			t.Fatalf("has(%x) = false", id)
		}
	}
	close(stop)
	wg.Wait()
	if tab.used != len(want) {
		t.Errorf("%d entities, want %d", tab.used, len(want))
	}
	seen := map[*entity]bool{}
	var h hand
	for range 10_000 {
		if e := tab.next(&h); e != nil {
			seen[e] = true
		}
	}
	if len(seen) != len(want) {
		t.Errorf("the hand passes %d entities, want %d", len(seen), len(want))
	}
}
