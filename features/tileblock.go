package features

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// block holds the tiles from 16*index on, of one slot. What it knows of their
// events depends on the slot:
//
//   - one summary a tile;
//   - of a slot that keeps values, the number of events in each tile, and the
//     different values with the tiles in which they occur. When there are more than
//     blockValues, values are kept for the block as a whole, and made coarse: for
//     distinct in a sketch, for seen as 32 bits of a hash, for others as over all
//     of time, share in 4,096 bins;
//   - of a window of the last N, the events one by one.
type block struct {
	index  int64
	filled uint16 // the tiles with events, as bits
	tiles  *[blockTiles]summary
	n      [blockTiles]uint32
	values []valued // by rising key
	ranks  *ranks
	bins   []binned // by rising key
	events recent
	sums   []uint64 // of the stored values
	dirty  bool     // differs from them
}

// blockValues bounds the different values that a block knows exactly. Tests make
// it smaller.
var blockValues = 256

// valued is a value, the tiles of its block in which it occurs, as bits, and how
// often, where that matters.
type valued struct {
	key uint64
	in  uint16
	n   *[blockTiles]uint32
}

// binned is a coarse value and how often it occurs.
type binned struct {
	key uint64
	n   uint32
}

func (b *block) first() int64 { return b.index << blockShift }
func (b *block) last() int64  { return b.first() + blockTiles - 1 }

// coarse tells whether more is not known than what a block holds as a whole.
func (b *block) coarse() bool { return b.ranks != nil || b.bins != nil }

// holds tells whether one of its tiles has events.
func (b *block) holds(tile int64) bool { return b.filled>>(tile-b.first())&1 != 0 }

// part gives the places [from, to) of the tiles that b has in r; there are some.
func (b *block) part(r stretch) (from, to int) {
	return int(max(r.from-b.first(), 0)), int(min(r.to-b.first(), blockTiles-1)) + 1
}

// in gives the summaries of the tiles in r, none of a slot that keeps values.
func (b *block) in(r stretch) []summary {
	if b.tiles == nil {
		return nil
	}
	from, to := b.part(r)
	return b.tiles[from:to]
}

// bits gives the tiles of b in r, as bits.
func (b *block) bits(r stretch) uint16 {
	from, to := b.part(r)
	return uint16(1<<to - 1<<from)
}

// take adds an event to a tile. It is fresh unless the tile knows its value
// already and does not count it.
func (b *block) take(s *slot, tile int64, p pick) (fresh bool) {
	place := int(tile - b.first())
	b.filled |= 1 << place
	switch {
	case s.last > 0:
		b.events.insert(p)
	case s.agg.keeps != noValues:
		b.n[place]++
		return b.note(s, place, p.value)
	default:
		if b.tiles == nil {
			b.tiles = new([blockTiles]summary)
		}
		b.tiles[place].take(s, p)
	}
	return true
}

// insert adds an event, which is newer than those of the same instant.
func (q *recent) insert(p pick) {
	i := len(q.times)
	for i > 0 && risk.Time(q.times[i-1]) > p.at {
		i--
	}
	q.times, q.values = slices.Insert(q.times, i, uint64(p.at)), slices.Insert(q.values, i, p.value)
}

// note remembers that a value occurs in a tile of b.
func (b *block) note(s *slot, place int, v uint64) (fresh bool) {
	if b.coarse() {
		b.noteCoarse(s.coarse(v), 1)
		return true
	}
	i, found := slices.BinarySearchFunc(b.values, v, func(o valued, v uint64) int { return cmp.Compare(o.key, v) })
	if !found && s.window != 0 && len(b.values) >= blockValues {
		b.coarsen(s)
		b.noteCoarse(s.coarse(v), 1)
		return true
	}
	if !found {
		b.values = slices.Insert(b.values, i, valued{key: v})
		if s.agg.keeps != differentValues {
			b.values[i].n = new([blockTiles]uint32)
		}
	}
	o := &b.values[i]
	fresh = o.n != nil || o.in>>place&1 == 0
	o.in |= 1 << place
	if o.n != nil {
		o.n[place]++
	}
	return fresh
}

// coarsen gives up which values occur in which tile.
func (b *block) coarsen(s *slot) {
	if s.sketches() {
		b.ranks = new(ranks)
	} else {
		b.bins = make([]binned, 0, 2*len(b.values))
	}
	for i := range b.values {
		b.noteCoarse(s.coarse(b.values[i].key), b.values[i].times(^uint16(0)))
	}
	b.values = nil
}

func (b *block) noteCoarse(v uint64, n uint32) {
	if b.ranks != nil {
		b.ranks.add(v)
		return
	}
	i, found := slices.BinarySearchFunc(b.bins, v, func(o binned, v uint64) int { return cmp.Compare(o.key, v) })
	if !found {
		b.bins = slices.Insert(b.bins, i, binned{key: v})
	}
	b.bins[i].n += n
}

// times tells how often a value occurs in some tiles of its block, once in each
// where that is all that is known.
func (o *valued) times(tiles uint16) (n uint32) {
	if o.n == nil {
		return uint32(bits.OnesCount16(o.in & tiles))
	}
	for in := o.in & tiles; in != 0; in &= in - 1 {
		n += o.n[bits.TrailingZeros16(in)]
	}
	return n
}

// sketches tells whether a coarse block of the slot is a sketch.
func (s *slot) sketches() bool { return s.agg.different() }

// coarse gives what is kept of a value in a block that is coarse.
func (s *slot) coarse(v uint64) uint64 {
	switch {
	case s.sketches():
		return v
	case s.agg.coarse == nil:
		return spread(v) >> 32
	case s.window != 0 && s.agg.keeps == countedValues && !s.agg.own:
		return s.agg.coarse(s, v) >> 4
	}
	return s.agg.coarse(s, v)
}
