package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-risk/sluice/internal/bloom"
	"github.com/sluice-risk/sluice/risk"
)

// filter answers "this event was never stored" for nearly every new event, so
// that only retries and labels pay for a look-up. It is a Bloom filter by day of
// event time.
type filter struct {
	ready atomic.Bool // holds all that was stored before this process began
	mu    sync.RWMutex
	days  map[risk.Time]*bloom.Set
}

func newFilter() *filter { return &filter{days: map[risk.Time]*bloom.Set{}} }

func (f *filter) add(key risk.EventKey, at risk.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.days[at/day]
	if d == nil {
		d = &bloom.Set{}
		f.days[at/day] = d
	}
	d.Add(key[:])
}

// mayHold reports false only for an event that no checkpoint has stored.
func (f *filter) mayHold(key risk.EventKey) bool {
	if !f.ready.Load() {
		return true
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, d := range f.days {
		if d.MayHold(key[:]) {
			return true
		}
	}
	return false
}

// forget drops the days that dedup no longer asks about.
func (f *filter) forget(watermark risk.Time, dedup time.Duration) {
	edge := watermark.Add(-dedup)/day - 1
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := range f.days {
		if d < edge {
			delete(f.days, d)
		}
	}
}
