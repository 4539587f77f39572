//go:build unix

package features_test

import (
	"log/slog"
	"slices"
	"syscall"
	"testing"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

var bankSecrets = risk.NewSecrets([32]byte{1})

func used() int64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return r.Utime.Nano() + r.Stime.Nano()
}

// viewed is what a State reads of a store.
type viewed struct{ *store.View }

func (v viewed) Get(key []byte, f func(value []byte, sum uint64) error) error {
	return v.View.Get(store.Entities, key, f)
}

func (v viewed) Scan(prefix []byte, f func(key, value []byte, sum uint64) error) error {
	return v.View.Scan(store.Entities, prefix, f)
}

// bank is a State over a store, with checkpoints every 10,000 events.
type bank struct {
	testing.TB
	store    *store.Store
	state    *features.State
	set      *features.Set
	events   uint64
	durable  uint64
	prepared features.Prepared
	ahead    []features.Prepared // of a batch
	wanted   features.Wanted
	vector   features.Vector
	scope    expression.Scope
}

func newBank(tb testing.TB, src string, budget int64) *bank {
	set, faults := features.Load("features.yaml", []byte(src), expression.NewEnv("USD", nil))
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	s, err := store.Open(tb.TempDir(), store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	b := &bank{TB: tb, store: s, state: features.NewState(set), set: set}
	tb.Cleanup(func() { b.store.Close() })
	b.attach(budget)
	return b
}

func (b *bank) attach(budget int64) {
	b.state.Attach(budget, func(f func(features.Reader) error) error {
		v, err := b.store.View()
		if err != nil {
			return err
		}
		defer v.Close()
		return f(viewed{v})
	})
}

// batch takes events through prefetch and features.
func (b *bank) batch(recs []risk.Record) {
	b.state.Evict(b.durable)
	v, err := b.store.View()
	if err != nil {
		b.Fatal(err)
	}
	b.ahead = slices.Grow(b.ahead, len(recs))[:len(recs)]
	for i := range recs {
		b.set.Prepare(&recs[i], &b.scope, &b.ahead[i])
		b.wanted.Add(&b.ahead[i], nil)
	}
	b.state.Prefetch(viewed{v}, &b.wanted)
	v.Close()
	for i := range recs {
		b.state.Observe(&b.ahead[i], recs[i].Event.Time, recs[i].Arrival, &b.vector)
	}
	if err := b.state.Err(); err != nil {
		b.Fatal(err)
	}
	b.events += uint64(len(recs))
	if b.events%10_000 < uint64(len(recs)) {
		b.checkpoint()
	}
}

func (b *bank) checkpoint() {
	c := store.Checkpoint{Position: b.events}
	b.durable++
	c.State = b.state.Checkpoint(b.durable, func(key, value []byte, replaces uint64) uint64 {
		p := store.Put{Space: store.Entities, Key: append([]byte(nil), key...), Replaces: replaces}
		if value == nil {
			c.Puts = append(c.Puts, p)
			return 0
		}
		p.Value = append(make([]byte, 0, len(value)), value...)
		c.Puts = append(c.Puts, p)
		return store.Sum(store.Entities, key, value)
	})
	if err := b.store.Commit(&c); err != nil {
		b.Fatal(err)
	}
}
