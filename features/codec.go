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
	headVersion  = 2
	chunkVersion = 1
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
	st.settle()
	return nil
}

// appendHead encodes the part of an entity that is not a chunk.
func (e *entity) appendHead(b []byte) []byte {
	b = append(b, headVersion)
	b = binary.AppendUvarint(b, uint64(e.layout.number))
	for _, f := range e.folds {
		if f != nil {
			b = f.append(b)
		}
	}
	return b
}

// What follows of a fold beside its slot.
const (
	foldSum = 1 << iota
	foldBest
	foldText
	foldSums
	foldKeys
	foldCoarse
	foldRecent
)

func (f *fold) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(f.slot))
	has := bit(f.sum != int128{})*foldSum | bit(f.best.set)*foldBest | bit(f.best.text != nil)*foldText |
		bit(f.more != nil)*foldSums | bit(f.keys != nil)*foldKeys | bit(f.coarse)*foldCoarse | bit(f.recent != nil)*foldRecent
	b = append(b, has)
	b = binary.AppendUvarint(b, uint64(f.n))
	if has&foldSum != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(f.sum.hi))
		b = binary.LittleEndian.AppendUint64(b, f.sum.lo)
	}
	if has&foldBest != 0 {
		b = binary.AppendVarint(b, int64(f.best.at))
		b = binary.LittleEndian.AppendUint64(b, f.best.value)
	}
	if has&foldText != 0 {
		for _, w := range f.best.text {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	if has&foldSums != 0 {
		for _, w := range f.more.squares {
			b = binary.AppendUvarint(b, w)
		}
		for _, n := range f.more.digits {
			b = binary.AppendUvarint(b, uint64(n))
		}
	}
	if has&foldKeys != 0 {
		b = append(b, bit(f.keys.once))
	}
	return b
}

func (d *decoder) fold() *fold {
	f := &fold{slot: d.number()}
	has := d.byte()
	f.n = int64(d.uvarint())
	f.coarse = has&foldCoarse != 0
	if has&foldSum != 0 {
		f.sum = int128{int64(d.uint64()), d.uint64()}
	}
	if has&foldBest != 0 {
		f.best = pick{at: risk.Time(d.varint()), value: d.uint64(), set: true}
	}
	if has&foldText != 0 {
		f.best.text = &text{}
		for i := range f.best.text {
			f.best.text[i] = d.uint64()
		}
	}
	if has&foldSums != 0 {
		f.more = &sums{}
		for i := range f.more.squares {
			f.more.squares[i] = d.uvarint()
		}
		for i := range f.more.digits {
			f.more.digits[i] = int64(d.uvarint())
		}
	}
	if has&foldKeys != 0 {
		f.keys = &keySet{once: d.flag()}
	}
	if has&foldRecent != 0 {
		f.recent = &recent{}
	}
	if has >= foldRecent<<1 {
		d.fail("fold with parts %x", has)
	}
	return f
}

// appendPart encodes one part of the values of a fold.
func (k *keySet) appendPart(b []byte, part int) []byte {
	b = append(b, keysVersion)
	for _, key := range k.list[part*keysPart : min((part+1)*keysPart, len(k.list))] {
		b = binary.LittleEndian.AppendUint64(b, key)
		if !k.once {
			b = binary.AppendUvarint(b, uint64(k.index.of(key)))
		}
	}
	return b
}

func (k *keySet) restore(d *decoder, part int, sum uint64) {
	d.version(keysVersion)
	if part != len(k.sums) || part*keysPart != len(k.list) || len(d.b) == 0 {
		d.fail("part %d of %d bytes after %d values", part, len(d.b), len(k.list))
	}
	for d.err == nil && len(d.b) > 0 {
		key, n := d.uint64(), uint64(1)
		if !k.once {
			n = d.uvarint()
		}
		if n == 0 || n >= 1<<32 || k.has(key) || len(k.list) == (part+1)*keysPart {
			d.fail("value %x, %d times, after %d values", key, n, len(k.list))
			return
		}
		k.add(key, uint32(n))
	}
	k.sums = append(k.sums, sum)
	if part < len(k.stale) {
		k.stale[part] = false
	}
}

// append encodes the newest events of a window of the last N.
func (q *recent) append(b []byte) []byte {
	b = append(b, keysVersion)
	before := int64(0)
	for i, t := range q.times {
		b = binary.AppendVarint(b, int64(t)-before)
		b = binary.LittleEndian.AppendUint64(b, q.values[i])
		before = int64(t)
	}
	return b
}

func (q *recent) restore(d *decoder, sum uint64) {
	d.version(keysVersion)
	if len(q.times) > 0 || len(d.b) == 0 {
		d.fail("%d bytes of last events after %d", len(d.b), len(q.times))
	}
	before := int64(0)
	for d.err == nil && len(d.b) > 0 {
		t := before + d.varint()
		if len(q.times) == maxLast || len(q.times) > 0 && t < before {
			d.fail("event %d at %d after %d", len(q.times), t, before)
			return
		}
		q.push(risk.Time(t), d.uint64())
		before = t
	}
	q.stale, q.sum = false, sum
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
			case truthColumn, textColumn:
				b = binary.AppendUvarint(b, v)
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
		folds = append(folds, d.fold())
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
			case truthColumn, textColumn:
				part[i] = d.uvarint()
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
