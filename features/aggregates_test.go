package features

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// The aggregates as the documentation defines them, each from the list of the
// events in the window, oldest first, in the plainest way.

var (
	compares = map[string]bool{"seen": true, "similar": true, "nearby": true, "distance": true, "speed": true, "text_distance": true}
	before   = map[string]bool{"seen": true, "nearby": true, "distance": true, "speed": true, "text_distance": true}
	newest   = map[string]bool{"last": true, "since_last": true, "distance": true, "speed": true, "text_distance": true}
	zeroOver = map[string]bool{"count": true, "sum": true, "distinct": true, "seen": true, "similar": true, "nearby": true, "run": true}
	// Those whose last bits the model does not compute as the package does.
	rounded = map[string]bool{"benford": true, "distance": true, "speed": true}
)

func numberOf(v any) float64 {
	if m, ok := v.(risk.Money); ok {
		return m.Major()
	}
	return v.(float64)
}

// ratOf gives a number as sums take it.
func ratOf(v any) *big.Rat {
	if m, ok := v.(risk.Money); ok {
		return big.NewRat(m.Minor, 100)
	}
	return new(big.Rat).SetFloat64(v.(float64))
}

// roughly rounds a number to 9 significant bits.
func roughly(v any) any {
	if m, ok := v.(risk.Money); ok {
		f := new(big.Float).SetPrec(9).SetMode(big.ToNearestAway).SetInt64(m.Minor)
		m.Minor, _ = f.Int64()
		return m
	}
	x, _ := new(big.Float).SetPrec(9).SetMode(big.ToNearestAway).SetFloat64(v.(float64)).Float64()
	if math.Abs(v.(float64)) < 1e-9 {
		return 0.0
	}
	return x
}

func (f *modelFeature) compute(in []kept, own any, now risk.Time) float64 {
	if f.last > 0 && len(in) > f.last {
		in = in[len(in)-f.last:]
	}
	if f.agg == "benford" {
		in = slices.DeleteFunc(slices.Clone(in), func(k kept) bool { return numberOf(k.value) == 0 })
	}
	if f.least > len(in) {
		return math.NaN()
	}
	if len(in) == 0 {
		if zeroOver[f.agg] {
			return 0
		}
		return math.NaN()
	}
	rough := f.window == 0 && f.last == 0 && int64(len(in)) > exactValues
	value := func(k kept) any {
		switch {
		case !rough:
		case f.agg == "quantile" || f.agg == "similar":
			return roughly(k.value)
		case f.agg == "nearby":
			p := k.value.([2]float64)
			return [2]float64{math.Round(p[0]*100) / 100, math.Round(p[1]*100) / 100}
		}
		return k.value
	}
	n := int64(len(in))
	sum, squares := new(big.Rat), new(big.Rat)
	if f.agg == "sum" || f.agg == "avg" || f.agg == "stddev" {
		for _, k := range in {
			x := ratOf(k.value)
			sum.Add(sum, x)
			squares.Add(squares, new(big.Rat).Mul(x, x))
		}
	}
	over := func(x *big.Rat, n int64) *big.Rat { return new(big.Rat).Quo(x, big.NewRat(n, 1)) }
	oldest, newest := in[0], in[len(in)-1]
	matching := func(matches func(v any) bool) float64 {
		n := 0
		for _, k := range in {
			if matches(value(k)) {
				n++
			}
		}
		return float64(n)
	}
	switch f.agg {
	case "count":
		return float64(n)
	case "sum":
		v, _ := sum.Float64()
		return v
	case "avg":
		v, _ := over(sum, n).Float64()
		return v
	case "stddev":
		mean := over(sum, n)
		v, _ := new(big.Rat).Sub(over(squares, n), mean.Mul(mean, mean)).Float64()
		return math.Sqrt(v)
	case "min", "max":
		best := numberOf(oldest.value)
		for _, k := range in {
			if x := numberOf(k.value); f.agg == "min" && x < best || f.agg == "max" && x > best {
				best = x
			}
		}
		return best
	case "quantile":
		var all []float64
		for _, k := range in {
			all = append(all, numberOf(value(k)))
		}
		slices.Sort(all)
		// The smallest value that at least q * n values do not exceed.
		for i, x := range all {
			if big.NewRat(int64(i+1), n).Cmp(f.q) >= 0 {
				return x
			}
		}
	case "first":
		return numberOf(oldest.value)
	case "last":
		return numberOf(newest.value)
	case "since_first":
		return float64(now-oldest.at) / 1000
	case "since_last":
		return float64(now-newest.at) / 1000
	case "distinct", "share":
		times := map[any]int{}
		most := 0
		for _, k := range in {
			times[k.value]++
			most = max(most, times[k.value])
		}
		if f.agg == "distinct" {
			return float64(len(times))
		}
		return float64(most) / float64(n)
	case "seen":
		return min(1, matching(func(v any) bool { return v == own }))
	case "similar":
		return matching(func(v any) bool {
			if m, ok := v.(risk.Money); ok {
				off, mine := m.Minor-own.(risk.Money).Minor, own.(risk.Money).Minor
				return float64(max(off, -off)) <= math.Floor(f.within*float64(max(mine, -mine)))
			}
			return math.Abs(v.(float64)-own.(float64)) <= f.within*math.Abs(own.(float64))
		})
	case "nearby":
		return matching(func(v any) bool { return haversine(v.([2]float64), own.([2]float64)) <= f.within })
	case "run":
		length := 0
		for _, k := range in {
			if length++; !f.while(k.rec) {
				length = 0
			}
		}
		return float64(length)
	case "distance":
		return haversine(newest.value.([2]float64), own.([2]float64))
	case "speed":
		hours := max(float64(now-newest.at), 1000) / 3_600_000
		return haversine(newest.value.([2]float64), own.([2]float64)) / hours
	case "text_distance":
		return float64(levenshtein([]rune(newest.value.(string)), []rune(own.(string))))
	case "benford":
		var digits [10]float64
		for _, k := range in {
			s := strconv.FormatFloat(math.Abs(numberOf(k.value)), 'e', -1, 64)
			digits[s[0]-'0']++
		}
		chi := 0.0
		for d := 1; d <= 9; d++ {
			expected := float64(n) * math.Log10(1+1/float64(d))
			chi += (digits[d] - expected) * (digits[d] - expected) / expected
		}
		return chi
	}
	panic("no model of " + f.agg)
}

func haversine(a, b [2]float64) float64 {
	rad := func(x float64) float64 { return x * math.Pi / 180 }
	u, v := math.Sin(rad(b[0]-a[0])/2), math.Sin(rad(b[1]-a[1])/2)
	return 2 * 6371.0088 * math.Asin(math.Sqrt(u*u+math.Cos(rad(a[0]))*math.Cos(rad(b[0]))*v*v))
}

func levenshtein(a, b []rune) int {
	switch {
	case len(a) == 0:
		return len(b)
	case len(b) == 0:
		return len(a)
	case a[0] == b[0]:
		return levenshtein(a[1:], b[1:])
	}
	return 1 + min(levenshtein(a[1:], b), levenshtein(a, b[1:]), levenshtein(a[1:], b[1:]))
}

func place(r *risk.Record) (any, bool) {
	f := &r.Facts
	return [2]float64{f.IPLat.Value, f.IPLon.Value}, f.IPLat.Set && f.IPLon.Set && math.Abs(f.IPLat.Value) <= 90
}
func shop(r *risk.Record) (any, bool) { return r.Event.Merchant.Name, r.Event.Merchant.Name != "" }
func declined(r *risk.Record) bool    { return r.Event.Payment.Status == "declined" }

// drawn are definitions of every aggregate in many combinations.
func drawn() []modelFeature {
	rng := rand.New(rand.NewPCG(11, 12))
	pick := func(n int) int { return rng.IntN(n) }
	entities := []func(*modelFeature){
		func(f *modelFeature) { f.by, f.observe, f.read = "card", byCard, card },
		func(f *modelFeature) { f.by, f.observe, f.read = "customer", byCustomer, customer },
		func(f *modelFeature) { f.by, f.observe, f.read = "merchant", byMerchant, merchant },
		func(f *modelFeature) {
			f.by, f.observe, f.read = "{observe: receiver.account, read: sender.account}", byReceiver, sender
		},
		func(f *modelFeature) {
			f.by, f.observe, f.read = "{entity: account, read: receiver.account}", byBoth, receiver
		},
	}
	type operand struct {
		yaml string
		of   func(*risk.Record) (any, bool)
	}
	numbers := []operand{{"amount.base", base}, {"amount.base", base}, {"payment.attempt", attempt}}
	values := append([]operand{{"card.bin", bin}, {"merchant.name", shop}}, numbers...)
	keys := append([]operand{{"card.token", token}}, values...)
	places, texts := []operand{{"ip", place}}, []operand{{"merchant.name", shop}}
	var all []modelFeature
	for _, kind := range []struct {
		agg string
		of  []operand
	}{
		{"count", nil}, {"sum", numbers}, {"avg", numbers}, {"stddev", numbers}, {"min", numbers}, {"max", numbers},
		{"quantile", numbers}, {"first", numbers}, {"last", numbers}, {"since_first", nil}, {"since_last", nil},
		{"distinct", keys}, {"share", values}, {"seen", keys}, {"similar", numbers}, {"nearby", places},
		{"run", nil}, {"distance", places}, {"speed", places}, {"text_distance", texts}, {"benford", numbers},
	} {
		for i := range 9 {
			f := modelFeature{name: fmt.Sprintf("drawn_%s_%d", kind.agg, i), agg: kind.agg}
			entities[pick(len(entities))](&f)
			if kind.of != nil {
				of := kind.of[pick(len(kind.of))]
				f.ofYAML, f.of = of.yaml, of.of
			}
			switch kind.agg {
			case "quantile":
				f.q, _ = new(big.Rat).SetString([]string{"0", "0.25", "0.5", "0.95", "1", "0.333333333"}[pick(6)])
			case "similar":
				f.within = []float64{0.125, 0.25, 1}[pick(3)]
			case "nearby":
				f.within = []float64{2, 60, 1500}[pick(3)]
			case "run":
				f.while = declined
			}
			switch i { // each kind of window for each aggregate
			case 0, 1:
				f.window = 30 * time.Minute
			case 2:
				f.window = 2 * time.Hour
			case 3, 4, 5:
				f.last = []int{1, 3, 6}[i-3]
			}
			if pick(3) == 0 {
				f.delay = []time.Duration{time.Second, 10 * time.Minute, 40 * time.Minute}[pick(3)]
			}
			if pick(3) == 0 {
				f.where = cash
			}
			f.events = []string{"payment.authorization", "label, chargeback, transfer", "", "", ""}[pick(5)]
			if pick(3) == 0 && f.agg != "count" {
				if f.least = []int{1, 2, 4}[pick(3)]; f.last > 0 {
					f.least = min(f.least, f.last)
				}
			}
			f.exclude = pick(3) == 0
			f.yaml = f.write()
			all = append(all, f)
		}
	}
	return all
}

// write gives a drawn definition as YAML.
func (f *modelFeature) write() string {
	var b strings.Builder
	fmt.Fprintf(&b, "{%s: {by: %s", f.agg, f.by)
	add := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, ", %s: %s", key, value)
		}
	}
	add("of", f.ofYAML)
	if f.q != nil {
		add("q", f.q.FloatString(9))
	}
	if f.within > 0 {
		add("within", fmt.Sprint(f.within))
	}
	if f.while != nil {
		add("while", `payment.status == "declined"`)
	}
	if f.window > 0 {
		add("window", fmt.Sprintf("%ds", int(f.window.Seconds())))
	}
	if f.last > 0 {
		add("window", fmt.Sprintf("{last: %d}", f.last))
	}
	if f.delay > 0 {
		add("delay", fmt.Sprintf("%ds", int(f.delay.Seconds())))
	}
	if f.where != nil {
		add("where", `payment.method == "cash"`)
	}
	if f.events != "" {
		add("events", "["+f.events+"]")
	}
	if f.least > 0 {
		add("min_count", fmt.Sprint(f.least))
	}
	if f.exclude && !before[f.agg] || before[f.agg] && len(f.name)%2 == 0 {
		add("current", "exclude")
	}
	return b.String() + "}}"
}

var modelNames []string

func init() {
	modelFeatures = append(modelFeatures, drawn()...)
	for _, f := range modelFeatures {
		modelNames = append(modelNames, f.name)
	}
}

// All drawn features over the events of one entity that is always there, so that
// what has been folded away, runs and long windows all come up.
func TestOneBusyEntityAgainstModel(t *testing.T) {
	defer shrink(3)()
	defer func(n int64) { exactValues = n }(exactValues)
	var names []string
	for _, f := range drawn() {
		names = append(names, f.name)
	}
	set := mustLoad(t, modelYAML(names))
	for seed, busy := range []int{0, 3, 1 << 30} {
		exactValues = []int64{5, 40, 12}[seed]
		rng := rand.New(rand.NewPCG(uint64(seed), 7))
		of := func(all ...string) string { return all[rng.IntN(len(all))] }
		st, m, disk := NewState(set), &model{}, newMemory()
		st.busy = busy
		m.activate(names)
		var p Prepared
		var v Vector
		var scope expression.Scope
		clock, wrong := start, map[string]bool{}
		for n := range unlessShort(100, 25) {
			clock += risk.Time([]int{1, 1000, 60_000, 300_000, 2_000_000}[rng.IntN(5)])
			rec := &risk.Record{Tenant: "a", Arrival: clock}
			e := &rec.Event
			e.Type, e.Time = of("payment.authorization", "payment.authorization", "transfer", "label"), clock
			if rng.IntN(4) == 0 {
				e.Time -= risk.Time([]int{1, 1000, 200_000, 3_000_000}[rng.IntN(4)])
			}
			e.Card.Token, e.Customer.ID, e.Merchant.ID = "c", "u", "m"
			e.Sender.Account, e.Receiver.Account = "a", "a"
			e.Card.BIN = of("", "411111", "555555")
			e.Merchant.Name = of("", "shop", "shops", "Bäckerei")
			e.Payment.Method = of("cash", "cash", "cash", "card")
			e.Payment.Status = of("declined", "declined", "declined", "declined", "declined", "declined", "declined", "approved")
			e.Payment.Attempt = risk.Number{Value: math.Round(rng.NormFloat64()*100)/16 + 0, Set: rng.IntN(5) > 0}
			if rng.IntN(5) > 0 {
				e.Amount = risk.Money{Minor: rng.Int64N(1 << uint(rng.IntN(40)+1)), Currency: "USD"}
				rec.Facts.Base = e.Amount
			}
			if rng.IntN(5) > 0 {
				rec.Facts.IPLat = risk.Number{Value: float64(rng.IntN(8)) / 4, Set: true}
				rec.Facts.IPLon = risk.Number{Value: float64(rng.IntN(4)) / 4, Set: true}
			}
			rec.IDs = secrets.IDs(e)
			if rng.IntN(30) == 0 {
				disk.checkpoint(st)
				disk.settle(disk.taken)
				var err error
				if st, err = disk.restore(set); err != nil {
					t.Fatalf("restore: %v", err)
				}
				st.busy = busy
			}
			set.Prepare(rec, &scope, &p)
			st.Observe(&p, e.Time, rec.Arrival, &v)
			_, all, _ := m.observe(rec, nil)
			for i, name := range names {
				f, got, want := featureNamed(name), v.Values[i], all[name]
				if rounded[f.agg] && math.Abs(got-want) <= 1e-9+1e-9*math.Abs(want) {
					continue
				}
				if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) && !wrong[name] {
					wrong[name] = true
					t.Errorf("event %d: %s = %v, want %v (busy %d, exact %d)\n%s", n, name, got, want, busy, exactValues, f.yaml)
				}
			}
		}
		if len(disk.errs) > 0 {
			t.Errorf("store: %v", disk.errs[0])
		}
	}
}
