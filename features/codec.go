package features

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// Every stored value begins with the version of its encoding.
const (
	smallVersion = 1
	headVersion  = 1
	chunkVersion = 1
	keysVersion  = 1
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
		b = append(b, bit(t.genesis))
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

// Restore reads what Checkpoint returned, into a new State. The entities follow
// by RestoreEntity. When the state's set is not the one of the checkpoint, it is
// activated as a new release would be.
func (st *State) Restore(small []byte) error {
	if st.started || len(st.all) > 0 {
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
		was[def] = tenure{d.number(), risk.Time(d.varint()), d.flag()}
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
			if c.kind < moneyColumn || c.kind > hashColumn {
				d.fail("column of kind %d", c.kind)
			}
		}
		if maxEntries(l.stride()) < 2 {
			d.fail("layout of %d columns", l.stride())
		}
		if l.number == 0 || l.number > ls.nextLayout || ls.all[l.number] != nil {
			d.fail("layout number %d", l.number)
		}
		l.entities++ // held until every entity is restored: see prune
		ls.all[l.number] = l
	}
	if err := d.end(); err != nil {
		return fmt.Errorf("features: restore: %w", err)
	}
	st.started, st.watermark, st.floor = started, watermark, floor
	st.layouts = ls
	st.bind(was)
	for _, l := range st.layouts.all {
		l.entities = 0
	}
	if st.started {
		st.partial = partialsOf(st.set, st.numbers)
	}
	return nil
}

// appendHead encodes the part of an entity that is not a chunk.
func (e *entity) appendHead(b []byte) []byte {
	b = append(b, headVersion)
	b = binary.AppendUvarint(b, uint64(e.layout.number))
	for _, f := range e.folds {
		if f == nil {
			continue
		}
		b = binary.AppendUvarint(b, uint64(f.slot))
		b = binary.AppendUvarint(b, uint64(f.n))
		b = binary.LittleEndian.AppendUint64(b, uint64(f.sum.hi))
		b = binary.LittleEndian.AppendUint64(b, f.sum.lo)
		b = append(b, bit(f.best.set))
		b = binary.AppendVarint(b, int64(f.best.at))
		b = binary.LittleEndian.AppendUint64(b, f.best.value)
		b = append(b, bit(f.keys != nil))
	}
	return b
}

func appendKeys(b []byte, keys []uint64) []byte {
	b = append(b, keysVersion)
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, k)
	}
	return b
}

// append encodes a chunk column by column: times as differences, mask words as
// what changed, money as differences, numbers with their zero bits dropped.
func (c *chunk) append(b []byte, l *layout) []byte {
	stride, words := l.stride(), l.words()
	b = append(b, chunkVersion)
	b = binary.AppendUvarint(b, uint64(c.n))
	before := int64(0)
	for _, t := range c.times() {
		b = binary.AppendVarint(b, int64(t)-before)
		before = int64(t)
	}
	for w := range words {
		before := uint64(0)
		for _, m := range c.part(1+w, stride) {
			b = binary.AppendUvarint(b, m^before)
			before = m
		}
	}
	for i, col := range l.columns {
		before := int64(0)
		for _, v := range c.part(1+words+i, stride) {
			switch col.kind {
			case moneyColumn:
				b = binary.AppendVarint(b, int64(v)-before)
				before = int64(v)
			case numberColumn:
				b = binary.AppendUvarint(b, bits.ReverseBytes64(v))
			default:
				b = binary.LittleEndian.AppendUint64(b, v)
			}
		}
	}
	return b
}

// RestoreEntity reads one stored key and value. Keys must come in order; sum is
// the store's sum of the value.
func (st *State) RestoreEntity(key, value []byte, sum uint64) error {
	if err := st.restoreEntity(key, value, sum); err != nil {
		return fmt.Errorf("features: restore entity %x: %w", key[:min(len(key), 16)], err)
	}
	return nil
}

func (st *State) restoreEntity(key, value []byte, sum uint64) error {
	const head = 16 + 1
	if len(key) < head || len(key) != head && len(key) != head+8 || (key[16] == headKey) != (len(key) == head) || sum == 0 {
		return fmt.Errorf("key of %d bytes with sum %d", len(key), sum)
	}
	if len(value) > maxValue {
		return fmt.Errorf("value of %d bytes is larger than %d", len(value), maxValue)
	}
	id := entityID(key[:16])
	e := st.entities[id]
	d := &decoder{b: value}
	if (e == nil) != (key[16] == headKey) {
		return errors.New("keys are out of order")
	}
	switch key[16] {
	case headKey:
		return st.restoreHead(id, d, sum)
	case chunkKey:
		c := chunk{order: binary.BigEndian.Uint64(key[head:]), sum: sum}
		if err := c.restore(d, e.layout); err != nil {
			return err
		}
		if n := len(e.chunks); n > 0 && (e.chunks[n-1].order >= c.order || e.chunks[n-1].last() > c.first()) {
			return errors.New("chunks are out of order")
		}
		e.chunks = append(e.chunks, c)
		return nil
	case keysKey:
		return e.restoreKeys(d, binary.BigEndian.Uint32(key[head:]), int(binary.BigEndian.Uint32(key[head+4:])), sum)
	}
	return fmt.Errorf("key of kind %d", key[16])
}

func (st *State) restoreHead(id entityID, d *decoder, sum uint64) error {
	d.version(headVersion)
	l := st.layouts.all[d.number()]
	var folds []*fold
	for d.err == nil && len(d.b) > 0 {
		f := &fold{slot: d.number()}
		f.n = int64(d.uvarint())
		f.sum = int128{int64(d.uint64()), d.uint64()}
		f.best = pick{set: d.flag()}
		f.best.at, f.best.value = risk.Time(d.varint()), d.uint64()
		if d.flag() {
			f.keys = &keySet{}
		}
		folds = append(folds, f)
	}
	if err := d.end(); err != nil {
		return err
	}
	if l == nil {
		return errors.New("unknown layout")
	}
	// The folds of an earlier release's layout keep the order they came in, until
	// the entity moves on; those of the active one have their seats.
	if l.def != nil && folds != nil {
		seated := make([]*fold, len(l.def.life))
		for life, bit := range l.def.life {
			if i := slices.IndexFunc(folds, func(f *fold) bool { return f.slot == l.slots[bit] }); i >= 0 {
				seated[life] = folds[i]
			}
		}
		folds = seated
	}
	e := st.add(id, l)
	e.folds, e.headSum, e.headDirty = folds, sum, false
	return nil
}

func (e *entity) restoreKeys(d *decoder, slot uint32, part int, sum uint64) error {
	d.version(keysVersion)
	i := slices.IndexFunc(e.folds, func(f *fold) bool { return f != nil && f.slot == slot && f.keys != nil })
	if i < 0 || part != len(e.folds[i].keys.sums) {
		return fmt.Errorf("part %d of slot %d is out of place", part, slot)
	}
	k := e.folds[i].keys
	if part*keysPart != len(k.list) || len(d.b)%8 != 0 || len(d.b) == 0 || len(d.b) > 8*keysPart {
		return fmt.Errorf("part %d of slot %d has %d bytes after %d keys", part, slot, len(d.b), len(k.list))
	}
	for d.err == nil && len(d.b) > 0 {
		k.add(d.uint64())
	}
	k.sums, k.saved = append(k.sums, sum), len(k.list)
	return d.end()
}

func (c *chunk) restore(d *decoder, l *layout) error {
	stride, words := l.stride(), l.words()
	d.version(chunkVersion)
	n := d.uvarint()
	if n == 0 || n > uint64(maxEntries(stride)) {
		d.fail("chunk of %d entries", n)
		return d.err
	}
	c.n = int(n)
	c.data = make([]uint64, stride*c.n)
	before := int64(0)
	for i := range c.n {
		t := before + d.varint()
		if i > 0 && t < before {
			d.fail("times fall")
		}
		c.data[i], before = uint64(t), t
	}
	for w := range words {
		before := uint64(0)
		for i, part := 0, c.part(1+w, stride); i < c.n; i++ {
			before ^= d.uvarint()
			part[i] = before
		}
	}
	for k, col := range l.columns {
		before := int64(0)
		for i, part := 0, c.part(1+words+k, stride); i < c.n; i++ {
			switch col.kind {
			case moneyColumn:
				before += d.varint()
				part[i] = uint64(before)
			case numberColumn:
				part[i] = bits.ReverseBytes64(d.uvarint())
			default:
				part[i] = d.uint64()
			}
		}
	}
	return d.end()
}

// decoder reads a stored value. After the first fault it gives zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.b = nil
}

func (d *decoder) version(want byte) {
	if got := d.byte(); got != want {
		d.fail("encoding version %d, want %d", got, want)
	}
}

var zeros [32]byte

func (d *decoder) bytes(n int) []byte {
	if len(d.b) < n {
		d.fail("value is cut short")
		return zeros[:n]
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte     { return d.bytes(1)[0] }
func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.bytes(8)) }

func (d *decoder) flag() bool {
	b := d.byte()
	if b > 1 {
		d.fail("flag %d", b)
	}
	return b == 1
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("value is cut short")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("value is cut short")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) number() uint32 {
	v := d.uvarint()
	if v > 1<<32-1 {
		d.fail("number %d", v)
		return 0
	}
	return uint32(v)
}

// count reads how many items of at least so many bytes follow.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.b)/size) {
		d.fail("%d items in %d bytes", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}
