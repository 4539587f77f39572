package features

import (
	"encoding/binary"
	"sync/atomic"
)

// table holds the entities in memory by id: open addressing with linear probing,
// in shards that grow one at a time, so that growing is never a long pause. Its
// owner alone changes it. Others may ask has beside it, and may then miss an
// entity that is there or find one that has just left.
type table struct {
	shards [256]shard
	used   int
}

type shard struct {
	cells atomic.Pointer[[]cell] // length a power of two, at most 5/8 used
	used  int
}

type cell struct {
	tag    atomic.Uint64 // of the id; 0: free
	entity atomic.Pointer[entity]
}

const (
	firstCells = 16
	cellBytes  = 16 * 2 // of a cell and of those left free beside it
)

// tag is the half of an id that finds it.
func (id *entityID) tag() uint64 { return max(binary.BigEndian.Uint64(id[8:]), 1) }

func (t *table) shard(tag uint64) *shard { return &t.shards[tag>>56] }

func (s *shard) load() []cell {
	if cells := s.cells.Load(); cells != nil {
		return *cells
	}
	return nil
}

func (t *table) find(id *entityID) *entity { return t.seek(id.tag(), id) }

// near gives the entity whose id has this tag, which is next to always the one, without
// looking at it.
func (t *table) near(tag uint64) *entity { return t.seek(tag, nil) }

// has may be called by anyone.
func (t *table) has(id *entityID) bool { return t.near(id.tag()) != nil }

// seek gives the entity with a tag and, unless that is nil, an id.
func (t *table) seek(tag uint64, id *entityID) *entity {
	cells := t.shard(tag).load()
	for i := range cells {
		switch c := &cells[(int(tag)+i)&(len(cells)-1)]; c.tag.Load() {
		case 0:
			return nil
		case tag:
			if e := c.entity.Load(); id == nil || e.id == *id {
				return e
			}
		}
	}
	return nil
}

func (t *table) add(e *entity) {
	tag := e.id.tag()
	s := t.shard(tag)
	if cells := s.load(); 8*(s.used+1) > 5*len(cells) {
		grown := make([]cell, max(firstCells, 2*len(cells)))
		for i := range cells {
			if old := cells[i].tag.Load(); old != 0 {
				seat(grown, old, cells[i].entity.Load())
			}
		}
		s.cells.Store(&grown)
	}
	seat(s.load(), tag, e)
	s.used++
	t.used++
}

func seat(cells []cell, tag uint64, e *entity) {
	for i := int(tag); ; i++ {
		if c := &cells[i&(len(cells)-1)]; c.tag.Load() == 0 {
			c.entity.Store(e)
			c.tag.Store(tag)
			return
		}
	}
}

// remove takes e out; it is there.
func (t *table) remove(e *entity) {
	tag := e.id.tag()
	s := t.shard(tag)
	cells := s.load()
	mask := len(cells) - 1
	i := int(tag) & mask
	for cells[i].entity.Load() != e {
		i = (i + 1) & mask
	}
	// Close the gap, so that no probe ends early.
	for j := (i + 1) & mask; ; j = (j + 1) & mask {
		next := cells[j].tag.Load()
		if next == 0 {
			break
		}
		if (j-int(next))&mask >= (j-i)&mask {
			cells[i].entity.Store(cells[j].entity.Load())
			cells[i].tag.Store(next)
			i = j
		}
	}
	cells[i].tag.Store(0)
	cells[i].entity.Store(nil)
	s.used--
	t.used--
}

// hand goes around the table.
type hand struct {
	shard uint8
	cell  int
}

// next gives the next entity behind the hand, nil when there is none nearby.
func (t *table) next(h *hand) *entity {
	for range 64 {
		cells := t.shards[h.shard].load()
		if h.cell >= len(cells) {
			h.shard, h.cell = h.shard+1, 0
			continue
		}
		h.cell++
		if e := cells[h.cell-1].entity.Load(); e != nil {
			return e
		}
	}
	return nil
}
