package risk

import (
	"fmt"
	"strings"
)

// Codes of problems and warnings. They are part of the interface.
const (
	CodeInvalidJSON  = "invalid_json"
	CodeInvalidUTF8  = "invalid_utf8"
	CodeTooLarge     = "too_large"
	CodeTooDeep      = "too_deep"
	CodeDuplicateKey = "duplicate_key"
	CodeWrongCase    = "wrong_case"
	CodeRequired     = "required"
	CodeInputInvalid = "input_invalid"
	CodeUnknownField = "unknown_field"
	CodeOverflow     = "number_overflow"
	CodeSensitive    = "sensitive_authentication_data"
	CodeCardNumber   = "card_number_refused"
	CodeCardTwice    = "card_token_and_number"
	CodeMasked       = "card_number_masked"
	CodeTokenised    = "card_number_tokenised"
	CodeStripped     = "invisible_characters_removed"
	CodeTooMany      = "too_many"
	CodeMoreWarnings = "more_warnings"
	CodeMoreProblems = "more_problems"
)

// Problem is one reason why an event is refused. It never repeats the value.
type Problem struct {
	Pointer string `json:"pointer"` // RFC 6901
	Code    string `json:"code"`
	Detail  string `json:"detail"`
	Hint    string `json:"hint,omitempty"`
}

// DecodeError tells every problem that could be found in an event.
type DecodeError struct {
	Problems []Problem
	Offset   int // in bytes, of the problem that stopped the reading; else -1
}

func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("risk: event refused")
	for i, p := range e.Problems {
		if i == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e.Problems)-i)
			break
		}
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s %s: %s", sep, p.Pointer, p.Code, p.Detail)
		if p.Hint != "" {
			fmt.Fprintf(&b, " (%s)", p.Hint)
		}
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d", e.Offset)
	}
	return b.String()
}
