package features

import (
	"math"

	"github.com/sluice-risk/sluice/risk"
)

// chunk is a run of an entity's events in the order of time, equal instants in
// the order of arrival. It is stored as one value. In memory its entries lie one
// behind the other, so that one more touches one place: each is its time, mask words,
// values.
type chunk struct {
	data  []uint64
	n     int
	end   risk.Time // of the last entry: older chunks are mostly asked for no more
	order uint64    // place among the entity's chunks, and part of the stored key

	// Its own stored row, which holds its first entries; newer ones of the last
	// chunk lie in the entity's head, so that a few more cost no long row.
	sum    uint64 // what the store gave for the row; 0: has none
	stored int32  // entries in it
	dirty  bool   // the row's entries are no longer the chunk's first ones
	stride uint16 // words of an entry
}

// chunkEntries bounds a chunk. Tests make it smaller.
var chunkEntries = 256

// maxEntries bounds a chunk so that its worst encoding fits a stored value, too.
func maxEntries(stride int) int {
	return min(chunkEntries, (maxValue-stride)/(maxVarint*(stride+1)))
}

// allocate gives c room for so many entries, and none yet.
func (c *chunk) allocate(stride, room int) {
	c.data, c.stride, c.n = make([]uint64, stride*room), uint16(stride), 0
}

// full tells whether there is no room for one more entry.
func (c *chunk) full() bool { return (c.n+1)*int(c.stride) > len(c.data) }

// entry gives entry i: its time, mask words, values.
func (c *chunk) entry(i int) []uint64 {
	stride := int(c.stride)
	return c.data[i*stride : (i+1)*stride]
}

func (c *chunk) time(i int) risk.Time { return risk.Time(c.data[i*int(c.stride)]) }
func (c *chunk) first() risk.Time     { return risk.Time(c.data[0]) }
func (c *chunk) last() risk.Time      { return c.end }

// between gives the entries [from, to) as slot s sees them.
func (c *chunk) between(s *slot, from, to int) entries {
	stride := int(c.stride)
	return entries{c.data[from*stride : to*stride], stride, s.maskAt, s.valueAt}
}

// entries are some of a log's, oldest first: each begins with its time, and has the
// mask word and the value of a slot at these places.
type entries struct {
	data                []uint64
	stride, mask, value int
}

// resize moves the entries [from, from+n) into an allocation for room entries.
func (c *chunk) resize(stride, room, from, n int) {
	old := c.data[from*stride : (from+n)*stride]
	c.allocate(stride, room)
	copy(c.data, old)
	c.n, c.end = n, risk.Time(c.data[(n-1)*stride])
}

// cut drops the first k entries in place.
func (c *chunk) cut(k int) {
	stride := int(c.stride)
	copy(c.data, c.data[k*stride:c.n*stride])
	c.n -= k
}

// insert puts an entry at i; there is room.
func (c *chunk) insert(i int, at risk.Time, mask, values []uint64) {
	if i < c.n {
		stride := int(c.stride)
		copy(c.data[(i+1)*stride:(c.n+1)*stride], c.data[i*stride:])
	} else {
		c.end = at
	}
	entry := c.entry(i)
	entry[0] = uint64(at)
	copy(entry[1:], mask)
	copy(entry[1+len(mask):], values)
	c.n++
}

// after gives the index of the first entry later than t.
func (c *chunk) after(t risk.Time) int {
	lo, hi := 0, c.n
	// Most windows begin near the end: leap back from there, ever further.
	for step := 4; hi > step; step *= 2 {
		if step == 16 && c.first() > t { // or before all: do not leap through it
			return 0
		}
		if c.time(hi-step) <= t {
			lo = hi - step + 1
			break
		}
		hi -= step
	}
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); c.time(m) > t {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return lo
}

// cursor is a place between two entries of an entity's log. The end of a chunk
// and the start of the next are the same place.
type cursor struct{ chunk, entry int32 }

func cursorAt(chunk, entry int) cursor { return cursor{int32(chunk), int32(entry)} }

// after gives the place behind the last entry that is not later than t.
func (e *entity) after(t risk.Time) cursor {
	last := len(e.chunks) - 1
	if last < 0 {
		return cursor{}
	}
	if c := &e.chunks[last]; c.last() <= t {
		return cursorAt(last, c.n)
	}
	lo, hi := 0, last // the first chunk whose last entry is later than t
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); e.chunks[m].last() > t {
			hi = m
		} else {
			lo = m + 1
		}
	}
	return cursorAt(lo, e.chunks[lo].after(t))
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
		if last >= 0 && e.chunks[last].full() && e.chunks[last].n < most {
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
		c.insert(c.n, at, mask, values)
		e.entries++
		return true
	}
	p := e.after(at)
	if p.entry == 0 && p.chunk > 0 && e.chunks[p.chunk-1].n < most {
		p = cursorAt(int(p.chunk)-1, e.chunks[p.chunk-1].n)
	}
	c := &e.chunks[p.chunk]
	switch {
	case c.n == most:
		e.split(int(p.chunk), stride, st)
		if half := e.chunks[p.chunk].n; int(p.entry) > half {
			p = cursorAt(int(p.chunk)+1, int(p.entry)-half)
		}
		c = &e.chunks[p.chunk]
	case c.full():
		e.resize(c, roomFor(c.n, stride))
	}
	st.touch(e, int(p.chunk), int(p.entry))
	c.insert(int(p.entry), at, mask, values)
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
	right := chunk{data: left.data, stride: left.stride}
	half := left.n / 2
	right.resize(stride, left.n, half, left.n-half)
	e.words += len(right.data)
	left.n, left.end = half, left.time(half-1)
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
