package features

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// An entity with very many events keeps the newest of them in its log. What is
// older, while windows still reach it, lies in tiles: for each slot one summary, or
// the values, for each stretch of a fixed grid of event time, at most 1/256 of the
// window long. A window counts a tile whole while any of the stretch lies in it, so
// what is read is the exact aggregate over a window that begins up to 1/256
// earlier, and, where its end lies among the tiles, ends up to 1/256 later.
//
// Which events are in tiles depends on the events alone, see State.overflow; so does
// what a tile holds, since the grid is fixed. docs/adr/0009 gives the reasons.
//
//   - tile.go: the grid, and which tiles a window reaches.
//   - tileblock.go: what is known of the events in 16 tiles.
//   - tilefold.go: events go from the log to tiles, and from tiles to folds.
//   - tileread.go: a value that is computed from tiles when it is read.
//   - tilerun.go, tilesketch.go: a value that is kept up to date while tiles come
//     into its window and leave it.
//   - tilecodec.go: tiles as they are stored.
const (
	tilesPerWindow = 256
	blockTiles     = 1 << blockShift // tiles that are kept and stored together
	blockShift     = 4
)

// past is what an entity's log has given up to tiles.
type past struct {
	until risk.Time // of the newest event given up; no older one enters the log
	slots []*tiles  // by mask bit, nil without events
	sum   uint64    // of the stored `until`
	dirty bool
	bytes int // see weight
}

// tiles are those of one slot. Tile i is the time (i*width, (i+1)*width].
type tiles struct {
	width  risk.Time
	blocks []*block // by rising index, none without events
	coarse int      // blocks that are coarse
}

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

// tileOf gives the tile that an instant lies in.
func tileOf(at, width risk.Time) int64 { return floorDiv(int64(at)-1, int64(width)) }

// tileFrom gives the first tile that a window has which begins behind lo.
func tileFrom(lo, width risk.Time) int64 { return floorDiv(int64(lo), int64(width)) }

func floorDiv(a, b int64) int64 {
	if q := a / b; q*b <= a {
		return q
	}
	return a/b - 1
}

// blockOf gives the block of a tile.
func blockOf(tile int64) int64 { return tile >> blockShift }

// stretch is a range of tiles, both ends in it.
type stretch struct{ from, to int64 }

const farTile = int64(1) << 60 // behind any tile

var noTiles = stretch{1, 0}

func (r stretch) has(tile int64) bool { return r.from <= tile && tile <= r.to }

// meets tells whether a tile of b is in r.
func (r stretch) meets(b *block) bool {
	return r.from <= r.to && r.from <= b.last() && b.first() <= r.to
}

// blocks gives the blocks of r.
func (r stretch) blocks() stretch {
	if r == noTiles {
		return r
	}
	return stretch{blockOf(r.from), blockOf(r.to)}
}

// tiles gives the tiles of the blocks r.
func (r stretch) tiles() stretch {
	if r == noTiles {
		return r
	}
	return stretch{r.from << blockShift, r.to<<blockShift + blockTiles - 1}
}

// stretch gives the tiles that (lo, hi] reaches. Behind `until` the log is whole
// and none is needed.
func (p *past) stretch(s *slot, lo, hi risk.Time) stretch {
	if p == nil || lo >= p.until {
		return noTiles
	}
	r := stretch{-farTile, farTile}
	if lo != beforeAll {
		r.from = tileFrom(lo, s.tile())
	}
	if hi < p.until {
		r.to = tileOf(hi, s.tile())
	}
	return r
}

// edges tells whether a tile of r with events lies across an end of (lo, hi], so
// that what is read from whole tiles may differ from the exact value.
func (p *past) edges(ts *tiles, r stretch, lo, hi risk.Time) bool {
	return ts != nil && r != noTiles && (p.across(ts, r.from, lo, hi) && ts.holds(r.from) || p.across(ts, r.to, lo, hi) && ts.holds(r.to))
}

// across tells whether a tile would lie across an end of (lo, hi].
func (p *past) across(ts *tiles, tile int64, lo, hi risk.Time) bool {
	if tile == farTile || tile == -farTile {
		return false
	}
	from := risk.Time(tile) * ts.width
	return lo > from && lo < from+ts.width || hi < p.until && hi > from && hi < from+ts.width
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
	if ts == nil || r.from > r.to {
		return nil
	}
	i := ts.search(blockOf(r.from))
	j := len(ts.blocks)
	if r.to < farTile {
		j = ts.search(blockOf(r.to) + 1)
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
func (ts *tiles) block(tile int64) *block {
	index, n := blockOf(tile), len(ts.blocks)
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
func (ts *tiles) ends(b *block) risk.Time { return risk.Time(b.last()+1) * ts.width }

// holds tells whether a tile has events.
func (ts *tiles) holds(tile int64) bool {
	i := ts.search(blockOf(tile))
	return i < len(ts.blocks) && ts.blocks[i].index == blockOf(tile) && ts.blocks[i].holds(tile)
}

// isCoarse tells whether a stretch has a block that is coarse. Then all of them are
// read as coarse and whole.
func (ts *tiles) isCoarse(r stretch) bool {
	return ts != nil && ts.coarse > 0 && slices.ContainsFunc(ts.within(r), (*block).coarse)
}
