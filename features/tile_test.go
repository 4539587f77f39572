package features

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// shrinkTiles makes short tests reach every path of tiles.
func shrinkTiles(least, latest, values, steps int) func() {
	a, b, c, d := leastExact, latestExact, blockValues, mostSteps
	leastExact, latestExact, blockValues, mostSteps = least, latest, values, steps
	return func() { leastExact, latestExact, blockValues, mostSteps = a, b, c, d }
}

// tiledFeature says the same twice, as YAML and for the model.
type tiledFeature struct {
	name, agg     string
	window, delay time.Duration
	exclude       bool
	cash          bool // counts only cash
	last          int
}

var tiledFeatures = []tiledFeature{
	{name: "all", agg: "count"},
	{name: "n_10m", agg: "count", window: 10 * time.Minute},
	{name: "n_2h", agg: "count", window: 2 * time.Hour},
	{name: "n_2h_before", agg: "count", window: 2 * time.Hour, exclude: true, cash: true},
	{name: "n_delayed", agg: "count", window: time.Hour, delay: 40 * time.Minute},
	{name: "n_life_delayed", agg: "count", delay: 90 * time.Minute},
	{name: "sum_3h", agg: "sum", window: 3 * time.Hour},
	{name: "sum_5h_delayed", agg: "sum", window: 5 * time.Hour, delay: 30 * time.Second, cash: true},
	{name: "avg_1h", agg: "avg", window: time.Hour},
	{name: "min_2h", agg: "min", window: 2 * time.Hour},
	{name: "max_2h", agg: "max", window: 2 * time.Hour, cash: true},
	{name: "max_delayed", agg: "max", window: time.Hour, delay: 50 * time.Minute},
	{name: "max_life", agg: "max"},
	{name: "min_life_delayed", agg: "min", delay: time.Hour},
	{name: "last_3h", agg: "last", window: 3 * time.Hour, cash: true},
	{name: "last_delayed", agg: "last", window: 2 * time.Hour, delay: time.Hour},
	{name: "last_life_delayed", agg: "last", delay: 30 * time.Minute},
	{name: "since_3h", agg: "since_last", window: 3 * time.Hour, cash: true, exclude: true},
	{name: "since_delayed", agg: "since_last", window: time.Hour, delay: time.Hour},
	{name: "shops_3h", agg: "distinct", window: 3 * time.Hour},
	{name: "shops_1h_cash", agg: "distinct", window: time.Hour, cash: true},
	{name: "shops_delayed", agg: "distinct", window: 2 * time.Hour, delay: 30 * time.Minute},
	{name: "shops_life", agg: "distinct"},
	{name: "shops_life_delayed", agg: "distinct", delay: 70 * time.Minute},
	{name: "spread_2h", agg: "stddev", window: 2 * time.Hour},
	{name: "digits_3h", agg: "benford", window: 3 * time.Hour, delay: 10 * time.Minute},
	{name: "first_2h", agg: "first", window: 2 * time.Hour},
	{name: "first_delayed", agg: "first", window: time.Hour, delay: time.Hour, cash: true},
	{name: "since_first_3h", agg: "since_first", window: 3 * time.Hour, cash: true},
	{name: "first_life_delayed", agg: "first", delay: time.Hour},
	{name: "run_3h", agg: "run", window: 3 * time.Hour},
	{name: "run_delayed", agg: "run", window: time.Hour, delay: 45 * time.Minute},
	{name: "run_life", agg: "run"},
	{name: "run_life_delayed", agg: "run", delay: time.Hour},
	{name: "share_2h", agg: "share", window: 2 * time.Hour},
	{name: "share_delayed", agg: "share", window: time.Hour, delay: 50 * time.Minute},
	{name: "share_life_delayed", agg: "share", delay: 50 * time.Minute},
	{name: "seen_2h", agg: "seen", window: 2 * time.Hour, exclude: true},
	{name: "seen_delayed", agg: "seen", window: 2 * time.Hour, delay: time.Hour, exclude: true, cash: true},
	{name: "median_2h", agg: "quantile", window: 2 * time.Hour},
	{name: "median_delayed", agg: "quantile", window: 2 * time.Hour, delay: 20 * time.Minute},
	{name: "median_life_delayed", agg: "quantile", delay: 20 * time.Minute},
	{name: "similar_3h", agg: "similar", window: 3 * time.Hour, cash: true},
	{name: "text_2h", agg: "text_distance", window: 2 * time.Hour, exclude: true},
	{name: "text_delayed", agg: "text_distance", window: time.Hour, delay: time.Hour, exclude: true},
	{name: "last3", agg: "sum", last: 3, cash: true},
	{name: "last5_delayed", agg: "sum", last: 5, delay: 40 * time.Minute},
}

func (f *tiledFeature) yaml() string {
	s := fmt.Sprintf("  %s: {%s: {by: card", f.name, f.agg)
	switch f.agg {
	case "count", "since_last", "since_first":
	case "distinct", "share", "seen":
		s += ", of: merchant.id"
	case "run":
		s += ", while: payment.method == \"cash\""
	case "quantile":
		s += ", of: amount.base, q: 0.5"
	case "similar":
		s += ", of: amount.base, within: 0.4"
	case "text_distance":
		s += ", of: merchant.name"
	default:
		s += ", of: amount.base"
	}
	if f.window > 0 {
		s += fmt.Sprintf(", window: %ds", f.window/time.Second)
	}
	if f.delay > 0 {
		s += fmt.Sprintf(", delay: %ds", f.delay/time.Second)
	}
	if f.last > 0 {
		s += fmt.Sprintf(", window: {last: %d}", f.last)
	}
	if f.exclude && f.agg != "seen" && f.agg != "text_distance" {
		s += ", current: exclude"
	}
	if f.cash {
		s += ", where: payment.method == \"cash\""
	}
	return s + "}}\n"
}

func tiledYAML(exact int, names []string) string {
	s := fmt.Sprintf("apiVersion: features/v1\nlimits: {allowed_lateness: 1h, exact_events: %d}\nentities: {card: {key: card.token}}\nfeatures:\n", exact)
	for i := range tiledFeatures {
		if slices.Contains(names, tiledFeatures[i].name) {
			s += tiledFeatures[i].yaml()
		}
	}
	if slices.Contains(names, "n_2h") && slices.Contains(names, "sum_3h") {
		s += "  formula: {expr: n_2h + sum_3h}\n  formula2: {expr: formula * 2}\n"
	}
	return s
}

// The model of one card: every event that it was ever given, and the instant up to
// which they are in tiles, by the rule as it is documented.
type tiledCard struct {
	events []tiledEvent // by time, equal instants by arrival
	until  risk.Time
	taken  int
}

type tiledEvent struct {
	at       risk.Time
	position int
	minor    int64
	shop     string
	name     string
	cash     bool
	floor    risk.Time // when it went into a tile
	taken    int       // in which order
}

func (c *tiledCard) take(e *tiledEvent, floor risk.Time) {
	c.taken++
	e.floor, e.taken = floor, c.taken
}

func (c *tiledCard) add(e tiledEvent, exact int, floor, reach risk.Time) {
	i, _ := slices.BinarySearchFunc(c.events, e, func(a, b tiledEvent) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.position, b.position))
	})
	c.events = slices.Insert(c.events, i, e)
	if e.at <= c.until {
		c.take(&c.events[i], floor)
		return
	}
	var alive []risk.Time
	old := 0
	for _, e := range c.events {
		if e.at > c.until && e.at > floor-reach {
			alive = append(alive, e.at)
			if e.at <= floor {
				old++
			}
		}
	}
	n := max(min(len(alive)-exact, old), len(alive)-latestExact*exact)
	if n >= max(exact/16, 1) {
		for i := range c.events {
			if at := c.events[i].at; at > c.until && at <= alive[n-1] {
				c.take(&c.events[i], floor)
			}
		}
		c.until = alive[n-1]
	}
}

// value gives the exact aggregate over the window that the value is said to be
// of, and whether it may differ from that over the window as written.
func (c *tiledCard) value(f *tiledFeature, now risk.Time, since int, self tiledEvent) (v float64, rough bool) {
	width := risk.Time(f.window.Milliseconds() / 256)
	if f.window == 0 {
		width = risk.Time(max(f.delay, 24*time.Hour).Milliseconds() / 256)
	}
	hi := now.Add(-f.delay)
	lo := hi.Add(-f.window)
	read := func(grid risk.Time) (in []tiledEvent) {
		down := func(t risk.Time) risk.Time { return t / grid * grid }
		for _, e := range c.events {
			from, to := lo, hi
			if e.at <= c.until {
				if lo < c.until {
					from = down(lo)
				}
				if hi < c.until {
					to = down(hi + grid - 1)
				}
			}
			if e.at <= to && (f.window == 0 || e.at > from) && e.position >= since && (!f.cash || e.cash) && !(f.exclude && e.position == self.position) {
				in = append(in, e)
			}
		}
		return in
	}
	in, exact := read(width), read(1)
	if f.last > 0 {
		in = exact[max(0, len(exact)-f.last):]
		exact = in
	}
	estimated := false
	if f.window > 0 && slices.Contains([]string{"distinct", "share", "seen", "quantile", "similar"}, f.agg) {
		// A block of 16 tiles with too many values makes the whole an estimate over
		// whole blocks, but for tiles that no window reached when they came to be.
		grid := 16 * width
		blocks := map[risk.Time]map[string]bool{}
		gone := func(e tiledEvent) bool {
			return e.at <= c.until && ((e.at-1)/width+1)*width <= e.floor.Add(-f.delay-f.window)
		}
		wide := slices.DeleteFunc(read(grid), gone)
		for _, e := range c.events {
			if e.at <= c.until && e.position >= since && (!f.cash || e.cash) && !gone(e) {
				k := (e.at - 1) / grid
				if blocks[k] == nil {
					blocks[k] = map[string]bool{}
				}
				value := e.shop
				if f.agg == "quantile" || f.agg == "similar" {
					value = fmt.Sprint(e.minor)
				}
				blocks[k][value] = true
				if len(blocks[k]) > blockValues && slices.Contains(wide, e) {
					estimated = true
				}
			}
		}
		if estimated {
			in = wide
		}
		if estimated && f.agg == "distinct" {
			var k sketch
			k.reset()
			for _, e := range wide {
				k.add(shopValue(e.shop))
			}
			return k.count(), true
		}
	}
	if f.agg == "benford" {
		zero := func(e tiledEvent) bool { return e.minor == 0 }
		in, exact = slices.DeleteFunc(in, zero), slices.DeleteFunc(exact, zero)
	}
	rough = estimated || !slices.Equal(in, exact)
	if len(in) == 0 {
		zero := slices.Contains([]string{"count", "sum", "distinct", "seen", "similar", "run"}, f.agg)
		return map[bool]float64{true: 0, false: math.NaN()}[zero], rough
	}
	last := in[len(in)-1]
	best := last
	sum, squares, seen, similar := int64(0), int64(0), 0.0, 0.0
	shops, most := map[string]int{}, 0
	var minors []int64
	var digits [9]float64
	for _, e := range in {
		if f.agg == "min" && e.minor < best.minor || f.agg == "max" && e.minor > best.minor {
			best = e
		}
		sum += e.minor
		squares += e.minor * e.minor
		shops[e.shop]++
		most = max(most, shops[e.shop])
		minors = append(minors, e.minor)
		if e.minor != 0 {
			digits[max(e.minor, -e.minor)-1]++
		}
		if e.shop == self.shop {
			seen = 1
		}
		if far := e.minor - self.minor; max(far, -far) <= max(self.minor, -self.minor)*4/10 {
			similar++
		}
	}
	switch f.agg {
	case "count":
		return float64(len(in)), rough
	case "distinct":
		return float64(len(shops)), rough
	case "stddev":
		n := int64(len(in))
		return math.Sqrt(float64(n*squares-sum*sum) / float64(n*n*10_000)), rough
	case "benford":
		for i, share := range benfordShares {
			expected := float64(float64(len(in)) * share)
			v += float64((digits[i]-expected)*(digits[i]-expected)) / expected
		}
		return v, rough
	case "share":
		return float64(most) / float64(len(in)), rough
	case "seen":
		return seen, rough
	case "similar":
		return similar, rough
	case "quantile":
		slices.Sort(minors)
		return risk.Money{Minor: minors[(len(minors)+1)/2-1], Currency: "USD"}.Major(), rough
	case "first":
		return risk.Money{Minor: in[0].minor, Currency: "USD"}.Major(), rough && !slices.Contains(exact, in[0])
	case "since_first":
		return float64(max(now-in[0].at, 0)) / 1000, rough && !slices.Contains(exact, in[0])
	case "text_distance":
		return math.Abs(float64(len(last.name) - len(self.name))), rough && !slices.Contains(exact, last)
	case "run":
		// Among the events of a tile the order is that in which they came there.
		slices.SortStableFunc(in, func(a, b tiledEvent) int {
			if a.at > c.until || b.at > c.until {
				return cmp.Compare(a.at, b.at)
			}
			return cmp.Or(cmp.Compare((a.at-1)/width, (b.at-1)/width), cmp.Compare(a.taken, b.taken))
		})
		rough = false
		for _, e := range slices.Backward(in) {
			if rough = rough || !slices.Contains(exact, e); !e.cash {
				break
			}
			v++
		}
		return v, rough
	case "avg":
		return float64(sum) / float64(100*len(in)), rough
	case "sum":
		return float64(sum) / 100, rough
	case "since_last":
		return float64(max(now-last.at, 0)) / 1000, rough && !slices.Contains(exact, last)
	case "last":
		return risk.Money{Minor: last.minor, Currency: "USD"}.Major(), rough && !slices.Contains(exact, last)
	}
	worth := func(e tiledEvent) bool { return e.minor == best.minor }
	return risk.Money{Minor: best.minor, Currency: "USD"}.Major(), rough && !slices.ContainsFunc(exact, worth)
}

// shopValue is what a sketch is given of a shop.
func shopValue(shop string) uint64 {
	var p Prepared
	var scope expression.Scope
	rec := &risk.Record{Tenant: "t"}
	rec.Event.Merchant.ID, rec.Event.Card.Token = shop, "c"
	rec.IDs = secrets.IDs(&rec.Event)
	set := loaded["shops"]
	if set == nil {
		set, _ = Load("features.yaml", []byte(tiledYAML(1<<20, []string{"shops_life"})), testEnv())
		loaded["shops"] = set
	}
	set.Prepare(rec, &scope, &p)
	return p.values[0]
}

// TestTilesAgainstModel checks that every value, exact or not, is that of the
// window it is said to be of, whatever is late, restored, swept, busy or released,
// and that a state which is none of that calls the same values approximate.
func TestTilesAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		defer shrink(rapid.SampledFrom([]int{2, 4, 9}).Draw(t, "chunk"))()
		latest := rapid.SampledFrom([]int{1, 2, 16}).Draw(t, "latest")
		defer shrinkTiles(1, latest, rapid.SampledFrom([]int{1, 3, 256}).Draw(t, "values"), rapid.SampledFrom([]int{1, 4, 512}).Draw(t, "steps"))()
		busy := rapid.SampledFrom([]int{0, 3, 1 << 30}).Draw(t, "busy")
		exact := rapid.SampledFrom([]int{3, 8, 40}).Draw(t, "exact")
		scale := rapid.SampledFrom([]int{1, 100, 4000}).Draw(t, "scale")
		release := func() []string {
			names := []string{"all"}
			for _, f := range tiledFeatures[1:] {
				if rapid.IntRange(0, 3).Draw(t, "in") > 0 {
					names = append(names, f.name)
				}
			}
			return names
		}
		releases := [][]string{release(), release()}
		names := releases[0]
		set := loadRapid(t, tiledYAML(exact, names))
		st, disk := NewState(set), newMemory()
		budget := rapid.SampledFrom([]int64{-1, 0, 1}).Draw(t, "budget")
		if budget >= 0 { // else without a store to read from
			st.Attach(budget, disk.durableView)
		}
		plain := NewState(set) // computes every value from its log and tiles
		st.busy, plain.busy = busy, 1<<30
		since := map[string]int{}
		cards := map[string]*tiledCard{"a": {}, "b": {}}
		var watermark, floor risk.Time

		var p Prepared
		var v, w Vector
		var scope expression.Scope
		clock := risk.Time(1_700_000_000_000)
		for n := range rapid.IntRange(1, 200).Draw(t, "events") {
			switch rapid.IntRange(0, 40).Draw(t, "other") {
			case 0, 4, 5:
				disk.checkpoint(st)
			case 6, 7:
				disk.settle(disk.durable + 1)
			case 1:
				disk.checkpoint(st)
				disk.settle(disk.taken)
				var err error
				if st, err = disk.restore(set); err != nil {
					t.Fatalf("restore: %v", err)
				}
				st.budget, st.busy = int(max(budget, 0)), busy
			case 2:
				was := names
				if rapid.Bool().Draw(t, "limit") {
					exact = rapid.SampledFrom([]int{3, 8, 40}).Draw(t, "exact")
				} else {
					names = releases[rapid.IntRange(0, 1).Draw(t, "release")]
				}
				set = loadRapid(t, tiledYAML(exact, names))
				st.Activate(set)
				plain.Activate(set)
				for _, name := range names {
					if !slices.Contains(was, name) {
						since[name] = n
					}
				}
			case 3:
				for range 8 {
					st.sweep()
				}
			}
			clock += risk.Time(rapid.SampledFrom([]int{0, 0, 1, 10, 100, 1000, 3000}).Draw(t, "step") * scale)
			rec := &risk.Record{Tenant: "t", Arrival: clock}
			e := &rec.Event
			e.Type = "payment.authorization"
			e.Time = clock - risk.Time(rapid.SampledFrom([]int{0, 0, 0, 1, 500, 100_000, 1_000_000, 3_599_000}).Draw(t, "late"))
			e.Card.Token = draw(t, "a", "a", "a", "a", "b")
			e.Merchant.ID = draw(t, "m1", "m2", "m3", "m4", "m5", "m6")
			e.Merchant.Name = draw(t, "a", "ab", "abc", "abcd")
			e.Amount = risk.Money{Minor: rapid.Int64Range(-3, 3).Draw(t, "minor"), Currency: "USD"}
			rec.Facts.Base = e.Amount
			e.Payment.Method = draw(t, "cash", "card")
			rec.IDs = secrets.IDs(e)

			watermark = max(watermark, e.Time)
			floor = max(floor, watermark.Add(-time.Hour))
			c := cards[e.Card.Token]
			self := tiledEvent{at: e.Time, position: n, minor: e.Amount.Minor, shop: e.Merchant.ID, name: e.Merchant.Name, cash: e.Payment.Method == "cash"}
			now, too := max(e.Time, floor), e.Time < floor
			reach := risk.Time(0)
			for i := range tiledFeatures {
				if f := &tiledFeatures[i]; slices.Contains(names, f.name) {
					reach = max(reach, risk.Time((f.window/256).Milliseconds()+(f.window+f.delay).Milliseconds()))
				}
			}
			type result struct {
				v     float64
				rough bool
			}
			want := map[string]result{}
			read := func(exclude bool) {
				for i := range tiledFeatures {
					if f := &tiledFeatures[i]; f.exclude == exclude && slices.Contains(names, f.name) {
						v, rough := c.value(f, now, since[f.name], self)
						want[f.name] = result{v, rough}
					}
				}
			}
			read(true)
			if !too {
				c.add(self, exact, floor, reach)
			}
			read(false)

			set.Prepare(rec, &scope, &p)
			if st.view != nil {
				st.Evict(disk.durable)
			}
			st.Observe(&p, e.Time, rec.Arrival, &v)
			if st.Err() != nil {
				t.Fatal(st.Err())
			}
			approximate := set.Approximate(&v)
			set.Prepare(rec, &scope, &p)
			if plain.Observe(&p, e.Time, rec.Arrival, &w); !slices.Equal(set.Approximate(&w), approximate) {
				t.Fatalf("event %d: approximate are %v, computed anew %v", n, approximate, set.Approximate(&w))
			}
			for name, w := range want {
				i, _ := set.Index(name)
				got, named := v.Values[i], slices.Contains(approximate, name)
				if got != w.v && !(math.IsNaN(got) && math.IsNaN(w.v)) {
					t.Fatalf("event %d: %s = %v, want %v", n, name, got, w.v)
				}
				// What differs must be named; a tile across the window's end may by
				// chance hold nothing beyond it.
				if w.rough && !named {
					t.Fatalf("event %d: %s = %v is not called approximate", n, name, got)
				}
				if named && (c.until == 0 || c.until <= now.Add(-featureTiled(name).delay-featureTiled(name).window) && featureTiled(name).window > 0) {
					t.Fatalf("event %d: %s = %v is called approximate, all its events are in the log", n, name, got)
				}
			}
			inherits := slices.Contains(approximate, "n_2h") || slices.Contains(approximate, "sum_3h")
			if _, has := set.Index("formula"); has && (slices.Contains(approximate, "formula") != inherits || slices.Contains(approximate, "formula2") != inherits) {
				t.Fatalf("event %d: approximate are %v", n, approximate)
			}
		}
		disk.checkpoint(st)
		disk.settle(disk.taken)
		if len(disk.errs) > 0 {
			t.Fatalf("store: %v", disk.errs)
		}
		if len(st.gone) > 0 || st.Dirty() != 0 {
			t.Fatalf("after a checkpoint %d keys to delete, %d bytes dirty", len(st.gone), st.Dirty())
		}
		back, err := disk.restore(set)
		if err == nil {
			err = disk.warm(back)
		}
		if err == nil && st.view != nil {
			err = disk.warm(st)
		}
		if err != nil {
			t.Fatal(err)
		}
		if a, b := everything(st), everything(back); !maps.Equal(a, b) {
			t.Fatalf("restored, %d values of tiles are not the %d there were", len(b), len(a))
		}
	})
}

func featureTiled(name string) *tiledFeature {
	i := slices.IndexFunc(tiledFeatures, func(f tiledFeature) bool { return f.name == name })
	return &tiledFeatures[i]
}

// everything writes all that a state has in tiles again.
func everything(st *State) map[string]string {
	for _, e := range st.all() {
		st.list(e)
		if e.past != nil {
			e.past.dirty = true
			for _, ts := range e.past.slots {
				if ts != nil {
					for _, b := range ts.blocks {
						b.dirty = true
					}
				}
			}
		}
	}
	all := map[string]string{}
	st.Checkpoint(1<<40, func(k, value []byte, _ uint64) uint64 {
		if k[16] == pastKey || k[16] == blockKey {
			all[string(k)] = string(value)
		}
		return 1
	})
	return all
}
