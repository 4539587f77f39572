package mapping

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// Mapping is a compiled mapping. It is immutable and safe for concurrent use.
type Mapping struct {
	format     Format
	root       *node // nil: the data are a canonical event
	slots      int
	cases      []oneCase // the first whose conditions are met holds
	skipOthers bool
	runs       sync.Pool
}

// oneCase is what becomes of the records that meet its conditions.
type oneCase struct {
	line   int // where it stands
	when   []condition
	skip   string // why its records are left out
	fields []*field
}

type condition struct {
	ref
	values []string
}

// field fills one target.
type field struct {
	target   target
	at       diag.Span // where it stands
	refs     []ref
	join     bool // all of refs together; else the first that is there
	with     string
	direct   bool // nothing is converted
	required bool
	fallback *field // where there is none

	chars      []int
	trim       bool
	fold       byte
	table      map[string]value
	otherwise  string
	otherValue value
	layout     *layout
	minor      bool
	currency   *field
	exponents  map[string]int
	as         byte
}

// ref is a source.
type ref struct {
	kind  refKind
	text  string // as it is written
	slot  int
	name  string // of a header or an attribute
	value value  // of a constant
}

type refKind uint8

const (
	fromPath refKind = iota + 1
	fromHeader
	fromAttribute
	fromKey
	fromTimestamp
	fromConstant
)

// value is one value on its way into the event. The zero value is an absent one.
type value struct {
	kind jsontext.Kind // '"', '0', 't', 'f'; '{' and '[' are no values
	raw  []byte        // as JSON, for a text that needs no quoting again
	text []byte        // unquoted, where raw is nil
}

var (
	noTime  time.Time
	rfc3339 = func() *layout {
		l := &layout{name: "rfc3339", offsets: true}
		for _, c := range []byte("Y-m-dTH:M:S") {
			if _, ok := directives[c]; ok {
				l.ops = append(l.ops, op{directive: c})
			} else {
				l.ops = append(l.ops, op{literal: c})
			}
		}
		l.ops = append(l.ops, op{directive: 'f'}, op{directive: 'z'})
		return l
	}()
)

func newMapping(format Format) *Mapping {
	m := &Mapping{format: format}
	m.runs.New = func() any { return &run{m: m} }
	return m
}

// attributeField fills a field of the event from the attribute of its name.
func attributeField(name string) *field {
	t := targets[name]
	f := &field{target: t, required: true, direct: true, refs: []ref{{kind: fromAttribute, text: "attribute " + t.key, name: t.key}}}
	if t.kind == risk.Instant {
		f.layout, f.direct = rfc3339, false
	}
	return f
}

// Translate appends to dst the canonical event that a record becomes.
func (m *Mapping) Translate(dst []byte, r *Record) ([]byte, error) {
	start := len(dst)
	s := m.runs.Get().(*run)
	defer s.release()
	if err := s.open(r); err != nil {
		return dst, err
	}
	if m.root == nil {
		return s.complete(dst)
	}
	c, err := s.choose()
	if err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	group := ""
	for _, f := range c.fields {
		mark := len(dst)
		if f.target.group != group {
			if group != "" {
				dst = append(dst, '}', ',')
			}
			dst = append(append(append(dst, '"'), f.target.group...), `":{`...)
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), f.target.key...), `":`...)
		value := len(dst)
		if dst, _, err = s.field(dst, f); err != nil {
			return dst[:start], err
		}
		if len(dst) == value { // absent: no trace of it
			dst = dst[:mark]
		} else {
			group = f.target.group
		}
	}
	if group != "" {
		dst = append(dst, '}')
	}
	return append(dst, '}'), nil
}

// run is the reading of one record.
type run struct {
	m          *Mapping
	rec        *Record
	data       []byte // JSON
	slots      []slot
	reader     reader
	attributes []attribute
	text, join []byte // scratch
}

func (s *run) release() {
	s.reader.forget()
	s.rec, s.data = nil, nil
	clear(s.attributes)
	s.attributes = s.attributes[:0]
	clear(s.text[:cap(s.text)]) // they may hold what must not stay in memory
	clear(s.join[:cap(s.join)])
	s.m.runs.Put(s)
}

// open reads the record as far as the paths of the mapping need it.
func (s *run) open(r *Record) error {
	s.rec = r
	switch {
	case len(r.Value) > MaxRecord:
		return &Error{Fault: fmt.Sprintf("%d bytes, at most %d are read", len(r.Value), MaxRecord)}
	case len(r.Value) == 0:
		return &Error{Fault: "the record has no value"}
	}
	s.data = r.Value
	if s.m.format == CloudEvents {
		if err := s.cloudEvent(); err != nil {
			return err
		}
	}
	if s.m.root == nil {
		return nil
	}
	if cap(s.slots) < s.m.slots {
		s.slots = make([]slot, s.m.slots)
	}
	s.slots = s.slots[:s.m.slots]
	clear(s.slots)
	return s.reader.read(s.data, s.m.root, s.slots)
}

// choose finds the case that holds for the record.
func (s *run) choose() (*oneCase, error) {
	for i := range s.m.cases {
		c := &s.m.cases[i]
		if !s.meets(c) {
			continue
		}
		if c.skip != "" {
			return nil, fmt.Errorf("%w: %s", ErrSkip, c.skip)
		}
		return c, nil
	}
	if s.m.skipOthers {
		return nil, fmt.Errorf("%w: no case takes it", ErrSkip)
	}
	return nil, &Error{Fault: "no case of the mapping takes the record"}
}

func (s *run) meets(c *oneCase) bool {
	for i := range c.when {
		v := s.fetch(&c.when[i].ref)
		if v.kind == 0 || v.kind == '{' || v.kind == '[' {
			return false
		}
		text := s.unquoted(v)
		met := false
		for _, want := range c.when[i].values {
			met = met || string(text) == want
		}
		if !met {
			return false
		}
	}
	return true
}

// fetch gives the value of a source.
func (s *run) fetch(r *ref) (v value) {
	switch r.kind {
	case fromPath:
		at := s.slots[r.slot]
		switch at.kind {
		case 0, 'n':
			return value{}
		case '"':
			if at.to-at.from == 2 { // an empty text is as good as none
				return value{}
			}
			return value{kind: '"', raw: s.data[at.from:at.to]}
		case '{', '[':
			return value{kind: at.kind}
		}
		return value{kind: at.kind, text: s.data[at.from:at.to]}
	case fromHeader:
		v.text, _ = s.rec.header(r.name)
	case fromAttribute:
		v.text = s.attribute(r.name)
	case fromKey:
		v.text = s.rec.Key
	case fromTimestamp:
		if s.rec.Time.IsZero() {
			return value{}
		}
		v.text = risk.At(s.rec.Time).Append(nil)
	case fromConstant:
		return r.value
	}
	if len(v.text) == 0 {
		return value{}
	}
	v.kind = '"'
	return v
}

// unquoted gives the text of a value; it is good until the next call.
func (s *run) unquoted(v value) []byte {
	if v.raw == nil {
		return v.text
	}
	if bytes.IndexByte(v.raw, '\\') < 0 {
		return v.raw[1 : len(v.raw)-1]
	}
	s.text, _ = jsontext.AppendUnquote(s.text[:0], v.raw) // valid: it was read before
	return s.text
}

// source gives the value that a field comes from, and which of its sources gave
// it: none where it is made of all of them.
func (s *run) source(f *field) (v value, from string, err error) {
	if !f.join {
		for i := range f.refs {
			from = f.refs[i].text
			if v = s.fetch(&f.refs[i]); v.kind != 0 {
				break
			}
		}
		if v.kind == '{' || v.kind == '[' {
			return v, from, s.fault(f, from, found(v.kind)+" where one value is expected")
		}
		return v, from, nil
	}
	s.join = s.join[:0]
	for i := range f.refs {
		r := &f.refs[i]
		part := s.fetch(r)
		switch part.kind {
		case 0:
			return value{}, "", nil // half a key is no key
		case '{', '[':
			return value{}, "", s.fault(f, r.text, found(part.kind)+" where one value is expected")
		}
		if i > 0 {
			s.join = append(s.join, f.with...)
		}
		text := s.unquoted(part)
		if f.trim {
			text = bytes.TrimSpace(text)
		}
		if len(text) == 0 {
			return value{}, "", nil
		}
		s.join = append(s.join, text...)
	}
	return value{kind: '"', text: s.join}, "", nil
}

// sources names all that a field may come from.
func (f *field) sources() string {
	names := make([]string, len(f.refs))
	for i := range f.refs {
		names[i] = f.refs[i].text
	}
	if f.join {
		return strings.Join(names, " + ")
	}
	return strings.Join(names, " or ")
}

func found(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case '0':
		return "a number"
	}
	return "true or false"
}

func (s *run) fault(f *field, from, fault string) error {
	if from == "" {
		from = f.sources()
	}
	return &Error{Target: f.target.name, From: from, Fault: fault}
}

// shown gives what was found, for a fault: the value itself only where it is too
// short to be a card number and the field holds nothing about a person.
func shown(f *field, text []byte) string {
	digits := 0
	for _, c := range text {
		if isDigit(c) {
			digits++
		}
		if c < ' ' || c >= 0x7f {
			digits = len(text)
		}
	}
	if f.target.plain && len(text) <= 40 && digits < 8 {
		return "`" + string(text) + "`"
	}
	return fmt.Sprintf("a text of %d characters", utf8.RuneCount(text))
}
