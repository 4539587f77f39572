// Package bloom answers "this key was never added" without keeping the keys.
//
// A [Set] is a Bloom filter that grows: a list of parts that double in size, so
// that nothing has to be known beforehand. Any number of goroutines may add and
// ask at the same time. It forgets nothing; who deletes builds another Set.
package bloom

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// KeySize is how many bytes of a key are looked at. They must be evenly spread,
// as those of a hash are.
const KeySize = 12

const (
	firstPart = 1 << 12 // keys
	probes    = 7       // of 9 bits of the key each; false positives below 0.2 % of a part
)

// Set is a filter of keys. The zero value is empty.
type Set struct {
	mu    sync.Mutex // one reserve at a time
	parts atomic.Pointer[[]*part]
	keys  atomic.Int64
}

type part struct {
	words []atomic.Uint64
	room  int // keys it may still take: 16 bits each
}

// New gives a set that holds so many keys in its first part.
func New(keys int) *Set {
	s := &Set{}
	if keys > firstPart {
		size := firstPart
		for size < keys {
			size *= 2
		}
		s.parts.Store(&[]*part{newPart(size)})
	}
	return s
}

func newPart(keys int) *part { return &part{words: make([]atomic.Uint64, keys/4), room: keys} }

// Add puts keys of at least KeySize bytes into the set. Some tens at a time cost
// much less than one by one.
func (s *Set) Add(keys ...[]byte) {
	for len(keys) > 0 {
		p, n := s.reserve(len(keys))
		// Each key's bits lie in a cache line of their own. Atomic writes wait for one
		// line after the other, reads for all of them at once.
		var warm uint64
		for _, key := range keys[:n] {
			warm |= p.words[p.line(key)].Load()
		}
		for _, key := range keys[:n] {
			p.each(key, func(w *atomic.Uint64, bit uint64) bool { w.Or(bit); return true })
		}
		keys = keys[n:]
	}
}

// reserve gives the part that takes so many of the next keys.
func (s *Set) reserve(keys int) (*part, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []*part
	if p := s.parts.Load(); p != nil {
		parts = *p
	}
	n := len(parts)
	if n == 0 || parts[n-1].room == 0 {
		size := firstPart
		if n > 0 {
			size = 8 * len(parts[n-1].words)
		}
		parts = append(parts[:n:n], newPart(size))
		s.parts.Store(&parts)
		n++
	}
	p := parts[n-1]
	keys = min(keys, p.room)
	p.room -= keys
	s.keys.Add(int64(keys))
	return p, keys
}

// MayHold reports false only for a key that was never added.
func (s *Set) MayHold(key []byte) bool {
	parts := s.parts.Load()
	if parts == nil {
		return false
	}
	for i := len(*parts) - 1; i >= 0; i-- { // the last is the largest
		if (*parts)[i].holds(key) {
			return true
		}
	}
	return false
}

// Keys is how many keys were added.
func (s *Set) Keys() int { return int(s.keys.Load()) }

// Bytes is the memory that the set takes.
func (s *Set) Bytes() int {
	n := 0
	if parts := s.parts.Load(); parts != nil {
		for _, p := range *parts {
			n += 8 * len(p.words)
		}
	}
	return n
}

func (p *part) holds(key []byte) bool {
	found := true
	p.each(key, func(w *atomic.Uint64, bit uint64) bool {
		found = w.Load()&bit != 0
		return found
	})
	return found
}

func (p *part) line(key []byte) int {
	return int(binary.LittleEndian.Uint32(key)) & (len(p.words)/8 - 1) * 8
}

// each visits the bits of a key, all in one cache line.
func (p *part) each(key []byte, visit func(w *atomic.Uint64, bit uint64) bool) {
	line := p.line(key)
	bits := binary.LittleEndian.Uint64(key[4:])
	for range probes {
		if !visit(&p.words[line+int(bits>>6&7)], 1<<(bits&63)) {
			return
		}
		bits >>= 9
	}
}
