package features

import (
	"encoding/binary"

	"github.com/sluice-risk/sluice/risk"
)

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
