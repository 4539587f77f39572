package features

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// rig observes events one by one.
type rig struct {
	t     testing.TB
	set   *Set
	st    *State
	p     Prepared
	v     Vector
	scope expression.Scope

	lat, lon float64 // of the next events' IP address, unless both are 0
}

func newRig(t testing.TB, features string) *rig {
	set := mustLoad(t, modelHeader+features)
	return &rig{t: t, set: set, st: NewState(set)}
}

const start = risk.Time(1_700_000_000_000)

// event observes an event so many seconds after the start; set fills it in.
func (r *rig) event(seconds float64, set func(*risk.Event)) Timing {
	rec := &risk.Record{Tenant: "t", Arrival: start.Add(time.Duration(seconds * float64(time.Second)))}
	rec.Event.Type, rec.Event.Time = "payment.authorization", rec.Arrival
	set(&rec.Event)
	rec.Facts.Base = rec.Event.Amount
	if r.lat != 0 || r.lon != 0 {
		rec.Facts.IPLat, rec.Facts.IPLon = risk.Number{Value: r.lat, Set: true}, risk.Number{Value: r.lon, Set: true}
	}
	rec.IDs = secrets.IDs(&rec.Event)
	r.set.Prepare(rec, &r.scope, &r.p)
	tm := r.st.Observe(&r.p, rec.Event.Time, rec.Arrival, &r.v)
	r.scope.Features = r.v.Values
	r.set.Derive(&r.scope)
	return tm
}

func (r *rig) want(name string, want float64) {
	r.t.Helper()
	i, ok := r.set.Index(name)
	if !ok {
		r.t.Fatalf("no feature %s", name)
	}
	if got := r.v.Values[i]; got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
		r.t.Errorf("%s = %v, want %v", name, got, want)
	}
}

func onCard(e *risk.Event) { e.Card.Token = "c" }

func TestWindowsAreOpenAtTheirStart(t *testing.T) {
	r := newRig(t, "  n: {count: {by: card, window: 30s}}\n  before: {count: {by: card, window: 30s, current: exclude}}\n")
	r.event(0, onCard)
	r.want("n", 1)
	r.want("before", 0)
	r.event(29.999, onCard)
	r.want("n", 2)
	r.event(30, onCard) // the first is 30 s old to the millisecond
	r.want("n", 2)
	r.want("before", 1)
}

func TestNothingAndNobody(t *testing.T) {
	r := newRig(t, `  n: {count: {by: card, events: [x]}}
  total: {sum: {by: card, of: amount.base, events: [x]}}
  kinds: {distinct: {by: card, of: merchant.id, events: [x]}}
  mean: {avg: {by: card, of: amount.base, events: [x]}}
  most: {max: {by: card, of: amount.base, events: [x]}}
  newest: {last: {by: card, of: amount.base, events: [x]}}
  since: {since_last: {by: card, events: [x]}}
  formula: {expr: mean + 1}
  guarded: {expr: "has(mean) ? mean : -1"}
`)
	r.event(0, onCard)
	for _, zero := range []string{"n", "total", "kinds"} {
		r.want(zero, 0)
	}
	for _, none := range []string{"mean", "most", "newest", "since", "formula"} {
		r.want(none, missing)
	}
	r.want("guarded", -1)
	r.event(1, func(e *risk.Event) { e.Type = "x" })
	for _, none := range []string{"n", "total", "kinds", "since"} {
		r.want(none, missing) // no card, nothing to count by
	}
}

func TestSinceLast(t *testing.T) {
	r := newRig(t, `  pause: {since_last: {by: card, current: exclude}}
  self: {since_last: {by: card}}
  chargeback: {since_last: {by: card, events: [chargeback]}}
`)
	r.event(0, onCard)
	r.want("pause", missing)
	r.want("self", 0)
	r.event(1.5, func(e *risk.Event) { e.Card.Token, e.Type = "c", "chargeback" })
	r.want("pause", 1.5)
	r.want("chargeback", 0)
	r.event(4.001, onCard)
	r.want("pause", 2.501)
	r.want("self", 0)
	r.want("chargeback", 2.501)
}

func TestLateFutureAndTooLate(t *testing.T) {
	r := newRig(t, "  n: {count: {by: card, window: 1h}}\n")
	at := func(arrival, event float64) Timing {
		return r.event(arrival, func(e *risk.Event) {
			onCard(e)
			e.Time = start.Add(time.Duration(event * float64(time.Second)))
		})
	}
	at(7200, 7200)
	if tm := at(7201, 7501.001); tm != (Timing{At: start.Add(7501 * time.Second), Future: true}) {
		t.Errorf("an event far ahead: %+v", tm)
	}
	r.want("n", 2)
	if tm := at(7202, 3901); tm.TooLate { // exactly as late as is allowed
		t.Errorf("an event at the floor: %+v", tm)
	}
	r.want("n", 1)
	if tm := at(7203, 3900.999); !tm.TooLate || tm.At != start.Add(3900999*time.Millisecond) {
		t.Errorf("an event behind the floor: %+v", tm)
	}
	r.want("n", 1) // as of the floor, and itself not counted
	at(7204, 7501)
	r.want("n", 3) // the late one lies exactly an hour back
	if got, want := r.st.Watermark(), start.Add(7501*time.Second); got != want {
		t.Errorf("Watermark() = %v, want %v", got, want)
	}
}

func TestMoneyOfTheEventsOwnCurrency(t *testing.T) {
	r := newRig(t, "  total: {sum: {by: card, of: amount.value}}\n  most: {max: {by: card, of: amount.value}}\n")
	for i, m := range []risk.Money{{Minor: 999_999_999_999, Currency: "JPY"}, {Minor: 10, Currency: "USD"}, {Minor: 20, Currency: "USD"}, {Minor: 1, Currency: "KWD"}} {
		r.event(float64(i), func(e *risk.Event) { onCard(e); e.Amount = m })
	}
	r.want("total", 999_999_999_999.301)
	r.want("most", 999_999_999_999)
}

func TestNumbersThatCannotBeSummedAreMissing(t *testing.T) {
	r := newRig(t, "  n: {sum: {by: card, of: custom.basket}}\n  zeros: {distinct: {by: card, of: custom.basket}}\n")
	for i, x := range []float64{1e18, -1e300, 999e15, 0, math.Copysign(0, -1)} {
		r.event(float64(i), func(e *risk.Event) {
			onCard(e)
			e.Custom = []risk.Custom{{Name: "basket", Kind: risk.Decimal, Number: x}}
		})
	}
	r.want("n", 999e15)
	r.want("zeros", 2)
}

func TestFailuresAreCounted(t *testing.T) {
	r := newRig(t, `  a: {count: {by: card, where: amount.base / custom.basket > 1}}
  b: {sum: {by: card, of: 1 / custom.basket}}
  c: {count: {by: card, where: custom.tier == "gold"}}
`)
	basket := func(x float64) func(*risk.Event) {
		return func(e *risk.Event) {
			onCard(e)
			e.Amount = risk.Money{Minor: 1000, Currency: "USD"}
			e.Custom = []risk.Custom{{Name: "basket", Kind: risk.Decimal, Number: x}}
		}
	}
	r.event(0, basket(0))
	if got := r.p.Failures(); got != 2 {
		t.Errorf("Failures() = %d, want both divisions by zero", got)
	}
	r.event(1, basket(2))
	r.want("a", 1)
	r.want("b", 0.5)
	if got := r.p.Failures(); got != 0 {
		t.Errorf("Failures() = %d after a good event", got)
	}
}

func TestErasedRecordsCountTheSame(t *testing.T) {
	var names []string
	for _, f := range modelFeatures {
		names = append(names, f.name)
	}
	set := mustLoad(t, modelYAML(names))
	rec := traffic(1, 10, 1)[0]
	rec.Event.Customer.Email, rec.Event.Sender.Account, rec.Event.Receiver.Account = "a@b.co", "x", "y"
	rec.Event.Card.BIN = "411111"
	rec.IDs = secrets.IDs(&rec.Event)
	erased := *rec
	erased.Erased = true
	for _, f := range risk.Fields {
		switch {
		case f.Class == risk.Plain:
		case f.Text != nil:
			*f.Text(&erased.Event) = ""
		case f.Time != nil:
			*f.Time(&erased.Event) = 0
		}
	}
	if erased.Event.Card.Token != "" || erased.Event.Device.IP != "" || erased.Event.Merchant.ID == "" {
		t.Fatal("the record is not erased as it should be")
	}
	var scope expression.Scope
	var whole, rest Prepared
	set.Prepare(rec, &scope, &whole)
	set.Prepare(&erased, &scope, &rest)
	if len(whole.touches) < 7 || slices.Max(whole.mask) == 0 {
		t.Fatalf("the record touches %d entities", len(whole.touches))
	}
	if !slices.Equal(whole.ids, rest.ids) || !slices.Equal(whole.touches, rest.touches) ||
		!slices.Equal(whole.mask, rest.mask) || !slices.Equal(whole.values, rest.values) {
		t.Errorf("prepared\n%+v, erased\n%+v", whole, rest)
	}
}

func TestTouchesNameTheAccountInItsRoles(t *testing.T) {
	r := newRig(t, "  n: {count: {by: {entity: account, read: sender.account}}}\n")
	r.event(0, func(e *risk.Event) { e.Sender.Account, e.Receiver.Account = "x", "x" })
	r.want("n", 1) // once, though the account is on both sides
	touches := r.p.Touches()
	if len(touches) != 2 || touches[0].ID != touches[1].ID || touches[0].Role == touches[1].Role {
		t.Errorf("touches of a transfer to oneself: %x", touches)
	}
	other := mustLoad(t, "apiVersion: features/v1\nentities:\n  x: {key: card.token}\n  account: {keys: [receiver.account, sender.account]}\n")
	rec := &risk.Record{Tenant: "t"}
	rec.Event.Sender.Account = "x"
	rec.IDs = secrets.IDs(&rec.Event)
	var p Prepared
	other.Prepare(rec, &r.scope, &p)
	if got := p.Touches(); len(got) != 1 || got[0] != touches[0] {
		t.Errorf("in another release: %x, want %x", got, touches[0])
	}
}

// What is kept up to date must equal what is computed, also where windows hold
// thousands of events and some are late.
func TestBusyEntitiesAgainstScan(t *testing.T) {
	features := `  n: {count: {by: card, window: 10m}}
  total: {sum: {by: card, of: amount.base, window: 10m, delay: 1m}}
  cards: {distinct: {by: card, of: merchant.id, window: 10m}}
  cards_life: {distinct: {by: card, of: merchant.id, where: amount.base > 3}}
  least: {min: {by: card, of: amount.base, window: 10m, current: exclude}}
  most: {max: {by: card, of: amount.base, window: 5m, delay: 1m}}
  most_life: {max: {by: card, of: amount.base}}
  newest: {last: {by: card, of: amount.base, window: 10m, where: amount.base < 1}}
  since: {since_last: {by: card, current: exclude, where: amount.base < 0.1}}
  spread: {stddev: {by: card, of: amount.base, window: 10m}}
  median: {quantile: {by: card, of: amount.base, q: 0.5, window: 10m, delay: 30s}}
  p95_life: {quantile: {by: card, of: amount.base, q: 0.95}}
  oldest: {first: {by: card, of: amount.base, window: 10m, where: amount.base < 1}}
  since_first: {since_first: {by: card, window: 5m}}
  commonest: {share: {by: card, of: merchant.id, window: 10m}}
  commonest_life: {share: {by: card, of: merchant.id}}
  known: {seen: {by: card, of: merchant.id, window: 2m}}
  known_life: {seen: {by: card, of: merchant.id, where: amount.base > 9}}
  alike: {similar: {by: card, of: amount.base, within: 0.1, window: 10m}}
  alike_life: {similar: {by: card, of: amount.base, within: 0.05}}
  small_run: {run: {by: card, while: amount.base < 9.9, window: 10m}}
  small_run_life: {run: {by: card, while: amount.base < 9.95}}
  digits: {benford: {by: card, of: amount.base, window: 10m}}
  last_mean: {avg: {by: card, of: amount.base, window: {last: 40}, where: amount.base < 1}}
  last_least: {min: {by: card, of: amount.base, window: {last: 7}, delay: 1m, where: amount.base < 0.5}}
  near: {nearby: {by: card, of: ip, within: 400, window: 10m}}
  near_life: {nearby: {by: card, of: ip, within: 400}}
  moved: {distance: {by: card, of: ip, where: amount.base < 1}}
  speed: {speed: {by: card, of: ip, window: 10m, delay: 1s}}
  wording: {text_distance: {by: card, of: merchant.name, where: amount.base < 1}}
  enough: {max: {by: card, of: amount.base, window: 10m, where: amount.base < 5, min_count: 300}}
`
	defer func(n int64) { exactValues = n }(exactValues)
	exactValues = 700
	rng := rand.New(rand.NewPCG(3, 4))
	kept, computed := newRig(t, features), newRig(t, features)
	computed.st.busy = math.MaxInt
	now := 0.0
	for i := range unlessShort(2_500, 900) {
		now += rng.Float64()
		at := now
		switch rng.IntN(40) {
		case 0, 1, 2, 3, 4, 5:
			at -= rng.Float64() * 2
		case 6:
			at -= rng.Float64() * 4000
		}
		minor, shop := rng.Int64N(1000), rng.IntN(500)
		for _, r := range []*rig{kept, computed} {
			r.lat, r.lon = float64(shop%50)-20, float64(minor%7)
			r.event(now, func(e *risk.Event) {
				onCard(e)
				e.Time = start.Add(time.Duration(at * float64(time.Second)))
				e.Amount = risk.Money{Minor: minor, Currency: "USD"}
				e.Merchant.ID = fmt.Sprint(shop)
				e.Merchant.Name = fmt.Sprint("shop ", shop*shop)
			})
		}
		for f, name := range kept.set.Names() {
			if got, want := kept.v.Values[f], computed.v.Values[f]; got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Fatalf("event %d: %s = %v kept, %v computed", i, name, got, want)
			}
		}
	}
	for _, e := range kept.st.all() {
		for bit, s := range kept.set.slots {
			if !e.run[bit].on && !s.agg.oldest && !s.agg.newest() {
				t.Errorf("slot %d, %s, of a busy card is not kept up to date", bit, s.agg.name)
			}
		}
	}
}

// Values must be the same whatever the encoding: every chunk fits its bound, the
// state is the same bytes when written again, and a checkpoint without changes
// writes nothing.
func TestCheckpointsAreStable(t *testing.T) {
	set := mustLoad(t, typical)
	st, disk := NewState(set), newMemory()
	var p Prepared
	var v Vector
	var scope expression.Scope
	for _, rec := range traffic(unlessShort(20_000, 2_000), 300, 60_000) {
		set.Prepare(rec, &scope, &p)
		st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
	}
	disk.small = st.Checkpoint(1, disk.put)
	writes := 0
	if again := st.Checkpoint(1, func(_, _ []byte, _ uint64) uint64 { writes++; return 1 }); writes > 0 || !bytes.Equal(again, disk.small) {
		t.Errorf("a checkpoint without changes writes %d values", writes)
	}
	back, err := disk.restore(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.warm(back); err != nil {
		t.Fatal(err)
	}
	for _, e := range back.all() {
		back.list(e)
		for i := range e.chunks {
			e.chunks[i].dirty = e.chunks[i].stored > 0
		}
		for _, f := range e.folds {
			if f != nil && f.keys != nil {
				for part := range f.keys.stale {
					f.keys.stale[part] = true
				}
			}
		}
	}
	twice := newMemory()
	maps.Copy(twice.sums, disk.sums)
	twice.small = back.Checkpoint(1, twice.put)
	if len(twice.errs) > 0 {
		t.Errorf("store: %v", twice.errs[:1])
	}
	if !bytes.Equal(twice.small, disk.small) || !maps.EqualFunc(twice.values, disk.values, bytes.Equal) {
		t.Errorf("written again, %d values differ from %d", len(twice.values), len(disk.values))
	}
}

func TestLifeDistinctIsStoredInParts(t *testing.T) {
	r := newRig(t, "  shops: {distinct: {by: card, of: merchant.id}}\n")
	const n = 3*keysPart + 700
	for i := range n {
		r.event(float64(i)*10, func(e *risk.Event) { onCard(e); e.Merchant.ID = fmt.Sprint(i) })
	}
	r.want("shops", n)
	disk := newMemory()
	disk.small = r.st.Checkpoint(1, disk.put)
	parts := 0
	for k := range disk.values {
		if k[16] == keysKey {
			parts++
		}
	}
	if parts != 4 {
		t.Errorf("%d parts, want 4", parts)
	}
	st, err := disk.restore(r.set)
	if err != nil {
		t.Fatal(err)
	}
	r.st = st
	r.event(n*10, func(e *risk.Event) { onCard(e); e.Merchant.ID = "0" })
	r.want("shops", n)
	for i := range 400 {
		r.event(float64(n+i)*10, func(e *risk.Event) { onCard(e); e.Merchant.ID = fmt.Sprint("more", i) })
	}
	r.want("shops", n+400)
	written := 0
	disk.small = r.st.Checkpoint(1, func(k, v []byte, replaces uint64) uint64 {
		if k[16] == keysKey {
			written++
		}
		return disk.put(k, v, replaces)
	})
	if written != 1 || len(disk.errs) > 0 {
		t.Errorf("%d parts written again, want the last; store: %v", written, disk.errs)
	}
}

func TestIdleEntitiesAreForgotten(t *testing.T) {
	r := newRig(t, "  n: {count: {by: card, window: 10m}}\n  kept: {count: {by: customer}}\n")
	disk := newMemory()
	for i := range 500 {
		r.event(float64(i), func(e *risk.Event) { e.Card.Token = fmt.Sprint(i) })
	}
	r.event(500, func(e *risk.Event) { e.Customer.ID = "u" })
	disk.small = r.st.Checkpoint(1, disk.put)
	for i := range 1000 * sweepEvery {
		r.event(90_000+float64(i), onCard)
	}
	disk.small = r.st.Checkpoint(1, disk.put)
	if n := r.st.table.used; n != 2 || len(r.st.all()) != 2 {
		t.Errorf("%d entities, want a card and the customer", n)
	}
	stored := map[string]bool{}
	for k := range disk.values {
		stored[k[:16]] = true
	}
	if len(stored) != 2 || len(disk.errs) > 0 {
		t.Errorf("values of %d entities are stored, want 2; %v", len(stored), disk.errs)
	}
	r.event(95_000, func(e *risk.Event) { e.Customer.ID = "u" })
	r.want("kept", 2)
}

func TestPreparedForAnotherRelease(t *testing.T) {
	r := newRig(t, "  n: {count: {by: card}}\n")
	r.event(0, onCard)
	r.st.Activate(mustLoad(t, modelHeader+"  n: {count: {by: card}}\n"))
	defer func() {
		if recover() == nil {
			t.Error("Observe took an event prepared for another release")
		}
	}()
	r.st.Observe(&r.p, start, start, &r.v)
}

// everyFold has each aggregate that folds into something of its own.
const everyFold = `  f_spread: {stddev: {by: ip_net, of: amount.base}}
  f_p95: {quantile: {by: ip_net, of: amount.base, q: 0.95}}
  f_like: {similar: {by: ip_net, of: amount.base, within: 0.1}}
  f_share: {share: {by: ip_net, of: card.bin}}
  f_seen: {seen: {by: ip_net, of: card.bin}}
  f_near: {nearby: {by: ip_net, of: ip, within: 5}}
  f_run: {run: {by: ip_net, while: amount.base < 900}}
  f_text: {text_distance: {by: ip_net, of: merchant.name}}
  f_last: {avg: {by: ip_net, of: amount.base, window: {last: 9}}}
  f_digits: {benford: {by: ip_net, of: amount.base}}
  f_first: {first: {by: ip_net, of: amount.base}}
`

// everyTile has each aggregate that makes something of its own of tiles.
const everyTile = `  t_fails: {run: {by: ip_net, while: amount.base < 900, window: 20d, delay: 6h}}
  t_spread: {stddev: {by: ip_net, of: amount.base, window: 20d}}
  t_digits: {benford: {by: ip_net, of: amount.base, window: 20d}}
  t_text: {text_distance: {by: ip_net, of: merchant.name, window: 20d, delay: 6h}}
  t_last: {avg: {by: ip_net, of: amount.base, window: {last: 9}, delay: 20d}}
  t_shops: {distinct: {by: ip_net, of: merchant.id, window: 20d}}
  t_cards: {distinct: {by: ip_net, of: card.bin, window: 20d}}
  t_share: {share: {by: ip_net, of: merchant.id, window: 20d}}
  t_seen: {seen: {by: ip_net, of: card.bin, window: 20d}}
  t_p95: {quantile: {by: ip_net, of: amount.base, q: 0.95, window: 20d}}
`

func FuzzRestore(f *testing.F) {
	// Of most entities so few events stay in the log that they fit the head: then one
	// row more may be all that is missing.
	f.Cleanup(shrinkTiles(1, 16, 8, 512))
	set := mustLoad(f, strings.Replace(typical, "entities:", "limits: {exact_events: 16, allowed_lateness: 72h}\nentities:", 1)+everyFold+everyTile)
	st, disk := NewState(set), newMemory()
	var p Prepared
	var v Vector
	var scope expression.Scope
	recs := traffic(2000, 20, 600_000)
	for i, rec := range recs {
		rec.Event.Merchant.Name, rec.Event.Card.BIN = fmt.Sprint("shop ", i%7), fmt.Sprint(i%300)
		rec.Facts.IPLat, rec.Facts.IPLon = risk.Number{Value: float64(i % 50), Set: true}, risk.Number{Value: 9, Set: true}
		set.Prepare(rec, &scope, &p)
		st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
	}
	disk.small = st.Checkpoint(1, disk.put)
	heads, parts, kinds := 0, map[string]bool{}, map[string]bool{}
	var head, past string
	for _, k := range slices.Sorted(maps.Keys(disk.values)) {
		switch k[16] {
		case headKey:
			head = k
		case chunkKey, keysKey:
			if kind := k[16:21]; !parts[kind] || heads < 3 { // one part of each slot at least
				heads++
				parts[kind] = true
				f.Add(disk.small, []byte(head), disk.values[head], []byte(k), disk.values[k])
			}
		case pastKey:
			if past = k; len(kinds) == 0 {
				f.Add(disk.small, []byte(head), disk.values[head], []byte(k), disk.values[k])
			}
		case blockKey:
			if kind := fmt.Sprintf("%x %d", k[17:21], disk.values[k][1]); !kinds[kind] { // of each slot as values and coarse
				kinds[kind] = true
				f.Add(disk.small, []byte(head), disk.values[head], []byte(k), disk.values[k])
			}
		}
	}
	different := map[byte]bool{}
	for kind := range kinds {
		different[kind[len(kind)-1]] = true
	}
	if len(parts) < 8 || len(kinds) < 12 || len(different) < 5 {
		f.Fatalf("parts of %d kinds, blocks of %d slots and %d kinds", len(parts), len(kinds), len(different))
	}
	until := disk.values[past]
	f.Add(disk.small, []byte(head), []byte{}, []byte(head), []byte{1})
	f.Fuzz(func(t *testing.T, small, headKey, head, partKey, part []byte) {
		st := NewState(set)
		if st.Restore(small) != nil {
			st = NewState(set)
			if err := st.Restore(disk.small); err != nil {
				t.Fatal(err)
			}
		}
		if e, more, err := restoreHead(*st.known.Load(), row{headKey, head, 1}); err == nil {
			if len(partKey) > len(e.id) && partKey[len(e.id)] == blockKey { // which comes behind the row of the tiles
				_ = e.restoreRow(row{e.pastKey(), until, 1})
			}
			if more {
				_ = e.restoreRow(row{partKey, part, 1})
			}
			if e.end() == nil {
				st.adopt(e)
			}
		}
		for _, rec := range slices.Concat(recs[:2], recs[len(recs)-4:]) {
			set.Prepare(rec, &scope, &p)
			st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
		}
		st.Checkpoint(1, func(_, value []byte, _ uint64) uint64 {
			if len(value) > maxValue {
				t.Fatalf("value of %d bytes", len(value))
			}
			return 1
		})
	})
}

// A row that says it is of another entity, defined or not, is refused when an event
// touches it.
func TestRowOfAnotherEntity(t *testing.T) {
	const head = "apiVersion: features/v1\nentities: {card: {key: card.token}, device: {key: device.id}}\nfeatures:\n  a: {sum: {by: card, of: amount.base, window: 1d}}\n"
	both, one := mustLoad(t, head+"  b: {distinct: {by: device, of: card.token}}\n"), mustLoad(t, strings.Replace(head, ", device: {key: device.id}", "", 1))
	var p Prepared
	var v Vector
	var scope expression.Scope
	rec := traffic(1, 1, 1)[0]
	st, disk := NewState(both), newMemory()
	both.Prepare(rec, &scope, &p)
	st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
	disk.small = st.Checkpoint(1, disk.put)

	keys := slices.DeleteFunc(slices.Collect(maps.Keys(disk.values)), func(k string) bool { return k[16] != headKey })
	if len(keys) != 2 {
		t.Fatalf("%d heads, want 2", len(keys))
	}
	a, b := keys[0], keys[1]
	disk.values[a], disk.values[b] = disk.values[b], disk.values[a]
	for _, set := range []*Set{one, both} {
		st, err := disk.restore(set)
		if err != nil {
			t.Fatal(err)
		}
		set.Prepare(rec, &scope, &p)
		st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
		if err := st.Err(); err == nil || !strings.Contains(err.Error(), "is of another entity") {
			t.Errorf("%d entities: Err() = %v, want that the layout is of another entity", len(set.entities), err)
		}
	}
}

// Restoring under another release is the same as activating it.
func TestRestoreUnderAnotherRelease(t *testing.T) {
	all := make([]string, 0, len(modelFeatures))
	for _, f := range modelFeatures {
		if f.formula == nil {
			all = append(all, f.name)
		}
	}
	before, after := mustLoad(t, modelYAML(all[:len(all)/2])), mustLoad(t, modelYAML(all[len(all)/3:]))
	st, disk := NewState(before), newMemory()
	var p Prepared
	var v, w Vector
	var scope expression.Scope
	half := unlessShort(2000, 500)
	recs := traffic(2*half, 20, 5000)
	for _, rec := range recs[:half] {
		before.Prepare(rec, &scope, &p)
		st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
	}
	disk.small = st.Checkpoint(1, disk.put)
	st.Activate(after)
	back, err := disk.restore(after)
	if err != nil {
		t.Fatal(err)
	}
	for i, rec := range recs[half:] {
		after.Prepare(rec, &scope, &p)
		st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
		back.Observe(&p, rec.Event.Time, rec.Arrival, &w)
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if !slices.EqualFunc(v.Values, w.Values, same) || fmt.Sprint(v.Partial) != fmt.Sprint(w.Partial) {
			t.Fatalf("event %d: %v %v, want %v %v", i, w.Values, w.Partial, v.Values, v.Partial)
		}
	}
	if len(v.Partial) == 0 {
		t.Error("no feature is partial after a release that adds some")
	}
}

// unlessShort is how many there are of something, fewer under the race detector, which
// a state that one goroutine owns gives little to find.
func unlessShort(n, short int) int {
	if testing.Short() {
		return short
	}
	return n
}
