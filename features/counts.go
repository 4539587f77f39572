package features

import "math/bits"

// counts is a multiset of 64-bit keys, open addressing with linear probing. A Go
// map would cost twice the time and memory.
type counts struct {
	slots []counted // length a power of two, at most three quarters used
	used  int
}

// counted is a key and how often it occurs.
type counted struct {
	key uint64
	n   uint32 // 0: free
	at  uint32 // of a keySet: the key's place in its list
}

const minCounts = 16

// home spreads keys: they may be small integers as well as hashes.
func (c *counts) home(key uint64) int {
	return int((key * 0x9e3779b97f4a7c15) >> (64 - uint(bits.TrailingZeros(uint(len(c.slots))))))
}

func (c *counts) find(key uint64) int {
	i := c.home(key)
	for c.slots[i].n != 0 && c.slots[i].key != key {
		i = (i + 1) & (len(c.slots) - 1)
	}
	return i
}

// of tells how often key occurs.
func (c *counts) of(key uint64) uint32 {
	if c.used == 0 {
		return 0
	}
	return c.slots[c.find(key)].n
}

// add counts key n times more, n > 0, and gives its place, valid until the next
// change.
func (c *counts) add(key uint64, n uint32) *counted {
	if 4*(c.used+1) > 3*len(c.slots) {
		c.grow()
	}
	s := &c.slots[c.find(key)]
	if s.n == 0 {
		s.key = key
		c.used++
	}
	s.n += n
	return s
}

// remove counts key once less and tells how often it still occurs. The key is
// there.
func (c *counts) remove(key uint64) uint32 {
	i := c.find(key)
	if c.slots[i].n--; c.slots[i].n > 0 {
		return c.slots[i].n
	}
	c.used--
	// Close the gap, so that no probe ends early.
	mask := len(c.slots) - 1
	for j := (i + 1) & mask; c.slots[j].n != 0; j = (j + 1) & mask {
		if h := c.home(c.slots[j].key); (j-h)&mask >= (j-i)&mask {
			c.slots[i], c.slots[j].n = c.slots[j], 0
			i = j
		}
	}
	return 0
}

func (c *counts) grow() {
	old := c.slots
	c.slots = make([]counted, max(minCounts, 2*len(old)))
	for _, s := range old {
		if s.n != 0 {
			c.slots[c.find(s.key)] = s
		}
	}
}

// reset empties c and keeps its memory unless it is much.
func (c *counts) reset() {
	if c.used == 0 {
		return
	}
	if len(c.slots) > 1024 {
		c.slots = nil
	}
	clear(c.slots)
	c.used = 0
}

// commonest knows how often the commonest of some keys occurs.
type commonest struct {
	keys []int32 // by n: how many keys occur n times
	n    int
}

// rise notes that a key which occurred from times now occurs to times.
func (m *commonest) rise(from, to uint32) {
	for int(to) >= len(m.keys) {
		m.keys = append(m.keys, make([]int32, max(8, len(m.keys)))...)
	}
	if from > 0 {
		m.keys[from]--
	}
	m.keys[to]++
	m.n = max(m.n, int(to))
}

// fall notes that a key which occurred to+1 times now occurs to times.
func (m *commonest) fall(to uint32) {
	m.keys[to+1]--
	if to > 0 {
		m.keys[to]++
	}
	if m.keys[m.n] == 0 {
		m.n--
	}
}

func (m *commonest) reset() {
	clear(m.keys)
	m.n = 0
}
