//go:build unix

package features

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

const hugeMerchant = `apiVersion: features/v1
limits: {exact_events: %d}
entities: {merchant: {key: merchant.id}}
features:
  n_10m:     {count: {by: merchant, window: 10m}}
  n_24h:     {count: {by: merchant, window: 24h}}
  sum_24h:   {sum: {by: merchant, of: amount.base, window: 24h}}
  avg_7d:    {avg: {by: merchant, of: amount.base, window: 7d}}
  cards_24h: {distinct: {by: merchant, of: card.token, window: 24h}}
  cards_30d: {distinct: {by: merchant, of: card.token, window: 30d}}
  max_7d:    {max: {by: merchant, of: amount.base, window: 7d}}
  sum_30d:   {sum: {by: merchant, of: amount.base, window: 30d}}
`

// BenchmarkHugeMerchant keeps a million events and more in the longest window of
// one merchant. In tiles, its log holds what is newer than the 25 hours that an event
// may be late; with 4,000 an hour those are too many, and every event goes to tiles
// while late ones may still fall among them. For comparison, all of them one by one.
// With `late`, one event in 20 is so late.
func BenchmarkHugeMerchant(b *testing.B) {
	const million = 1_000_000
	for _, c := range []struct {
		exact, hourly int
		late          risk.Time
	}{
		{4096, million / 720, 0}, {4096, million / 720, 60_000}, {4096, 4000, 0}, {4096, 4000, 60_000},
		{1 << 20, million / 720, 0}, {1 << 20, million / 720, 60_000},
	} {
		b.Run(fmt.Sprintf("exact_events=%d/hourly=%d/late=%ds", c.exact, c.hourly, c.late/1000), func(b *testing.B) {
			set := mustLoad(b, fmt.Sprintf(hugeMerchant, c.exact))
			step := risk.Time(3_600_000 / c.hourly)
			recs := traffic(100_000, 50_000, step)
			for _, r := range recs {
				r.Event.Merchant.ID = "m"
				r.IDs = secrets.IDs(&r.Event)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			st := NewState(set)
			var p Prepared
			var v Vector
			var scope expression.Scope
			i := 0
			next := func() {
				r := recs[i%len(recs)]
				at := r.Event.Time + risk.Time(i/len(recs)*len(recs))*step
				arrival := at
				if i%20 == 0 {
					at -= c.late
				}
				set.Prepare(r, &scope, &p)
				st.Observe(&p, at, arrival, &v)
				i++
			}
			for range 750 * c.hourly {
				next()
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportAllocs()
			done := cpu(b)
			for b.Loop() {
				next()
			}
			done()
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
			rows, stored := 0, 0
			st.Checkpoint(1, func(k, value []byte, _ uint64) uint64 { rows++; stored += len(k) + len(value); return 1 })
			b.ReportMetric(float64(stored)/1e6, "stored-MB")
			b.ReportMetric(float64(rows), "rows")
			if got := v.Values[7]; got == 0 {
				b.Fatal("nothing is summed")
			}
		})
	}
}
