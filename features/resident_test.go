package features

import (
	"bytes"
	"math"
	"testing"

	"github.com/sluice-risk/sluice/internal/expression"
)

// asked notes which keys of single rows are read, in their order.
type asked struct {
	Reader
	keys [][]byte
}

func (a *asked) Get(key []byte, f func(value []byte, sum uint64) error) error {
	a.keys = append(a.keys, bytes.Clone(key))
	return a.Reader.Get(key, f)
}

func TestPrefetchReadsAnEntityOnceInOrder(t *testing.T) {
	set := mustLoad(t, typical)
	recs := traffic(1200, 100, 5000)
	past, batch := recs[:1000], recs[1000:]
	var scope expression.Scope
	var v, want Vector
	disk, all := newMemory(), NewState(set)
	observe := func(st *State, p *Prepared, i int, v *Vector) {
		st.Observe(p, recs[i].Event.Time, recs[i].Arrival, v)
	}
	var p Prepared
	for i, rec := range past {
		set.Prepare(rec, &scope, &p)
		observe(all, &p, i, &v)
	}
	disk.small = all.Checkpoint(1, disk.put)
	cold, err := disk.restore(set)
	if err != nil {
		t.Fatal(err)
	}

	prepared := make([]Prepared, len(batch))
	var w Wanted
	if !w.Empty() {
		t.Error("it is not empty before anything is wanted")
	}
	different := map[entityID]bool{}
	for i, rec := range batch {
		set.Prepare(rec, &scope, &prepared[i])
		w.Add(&prepared[i], nil)
		for _, id := range prepared[i].ids {
			if cold.stored.mayHold(&id) {
				different[id] = true
			}
		}
	}
	r := &asked{Reader: disk}
	cold.Prefetch(r, &w)
	if !w.Empty() {
		t.Error("it is not empty once all was read")
	}
	if len(r.keys) != len(different) {
		t.Errorf("%d rows were read for %d entities", len(r.keys), len(different))
	}
	for i := 1; i < len(r.keys); i++ {
		if bytes.Compare(r.keys[i-1], r.keys[i]) >= 0 {
			t.Fatalf("key %x was read behind %x", r.keys[i], r.keys[i-1])
		}
	}

	// The first event is a duplicate, say: it is not observed, and those behind it
	// find what was read for it all the same.
	for i, rec := range batch {
		if i == 0 {
			continue
		}
		set.Prepare(rec, &scope, &p)
		observe(all, &p, 1000+i, &want)
		observe(cold, &prepared[i], 1000+i, &v)
		for f, x := range v.Values {
			if math.Float64bits(x) != math.Float64bits(want.Values[f]) {
				t.Fatalf("event %d: %s = %v, want %v", i, set.Names()[f], x, want.Values[f])
			}
		}
	}
	if err := cold.Err(); err != nil {
		t.Fatal(err)
	}
	cold.Evict(0)
	if f := cold.Figures(); f.Read > int64(len(prepared[0].Touches())) || f.Prefetched == 0 {
		t.Errorf("%d entities were prefetched, %d read while everything waited", f.Prefetched, f.Read)
	}
}

// However slowly the clock's hand has come to go while all waited for a checkpoint,
// memory is within its budget soon after it.
func TestEvictionGoesOnBehindACheckpoint(t *testing.T) {
	set := mustLoad(t, typical)
	recs := traffic(2000, 1000, 5000)
	disk, st := newMemory(), NewState(set)
	st.Attach(1, disk.durableView)
	var scope expression.Scope
	var p Prepared
	var v Vector
	const size = 50
	batch := func(i int) {
		st.Evict(disk.durable)
		for _, rec := range recs[i : i+size] {
			set.Prepare(rec, &scope, &p)
			st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
		}
	}
	for i := 0; i < 1000; i += size {
		batch(i)
	}
	if f := st.Figures(); f.Evictions != 0 || f.Hot < 500 {
		t.Fatalf("%d entities have left before they were stored, %d are in memory", f.Evictions, f.Hot)
	}
	disk.checkpoint(st)
	disk.settle(disk.taken)
	for i := 1000; i < 1400; i += size {
		batch(i)
	}
	st.Evict(disk.durable)
	if f := st.Figures(); f.Hot > int64(st.table.used) || len(st.dirty) == 0 || f.Hot != int64(len(st.dirty)) {
		t.Errorf("%d entities are in memory, of which %d must be: %+v", f.Hot, len(st.dirty), f)
	}
}
