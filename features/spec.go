package features

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/diag"
)

// fileSpec is features.yaml as written.
type fileSpec struct {
	APIVersion diag.Text             `yaml:"apiVersion,required" help:"begin with apiVersion: features/v1"`
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
	entityKeys
	bad bool // reported already
}

type entityKeys struct {
	Key  keySpec   `yaml:"key"`
	Keys []keySpec `yaml:"keys"`
}

func (e *entitySpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	e.bad = !d.Try(n, &e.entityKeys)
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

// keyName is a key as `by` names it: its one part, or its parts joined.
type keyName diag.Text

func (k *keyName) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		*k = keyName(d.Text(n))
		return
	}
	var parts []diag.Text
	d.Decode(n, &parts)
	*k = keyName{Value: joined(parts), Span: d.Span(n)}
}

func joined(parts []diag.Text) string {
	var names []string
	for _, t := range parts {
		names = append(names, t.Value)
	}
	return strings.Join(names, ", ")
}

// featureSpec is a mapping with one key, an aggregate's name or expr.
type featureSpec struct {
	kind   diag.Text
	expr   diag.Text
	params paramsSpec
	sound  bool // else its mistake is reported already
}

type paramsSpec struct {
	By       bySpec      `yaml:"by,required" help:"name an entity: by: card"`
	Of       diag.Text   `yaml:"of"`
	Window   windowSpec  `yaml:"window"`
	Delay    diag.Text   `yaml:"delay"`
	Where    diag.Text   `yaml:"where"`
	Events   []diag.Text `yaml:"events"`
	Current  diag.Text   `yaml:"current"`
	MinCount diag.Text   `yaml:"min_count"`

	// Of some aggregates only.
	Q      diag.Text `yaml:"q"`
	Within diag.Text `yaml:"within"`
	While  diag.Text `yaml:"while"`
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
	if n.Kind == yaml.SequenceNode {
		d.Add(diag.Diagnostic{
			Code: codeBy, Message: "`by` names one entity, not a list", Span: b.at,
			Help: "what several fields name together is an entity with key: [customer.id, device.id]",
		})
		return
	}
	var m struct {
		Entity  diag.Text `yaml:"entity"`
		Observe keyName   `yaml:"observe"`
		Read    keyName   `yaml:"read,required" help:"say whose value is read: {observe: receiver.account, read: sender.account}"`
	}
	d.Decode(n, &m)
	b.entity, b.observe, b.read = m.Entity, diag.Text(m.Observe), diag.Text(m.Read)
}

// windowSpec is a duration or life, or {last: N}.
type windowSpec struct {
	diag.Text
	last diag.Text
}

func (w *windowSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		w.Text = d.Text(n)
		return
	}
	var m struct {
		Last diag.Text `yaml:"last,required"`
	}
	d.Decode(n, &m)
	w.last = m.Last
}

// node keeps a value until it is known what it has to be.
type node struct{ *yaml.Node }

func (r *node) DecodeNode(_ *diag.Decoder, n *yaml.Node) { r.Node = n }

func (f *featureSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	const example = "for example {count: {by: card, window: 10m}}"
	if n.Kind != yaml.MappingNode {
		d.Add(diag.Diagnostic{Code: codeAggregate, Message: "a feature is written {aggregate: {by: …}}", Help: example, Span: d.Span(n)})
		return
	}
	var m diag.Map[node]
	d.Decode(n, &m)
	for i, e := range m {
		if i > 0 && diag.Cut(e.Key.Value) {
			d.Add(diag.Diagnostic{
				Code: codeAggregate, Message: "a comma has ended the value before", Help: "put the whole value in quotes",
				Span: e.Key.Span,
			})
			return
		}
	}
	if len(m) != 1 {
		d.Add(diag.Diagnostic{
			Code: codeAggregate, Message: fmt.Sprintf("a feature has one aggregate or expr, this has %d keys", len(m)),
			Help: example, Span: d.Span(n),
		})
		return
	}
	f.kind = m[0].Key
	value := m[0].Value.Node
	switch name := f.kind.Value; {
	case name == "expr":
		f.expr = d.Text(value)
		f.sound = f.expr.Value != ""
		if !f.sound && value.Kind == yaml.ScalarNode {
			d.Add(f.kind.Mistake(codeAggregate, "`expr` is empty"))
		}
	case aggregateNamed(name) != nil:
		if f.sound = value.Kind == yaml.MappingNode; !f.sound {
			d.Add(diag.Diagnostic{Code: codeAggregate, Message: fmt.Sprintf("`%s` has keys of its own", name), Help: example, Span: d.Span(value)})
			return
		}
		d.Decode(value, &f.params)
	default:
		d.Add(unknownAggregate(f.kind))
	}
}

func unknownAggregate(kind diag.Text) diag.Diagnostic {
	help := "there are " + strings.Join(aggregateNames(), ", ") + " and expr"
	if same, ok := otherWords[kind.Value]; ok {
		help = fmt.Sprintf("write `%s`", same)
	}
	if near, ok := diag.Nearest(kind.Value, append(aggregateNames(), "expr")); ok {
		help = fmt.Sprintf("did you mean `%s`?", near)
	}
	return diag.Diagnostic{Code: codeAggregate, Message: fmt.Sprintf("unknown aggregate `%s`", kind.Value), Help: help, Span: kind.Span}
}

// otherWords are what aggregates are called elsewhere.
var otherWords = map[string]string{
	"average": "avg", "mean": "avg", "total": "sum", "unique": "distinct", "count_distinct": "distinct", "nunique": "distinct",
	"minimum": "min", "maximum": "max", "latest": "last", "earliest": "first", "std": "stddev", "sd": "stddev", "percentile": "quantile", "median": "quantile` with `q: 0.5", "mode": "share",
	"velocity": "count", "streak": "run", "levenshtein": "text_distance", "formula": "expr", "expression": "expr",
}

func aggregateNames() []string {
	var names []string
	for i := range aggregates {
		names = append(names, aggregates[i].name)
	}
	return names
}
