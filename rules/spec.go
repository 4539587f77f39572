package rules

import (
	"go.yaml.in/yaml/v3"

	"github.com/sluice-risk/sluice/internal/diag"
)

// The types of this file are what users write. Scalars stay diag.Text, so that
// every later check can point at the place, and NO, 1e3 and 0123 stay as they
// are written.

type rulesetSpec struct {
	APIVersion   diag.Text              `yaml:"apiVersion,required" help:"begin with apiVersion: ruleset/v1"`
	Ruleset      diag.Text              `yaml:"ruleset,required"`
	BaseCurrency diag.Text              `yaml:"base_currency,required"`
	Custom       diag.Map[diag.Text]    `yaml:"custom"`
	Scenarios    diag.Map[scenarioSpec] `yaml:"scenarios,required"`
}

type scenarioSpec struct {
	Events         []diag.Text  `yaml:"events,required"`
	Subject        diag.Text    `yaml:"subject,required"`
	Deadline       diag.Text    `yaml:"deadline"`
	Order          []diag.Text  `yaml:"order"`
	Score          *scoreSpec   `yaml:"score"`
	Timeout        *timeoutSpec `yaml:"timeout"`
	MissingFeature diag.Text    `yaml:"missing_feature"`
	Advice         adviceSpec   `yaml:"advice"`
	Holds          *holdSpec    `yaml:"holds"`
}

type scoreSpec struct {
	Scorer   diag.Text `yaml:"scorer,required"`
	Full     diag.Text `yaml:"full"`
	ReviewAt diag.Text `yaml:"review_at,required"`
	BlockAt  diag.Text `yaml:"block_at,required"`
}

type timeoutSpec struct {
	Under diag.Text `yaml:"under"`
	Then  diag.Text `yaml:"then,required"`
	Else  diag.Text `yaml:"else"`
}

type adviceSpec struct {
	Challenge diag.Text `yaml:"challenge"`
}

type holdSpec struct {
	Action       diag.Text `yaml:"action,required"`
	Expires      diag.Text `yaml:"expires,required"`
	AtExpiry     diag.Text `yaml:"at_expiry"`
	FourEyesFrom diag.Text `yaml:"four_eyes_from"`
}

type rulesSpec struct {
	APIVersion diag.Text  `yaml:"apiVersion,required" help:"begin with apiVersion: rules/v1"`
	Scenario   diag.Text  `yaml:"scenario,required"`
	Rules      []ruleSpec `yaml:"rules,required"`
}

type ruleSpec struct {
	At             diag.Span           `yaml:"-,span"`
	ID             diag.Text           `yaml:"id,required"`
	Was            []diag.Text         `yaml:"was"`
	Title          diag.Map[diag.Text] `yaml:"title"`
	Stage          diag.Text           `yaml:"stage,required"`
	When           diag.Text           `yaml:"when"`
	Unless         diag.Text           `yaml:"unless"`
	Points         diag.Text           `yaml:"points"`
	Group          diag.Text           `yaml:"group"`
	Reason         diag.Text           `yaml:"reason,required"`
	Why            diag.Text           `yaml:"why"`
	FalsePositives diag.Text           `yaml:"false_positives"`
	Owner          diag.Text           `yaml:"owner"`
	Mode           modeSpec            `yaml:"mode"`
	Params         diag.Map[paramSpec] `yaml:"params"`
	Examples       []exampleSpec       `yaml:"examples"`

	Screen later `yaml:"screen"`
	Case   later `yaml:"case"`
	Queue  later `yaml:"queue"`
	SLA    later `yaml:"sla"`

	clean bool // the file has been read without a mistake
}

type paramSpec struct {
	Value diag.Text `yaml:"value,required"`
	Min   diag.Text `yaml:"min"`
	Max   diag.Text `yaml:"max"`
}

type exampleSpec struct {
	At   diag.Span           `yaml:"-,span"`
	Hit  diag.Text           `yaml:"hit,required"`
	With diag.Map[diag.Text] `yaml:"with"`
}

type reasonsSpec struct {
	APIVersion diag.Text            `yaml:"apiVersion,required" help:"begin with apiVersion: reasons/v1"`
	Reasons    diag.Map[reasonSpec] `yaml:"reasons,required"`
}

type reasonSpec struct {
	Public   diag.Map[diag.Text] `yaml:"public,required"`
	Internal diag.Map[diag.Text] `yaml:"internal"`
}

// modeSpec is a word, or the mapping of a canary.
type modeSpec struct {
	Text   diag.Text
	Canary bool
}

func (m *modeSpec) DecodeNode(d *diag.Decoder, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		m.Canary, m.Text.Span = true, d.Span(n)
		return
	}
	m.Text = d.Text(n)
}

// later is a part of the format whose content nobody reads yet.
type later struct{ At diag.Span }

func (l *later) DecodeNode(d *diag.Decoder, n *yaml.Node) { l.At = d.Span(n) }

// written reports whether the user gave a value.
func written(t diag.Text) bool { return t.Span.Line > 0 }
