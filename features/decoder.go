package features

import (
	"encoding/binary"
	"fmt"
)

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
