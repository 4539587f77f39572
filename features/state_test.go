package features

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

var secrets = risk.NewSecrets([32]byte{1})

// shrink makes chunks, queues and windows small, so that short tests reach every
// path, and gives back a function that undoes it.
func shrink(chunk int) func() {
	c, q, o, e, s := chunkEntries, queueSpare, orderStep, tailEntries, lastSpare
	chunkEntries, queueSpare, orderStep, tailEntries, lastSpare = chunk, 1, 2, 3, 1
	return func() { chunkEntries, queueSpare, orderStep, tailEntries, lastSpare = c, q, o, e, s }
}

// memory is a store that checks what it is told it holds.
type memory struct {
	values map[string][]byte
	sums   map[string]uint64
	small  []byte
	errs   []string

	taken, durable uint64    // generations
	settling       []*memory // taken and not durable yet
	seen           *memory   // what is durable; nil: nothing
}

func newMemory() *memory { return &memory{values: map[string][]byte{}, sums: map[string]uint64{}} }

func (m *memory) put(key, value []byte, replaces uint64) uint64 {
	k := string(key)
	if m.sums[k] != replaces {
		m.errs = append(m.errs, fmt.Sprintf("put %x replaces %x, stored is %x", key, replaces, m.sums[k]))
	}
	if value == nil {
		if m.sums[k] == 0 {
			m.errs = append(m.errs, fmt.Sprintf("delete of %x, which is not there", key))
		}
		delete(m.values, k)
		delete(m.sums, k)
		return 0
	}
	if len(value) > maxValue {
		m.errs = append(m.errs, fmt.Sprintf("value of %d bytes", len(value)))
	}
	h := fnv.New64a()
	h.Write(key)
	h.Write(value)
	m.values[k], m.sums[k] = slices.Clone(value), max(h.Sum64(), 1)
	return m.sums[k]
}

func (m *memory) restore(set *Set) (*State, error) {
	st := NewState(set)
	view := m.view
	if m.taken > 0 {
		view = m.durableView
	}
	st.Attach(0, view)
	if err := st.Restore(m.small); err != nil {
		return nil, err
	}
	for k := range m.values {
		st.Known([]byte(k))
	}
	return st, nil
}

func (m *memory) view(f func(Reader) error) error { return f(m) }

// checkpoint writes one that is durable some time after it was taken.
func (m *memory) checkpoint(st *State) {
	m.taken++
	m.small = st.Checkpoint(m.taken, m.put)
	m.settling = append(m.settling, &memory{values: maps.Clone(m.values), sums: maps.Clone(m.sums)})
}

// settle makes checkpoints durable up to one that was taken.
func (m *memory) settle(generation uint64) {
	for ; m.durable < min(generation, m.taken); m.durable++ {
		m.seen, m.settling = m.settling[0], m.settling[1:]
	}
}

// durableView reads what is durable.
func (m *memory) durableView(f func(Reader) error) error {
	if m.seen == nil {
		return f(newMemory())
	}
	return f(m.seen)
}

func (m *memory) Get(key []byte, f func(value []byte, sum uint64) error) error {
	if v, ok := m.values[string(key)]; ok {
		return f(v, m.sums[string(key)])
	}
	return nil
}

func (m *memory) Scan(prefix []byte, f func(key, value []byte, sum uint64) error) error {
	for _, k := range slices.Sorted(maps.Keys(m.values)) {
		if strings.HasPrefix(k, string(prefix)) {
			if err := f([]byte(k), m.values[k], m.sums[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// warm reads all that is stored into memory.
func (m *memory) warm(st *State) error {
	for k := range m.values {
		if id := entityID([]byte(k)[:16]); st.table.find(&id) == nil {
			if e := st.readNow(&id); e != nil {
				st.adopt(e)
			}
		}
	}
	return st.Err()
}

// all gives the entities in memory.
func (st *State) all() (all []*entity) {
	for i := range st.table.shards {
		cells := st.table.shards[i].load()
		for k := range cells {
			if e := cells[k].entity.Load(); e != nil {
				all = append(all, e)
			}
		}
	}
	return all
}

func draw(t *rapid.T, of ...string) string { return rapid.SampledFrom(of).Draw(t, "of") }

func TestStateAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		defer shrink(rapid.SampledFrom([]int{2, 4, 9}).Draw(t, "chunk"))()
		busy := rapid.SampledFrom([]int{0, 3, 1 << 30}).Draw(t, "busy")
		defer func(n int64) { exactValues = n }(exactValues)
		exactValues = int64(rapid.SampledFrom([]int{3, 8, 4096}).Draw(t, "exact"))
		pickRelease := func() []string {
			var names []string
			for range rapid.IntRange(1, 25).Draw(t, "features") {
				name := rapid.SampledFrom(modelNames).Draw(t, "feature")
				if featureNamed(name).formula == nil && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
			if slices.Contains(names, "card_10m") && slices.Contains(names, "card_life") {
				names = append([]string{"ratio"}, names...)
			}
			return names
		}
		names := pickRelease()
		set := loadRapid(t, modelYAML(names))
		m, disk := &model{}, newMemory()
		st := NewState(set)
		budget := rapid.SampledFrom([]int64{-1, 0, 1, 3000}).Draw(t, "budget")
		if budget >= 0 { // else without a store to read from
			st.Attach(budget, disk.durableView)
		}
		st.busy = busy
		m.activate(names)

		var v Vector
		var scope expression.Scope
		clock := risk.Time(1_700_000_000_000)
		type past struct {
			event   *risk.Event
			touches []Touch
		}
		var pasts []past
		// Events are prefetched some time before they are observed.
		var ahead []func()
		lag := 0
		catchUp := func(left int) {
			for len(ahead) > left {
				ahead[0]()
				ahead = ahead[1:]
			}
		}
		passing := false
		for n := range rapid.IntRange(1, 120).Draw(t, "events") {
			switch rapid.IntRange(0, 40).Draw(t, "other") {
			case 0, 1, 2, 3:
				disk.checkpoint(st)
			case 4, 5, 6:
				disk.settle(disk.durable + 1)
			case 7:
				disk.checkpoint(st)
				disk.settle(disk.taken)
				var err error
				if st, err = disk.restore(set); err != nil {
					t.Fatalf("restore: %v", err)
				}
				st.budget, st.busy = int(max(budget, 0)), busy
				passing = false
			case 8:
				lag = rapid.IntRange(0, 4).Draw(t, "lag")
			case 9:
				if st.view == nil || passing || disk.durable != disk.taken {
					break
				}
				st.BeginPass()
				passing = true
				of := st
				var found []Found
				seen := disk.durableView(func(r Reader) error {
					return r.Scan(nil, func(key, value []byte, _ uint64) error {
						id, stale := st.Passed(key, value)
						if !stale {
							return nil
						}
						f, err := st.Reread(r, id)
						found = append(found, f)
						return err
					})
				})
				if seen != nil {
					t.Fatalf("pass: %v", seen)
				}
				generation := disk.durable
				ahead = append(ahead, func() {
					if of == st {
						st.Evict(generation)
						st.Sweep(found)
						st.EndPass()
						passing = false
					}
				})
			case 10:
				catchUp(0)
				names = pickRelease()
				set = loadRapid(t, modelYAML(names))
				st.Activate(set)
				m.activate(names)
			}
			clock += risk.Time(rapid.SampledFrom([]int{0, 0, 1, 1000, 60_000, 300_000, 4_000_000}).Draw(t, "step"))
			rec := &risk.Record{Tenant: draw(t, "a", "a", "a", "b"), Arrival: clock}
			e := &rec.Event
			e.ID = fmt.Sprint(n)
			e.Type = draw(t, "payment.authorization", "payment.authorization", "transfer", "label", "chargeback")
			e.Time = clock + risk.Time(rapid.SampledFrom([]int{0, 0, 0, 0, -1, -1000, -100_000, -1_800_000, -3_600_000, -5_000_000, 250_000, 400_000}).Draw(t, "skew"))
			e.Card.Token = draw(t, "", "c1", "c1", "c2")
			e.Card.BIN = draw(t, "", "411111", "555555")
			e.Customer.ID = draw(t, "", "u1", "u1", "u2")
			e.Merchant.ID = draw(t, "", "m1", "m1", "m2")
			e.Device.IP = draw(t, "", "10.0.0.1", "10.0.0.77", "2001:db8::1")
			e.Sender.Account = draw(t, "", "a1", "a2")
			e.Receiver.Account = draw(t, "", "a1", "a2")
			e.Payment.Method = draw(t, "", "cash", "card")
			e.Payment.Status = draw(t, "", "declined", "declined", "declined", "declined", "declined", "declined", "approved")
			e.Merchant.Name = draw(t, "", "shop", "shops", "Bäckerei", "a much longer name", "shöp")
			if p := draw(t, "", "0 0", "0.004 0.004", "0.0061 0.02", "52.5 13.4", "48.1 11.5", "-33.9 151.2", "91 0", "-90 180"); p != "" {
				rec.Facts.IPLat.Set, rec.Facts.IPLon.Set = true, true
				fmt.Sscan(p, &rec.Facts.IPLat.Value, &rec.Facts.IPLon.Value)
			}
			if rapid.Bool().Draw(t, "amount") {
				e.Amount = risk.Money{Minor: rapid.SampledFrom([]int64{100, 1230, 1230, 99_999_999_999, -5}).Draw(t, "minor"), Currency: "USD"}
				rec.Facts.Base = e.Amount
			}
			if rapid.Bool().Draw(t, "attempt") {
				e.Payment.Attempt = risk.Number{Value: rapid.SampledFrom([]float64{-2.5, 0, 1, 3, 0.001953125}).Draw(t, "n"), Set: true}
			}
			var named *past
			if e.Type == "label" || e.Type == "chargeback" {
				e.Label.Kind = draw(t, "fraud", "genuine", "early_warning", "other")
				if e.Type == "chargeback" {
					e.Label.Kind, e.Label.Reason = "chargeback", "fraud"
				}
				if same := slices.DeleteFunc(slices.Clone(pasts), func(p past) bool { return p.event.Payment.ID != rec.Tenant }); len(same) > 0 {
					named = &same[rapid.IntRange(0, len(same)-1).Draw(t, "named")]
					e.Label.Event = named.event.ID
				}
			}
			e.Payment.ID = rec.Tenant // for the test's own use
			rec.IDs = secrets.IDs(e)

			p := &Prepared{}
			prepared := set
			set.Prepare(rec, &scope, p)
			var touches []Touch
			if named == nil {
				pasts = append(pasts, past{e, slices.Clone(p.Touches())})
			} else {
				touches = named.touches
			}
			var also []*risk.Event
			if named != nil {
				also = append(also, tenantView(named.event))
			}
			generation := disk.durable
			var wanted Wanted
			if st.view != nil && rapid.IntRange(0, 3).Draw(t, "prefetch") > 0 {
				if err := disk.durableView(func(r Reader) error { wanted.Add(p, touches); st.Prefetch(r, &wanted); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			ahead = append(ahead, func() {
				if set != prepared {
					set.Prepare(rec, &scope, p)
				}
				p.Recall(touches)
				st.Evict(generation)
				tm := st.Observe(p, e.Time, rec.Arrival, &v)
				if st.Err() != nil {
					t.Fatalf("event %d: %v", n, st.Err())
				}
				scope.Record, scope.Features = rec, v.Values
				set.Derive(&scope)

				mine := *rec
				mine.Event = *tenantView(e)
				wantTiming, want, wantPartial := m.observe(&mine, also)
				if tm != wantTiming {
					t.Fatalf("event %d: timing %+v, want %+v", n, tm, wantTiming)
				}
				for _, name := range names {
					if f := featureNamed(name); f.formula != nil {
						want[name] = f.formula(want)
					}
					i, _ := set.Index(name)
					f := featureNamed(name)
					got, want := v.Values[i], want[name]
					if rounded[f.agg] && math.Abs(got-want) <= 1e-9+1e-9*math.Abs(want) {
						continue
					}
					if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
						t.Fatalf("event %d at %d: %s = %v, want %v (busy %d, exact %d)\n%s", n, tm.At, name, got, want, busy, exactValues, f.yaml)
					}
				}
				got := map[string]risk.Time{}
				for _, g := range v.Partial {
					for _, f := range g.Features {
						if f != "ratio" {
							got[f] = g.Since
						}
					}
				}
				if !maps.Equal(got, wantPartial) {
					t.Fatalf("event %d: partial %v, want %v", n, got, wantPartial)
				}
			})
			catchUp(lag)
		}
		catchUp(0)
		disk.checkpoint(st)
		if len(disk.errs) > 0 {
			t.Fatalf("store: %v", disk.errs)
		}
		if len(st.gone) > 0 || st.Dirty() != 0 {
			t.Fatalf("after a checkpoint %d keys to delete, %d bytes dirty", len(st.gone), st.Dirty())
		}
	})
}

// tenantView makes entities of two tenants different in the model.
func tenantView(e *risk.Event) *risk.Event {
	c := *e
	for _, s := range []*string{&c.Card.Token, &c.Customer.ID, &c.Merchant.ID, &c.Sender.Account, &c.Receiver.Account} {
		if *s != "" {
			*s = e.Payment.ID + "/" + *s
		}
	}
	if c.Device.IP != "" && e.Payment.ID == "b" {
		c.Device.IP = map[string]string{"10.0.0.1": "11.0.0.1", "10.0.0.77": "11.0.0.77", "2001:db8::1": "2001:dead::1"}[c.Device.IP]
	}
	return &c
}

var loaded = map[string]*Set{}

func loadRapid(t *rapid.T, src string) *Set {
	if s := loaded[src]; s != nil {
		return s
	}
	set, list := Load("features.yaml", []byte(src), testEnv())
	if len(list) > 0 {
		t.Fatalf("Load: %v", list)
	}
	loaded[src] = set
	return set
}
