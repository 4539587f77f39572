package features

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// append encodes the entries of a chunk from one on, column by column: times and
// money as differences, mask words in runs of equal ones, numbers with their zero
// bits dropped, truths as bits, hashes by how far back the same one stands. A column
// like one before it is that one's number and a power of ten.
func (c *chunk) append(b []byte, l *layout, from int) []byte {
	words := l.words()
	b = append(b, chunkVersion)
	b = binary.AppendUvarint(b, uint64(c.n-from))
	if from == c.n {
		return b
	}
	var buf [256]uint64
	times := c.column(buf[:0], 0, from)
	b = binary.AppendVarint(b, int64(times[0]))
	for i := 1; i < len(times); i++ {
		b = binary.AppendUvarint(b, times[i]-times[i-1])
	}
	for w := range words {
		masks := c.column(buf[:0], 1+w, from)
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
		values := c.column(buf[:0], 1+words+i, from)
		like, power := 0, 0
		for k := 0; k < i && like == 0; k++ {
			if power = c.powerOf(values, 1+words+k, from); power >= 0 {
				like = k + 1
			}
		}
		if b = binary.AppendUvarint(b, uint64(like)); like > 0 {
			b = append(b, byte(power))
			continue
		}
		for i, v := range values {
			switch col.kind {
			case moneyColumn:
				b = binary.AppendVarint(b, int64(v)-before)
				before = int64(v)
			case numberColumn:
				b = binary.AppendUvarint(b, bits.ReverseBytes64(v))
			case truthColumn:
				if i%8 == 0 {
					b = append(b, 0)
				}
				b[len(b)-1] |= byte(v) << (i % 8)
			case textColumn:
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

// tens are by how much the values of two columns may differ that say the same: an
// amount in its currency has more decimals than in the base currency, if that is
// another one.
var tens = [...]uint64{1, 10, 100, 1000, 10_000}

// column appends column i of the entries from one on: 0 the times, then mask words,
// then values.
func (c *chunk) column(to []uint64, i, from int) []uint64 {
	stride := int(c.stride)
	for at := from*stride + i; at < c.n*stride; at += stride {
		to = append(to, c.data[at])
	}
	return to
}

// powerOf gives the power of ten by which all values differ from those of column k,
// of the entries from one on; -1 for none.
func (c *chunk) powerOf(values []uint64, k, from int) int {
	return slices.IndexFunc(tens[:], func(ten uint64) bool {
		for i, v := range values {
			if v != c.entry(from + i)[k]*ten {
				return false
			}
		}
		return true
	})
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

// join puts tail behind c.
func (c *chunk) join(tail *chunk, l *layout) error {
	if tail.n == 0 {
		return nil
	}
	stride, n := l.stride(), c.n+tail.n
	if n > maxEntries(stride) || c.last() > tail.first() {
		return fmt.Errorf("%d entries behind a row of %d are out of place", tail.n, c.n)
	}
	front := c.data[:c.n*stride]
	c.allocate(stride, n)
	copy(c.data[copy(c.data, front):], tail.data[:tail.n*stride])
	c.n, c.end = n, tail.end
	return nil
}

func (c *chunk) restore(d *decoder, l *layout) {
	stride, words := l.stride(), l.words()
	d.version(chunkVersion)
	n := d.upTo(maxEntries(stride))
	if n == 0 || d.err != nil {
		return
	}
	c.allocate(stride, n)
	c.n = n
	for i := range n {
		if at := &c.entry(i)[0]; i == 0 {
			*at = uint64(d.varint())
		} else if *at = uint64(c.time(i-1)) + d.uvarint(); c.time(i) < c.time(i-1) {
			d.fail("times fall")
		}
	}
	c.end = c.time(n - 1)
	for w := range words {
		for from := 0; from < n && d.err == nil; {
			run := d.upTo(n - from)
			mask := d.uvarint()
			if run == 0 {
				d.fail("a run of no masks")
			}
			for i := from; i < from+run; i++ {
				c.entry(i)[1+w] = mask
			}
			from += run
		}
	}
	for k, col := range l.columns {
		before := int64(0)
		value := 1 + words + k
		if like := d.upTo(k); like > 0 {
			times := tens[d.upTo(len(tens)-1)]
			for i := range n {
				entry := c.entry(i)
				entry[value] = entry[words+like] * times
			}
			continue
		}
		eight := byte(0)
		for i := range n {
			v := &c.entry(i)[value]
			switch col.kind {
			case moneyColumn:
				before += d.varint()
				*v = uint64(before)
			case numberColumn:
				*v = bits.ReverseBytes64(d.uvarint())
			case truthColumn:
				if i%8 == 0 {
					eight = d.byte()
				}
				*v = uint64(eight >> (i % 8) & 1)
			case textColumn:
				*v = d.uvarint()
			default:
				if back := int(d.byte()); back > i {
					d.fail("a hash %d back from entry %d", back, i)
				} else if back > 0 {
					*v = c.entry(i - back)[value]
				} else {
					*v = d.uint64()
				}
			}
		}
	}
}
