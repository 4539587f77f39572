package engine

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// row is what is remembered of an accepted event: enough to know it again, and
// the entities that a label naming it will count for.
type row struct {
	position journal.Position // 0: not seen itself, only named by a label
	at       risk.Time        // the watermark when it was accepted: what is remembered ages from there
	content  risk.Digest
	labels   uint8 // kinds of label that have counted, one bit each
	decided  bool
	block    journal.Position // where its decision is stored; 0: not yet
	touches  []features.Touch

	generation uint32    // cutovers of the walk that wrote it
	heard      risk.Time // the time that a label's horizon is counted from, when it is not at
}

// found is what the store holds of an event.
type found struct {
	row     *row // nil: not there
	learned *row // by a second walk; nil: nothing
}

// memory is a row and its decision between the walk and the next checkpoint.
type memory struct {
	row
	key        risk.EventKey
	body       []byte
	listed     bool   // in pending
	stored     bool   // the store has an older row of it
	checkpoint uint64 // the generation that stores it; 0: none yet
}

// ledger knows which events were accepted. What a checkpoint has stored is found
// by enrich in the store; what is younger is in entries. The walk's goroutine
// owns it.
type ledger struct {
	limits  features.Limits
	entries map[risk.EventKey]*memory
	pending []*memory   // changed since the last checkpoint, in order of change
	answers []*answered // the same for fallbacks
	retired []*memory   // stored, and kept until every batch can see them in the store

	generation uint32                 // cutovers so far
	learned    map[risk.EventKey]*row // by the second walk of the last one, not yet in the store
	storedBy   uint64                 // the checkpoint that stores learned; 0: none yet
}

// answered is a fallback that went out before the decision.
type answered struct {
	key risk.EventKey
	*risk.Answered
}

// find gives what is remembered of an event: the newer of memory and store, and
// over it what the second walk of the last cutover has learned of it.
func (l *ledger) find(key risk.EventKey, stored found) *row {
	r := stored.row
	if m := l.entries[key]; m != nil {
		r = &m.row
	}
	over := l.learned[key]
	if over == nil {
		over = stored.learned
	}
	if over == nil || over.generation != l.generation {
		return r // of a second walk that has not taken over
	}
	return r.learn(over)
}

// remembered is for how long an event of a source is known again. A record that is
// read again may be old: bringing it in twice changes nothing for as long as rows
// are certain to be kept.
func remembered(limits features.Limits, s risk.Source) time.Duration {
	if s.Again {
		return max(limits.Dedup, limits.LabelHorizon)
	}
	return limits.Dedup
}

// admit tells whether an event is new. Beyond the dedup horizon an id may come
// again as another event.
func (l *ledger) admit(it *Item, rec *risk.Record, watermark risk.Time) Verdict {
	if r := l.find(it.Key, it.known); r != nil && r.position != 0 && watermark.Sub(r.at) <= remembered(l.limits, rec.Source) {
		if r.content == rec.Content {
			return Duplicate
		}
		return Conflict
	}
	if it.scenario == nil || rec.ObserveOnly {
		return Observed
	}
	return Decided
}

// labelUse says what a label did.
type labelUse uint8

const (
	notLabel      labelUse = iota
	labelCounted           // for the entities of the event it names
	labelUnknown           // the named event is not known, or beyond the horizon
	labelRepeated          // this kind has counted for that event already
)

// label hands the entities of the event that rec names to the features. A label
// for an unknown event counts for the entities it carries itself, once per kind.
func (l *ledger) label(it *Item, rec *risk.Record, watermark risk.Time) labelUse {
	if !namesAnother(&rec.Event) {
		return notLabel
	}
	kind := labelKind(&rec.Event)
	key := risk.KeyOf(rec.Tenant, rec.Event.Label.Event)
	known := l.find(key, it.named)
	named := known
	if named != nil && watermark.Sub(named.since()) > l.limits.LabelHorizon {
		named = nil
	}
	switch {
	case kind == 0: // an outcome: the named event's entities learn of it each time
		if named != nil {
			it.prepared.Recall(named.touches)
		}
		return notLabel
	case named == nil:
		if len(it.prepared.Touches()) > 0 {
			at, _ := features.Clamp(rec.Event.Time, rec.Arrival)
			r := row{at: max(watermark, at)}
			if known != nil { // beyond the horizon, and still not to be accepted again
				heard := r.at
				r = *known
				r.heard, r.touches = heard, nil
			}
			r.labels = kind
			l.remember(key, r).stored = false // it expires later
		}
		return labelUnknown
	case named.labels&kind != 0:
		if rec.Event.Type == "label" {
			it.prepared.Discard()
		}
		return labelRepeated
	case named.position == 0:
		l.remember(key, *named).labels |= kind
		return labelUnknown
	}
	m := l.remember(key, *named)
	m.labels |= kind
	it.prepared.Recall(m.touches)
	return labelCounted
}

// remember gives the memory of an event, from its row when it is only stored,
// and marks it for the next checkpoint.
func (l *ledger) remember(key risk.EventKey, r row) *memory {
	m := l.entries[key]
	if m == nil {
		m = &memory{key: key, stored: r.position != 0}
		l.entries[key] = m
	}
	m.row = r
	m.generation = l.generation
	l.change(m)
	return m
}

// add remembers an accepted event, from the watermark on that it led to: however
// old it is, sent again it is known again.
func (l *ledger) add(it *Item, rec *risk.Record, position journal.Position, watermark risk.Time) {
	m := &memory{key: it.Key, row: row{
		position: position,
		at:       watermark,
		content:  rec.Content,
		decided:  it.verdict == Decided,
		touches:  append([]features.Touch(nil), it.prepared.Touches()...),

		generation: l.generation,
	}}
	if early := l.find(it.Key, it.known); early != nil && early.position == 0 {
		m.labels = early.labels
	}
	it.entry, it.since = m, watermark
	l.entries[it.Key] = m
	l.change(m)
}

// change marks a memory for the next checkpoint.
func (l *ledger) change(m *memory) {
	if !m.listed {
		m.listed = true
		l.pending = append(l.pending, m)
	}
	m.checkpoint = 0
}

// note takes up an entry that is no event.
func (l *ledger) note(it *Item, position journal.Position) {
	it.verdict = Control
	if it.Entry.Refused != nil {
		it.verdict = Refused
	}
	if a := it.Entry.Answered; a != nil {
		l.answers = append(l.answers, &answered{risk.KeyOf(a.Tenant, a.Event), a})
	}
}

// take hands over all that changed, to be stored by checkpoint generation g.
func (l *ledger) take(g uint64) (rows []*memory, answers []*answered) {
	rows, answers = l.pending[:0], l.answers
	for _, m := range l.pending {
		m.listed, m.checkpoint = false, g
		if l.entries[m.key] == m { // else its event came after the label, or came again
			rows = append(rows, m)
		}
	}
	l.retired = append(l.retired, rows...)
	l.pending, l.answers = nil, nil
	return rows, answers
}

// drop forgets what the look-ups of a batch that saw generation g find in the
// store. A row that changed again meanwhile stays.
func (l *ledger) drop(g uint64) {
	n := 0
	for _, m := range l.retired {
		if m.checkpoint > g {
			break
		}
		if m.checkpoint != 0 && l.entries[m.key] == m {
			delete(l.entries, m.key)
		}
		n++
	}
	l.retired = l.retired[n:]
	if l.storedBy != 0 && l.storedBy <= g {
		l.learned, l.storedBy = nil, 0
	}
}

// expire forgets, in a walk without a store, what nothing can ask for any more.
func (l *ledger) expire(watermark risk.Time) {
	n := 0
	for _, m := range l.pending {
		if watermark.Sub(m.newest()) <= max(l.limits.Dedup, l.limits.LabelHorizon) {
			break
		}
		if l.entries[m.key] == m {
			delete(l.entries, m.key)
		}
		n++
	}
	l.pending = l.pending[n:]
}

// namesAnother tells whether an event is about an earlier one, so that it counts
// for that one's entities.
func namesAnother(e *risk.Event) bool {
	return e.Label.Event != "" && (e.Type == "label" || e.Type == "chargeback" || e.Type == "payment.outcome")
}

// labelKind gives the bit of the label that an event makes, 0 for none.
func labelKind(e *risk.Event) uint8 {
	switch e.Type {
	case "chargeback":
		return 1 << 2
	case "label":
		for i, kind := range [...]string{"fraud", "early_warning", "chargeback", "genuine", "other"} {
			if e.Label.Kind == kind {
				return 1 << i
			}
		}
	}
	return 0
}

// A stored row: format byte, position, instant, block, labels, flags, content
// digest, in format 2 the generation and the other instant, then role and id of each
// touch. docs/format.md has it as a table.
const (
	rowFormat        = 1 // of the first generation
	rowFormatLearned = 2
)

func (r *row) append(dst []byte) []byte {
	format := byte(rowFormat)
	if r.generation != 0 || r.heard != 0 {
		format = rowFormatLearned
	}
	dst = append(dst, format)
	dst = binary.AppendUvarint(dst, uint64(r.position))
	dst = binary.AppendVarint(dst, int64(r.at))
	dst = binary.AppendUvarint(dst, uint64(r.block))
	flags := byte(0)
	if r.decided {
		flags = 1
	}
	dst = append(dst, r.labels, flags)
	dst = append(dst, r.content[:]...)
	if format == rowFormatLearned {
		dst = binary.AppendUvarint(dst, uint64(r.generation))
		dst = binary.AppendVarint(dst, int64(r.heard))
	}
	for _, t := range r.touches {
		dst = binary.BigEndian.AppendUint32(dst, t.Role)
		dst = append(dst, t.ID[:]...)
	}
	return dst
}

var errRow = errors.New("engine: stored event row is damaged or newer than this program")

func parseRow(b []byte) (*row, error) {
	if len(b) == 0 || b[0] != rowFormat && b[0] != rowFormatLearned {
		return nil, errRow
	}
	format := b[0]
	b = b[1:]
	position, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, errRow
	}
	b = b[n:]
	at, n := binary.Varint(b)
	if n <= 0 {
		return nil, errRow
	}
	b = b[n:]
	block, n := binary.Uvarint(b)
	if n <= 0 || len(b) < n+2+len(risk.Digest{}) {
		return nil, errRow
	}
	b = b[n:]
	r := &row{position: journal.Position(position), at: risk.Time(at), block: journal.Position(block), labels: b[0], decided: b[1]&1 != 0}
	b = b[2:]
	copy(r.content[:], b)
	b = b[len(r.content):]
	if format == rowFormatLearned {
		generation, n := binary.Uvarint(b)
		if n <= 0 || generation > math.MaxUint32 {
			return nil, errRow
		}
		heard, m := binary.Varint(b[n:])
		if m <= 0 {
			return nil, errRow
		}
		r.generation, r.heard, b = uint32(generation), risk.Time(heard), b[n+m:]
	}
	const touch = 4 + len(risk.ID{})
	if len(b)%touch != 0 {
		return nil, errRow
	}
	for ; len(b) > 0; b = b[touch:] {
		t := features.Touch{Role: binary.BigEndian.Uint32(b)}
		copy(t.ID[:], b[4:])
		r.touches = append(r.touches, t)
	}
	return r, nil
}
