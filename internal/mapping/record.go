package mapping

import (
	"errors"
	"strings"
	"time"
)

// MaxRecord bounds the value of a record, in bytes: the largest that a broker
// takes by default.
const MaxRecord = 1 << 20

// ErrSkip says that a record is none of ours, such as a webhook of a type that
// the mapping leaves out. It comes wrapped with why.
var ErrSkip = errors.New("mapping: not an event of ours")

// Record is what a topic holds. Nothing of it is kept.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Time       time.Time // of the record, as the broker has it
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// header finds the last header of a name, as Kafka's own clients do.
func (r *Record) header(name string) (value []byte, ok bool) {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == name {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// contentType is the media type of the value, without parameters.
func (r *Record) contentType() string {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if strings.EqualFold(r.Headers[i].Key, "content-type") {
			media, _, _ := strings.Cut(string(r.Headers[i].Value), ";")
			return strings.ToLower(strings.TrimSpace(media))
		}
	}
	return ""
}

// Error is why a record could not be mapped.
type Error struct {
	Target string // the field: "amount.value"; empty: the record as a whole
	From   string // what it was read from, as written in the mapping
	Fault  string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("mapping: ")
	if e.Target != "" {
		b.WriteString(e.Target)
		if e.From != "" {
			b.WriteString(" from " + e.From)
		}
		b.WriteString(": ")
	}
	return b.String() + e.Fault
}
