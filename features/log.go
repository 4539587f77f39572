package features

import (
	"math"

	"github.com/sluice-risk/sluice/risk"
)

// chunk is a run of an entity's events in the order of time, equal instants in
// the order of arrival. It is stored as one value. One allocation holds its
// columns one after the other: times, mask words, values.
type chunk struct {
	data  []uint64
	n     int
	order uint64 // place among the entity's chunks, and part of the stored key

	// Its own stored row, which holds its first entries; newer ones of the last
	// chunk lie in the entity's head, so that a few more cost no long row.
	sum    uint64 // what the store gave for the row; 0: has none
	stored int    // entries in it
	dirty  bool   // the row's entries are no longer the chunk's first ones
	room   int32  // entries that data has room for
}

// chunkEntries bounds a chunk. Tests make it smaller.
var chunkEntries = 256

// maxEntries bounds a chunk so that its worst encoding fits a stored value, too.
func maxEntries(stride int) int {
	return min(chunkEntries, (maxValue-stride)/(maxVarint*(stride+1)))
}

// allocate gives c room for so many entries, and none yet.
func (c *chunk) allocate(stride, room int) {
	c.data, c.room, c.n = make([]uint64, stride*room), int32(room), 0
}

// times gives the first column.
func (c *chunk) times() []uint64 { return c.data[:c.n] }

// part gives column i of the chunk: 0 the times, then mask words, then values.
func (c *chunk) part(i int) []uint64 {
	at := i * int(c.room)
	return c.data[at : at+c.n]
}

func (c *chunk) first() risk.Time { return risk.Time(c.data[0]) }
func (c *chunk) last() risk.Time  { return risk.Time(c.data[c.n-1]) }

// resize moves the entries [from, from+n) into an allocation for room entries.
func (c *chunk) resize(stride, room, from, n int) {
	old := *c
	c.allocate(stride, room)
	for i := range stride {
		copy(c.data[i*room:], old.part(i)[from:from+n])
	}
	c.n = n
}

// cut drops the first k entries in place.
func (c *chunk) cut(stride, k int) {
	room := int(c.room)
	for i := range stride {
		copy(c.data[i*room:], c.data[i*room+k:i*room+c.n])
	}
	c.n -= k
}

// insert puts an entry at i; there is room.
func (c *chunk) insert(i, stride int, at risk.Time, mask, values []uint64) {
	room := int(c.room)
	for k := range stride {
		col := c.data[k*room : k*room+c.n+1]
		if i < c.n {
			copy(col[i+1:], col[i:])
		}
		switch {
		case k == 0:
			col[i] = uint64(at)
		case k <= len(mask):
			col[i] = mask[k-1]
		default:
			col[i] = values[k-1-len(mask)]
		}
	}
	c.n++
}

// after gives the index of the first entry later than t.
func (c *chunk) after(t risk.Time) int {
	times := c.times()
	lo, hi := 0, len(times)
	// Most windows begin near the end: leap back from there, ever further.
	for step := 4; hi > step; step *= 2 {
		if risk.Time(times[hi-step]) <= t {
			lo = hi - step + 1
			break
		}
		hi -= step
	}
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); risk.Time(times[m]) > t {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// cursor is a place between two entries of an entity's log. The end of a chunk
// and the start of the next are the same place.
type cursor struct{ chunk, entry int }

// after gives the place behind the last entry that is not later than t.
func (e *entity) after(t risk.Time) cursor {
	last := len(e.chunks) - 1
	if last < 0 {
		return cursor{}
	}
	if c := &e.chunks[last]; c.last() <= t {
		return cursor{last, c.n}
	}
	lo, hi := 0, last // the first chunk whose last entry is later than t
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); e.chunks[m].last() > t {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return cursor{lo, e.chunks[lo].after(t)}
}

const startRoom = 4

// roomFor gives a full chunk a third more room: most entities have few events, and
// what they leave free is much of what all of them take.
func roomFor(n, stride int) int { return min(n+max(n/3, startRoom), maxEntries(stride)) }

// orderStep is the distance between the places of neighbouring chunks. Tests make
// it smaller.
var orderStep uint64 = 1 << 32

// insert puts an entry where it belongs and reports whether that is the end.
func (e *entity) insert(at risk.Time, mask, values []uint64, st *State) bool {
	stride := e.layout.stride()
	st.expire(e)
	most := maxEntries(stride)
	last := len(e.chunks) - 1
	if last < 0 || e.chunks[last].last() <= at {
		if last >= 0 && e.chunks[last].n == int(e.chunks[last].room) && e.chunks[last].n < most {
			st.makeRoom(e, last)
			last = len(e.chunks) - 1 // all of it may have expired
		}
		if last < 0 || e.chunks[last].n == most {
			c := chunk{order: orderStep}
			if last >= 0 {
				c.order += e.chunks[last].order
			}
			c.allocate(stride, min(startRoom<<min(2*(last+1), 8), most))
			e.chunks = append(e.chunks, c)
			e.words += len(c.data)
			last++
		}
		c := &e.chunks[last]
		st.touch(e, last, c.n)
		c.insert(c.n, stride, at, mask, values)
		e.entries++
		return true
	}
	p := e.after(at)
	if p.entry == 0 && p.chunk > 0 && e.chunks[p.chunk-1].n < most {
		p = cursor{p.chunk - 1, e.chunks[p.chunk-1].n}
	}
	c := &e.chunks[p.chunk]
	switch {
	case c.n == most:
		e.split(p.chunk, stride, st)
		if half := e.chunks[p.chunk].n; p.entry > half {
			p = cursor{p.chunk + 1, p.entry - half}
		}
		c = &e.chunks[p.chunk]
	case c.n == int(c.room):
		e.resize(c, roomFor(c.n, stride))
	}
	st.touch(e, p.chunk, p.entry)
	c.insert(p.entry, stride, at, mask, values)
	e.entries++
	return false
}

// split halves a full chunk.
func (e *entity) split(i, stride int, st *State) {
	if most := maxEntries(stride); most == 1 {
		panic("features: a chunk of one entry cannot be split") // layouts are bounded so that it holds more
	}
	e.chunks = append(e.chunks, chunk{})
	copy(e.chunks[i+2:], e.chunks[i+1:])
	left := &e.chunks[i]
	right := chunk{data: left.data, n: left.n, room: left.room}
	half := left.n / 2
	right.resize(stride, left.n, half, left.n-half)
	e.words += len(right.data)
	left.n = half
	next := uint64(math.MaxUint64)
	if i+2 < len(e.chunks) {
		next = e.chunks[i+2].order
	} else if left.order < math.MaxUint64-2*orderStep {
		next = left.order + 2*orderStep
	}
	right.order = left.order + (next-left.order)/2
	e.chunks[i+1] = right
	e.oldest = 0
	st.touch(e, i, 0)
	if right.order == left.order {
		e.renumber(st)
	}
}

// renumber gives all chunks new stored keys: no number was left between two.
func (e *entity) renumber(st *State) {
	for i := range e.chunks {
		c := &e.chunks[i]
		st.forget(e, c)
		c.order = uint64(i+1) * orderStep
	}
	st.list(e)
}
