package features

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// Touch is an entity in a role, stable across releases. The touches of an event
// are what a later label about it needs.
type Touch struct {
	Role uint32 // hash of the entity's name and the form of its key
	ID   [16]byte
}

// Prepared is what one event means to the features, before any state is read. It
// is a pure function of the record and may be reused for the next event.
type Prepared struct {
	set      *Set
	ids      []entityID // by key; zero: absent
	touches  []Touch
	recalled []recalled
	mask     []uint64 // over all slots: those that count the event
	values   []uint64 // by operandProgram.from
	given    []bool   // by operand: it has a value
	failures int

	hit []int // by key, for State.Observe
	buf []byte

	from    *State // that fetched is of
	fetched []fetched
}

type recalled struct {
	key int
	id  entityID
}

// Prepare computes p for rec. It sets the scope's record and time, at which the
// expressions of rules are then evaluated too.
func (s *Set) Prepare(rec *risk.Record, scope *expression.Scope, p *Prepared) {
	scope.Record = rec
	scope.At, _ = Clamp(rec.Event.Time, rec.Arrival)
	p.set = s
	p.recalled, p.touches, p.failures = p.recalled[:0], p.touches[:0], 0
	p.ids, p.hit = resize(p.ids, len(s.keys)), resize(p.hit, len(s.keys))
	for k := range s.keys {
		p.ids[k] = s.identify(k, rec, scope, p)
		if p.ids[k] != (entityID{}) {
			p.touches = append(p.touches, Touch{s.keys[k].role, p.ids[k]})
		}
	}

	counted, known := s.types[rec.Event.Type]
	if !known {
		counted = s.others
	}
	p.mask = append(p.mask[:0], counted...)
	for i := range s.wheres {
		w := &s.wheres[i]
		if !meets(p.mask, w.users) {
			continue
		}
		// A condition that cannot be told does not hold: the event is not counted.
		ok, fault := w.program.Bool(scope)
		if !ok || fault != (expression.Fault{}) {
			without(p.mask, w.users)
		}
		p.failed(fault)
	}
	p.values, p.given = resize(p.values, s.valued), resize(p.given, len(s.operands))
	clear(p.values)
	for i := range s.operands {
		o := &s.operands[i]
		if p.given[i] = false; !o.own && !meets(p.mask, o.users) {
			continue
		}
		ok, fault := o.value(rec, scope, p.values[o.from:])
		p.failed(fault)
		if p.given[i] = ok; !ok {
			without(p.mask, o.users)
		}
	}
}

// Discard makes the event count nowhere: a label whose kind has counted before.
func (p *Prepared) Discard() { clear(p.mask) }

// Failures is the number of conditions and values that ended in an error, such as
// a division by zero, which is more than a missing value: the event was not
// counted where they stand.
func (p *Prepared) Failures() int { return p.failures }

func (p *Prepared) failed(f expression.Fault) {
	if f.Err != "" {
		p.failures++
	}
}

// Touches gives the entities of the event itself, valid until p is used again.
func (p *Prepared) Touches() []Touch { return p.touches }

// Recall adds the entities of the event that this one names: it counts for them
// too, at its own time, and they stand in for those that it lacks itself. Roles
// that the set does not know are passed over.
func (p *Prepared) Recall(touches []Touch) {
	for _, t := range touches {
		if k, ok := p.set.roles[t.Role]; ok && t.ID != (entityID{}) {
			p.recalled = append(p.recalled, recalled{k, t.ID})
		}
	}
}

func meets(mask, users []uint64) bool {
	for i, u := range users {
		if mask[i]&u != 0 {
			return true
		}
	}
	return false
}

func without(mask, users []uint64) {
	for i, u := range users {
		mask[i] &^= u
	}
}

// Seeds are constant: ids and hashes are stored, and decide what is equal.
const (
	seedLow  = 0x736c7569_63656964
	seedHigh = 0x9e3779b9_7f4a7c15
	seedText = 0x74657874_76616c75
)

// identify gives the id of the entity that key k names: a hash over tenant,
// entity and the parts of the key, in which identifiers are pseudonyms. Without
// one of its parts there is no entity. Sender and receiver accounts are the same
// entity when they are the same account, so the form is not hashed.
func (s *Set) identify(k int, rec *risk.Record, scope *expression.Scope, p *Prepared) (id entityID) {
	key := &s.keys[k]
	b := binary.LittleEndian.AppendUint64(p.buf[:0], s.entities[key.entity].hash)
	b = binary.AppendUvarint(b, uint64(len(rec.Tenant)))
	b = append(b, rec.Tenant...)
	for i := range key.parts {
		part := &key.parts[i]
		if part.identifier >= 0 {
			if rec.IDs[part.identifier].IsZero() {
				return entityID{}
			}
			b = append(b, 0)
			b = append(b, rec.IDs[part.identifier][:]...)
			continue
		}
		text, fault := part.program.Text(scope)
		if fault != (expression.Fault{}) || text == "" {
			return entityID{}
		}
		b = append(b, 1)
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	p.buf = b
	var d xxhash.Digest
	d.ResetWithSeed(seedLow)
	d.Write(b)
	binary.BigEndian.PutUint64(id[:8], d.Sum64())
	d.ResetWithSeed(seedHigh)
	d.Write(b)
	binary.BigEndian.PutUint64(id[8:], max(d.Sum64(), 1)) // zero is no entity
	return id
}

// value puts what the columns keep of an event into out, which is zero.
func (o *operandProgram) value(rec *risk.Record, scope *expression.Scope, out []uint64) (ok bool, fault expression.Fault) {
	if o.identifier >= 0 {
		id := &rec.IDs[o.identifier]
		out[0] = binary.LittleEndian.Uint64(id[:])
		return !id.IsZero(), fault
	}
	switch o.kind {
	case hashColumn, textColumn:
		words, fault := o.program.Text(scope)
		switch {
		case fault != (expression.Fault{}) || words == "":
			return false, fault
		case o.kind == textColumn:
			(*text)(out).set(words)
		default:
			out[0] = hashText(seedText, words)
		}
		return true, fault
	case truthColumn:
		// A condition that cannot be told does not hold.
		if holds, fault := o.program.Bool(scope); fault != (expression.Fault{}) || !holds {
			return true, fault
		}
		out[0] = 1
		return true, fault
	case placeColumn:
		lat, fault := o.program.Number(scope)
		lon, second := o.longitude.Number(scope)
		if fault != (expression.Fault{}) {
			return false, fault
		}
		if second != (expression.Fault{}) {
			return false, second
		}
		out[0] = placeOf(lat, lon)
		return out[0] != placeMissed, fault
	}
	out[0], ok, fault = o.number(rec, scope)
	return ok, fault
}

// number gives a number or money.
func (o *operandProgram) number(rec *risk.Record, scope *expression.Scope) (uint64, bool, expression.Fault) {
	v, fault := o.program.Number(scope)
	if fault != (expression.Fault{}) || math.IsNaN(v) || math.Abs(v) >= maxNumber {
		return 0, false, fault
	}
	if o.kind == numberColumn {
		return math.Float64bits(v + 0), true, fault // -0 is 0
	}
	// Majors are the float64 nearest to a decimal of at most 15 digits, so the
	// product is nearest to the integer that it stands for.
	decimals := o.decimals
	if o.currency != nil {
		decimals = max(risk.Exponent(o.currency(&rec.Event)), 0)
	}
	minor, finer := math.RoundToEven(v*powers[decimals]), powers[o.decimals-decimals]
	if math.Abs(minor) >= maxNumber/finer {
		return 0, false, fault
	}
	return uint64(int64(minor) * int64(finer)), true, fault
}

// powers are the scales of money; currencies have at most 4 decimals.
var powers = [...]float64{1, 10, 100, 1000, 10_000}

const mixedDecimals = 4 // of money of the event's own currency

func hashText(seed uint64, text string) uint64 {
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	d.WriteString(text)
	return d.Sum64()
}
