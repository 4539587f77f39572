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
	mu    sync.Mutex // one Add at a time
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

// Add puts a key of at least KeySize bytes into the set.
func (s *Set) Add(key []byte) {
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
	p.room--
	s.keys.Add(1)
	p.each(key, func(w *atomic.Uint64, bit uint64) bool { w.Or(bit); return true })
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

// each visits the bits of a key, all in one cache line.
func (p *part) each(key []byte, visit func(w *atomic.Uint64, bit uint64) bool) {
	line := int(binary.LittleEndian.Uint32(key)) & (len(p.words)/8 - 1) * 8
	bits := binary.LittleEndian.Uint64(key[4:])
	for range probes {
		if !visit(&p.words[line+int(bits>>6&7)], 1<<(bits&63)) {
			return
		}
		bits >>= 9
	}
}
