package risk

import (
	"bytes"
	"cmp"
	"fmt"
	"math/bits"
	"strings"
	"unsafe"
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
	write func(dst []byte, part Class, v *T, seen *sighting) []byte // adds nothing when absent
}

// table is what one JSON object may hold. It is built once.
type table[T any] struct {
	slots []slot[T] // by member
	index keyIndex
	parts [2]uint64 // the members of Plain, and those of the rest, by bit
}

// slot is a member made ready for reading and writing: in one cache line, since
// an event meets some sixty of them, and with the place of the value instead of
// a function that finds it.
type slot[T any] struct {
	prefix string // `,"name":`
	rule   textRule
	dates  bool
	at     uint32 // of the value in a T
	read   func(*scanner, *T)
	write  func(dst []byte, part Class, v *T, seen *sighting) []byte
}

func (o *slot[T]) text(v *T) *string   { return (*string)(unsafe.Add(unsafe.Pointer(v), o.at)) }
func (o *slot[T]) number(v *T) *Number { return (*Number)(unsafe.Add(unsafe.Pointer(v), o.at)) }
func (o *slot[T]) flag(v *T) *Flag     { return (*Flag)(unsafe.Add(unsafe.Pointer(v), o.at)) }
func (o *slot[T]) time(v *T) *Time     { return (*Time)(unsafe.Add(unsafe.Pointer(v), o.at)) }

func newSlot[T any](m *member[T]) slot[T] {
	v := new(T)
	var value unsafe.Pointer
	kind := m.kind
	switch {
	case m.text != nil:
		value = unsafe.Pointer(m.text(v))
	case m.number != nil:
		value = unsafe.Pointer(m.number(v))
	case m.flag != nil:
		value = unsafe.Pointer(m.flag(v))
	case m.time != nil:
		value = unsafe.Pointer(m.time(v))
	default:
		value, kind = unsafe.Pointer(v), 0 // read and write know how
	}
	at := uintptr(value) - uintptr(unsafe.Pointer(v))
	if at > unsafe.Sizeof(*v) {
		panic("risk: the value of " + m.name + " is not a part of its object")
	}
	return slot[T]{
		prefix: `,"` + m.name + `":`,
		rule:   textRule{kind: kind, class: m.class, required: m.required, limit: cmp.Or(m.limit, MaxText), check: m.check},
		dates:  m.dates,
		at:     uint32(at),
		read:   m.read,
		write:  m.write,
	}
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
	t := &table[T]{}
	names := make([]string, len(members))
	for i := range members {
		m := &members[i]
		names[i] = m.name
		t.slots = append(t.slots, newSlot(m))
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
		t.slots[i].readValue(s, v)
	}
}

func (o *slot[T]) readValue(s *scanner, v *T) {
	c := s.peek()
	if c == 'n' { // null is the same as absent
		s.literal("null")
		return
	}
	if o.read != nil {
		o.read(s, v)
		return
	}
	switch o.rule.kind {
	case Decimal:
		*o.number(v) = s.numberOf()
	case Bool:
		*o.flag(v) = s.flagOf()
	case Instant:
		if c != '"' {
			s.unfit(o.rule.required, "not a string")
			return
		}
		b, _ := s.str()
		t, fault := parseInstant(b, o.dates || s.stored)
		if fault != "" {
			s.bad(o.rule.required, fault)
			return
		}
		*o.time(v) = t
	default:
		if c != '"' {
			s.unfit(o.rule.required, "not a string")
			return
		}
		b, raw := s.str()
		*o.text(v) = s.textOf(b, raw, &o.rule)
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
		o := &t.slots[bits.TrailingZeros64(members)]
		if o.write != nil {
			mark := len(dst)
			dst = append(dst, o.prefix...)
			value := len(dst)
			if dst = o.write(dst, part, v, seen); len(dst) == value {
				dst = dst[:mark]
			}
			continue
		}
		switch o.rule.kind {
		case Text, Free, Country:
			if s := *o.text(v); s != "" {
				dst = append(dst, o.prefix...)
				if seen.escapes {
					dst = appendString(dst, s)
				} else {
					dst = append(append(append(dst, '"'), s...), '"')
				}
			}
		case Decimal:
			if n := *o.number(v); n.Set {
				dst = appendFloat(append(dst, o.prefix...), n.Value)
			}
		case Bool:
			if f := *o.flag(v); f != 0 {
				dst = appendBool(append(dst, o.prefix...), f == Yes)
			}
		case Instant:
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
