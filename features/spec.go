package features

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/diag"
)

// fileSpec is features.yaml as written.
type fileSpec struct {
	APIVersion diag.Text             `yaml:"apiVersion,required"`
	Limits     limitsSpec            `yaml:"limits"`
	Entities   diag.Map[entitySpec]  `yaml:"entities"`
	Features   diag.Map[featureSpec] `yaml:"features"`
}

type limitsSpec struct {
	ExactEvents     diag.Text `yaml:"exact_events"`
	AllowedLateness diag.Text `yaml:"allowed_lateness"`
	LabelHorizon    diag.Text `yaml:"label_horizon"`
	Dedup           diag.Text `yaml:"dedup"`
}

type entitySpec struct {
	At   diag.Span   `yaml:"-,span"`
	Key  keySpec     `yaml:"key"`
	Keys []diag.Text `yaml:"keys"`
}

// keySpec is one part, or a list of parts that name an entity together.
type keySpec []diag.Text

func (k *keySpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		d.Decode(n, (*[]diag.Text)(k))
		return
	}
	*k = keySpec{d.Text(n)}
}

// featureSpec is a mapping with one key, an aggregate's name or expr.
type featureSpec struct {
	kind   diag.Text
	expr   diag.Text
	params paramsSpec
	bad    bool // reported already
}

type paramsSpec struct {
	By      bySpec      `yaml:"by,required"`
	Of      diag.Text   `yaml:"of"`
	Window  windowSpec  `yaml:"window"`
	Delay   diag.Text   `yaml:"delay"`
	Where   diag.Text   `yaml:"where"`
	Events  []diag.Text `yaml:"events"`
	Current diag.Text   `yaml:"current"`
}

type bySpec struct {
	at                    diag.Span
	name                  diag.Text // when written as a name
	entity, observe, read diag.Text
}

func (b *bySpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	b.at = d.Span(n)
	if n.Kind == yaml.ScalarNode {
		b.name = d.Text(n)
		return
	}
	var m struct {
		Entity  diag.Text `yaml:"entity"`
		Observe diag.Text `yaml:"observe"`
		Read    diag.Text `yaml:"read,required"`
	}
	d.Decode(n, &m)
	b.entity, b.observe, b.read = m.Entity, m.Observe, m.Read
}

type windowSpec struct{ diag.Text }

func (w *windowSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		d.Add(diag.Diagnostic{
			Code: codeLater, Message: "a window of the last events, {last: N}, is not supported yet",
			Help: "use a duration such as 24h, or life", Span: d.Span(n),
		})
		return
	}
	w.Text = d.Text(n)
}

// node keeps a value until it is known what it has to be.
type node struct{ *yaml.Node }

func (r *node) DecodeNode(_ *diag.Decoder, n *yaml.Node) { r.Node = n }

func (f *featureSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	var m diag.Map[node]
	d.Decode(n, &m)
	f.bad = true
	if n.Kind != yaml.MappingNode {
		return
	}
	if len(m) != 1 {
		d.Add(diag.Diagnostic{
			Code: codeAggregate, Message: fmt.Sprintf("a feature has one aggregate or expr, this has %d keys", len(m)),
			Help: "for example {count: {by: card, window: 10m}}", Span: d.Span(n),
		})
		return
	}
	f.kind = m[0].Key
	value := m[0].Value.Node
	switch name := f.kind.Value; {
	case name == "expr":
		f.expr = d.Text(value)
		f.bad = f.expr.Value == ""
		if f.bad && value.Kind == yaml.ScalarNode {
			d.Add(f.kind.Mistake(codeAggregate, "`expr` is empty"))
		}
	case aggregateNamed(name) != nil:
		f.bad = value.Kind != yaml.MappingNode
		d.Decode(value, &f.params)
	default:
		d.Add(unknownAggregate(f.kind))
	}
}

func unknownAggregate(kind diag.Text) diag.Diagnostic {
	for _, later := range laterAggregates {
		if kind.Value == later {
			return diag.Diagnostic{
				Code: codeLater, Message: fmt.Sprintf("aggregate `%s` is not supported yet", kind.Value),
				Help: "there are " + strings.Join(aggregateNames(), ", "), Span: kind.Span,
			}
		}
	}
	help := "there are " + strings.Join(aggregateNames(), ", ") + " and expr"
	if near, ok := diag.Nearest(kind.Value, append(aggregateNames(), "expr")); ok {
		help = fmt.Sprintf("did you mean `%s`?", near)
	}
	return diag.Diagnostic{Code: codeAggregate, Message: fmt.Sprintf("unknown aggregate `%s`", kind.Value), Help: help, Span: kind.Span}
}

func aggregateNames() []string {
	var names []string
	for i := range aggregates {
		names = append(names, aggregates[i].name)
	}
	return names
}

var durationForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(s|m|h|d)$`)

// parseDuration reads 30s, 10m, 24h, 7d.
func parseDuration(s string) (time.Duration, bool) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day}[m[2]]
	if n > int64(10*366*day/unit) { // longer than any bound, and within 64 bits
		n = int64(10 * 366 * day / unit)
	}
	return time.Duration(n) * unit, true
}

const day = 24 * time.Hour
