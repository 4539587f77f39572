package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
)

// Kind is what a column holds.
type Kind uint8

const (
	Text    Kind = iota + 1 // UTF-8
	Integer                 // 64 bits, signed
	Time                    // milliseconds since 1970, UTC
	Double                  // float64
)

// Column describes one column.
type Column struct {
	Name     string
	Kind     Kind
	Optional bool // has missing values
}

// Pair is one entry of the file's own metadata.
type Pair struct{ Key, Value string }

// Values are those of one column of a row group. A missing one has an entry in
// Missing and none in the others.
type Values struct {
	Texts   []string
	Ints    []int64 // also instants
	Doubles []float64
	Missing []bool // of each row, of an optional column
}

// rows gives the number of rows that v is for.
func (v *Values) rows(c *Column) int {
	if c.Optional {
		return len(v.Missing)
	}
	return len(v.Texts) + len(v.Ints) + len(v.Doubles)
}

// Reset empties v and keeps its memory.
func (v *Values) Reset() {
	clear(v.Texts)
	v.Texts, v.Ints, v.Doubles, v.Missing = v.Texts[:0], v.Ints[:0], v.Doubles[:0], v.Missing[:0]
}

const magic = "PAR1"

// Codes of the format.
const (
	typeInt64, typeDouble, typeBytes = 2, 5, 6
	required, optional               = 0, 1
	convertedUTF8, convertedMillis   = 0, 9
	encodingPlain, encodingRLE       = 0, 3
	codecZstd                        = 6
)

// Writer writes one file.
type Writer struct {
	out     io.Writer
	at      int64 // bytes written
	columns []Column
	groups  []group
	rows    int64
	encoder *zstd.Encoder
	page    []byte
	packed  []byte
	err     error // what it ended with
}

// group is what the footer says of a row group.
type group struct {
	rows   int
	chunks []chunk
}

type chunk struct {
	at            int64 // of its page
	values        int   // missing ones too
	plain, packed int   // bytes with the page's header
}

// New begins a file.
func New(out io.Writer, columns []Column) (*Writer, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, err
	}
	w := &Writer{out: out, columns: columns, encoder: encoder}
	w.write([]byte(magic))
	return w, w.err
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	var n int
	n, w.err = w.out.Write(b)
	w.at += int64(n)
}

// Bytes is what has been written so far.
func (w *Writer) Bytes() int64 { return w.at }

// Group writes a row group: the values of every column, in the order of the
// columns, all of the same number of rows.
func (w *Writer) Group(values []Values) error {
	if len(values) != len(w.columns) {
		return fmt.Errorf("parquet: values of %d columns, there are %d", len(values), len(w.columns))
	}
	g := group{rows: values[0].rows(&w.columns[0])}
	if g.rows == 0 {
		return w.err
	}
	for i := range values {
		c := &w.columns[i]
		if n := values[i].rows(c); n != g.rows {
			return fmt.Errorf("parquet: %d rows of column %s, %d of %s", n, c.Name, g.rows, w.columns[0].Name)
		}
		if err := w.encode(c, &values[i]); err != nil {
			return err
		}
		g.chunks = append(g.chunks, w.flush(g.rows))
	}
	w.groups = append(w.groups, g)
	w.rows += int64(g.rows)
	return w.err
}

// encode makes w.page the content of one page.
func (w *Writer) encode(c *Column, v *Values) error {
	b, there := w.page[:0], v.rows(c)
	if c.Optional {
		there = 0
		b = append(b, 0, 0, 0, 0)
		b = appendLevels(b, v.Missing)
		binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
		for _, missing := range v.Missing {
			if !missing {
				there++
			}
		}
	}
	have := 0
	switch c.Kind {
	case Text:
		have = len(v.Texts)
		for _, s := range v.Texts {
			b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
			b = append(b, s...)
		}
	case Integer, Time:
		have = len(v.Ints)
		for _, n := range v.Ints {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
	case Double:
		have = len(v.Doubles)
		for _, f := range v.Doubles {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
		}
	}
	w.page = b
	switch {
	case have != there:
		return fmt.Errorf("parquet: %d values of column %s, its rows have %d", have, c.Name, there)
	case len(b) > math.MaxInt32:
		return fmt.Errorf("parquet: a page of %d bytes of column %s, at most %d are possible: make row groups smaller", len(b), c.Name, math.MaxInt32)
	}
	return nil
}

// appendLevels appends which rows have a value, a bit each, as one bit-packed run.
func appendLevels(b []byte, missing []bool) []byte {
	b = binary.AppendUvarint(b, uint64(len(missing)+7)/8<<1|1)
	for i := 0; i < len(missing); i += 8 {
		bits := byte(0)
		for k, m := range missing[i:min(i+8, len(missing))] {
			if !m {
				bits |= 1 << k
			}
		}
		b = append(b, bits)
	}
	return b
}

// flush writes w.page behind its header.
func (w *Writer) flush(rows int) chunk {
	w.packed = w.encoder.EncodeAll(w.page, w.packed[:0])
	var t thrift
	t.element(func() { // PageHeader
		t.i32(1, 0) // a data page
		t.i32(2, len(w.page))
		t.i32(3, len(w.packed))
		t.nested(5, func() {
			t.i32(1, rows)
			t.i32(2, encodingPlain)
			t.i32(3, encodingRLE)
			t.i32(4, encodingRLE)
		})
	})
	c := chunk{at: w.at, values: rows, plain: len(t.buf) + len(w.page), packed: len(t.buf) + len(w.packed)}
	w.write(t.buf)
	w.write(w.packed)
	return c
}

var errClosed = errors.New("parquet: file is closed")

// Close writes the footer, with metadata for the file. It does not close what the
// file is written to.
func (w *Writer) Close(createdBy string, metadata []Pair) error {
	if w.err != nil {
		return w.err
	}
	var t thrift
	t.element(func() { w.footer(&t, createdBy, metadata) })
	t.buf = binary.LittleEndian.AppendUint32(t.buf, uint32(len(t.buf)))
	w.write(append(t.buf, magic...))
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	return w.encoder.Close()
}

func (w *Writer) footer(t *thrift, createdBy string, metadata []Pair) {
	t.i32(1, 2) // version of the format
	t.list(2, thriftStruct, 1+len(w.columns))
	t.element(func() {
		t.text(4, "schema")
		t.i32(5, len(w.columns))
	})
	for i := range w.columns {
		t.element(func() { w.columns[i].element(t) })
	}
	t.i64(3, w.rows)
	t.list(4, thriftStruct, len(w.groups))
	for i := range w.groups {
		t.element(func() { w.rowGroup(t, &w.groups[i]) })
	}
	t.list(5, thriftStruct, len(metadata))
	for _, p := range metadata {
		t.element(func() {
			t.text(1, p.Key)
			t.text(2, p.Value)
		})
	}
	t.text(6, createdBy)
}

func (c *Column) element(t *thrift) {
	t.i32(1, c.code())
	t.i32(3, c.repetition())
	t.text(4, c.Name)
	switch c.Kind {
	case Text:
		t.i32(6, convertedUTF8)
		t.nested(10, func() { t.nested(1, func() {}) })
	case Time:
		t.i32(6, convertedMillis)
		t.nested(10, func() {
			t.nested(8, func() { // a timestamp
				t.bool(1, true) // in UTC
				t.nested(2, func() { t.nested(1, func() {}) })
			})
		})
	}
}

func (c *Column) code() int {
	switch c.Kind {
	case Text:
		return typeBytes
	case Double:
		return typeDouble
	}
	return typeInt64
}

func (c *Column) repetition() int {
	if c.Optional {
		return optional
	}
	return required
}

func (w *Writer) rowGroup(t *thrift, g *group) {
	plain, packed := 0, 0
	t.list(1, thriftStruct, len(g.chunks))
	for i, k := range g.chunks {
		c := &w.columns[i]
		plain, packed = plain+k.plain, packed+k.packed
		t.element(func() {
			t.i64(2, k.at)
			t.nested(3, func() {
				t.i32(1, c.code())
				t.list(2, thriftI32, 2)
				t.varint(encodingPlain)
				t.varint(encodingRLE)
				t.list(3, thriftBinary, 1)
				t.raw(c.Name)
				t.i32(4, codecZstd)
				t.i64(5, int64(k.values))
				t.i64(6, int64(k.plain))
				t.i64(7, int64(k.packed))
				t.i64(9, k.at)
			})
		})
	}
	t.i64(2, int64(plain))
	t.i64(3, int64(g.rows))
	t.i64(5, g.chunks[0].at)
	t.i64(6, int64(packed))
}
