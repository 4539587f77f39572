package risk

import (
	"bytes"
	"fmt"
	"strings"
)

// member is one key of a JSON object that a T is read from and written to.
// Exactly one accessor is set, or read.
type member[T any] struct {
	name     string
	kind     Kind
	class    Class
	required bool
	dates    bool // an Instant may be a date
	limit    int  // in bytes of text
	check    func([]byte) (fault string)

	text   func(*T) *string
	number func(*T) *Number
	flag   func(*T) *Flag
	time   func(*T) *Time

	read  func(*scanner, *T)
	write func(dst []byte, part Class, v *T) []byte // adds nothing when absent
}

// table is what one JSON object may hold. It is built once.
type table[T any] struct {
	members []member[T]
	index   keyIndex
	outputs [2][]output[T] // Plain, and the rest
}

// output is a member as the encoder needs it: small, since it goes through all
// of them for every event.
type output[T any] struct {
	prefix string // `"name":`
	text   func(*T) *string
	number func(*T) *Number
	flag   func(*T) *Flag
	time   func(*T) *Time
	write  func(dst []byte, part Class, v *T) []byte
}

func newTable[T any](members ...member[T]) *table[T] {
	t := &table[T]{members: members}
	names := make([]string, len(members))
	for i := range members {
		m := &t.members[i]
		if m.limit == 0 {
			m.limit = MaxText
		}
		names[i] = m.name
		o := output[T]{`"` + m.name + `":`, m.text, m.number, m.flag, m.time, m.write}
		if m.write != nil || m.class == Plain {
			t.outputs[0] = append(t.outputs[0], o)
		}
		if m.write != nil || m.class != Plain {
			t.outputs[1] = append(t.outputs[1], o)
		}
	}
	t.index = newKeyIndex(names)
	return t
}

// keyIndex finds a name among a few with one multiplication and one comparison:
// its multiplier was searched for so that no two names share a slot.
type keyIndex struct {
	names []string
	mul   uint32
	slots [128]int8
}

func newKeyIndex(names []string) keyIndex {
	if len(names) > 64 {
		panic(fmt.Sprintf("risk: %d keys in one object, room for 64", len(names)))
	}
search:
	for mul := uint32(1); mul < 1<<20; mul += 2 {
		x := keyIndex{names: names, mul: mul * 0x9e3779b1}
		for i := range x.slots {
			x.slots[i] = -1
		}
		for i, name := range names {
			slot := &x.slots[x.slot([]byte(name))]
			if *slot >= 0 {
				continue search
			}
			*slot = int8(i)
		}
		return x
	}
	panic("risk: no perfect hash for " + strings.Join(names, " "))
}

// slot hashes the length and the first, middle and last byte of a key.
func (x *keyIndex) slot(key []byte) uint32 {
	n := len(key)
	return (uint32(key[0]) | uint32(key[n/2])<<8 | uint32(key[n-1])<<16 | uint32(n)<<24) * x.mul >> 25
}

// find gives the index of a key, -1 for none.
func (x *keyIndex) find(key []byte) int {
	if len(key) == 0 {
		return -1
	}
	if i := x.slots[x.slot(key)]; i >= 0 && string(key) == x.names[i] {
		return int(i)
	}
	return -1
}

// folded gives the name that a key spells in other letters, such as AMOUNT.
func (x *keyIndex) folded(key []byte) (name string, ok bool) {
	if i := x.find(bytes.ToLower(key)); i >= 0 {
		return x.names[i], true
	}
	return "", false
}

// readObject reads an object into v and reports whether there was one.
func readObject[T any](s *scanner, t *table[T], v *T) bool {
	if s.peek() != '{' {
		s.unfit(false, "not an object")
		return false
	}
	o := s.enter()
	for {
		key, ok := s.key(&o)
		if !ok {
			return true
		}
		i := t.index.find(key)
		if i < 0 {
			s.unknown(&o, key, &t.index)
			continue
		}
		if o.seen&(1<<i) != 0 {
			s.refuse(CodeDuplicateKey, "the key stands twice in one object", "")
		}
		o.seen |= 1 << i
		t.members[i].readValue(s, v)
	}
}

func (m *member[T]) readValue(s *scanner, v *T) {
	c := s.peek()
	if c == 'n' { // null is the same as absent
		s.literal("null")
		return
	}
	switch {
	case m.read != nil:
		m.read(s, v)
	case m.text != nil:
		if c != '"' {
			s.unfit(m.required, "not a string")
			return
		}
		b, raw := s.str()
		*m.text(v) = s.textOf(b, raw, m.kind, m.class, m.limit, m.required, m.check)
	case m.number != nil:
		*m.number(v) = s.numberOf()
	case m.flag != nil:
		*m.flag(v) = s.flagOf()
	case m.time != nil:
		if c != '"' {
			s.unfit(m.required, "not a string")
			return
		}
		b, _ := s.str()
		t, fault := parseInstant(b, m.dates || s.stored)
		if fault != "" {
			s.bad(m.required, fault)
			return
		}
		*m.time(v) = t
	}
}

// appendObject writes those members of v that are present and belong to the part,
// Plain or Personal; with none of them it adds nothing.
func (t *table[T]) appendObject(dst []byte, part Class, v *T) []byte {
	outputs := t.outputs[0]
	if part != Plain {
		outputs = t.outputs[1]
	}
	start := len(dst)
	for i := range outputs {
		o := &outputs[i]
		switch {
		case o.text != nil:
			if s := *o.text(v); s != "" {
				dst = appendString(o.begin(dst, start), s)
			}
		case o.write != nil:
			mark := len(dst)
			dst = o.begin(dst, start)
			value := len(dst)
			if dst = o.write(dst, part, v); len(dst) == value {
				dst = dst[:mark]
			}
		case o.number != nil:
			if n := *o.number(v); n.Set {
				dst = appendFloat(o.begin(dst, start), n.Value)
			}
		case o.flag != nil:
			if f := *o.flag(v); f != 0 {
				dst = appendBool(o.begin(dst, start), f == Yes)
			}
		case o.time != nil:
			if t := *o.time(v); t != 0 {
				dst = t.appendQuoted(o.begin(dst, start))
			}
		}
	}
	if len(dst) == start {
		return dst
	}
	return append(dst, '}')
}

// begin writes the bracket or comma and the key.
func (o *output[T]) begin(dst []byte, start int) []byte {
	if len(dst) == start {
		dst = append(dst, '{')
	} else {
		dst = append(dst, ',')
	}
	return append(dst, o.prefix...)
}
