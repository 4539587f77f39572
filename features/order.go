package features

import (
	"slices"
	"sort"
)

// order is a multiset of 64-bit keys in their order. Blocks are short enough that
// inserting into one costs little, and few enough that adding up their sizes does.
type order struct {
	blocks [][]counted // neither is ever empty
	sizes  []int64     // by block: keys in it, each as often as it occurs
}

const blockKeys = 256

// block gives the block that key belongs to; there is one.
func (o *order) block(key uint64) int {
	lo, hi := 0, len(o.blocks)-1
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if b := o.blocks[m]; b[len(b)-1].key >= key {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// within gives the first place in a block whose key is not below key.
func within(block []counted, key uint64) int {
	return sort.Search(len(block), func(i int) bool { return block[i].key >= key })
}

func (o *order) add(key uint64, n uint32) {
	if len(o.blocks) == 0 {
		o.blocks, o.sizes = append(o.blocks, make([]counted, 0, 16)), append(o.sizes, 0)
	}
	b := o.block(key)
	i := within(o.blocks[b], key)
	o.sizes[b] += int64(n)
	if i < len(o.blocks[b]) && o.blocks[b][i].key == key {
		o.blocks[b][i].n += n
		return
	}
	o.blocks[b] = slices.Insert(o.blocks[b], i, counted{key: key, n: n})
	if len(o.blocks[b]) < blockKeys {
		return
	}
	half := slices.Clone(o.blocks[b][blockKeys/2:])
	o.blocks[b] = o.blocks[b][:blockKeys/2]
	size := int64(0)
	for _, c := range half {
		size += int64(c.n)
	}
	o.sizes[b] -= size
	o.blocks = slices.Insert(o.blocks, b+1, half)
	o.sizes = slices.Insert(o.sizes, b+1, size)
}

// remove takes key away once. It is there.
func (o *order) remove(key uint64) {
	b := o.block(key)
	i := within(o.blocks[b], key)
	o.sizes[b]--
	if o.blocks[b][i].n--; o.blocks[b][i].n > 0 {
		return
	}
	if o.blocks[b] = slices.Delete(o.blocks[b], i, i+1); len(o.blocks[b]) == 0 {
		o.blocks, o.sizes = slices.Delete(o.blocks, b, b+1), slices.Delete(o.sizes, b, b+1)
	}
}

// at gives the key with k smaller or equal ones in front of it; there is one.
func (o *order) at(k int64) uint64 {
	b := 0
	for ; k >= o.sizes[b]; b++ {
		k -= o.sizes[b]
	}
	for _, c := range o.blocks[b] {
		if k -= int64(c.n); k < 0 {
			return c.key
		}
	}
	panic("features: sizes of blocks do not add up")
}

// below tells how many keys are smaller than key.
func (o *order) below(key uint64) (n int64) {
	if len(o.blocks) == 0 {
		return 0
	}
	last := o.block(key)
	for _, size := range o.sizes[:last] {
		n += size
	}
	for _, c := range o.blocks[last] {
		if c.key >= key {
			break
		}
		n += int64(c.n)
	}
	return n
}

// each visits the keys from one to another, both included.
func (o *order) each(from, to uint64, visit func(key uint64, n uint32)) {
	if len(o.blocks) == 0 {
		return
	}
	b := o.block(from)
	for i := within(o.blocks[b], from); b < len(o.blocks); b, i = b+1, 0 {
		for _, c := range o.blocks[b][i:] {
			if c.key > to {
				return
			}
			visit(c.key, c.n)
		}
	}
}

func (o *order) reset() { o.blocks, o.sizes = nil, nil }

// nth puts the k-th smallest of keys, from 0, at its place and gives it: what lies
// before is not greater, what lies behind not smaller.
func nth(keys []uint64, k int) uint64 {
	for len(keys) > 12 {
		// The middle one of three as pivot keeps rising and falling runs short.
		a, b, c := keys[0], keys[len(keys)/2], keys[len(keys)-1]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := 0, len(keys)-1
		for i <= j {
			for keys[i] < pivot {
				i++
			}
			for keys[j] > pivot {
				j--
			}
			if i <= j {
				keys[i], keys[j] = keys[j], keys[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			keys = keys[:j+1]
		case k >= i:
			keys, k = keys[i:], k-i
		default:
			return keys[k]
		}
	}
	for i := 1; i < len(keys); i++ {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	return keys[k]
}
