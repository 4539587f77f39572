package parquet

import "encoding/binary"

// Types of the compact protocol of Thrift, in which Parquet keeps its headers.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI32    = 5
	thriftI64    = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

// thrift appends a struct field by field, in rising order of their ids.
type thrift struct {
	buf  []byte
	last []int // id of the last field, of each open struct
}

func (t *thrift) begin() { t.last = append(t.last, 0) }

func (t *thrift) end() {
	t.last = t.last[:len(t.last)-1]
	t.buf = append(t.buf, 0)
}

func (t *thrift) field(id, kind int) {
	open := len(t.last) - 1
	if delta := id - t.last[open]; delta < 1 || delta > 15 {
		panic("parquet: thrift fields out of order")
	} else {
		t.buf = append(t.buf, byte(delta<<4|kind))
	}
	t.last[open] = id
}

func (t *thrift) varint(v int64) { t.buf = binary.AppendVarint(t.buf, v) }

func (t *thrift) raw(s string) {
	t.buf = binary.AppendUvarint(t.buf, uint64(len(s)))
	t.buf = append(t.buf, s...)
}

func (t *thrift) i32(id int, v int) { t.field(id, thriftI32); t.varint(int64(v)) }

func (t *thrift) i64(id int, v int64) { t.field(id, thriftI64); t.varint(v) }

func (t *thrift) text(id int, s string) { t.field(id, thriftBinary); t.raw(s) }

func (t *thrift) bool(id int, v bool) {
	if v {
		t.field(id, thriftTrue)
	} else {
		t.field(id, thriftFalse)
	}
}

// list begins a list of n elements, which the caller appends.
func (t *thrift) list(id, kind, n int) {
	t.field(id, thriftList)
	if n < 15 {
		t.buf = append(t.buf, byte(n<<4|kind))
		return
	}
	t.buf = append(t.buf, byte(0xf0|kind))
	t.buf = binary.AppendUvarint(t.buf, uint64(n))
}

func (t *thrift) nested(id int, fields func()) {
	t.field(id, thriftStruct)
	t.element(fields)
}

// element is a struct in a list.
func (t *thrift) element(fields func()) {
	t.begin()
	fields()
	t.end()
}
