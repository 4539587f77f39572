package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// Every stored value begins with the version of its encoding. The small one's rises
// with each of the others, too: a state of before is refused before anything is served.
const (
	smallVersion = 2
	headVersion  = 3
	chunkVersion = 3
	keysVersion  = 2
)

// appendSmall encodes what belongs to no entity.
func (st *State) appendSmall(b []byte) []byte {
	b = append(b, smallVersion, bit(st.started))
	b = binary.AppendVarint(b, int64(st.watermark))
	b = binary.AppendVarint(b, int64(st.floor))
	b = binary.AppendUvarint(b, uint64(st.layouts.nextSlot))
	b = binary.AppendUvarint(b, uint64(st.layouts.nextLayout))
	b = binary.AppendUvarint(b, uint64(len(st.numbers)))
	for i, t := range st.numbers {
		b = append(b, st.set.slots[i].def[:]...)
		b = binary.AppendUvarint(b, uint64(t.number))
		b = binary.AppendVarint(b, int64(t.since))
		b = append(b, bit(t.genesis)|bit(t.awaited)<<1)
	}
	var all []*layout
	for _, l := range st.layouts.all {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *layout) int { return int(a.number) - int(b.number) })
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, l := range all {
		b = binary.AppendUvarint(b, uint64(l.number))
		b = binary.LittleEndian.AppendUint64(b, l.entity)
		b = binary.AppendUvarint(b, uint64(len(l.slots)))
		for _, n := range l.slots {
			b = binary.AppendUvarint(b, uint64(n))
		}
		b = binary.AppendUvarint(b, uint64(len(l.columns)))
		for _, c := range l.columns {
			b = append(binary.LittleEndian.AppendUint64(b, c.key), byte(c.kind))
		}
	}
	return b
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// Restore reads what Checkpoint returned, into a new State; the entities stay
// where they are stored, see Attach. When the state's set is not the one of the
// checkpoint, it is activated as a new release would be.
func (st *State) Restore(small []byte) error {
	if st.started || st.table.used > 0 {
		return errors.New("features: restore into a state that is in use")
	}
	d := &decoder{b: small}
	d.version(smallVersion)
	started := d.flag()
	watermark, floor := risk.Time(d.varint()), risk.Time(d.varint())
	ls := layouts{all: map[uint32]*layout{}}
	ls.nextSlot, ls.nextLayout = d.number(), d.number()
	was := map[digest]tenure{}
	for range d.count(len(digest{}) + 3) {
		var def digest
		copy(def[:], d.bytes(len(def)))
		t := tenure{number: d.number(), since: risk.Time(d.varint())}
		flags := d.byte()
		if t.genesis, t.awaited = flags&1 != 0, flags&2 != 0; flags > 2 {
			d.fail("slot with flags %d", flags)
		}
		was[def] = t
	}
	for range d.count(1 + 8 + 2) {
		l := &layout{number: d.number(), entity: d.uint64()}
		for range d.count(1) {
			l.slots = append(l.slots, d.number())
		}
		for range d.count(9) {
			l.columns = append(l.columns, columnTag{d.uint64(), columnKind(d.byte())})
		}
		for _, c := range l.columns {
			if c.kind < moneyColumn || c.kind > lastColumn {
				d.fail("column of kind %d", c.kind)
			}
		}
		if maxEntries(l.stride()) < 2 {
			d.fail("layout of %d columns", l.stride())
		}
		if l.number == 0 || l.number > ls.nextLayout || ls.all[l.number] != nil {
			d.fail("layout number %d", l.number)
		}
		ls.all[l.number] = l
	}
	if err := d.end(); err != nil {
		return fmt.Errorf("features: restore: %w", err)
	}
	st.started, st.watermark, st.floor = started, watermark, floor
	st.layouts = ls
	st.bind(was, true)
	st.settle()
	return nil
}

// appendHead encodes what an entity is in one row: its layout, what it has folded
// away, and the newest entries. More tells whether rows of its own follow.
func (e *entity) appendHead(b []byte, more bool) []byte {
	b = append(b, headVersion)
	b = binary.AppendUvarint(b, uint64(e.layout.number))
	b = binary.AppendVarint(b, int64(e.newest()))
	b = append(b, bit(more))
	folds := 0
	for _, f := range e.folds {
		if f != nil {
			folds++
		}
	}
	b = binary.AppendUvarint(b, uint64(folds))
	for _, f := range e.folds {
		if f != nil {
			b = f.append(b)
		}
	}
	if n := len(e.chunks); n > 0 {
		c := &e.chunks[n-1]
		b = binary.AppendUvarint(b, bits.RotateLeft64(c.order, 32)) // mostly a multiple of 2^32
		b = binary.AppendUvarint(b, uint64(c.stored))
		b = c.append(b, e.layout, int(c.stored))
	}
	return b
}

// row is one stored row of an entity that is being read.
type row struct {
	key, value []byte
	sum        uint64
}

// restoreHead reads the first row of an entity. What more tells must follow by
// restoreRow, then end.
func restoreHead(known map[uint32]seenLayout, r row) (e *entity, more bool, err error) {
	if len(r.key) != len(entityID{})+1 || r.sum == 0 || len(r.value) > maxValue {
		return nil, false, fmt.Errorf("key of %d bytes with %d bytes and sum %d", len(r.key), len(r.value), r.sum)
	}
	e = &entity{id: entityID(r.key[:16]), headSum: r.sum}
	d := &decoder{b: r.value}
	d.version(headVersion)
	number := d.number()
	if e.layout = known[number].layout; d.err == nil && e.layout == nil {
		return nil, false, fmt.Errorf("unknown layout %d", number)
	}
	newest := risk.Time(d.varint())
	more = d.flag()
	for range d.count(3) {
		e.folds = append(e.folds, d.fold())
	}
	if d.err == nil && len(d.b) > 0 {
		c := chunk{order: bits.RotateLeft64(d.uvarint(), 32)}
		c.stored = int32(d.upTo(maxEntries(e.layout.stride())))
		c.restore(d, e.layout)
		if c.n+int(c.stored) == 0 {
			d.fail("an empty chunk")
		}
		e.chunks = append(e.chunks, c)
	}
	if d.end(); d.err == nil && len(e.chunks) > 0 && e.chunks[0].n > 0 && e.newest() != newest {
		d.fail("newest entry %d, want %d", e.newest(), newest)
	}
	return e, more, d.err
}

// restoreRow reads a row that follows the head. Keys come in order. The chunk that
// the head ends is kept behind those with rows of their own.
func (e *entity) restoreRow(r row) error {
	const head = len(entityID{}) + 1
	if len(r.key) < head || int(r.key[head-1]) >= len(keyRest) || len(r.key) != head+keyRest[r.key[head-1]] || r.sum == 0 || len(r.value) > maxValue {
		return fmt.Errorf("key of %d bytes with %d bytes and sum %d", len(r.key), len(r.value), r.sum)
	}
	d := &decoder{b: r.value}
	switch r.key[head-1] {
	case chunkKey:
		c := chunk{order: binary.BigEndian.Uint64(r.key[head:]), sum: r.sum}
		c.restore(d, e.layout)
		if d.end(); d.err != nil {
			return d.err
		}
		tail := len(e.chunks) - 1
		if tail < 0 || c.n == 0 || c.order > e.chunks[tail].order {
			return errors.New("a chunk behind the last")
		}
		if tail > 0 && (e.chunks[tail-1].order >= c.order || e.chunks[tail-1].last() > c.first()) {
			return errors.New("chunks are out of order")
		}
		c.stored = int32(c.n)
		e.chunks = slices.Insert(e.chunks, tail, c)
		return nil
	case pastKey:
		return e.restorePast(d, r.sum)
	case blockKey:
		return e.restoreBlock(d, r.key[head:], r.sum)
	case keysKey:
		return e.restoreKeys(d, binary.BigEndian.Uint32(r.key[head:]), int(binary.BigEndian.Uint32(r.key[head+4:])), r.sum)
	}
	return fmt.Errorf("key of kind %d", r.key[head-1])
}

// keyRest is how long a key of each kind is behind the kind.
var keyRest = [...]int{headKey: 0, chunkKey: 8, keysKey: 8, pastKey: 1, blockKey: 14}

// end puts the entries of the head behind those of the last chunk's own row.
func (e *entity) end() error {
	if n := len(e.chunks); n > 0 {
		tail := e.chunks[n-1]
		if tail.stored > 0 {
			if n < 2 || e.chunks[n-2].order != tail.order || e.chunks[n-2].n != int(tail.stored) {
				return errors.New("the last chunk's row is missing or another")
			}
			e.chunks = e.chunks[:n-1]
			if err := e.chunks[n-2].join(&tail, e.layout); err != nil {
				return err
			}
		} else if n > 1 && (e.chunks[n-2].order >= tail.order || e.chunks[n-2].last() > tail.first()) {
			return errors.New("the newest entries are out of order")
		}
	}
	for i := range e.chunks {
		e.words += len(e.chunks[i].data)
		e.entries += e.chunks[i].n
	}
	if e.past != nil {
		e.past.weigh()
	}
	for _, f := range e.folds {
		if f.keys != nil && len(f.keys.list) == 0 || f.recent != nil && len(f.recent.times) == 0 {
			return fmt.Errorf("slot %d has no parts", f.slot)
		}
	}
	return nil
}

func (e *entity) restoreKeys(d *decoder, slot uint32, part int, sum uint64) error {
	i := slices.IndexFunc(e.folds, func(f *fold) bool { return f != nil && f.slot == slot })
	switch {
	case i < 0:
		return fmt.Errorf("part %d of slot %d, which has none", part, slot)
	case e.folds[i].keys != nil:
		e.folds[i].keys.restore(d, part, sum)
	case e.folds[i].recent != nil && part == 0:
		e.folds[i].recent.restore(d, sum)
	default:
		return fmt.Errorf("part %d of slot %d, which has none", part, slot)
	}
	return d.end()
}
