package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/sluice-risk/sluice/risk"
)

const (
	pastVersion  = 1
	blockVersion = 1
)

// What a stored block holds.
const (
	foldsBlock  = 1
	valuesBlock = 2
	ranksBlock  = 3
	binsBlock   = 4
	eventsBlock = 5
)

// blockPart bounds what of it is in one stored value.
var blockPart = [...]int{foldsBlock: blockTiles, valuesBlock: 512, ranksBlock: 1, binsBlock: 4096, eventsBlock: 2048}

func (e *entity) pastKey() []byte { return append(append(make([]byte, 0, 18), e.id[:]...), pastKey, 0) }

// blockKey sorts the blocks of a slot by time.
func (e *entity) blockKey(slot uint32, index int64, part int) []byte {
	b := append(append(make([]byte, 0, 33), e.id[:]...), blockKey)
	b = binary.BigEndian.AppendUint32(b, slot)
	b = binary.BigEndian.AppendUint64(b, uint64(index)^1<<63)
	return binary.BigEndian.AppendUint16(b, uint16(part))
}

func (st *State) touchBlock(e *entity, b *block) {
	st.list(e)
	if !b.dirty {
		b.dirty = true
		st.dirtyBytes += 512
	}
}

func (st *State) forgetBlock(e *entity, slot uint32, b *block, from int) {
	for part := from; part < len(b.sums); part++ {
		st.gone[string(e.blockKey(slot, b.index, part))] = b.sums[part]
		st.dirtyBytes += 32
	}
	b.sums = b.sums[:min(from, len(b.sums))]
}

// forgetPast notes that everything stored about tiles must go.
func (st *State) forgetPast(e *entity) {
	if e.past == nil {
		return
	}
	if e.past.sum != 0 {
		st.gone[string(e.pastKey())] = e.past.sum
		st.dirtyBytes += 32
		e.past.sum = 0
	}
	for bit, ts := range e.past.slots {
		if ts != nil {
			for _, b := range ts.blocks {
				st.forgetBlock(e, e.layout.slots[bit], b, 0)
			}
		}
	}
}

// movePast gives the tiles of an entity their places in another layout.
func (st *State) movePast(e *entity, from, to *layout) {
	if e.past == nil {
		return
	}
	slots := make([]*tiles, len(to.slots))
	for bit, ts := range e.past.slots {
		if ts == nil {
			continue
		}
		i := slices.Index(to.slots, from.slots[bit])
		if i >= 0 && ts.fits(&to.def.slots[i]) {
			slots[i] = ts
			continue
		}
		for _, b := range ts.blocks {
			st.forgetBlock(e, from.slots[bit], b, 0)
		}
	}
	e.past.slots = slots
}

// kind tells what is stored of b.
func (b *block) kind() byte {
	switch {
	case b.ranks != nil:
		return ranksBlock
	case b.bins != nil:
		return binsBlock
	case b.values != nil:
		return valuesBlock
	case b.tiles != nil:
		return foldsBlock
	}
	return eventsBlock
}

// fits tells whether b can be of slot s.
func (b *block) fits(s *slot) bool {
	counted := !slices.ContainsFunc(b.values, func(v valued) bool { return (v.n != nil) == (s.agg.keeps == differentValues) })
	switch b.kind() {
	case eventsBlock:
		return s.last > 0
	case foldsBlock:
		return s.last == 0 && s.agg.keeps == noValues
	case valuesBlock:
		return s.last == 0 && s.agg.keeps != noValues && counted
	case ranksBlock:
		return s.window != 0 && s.sketches()
	}
	return s.window != 0 && s.agg.keeps != noValues && !s.sketches()
}

// fits tells whether ts can be what slot s has counted.
func (ts *tiles) fits(s *slot) bool {
	return ts.width == s.tile() && !slices.ContainsFunc(ts.blocks, func(b *block) bool { return !b.fits(s) })
}

// savePast writes what has changed.
func (e *entity) savePast(st *State, buf *[]byte, write func(key, value []byte, sum uint64) uint64) {
	p := e.past
	p.weigh()
	if p.dirty {
		p.sum = write(e.pastKey(), binary.AppendVarint(append((*buf)[:0], pastVersion), int64(p.until)), p.sum)
		p.dirty = false
	}
	for bit, ts := range p.slots {
		if ts == nil {
			continue
		}
		slot := e.layout.slots[bit]
		for _, b := range ts.blocks {
			if !b.dirty {
				continue
			}
			b.dirty = false
			parts := b.parts()
			st.forgetBlock(e, slot, b, parts)
			for part := range parts {
				if part == len(b.sums) {
					b.sums = append(b.sums, 0)
				}
				b.sums[part] = write(e.blockKey(slot, b.index, part), b.append((*buf)[:0], ts, part), b.sums[part])
			}
		}
	}
}

// parts is the number of stored values of b.
func (b *block) parts() int {
	switch n := max(len(b.values), len(b.bins), len(b.events.times)); {
	case n > 0:
		return (n-1)/blockPart[b.kind()] + 1
	}
	return 1
}

// append encodes one part of a block.
func (b *block) append(to []byte, ts *tiles, part int) []byte {
	kind := b.kind()
	to = append(to, blockVersion, kind)
	to = binary.AppendUvarint(to, uint64(ts.width))
	if part == 0 && (kind == valuesBlock || kind == ranksBlock || kind == binsBlock) {
		for _, n := range b.n {
			to = binary.AppendUvarint(to, uint64(n))
		}
	}
	from, upto := part*blockPart[kind], (part+1)*blockPart[kind]
	switch kind {
	case foldsBlock:
		for in := b.filled; in != 0; in &= in - 1 {
			place := bits.TrailingZeros16(in)
			to = (&fold{summary: b.tiles[place]}).append(append(to, byte(place)))
		}
	case ranksBlock:
		to = append(to, b.ranks[:]...)
	case valuesBlock:
		for _, v := range b.values[from:min(upto, len(b.values))] {
			to = binary.LittleEndian.AppendUint64(to, v.key)
			to = binary.LittleEndian.AppendUint16(to, v.in)
			to = append(to, bit(v.n != nil))
			for in := v.in; v.n != nil && in != 0; in &= in - 1 {
				to = binary.AppendUvarint(to, uint64(v.n[bits.TrailingZeros16(in)]))
			}
		}
	case binsBlock:
		for _, v := range b.bins[from:min(upto, len(b.bins))] {
			to = binary.LittleEndian.AppendUint64(to, v.key)
			to = binary.AppendUvarint(to, uint64(v.n))
		}
	case eventsBlock:
		for i, at := range b.events.times[from:min(upto, len(b.events.times))] {
			to = binary.AppendVarint(to, int64(at))
			to = binary.LittleEndian.AppendUint64(to, b.events.values[from+i])
		}
	}
	return to
}

func (e *entity) restorePast(d *decoder, sum uint64) error {
	d.version(pastVersion)
	p := &past{until: risk.Time(d.varint()), sum: sum, slots: make([]*tiles, len(e.layout.slots))}
	if e.past != nil {
		return errors.New("keys are out of order")
	}
	e.past = p
	return d.end()
}

// restoreBlock reads the stored value of a block, in the order of their keys.
func (e *entity) restoreBlock(d *decoder, key []byte, sum uint64) error {
	number, index := binary.BigEndian.Uint32(key), int64(binary.BigEndian.Uint64(key[4:])^1<<63)
	part := int(binary.BigEndian.Uint16(key[12:]))
	bit := slices.Index(e.layout.slots, number)
	if e.past == nil || bit < 0 || index < -maxBlock || index > maxBlock {
		return fmt.Errorf("block %d of slot %d is out of place", index, number)
	}
	d.version(blockVersion)
	kind, width := d.byte(), risk.Time(d.uvarint())
	ts := e.past.slots[bit]
	if ts == nil {
		ts = &tiles{width: width}
	}
	var b *block
	if n := len(ts.blocks); part > 0 && n > 0 {
		b = ts.blocks[n-1]
	} else if part == 0 && (n == 0 || ts.blocks[n-1].index < index) {
		b = &block{index: index}
		ts.blocks = append(ts.blocks, b)
	}
	if width <= 0 || ts.width != width || b == nil || b.index != index || len(b.sums) != part || part > 0 && b.kind() != kind {
		return fmt.Errorf("part %d of block %d of slot %d is out of place", part, index, number)
	}
	b.restore(d, kind, part == 0)
	if err := d.end(); err != nil {
		return err
	}
	b.sums = append(b.sums, sum)
	if part == 0 && b.coarse() {
		ts.coarse++
	}
	e.past.slots[bit] = ts
	if def := e.layout.def; def != nil && !(ts.width == def.slots[bit].tile() && b.fits(&def.slots[bit])) {
		return fmt.Errorf("block %d is not what slot %d counts", index, number)
	}
	return nil
}

// restore adds a stored part to b.
func (b *block) restore(d *decoder, kind byte, first bool) {
	if first && (kind == valuesBlock || kind == ranksBlock || kind == binsBlock) {
		for i := range b.n {
			if b.n[i] = d.number(); b.n[i] > 0 {
				b.filled |= 1 << i
			}
		}
	}
	if len(d.b) == 0 {
		d.fail("a block of kind %d with nothing in it", kind)
	}
	for d.err == nil && len(d.b) > 0 {
		switch {
		case kind == foldsBlock && first:
			place, f := int(d.byte()), d.fold()
			if b.tiles == nil {
				b.tiles = new([blockTiles]summary)
			}
			if place >= blockTiles || b.filled>>place != 0 || f.keys != nil || f.recent != nil {
				d.fail("tiles are out of order")
				return
			}
			b.tiles[place] = f.summary
			b.filled |= 1 << place
		case kind == ranksBlock && first && b.ranks == nil:
			b.ranks = new(ranks)
			copy(b.ranks[:], d.bytes(len(b.ranks)))
			if slices.Max(b.ranks[:]) > topRank {
				d.fail("a rank above %d", topRank)
			}
		case kind == valuesBlock:
			v := valued{key: d.uint64(), in: d.uint16()}
			if d.flag() {
				v.n = new([blockTiles]uint32)
			}
			for in := v.in; v.n != nil && in != 0; in &= in - 1 {
				v.n[bits.TrailingZeros16(in)] = d.number()
			}
			if n := len(b.values); v.in == 0 || n > 0 && b.values[n-1].key >= v.key {
				d.fail("values are out of order")
			}
			b.values = append(b.values, v)
		case kind == binsBlock:
			v := binned{d.uint64(), d.number()}
			if n := len(b.bins); v.n == 0 || n > 0 && b.bins[n-1].key >= v.key {
				d.fail("bins are out of order")
			}
			b.bins = append(b.bins, v)
		case kind == eventsBlock:
			at := d.varint()
			if n := len(b.events.times); n > 0 && int64(b.events.times[n-1]) > at {
				d.fail("events are out of order")
			}
			b.events.times, b.events.values = append(b.events.times, uint64(at)), append(b.events.values, d.uint64())
		default:
			d.fail("a block of kind %d", kind)
		}
	}
}

const maxBlock = farTile / blockTiles / 2

// weight is what tiles took in memory when they were stored last: before that no
// entity leaves it.
func (p *past) weight() int {
	if p == nil {
		return 0
	}
	return p.bytes
}

func (p *past) weigh() {
	n := int(unsafe.Sizeof(*p)) + len(p.slots)*wordBytes
	for _, ts := range p.slots {
		if ts == nil {
			continue
		}
		n += int(unsafe.Sizeof(*ts)) + cap(ts.blocks)*wordBytes
		for _, b := range ts.blocks {
			n += b.weight()
		}
	}
	p.bytes = n
}

func (b *block) weight() int {
	n := int(unsafe.Sizeof(*b)) + cap(b.values)*int(unsafe.Sizeof(valued{})) +
		cap(b.bins)*int(unsafe.Sizeof(binned{})) + 2*cap(b.events.times)*wordBytes
	if b.tiles != nil {
		n += int(unsafe.Sizeof(*b.tiles))
		for i := range b.tiles {
			if b.tiles[i].more != nil {
				n += int(unsafe.Sizeof(sums{}))
			}
		}
	}
	if len(b.values) > 0 && b.values[0].n != nil {
		n += len(b.values) * blockTiles * 4
	}
	if b.ranks != nil {
		n += registers
	}
	return n
}
