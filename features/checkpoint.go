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
	pastKey  = 3 // id 3 0
	blockKey = 4 // id 4 slot block part
)

const (
	maxValue  = 60 << 10 // of a stored value
	maxVarint = 10
	keysPart  = 4096 // keys of a keySet in one stored value
)

func (e *entity) appendHeadKey(b []byte) []byte { return append(append(b, e.id[:]...), headKey) }

func (e *entity) appendChunkKey(b []byte, order uint64) []byte {
	return binary.BigEndian.AppendUint64(append(append(b, e.id[:]...), chunkKey), order)
}

func (e *entity) appendKeysKey(b []byte, slot uint32, part int) []byte {
	b = binary.BigEndian.AppendUint32(append(append(b, e.id[:]...), keysKey), slot)
	return binary.BigEndian.AppendUint32(b, uint32(part))
}

// tailEntries bounds the newest entries that lie in an entity's head; only when
// there are more is a chunk's own row written. An entity with few events is one
// row. Tests make it smaller.
var tailEntries = 32

// maxTail leaves room for the rest of a head.
func maxTail(stride int) int { return min(tailEntries, maxEntries(stride)/2) }

// touch notes that a chunk has changed, from entry i on.
func (st *State) touch(e *entity, chunk, i int) {
	c, entry := &e.chunks[chunk], 4*e.layout.stride()
	st.dirtyBytes += entry
	if i < int(c.stored) && !c.dirty {
		c.dirty = true
		st.dirtyBytes += entry * c.n
	}
	st.list(e)
}

// list notes that an entity differs from what is stored of it.
func (st *State) list(e *entity) {
	if !e.listed {
		e.listed = true
		st.dirty = append(st.dirty, e)
		st.dirtyBytes += 96 + 40*len(e.folds)
		if n := len(e.chunks); n > 0 {
			st.dirtyBytes += 4 * e.layout.stride() * min(e.chunks[n-1].n-int(e.chunks[n-1].stored), tailEntries)
		}
	}
}

// forget notes that the stored row of a chunk must go.
func (st *State) forget(e *entity, c *chunk) {
	if c.sum != 0 {
		st.gone[string(e.appendChunkKey(nil, c.order))] = c.sum
		st.dirtyBytes += 32
	}
	c.sum, c.stored, c.dirty = 0, 0, false
}

// forgetAll notes that all stored rows of an entity must go.
func (st *State) forgetAll(e *entity) {
	for i := range e.chunks {
		st.forget(e, &e.chunks[i])
	}
	for _, f := range e.folds {
		if f != nil {
			st.forgetParts(e, f)
		}
	}
	st.forgetPast(e)
	if e.headSum != 0 {
		st.gone[string(e.appendHeadKey(nil))] = e.headSum
		st.stored.count.Add(-1)
		e.headSum = 0
	}
}

// forgetParts notes that the stored parts of a fold must go.
func (st *State) forgetParts(e *entity, f *fold) {
	if k := f.keys; k != nil {
		for part, sum := range k.sums {
			st.gone[string(e.appendKeysKey(nil, f.slot, part))] = sum
		}
		k.sums = nil
		for part := range k.stale {
			k.stale[part] = true
		}
	}
	if q := f.recent; q != nil && q.sum != 0 {
		st.gone[string(e.appendKeysKey(nil, f.slot, 0))] = q.sum
		q.sum, q.stale = 0, true
	}
}

// Dirty estimates the bytes that a checkpoint would write now.
func (st *State) Dirty() int { return st.dirtyBytes }

// Checkpoint writes what has changed since the last one: put stores a value of at
// most 60 KiB under a key, or deletes it (nil), and gives the store's sum of the
// value, which is passed as `replaces` when the key is next written or deleted.
// Neither slice may be kept. What it returns belongs to the same checkpoint and is
// what Restore needs first. Generations rise; see Evict.
func (st *State) Checkpoint(generation uint64, put func(key, value []byte, replaces uint64) (sum uint64)) (small []byte) {
	var key, value []byte
	write := func(k, v []byte, sum uint64) uint64 {
		if sum == 0 && len(st.gone) > 0 { // the key of something that is gone is used again
			sum = st.gone[string(k)]
			delete(st.gone, string(k))
		}
		key, value = k, v
		return put(k, v, sum)
	}
	for _, e := range st.dirty {
		e.listed, e.kept, e.saved = false, true, generation
		if e.removed {
			continue
		}
		if e.empty() { // as when its layout has changed
			st.forgetAll(e)
			st.leave(e)
			continue
		}
		more := false // rows of its own beside the head
		last, tail := len(e.chunks)-1, maxTail(e.layout.stride())
		for i := range e.chunks {
			c := &e.chunks[i]
			switch {
			case i == last && !c.dirty && c.n-int(c.stored) <= tail:
			case i == last && c.n <= tail:
				st.forget(e, c)
			case c.dirty || int(c.stored) < c.n:
				c.sum = write(e.appendChunkKey(key[:0], c.order), c.append(value[:0], e.layout, 0), c.sum)
				c.stored, c.dirty = int32(c.n), false
			}
			more = more || c.sum != 0
		}
		for _, f := range e.folds {
			if f == nil {
				continue
			}
			more = more || f.keys != nil || f.recent != nil
			if k := f.keys; k != nil {
				for part, stale := range k.stale {
					if part == len(k.sums) {
						k.sums = append(k.sums, 0)
					}
					if stale {
						k.sums[part] = write(e.appendKeysKey(key[:0], f.slot, part), k.appendPart(value[:0], part), k.sums[part])
						k.stale[part] = false
					}
				}
			}
			if q := f.recent; q != nil && q.stale {
				q.sum = write(e.appendKeysKey(key[:0], f.slot, 0), q.append(value[:0]), q.sum)
				q.stale = false
			}
		}
		if e.past != nil {
			more = true
			e.savePast(st, &value, write)
		}
		if e.headSum == 0 {
			st.stored.add(e.id[:])
		}
		e.headSum = write(e.appendHeadKey(key[:0]), e.appendHead(value[:0], more), e.headSum)
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
	if st.view == nil {
		st.prune(0)
	}
	return st.appendSmall(nil)
}
