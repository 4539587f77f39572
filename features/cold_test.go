//go:build unix

package features_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

// forty features over six entities.
func forty() string {
	src := `apiVersion: features/v1
entities:
  card: {key: card.token}
  device: {key: device.id}
  customer: {key: customer.id}
  account: {key: sender.account}
  merchant: {key: merchant.id}
  pair: {key: [customer.id, merchant.id]}
features:
`
	n := 0
	add := func(definition string) {
		n++
		src += fmt.Sprintf("  f%02d: {%s}\n", n, definition)
	}
	for _, by := range []string{"card", "device", "customer", "account", "merchant"} {
		add("count: {by: " + by + ", window: 10m}")
		add("count: {by: " + by + ", window: 24h}")
		add("sum: {by: " + by + ", of: amount.base, window: 24h}")
		add("avg: {by: " + by + ", of: amount.base, window: 30d, current: exclude}")
		add("max: {by: " + by + ", of: amount.base, window: 30d, current: exclude}")
		add("since_last: {by: " + by + ", window: 30d, current: exclude}")
	}
	for _, by := range []string{"card", "device", "customer", "account"} {
		add("distinct: {by: " + by + ", of: merchant.id, window: 7d}")
	}
	add("distinct: {by: merchant, of: card.token, window: 1h}")
	add("distinct: {by: device, of: card.token, window: 7d}")
	add("count: {by: pair, window: 30d}")
	add("sum: {by: pair, of: amount.base, window: 30d}")
	add("since_last: {by: pair, window: 30d, current: exclude}")
	add("count: {by: card, window: 1h, where: payment.status == \"declined\"}")
	return src
}

var coldSecrets = risk.NewSecrets([32]byte{1})

// fill makes the next event of so many cards, devices, customers …, all alike.
func fill(rec *risk.Record, rng *rand.Rand, population int, at risk.Time) {
	*rec = risk.Record{Tenant: "default", Arrival: at}
	e := &rec.Event
	e.Type, e.Time = "payment.authorization", at
	e.Amount = risk.Money{Minor: rng.Int64N(100_000), Currency: "USD"}
	rec.Facts.Base = e.Amount
	e.Card.Token = fmt.Sprint("card_", rng.IntN(population))
	e.Device.ID = fmt.Sprint("device_", rng.IntN(population))
	c := rng.IntN(population)
	e.Customer.ID, e.Merchant.ID = fmt.Sprint("customer_", c), fmt.Sprint("m_", c*7%population)
	e.Sender.Account = fmt.Sprint("account_", rng.IntN(population))
	rec.IDs = coldSecrets.IDs(e)
}

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
	dir      string
	store    *store.Store
	state    *features.State
	set      *features.Set
	events   uint64
	durable  uint64
	saving   int64 // CPU time of checkpoints
	prepared features.Prepared
	ahead    []features.Prepared // of a batch
	wanted   features.Wanted
	vector   features.Vector
	scope    expression.Scope
}

func newBank(tb testing.TB, budget int64) *bank { return newBankOf(tb, forty(), budget) }

func newBankOf(tb testing.TB, src string, budget int64) *bank {
	set, faults := features.Load("features.yaml", []byte(src), expression.NewEnv("USD", nil))
	if len(faults) > 0 {
		tb.Fatal(faults)
	}
	dir := tb.TempDir()
	s, err := store.Open(dir, store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	b := &bank{TB: tb, store: s, dir: dir, state: features.NewState(set), set: set}
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
	from := used()
	defer func() { b.saving += used() - from }()
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

// BenchmarkColdEntities observes events of a million entities, all of them in
// memory or none, with reads and checkpoints.
func BenchmarkColdEntities(b *testing.B) {
	population := 167_000
	history := 2
	if os.Getenv("SLUICE_TEST_SMALL") != "" {
		population = 5_000
	}
	for name, budget := range map[string]int64{"hot": 0, "cold": 1} {
		b.Run(name, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			bank := newBank(b, budget)
			recs := make([]risk.Record, 500)
			at := risk.Time(1_700_000_000_000)
			next := func() {
				for i := range recs {
					at += risk.Time(20 * 86_400_000 / (population * history)) // history within 20 days
					fill(&recs[i], rng, population, at)
				}
			}
			for range population * history / len(recs) {
				next()
				bank.batch(recs)
			}
			bank.checkpoint()
			bank.batch(recs[:0])
			bank.batch(recs[:0])
			rest() // the store tidies up
			runtime.GC()
			before := bank.state.Figures()
			var spent int64
			bank.saving = 0
			n := 0
			for b.Loop() {
				next()
				from := used()
				bank.batch(recs)
				spent += used() - from
				n += len(recs)
			}
			bank.batch(recs[:0])
			f := bank.state.Figures()
			b.ReportMetric(float64(spent)/float64(n)/1000, "cpu-us/event")
			b.ReportMetric(float64(bank.saving)/float64(n)/1000, "of-it-checkpoints")
			b.ReportMetric(float64(f.Stored), "entities")
			b.ReportMetric(float64(f.Prefetched+f.Read-before.Prefetched-before.Read)/float64(n), "cold/event")
			b.ReportMetric(float64(f.Bytes)/float64(max(f.Hot, 1)), "hot-B/entity")
			b.ReportMetric(0, "ns/op")
			bank.checkpoint()
			bank.restart(b)
		})
	}
}

// rest waits until the process does next to nothing.
func rest() {
	for range 60 {
		from := used()
		if time.Sleep(time.Second); used()-from < int64(100*time.Millisecond) {
			return
		}
	}
}

// restart measures what opening the store and proving its entities takes.
func (b *bank) restart(m *testing.B) {
	dir := b.dir
	if err := b.store.Close(); err != nil {
		b.Fatal(err)
	}
	var bytes int64
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && filepath.Ext(e.Name()) == ".sst" {
			bytes += info.Size()
		}
	}
	began := time.Now()
	s, err := store.Open(dir, store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	opened := time.Now()
	b.state.Expect(s.Count())
	if err := s.ProveEntities(func(_ store.Space, keys [][]byte) error {
		b.state.Known(keys...)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	m.ReportMetric(float64(bytes)/1e6, "table-MB")
	m.ReportMetric(opened.Sub(began).Seconds(), "open-s")
	m.ReportMetric(time.Since(opened).Seconds(), "proof-s")
	b.store = s
}
