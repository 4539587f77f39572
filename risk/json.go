package risk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// These methods let encoding/json read and write what AppendBody, AppendEntry and
// Append write: the same values, not necessarily the same bytes.

var null = []byte("null")

func (t Time) appendJSON(dst []byte) []byte {
	if t == 0 {
		return append(dst, null...)
	}
	return t.appendQuoted(dst)
}

// MarshalJSON gives null for an absent time.
func (t Time) MarshalJSON() ([]byte, error) { return t.appendJSON(nil), nil }

func (t *Time) UnmarshalJSON(b []byte) error {
	*t = 0
	if bytes.Equal(b, null) {
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	v, fault := parseInstant([]byte(text), true)
	if fault != "" {
		return fmt.Errorf("risk: %s", fault)
	}
	*t = v
	return nil
}

// MarshalJSON gives null for an absent number.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Set {
		return null, nil
	}
	return appendFloat(nil, n.Value), nil
}

func (n *Number) UnmarshalJSON(b []byte) error {
	*n = Number{}
	if bytes.Equal(b, null) {
		return nil
	}
	n.Set = true
	return json.Unmarshal(b, &n.Value)
}

func (s Scalar) append(dst []byte) []byte {
	switch s.Kind {
	case Decimal:
		return appendFloat(dst, s.Number)
	case Text:
		return appendString(dst, s.Text)
	case Bool:
		return appendBool(dst, s.Bool)
	}
	return append(dst, null...)
}

func (s Scalar) MarshalJSON() ([]byte, error) { return s.append(nil), nil }

func (s *Scalar) UnmarshalJSON(b []byte) error {
	*s = Scalar{}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
	case float64:
		*s = Scalar{Kind: Decimal, Number: v}
	case string:
		*s = Scalar{Kind: Text, Text: v}
	case bool:
		*s = Scalar{Kind: Bool, Bool: v}
	default:
		return fmt.Errorf("risk: %T is not a scalar", v)
	}
	return nil
}

// append writes the values there are: a missing one is left out, which keeps the
// body of an event that touches few entities small.
func (v Values) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, name := range v.Names {
		if math.IsNaN(v.Value[i]) {
			continue
		}
		dst = appendFloat(key(dst, name), v.Value[i])
	}
	return append(dst, '}')
}

func (v Values) MarshalJSON() ([]byte, error) { return v.append(nil), nil }

func (v *Values) UnmarshalJSON(b []byte) error {
	*v = Values{}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t == nil {
		return err
	} else if t != json.Delim('{') {
		return fmt.Errorf("risk: features are an object, not %v", t)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var n Number
		if err := d.Decode(&n); err != nil {
			return err
		}
		if !n.Set {
			n.Value = math.NaN()
		}
		v.Names = append(v.Names, name.(string))
		v.Value = append(v.Value, n.Value)
	}
	return nil
}
