package engine

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-risk/sluice/risk"
)

// filter answers "this event was never stored" for nearly every new event, so
// that only retries and labels pay for a look-up. It is a Bloom filter by day of
// event time, each day a list of parts that double in size. Readers and the one
// writer need no lock among them but to add a part.
type filter struct {
	ready atomic.Bool // holds all that was stored before this process began
	mu    sync.RWMutex
	days  map[risk.Time]*filterDay
}

type filterDay struct{ parts []*filterPart }

type filterPart struct {
	words []atomic.Uint64
	room  int // keys it may still take: 16 bits each
}

const (
	firstPart = 1 << 12 // keys
	probes    = 7       // of 9 bits of the key each; false positives below 0.2 %
)

func newFilter() *filter { return &filter{days: map[risk.Time]*filterDay{}} }

func (f *filter) add(key risk.EventKey, at risk.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.days[at/day]
	if d == nil {
		d = &filterDay{}
		f.days[at/day] = d
	}
	n := len(d.parts)
	if n == 0 || d.parts[n-1].room == 0 {
		keys := firstPart << n
		d.parts = append(d.parts, &filterPart{words: make([]atomic.Uint64, keys/4), room: keys})
		n++
	}
	p := d.parts[n-1]
	p.room--
	p.each(key, func(w *atomic.Uint64, bit uint64) bool { w.Or(bit); return true })
}

// mayHold reports false only for an event that no checkpoint has stored.
func (f *filter) mayHold(key risk.EventKey) bool {
	if !f.ready.Load() {
		return true
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, d := range f.days {
		for _, p := range d.parts {
			if p.holds(key) {
				return true
			}
		}
	}
	return false
}

func (p *filterPart) holds(key risk.EventKey) bool {
	found := true
	p.each(key, func(w *atomic.Uint64, bit uint64) bool {
		found = w.Load()&bit != 0
		return found
	})
	return found
}

// each visits the bits of a key, all in one cache line: keys are digests already.
func (p *filterPart) each(key risk.EventKey, visit func(w *atomic.Uint64, bit uint64) bool) {
	line := int(binary.LittleEndian.Uint32(key[:])) & (len(p.words)/8 - 1) * 8
	bits := binary.LittleEndian.Uint64(key[4:])
	for range probes {
		if !visit(&p.words[line+int(bits>>6&7)], 1<<(bits&63)) {
			return
		}
		bits >>= 9
	}
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
