package mapping

import (
	"errors"
	"fmt"
	"strings"
)

// Finding is how one field of the event came about.
type Finding struct {
	Field string // "amount.value"
	From  string // its source, as written in the mapping
	Value string // as JSON; empty: there is none
	Fault string // why it could not be mapped
}

// Explanation is how a record became an event, or why it did not.
type Explanation struct {
	Case   string // which case took the record; empty where there are none
	Skip   string // why the record is left out
	Fields []Finding
	Event  []byte // canonical; nil where a fault stands in its way
	Err    error  // of the record as a whole
}

// Explain does what Translate does, goes on behind the first fault and tells
// where each value came from. Values are shown as they are: it is for whoever
// holds the record.
func (m *Mapping) Explain(r *Record) Explanation {
	var x Explanation
	s := m.runs.Get().(*run)
	defer s.release()
	if x.Err = s.open(r); x.Err != nil {
		return x
	}
	var fields []*field
	if m.root == nil {
		if m.format == CloudEvents {
			for _, key := range eventKeys {
				fields = append(fields, attributeField("event."+key))
			}
		}
	} else {
		c, err := s.choose()
		if err != nil {
			x.end(err)
			return x
		}
		x.Case, fields = c.name(), c.fields
	}
	for _, f := range fields {
		raw, from, err := s.field(nil, f)
		found := Finding{Field: f.target.name, From: from, Value: string(raw)}
		if from == "" || len(raw) == 0 && err == nil {
			found.From = f.sources()
		}
		if e, ok := errors.AsType[*Error](err); ok {
			found.From, found.Value, found.Fault = e.From, "", e.Fault
		} else if err != nil { // left out
			x.end(err)
		}
		x.Fields = append(x.Fields, found)
	}
	event, err := m.Translate(nil, r)
	if err != nil {
		x.end(err)
		return x
	}
	x.Event = event
	return x
}

// end notes why there is no event.
func (x *Explanation) end(err error) {
	if errors.Is(err, ErrSkip) {
		x.Skip, x.Err = strings.TrimPrefix(err.Error(), ErrSkip.Error()+": "), nil
		return
	}
	if x.Skip == "" {
		x.Err = err
	}
}

// name tells a case by its conditions.
func (c *oneCase) name() string {
	if len(c.when) == 0 {
		return ""
	}
	parts := make([]string, len(c.when))
	for i, w := range c.when {
		parts[i] = w.text + " is " + strings.Join(w.values, " or ")
	}
	return fmt.Sprintf("line %d: %s", c.line, strings.Join(parts, ", "))
}
