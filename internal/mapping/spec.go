package mapping

import (
	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/diag"
)

// Codes are the kinds of mistakes of a mapping.
var Codes = []diag.Code{
	{ID: unknownTarget, Explain: "A mapping fills a field that events do not have; values of your own go to custom.NAME."},
	{ID: badPath, Explain: "A source is neither a path ($.a.b, .b below root), nor `header NAME`, `attribute NAME`, `record key` or `record timestamp`."},
	{ID: badLayout, Explain: "A time layout or time zone that is not known, or that cannot be read to an instant."},
	{ID: badCombination, Explain: "Two parts of a mapping that do not go together."},
	{ID: twoSources, Explain: "A field is filled twice in the same case: which one holds cannot be told."},
	{ID: incomplete, Explain: "A mapping lacks what every event has: event.id, event.type and event.time; an amount needs both value and currency."},
	{ID: badValue, Explain: "A value that the key, or the field it is meant for, does not take."},
}

const (
	unknownTarget  = "E060"
	badPath        = "E061"
	badLayout      = "E062"
	badCombination = "E063"
	twoSources     = "E064"
	incomplete     = "E065"
	badValue       = "E066"
)

const apiVersion = "mapping/v1"

// spec is a mapping as it is written.
type spec struct {
	APIVersion diag.Text           `yaml:"apiVersion"`
	Name       string              `yaml:"mapping"`
	About      string              `yaml:"about"`
	Root       diag.Text           `yaml:"root"`
	Fields     diag.Map[fieldSpec] `yaml:"fields"`
	Cases      []caseSpec          `yaml:"cases"`
	Otherwise  diag.Text           `yaml:"otherwise"`
	Span       diag.Span           `yaml:"-,span"`
}

// caseSpec is what holds for records that meet all conditions.
type caseSpec struct {
	When   diag.Map[constants] `yaml:"when,required"`
	Skip   diag.Text           `yaml:"skip"`
	Fields diag.Map[fieldSpec] `yaml:"fields"`
	Span   diag.Span           `yaml:"-,span"`
}

// constants is one value or a list of them.
type constants []diag.Text

func (c *constants) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	*c = nil
	if n.Kind != yaml.SequenceNode {
		*c = constants{d.Text(n)}
		return
	}
	for _, item := range n.Content {
		*c = append(*c, d.Text(item))
	}
}

// fieldSpec is where one field comes from: a source as it is, or a mapping with
// conversions.
type fieldSpec struct {
	From     *diag.Text         `yaml:"from"`
	First    []itemSpec         `yaml:"first"`
	Join     []itemSpec         `yaml:"join"`
	Value    *constant          `yaml:"value"`
	With     *diag.Text         `yaml:"with"`
	Chars    *diag.Text         `yaml:"chars"`
	Trim     *diag.Text         `yaml:"trim"`
	Case     *diag.Text         `yaml:"case"`
	Table    diag.Map[constant] `yaml:"table"`
	Else     *outcome           `yaml:"else"`
	Time     *diag.Text         `yaml:"time"`
	Zone     *diag.Text         `yaml:"zone"`
	Minor    *minorSpec         `yaml:"minor"`
	As       *diag.Text         `yaml:"as"`
	Required bool               `yaml:"required"`
	Span     diag.Span          `yaml:"-,span"`
}

func (f *fieldSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		t := d.Text(n)
		*f = fieldSpec{From: &t, Span: t.Span}
		return
	}
	type plain fieldSpec
	d.Decode(n, (*plain)(f))
}

// itemSpec is one of several sources of a field.
type itemSpec struct {
	From  diag.Text
	Value *constant
}

func (i *itemSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		i.From = d.Text(n)
		return
	}
	var only struct {
		Value *constant `yaml:"value,required"`
	}
	d.Decode(n, &only)
	i.Value = only.Value
}

// constant is a value as it is written, which may be true, 5 or a text.
type constant struct {
	diag.Text
	json byte // kind in JSON: '"', '0' or 't'
}

func (c *constant) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	c.Text, c.json = d.Text(n), '"'
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		return
	}
	switch n.ShortTag() {
	case "!!bool":
		if n.Value == "true" || n.Value == "false" {
			c.json = 't'
		}
	case "!!int", "!!float":
		if isNumber(n.Value) {
			c.json = '0'
		}
	}
}

// outcome is what becomes of a value that a table lacks: one of the words skip,
// error, absent and same, or a constant.
type outcome struct {
	word diag.Text
	to   *constant
}

func (o *outcome) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		o.word = d.Text(n)
		return
	}
	var value struct {
		Value *constant `yaml:"value,required"`
	}
	d.Decode(n, &value)
	if o.to = value.Value; o.to == nil {
		o.to = &constant{json: '"'}
	}
}

// minorSpec is `true`, or the currencies whose decimals are not those of ISO 4217.
type minorSpec struct {
	Span       diag.Span
	exceptions diag.Map[int]
}

func (m *minorSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	m.Span = d.Span(n)
	if n.Kind == yaml.MappingNode {
		d.Decode(n, &m.exceptions)
		return
	}
	var on bool
	if d.Decode(n, &on); !on {
		d.Errorf(n, badValue, "leave `minor` out where the amount is in major units")
	}
}

// isNumber reports whether a text is a number as JSON writes it.
func isNumber[T string | []byte](s T) bool {
	i, n := 0, len(s)
	digits := func() bool {
		from := i
		for i < n && isDigit(s[i]) {
			i++
		}
		return i > from
	}
	if i < n && s[i] == '-' {
		i++
	}
	if i < n && s[i] == '0' {
		i++
	} else if !digits() {
		return false
	}
	if i < n && s[i] == '.' {
		if i++; !digits() {
			return false
		}
	}
	if i < n && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < n && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == n && n > 0
}
