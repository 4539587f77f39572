package risk

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth   = 32   // nesting of objects and arrays
	maxMembers = 1024 // of an object: duplicates are looked for among all pairs
	maxReports = 32   // problems, and warnings, of one event
	maxName    = 64   // bytes of a key that are repeated in a pointer
)

// scanner reads JSON once from front to back, as strictly as RFC 8259 and RFC
// 7493 allow: no duplicate keys, no invalid UTF-8, no lone surrogates. A fault in
// the syntax stops it: every method then gives the zero value, every loop ends,
// and err says why. What is wrong with a value is reported beside it and the
// reading goes on, so that a sender learns all problems at once.
type scanner struct {
	src   []byte // valid UTF-8, checked before
	pos   int
	depth int
	path  [maxDepth + 1]segment
	names [][]byte // keys seen in the open objects, those without a bit of their own

	// scratch holds the last string that is not in src as it stands.
	scratch []byte
	ascii   bool // of the last string
	// text holds all strings of the event, so that they are one allocation.
	// Nothing is kept of src: what is not wanted, a card number above all, does
	// not live on in memory behind the strings that are.
	text strings.Builder
	seen sighting

	strict   bool // a warning is a problem
	stored   bool // our own encoding is read back: no value is checked or changed again
	merge    bool // lists are there already: this is their personal part
	pan      PANMode
	secrets  *Secrets
	card     cardNumber
	stopped  bool
	offset   int // of the fault that stopped
	problems []Problem
	warnings []Warning
	more     int // warnings beyond maxReports
}

// segment is one step of a pointer: a key, or an index where key is nil.
type segment struct {
	key   []byte
	index int
}

// container is an object or array that is being read.
type container struct {
	n    int    // members so far
	mark int    // names[mark:] are this object's
	seen uint64 // known keys, by bit
}

// stop ends the reading.
func (s *scanner) stop(code, detail string) {
	if !s.stopped {
		s.stopped, s.offset = true, s.pos
		s.problem(Problem{Pointer: s.pointer(), Code: code, Detail: detail})
	}
	s.pos = len(s.src)
}

func (s *scanner) syntax(want string) { s.stop(CodeInvalidJSON, "want "+want) }

// peek gives the next byte that is no space, 0 at the end (a NUL is no JSON).
func (s *scanner) peek() byte {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		s.pos++
	}
	return 0
}

// enter goes into an object or array whose bracket is the next byte.
func (s *scanner) enter() container {
	s.pos++
	if s.depth++; s.depth > maxDepth {
		s.depth = maxDepth
		s.stop(CodeTooDeep, "more than 32 objects and arrays in one another")
	}
	s.path[s.depth] = segment{key: nil, index: -1}
	return container{mark: len(s.names)}
}

func (s *scanner) leave(o *container) {
	s.pos++
	s.names = s.names[:o.mark]
	s.depth--
}

// key gives the next key of an object and goes on to its value, or leaves the
// object.
func (s *scanner) key(o *container) (key []byte, ok bool) {
	c := s.peek()
	s.path[s.depth].key, s.path[s.depth].index = nil, -1
	if c == '}' {
		s.leave(o)
		return nil, false
	}
	if o.n > 0 {
		if c != ',' {
			s.syntax("a comma or }")
			return nil, false
		}
		s.pos++
		c = s.peek()
	}
	if c != '"' {
		s.syntax("a key in quotes")
		return nil, false
	}
	key, raw := s.str()
	if !raw {
		key = bytes.Clone(key)
	}
	if s.peek() != ':' {
		s.syntax("a colon")
		return nil, false
	}
	s.pos++
	s.path[s.depth].key = key
	if o.n++; o.n > maxMembers {
		s.stop(CodeTooMany, "an object has more than 1,024 members")
	}
	return key, !s.stopped
}

// element goes to the next element of an array, or leaves the array.
func (s *scanner) element(a *container) bool {
	c := s.peek()
	s.path[s.depth] = segment{index: -1}
	if c == ']' {
		s.leave(a)
		return false
	}
	if a.n > 0 {
		if c != ',' {
			s.syntax("a comma or ]")
			return false
		}
		s.pos++
		if s.peek() == ']' {
			s.syntax("a value")
		}
	}
	s.path[s.depth].index = a.n
	a.n++
	return !s.stopped
}

// str reads the string that begins here. It lies in src (raw) or in scratch, and
// is good until the next string is read.
func (s *scanner) str() (text []byte, raw bool) {
	start := s.pos + 1
	i, high := plainRun(s.src, start)
	s.pos = i
	if i == len(s.src) {
		s.syntax("the end of a string")
		return nil, true
	}
	switch s.src[i] {
	case '"':
		s.pos, s.ascii = i+1, !high
		return s.src[start:i], true
	case '\\':
		return s.escaped(start, i), false
	}
	s.stop(CodeInvalidJSON, "a control character in a string: write it as \\u00XX")
	return nil, true
}

// plainRun gives the index of the first quote, backslash or control character
// from i on, and whether a byte before it is not ASCII. It looks at eight bytes
// at a time: a byte's top bit is set in hits where the byte is one of them (in
// bytes above the lowest hit it may be set wrongly, which does not matter).
func plainRun[T string | []byte](src T, i int) (end int, high bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	var seen uint64
	for ; i+8 <= len(src); i += 8 {
		w := word(src, i)
		quote, slash := w^ones*'"', w^ones*'\\'
		hits := ((w-ones*' ')&^w | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if hits == 0 {
			seen |= w
			continue
		}
		n := bits.TrailingZeros64(hits) &^ 7
		seen |= w & (1<<n - 1)
		return i + n/8, seen&tops != 0
	}
	high = seen&tops != 0
	for ; i < len(src); i++ {
		if c := src[i]; c < ' ' || c == '"' || c == '\\' {
			break
		} else if c >= utf8.RuneSelf {
			high = true
		}
	}
	return i, high
}

// escaped reads a string whose first backslash is at i.
func (s *scanner) escaped(start, i int) []byte {
	buf := append(s.scratch[:0], s.src[start:i]...)
	s.ascii, s.seen.escapes = false, true
	for i < len(s.src) {
		c := s.src[i]
		switch {
		case c == '"':
			s.pos, s.scratch = i+1, buf
			return buf
		case c < ' ':
			s.pos = i
			s.stop(CodeInvalidJSON, "a control character in a string: write it as \\u00XX")
			return nil
		case c != '\\':
			buf = append(buf, c)
			i++
			continue
		}
		s.pos = i
		if i+1 == len(s.src) {
			break
		}
		i += 2
		switch c := s.src[i-1]; c {
		case '"', '\\', '/':
			buf = append(buf, c)
		case 'b':
			buf = append(buf, '\b')
		case 'f':
			buf = append(buf, '\f')
		case 'n':
			buf = append(buf, '\n')
		case 'r':
			buf = append(buf, '\r')
		case 't':
			buf = append(buf, '\t')
		case 'u':
			r := hex4(s.src[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				var low rune = -1
				if len(s.src) > i+2 && s.src[i] == '\\' && s.src[i+1] == 'u' {
					low = hex4(s.src[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					s.stop(CodeInvalidUTF8, "half a surrogate pair")
					return nil
				}
				i += 6
			}
			if r < 0 {
				s.syntax("four hexadecimal digits after \\u")
				return nil
			}
			buf = utf8.AppendRune(buf, r)
		default:
			s.syntax("one of \"\\/bfnrtu after a backslash")
			return nil
		}
	}
	s.pos = len(s.src)
	s.syntax("the end of a string")
	return nil
}

// hex4 reads four hexadecimal digits, -1 for none.
func hex4(b []byte) (r rune) {
	if len(b) < 4 {
		return -1
	}
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// literal reads true, false or null.
func (s *scanner) literal(word string) bool {
	if len(s.src)-s.pos < len(word) || string(s.src[s.pos:s.pos+len(word)]) != word {
		s.syntax("a value")
		return false
	}
	s.pos += len(word)
	return true
}

// num reads a number. exact is false for one that became zero though it is not. A number beyond float64 stops the reading.
func (s *scanner) num() (v float64, exact bool) {
	start, i, src := s.pos, s.pos, s.src
	if src[i] == '-' {
		i++
	}
	digits, fraction := 0, 0
	var mantissa uint64 // of the first 19 digits; used when there are at most 15
	whole := i
	for ; i < len(src) && isDigit(src[i]); i++ {
		mantissa = mantissa*10 + uint64(src[i]-'0')
		digits++
	}
	if digits == 0 || digits > 1 && src[whole] == '0' {
		s.syntax("a number without leading zeros")
		return 0, false
	}
	if i < len(src) && src[i] == '.' {
		i++
		for ; i < len(src) && isDigit(src[i]); i++ {
			mantissa = mantissa*10 + uint64(src[i]-'0')
			digits++
			fraction++
		}
		if fraction == 0 {
			s.pos = i
			s.syntax("a digit after the decimal point")
			return 0, false
		}
	}
	exponent := false
	if i < len(src) && src[i]|0x20 == 'e' {
		exponent = true
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		first := i
		for i < len(src) && isDigit(src[i]) {
			i++
		}
		if i == first {
			s.pos = i
			s.syntax("a digit in the exponent")
			return 0, false
		}
	}
	if !exponent && digits <= 15 {
		// Both are exact in a float64, so the quotient is rounded once.
		s.pos = i
		v = float64(mantissa) / powers[fraction]
		if src[start] == '-' && v != 0 { // no negative zero
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(string(src[start:i]), 64)
	if err != nil || math.IsInf(v, 0) {
		s.stop(CodeOverflow, "a number beyond what 64-bit floating point holds")
		return 0, false
	}
	s.pos = i
	if v == 0 {
		return 0, !bytes.ContainsAny(mantissaOf(src[start:i]), "123456789")
	}
	return v, true
}

// mantissaOf gives a number without its exponent.
func mantissaOf(b []byte) []byte {
	if i := bytes.IndexAny(b, "eE"); i >= 0 {
		return b[:i]
	}
	return b
}

var powers = [16]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// skip reads a value nobody wants: as strictly as any other.
func (s *scanner) skip() {
	switch c := s.peek(); {
	case c == '"':
		s.str()
	case c == '{':
		o := s.enter()
		for key, ok := s.key(&o); ok; key, ok = s.key(&o) {
			s.name(&o, key)
			s.skip()
		}
	case c == '[':
		a := s.enter()
		for s.element(&a) {
			s.skip()
		}
	case c == 't':
		s.literal("true")
	case c == 'f':
		s.literal("false")
	case c == 'n':
		s.literal("null")
	case c == '-' || isDigit(c):
		s.num()
	default:
		s.syntax("a value")
	}
}

// name refuses a key without a bit of its own that the object has had before, or
// that names what must never be sent.
func (s *scanner) name(o *container, key []byte) {
	for _, other := range s.names[o.mark:] {
		if bytes.Equal(other, key) {
			s.refuse(CodeDuplicateKey, "the key stands twice in one object", "")
			break
		}
	}
	s.names = append(s.names, key)
	if sensitive(key) {
		s.refuse(CodeSensitive, "card verification values, PINs and track data must never be sent here",
			"remove the field before the event leaves your system")
	}
}

// sensitive reports whether a key, in any case, names authentication data that
// must not be kept, not even encrypted.
func sensitive(key []byte) bool {
	var buf [12]byte
	if len(key) < 3 || len(key) > len(buf) {
		return false
	}
	switch key[0] | 0x20 { // most keys go no further
	case 'c', 'p', 't', 'm':
	default:
		return false
	}
	for i, c := range key {
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c == '-':
			c = '_'
		}
		buf[i] = c
	}
	switch string(buf[:len(key)]) {
	case "cvv", "cvc", "cvv2", "cvc2", "cid", "pin", "pin_block", "pinblock",
		"track1", "track2", "track_data", "trackdata", "track1_data", "track1data", "track2_data", "track2data",
		"magstripe", "mag_stripe":
		return true
	}
	return false
}

// end refuses anything after the first value.
func (s *scanner) end() {
	if s.peek(); !s.stopped && s.pos < len(s.src) {
		s.stop(CodeInvalidJSON, "something follows the event")
	}
}
