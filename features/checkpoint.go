package features

import (
	"encoding/binary"
	"slices"
)

// Stored keys. All of an entity's begin with its id, the head sorts first, and
// chunks sort by time, so a scan in key order can restore it. docs/format.md
// describes keys and values.
const (
	headKey  = 0 // id 0
	chunkKey = 1 // id 1 order
	keysKey  = 2 // id 2 slot part
)

const (
	maxValue  = 60 << 10 // of a stored value
	maxVarint = 10
	keysPart  = 4096 // keys of a keySet in one stored value
)

func (e *entity) headKey() []byte { return append(append(make([]byte, 0, 17), e.id[:]...), headKey) }

func (e *entity) chunkKey(order uint64) []byte {
	b := append(append(make([]byte, 0, 25), e.id[:]...), chunkKey)
	return binary.BigEndian.AppendUint64(b, order)
}

func (e *entity) keysKey(slot uint32, part int) []byte {
	b := append(append(make([]byte, 0, 25), e.id[:]...), keysKey)
	b = binary.BigEndian.AppendUint32(b, slot)
	return binary.BigEndian.AppendUint32(b, uint32(part))
}

// touch notes that a chunk differs from what is stored.
func (st *State) touch(e *entity, chunk int) {
	st.dirtyBytes += 4 * e.layout.stride()
	if c := &e.chunks[chunk]; !c.dirty {
		c.dirty = true
		st.dirtyBytes += 4 * e.layout.stride() * c.n
		st.list(e)
	}
}

func (st *State) touchHead(e *entity) {
	e.headDirty = true
	st.list(e)
}

func (st *State) list(e *entity) {
	if !e.listed {
		e.listed = true
		st.dirty = append(st.dirty, e)
		st.dirtyBytes += 64
	}
}

// forget notes that the stored value of a chunk must go.
func (st *State) forget(e *entity, c *chunk) {
	if c.sum != 0 {
		st.gone[string(e.chunkKey(c.order))] = c.sum
		st.dirtyBytes += 32
		c.sum = 0
	}
}

func (st *State) forgetHead(e *entity) {
	if e.headSum != 0 {
		st.gone[string(e.headKey())] = e.headSum
		e.headSum = 0
	}
	for _, f := range e.folds {
		if f != nil {
			st.forgetParts(e, f)
		}
	}
}

// forgetParts notes that the stored parts of a fold must go.
func (st *State) forgetParts(e *entity, f *fold) {
	if k := f.keys; k != nil {
		for part, sum := range k.sums {
			st.gone[string(e.keysKey(f.slot, part))] = sum
		}
		k.sums = nil
		for part := range k.stale {
			k.stale[part] = true
		}
	}
	if q := f.recent; q != nil && q.sum != 0 {
		st.gone[string(e.keysKey(f.slot, 0))] = q.sum
		q.sum, q.stale = 0, true
	}
}

// Dirty estimates the bytes that a checkpoint would write now.
func (st *State) Dirty() int { return st.dirtyBytes }

// Checkpoint writes what has changed since the last one: put stores a value of at
// most 60 KiB under a key, or deletes it (nil), and gives the store's sum of the
// value, which is passed as `replaces` when the key is next written or deleted.
// Neither slice may be kept. What it returns belongs to the same checkpoint and is
// what Restore needs first.
func (st *State) Checkpoint(put func(key, value []byte, replaces uint64) (sum uint64)) (small []byte) {
	var buf []byte
	write := func(key, value []byte, sum uint64) uint64 {
		if sum == 0 && len(st.gone) > 0 { // the key of something that is gone is used again
			sum = st.gone[string(key)]
			delete(st.gone, string(key))
		}
		buf = value
		return put(key, value, sum)
	}
	for _, e := range st.dirty {
		e.listed = false
		if e.removed {
			continue
		}
		if e.headDirty || e.headSum == 0 {
			e.headSum = write(e.headKey(), e.appendHead(buf[:0]), e.headSum)
			e.headDirty = false
		}
		for _, f := range e.folds {
			if f == nil {
				continue
			}
			if k := f.keys; k != nil {
				for part, stale := range k.stale {
					if part == len(k.sums) {
						k.sums = append(k.sums, 0)
					}
					if stale {
						k.sums[part] = write(e.keysKey(f.slot, part), k.appendPart(buf[:0], part), k.sums[part])
						k.stale[part] = false
					}
				}
			}
			if q := f.recent; q != nil && q.stale {
				q.sum = write(e.keysKey(f.slot, 0), q.append(buf[:0]), q.sum)
				q.stale = false
			}
		}
		for i := range e.chunks {
			if c := &e.chunks[i]; c.dirty {
				c.sum = write(e.chunkKey(c.order), c.append(buf[:0], e.layout), c.sum)
				c.dirty = false
			}
		}
	}
	clear(st.dirty)
	st.dirty, st.dirtyBytes = st.dirty[:0], 0
	keys := make([]string, 0, len(st.gone))
	for k := range st.gone {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		put([]byte(k), nil, st.gone[k])
	}
	clear(st.gone)
	st.prune()
	return st.appendSmall(nil)
}
