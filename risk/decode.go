package risk

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"unicode/utf8"
)

// PANMode says what to do with card.number.
type PANMode uint8

const (
	// PANRefuse takes tokens only: an event with a card number is refused, and
	// so this machine never handles one.
	PANRefuse PANMode = iota
	// PANToken replaces a card number by its keyed hash as token, BIN and last four.
	PANToken
)

// DefaultMaxBytes bounds an event where the decoder sets no bound.
const DefaultMaxBytes = 64 << 10

// maxNumber bounds every number of an event: up to here integers are exact.
const maxNumber = 1e15

// Decoder turns the bytes of an event into a Record. It is safe for concurrent
// use, and a copy of it with another option is a cheap decoder of its own.
type Decoder struct {
	Secrets  *Secrets
	PAN      PANMode
	Strict   bool // refuse what would be warned of
	MaxBytes int  // 0: DefaultMaxBytes
}

// Decode reads an event into rec: its Event, IDs, Content and Warnings; Facts and
// Erased are cleared, Tenant, Arrival and Source left to the caller. It keeps no
// part of src. The error is a *DecodeError, and the event is then empty. The event
// must not be changed before its entry is written.
func (d *Decoder) Decode(src []byte, rec *Record) error {
	if d.Secrets == nil {
		return errors.New("risk: a decoder needs secrets")
	}
	rec.Event = Event{} // alone: together with others it would be copied
	rec.canonical = rec.canonical[:0]
	rec.Facts = Facts{}
	rec.Warnings, rec.Erased = nil, false
	if most := cmp.Or(d.MaxBytes, DefaultMaxBytes); len(src) > most {
		return &DecodeError{Offset: most, Problems: []Problem{{
			Code: CodeTooLarge, Detail: fmt.Sprintf("%d bytes, at most %d are read", len(src), most)}}}
	}
	if !utf8.Valid(src) {
		return &DecodeError{Offset: invalidAt(src), Problems: []Problem{{
			Code: CodeInvalidUTF8, Detail: "the event is not UTF-8"}}}
	}
	s := newScanner(src)
	defer s.release()
	s.text.Grow(len(src))
	s.strict, s.pan, s.secrets = d.Strict, d.PAN, d.Secrets
	if err := s.event(&rec.Event); err != nil {
		rec.Event = Event{}
		return err
	}
	rec.Warnings = s.takeWarnings()
	s.scratch = d.Secrets.fill(&rec.Event, &rec.IDs, s.scratch, &s.seen)
	rec.canonical = appendPart(rec.canonical[:0], Plain, &rec.Event, &s.seen)
	rec.plain = len(rec.canonical)
	rec.canonical = appendPart(rec.canonical, Personal, &rec.Event, &s.seen)
	rec.Content = d.Secrets.Content(rec.canonical)
	return nil
}

func invalidAt(src []byte) (at int) {
	for at < len(src) {
		r, n := utf8.DecodeRune(src[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

func newScanner(src []byte) *scanner {
	s := scanners.Get().(*scanner)
	s.src = src
	return s
}

// release gives the scanner's buffers back and forgets everything else: they may
// hold what must not stay in memory.
func (s *scanner) release() {
	if cap(s.scratch) > 8<<10 {
		s.scratch = nil
	}
	if cap(s.names) > 64 {
		s.names = nil
	}
	clear(s.scratch[:cap(s.scratch)])
	clear(s.names[:cap(s.names)])
	*s = scanner{scratch: s.scratch[:0], names: s.names[:0]}
	scanners.Put(s)
}

// event reads the whole input as one event.
func (s *scanner) event(e *Event) error {
	if s.peek() == '{' {
		s.seen.groups, _ = readObject(s, eventTable, e)
	} else {
		s.unfit(true, "an event is an object")
	}
	s.end()
	if !s.stopped && !s.stored {
		s.require("/event/id", e.ID != "")
		s.require("/event/type", e.Type != "")
		s.require("/event/time", e.Time != 0)
	}
	return s.fault()
}

// fault gives the problems so far as an error.
func (s *scanner) fault() error {
	if len(s.problems) == 0 {
		return nil
	}
	offset := -1
	if s.stopped {
		offset = s.offset
	}
	return &DecodeError{Problems: s.problems, Offset: offset}
}

func (s *scanner) require(pointer string, there bool) {
	if there || slices.ContainsFunc(s.problems, func(p Problem) bool { return p.Pointer == pointer }) {
		return
	}
	s.problem(Problem{Pointer: pointer, Code: CodeRequired, Detail: "every event has one"})
}

func (s *scanner) takeWarnings() []Warning {
	slices.SortStableFunc(s.warnings, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Detail, b.Detail))
	})
	if s.more > 0 {
		s.warnings = append(s.warnings, Warning{Code: CodeMoreWarnings, Detail: fmt.Sprintf("%d more", s.more)})
	}
	return s.warnings
}

// bad reports a value that cannot be used: it refuses a required one, and makes
// an optional one missing.
func (s *scanner) bad(required bool, detail string) {
	switch {
	case s.stopped: // the syntax is what is wrong
	case required:
		s.refuse(CodeInputInvalid, detail, "")
	default:
		s.warn(CodeInputInvalid, detail)
	}
}

// unfit is bad for a value of another type, which it skips.
func (s *scanner) unfit(required bool, detail string) {
	s.skip()
	s.bad(required, detail)
}

// unknown handles a key that the object's table does not have.
func (s *scanner) unknown(o *container, key []byte, x *keyIndex) {
	s.name(o, key)
	if sensitive(key) {
		// Refused already.
	} else if name, ok := x.folded(key); ok {
		s.refuse(CodeWrongCase, "a known field in other letters", "write "+name)
	} else {
		s.warn(CodeUnknownField, "no such field: its value is not kept")
	}
	s.skip()
}

// keep gives b as a string that shares the event's one allocation.
func (s *scanner) keep(b []byte) string {
	start := s.text.Len()
	s.text.Write(b)
	return s.text.String()[start:]
}

// textRule is what a string must be.
type textRule struct {
	kind     Kind
	class    Class
	limit    int
	required bool
	check    func([]byte) (fault string)
}

var (
	tokenRule  = textRule{kind: Text, class: Identifier, limit: MaxText}
	customRule = textRule{kind: Free, class: Plain, limit: MaxText}
)

// textOf checks and cleans a string and keeps it; "" when it cannot be used.
func (s *scanner) textOf(b []byte, raw bool, r *textRule) string {
	switch {
	case len(b) == 0:
		return ""
	case r.kind == Country:
		code := CountryCode(b)
		if code == "" {
			s.bad(r.required, "not an ISO 3166-1 alpha-2 country code in capitals")
		}
		return code
	case s.stored:
		return s.keep(b)
	case len(b) > r.limit:
		s.bad(r.required, fmt.Sprintf("longer than %d bytes", r.limit))
		return ""
	}
	if !s.ascii && !r.required && (r.kind == Text || r.class == Identifier) {
		if n := len(b); n > 0 {
			b, raw = s.withoutInvisible(b, raw)
			if len(b) < n {
				s.warn(CodeStripped, "zero-width and direction marks were taken out")
			}
		}
	}
	if r.kind == Free && mayHoldPAN(b) {
		if raw {
			s.scratch = append(s.scratch[:0], b...)
			b, raw = s.scratch, false
		}
		if maskPANs(b) {
			s.warn(CodeMasked, "a card number in free text was masked")
		}
	}
	if r.check != nil && len(b) > 0 {
		if fault := r.check(b); fault != "" {
			s.bad(r.required, fault)
			return ""
		}
	}
	return s.keep(b)
}

// withoutInvisible takes out characters that make two equal-looking names differ.
func (s *scanner) withoutInvisible(b []byte, raw bool) ([]byte, bool) {
	if bytes.IndexFunc(b, invisible) < 0 {
		return b, raw
	}
	out := s.scratch[:0] // b may lie here: out never overtakes it
	if raw {
		out = make([]byte, 0, len(b))
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if !invisible(r) {
			out = append(out, b[i:i+n]...)
		}
		i += n
	}
	s.scratch = out
	return out, false
}

// invisible reports whether r has no width of its own or turns the direction of
// writing.
func invisible(r rune) bool {
	switch {
	case r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	}
	return r == 0xad || r == 0x61c || r == 0x180e || r == 0xfeff
}

func (s *scanner) numberOf() Number {
	if c := s.peek(); c != '-' && !isDigit(c) {
		s.unfit(false, "not a number")
		return Number{}
	}
	v, exact := s.num()
	switch {
	case s.stopped:
		return Number{}
	case !exact:
		s.bad(false, "a number too small to be told from 0")
		return Number{}
	case math.Abs(v) > maxNumber && !s.stored:
		s.bad(false, "a number beyond 1e15")
		return Number{}
	}
	return Number{Value: v, Set: true}
}

func (s *scanner) flagOf() Flag {
	switch s.peek() {
	case 't':
		if s.literal("true") {
			return Yes
		}
	case 'f':
		if s.literal("false") {
			return No
		}
	default:
		s.unfit(false, "neither true nor false")
	}
	return 0
}

func readAmount(s *scanner, e *Event) {
	if s.peek() != '{' {
		s.unfit(true, `not an object such as {"value": "12.30", "currency": "USD"}`)
		return
	}
	before := len(s.problems)
	var m moneyText
	readObject(s, amountTable, &m)
	if s.stopped || len(s.problems) > before {
		return
	}
	if m.value == "" || m.currency == "" {
		here := s.pointer()
		s.require(here+"/value", m.value != "")
		s.require(here+"/currency", m.currency != "")
		return
	}
	money, at, err := m.money("/value")
	if err != nil {
		s.problem(Problem{Pointer: s.pointer() + at, Code: CodeInputInvalid, Detail: err.Error()})
		return
	}
	e.Amount = money
}

// money parses the pair; at names the half that is at fault. The error does not
// repeat the value.
func (m moneyText) money(value string) (money Money, at string, err error) {
	money, err = ParseMoney(m.value, m.currency)
	if err == nil {
		return money, "", nil
	}
	if errors.Is(err, ErrCurrency) {
		value = "/currency"
	}
	return Money{}, value, errors.Unwrap(err)
}

func readSettlement(s *scanner, e *Event) {
	var m moneyText
	if _, ok := readObject(s, settlementTable, &m); !ok || s.stopped {
		return
	}
	e.Settlement.Rate = m.rate
	switch {
	case m.value == "" && m.currency == "":
	case m.value == "" || m.currency == "":
		s.warn(CodeInputInvalid, "amount and currency go together")
	default:
		money, _, err := m.money("")
		if err != nil {
			s.warn(CodeInputInvalid, err.Error())
		}
		e.Settlement.Amount = money
	}
}

// cardNumber is a card number between being read and being replaced.
type cardNumber struct {
	digits [maxPAN]byte
	n      int
}

func readCardNumber(s *scanner, _ *Event) {
	if s.pan != PANToken {
		s.refuse(CodeCardNumber, "card numbers are not taken here", "send card.token, card.bin and card.last4")
		s.skip()
		return
	}
	if s.peek() != '"' {
		s.unfit(false, "not a string")
		return
	}
	b, _ := s.str()
	if s.card.n = readPAN(&s.card.digits, b); s.card.n == 0 && !s.stopped {
		s.warn(CodeInputInvalid, "not a card number: 13 to 19 digits, the last of which is a check digit")
	}
}

// readCardToken takes a token as it is sent, unless it is a card number: that is
// replaced whatever the mode, since it must not be kept.
func readCardToken(s *scanner, e *Event) {
	if s.peek() != '"' {
		s.unfit(false, "not a string")
		return
	}
	b, raw := s.str()
	var digits [maxPAN]byte
	if n := readPAN(&digits, b); n > 0 && !s.stored {
		s.warn(CodeTokenised, "a card number was sent as the token, and replaced by one")
		e.Card.Token = s.secrets.cardToken(digits[:n])
		return
	}
	e.Card.Token = s.textOf(b, raw, &tokenRule)
}

// finishCard replaces the card number, once the whole group is read. The BIN has
// eight digits for numbers of 16 and more, else six.
func (s *scanner) finishCard(c *Card) {
	if c.Token != "" {
		s.refuse(CodeCardTwice, "both a token and a number", "send one of them")
		return
	}
	pan := s.card.digits[:s.card.n]
	bin := 6
	if len(pan) >= 16 {
		bin = 8
	}
	c.Token = s.secrets.cardToken(pan)
	c.BIN, c.Last4 = s.keep(pan[:bin]), s.keep(pan[len(pan)-4:])
}

func readCustom(s *scanner, e *Event) {
	if s.peek() != '{' {
		s.unfit(false, "not an object")
		return
	}
	o := s.enter()
	for key, ok := s.key(&o); ok; key, ok = s.key(&o) {
		s.name(&o, key)
		c := s.peek()
		field := Custom{}
		switch {
		case c == 'n':
			s.literal("null")
		case len(e.Custom) == MaxCustom:
			s.warn(CodeTooMany, "more than 32 custom fields: this one is left out")
			s.skip()
		case !customName(key):
			s.unfit(false, "a custom name is a letter followed by at most 63 letters, digits and underscores")
		case c == '"':
			b, raw := s.str()
			if field.Text = s.textOf(b, raw, &customRule); field.Text != "" {
				field.Kind = Text
			}
		case c == '-' || isDigit(c):
			if n := s.numberOf(); n.Set {
				field.Kind, field.Number = Decimal, n.Value
			}
		case c == 't' || c == 'f':
			field.Kind, field.Flag = Bool, s.flagOf()
		default:
			s.unfit(false, "not a string, a number, true or false")
		}
		if field.Kind != 0 && !s.stopped {
			if e.Custom == nil {
				e.Custom = make([]Custom, 0, 4)
			}
			field.Name = s.keep(key)
			e.Custom = append(e.Custom, field)
		}
	}
	slices.SortFunc(e.Custom, func(a, b Custom) int { return cmp.Compare(a.Name, b.Name) })
}

// customName reports whether expressions can name it.
func customName(b []byte) bool {
	for i, c := range b {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || i > 0 && c == '_'
		if !letter && (i == 0 || !isDigit(c)) {
			return false
		}
	}
	return len(b) > 0 && len(b) <= maxName
}
