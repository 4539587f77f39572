//go:build unix

package features

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// typical has 20 features over 6 entities, two formulas among them.
const typical = `apiVersion: features/v1
entities:
  card: {key: card.token}
  device: {key: device.id}
  customer: {key: customer.id}
  ip_net: {key: network(device.ip)}
  merchant: {key: merchant.id}
  pair: {key: [customer.id, merchant.id]}
features:
  card_attempts_10m: {count: {by: card, window: 10m, events: [payment.authorization]}}
  card_attempts_24h: {count: {by: card, window: 24h, events: [payment.authorization]}}
  card_distinct_amounts_1h: {distinct: {by: card, of: amount.value, window: 1h, events: [payment.authorization]}}
  card_sum_24h: {sum: {by: card, of: amount.base, window: 24h}}
  card_merchants_7d: {distinct: {by: card, of: merchant.id, window: 7d}}
  device_cards_7d: {distinct: {by: device, of: card.token, window: 7d}}
  device_count_1h: {count: {by: device, window: 1h}}
  cash_24h: {sum: {by: customer, of: amount.base, window: 24h, where: payment.method == "cash"}}
  cash_count_24h: {count: {by: customer, window: 24h, where: payment.method == "cash"}}
  customer_avg_90d: {avg: {by: customer, of: amount.base, window: 90d, current: exclude}}
  customer_max_90d: {max: {by: customer, of: amount.base, window: 90d, current: exclude}}
  customer_since_last: {since_last: {by: customer, current: exclude}}
  customer_cards_life: {distinct: {by: customer, of: card.token}}
  net_cards_1h: {distinct: {by: ip_net, of: card.token, window: 1h}}
  net_count_10m: {count: {by: ip_net, window: 10m}}
  merchant_sum_24h: {sum: {by: merchant, of: amount.base, window: 24h}}
  merchant_count_1h: {count: {by: merchant, window: 1h}}
  merchant_fraud_7d: {avg: {by: merchant, of: label.fraud, window: 7d, events: [label]}}
  pair_count: {count: {by: pair}}
  over_average: {expr: "has(customer_avg_90d) and customer_avg_90d > 0 ? amount.base / customer_avg_90d : 1"}
`

// traffic draws records with Zipf entities; times rise by step milliseconds.
func traffic(n, population int, step risk.Time) []*risk.Record {
	rng := rand.New(rand.NewPCG(1, 2))
	cards, devices := rand.NewZipf(rng, 1.1, 8, uint64(population)), rand.NewZipf(rng, 1.1, 8, uint64(population))
	merchants := rand.NewZipf(rng, 1.2, 4, 2_000)
	var out []*risk.Record
	at := risk.Time(1_700_000_000_000)
	for i := range n {
		at += step
		c := cards.Uint64()
		rec := &risk.Record{Tenant: "default", Arrival: at}
		e := &rec.Event
		e.ID, e.Type, e.Time = fmt.Sprint("pay_", i), "payment.authorization", at
		e.Amount = risk.Money{Minor: rng.Int64N(100_000), Currency: "USD"}
		rec.Facts.Base = e.Amount
		e.Payment.Method = []string{"card", "card", "card", "cash"}[rng.IntN(4)]
		e.Card.Token = fmt.Sprint("card_", c)
		e.Customer.ID = fmt.Sprint("customer_", c*2/3)
		e.Device.ID = fmt.Sprint("device_", devices.Uint64())
		e.Device.IP = fmt.Sprintf("10.%d.%d.7", c%64, c/64%256)
		e.Merchant.ID = fmt.Sprint("m_", merchants.Uint64())
		rec.IDs = secrets.IDs(e)
		out = append(out, rec)
	}
	return out
}

// cpu reports the CPU time of an operation, which a busy machine blurs less than
// the time on the wall. Call the function it gives when the loop is over.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return r.Utime.Nano() + r.Stime.Nano()
	}
	from := used()
	return func() { b.ReportMetric(float64(used()-from)/float64(b.N), "cpu-ns/op") }
}

func BenchmarkEvent(b *testing.B) {
	set := mustLoad(b, typical)
	var p Prepared
	var v Vector
	var scope expression.Scope
	run := func(b *testing.B, population int, step risk.Time, observe bool) {
		recs := traffic(100_000, population, step)
		st := NewState(set)
		for _, r := range recs {
			set.Prepare(r, &scope, &p)
			st.Observe(&p, r.Event.Time, r.Arrival, &v)
		}
		b.ReportAllocs()
		defer cpu(b)()
		i, round := 0, risk.Time(0)
		for b.Loop() {
			r := recs[i]
			set.Prepare(r, &scope, &p)
			if observe {
				at := r.Event.Time + (round+1)*step*risk.Time(len(recs))
				st.Observe(&p, at, at, &v)
			}
			if i++; i == len(recs) {
				i, round = 0, round+1
			}
		}
	}
	b.Run("prepare", func(b *testing.B) { run(b, 1_000, 5000, false) })
	b.Run("hot", func(b *testing.B) { run(b, 1_000, 5000, true) })
	b.Run("wide", func(b *testing.B) { run(b, 100_000, 200, true) })
}

const busyMerchant = `apiVersion: features/v1
entities: {merchant: {key: merchant.id}}
features:
  n: {count: {by: merchant, window: 1h}}
  total: {sum: {by: merchant, of: amount.base, window: 1h}}
  cards: {distinct: {by: merchant, of: card.token, window: 1h}}
  least: {min: {by: merchant, of: amount.base, window: 1h}}
  most: {max: {by: merchant, of: amount.base, window: 1h}}
`

// BenchmarkBusyMerchant keeps 100,000 events in the window of one merchant.
func BenchmarkBusyMerchant(b *testing.B) {
	set := mustLoad(b, busyMerchant)
	recs := traffic(100_000, 50_000, 36)
	for _, r := range recs {
		r.Event.Merchant.ID = "m"
	}
	for name, late := range map[string]risk.Time{"in-order": 0, "half-a-second-late": 500} {
		b.Run(name, func(b *testing.B) {
			st := NewState(set)
			var p Prepared
			var v Vector
			var scope expression.Scope
			i := 0
			next := func() {
				r := recs[i%len(recs)]
				at := r.Event.Time + risk.Time(i/len(recs)*len(recs))*36
				if i&1 == 0 {
					at -= late
				}
				set.Prepare(r, &scope, &p)
				st.Observe(&p, at, at, &v)
				i++
			}
			for range 2 * len(recs) {
				next()
			}
			b.ReportAllocs()
			done := cpu(b)
			for b.Loop() {
				next()
			}
			done()
			if n := v.Values[0]; n < 99_000 {
				b.Fatalf("%v events in the window, want about 100000", n)
			}
		})
	}
}

// BenchmarkMemory reports what a card with 20 events in 30 days takes in memory,
// counted and as the heap grows, and stored. SLUICE_TEST_CARDS makes them many.
func BenchmarkMemory(b *testing.B) {
	set := mustLoad(b, typical)
	cards, err := strconv.Atoi(cmp.Or(os.Getenv("SLUICE_TEST_CARDS"), "10000"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		const events, days = 20, 30
		var p Prepared
		var v Vector
		var scope expression.Scope
		heap := func() int {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		before := heap()
		st := NewState(set)
		for i := range cards * events {
			rec := &risk.Record{Tenant: "default"}
			e := &rec.Event
			e.Type, e.Card.Token, e.Merchant.ID = "payment.authorization", fmt.Sprint("card_", rng.IntN(cards)), ""
			e.Amount = risk.Money{Minor: rng.Int64N(100_000), Currency: "USD"}
			rec.Facts.Base = e.Amount
			rec.IDs = secrets.IDs(e)
			at := risk.Time(1_700_000_000_000 + int64(float64(i)/float64(cards*events)*days*86_400_000))
			set.Prepare(rec, &scope, &p)
			st.Observe(&p, at, at, &v)
		}
		b.ReportMetric(float64(heap()-before)/float64(cards), "heap-B/card")
		counted := 0
		for _, e := range st.all() {
			counted += e.weight()
		}
		b.ReportMetric(float64(counted)/float64(cards), "counted-B/card")
		stored := 0
		st.Checkpoint(1, func(k, value []byte, _ uint64) uint64 { stored += len(k) + len(value); return 1 })
		b.ReportMetric(float64(stored)/float64(cards), "stored-B/card")
		runtime.KeepAlive(st)
	}
}

// BenchmarkCheckpoint writes what 1,000 events have changed.
func BenchmarkCheckpoint(b *testing.B) {
	set := mustLoad(b, typical)
	recs := traffic(200_000, 50_000, 200)
	st := NewState(set)
	var p Prepared
	var v Vector
	var scope expression.Scope
	bytes, i, round := 0, 0, risk.Time(0)
	put := func(k, value []byte, _ uint64) uint64 { bytes += len(k) + len(value); return 1 }
	more := func(n int) {
		for range n {
			r := recs[i]
			at := r.Event.Time + round*200*risk.Time(len(recs))
			set.Prepare(r, &scope, &p)
			st.Observe(&p, at, at, &v)
			if i++; i == len(recs) {
				i, round = 0, round+1
			}
		}
	}
	more(len(recs))
	st.Checkpoint(1, put)
	bytes = 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		more(1000)
		b.StartTimer()
		st.Checkpoint(1, put)
	}
	b.ReportMetric(float64(bytes)/float64(b.N)/1000, "B/event")
}

// perAggregate has an example of each aggregate over a window of an hour.
var perAggregate = []string{
	"count: {by: card, window: 1h}",
	"sum: {by: card, of: amount.base, window: 1h}",
	"avg: {by: card, of: amount.base, window: 1h}",
	"stddev: {by: card, of: amount.base, window: 1h}",
	"min: {by: card, of: amount.base, window: 1h}",
	"max: {by: card, of: amount.base, window: 1h}",
	"quantile: {by: card, of: amount.base, q: 0.95, window: 1h}",
	"first: {by: card, of: amount.base, window: 1h}",
	"last: {by: card, of: amount.base, window: 1h, current: exclude}",
	"since_first: {by: card, window: 1h}",
	"since_last: {by: card, window: 1h, current: exclude}",
	"distinct: {by: card, of: merchant.id, window: 1h}",
	"share: {by: card, of: merchant.id, window: 1h}",
	"seen: {by: card, of: merchant.id, window: 1h}",
	"similar: {by: card, of: amount.base, within: 0.1, window: 1h}",
	"nearby: {by: card, of: ip, within: 5, window: 1h}",
	"run: {by: card, while: amount.base < 900, window: 1h}",
	"run: {by: card, while: amount.base >= 0, window: 1h}",
	"distance: {by: card, of: ip, window: 1h}",
	"speed: {by: card, of: ip, window: 1h}",
	"text_distance: {by: card, of: merchant.name, window: 1h}",
	"benford: {by: card, of: amount.base, window: 1h}",
	"avg: {by: card, of: amount.base, window: {last: 3}}",
	"avg: {by: card, of: amount.base, window: {last: 20}}",
	"quantile: {by: card, of: amount.base, q: 0.5, window: {last: 256}}",
	"quantile: {by: card, of: amount.base, q: 0.95}",
	"similar: {by: card, of: amount.base, within: 0.1}",
	"share: {by: card, of: merchant.id}",
	"nearby: {by: card, of: ip, within: 5}",
}

// BenchmarkAggregate observes events of one card, so many of them in the window of
// an hour, in order and, of which every second one is late by three.
func BenchmarkAggregate(b *testing.B) {
	for _, feature := range perAggregate {
		set := mustLoad(b, modelHeader+"  f: {"+feature+"}\n")
		recs := traffic(1024, 100, 1)
		prepared := make([]Prepared, len(recs))
		var scope expression.Scope
		for i, r := range recs {
			r.Event.Card.Token = "c"
			r.Event.Merchant.Name = fmt.Sprint("the shop of ", i*i)
			r.Facts.IPLat = risk.Number{Value: float64(i%40) - 20, Set: true}
			r.Facts.IPLon = risk.Number{Value: float64(i%11) - 5, Set: true}
			r.IDs = secrets.IDs(&r.Event)
			set.Prepare(r, &scope, &prepared[i])
		}
		for _, n := range []int{20, 4000} {
			for _, late := range []risk.Time{0, 3} {
				name := fmt.Sprintf("%s/n=%d", feature, n)
				if late > 0 {
					name += "/late"
				}
				b.Run(name, func(b *testing.B) {
					st := NewState(set)
					var v Vector
					step := risk.Time(3_600_000 / n)
					i := 0
					next := func() {
						at := risk.Time(1_700_000_000_000) + risk.Time(i)*step
						arrival := at
						if i&1 == 0 {
							at -= late * step
						}
						st.Observe(&prepared[i%len(prepared)], at, arrival, &v)
						i++
					}
					for range 2*n + 200 {
						next()
					}
					b.ReportAllocs()
					done := cpu(b)
					for b.Loop() {
						next()
					}
					done()
				})
			}
		}
	}
}
