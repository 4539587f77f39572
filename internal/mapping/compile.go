package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// Format is how a record carries its data.
type Format string

const (
	JSON        Format = "json"
	CloudEvents Format = "cloudevents" // 1.0, structured or binary
)

// Bounds of one mapping.
const (
	maxCases  = 256
	maxFields = 256 // of one case
)

// Compile makes a mapping from the text of a file. The error is a diag.List with
// every mistake in it.
func Compile(file string, text []byte, format Format) (*Mapping, error) {
	var s spec
	list := diag.Decode(file, text, &s)
	if s.APIVersion.Value != apiVersion && (len(list) == 0 || s.APIVersion.Value != "") {
		d := s.APIVersion.Mistake(badValue, "not a mapping that is known: apiVersion must be `%s`", apiVersion)
		if d.Span.File == "" {
			d.Span = s.Span
		}
		list.Add(d)
	}
	return compile(&s, list, format)
}

// CompileNode makes a mapping from a node of a YAML file, whose text is given
// with it: what stands inline under `map:` of a source.
func CompileNode(file string, text []byte, n *yaml.Node, format Format) (*Mapping, error) {
	var s spec
	list := diag.DecodeNode(file, text, n, &s)
	return compile(&s, list, format)
}

// Plain is the mapping of records whose data are canonical events already.
func Plain(format Format) *Mapping { return newMapping(format) }

func compile(s *spec, list diag.List, format Format) (*Mapping, error) {
	c := &compiler{m: newMapping(format), list: list}
	c.m.root = newNode()
	c.spec(s)
	c.list.Sort()
	if err := c.list.Err(); err != nil {
		return nil, err
	}
	return c.m, nil
}

type compiler struct {
	m    *Mapping
	list diag.List
	root []step
}

func (c *compiler) add(d diag.Diagnostic) { c.list.Add(d) }

func (c *compiler) fault(at diag.Span, code, help, format string, args ...any) {
	c.add(diag.Diagnostic{Code: code, Message: fmt.Sprintf(format, args...), Help: help, Span: at})
}

func (c *compiler) spec(s *spec) {
	if s.Root.Value != "" {
		if !strings.HasPrefix(s.Root.Value, "$") {
			c.add(s.Root.Mistake(badPath, "root is a path from the whole record: it begins with `$`"))
		} else if steps, bad := parsePath(s.Root, nil); bad != nil {
			c.add(*bad)
		} else {
			c.root = steps
		}
	}
	if len(s.Fields) == 0 && len(s.Cases) == 0 {
		if c.list.Err() == nil {
			c.fault(s.Span, incomplete, "write `fields:`, or the name of a ready-made mapping: "+strings.Join(ReadyNames(), ", "), "the mapping fills no field")
		}
		return
	}
	if len(s.Cases) > maxCases {
		c.fault(s.Span, badValue, "", "%d cases, at most %d are taken", len(s.Cases), maxCases)
		return
	}
	shared := c.fields(s.Fields, nil)
	if len(s.Cases) == 0 {
		c.m.cases = []oneCase{c.complete(shared, s.Span)}
		if s.Otherwise.Value != "" {
			c.add(s.Otherwise.Mistake(badCombination, "`otherwise` is for records that no case takes, and there are no cases"))
		}
	}
	for _, cs := range s.Cases {
		c.oneCase(cs, shared)
	}
	switch s.Otherwise.Value {
	case "skip":
		c.m.skipOthers = true
	case "error":
	case "":
		if len(s.Cases) > 0 {
			c.fault(s.Span, incomplete, "`otherwise: skip` counts such records, `otherwise: error` makes dead letters of them", "what becomes of records that no case takes is not said")
		}
	default:
		c.add(s.Otherwise.Mistake(badValue, "`otherwise` is `skip` or `error`, not `%s`", s.Otherwise.Value))
	}
	if c.m.root.torn() {
		c.fault(s.Span, badCombination, "read the list with [only] everywhere, or nowhere", "one list is read with [only] in one path and without in another")
	}
}

func (c *compiler) oneCase(cs caseSpec, shared []*field) {
	var out oneCase
	for _, w := range cs.When {
		r := c.ref(w.Key)
		cond := condition{ref: r}
		for _, v := range w.Value {
			cond.values = append(cond.values, v.Value)
		}
		if len(w.Value) == 0 {
			c.add(w.Key.Mistake(badValue, "no value is named"))
		}
		out.when = append(out.when, cond)
	}
	switch {
	case cs.Skip.Value != "" && len(cs.Fields) > 0:
		c.add(cs.Skip.Mistake(badCombination, "a case that is skipped fills no fields"))
	case cs.Skip.Value != "":
		out.skip = cs.Skip.Value
	default:
		when := out.when
		out = c.complete(c.fields(cs.Fields, shared), cs.Span)
		out.when = when
	}
	out.line = cs.Span.Line
	c.m.cases = append(c.m.cases, out)
}

// fields compiles those of a case after those that it shares.
func (c *compiler) fields(specs diag.Map[fieldSpec], shared []*field) []*field {
	out := slices.Clone(shared)
	if len(specs)+len(shared) > maxFields {
		c.add(specs[0].Key.Mistake(badValue, "%d fields, at most %d are taken", len(specs)+len(shared), maxFields))
		return out
	}
	for _, e := range specs {
		t, bad := targetOf(e.Key)
		if bad != nil {
			c.add(*bad)
			t = target{name: e.Key.Value, kind: risk.Text} // its source is looked at all the same
		}
		if i := slices.IndexFunc(out, func(f *field) bool { return f.target.name == e.Key.Value }); i >= 0 {
			d := e.Key.Mistake(twoSources, "`%s` is filled twice", e.Key.Value)
			d.Help = fmt.Sprintf("it also stands on line %d; several paths of which the first holds are written {first: [$.a, $.b]}", out[i].at.Line)
			c.add(d)
			continue
		}
		f := c.field(t, e.Value)
		f.at = e.Key.Span
		if bad == nil {
			out = append(out, f)
		}
	}
	return out
}

// complete orders the fields of a case and checks that they make an event.
func (c *compiler) complete(fields []*field, at diag.Span) oneCase {
	has := func(name string) *field {
		for _, f := range fields {
			if f.target.name == name {
				return f
			}
		}
		return nil
	}
	for _, name := range []string{"event.id", "event.type", "event.time"} {
		f := has(name)
		switch {
		case c.m.format == CloudEvents:
			attribute := attributeField(name)
			if f == nil {
				fields = append(fields, attribute)
			} else {
				with := *f // shared by cases of which each gets its own
				with.fallback = attribute
				fields[slices.Index(fields, f)] = &with
			}
		case f == nil:
			c.fault(at, incomplete, "", "`%s` is missing: every event has one", name)
		default:
			with := *f
			with.required = true
			fields[slices.Index(fields, f)] = &with
		}
	}
	for _, pair := range [][2]string{{"amount.value", "amount.currency"}, {"settlement.amount", "settlement.currency"}} {
		value, currency := has(pair[0]), has(pair[1])
		if value != nil && currency == nil {
			c.fault(value.at, incomplete, "", "`%s` is filled and `%s` is not", pair[0], pair[1])
		}
		if value == nil && currency != nil {
			c.fault(currency.at, incomplete, "", "`%s` is filled and `%s` is not", pair[1], pair[0])
		}
		if value != nil && value.minor {
			with := *value
			with.currency = currency
			fields[slices.Index(fields, value)] = &with
		}
	}
	if number := has("card.number"); number != nil && has("card.token") != nil {
		c.fault(number.at, badCombination, "", "`card.number` and `card.token` cannot both be filled")
	}
	slices.SortStableFunc(fields, func(a, b *field) int { return a.target.order - b.target.order })
	return oneCase{fields: fields}
}

var words = []string{"skip", "error", "absent", "same"}

func (c *compiler) field(t target, s fieldSpec) *field {
	f := &field{target: t, required: s.Required}
	sources := 0
	for _, given := range []bool{s.From != nil, s.First != nil, s.Join != nil, s.Value != nil} {
		if given {
			sources++
		}
	}
	switch {
	case sources == 0:
		c.fault(s.Span, incomplete, "a path such as $.id, or one of from, first, join, value", "`%s` has no source", t.name)
		return f
	case sources > 1:
		c.fault(s.Span, badCombination, "", "`%s` has %d of from, first, join and value: one is wanted", t.name, sources)
		return f
	case s.Value != nil:
		f.refs = []ref{c.constant(s.Value)}
		if s.With != nil || s.Chars != nil || s.Trim != nil || s.Case != nil || s.Table != nil || s.Else != nil || s.Minor != nil || s.As != nil || s.Time != nil {
			c.fault(s.Value.Span, badCombination, "write the constant as it is meant", "a constant is not converted")
			return f
		}
		c.check(f, s.Value, t)
		return f
	case s.From != nil:
		f.refs = []ref{c.ref(*s.From)}
	default:
		items := s.First
		if f.join = s.Join != nil; f.join {
			items = s.Join
		}
		if len(items) == 0 {
			c.fault(s.Span, incomplete, "", "`%s` has an empty list of sources", t.name)
		}
		for _, item := range items {
			if item.Value != nil {
				f.refs = append(f.refs, c.constant(item.Value))
			} else {
				f.refs = append(f.refs, c.ref(item.From))
			}
		}
	}
	c.text(f, &s)
	c.conversion(f, &s, t)
	c.table(f, &s)
	f.direct = !f.join && f.chars == nil && !f.trim && f.fold == 0 && f.table == nil && f.layout == nil && !f.minor && f.as == 0
	return f
}

// text compiles what is done to a text first.
func (c *compiler) text(f *field, s *fieldSpec) {
	if s.With != nil {
		if f.with = s.With.Value; !f.join {
			c.add(s.With.Mistake(badCombination, "`with` stands between the parts of `join`"))
		}
	}
	if s.Chars != nil {
		from, to, ok := strings.Cut(s.Chars.Value, "-")
		if !ok {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 16)
		b, errB := strconv.ParseUint(to, 10, 16)
		if errA != nil || errB != nil || a < 1 || b < a {
			c.add(s.Chars.Mistake(badValue, "`chars` are counted from 1, as in 39-40, not `%s`", s.Chars.Value))
		}
		f.chars = []int{int(a), int(b)}
	}
	if s.Trim != nil {
		if f.trim = s.Trim.Value == "true"; !f.trim {
			c.add(s.Trim.Mistake(badValue, "`trim` is `true` or left out"))
		}
	}
	if s.Case != nil {
		switch s.Case.Value {
		case "upper", "lower":
			f.fold = s.Case.Value[0]
		default:
			c.add(s.Case.Mistake(badValue, "`case` is `upper` or `lower`, not `%s`", s.Case.Value))
		}
	}
}

func (c *compiler) table(f *field, s *fieldSpec) {
	if s.Table == nil {
		if s.Else != nil {
			c.fault(s.Span, badCombination, "", "`else` is for values that a table lacks, and there is no table")
		}
		return
	}
	f.table = make(map[string]value, len(s.Table))
	for _, e := range s.Table {
		f.table[e.Key.Value] = e.Value.asValue()
		c.check(f, &e.Value, f.target)
	}
	switch {
	case s.Else == nil:
		c.fault(s.Table[0].Key.Span, incomplete, "`else: error`, `skip` (the record), `absent` (the field), `same` (the value as it is) or {value: X}",
			"what becomes of values that the table of `%s` lacks is not said", f.target.name)
	case s.Else.to != nil:
		f.otherwise, f.otherValue = "value", s.Else.to.asValue()
		c.check(f, s.Else.to, f.target)
	default:
		f.otherwise = s.Else.word.Value
		if !slices.Contains(words, f.otherwise) {
			d := s.Else.word.Mistake(badValue, "`else` is skip, error, absent, same or {value: X}, not `%s`", f.otherwise)
			if near, ok := diag.Nearest(f.otherwise, words); ok {
				d.Help = fmt.Sprintf("did you mean `%s`?", near)
			}
			c.add(d)
		}
	}
}

// conversion compiles the one conversion that makes a field's type.
func (c *compiler) conversion(f *field, s *fieldSpec, t target) {
	var parts []string
	for _, p := range []struct {
		name  string
		given bool
	}{{"time", s.Time != nil}, {"minor", s.Minor != nil}, {"as", s.As != nil}} {
		if p.given {
			parts = append(parts, p.name)
		}
	}
	if len(parts) > 1 {
		c.fault(s.Span, badCombination, "", "`%s` and `%s` do not go together", parts[0], parts[1])
		return
	}
	var zone diag.Text
	if s.Zone != nil {
		zone = *s.Zone
		if s.Time == nil && t.kind != risk.Instant {
			c.add(zone.Mistake(badCombination, "`zone` goes with `time`"))
			return
		}
	}
	switch {
	case s.Time != nil && t.kind != risk.Instant && t.group != customGroup:
		c.add(s.Time.Mistake(badCombination, "`%s` is no time", t.name))
	case s.Time != nil || t.kind == risk.Instant:
		name := diag.Text{Value: "rfc3339"}
		if s.Time != nil {
			name = *s.Time
		}
		l, bad := parseLayout(name, zone)
		if bad != nil {
			c.add(*bad)
		}
		f.layout = l
	case s.Minor != nil:
		if t.name != "amount.value" && t.name != "settlement.amount" {
			c.fault(s.Minor.Span, badCombination, "", "`minor` is for amount.value and settlement.amount, not for `%s`", t.name)
			return
		}
		f.minor = true
		for _, e := range s.Minor.exceptions {
			if risk.Exponent(e.Key.Value) < 0 {
				c.add(e.Key.Mistake(badValue, "`%s` is not an ISO 4217 currency", e.Key.Value))
			}
			if e.Value < 0 || e.Value > 6 {
				c.add(e.Key.Mistake(badValue, "a currency has 0 to 6 decimals, not %d", e.Value))
			}
			if f.exponents == nil {
				f.exponents = map[string]int{}
			}
			f.exponents[e.Key.Value] = e.Value
		}
	case s.As != nil:
		switch as := s.As.Value; {
		case as == "currency" && (t.kind == risk.Text || t.group == customGroup):
			f.as = 'c'
		case slices.Contains([]string{"text", "number", "bool"}, as) && t.group == customGroup:
			f.as = as[0]
		case slices.Contains([]string{"text", "number", "bool"}, as):
			c.add(s.As.Mistake(badCombination, "only custom fields have a type to choose: `%s` has its own", t.name))
		default:
			c.add(s.As.Mistake(badValue, "`as` is currency, or for custom fields text, number or bool; not `%s`", as))
		}
	}
}

// check tests a constant against the field that it is meant for.
func (c *compiler) check(f *field, k *constant, t target) {
	ok := true
	want := ""
	switch t.kind {
	case risk.Decimal:
		ok, want = k.json == '0', "a number"
	case risk.Bool:
		ok, want = k.json == 't', "true or false"
	case risk.Country:
		ok, want = risk.CountryCode(k.Value) != "", "an ISO 3166-1 alpha-2 country code in capitals"
	case risk.Instant:
		_, fault := rfc3339.parse([]byte(k.Value), noTime)
		ok, want = fault == "", "an RFC 3339 time"
	}
	if t.name == "amount.currency" || t.name == "settlement.currency" {
		ok, want = risk.Exponent(k.Value) >= 0, "an ISO 4217 currency in capitals"
	}
	if k.Value == "" {
		ok, want = false, "a value: leave the field out where there is none"
	}
	if f.layout != nil { // a constant in a table is read as what it stands for
		if f.layout.noYear {
			return
		}
		_, fault := f.layout.parse([]byte(k.Value), noTime)
		ok, want = fault == "", "a time as "+f.layout.name+" writes it"
	}
	if !ok && f.as == 0 {
		c.add(k.Mistake(badValue, "`%s` takes %s, not `%s`", t.name, want, k.Value))
	}
}

func (c *compiler) constant(k *constant) ref {
	return ref{kind: fromConstant, text: "a constant", value: k.asValue()}
}

func (k *constant) asValue() value {
	v := value{kind: jsontext.Kind(k.json), text: []byte(k.Value)}
	if k.json == 't' {
		v.kind = jsontext.Kind(k.Value[0])
	}
	return v
}

// ref compiles a source as it stands in the file.
func (c *compiler) ref(t diag.Text) ref {
	word, name, two := strings.Cut(t.Value, " ")
	r := ref{text: t.Value, name: name}
	switch {
	case strings.HasPrefix(t.Value, "$") || strings.HasPrefix(t.Value, "."):
		steps, bad := parsePath(t, c.root)
		if bad != nil {
			c.add(*bad)
			return r
		}
		at := c.m.root
		for _, s := range steps {
			at = at.child(s)
			if len(at.matches) > 64 {
				c.add(t.Mistake(badValue, "more than 64 elements of one list are selected"))
			}
		}
		if at.slot < 0 {
			at.slot = c.m.slots
			c.m.slots++
		}
		r.kind, r.slot = fromPath, at.slot
	case word == "header" && name != "":
		r.kind = fromHeader
	case word == "attribute" && name != "":
		r.kind = fromAttribute
		if c.m.format != CloudEvents {
			c.add(t.Mistake(badCombination, "`%s`: only sources of format cloudevents have attributes", t.Value))
		} else if name != strings.ToLower(name) || name == "data" {
			c.add(t.Mistake(badPath, "attributes of CloudEvents are written in small letters"))
		}
	case word == "record" && name == "key":
		r.kind = fromKey
	case word == "record" && name == "timestamp":
		r.kind = fromTimestamp
	default:
		d := t.Mistake(badPath, "`%s` is not a source", t.Value)
		d.Help = "a path begins with `$`; besides there are `header NAME`, `attribute NAME`, `record key`, `record timestamp`; a constant is written {value: X}"
		if word == "record" && two {
			d.Help = "of a record there are `record key` and `record timestamp`"
		}
		c.add(d)
	}
	return r
}
