package features

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/risk"
)

// Each aggregate over a few events, worked out by hand. Amounts are in dollars,
// events ten seconds apart; want is the value after each of them.
func TestAggregatesByHand(t *testing.T) {
	none := missing
	type event struct {
		amount   float64
		shop     string
		status   string
		lat, lon float64
	}
	amounts := func(all ...float64) (events []event) {
		for _, a := range all {
			events = append(events, event{amount: a})
		}
		return events
	}
	shops := func(all ...string) (events []event) {
		for _, s := range all {
			events = append(events, event{amount: 1, shop: s})
		}
		return events
	}
	statuses := func(all ...string) (events []event) {
		for _, s := range all {
			events = append(events, event{amount: 1, status: s})
		}
		return events
	}
	places := func(all ...float64) (events []event) {
		for i := 0; i < len(all); i += 2 {
			events = append(events, event{amount: 1, lat: all[i], lon: all[i+1]})
		}
		return events
	}
	for _, c := range []struct {
		feature string
		events  []event
		want    []float64
	}{
		{"stddev: {by: card, of: amount.base}", amounts(2, 4, 4, 4, 5, 5, 7, 9), []float64{0, 1, math.Sqrt(8.0 / 9), math.Sqrt(0.75), math.Sqrt(0.96), 1, math.Sqrt(96.0 / 49), 2}},
		{"stddev: {by: card, of: amount.base, window: 30s}", amounts(1, 1, 1, 7, 7), []float64{0, 0, 0, math.Sqrt(8), math.Sqrt(8)}},
		{"stddev: {by: card, of: amount.base, current: exclude}", amounts(5, 9), []float64{none, 0}},
		{"quantile: {by: card, of: amount.base, q: 0.5}", amounts(5, 1, 4, 2, 3), []float64{5, 1, 4, 2, 3}},
		{"quantile: {by: card, of: amount.base, q: 0.75}", amounts(5, 1, 4, 2, 3), []float64{5, 5, 5, 4, 4}},
		{"quantile: {by: card, of: amount.base, q: 0}", amounts(5, 1, 4), []float64{5, 1, 1}},
		{"quantile: {by: card, of: amount.base, q: 1}", amounts(-5, -1, -4), []float64{-5, -1, -1}},
		{"quantile: {by: card, of: amount.base, q: 0.5, min_count: 3}", amounts(5, 1, 4), []float64{none, none, 4}},
		{"quantile: {by: card, of: amount.base, q: 0.1, window: {last: 2}}", amounts(5, 7, 4, 9), []float64{5, 5, 4, 4}},
		{"first: {by: card, of: amount.base, window: 30s}", amounts(1, 2, 3, 4, 5), []float64{1, 1, 1, 2, 3}},
		{"first: {by: card, of: amount.base}", amounts(8, 2, 3), []float64{8, 8, 8}},
		{"first: {by: card, of: amount.base, window: {last: 2}, current: exclude}", amounts(8, 2, 3, 4), []float64{none, 8, 8, 2}},
		{"since_first: {by: card, window: 30s}", amounts(1, 2, 3, 4), []float64{0, 10, 20, 20}},
		{"since_first: {by: card, current: exclude}", amounts(1, 2, 3), []float64{none, 10, 20}},
		{"since_last: {by: card, delay: 10s}", amounts(1, 2, 3), []float64{none, 10, 10}},
		{"avg: {by: card, of: amount.base, window: {last: 3}}", amounts(3, 6, 9, 12, 15), []float64{3, 4.5, 6, 9, 12}},
		{"sum: {by: card, of: amount.base, window: {last: 2}, where: amount.base > 1}", amounts(3, 1, 9, 1, 15), []float64{3, 3, 12, 12, 24}},
		{"count: {by: card, window: {last: 2}}", amounts(3, 1, 9), []float64{1, 2, 2}},
		{"max: {by: card, of: amount.base, window: {last: 2}, delay: 10s}", amounts(9, 1, 2, 3), []float64{none, 9, 9, 2}},
		{"min: {by: card, of: amount.base, min_count: 2}", amounts(9, 1, 2), []float64{none, 1, 1}},
		{"last: {by: card, of: amount.base, window: {last: 2}, current: exclude, min_count: 2}", amounts(9, 1, 2), []float64{none, none, 1}},
		{"sum: {by: card, of: amount.base, min_count: 1, current: exclude}", amounts(9, 1), []float64{none, 9}},
		{"distinct: {by: card, of: merchant.name, window: {last: 3}}", shops("a", "b", "a", "a", "a"), []float64{1, 2, 2, 2, 1}},
		{"share: {by: card, of: merchant.name}", shops("a", "b", "b", "c"), []float64{1, 0.5, 2.0 / 3, 0.5}},
		{"share: {by: card, of: merchant.name, window: 30s}", shops("a", "b", "b", "c", "d"), []float64{1, 0.5, 2.0 / 3, 2.0 / 3, 1.0 / 3}},
		{"share: {by: card, of: amount.base, current: exclude}", amounts(1, 1, 2), []float64{none, 1, 1}},
		{"seen: {by: card, of: merchant.name}", shops("a", "b", "a", "", "b"), []float64{0, 0, 1, none, 1}},
		{"seen: {by: card, of: merchant.name, window: 30s}", shops("a", "b", "c", "a", "c"), []float64{0, 0, 0, 0, 1}},
		{"seen: {by: card, of: amount.base, window: {last: 1}}", amounts(1, 2, 1, 1), []float64{0, 0, 0, 1}},
		// 10 % of 100 is 10, of 90 it is 9.
		{"similar: {by: card, of: amount.base, within: 0.1}", amounts(90, 100, 90, 110.01, 110), []float64{1, 2, 2, 2, 3}},
		{"similar: {by: card, of: amount.base, within: 0.1, window: {last: 3}}", amounts(10, 10, 10, 10, 11, 12), []float64{1, 2, 3, 3, 3, 2}},
		{"similar: {by: card, of: amount.base, within: 0.1, current: exclude}", amounts(10, 10, 10.99), []float64{0, 1, 2}},
		{"similar: {by: card, of: amount.base, within: 0.001}", amounts(9.99, 10), []float64{1, 2}},
		{"similar: {by: card, of: amount.base, within: 0.0009}", amounts(9.99, 10), []float64{1, 1}},
		{`run: {by: card, while: payment.status == "declined"}`, statuses("declined", "declined", "approved", "declined", "", "declined"), []float64{1, 2, 0, 1, 0, 1}},
		{`run: {by: card, while: payment.status == "declined", window: 30s}`, statuses("declined", "declined", "declined", "declined"), []float64{1, 2, 3, 3}},
		{`run: {by: card, while: payment.status == "declined", window: {last: 2}, current: exclude}`, statuses("declined", "declined", "declined", "declined"), []float64{0, 1, 2, 2}},
		{`run: {by: card, while: payment.status == "declined", where: has(payment.status)}`, statuses("declined", "", "declined"), []float64{1, 1, 2}},
		// A degree of latitude is 2 pi * 6371.0088 / 360 km.
		{"distance: {by: card, of: ip}", places(1, 0, 2, 0, 0, 0, 2, 0), []float64{none, 111.19508, none, 0}},
		{"speed: {by: card, of: ip}", places(1, 0, 2, 0, 0, 0, 2, 1), []float64{none, 111.19508 * 360, none, 111.12735 * 180}},
		{"speed: {by: card, of: ip, window: 30s}", places(1, 0, 0, 0, 0, 0, 2, 0), []float64{none, none, none, none}},
		{"nearby: {by: card, of: ip, within: 112}", places(1, 0, 2, 0, 3, 0, 2, 0, 2, 9), []float64{0, 1, 1, 3, 0}},
		{"nearby: {by: card, of: ip, within: 5, window: {last: 1}}", places(1, 0, 2, 0, 1, 0, 1, 0), []float64{0, 0, 0, 1}},
		{"text_distance: {by: card, of: merchant.name}", shops("kitten", "sitting", "", "sitting", "Sitting"), []float64{none, 3, none, 0, 1}},
		{"text_distance: {by: card, of: upper(merchant.name)}", shops("café", "CAFÉ!"), []float64{none, 1}},
		// One of each digit but 1, which stands twice: sum (o - 10p)² / 10p.
		{"benford: {by: card, of: amount.base, min_count: 10}", amounts(1, 25, 0.3, 400, 0, 5, 60, 700, 0.08, 9000, 19),
			[]float64{none, none, none, none, none, none, none, none, none, none, 2.3503346}},
		{"benford: {by: card, of: amount.base}", amounts(0, 1), []float64{none, 1/0.30102999566 - 1}},
	} {
		r := newRig(t, "  f: {"+c.feature+"}\n")
		for i, e := range c.events {
			r.lat, r.lon = e.lat, e.lon
			r.event(float64(10*i), func(ev *risk.Event) {
				onCard(ev)
				ev.Amount = risk.Money{Minor: int64(math.Round(e.amount * 100)), Currency: "USD"}
				ev.Merchant.Name, ev.Payment.Status = e.shop, e.status
			})
			got := r.v.Values[0]
			if math.Abs(got-c.want[i]) > 1e-6*math.Abs(c.want[i]) || math.IsNaN(got) != math.IsNaN(c.want[i]) {
				t.Errorf("%s: %v after event %d, want %v", c.feature, got, i, c.want[i])
			}
		}
	}
}

// An event that comes late can find few events in a window that holds many by
// now: then its value is exact although the others' are not.
func TestLateEventsFindExactValues(t *testing.T) {
	defer func(n int64) { exactValues = n }(exactValues)
	exactValues = 5
	for _, busy := range []int{0, math.MaxInt} {
		r := newRig(t, "  most: {quantile: {by: card, of: amount.base, q: 1, current: exclude}}\n")
		r.st.busy = busy
		pay := func(arrival, at float64, minor int64) {
			r.event(arrival, func(e *risk.Event) {
				onCard(e)
				e.Time = start.Add(time.Duration(at * float64(time.Second)))
				e.Amount = risk.Money{Minor: minor, Currency: "USD"}
			})
		}
		for i := range 8 {
			pay(float64(10*i), float64(10*i), 10_003+int64(i))
		}
		r.want("most", 100.16) // the nearest multiple of 32 cents to 100.09
		pay(71, 25, 1)
		r.want("most", 100.05)
		pay(80, 80, 1)
		r.want("most", 100.16)
	}
}

func TestCoarseNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	money, number := &slot{column: &column{kind: moneyColumn, scale: 100}}, &slot{column: &column{kind: numberColumn, scale: nano}}
	for range 20_000 {
		n := rng.Int64N(1<<uint(rng.IntN(59)+1)) * int64(1-2*rng.IntN(2))
		v := int64(coarseNumber(money, uint64(n)))
		if want := roughly(risk.Money{Minor: n, Currency: "USD"}).(risk.Money).Minor; v != want {
			t.Fatalf("coarse money %d = %d, want %d", n, v, want)
		}
		x := float64(n) * math.Pow(10, float64(rng.IntN(30)-25))
		y := math.Float64frombits(coarseNumber(number, math.Float64bits(x)))
		if want := roughly(x); y != want {
			t.Fatalf("coarse number %v = %v, want %v", x, y, want)
		}
		for _, c := range [][2]float64{{float64(n), float64(v)}, {x, y}} {
			if off := math.Abs(c[1] - c[0]); off > math.Abs(c[0])/512 && off > 1e-9 {
				t.Fatalf("coarse %v is %v, off by more than one part in 512", c[0], c[1])
			}
		}
		if again := coarseNumber(number, math.Float64bits(y)); again != math.Float64bits(y) {
			t.Fatalf("coarse %v is %v when made coarse again", y, math.Float64frombits(again))
		}
	}
	for _, p := range [][2]float64{{-90, -180}, {90, 180}, {0.005, 0.004999}, {52.51631, 13.37777}} {
		lat, lon := degreesOf(coarsePlace(nil, placeOf(p[0], p[1])))
		if km := haversine(p, [2]float64{lat, lon}); km > 0.8 {
			t.Errorf("coarse %v is %v %v, %.3f km off", p, lat, lon, km)
		}
	}
}
