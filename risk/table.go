package risk

import (
	"bytes"
	"fmt"
	"math/bits"
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
	rule     textRule // made of these

	text   func(*T) *string
	number func(*T) *Number
	flag   func(*T) *Flag
	time   func(*T) *Time

	read  func(*scanner, *T)
	write func(dst []byte, part Class, v *T, seen *sighting) []byte // adds nothing when absent
}

// table is what one JSON object may hold. It is built once.
type table[T any] struct {
	members []member[T]
	index   keyIndex
	outputs []output[T] // by member
	parts   [2]uint64   // the members of Plain, and those of the rest, by bit
}

// output is a member as the encoder needs it, and small.
type output[T any] struct {
	prefix string // `,"name":`
	text   func(*T) *string
	number func(*T) *Number
	flag   func(*T) *Flag
	time   func(*T) *Time
	write  func(dst []byte, part Class, v *T, seen *sighting) []byte
}

// sighting is what the scanner saw of an event, so that what follows need not
// look for it again. A bit tells that a key was there; its value may be absent.
type sighting struct {
	groups  uint64            // by member of eventTable
	members [maxGroups]uint64 // of each group
	escapes bool              // some string may need an escape
}

const (
	maxGroups = 24
	allBits   = ^uint64(0)
)

// unseen is for events that were not scanned: anything may be there.
var unseen = func() *sighting {
	u := &sighting{groups: allBits, escapes: true}
	for i := range u.members {
		u.members[i] = allBits
	}
	return u
}()

func newTable[T any](members ...member[T]) *table[T] {
	t := &table[T]{members: members}
	names := make([]string, len(members))
	for i := range members {
		m := &t.members[i]
		if m.limit == 0 {
			m.limit = MaxText
		}
		m.rule = textRule{m.kind, m.class, m.limit, m.required, m.check}
		names[i] = m.name
		t.outputs = append(t.outputs, output[T]{`,"` + m.name + `":`, m.text, m.number, m.flag, m.time, m.write})
		if m.write != nil || m.class == Plain {
			t.parts[0] |= 1 << i
		}
		if m.write != nil || m.class != Plain {
			t.parts[1] |= 1 << i
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

// readObject reads an object into v and reports whether there was one, and which
// of its members were in it.
func readObject[T any](s *scanner, t *table[T], v *T) (seen uint64, ok bool) {
	if s.peek() != '{' {
		s.unfit(false, "not an object")
		return 0, false
	}
	o := s.enter()
	for {
		key, ok := s.key(&o)
		if !ok {
			return o.seen, true
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
		*m.text(v) = s.textOf(b, raw, &m.rule)
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

// appendObject writes those of the given members of v that are present and belong
// to the part, Plain or Personal; with none of them it adds nothing.
func (t *table[T]) appendObject(dst []byte, part Class, v *T, members uint64, seen *sighting) []byte {
	if part == Plain {
		members &= t.parts[0]
	} else {
		members &= t.parts[1]
	}
	start := len(dst)
	for ; members != 0; members &= members - 1 {
		o := &t.outputs[bits.TrailingZeros64(members)]
		switch {
		case o.text != nil:
			if s := *o.text(v); s != "" {
				dst = append(dst, o.prefix...)
				if seen.escapes {
					dst = appendString(dst, s)
				} else {
					dst = append(append(append(dst, '"'), s...), '"')
				}
			}
		case o.write != nil:
			mark := len(dst)
			dst = append(dst, o.prefix...)
			value := len(dst)
			if dst = o.write(dst, part, v, seen); len(dst) == value {
				dst = dst[:mark]
			}
		case o.number != nil:
			if n := *o.number(v); n.Set {
				dst = appendFloat(append(dst, o.prefix...), n.Value)
			}
		case o.flag != nil:
			if f := *o.flag(v); f != 0 {
				dst = appendBool(append(dst, o.prefix...), f == Yes)
			}
		case o.time != nil:
			if t := *o.time(v); t != 0 {
				dst = t.appendQuoted(append(dst, o.prefix...))
			}
		}
	}
	if len(dst) == start {
		return dst
	}
	dst[start] = '{' // the first one's comma
	return append(dst, '}')
}
