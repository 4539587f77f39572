package featurelog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/sluice-risk/sluice/risk"
)

var errBody = errors.New("featurelog: not a decision body with evidence")

// Values reads the features of a decision body into r: the float64 that were
// judged by, since a body has the shortest text that names each. Bodies are
// canonical, so this looks for what it needs and reads nothing else. The row's
// partial and approximate features are those of the body too.
//
// A quote inside a text has a backslash before it, so a member's name with its
// quotes, and what surrounds it here, stands nowhere else.
func (s *Schema) Values(body []byte, r *Row) error {
	_, rest, ok := bytes.Cut(body, []byte(`,"features":{`))
	if !ok {
		return errBody
	}
	r.Values = r.Values[:0]
	for range s.Names {
		r.Values = append(r.Values, math.NaN())
	}
	for next := 0; len(rest) > 0 && rest[0] != '}'; next++ {
		var name, number []byte
		if rest[0] == ',' {
			rest = rest[1:]
		}
		if name, rest, ok = bytes.Cut(rest, []byte(`":`)); !ok || len(name) < 2 || name[0] != '"' {
			return errBody
		}
		for next < len(s.sorted) && s.Names[s.sorted[next]] != string(name[1:]) {
			next++
		}
		if next == len(s.sorted) {
			return fmt.Errorf("featurelog: feature %s is none of %.19s", name[1:], s.Digest)
		}
		end := bytes.IndexAny(rest, ",}")
		if end < 0 {
			return errBody
		}
		number, rest = rest[:end], rest[end:]
		v, err := strconv.ParseFloat(unsafe.String(&number[0], len(number)), 64)
		if err != nil {
			return fmt.Errorf("featurelog: feature %s: %w", name[1:], err)
		}
		r.Values[s.sorted[next]] = v
	}
	_, rest, ok = bytes.Cut(rest, []byte(`,"partial_since":`))
	partial, _, closed := bytes.Cut(rest, []byte(`,"advice":`))
	if !ok || !closed {
		return errBody
	}
	partial, _, _ = bytes.Cut(partial, []byte(`,"awaiting_backfill":`))
	partial, approximate, _ := bytes.Cut(partial, []byte(`,"approximate":`))
	var groups []risk.Partial
	var names []string
	if string(partial) != "[]" {
		if err := json.Unmarshal(partial, &groups); err != nil {
			return fmt.Errorf("%w: %w", errBody, err)
		}
	}
	if len(approximate) > 0 {
		if err := json.Unmarshal(approximate, &names); err != nil {
			return fmt.Errorf("%w: %w", errBody, err)
		}
	}
	r.Partial, r.Approximate = PartialNames(groups), strings.Join(names, " ")
	return nil
}

// VersionsOf reads which engine, ruleset and features a decision was made by.
func VersionsOf(body []byte) (v Versions, err error) {
	_, rest, ok := bytes.Cut(body, []byte(`,"versions":{`))
	if !ok {
		return v, errBody
	}
	for _, member := range []struct {
		name string
		to   *string
	}{{`"engine":"`, &v.Engine}, {`"ruleset":"`, &v.Ruleset}, {`"features":"`, &v.Features}} {
		_, after, ok := bytes.Cut(rest, []byte(member.name))
		value, after, closed := bytes.Cut(after, []byte(`"`))
		if !ok || !closed {
			return v, errBody
		}
		*member.to, rest = string(value), after
	}
	return v, nil
}

// PartialNames is the column `partial`: names with a blank between.
func PartialNames(groups []risk.Partial) string {
	if len(groups) == 0 {
		return ""
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.Features...)
	}
	return strings.Join(names, " ")
}
