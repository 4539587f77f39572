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
	headVersion  = 3
	chunkVersion = 2
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
		b = c.append(b, e.layout, c.stored)
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

// append encodes the entries of a chunk from one on, column by column: times and
// money as differences, mask words in runs of equal ones, numbers with their zero
// bits dropped, hashes by how far back the same one stands.
func (c *chunk) append(b []byte, l *layout, from int) []byte {
	stride, words := l.stride(), l.words()
	b = append(b, chunkVersion)
	b = binary.AppendUvarint(b, uint64(c.n-from))
	if from == c.n {
		return b
	}
	times := c.times()[from:]
	b = binary.AppendVarint(b, int64(times[0]))
	for i := 1; i < len(times); i++ {
		b = binary.AppendUvarint(b, times[i]-times[i-1])
	}
	for w := range words {
		masks := c.part(1+w, stride)[from:]
		for i := 0; i < len(masks); {
			k := i + 1
			for k < len(masks) && masks[k] == masks[i] {
				k++
			}
			b = binary.AppendUvarint(b, uint64(k-i))
			b = binary.AppendUvarint(b, masks[i])
			i = k
		}
	}
	for i, col := range l.columns {
		before := int64(0)
		values := c.part(1+words+i, stride)[from:]
		for i, v := range values {
			switch col.kind {
			case moneyColumn:
				b = binary.AppendVarint(b, int64(v)-before)
				before = int64(v)
			case numberColumn:
				b = binary.AppendUvarint(b, bits.ReverseBytes64(v))
			case truthColumn, textColumn:
				b = binary.AppendUvarint(b, v)
			default:
				if back := distanceBack(values[:i], v); back > 0 {
					b = append(b, back)
				} else {
					b = binary.LittleEndian.AppendUint64(append(b, 0), v)
				}
			}
		}
	}
	return b
}

// farthest is how far back an equal hash is looked for.
const farthest = 64

// distanceBack tells how far back v stands, 0 when it does not.
func distanceBack(values []uint64, v uint64) byte {
	for back := 1; back <= min(len(values), farthest); back++ {
		if values[len(values)-back] == v {
			return byte(back)
		}
	}
	return 0
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
		c.stored = d.upTo(maxEntries(e.layout.stride()))
		c.restore(d, e.layout)
		if c.n+c.stored == 0 {
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
		c.stored = c.n
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
			if n < 2 || e.chunks[n-2].order != tail.order || e.chunks[n-2].n != tail.stored {
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

// join puts tail behind c.
func (c *chunk) join(tail *chunk, l *layout) error {
	if tail.n == 0 {
		return nil
	}
	stride, n := l.stride(), c.n+tail.n
	if n > maxEntries(stride) || c.last() > tail.first() {
		return fmt.Errorf("%d entries behind a row of %d are out of place", tail.n, c.n)
	}
	data := make([]uint64, stride*n)
	for i := range stride {
		copy(data[i*n:], c.part(i, stride))
		copy(data[i*n+c.n:], tail.part(i, stride))
	}
	c.data, c.n = data, n
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

func (c *chunk) restore(d *decoder, l *layout) {
	stride, words := l.stride(), l.words()
	d.version(chunkVersion)
	if c.n = d.upTo(maxEntries(stride)); c.n == 0 || d.err != nil {
		return
	}
	c.data = make([]uint64, stride*c.n)
	times := c.times()
	for i := range times {
		if i == 0 {
			times[i] = uint64(d.varint())
		} else if times[i] = times[i-1] + d.uvarint(); risk.Time(times[i]) < risk.Time(times[i-1]) {
			d.fail("times fall")
		}
	}
	for w := range words {
		for part := c.part(1+w, stride); len(part) > 0 && d.err == nil; {
			run := d.upTo(len(part))
			mask := d.uvarint()
			if run == 0 {
				d.fail("a run of no masks")
			}
			for i := range run {
				part[i] = mask
			}
			part = part[run:]
		}
	}
	for k, col := range l.columns {
		before := int64(0)
		part := c.part(1+words+k, stride)
		for i := range part {
			switch col.kind {
			case moneyColumn:
				before += d.varint()
				part[i] = uint64(before)
			case numberColumn:
				part[i] = bits.ReverseBytes64(d.uvarint())
			case truthColumn, textColumn:
				part[i] = d.uvarint()
			default:
				if back := int(d.byte()); back > i {
					d.fail("a hash %d back from entry %d", back, i)
				} else if back > 0 {
					part[i] = part[i-back]
				} else {
					part[i] = d.uint64()
				}
			}
		}
	}
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

var zeros [registers]byte

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
func (d *decoder) uint16() uint16 { return binary.LittleEndian.Uint16(d.bytes(2)) }
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

// upTo reads a number up to most.
func (d *decoder) upTo(most int) int {
	v := d.uvarint()
	if v > uint64(most) {
		d.fail("%d is more than %d", v, most)
		return 0
	}
	return int(v)
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
