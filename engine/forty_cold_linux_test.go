package engine_test

import (
	"fmt"
	"log/slog"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

// Who takes part when nobody is in memory: a million entities that come in turn, so
// that each has been written and let go of long before it is met again.
const (
	coldCards, coldCustomers, coldDevices, coldNetworks, coldSellers = 240_000, 160_000, 240_000, 80_000, 40_001

	coldBatch      = 500
	coldCheckpoint = 10_000 // events between two of them
	coldEvents     = 120_000
)

// cold makes the next event. Strides that share no factor with their population
// visit all of it, two cards of one customer far apart.
func (c *crowd) cold() []byte {
	n := uint64(c.n)
	card := n * 77_773 % coldCards
	return c.event(card, card%coldCustomers, n*99_991%coldDevices, n*7_919%coldNetworks, card*7%coldSellers)
}

// vault is a State over a store, as a cell has it.
type vault struct {
	testing.TB
	set        *features.Set
	store      *store.Store
	state      *features.State
	generation uint64
	small      []byte
	saving     time.Duration
}

// stored reads one moment of the vault.
type stored struct{ *store.View }

func (s stored) Get(key []byte, f func(value []byte, sum uint64) error) error {
	return s.View.Get(store.Entities, key, f)
}

func (s stored) Scan(prefix []byte, f func(key, value []byte, sum uint64) error) error {
	return s.View.Scan(store.Entities, prefix, f)
}

func newVault(b *testing.B, set *features.Set) *vault {
	s, err := store.Open(b.TempDir(), store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	v := &vault{TB: b, set: set, store: s, state: features.NewState(set)}
	v.attach(0)
	return v
}

func (v *vault) attach(budget int64) {
	v.state.Attach(budget, func(f func(features.Reader) error) error {
		view, err := v.store.View()
		if err != nil {
			return err
		}
		defer view.Close()
		return f(stored{view})
	})
}

// leave lets go of all that is in memory, as a restart does.
func (v *vault) leave() {
	v.state = features.NewState(v.set)
	v.attach(1)
	v.state.Expect(v.store.Count())
	err := v.store.ProveEntities(func(_ store.Space, keys [][]byte) error {
		v.state.Known(keys...)
		return nil
	})
	if err == nil {
		err = v.state.Restore(v.small)
	}
	if err != nil {
		v.Fatal(err)
	}
}

func (v *vault) checkpoint() {
	begin := cpu()
	v.generation++
	c := store.Checkpoint{Position: v.generation}
	var slab []byte
	keep := func(b []byte) []byte {
		if cap(slab)-len(slab) < len(b) {
			slab = make([]byte, 0, 256<<10)
		}
		slab = append(slab, b...)
		return slab[len(slab)-len(b) : len(slab) : len(slab)]
	}
	c.State = v.state.Checkpoint(v.generation, func(key, value []byte, replaces uint64) (sum uint64) {
		p := store.Put{Space: store.Entities, Key: keep(key), Replaces: replaces}
		if value != nil {
			p.Value = keep(value)
			sum = store.Sum(p.Space, key, value)
		}
		c.Puts = append(c.Puts, p)
		return sum
	})
	if err := v.store.Commit(&c); err != nil {
		v.Fatal(err)
	}
	v.small = c.State
	v.saving += cpu() - begin
}

// BenchmarkFortyCold is BenchmarkFortyFeatures with every entity of every event in
// the store and not in memory: prefetch, the store's reads, counting, reading every
// value, letting go, checkpoints and what the store does behind them, on all cores.
func BenchmarkFortyCold(b *testing.B) {
	set, decode, look := forty(b).Rules.Features, decoder(), dollars(b)
	v, c := newVault(b, set), newCrowd()
	recs := make([]risk.Record, coldBatch)
	var scope expression.Scope
	var wanted features.Wanted
	prepared := make([]features.Prepared, coldBatch)
	var values features.Vector
	events := 0
	runtime.LockOSThread() // making the events is not counted
	defer runtime.UnlockOSThread()
	var made time.Duration
	batch := func() {
		begin := threadTime()
		for i := range recs {
			rec := &recs[i]
			rec.Reset()
			if err := decode.Decode(c.cold(), rec); err != nil {
				b.Fatal(err)
			}
			rec.Tenant, rec.Arrival = "default", rec.Event.Time
			look.Fill(rec)
		}
		made += threadTime() - begin
		st := v.state
		st.Evict(v.generation)
		view, err := v.store.View()
		if err != nil {
			b.Fatal(err)
		}
		for i := range recs {
			set.Prepare(&recs[i], &scope, &prepared[i])
			wanted.Add(&prepared[i], nil)
		}
		st.Prefetch(stored{view}, &wanted)
		view.Close()
		for i := range recs {
			rec := &recs[i]
			t := st.Observe(&prepared[i], rec.Event.Time, rec.Arrival, &values)
			scope.Record, scope.At, scope.Features = rec, t.At, values.Values
			set.Derive(&scope)
		}
		if err := st.Err(); err != nil {
			b.Fatal(err)
		}
		if events += len(recs); events%coldCheckpoint == 0 {
			v.checkpoint()
		}
	}
	for range 2 * coldCards / coldBatch {
		batch()
	}
	v.checkpoint()
	v.leave()
	rest()
	runtime.GC()
	v.saving, made = 0, 0
	b.ResetTimer()
	begin := cpu()
	for range coldEvents / coldBatch {
		batch()
	}
	summed(b, set, &values)
	rest() // what it has left to the store is counted too
	spent := cpu() - begin - made
	f := v.state.Figures()
	per := func(name string, n float64) { b.ReportMetric(n/coldEvents, name+"/event") }
	per("cpu-us", float64(spent.Nanoseconds())/1e3)
	per("saving-us", float64(v.saving.Nanoseconds())/1e3)
	per("cold", float64(f.Prefetched+f.Read))
	b.ReportMetric(float64(f.Stored), "entities")
	b.ReportMetric(0, "ns/op")
}

func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		panic(fmt.Sprint("getrusage: ", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rest waits until the process does next to nothing.
func rest() {
	for range 60 {
		from := cpu()
		if time.Sleep(time.Second); cpu()-from < 100*time.Millisecond {
			return
		}
	}
}
