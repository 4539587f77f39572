package parquet

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// What is written is what a reader finds that follows the footer, and nothing but
// the footer, to the pages. (make test-oracle has DuckDB read such files.)
func TestRoundTrip(t *testing.T) {
	columns := []Column{{"id", Text, false}, {"n", Integer, false}, {"at", Time, false}, {"v", Double, true}, {"s", Text, true}}
	r := rand.New(rand.NewPCG(1, 2))
	var out bytes.Buffer
	w, err := New(&out, columns)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]Values
	for _, rows := range []int{1, 7, 8, 9, 1000, 4097} {
		v := make([]Values, len(columns))
		for range rows {
			v[0].Texts = append(v[0].Texts, strings.Repeat("é,\"\n", r.IntN(4)))
			v[1].Ints = append(v[1].Ints, int64(r.Uint64()))
			v[2].Ints = append(v[2].Ints, r.Int64N(1<<42))
			missing := r.IntN(3) == 0
			if v[3].Missing = append(v[3].Missing, missing); !missing {
				v[3].Doubles = append(v[3].Doubles, math.Float64frombits(r.Uint64()))
			}
			missing = r.IntN(2) == 0
			if v[4].Missing = append(v[4].Missing, missing); !missing {
				v[4].Texts = append(v[4].Texts, "x")
			}
		}
		if err := w.Group(v); err != nil {
			t.Fatal(err)
		}
		want = append(want, v)
	}
	if err := w.Close("test", []Pair{{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Group(want[0]); err == nil {
		t.Error("Group after Close = nil, want an error")
	}
	got := parse(t, out.Bytes())
	if names := []string{"schema", "id", "n", "at", "v", "s"}; !slices.Equal(got.names, names) || got.metadata["a"] != "b" {
		t.Errorf("columns %q, metadata %v", got.names, got.metadata)
	}
	for g := range want {
		for i := range columns {
			c, v := &columns[i], &want[g][i]
			if page := got.pages[g][i]; !reflect.DeepEqual(page, plain(c, v)) {
				t.Fatalf("group %d, column %s = %d bytes %x…, want %d bytes", g, c.Name, len(page), page[:min(len(page), 20)], len(plain(c, v)))
			}
		}
	}
}

// plain is the content of a page, written down once more.
func plain(c *Column, v *Values) []byte {
	var b []byte
	if c.Optional {
		n := (len(v.Missing) + 7) / 8
		levels := binary.AppendUvarint(nil, uint64(2*n+1))
		bits := make([]byte, n)
		for i, m := range v.Missing {
			if !m {
				bits[i/8] |= 1 << (i % 8)
			}
		}
		levels = append(levels, bits...)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(levels))), levels...)
	}
	for _, s := range v.Texts {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	for _, n := range v.Ints {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	for _, f := range v.Doubles {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
	}
	return b
}

type parsed struct {
	names    []string
	metadata map[string]string
	pages    [][][]byte // by row group and column
}

func parse(t *testing.T, file []byte) (p parsed) {
	t.Helper()
	n := len(file)
	if string(file[:4]) != magic || string(file[n-4:]) != magic {
		t.Fatal("no Parquet file")
	}
	size := int(binary.LittleEndian.Uint32(file[n-8:]))
	r := reader{t, file[n-8-size : n-8]}
	footer := r.structure()
	if len(r.b) != 0 {
		t.Fatalf("%d bytes behind the footer", len(r.b))
	}
	for _, e := range footer[2].([]any) {
		p.names = append(p.names, string(e.(map[int]any)[4].([]byte)))
	}
	p.metadata = map[string]string{}
	for _, e := range footer[5].([]any) {
		p.metadata[string(e.(map[int]any)[1].([]byte))] = string(e.(map[int]any)[2].([]byte))
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, end := int64(0), int64(4)
	for _, g := range footer[4].([]any) {
		var pages [][]byte
		rows += g.(map[int]any)[3].(int64)
		for _, c := range g.(map[int]any)[1].([]any) {
			meta := c.(map[int]any)[3].(map[int]any)
			at := meta[9].(int64)
			if at != end {
				t.Fatalf("a page at %d, the one before ends at %d", at, end)
			}
			r := reader{t, file[at:]}
			header := r.structure()
			packed := header[3].(int64)
			page, err := decoder.DecodeAll(r.b[:packed], nil)
			if err != nil || int64(len(page)) != header[2].(int64) {
				t.Fatalf("page at %d: %d bytes, %v", at, len(page), err)
			}
			head := int64(len(file)) - at - int64(len(r.b))
			if meta[7].(int64) != head+packed || meta[6].(int64) != head+int64(len(page)) || meta[5] != g.(map[int]any)[3] {
				t.Fatalf("column chunk %v, page %v", meta, header)
			}
			end = at + head + packed
			pages = append(pages, page)
		}
		p.pages = append(p.pages, pages)
	}
	if rows != footer[3].(int64) || end != int64(n-8-size) {
		t.Fatalf("%d rows, want %d; pages end at %d, the footer begins at %d", footer[3], rows, end, n-8-size)
	}
	return p
}

// reader reads the compact protocol.
type reader struct {
	t *testing.T
	b []byte
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.t.Fatal("a structure ends too soon")
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) number() int64 {
	v, n := binary.Varint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *reader) size() int {
	v, n := binary.Uvarint(r.b)
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) structure() map[int]any {
	out, id := map[int]any{}, 0
	for {
		c := r.byte()
		if c == 0 {
			return out
		}
		id += int(c >> 4)
		out[id] = r.value(c & 15)
	}
}

func (r *reader) value(kind byte) any {
	switch kind {
	case thriftTrue, thriftFalse:
		return kind == thriftTrue
	case thriftI32, thriftI64:
		return r.number()
	case thriftBinary:
		n := r.size()
		v := r.b[:n]
		r.b = r.b[n:]
		return v
	case thriftStruct:
		return r.structure()
	case thriftList:
		c := r.byte()
		n := int(c >> 4)
		if n == 15 {
			n = r.size()
		}
		var out []any
		for range n {
			out = append(out, r.value(c&15))
		}
		return out
	}
	r.t.Fatalf("type %d", kind)
	return nil
}
