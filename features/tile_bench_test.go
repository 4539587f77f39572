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

// BenchmarkHugeMerchant keeps a million events in the longest window of one
// merchant, in tiles and, for comparison, one by one.
func BenchmarkHugeMerchant(b *testing.B) {
	const inWindow = 1_000_000
	step := risk.Time(30 * day.Milliseconds() / inWindow)
	for _, exact := range []int{4096, 1 << 20} {
		for _, late := range []risk.Time{0, 60_000} {
			b.Run(fmt.Sprintf("exact_events=%d/late=%ds", exact, late/1000), func(b *testing.B) {
				set := mustLoad(b, fmt.Sprintf(hugeMerchant, exact))
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
						at -= late
					}
					set.Prepare(r, &scope, &p)
					st.Observe(&p, at, arrival, &v)
					i++
				}
				for range inWindow + inWindow/10 {
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
}
