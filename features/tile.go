package features

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// An entity with very many events keeps the newest of them in its log. What is
// older, while windows still reach it, is folded into tiles: for each slot one
// fold for each stretch of a fixed grid of event time, at most 1/256 of the window
// long. A window counts a tile whole while any of the stretch lies in it, so what
// is read is the exact aggregate over a window that begins up to 1/256 earlier,
// and, where its end lies among the tiles, ends up to 1/256 later.
//
// Which events are in tiles depends on the events alone, see State.overflow; so does
// what a tile holds, since the grid is fixed.
const (
	tilesPerWindow = 256
	blockTiles     = 16 // tiles that are stored together
)

// blockValues bounds the different values that a block knows exactly. Tests make
// it smaller.
var blockValues = 256

// past is what an entity's log has given up to tiles.
type past struct {
	until risk.Time // of the newest event given up; no older one enters the log
	slots []*tiles  // by mask bit, nil without events
	sum   uint64    // of the stored `until`
	dirty bool
	bytes int // see weight
}

// tiles are those of one slot.
type tiles struct {
	width  risk.Time
	blocks []*block // by rising index, none without events
	coarse int      // blocks that are coarse
}

// block holds the tiles from 16*index on. What it holds of them depends on the
// slot:
//
//   - one fold each;
//   - of a slot that keeps values, the number of events in each, and the different
//     values with the tiles in which they occur. When there are more than
//     blockValues, values are kept for the block as a whole, and made coarse: for
//     distinct in a sketch, for seen as 32 bits of a hash, for others as over all
//     of time, share in 4,096 bins.
//   - of a window of the last N, the events one by one.
type block struct {
	index  int64
	tiles  []tile // by rising index
	n      [blockTiles]uint32
	values []valued // by rising key
	ranks  *ranks
	bins   []binned // by rising key
	events recent
	sums   []uint64 // of the stored values
	dirty  bool     // differs from them
}

// tile is the events in (index*width, (index+1)*width].
type tile struct {
	index int64
	fold
}

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

// coarse tells whether more is not known than what a block holds as a whole.
func (b *block) coarse() bool { return b.ranks != nil || b.bins != nil }

// tile gives the width of a slot's tiles. Without a window there is no start to be
// inexact about, and the end is among tiles only for late events or a delay.
func (s *slot) tile() risk.Time {
	if s.window == 0 {
		return max(s.delay, risk.Time(day.Milliseconds())) / tilesPerWindow
	}
	return s.window / tilesPerWindow
}

// reach is how far behind the floor the slot can look, with the tile across its
// window's start.
func (s *slot) reach() risk.Time {
	if s.window == 0 {
		return s.delay
	}
	return s.tile() + s.window + s.delay
}

func floorDiv(a, b int64) int64 {
	if q := a / b; q*b <= a {
		return q
	}
	return a/b - 1
}

// indexOf gives the tile of an instant.
func (ts *tiles) indexOf(at risk.Time) int64 { return floorDiv(int64(at)-1, int64(ts.width)) }

// stretch is a range of tiles, both ends in it.
type stretch struct{ from, to int64 }

const farTile = int64(1) << 60 // behind any tile

var noTiles = stretch{1, 0}

func (r stretch) has(index int64) bool { return r.from <= index && index <= r.to }

// blocks gives the blocks of r.
func (r stretch) blocks() stretch {
	if r == noTiles {
		return r
	}
	return stretch{floorDiv(r.from, blockTiles), floorDiv(r.to, blockTiles)}
}

// whole gives r with all tiles of its blocks.
func (r stretch) whole() stretch {
	b := r.blocks()
	if b == noTiles {
		return b
	}
	return stretch{b.from * blockTiles, b.to*blockTiles + blockTiles - 1}
}

// stretch gives the tiles that (lo, hi] reaches. Behind `until` the log is whole
// and none is needed.
func (p *past) stretch(s *slot, lo, hi risk.Time) stretch {
	if p == nil || lo >= p.until {
		return noTiles
	}
	r := stretch{-farTile, farTile}
	if lo != beforeAll {
		r.from = floorDiv(int64(lo), int64(s.tile()))
	}
	if hi < p.until {
		r.to = floorDiv(int64(hi)-1, int64(s.tile()))
	}
	return r
}

// tilesOf gives what slot s has in tiles, nil for nothing.
func (e *entity) tilesOf(s *slot) *tiles {
	if e.past == nil {
		return nil
	}
	return e.past.slots[s.bit]
}

// within gives the blocks that have tiles of r.
func (ts *tiles) within(r stretch) []*block {
	if r.from > r.to {
		return nil
	}
	i := ts.search(floorDiv(r.from, blockTiles))
	j := len(ts.blocks)
	if r.to < farTile {
		j = ts.search(floorDiv(r.to, blockTiles) + 1)
	}
	return ts.blocks[i:j]
}

// search gives the first block from index on.
func (ts *tiles) search(index int64) int {
	i, _ := slices.BinarySearchFunc(ts.blocks, index, func(b *block, index int64) int {
		return int(min(max(b.index-index, -1), 1))
	})
	return i
}

// block gives the block of a tile, a new one where there is none.
func (ts *tiles) block(index int64) *block {
	index = floorDiv(index, blockTiles)
	n := len(ts.blocks)
	if n > 0 && ts.blocks[n-1].index == index {
		return ts.blocks[n-1]
	}
	i := ts.search(index)
	if i == n || ts.blocks[i].index != index {
		ts.blocks = slices.Insert(ts.blocks, i, &block{index: index})
	}
	return ts.blocks[i]
}

// ends gives the newest instant that a block can hold.
func (ts *tiles) ends(b *block) risk.Time { return risk.Time((b.index+1)*blockTiles) * ts.width }

// holds tells whether a tile has events.
func (ts *tiles) holds(index int64) bool {
	i := ts.search(floorDiv(index, blockTiles))
	return i < len(ts.blocks) && ts.blocks[i].holds(index)
}

func (b *block) holds(index int64) bool {
	if index < b.index*blockTiles || index > b.last() {
		return false
	}
	return b.n[index-b.index*blockTiles] > 0 || len(b.in(stretch{index, index})) > 0
}

func (b *block) last() int64 { return b.index*blockTiles + blockTiles - 1 }

// isCoarse tells whether a stretch, in whole blocks, has one that is coarse. Then
// all of them are read as coarse and whole.
func (ts *tiles) isCoarse(r stretch) bool {
	return ts != nil && ts.coarse > 0 && slices.ContainsFunc(ts.within(r), (*block).coarse)
}

// bits gives the tiles of b in r, as bits.
func (b *block) bits(r stretch) uint16 {
	first := b.index * blockTiles
	from, to := max(r.from-first, 0), min(r.to-first, blockTiles-1)
	if from > to {
		return 0
	}
	return uint16(1<<(to+1) - 1<<from)
}

// in gives the tiles of b in r.
func (b *block) in(r stretch) []tile {
	i := 0
	for i < len(b.tiles) && b.tiles[i].index < r.from {
		i++
	}
	j := len(b.tiles)
	for j > i && b.tiles[j-1].index > r.to {
		j--
	}
	return b.tiles[i:j]
}

// take adds an event to a tile. It is fresh unless the tile knows its value
// already and does not count it. Among the events of a tile those of a streak are
// taken in the order in which they came here.
func (b *block) take(s *slot, index int64, p pick) (fresh bool) {
	switch {
	case s.last > 0:
		i := len(b.events.times)
		for i > 0 && risk.Time(b.events.times[i-1]) > p.at {
			i--
		}
		b.events.times = slices.Insert(b.events.times, i, uint64(p.at))
		b.events.values = slices.Insert(b.events.values, i, p.value)
		return true
	case s.agg.keeps != noValues:
		b.n[index-b.index*blockTiles]++
		return b.note(s, uint(index-b.index*blockTiles), p.value)
	}
	i := len(b.tiles)
	for i > 0 && b.tiles[i-1].index > index {
		i--
	}
	if i == 0 || b.tiles[i-1].index != index {
		b.tiles = slices.Insert(b.tiles, i, tile{index: index})
		i++
	}
	if f := &b.tiles[i-1].fold; s.agg.choice {
		f.best = s.best(p.keep(), f.best)
	} else {
		f.take(s, p)
	}
	return true
}

// note remembers that a value occurs in a tile of b.
func (b *block) note(s *slot, tile uint, v uint64) (fresh bool) {
	if b.coarse() {
		b.noteCoarse(s, s.coarse(v), 1)
		return true
	}
	i, found := slices.BinarySearchFunc(b.values, v, func(o valued, v uint64) int { return cmp.Compare(o.key, v) })
	if !found && s.window != 0 && len(b.values) >= blockValues {
		if s.sketches() {
			b.ranks = new(ranks)
		} else {
			b.bins = make([]binned, 0, 2*len(b.values))
		}
		for i := range b.values {
			b.noteCoarse(s, s.coarse(b.values[i].key), b.values[i].times(^uint16(0)))
		}
		b.values = nil
		b.noteCoarse(s, s.coarse(v), 1)
		return true
	}
	if !found {
		b.values = slices.Insert(b.values, i, valued{key: v})
		if s.agg.keeps != differentValues {
			b.values[i].n = new([blockTiles]uint32)
		}
	}
	o := &b.values[i]
	fresh = o.n != nil || o.in>>tile&1 == 0
	o.in |= 1 << tile
	if o.n != nil {
		o.n[tile]++
	}
	return fresh
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

func (b *block) noteCoarse(s *slot, v uint64, n uint32) {
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

// best gives the one of two events that a choice falls on; of two at the same
// instant p is the newer.
func (s *slot) best(p, q pick) pick {
	switch {
	case !p.set || !q.set:
		if q.set {
			return q
		}
		return p
	case s.agg.oldest:
		if p.at < q.at {
			return p
		}
		return q
	case p.at < q.at:
		p, q = q, p
	}
	if s.agg.beats(s.column, p.value, q.value) {
		return p
	}
	return q
}
