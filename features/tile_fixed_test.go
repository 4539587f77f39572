package features

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// busyRig gives one merchant so many events, a second apart, each with its card.
func busyRig(t testing.TB, features string, n int, card func(i int) string) *rig {
	r := &rig{t: t, set: mustLoad(t, "apiVersion: features/v1\nlimits: {allowed_lateness: 0s, exact_events: 256}\n"+
		"entities: {merchant: {key: merchant.id}}\nfeatures:\n"+features)}
	r.st = NewState(r.set)
	for i := range n {
		r.event(float64(i), func(e *risk.Event) {
			e.Merchant.ID, e.Card.Token = "m", card(i)
			e.Amount = risk.Money{Minor: int64(i%1000) + 1, Currency: "USD"}
		})
	}
	return r
}

func (r *rig) value(name string) float64 {
	i, _ := r.set.Index(name)
	return r.v.Values[i]
}

// The estimate of a distinct count stays within its documented error of the exact
// one, which is that of whole sixteenths of the window.
func TestDistinctOfABusyMerchant(t *testing.T) {
	for _, different := range []int{300, 10_000, 30_000} {
		if testing.Short() && different > 300 {
			continue
		}
		events := max(20_000, 2*different)
		window := events / 2
		r := busyRig(t, fmt.Sprintf("  cards: {distinct: {by: merchant, of: card.token, window: %ds}}\n", window), events,
			func(i int) string { return fmt.Sprint(i % different) })
		// So many seconds back the window may begin.
		least := min(different, window)
		most := min(different, window+window/16+1)
		got := r.value("cards")
		if !slices.Equal(r.set.Approximate(&r.v), []string{"cards"}) {
			t.Errorf("%d different: %v is not called approximate", different, got)
		}
		const error = 3 * 0.01625
		if low, high := float64(least)*(1-error), float64(most)*(1+error); got < low || got > high {
			t.Errorf("%d different: %v, want %v to %v", different, got, low, high)
		}
		t.Logf("%d different in a window of %d events: %v", different, window, got)
	}
}

// Up to 256 different values the count is exact however many events there are, and
// sums and counts are those of the grid's next instant.
func TestTilesOfABusyMerchant(t *testing.T) {
	r := busyRig(t, "  cards: {distinct: {by: merchant, of: card.token, window: 1h}}\n  n: {count: {by: merchant, window: 1h}}\n"+
		"  short: {count: {by: merchant, window: 60s}}\n  most: {max: {by: merchant, of: amount.base, window: 1h}}\n"+
		"  twice: {expr: n * 2}\n", 20_000, func(i int) string { return fmt.Sprint(i % 250) })
	width := 3600.0 * 1000 / 256
	now := float64(start.Add(19_999 * time.Second))
	lo := math.Floor((now-3_600_000)/math.Floor(width)) * math.Floor(width)
	r.want("n", math.Floor((now-lo-1)/1000)+1)
	r.want("cards", 250)
	r.want("short", 60)
	r.want("most", 10)
	if got := r.set.Approximate(&r.v); !slices.Equal(got, []string{"cards", "n", "twice"}) {
		t.Errorf("approximate are %v", got)
	}
	e := r.st.all()[0]
	if e.entries < 256 || e.entries > 256+16 {
		t.Errorf("%d entries in the log, want 256 to 272", e.entries)
	}
	// After a quiet hour all is exact, and nothing of the tiles is left.
	for i := range 40 {
		r.event(24_000+float64(i), func(e *risk.Event) { e.Merchant.ID, e.Card.Token = "m", "c" })
	}
	r.want("n", 40)
	if got := r.set.Approximate(&r.v); got != nil {
		t.Errorf("after a quiet hour approximate are %v", got)
	}
	if e.past != nil {
		t.Errorf("after a quiet hour there are tiles until %v", e.past.until)
	}
}

// Stored tiles that are damaged are refused, or at least do no harm: the store's
// sums are what finds a bit that has flipped.
func TestDamagedTiles(t *testing.T) {
	if testing.Short() {
		t.Skip("what is done to stored values has nothing beside it")
	}
	r := busyRig(t, `  cards: {distinct: {by: merchant, of: card.token, window: 1h}}
  many:  {distinct: {by: merchant, of: amount.base, window: 3d}}
  n:     {count: {by: merchant, window: 1h}}
  most:  {max: {by: merchant, of: amount.base, window: 1h}}
  share: {share: {by: merchant, of: card.token, window: 1h}}
  p95:   {quantile: {by: merchant, of: amount.base, q: 0.95, window: 3d}}
  last:  {sum: {by: merchant, of: amount.base, window: {last: 3}, delay: 80m}}
`, 6000, func(i int) string { return fmt.Sprint(i % 20) })
	disk := newMemory()
	disk.checkpoint(r.st)
	disk.settle(disk.taken)
	if len(disk.errs) > 0 {
		t.Fatal(disk.errs)
	}
	kinds := map[byte]bool{}
	read := func(key string, value []byte) error {
		whole := disk.values[key]
		defer func() { disk.values[key] = whole }()
		disk.values[key] = value
		st := NewState(r.set)
		st.Attach(0, disk.view)
		if err := st.Restore(disk.small); err != nil {
			t.Fatal(err)
		}
		for k := range disk.values {
			st.Known([]byte(k))
		}
		return disk.warm(st)
	}
	for key, value := range disk.values {
		if key[16] != pastKey && key[16] != blockKey {
			continue
		}
		if key[16] == blockKey {
			if kinds[value[1]] {
				continue
			}
			kinds[value[1]] = true
		}
		if err := read(key, value); err != nil {
			t.Fatalf("whole: %v", err)
		}
		for _, n := range []int{0, 1, 2, len(value) / 2, len(value) - 1} {
			// A value that ends between two of its items cannot be told from a whole one.
			if n < len(value) && read(key, value[:n]) == nil && (n < 3 || key[16] == pastKey || value[1] == ranksBlock) {
				t.Errorf("key %x: %d of %d bytes are taken", key[16:], n, len(value))
			}
		}
		if read(key, append(bytes.Clone(value), 0)) == nil {
			t.Errorf("key %x: a byte too many is taken", key[16:])
		}
		for i := range min(len(value), 12) {
			bad := bytes.Clone(value)
			bad[i] ^= 1 << (i % 8)
			if err := read(key, bad); err == nil && (i == 0 || i == 1 && key[16] == blockKey) {
				t.Errorf("key %x: byte %d as %#x is taken", key[16:], i, bad[i])
			}
		}
	}
	if len(kinds) != 5 {
		t.Errorf("kinds of blocks %v, want all five", kinds)
	}
}

// An event that leaves the log for a tile leaves a coarse tally as what it was there.
func TestCoarseTallyGivesBackWhatItHolds(t *testing.T) {
	defer shrink(2)()
	defer shrinkTiles(1, 1, 1, 1)()
	set, err := Load("features.yaml", []byte(tiledYAML(3, []string{"all", "seen_2h"})), testEnv())
	if err != nil {
		t.Fatal(err)
	}
	running, plain := NewState(set), NewState(set)
	running.busy, plain.busy = 0, 1<<30
	var p Prepared
	var got, want Vector
	var scope expression.Scope
	for n, x := range []struct {
		after time.Duration
		shop  string
	}{
		{0, "m1"}, {0, "m1"}, {0, "m1"}, {0, "m1"}, {0, "m6"}, {4000 * time.Second, "m2"}, {4004 * time.Second, "m2"}, {4404 * time.Second, "m1"},
		{3444 * time.Second, "m3"}, {4444 * time.Second, "m6"}, {4447 * time.Second, "m5"}, {4448 * time.Second, "m3"}, {853 * time.Second, "m2"},
	} {
		rec := &risk.Record{Tenant: "t", Event: risk.Event{ID: fmt.Sprint(n), Type: "payment.authorization", Time: risk.Time(1_700_000_000_000).Add(x.after)}}
		rec.Event.Card.Token, rec.Event.Merchant.ID = "a", x.shop
		rec.IDs, rec.Arrival = secrets.IDs(&rec.Event), rec.Event.Time.Add(2*time.Hour)
		set.Prepare(rec, &scope, &p)
		running.Observe(&p, rec.Event.Time, rec.Arrival, &got)
		plain.Observe(&p, rec.Event.Time, rec.Arrival, &want)
		if !slices.Equal(got.Values, want.Values) {
			t.Errorf("event %d: %v, want %v", n, got.Values, want.Values)
		}
	}
}
