package mapping

import (
	"bytes"
	"cmp"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluice-risk/sluice/risk"
)

// field appends the JSON of a field's value, nothing for an absent one, and tells
// which source it came from.
func (s *run) field(dst []byte, f *field) (_ []byte, from string, err error) {
	v, from, err := s.source(f)
	if err != nil {
		return dst, from, err
	}
	if v.kind != 0 && !f.direct {
		if v, err = s.convert(f, from, v); err != nil {
			return dst, from, err
		}
	}
	if v.kind == 0 {
		switch {
		case f.fallback != nil:
			return s.field(dst, f.fallback)
		case f.required:
			return dst, from, s.fault(f, f.sources(), "it is not there, and must be")
		}
		return dst, from, nil
	}
	dst, err = s.typed(dst, f, from, v)
	return dst, from, err
}

// convert does what the mapping asks for, in one order for all fields: a part of
// the text, trim, case, table, and then the conversion to the field's type.
func (s *run) convert(f *field, from string, v value) (value, error) {
	text := s.unquoted(v)
	kind := v.kind
	if f.chars != nil {
		text = characters(text, f.chars[0], f.chars[1])
	}
	if f.trim {
		text = bytes.TrimSpace(text)
	}
	switch f.fold {
	case 'u':
		text = bytes.ToUpper(text)
	case 'l':
		text = bytes.ToLower(text)
	}
	if len(text) == 0 {
		return value{}, nil
	}
	if f.table != nil {
		to, ok := f.table[string(text)]
		switch {
		case ok:
		case f.otherwise == "value":
			to = f.otherValue
		case f.otherwise == "absent":
			return value{}, nil
		case f.otherwise == "skip":
			return value{}, fmt.Errorf("%w: %s is %s, which its table leaves out", ErrSkip, cmp.Or(from, f.sources()), shown(f, text))
		case f.otherwise == "error":
			return value{}, s.fault(f, from, shown(f, text)+" is not in its table")
		default: // same
			to = value{kind: kind, text: text}
		}
		text, kind = to.text, to.kind
	}
	switch {
	case f.layout != nil:
		t, fault := f.layout.parse(text, s.rec.Time)
		if fault != "" {
			return value{}, s.fault(f, from, fault)
		}
		return value{kind: '"', text: t.Append(nil)}, nil
	case f.minor:
		return s.major(f, from, text)
	case f.as == 'c':
		letters, ok := currencyOf(string(text))
		if !ok {
			return value{}, s.fault(f, from, shown(f, text)+" is not an ISO 4217 currency, in letters or digits")
		}
		return value{kind: '"', text: []byte(letters)}, nil
	case f.as == 't':
		kind = '"'
	case f.as == 'n':
		if !isNumber(text) {
			return value{}, s.fault(f, from, shown(f, text)+" where a number is expected")
		}
		kind = '0'
	case f.as == 'b':
		if string(text) != "true" && string(text) != "false" {
			return value{}, s.fault(f, from, shown(f, text)+" where true or false is expected")
		}
		kind = jsontext.Kind(text[0])
	}
	return value{kind: kind, text: text}, nil
}

// characters cuts a text from one character to another, both counted from 1.
func characters(text []byte, from, to int) []byte {
	at, n := 0, 0
	for i := range string(text) {
		if n++; n == from {
			at = i
		}
		if n == to+1 {
			return text[at:i]
		}
	}
	if n < from {
		return nil
	}
	return text[at:]
}

// major turns minor units of the amount's currency into a decimal.
func (s *run) major(f *field, from string, text []byte) (value, error) {
	minor := bytes.Clone(text) // the currency may use the same scratch
	raw, _, err := s.field(nil, f.currency)
	if err != nil {
		return value{}, err
	}
	if len(raw) == 0 {
		return value{}, s.fault(f, from, "minor units of no currency: "+f.currency.target.name+" is absent")
	}
	currency := string(s.unquoted(value{kind: '"', raw: raw}))
	exponent, ok := f.exponents[currency]
	if !ok {
		if exponent = risk.Exponent(currency); exponent < 0 {
			return value{}, s.fault(f, from, "minor units of "+shown(f, []byte(currency))+", which is not an ISO 4217 currency in capitals")
		}
	}
	out, fault := appendMajor(nil, minor, exponent)
	if fault != "" {
		return value{}, s.fault(f, from, fault)
	}
	return value{kind: '"', text: out}, nil
}

// typed appends a value as the field's type wants it.
func (s *run) typed(dst []byte, f *field, from string, v value) ([]byte, error) {
	switch f.target.kind {
	case risk.Decimal:
		if text := s.unquoted(v); v.kind == '0' || v.kind == '"' && isNumber(text) {
			return append(dst, text...), nil
		}
		return dst, s.fault(f, from, found(v.kind)+" where a number is expected")
	case risk.Bool:
		if text := s.unquoted(v); string(text) == "true" || string(text) == "false" {
			return append(dst, text...), nil
		}
		return dst, s.fault(f, from, found(v.kind)+" where true or false is expected")
	case 0: // custom: as it is
		if v.kind != '"' {
			return append(dst, v.text...), nil
		}
	}
	if v.raw != nil {
		return append(dst, v.raw...), nil
	}
	if !utf8.Valid(v.text) {
		return dst, s.fault(f, from, "a text that is not UTF-8")
	}
	return jsontext.AppendQuote(dst, v.text)
}
