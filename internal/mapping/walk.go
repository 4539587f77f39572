package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// slot is a value that a path leads to: what it is, and where it stands in the
// data. The zero slot is one that is not there.
type slot struct {
	kind     jsontext.Kind
	from, to int
}

// reader walks JSON along the nodes of a mapping, once from front to back. What
// no path needs is checked and passed over.
type reader struct {
	src   []byte
	slots []slot
	name  []byte // scratch for keys with escapes
	// decoders by how many array elements they are inside of: elements that are
	// selected by a member are read twice.
	nested []*nestedReader
}

type nestedReader struct {
	buffer bytes.Buffer
	d      *jsontext.Decoder
	base   int // of the buffer in src
}

// read fills the slots of one JSON text.
func (r *reader) read(src []byte, root *node, slots []slot) error {
	r.src, r.slots = src, slots
	d := r.open(0, 0, len(src))
	if err := r.value(0, root); err != nil {
		return err
	}
	if _, err := d.ReadToken(); err != io.EOF {
		if err == nil {
			return &Error{Fault: "holds more than one JSON value"}
		}
		return syntax(err)
	}
	return nil
}

// openBytes reads another text than the data, from its beginning.
func (r *reader) openBytes(src []byte) *jsontext.Decoder {
	r.src = src
	return r.open(0, 0, len(src))
}

func (r *reader) open(level, from, to int) *jsontext.Decoder {
	if level == len(r.nested) {
		n := &nestedReader{}
		n.d = jsontext.NewDecoder(&n.buffer)
		r.nested = append(r.nested, n)
	}
	n := r.nested[level]
	n.buffer = *bytes.NewBuffer(r.src[from:to])
	n.base = from
	n.d.Reset(&n.buffer)
	return n.d
}

// forget drops what would keep a record in memory.
func (r *reader) forget() {
	for _, n := range r.nested {
		n.buffer = bytes.Buffer{}
		n.d.Reset(&n.buffer)
	}
	r.src, r.slots = nil, nil
	clear(r.name[:cap(r.name)])
}

// syntax says what is wrong with the JSON without repeating any of it.
func syntax(err error) error {
	at := ""
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = " at byte " + strconv.FormatInt(e.ByteOffset, 10)
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &Error{Fault: "a key stands twice in one object" + at}
	}
	return &Error{Fault: "not valid JSON" + at}
}

// value reads the next value at a level, and what paths want of it.
func (r *reader) value(level int, n *node) error {
	d := r.nested[level].d
	kind := d.PeekKind()
	if n.only != nil && kind != '[' {
		n = n.only // made from XML, a single element has no brackets
	}
	switch {
	case kind == '{' && n.keys != nil:
		return r.object(level, n)
	case kind == '[' && (n.only != nil || n.indexes != nil || n.matches != nil):
		return r.array(level, n)
	case n.slot < 0:
		if err := d.SkipValue(); err != nil {
			return syntax(err)
		}
		return nil
	}
	raw, err := d.ReadValue()
	if err != nil {
		return syntax(err)
	}
	end := r.nested[level].base + int(d.InputOffset())
	r.slots[n.slot] = slot{kind, end - len(raw), end}
	return nil
}

// mark notes where an object or array begins that a path ends at: it is no value,
// but told from one that is not there.
func (r *reader) mark(level int, n *node, kind jsontext.Kind) {
	if n.slot >= 0 {
		at := r.nested[level].base + int(r.nested[level].d.InputOffset())
		r.slots[n.slot] = slot{kind, at - 1, at}
	}
}

func (r *reader) object(level int, n *node) error {
	d := r.nested[level].d
	if _, err := d.ReadToken(); err != nil {
		return syntax(err)
	}
	r.mark(level, n, '{')
	for d.PeekKind() == '"' {
		name, err := d.ReadValue()
		if err != nil {
			return syntax(err)
		}
		if bytes.IndexByte(name, '\\') < 0 {
			name = name[1 : len(name)-1]
		} else {
			r.name, _ = jsontext.AppendUnquote(r.name[:0], name)
			name = r.name
		}
		if child := n.keys[string(name)]; child != nil {
			if err := r.value(level, child); err != nil {
				return err
			}
		} else if err := d.SkipValue(); err != nil {
			return syntax(err)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return syntax(err)
	}
	return nil
}

func (r *reader) array(level int, n *node) error {
	d, base := r.nested[level].d, r.nested[level].base
	if _, err := d.ReadToken(); err != nil {
		return syntax(err)
	}
	r.mark(level, n, '[')
	var taken uint64 // of n.matches, by bit
	count := 0
	for ; d.PeekKind() != ']'; count++ {
		if n.only != nil && count == 0 {
			if err := r.value(level, n.only); err != nil {
				return err
			}
			continue
		}
		var at *node
		for _, x := range n.indexes {
			if x.at == count {
				at = x.node
			}
		}
		if n.matches == nil && at != nil {
			if err := r.value(level, at); err != nil {
				return err
			}
			continue
		}
		raw, err := d.ReadValue()
		if err != nil {
			return syntax(err)
		}
		to := base + int(d.InputOffset())
		from := to - len(raw)
		if at != nil {
			if err := r.again(level+1, from, to, at); err != nil {
				return err
			}
		}
		for i, x := range n.matches {
			if !r.matches(level+1, from, to, x) {
				continue
			}
			if taken&(1<<i) != 0 {
				return &Error{Fault: fmt.Sprintf("two elements of a list have %s %q", x.key, x.value)}
			}
			taken |= 1 << i
			if err := r.again(level+1, from, to, x.node); err != nil {
				return err
			}
		}
	}
	if n.only != nil && count > 1 {
		return &Error{Fault: fmt.Sprintf("a list has %d elements where the mapping takes one: split the record before it is sent", count)}
	}
	if _, err := d.ReadToken(); err != nil {
		return syntax(err)
	}
	return nil
}

// again reads an element that has been read before, so its syntax is right.
func (r *reader) again(level, from, to int, n *node) error {
	r.open(level, from, to)
	return r.value(level, n)
}

// matches reports whether an element is the one that is selected.
func (r *reader) matches(level, from, to int, x matched) bool {
	d := r.open(level, from, to)
	if d.PeekKind() != '{' {
		return false
	}
	for d.ReadToken(); d.PeekKind() == '"'; d.SkipValue() {
		name, err := d.ReadToken()
		if err != nil {
			return false
		}
		if name.String() != x.key {
			continue
		}
		value, err := d.ReadToken()
		return err == nil && value.Kind() != '{' && value.Kind() != '[' && value.String() == x.value
	}
	return false
}
