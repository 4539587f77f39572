package risk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// EntryVersion is the version of the journal entry that AppendEntry writes. Its
// layout is a table in docs/format.md. Entries of version 1 are read too: they have
// fewer facts and forms of identifiers, and nothing else is different.
const EntryVersion = 2

// The kinds of entries, as stored: append only.
const (
	kindEvent byte = iota + 1
	kindActivation
	kindAnswered
	kindRefused
	kindGenesis
	kindAgain // an event, as kindEvent, whose Source.Again is set
	kindCutover
	kindObserved // an event, as kindEvent, that asks for no decision
)

var (
	// ErrEntryVersion is given for an entry of a later version.
	ErrEntryVersion = errors.New("risk: the journal entry was written by a newer version")
	// ErrEntryKind is given for an entry of an unknown kind.
	ErrEntryKind = errors.New("risk: unknown kind of journal entry")
	// ErrEntry is given for an entry that cannot be read.
	ErrEntry = errors.New("risk: damaged journal entry")
)

// AppendEntry appends the bytes of an entry. The salt must be random and fresh
// for every event: it keeps an erased personal part from being guessed by its
// digest. Control entries ignore it. An entry that has not exactly one part, whose
// action is none, or that is both observed only and read again, has no bytes: the
// result is nil.
func AppendEntry(dst []byte, e *Entry, salt [16]byte) []byte {
	kind, parts := byte(0), 0
	for i, set := range [...]bool{e.Event != nil, e.Activation != nil, e.Answered != nil, e.Refused != nil, e.Genesis != nil, e.Cutover != nil} {
		if set {
			kind = [...]byte{kindEvent, kindActivation, kindAnswered, kindRefused, kindGenesis, kindCutover}[i]
			parts++
		}
	}
	if parts != 1 {
		return nil
	}
	if kind == kindEvent {
		switch rec := e.Event; {
		case rec.ObserveOnly && rec.Source.Again:
			return nil
		case rec.ObserveOnly:
			kind = kindObserved
		case rec.Source.Again:
			kind = kindAgain
		}
	}
	dst = append(dst, EntryVersion, kind)
	switch kind {
	case kindEvent, kindAgain, kindObserved:
		return e.Event.appendTo(dst, salt)
	case kindActivation:
		return e.Activation.append(dst)
	case kindAnswered:
		if !e.Answered.Action.Valid() {
			return nil
		}
		return e.Answered.append(dst)
	case kindRefused:
		return e.Refused.append(dst)
	case kindCutover:
		return e.Cutover.append(dst)
	}
	return e.Genesis.append(dst)
}

func (r *Record) appendTo(dst []byte, salt [16]byte) []byte {
	dst = appendBlock(dst, r.Tenant)
	dst = binary.AppendVarint(dst, int64(r.Arrival))
	dst = appendBlock(dst, r.Source.Topic)
	dst = binary.AppendVarint(dst, int64(r.Source.Partition))
	dst = binary.AppendVarint(dst, r.Source.Offset)
	dst = append(dst, r.Content[:]...)
	dst = appendSized(dst, func(dst []byte) []byte {
		if len(r.canonical) > 0 {
			return append(dst, r.canonical[:r.plain]...)
		}
		return AppendPlain(dst, &r.Event)
	})

	count := len(dst)
	dst = append(dst, 0)
	for i := range r.IDs {
		if !r.IDs[i].IsZero() {
			dst[count]++
			dst = append(append(dst, byte(i)), r.IDs[i][:]...)
		}
	}
	dst = appendSized(dst, func(dst []byte) []byte {
		start := len(dst)
		if dst = factsTable.appendObject(dst, Plain, &r.Facts, allBits, unseen); len(dst) == start {
			dst = append(dst, '{', '}')
		}
		return dst
	})
	dst = binary.AppendUvarint(dst, uint64(len(r.Warnings)))
	for i := range r.Warnings {
		w := &r.Warnings[i]
		dst = appendBlock(appendBlock(appendBlock(dst, w.Pointer), w.Code), w.Detail)
	}
	if r.Erased {
		return append(append(dst, r.sealed[:]...), 0)
	}

	// The digest stands before what it covers, so its place is kept free.
	at := len(dst)
	dst = append(append(dst, make([]byte, sha256.Size)...), 1)
	from := len(dst)
	dst = append(dst, salt[:]...)
	if len(r.canonical) > 0 {
		dst = append(dst, r.canonical[r.plain:]...)
	} else {
		dst = AppendPersonal(dst, &r.Event)
	}
	sum := sha256.Sum256(dst[from:])
	copy(dst[at:], sum[:])
	return dst
}

// appendBlock writes a length and so many bytes.
func appendBlock(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendSized writes what content appends, with its length in four bytes before
// it, since it is not known earlier.
func appendSized(dst []byte, content func([]byte) []byte) []byte {
	at := len(dst)
	dst = content(append(dst, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// DecodeEntry reads the bytes of an entry. It keeps no part of b, and everything
// in e is new.
func DecodeEntry(b []byte, e *Entry) error {
	*e = Entry{}
	if len(b) < 2 {
		return fmt.Errorf("%w: %d bytes", ErrEntry, len(b))
	}
	if b[0] > EntryVersion {
		return fmt.Errorf("%w: version %d, this one reads %d", ErrEntryVersion, b[0], EntryVersion)
	}
	if b[0] == 0 {
		return fmt.Errorf("%w: version 0", ErrEntry)
	}
	body := b[2:]
	switch b[1] {
	case kindEvent, kindAgain, kindObserved:
		r := new(Record)
		if err := r.decode(body); err != nil {
			return err
		}
		r.ObserveOnly = b[1] == kindObserved
		if r.Source.Again = b[1] == kindAgain; r.Source.Again && r.Source.IsZero() {
			return fmt.Errorf("%w: event: read again from no topic", ErrEntry)
		}
		e.Event = r
		return nil
	case kindActivation:
		return decodeControl(body, &e.Activation)
	case kindAnswered:
		if err := decodeControl(body, &e.Answered); err != nil {
			return err
		}
		if !e.Answered.Action.Valid() {
			e.Answered = nil
			return fmt.Errorf("%w: answered without an action", ErrEntry)
		}
		return nil
	case kindRefused:
		if err := decodeControl(body, &e.Refused); err != nil {
			return err
		}
		if len(e.Refused.Sealed) == 0 {
			e.Refused.Sealed = nil // absent and empty are one
		}
		return nil
	case kindGenesis:
		return decodeControl(body, &e.Genesis)
	case kindCutover:
		if err := decodeControl(body, &e.Cutover); err != nil {
			return err
		}
		if c := e.Cutover; c.Activation == 0 || c.From == 0 || c.Activation > math.MaxInt64 || c.From > math.MaxInt64 {
			e.Cutover = nil
			return fmt.Errorf("%w: cutover to activation %d from position %d", ErrEntry, c.Activation, c.From)
		}
		return nil
	}
	return fmt.Errorf("%w: kind %d", ErrEntryKind, b[1])
}

// EraseEntry gives the entry without its personal part, every other byte as it
// was; other entries, and erased ones, come back unchanged. It gives nil for
// bytes that are no entry. b is not changed.
func EraseEntry(b []byte) []byte {
	if len(b) < 2 || b[0] == 0 || b[0] > EntryVersion || b[1] == 0 || b[1] > kindObserved {
		return nil
	}
	if b[1] != kindEvent && b[1] != kindAgain && b[1] != kindObserved {
		return bytes.Clone(b)
	}
	c := cursor{b: b[2:]}
	var parts recordParts
	c.record(&parts)
	flag := c.byte()
	if c.bad || flag > 1 {
		return nil
	}
	end := len(b) - len(c.b)
	out := bytes.Clone(b[:end])
	out[end-1] = 0
	return out
}

// cursor takes an event entry apart. A fault is remembered, and everything after
// it is empty.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	c.take(uint64(max(n, 0)))
	c.bad = c.bad || n <= 0
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	c.take(uint64(max(n, 0)))
	c.bad = c.bad || n <= 0
	return v
}

func (c *cursor) block() []byte { return c.take(c.uvarint()) }

func (c *cursor) sized() []byte {
	if b := c.take(4); b != nil {
		return c.take(uint64(binary.LittleEndian.Uint32(b)))
	}
	return nil
}

// recordParts are the fields of an event entry as they lie there, up to the flag.
type recordParts struct {
	tenant, topic     []byte
	arrival           int64
	partition, offset int64
	content           []byte
	plain, facts      []byte
	ids               []byte // index and ID, one after another
	warnings          []byte // blocks: three a warning
	warned            uint64
	sealed            []byte
}

func (c *cursor) record(p *recordParts) {
	p.tenant = c.block()
	p.arrival = c.varint()
	p.topic = c.block()
	p.partition, p.offset = c.varint(), c.varint()
	p.content = c.take(sha256.Size)
	p.plain = c.sized()
	p.ids = c.take(uint64(c.byte()) * (1 + uint64(len(ID{}))))
	p.facts = c.sized()
	p.warned = c.uvarint()
	p.warnings = c.b
	for range 3 * min(p.warned, uint64(len(c.b))) {
		if c.block(); c.bad {
			return
		}
	}
	p.warnings = p.warnings[:len(p.warnings)-len(c.b)]
	p.sealed = c.take(sha256.Size)
}

func (r *Record) decode(b []byte) error {
	c := cursor{b: b}
	var p recordParts
	c.record(&p)
	flag := c.byte()
	switch {
	case c.bad || p.partition != int64(int32(p.partition)):
		return fmt.Errorf("%w: event: a field is cut short", ErrEntry)
	case flag > 1 || flag == 0 && len(c.b) > 0 || flag == 1 && len(c.b) < 16:
		return fmt.Errorf("%w: event: personal part flag %d with %d bytes", ErrEntry, flag, len(c.b))
	case flag == 1 && sha256.Sum256(c.b) != Digest(p.sealed):
		return fmt.Errorf("%w: event: the personal part does not match its digest", ErrEntry)
	}
	s := newScanner(nil)
	defer s.release()
	s.text.Grow(len(b))
	s.stored = true
	r.Tenant, r.Source.Topic = s.keep(p.tenant), s.keep(p.topic)
	r.Arrival, r.Source.Partition, r.Source.Offset = Time(p.arrival), int32(p.partition), p.offset
	r.Content = Digest(p.content)
	if err := part(s, "plain part", p.plain, eventTable, &r.Event); err != nil {
		return err
	}
	last := -1
	for ids := p.ids; len(ids) > 0; ids = ids[1+len(ID{}):] {
		i := int(ids[0])
		id := ID(ids[1 : 1+len(ID{})])
		if i <= last || i >= len(Keys) || id.IsZero() {
			return fmt.Errorf("%w: event: pseudonym %d after %d, of %d", ErrEntry, i, last, len(Keys))
		}
		r.IDs[i], last = id, i
	}
	if err := part(s, "facts", p.facts, factsTable, &r.Facts); err != nil {
		return err
	}
	if p.warned > 0 {
		r.Warnings = make([]Warning, p.warned) // each had three bytes at least
		w := cursor{b: p.warnings}
		for i := range r.Warnings {
			r.Warnings[i] = Warning{Pointer: s.keep(w.block()), Code: s.keep(w.block()), Detail: s.keep(w.block())}
		}
	}
	if flag == 0 {
		r.Erased, r.sealed = true, Digest(p.sealed)
		return nil
	}
	s.merge = true
	return part(s, "personal part", c.b[16:], eventTable, &r.Event)
}

// part reads one JSON part of a stored record.
func part[T any](s *scanner, name string, src []byte, t *table[T], v *T) error {
	if !utf8.Valid(src) {
		return fmt.Errorf("%w: %s: not UTF-8", ErrEntry, name)
	}
	s.src, s.pos = src, 0
	s.peek()
	readObject(s, t, v)
	s.end()
	if err := s.fault(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrEntry, name, err)
	}
	return nil
}

// decodeControl reads the JSON of a control entry as strictly as it was written.
func decodeControl[T any](b []byte, out **T) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	v := new(T)
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %T: %w", ErrEntry, *v, err)
	}
	if rest := b[d.InputOffset():]; len(rest) > 0 {
		return fmt.Errorf("%w: %T: %d bytes too many", ErrEntry, *v, len(rest))
	}
	*out = v
	return nil
}
