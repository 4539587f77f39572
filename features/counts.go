package features

import "math/bits"

// counts is a multiset of 64-bit keys, open addressing with linear probing. It
// is what distinct counts on; a Go map would cost twice the time and memory.
type counts struct {
	slots []counted // length a power of two, at most three quarters used
	used  int
}

type counted struct {
	key uint64
	n   uint32 // 0: free
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

func (c *counts) has(key uint64) bool {
	return c.used > 0 && c.slots[c.find(key)].n != 0
}

// add counts key once more and reports whether it is new.
func (c *counts) add(key uint64) bool {
	if 4*(c.used+1) > 3*len(c.slots) {
		c.grow()
	}
	i := c.find(key)
	if c.slots[i].n++; c.slots[i].n > 1 {
		return false
	}
	c.slots[i].key = key
	c.used++
	return true
}

// remove counts key once less and reports whether it is gone. The key is there.
func (c *counts) remove(key uint64) bool {
	i := c.find(key)
	if c.slots[i].n--; c.slots[i].n > 0 {
		return false
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
	return true
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
	if len(c.slots) > 1024 {
		c.slots = nil
	}
	clear(c.slots)
	c.used = 0
}
