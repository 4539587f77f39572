package rules

import (
	"slices"
	"time"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/internal/lists"
	"github.com/sluice-risk/sluice/risk"
)

// Ruleset is a compiled directory of rule files.
type Ruleset struct {
	Name         string
	BaseCurrency string
	Features     *features.Set
	Lists        []*lists.List // by name

	scenarios []*Scenario // in file order
	byEvent   map[string]*Scenario
	infos     []RuleInfo
	reasons   map[string]map[string]string
	versions  risk.Versions
	warnings  diag.List
	used      map[string]diag.Span
}

// Used gives the names that rules and features read, each with a place where it is
// read.
func (r *Ruleset) Used() map[string]diag.Span { return r.used }

// Warnings are what is probably not meant, though it can be run.
func (r *Ruleset) Warnings() diag.List { return r.warnings }

// Versions names by content hash the parts of a decision that come from the
// ruleset. Ruleset covers ruleset.yaml, reasons.yaml and rules/*.yaml, Lists all
// lists with their CSV files.
func (r *Ruleset) Versions() risk.Versions { return r.versions }

// Scenario is what judges events of this type, nil if they are only observed.
func (r *Ruleset) Scenario(eventType string) *Scenario { return r.byEvent[eventType] }

// Scenarios gives all of them in the order of ruleset.yaml.
func (r *Ruleset) Scenarios() []*Scenario { return slices.Clone(r.scenarios) }

// Rules describes every rule, those that are off too: by file name, then by
// place in the file.
func (r *Ruleset) Rules() []RuleInfo { return slices.Clone(r.infos) }

// Reasons gives the public texts of reason codes, by code and language. They are
// for reading only.
func (r *Ruleset) Reasons() map[string]map[string]string { return r.reasons }

// RuleInfo is what a rule says about itself.
type RuleInfo struct {
	ID       string
	Was      []string // former ids
	Scenario string
	Stage    string // sanctions, block, allow, review, points
	Mode     string // live, shadow, off
	File     string
	Line     int
	Title    map[string]string // by language
	Reason   string
	Owner    string
	Why      string
	Points   float64
	Group    string
	Examples int
}

// ScoreSpec is a scenario's score and its bands. An empty Scorer is no score.
type ScoreSpec struct {
	Scorer   string  // points
	Full     float64 // points that give 1
	ReviewAt float64 // 0..1: from here on review
	BlockAt  float64 // and from here on block
}

// Scenario is the policy for some types of events.
type Scenario struct {
	Name     string
	Events   []string
	Subject  string        // the field that keys decisions and cases
	Deadline time.Duration // for a caller that names none
	Score    ScoreSpec
	Holds    HoldSpec

	rules   []*rule // points first, else in file order; none that is off
	groups  []string
	order   [3]Stage
	missing Stage // where a rule without a value acts; 0: nowhere
	timeout timeout
	advice  *expression.Program // nil: no challenge is advised
	reasons map[string]string   // public text by code
	subject func(*risk.Event) *string
	screens bool // has live rules of stage sanctions
}

// HoldSpec says which payments are kept back. A zero Action is none.
type HoldSpec struct {
	Action       risk.Action
	For          time.Duration
	AtExpiry     string     // release, cancel, escalate; "" not said
	FourEyesFrom risk.Money // in the base currency; absent: never
}

// timeout is the answer when the decision comes too late.
type timeout struct {
	under     risk.Money // absent: then always holds
	then, els risk.Action
}

// Stage is where a rule acts.
type Stage uint8

const (
	Sanctions Stage = iota + 1
	Block
	Allow
	Review
	Points
	stages
)

var stageNames = [...]string{Sanctions: "sanctions", Block: "block", Allow: "allow", Review: "review", Points: "points"}

func (s Stage) String() string {
	if s == 0 || s >= stages {
		return "none"
	}
	return stageNames[s]
}

// action is what a hit in the stage asks for. A hit of stage sanctions is an
// exact match, so it blocks.
func (s Stage) action() risk.Action {
	switch s {
	case Sanctions, Block:
		return risk.Block
	case Allow:
		return risk.Allow
	}
	return risk.Review
}

// SubjectOf gives the value of the scenario's subject, "" when the event has
// none.
func (sc *Scenario) SubjectOf(rec *risk.Record) string { return *sc.subject(&rec.Event) }

// Fallback is the answer when the decision is not there at the deadline. No
// screen can have finished then, so where live rules of stage sanctions stand it
// is never allow. Without a rate to the base currency the amount is not known to
// be small.
func (sc *Scenario) Fallback(rec *risk.Record) risk.Action {
	a := sc.timeout.then
	if t := sc.timeout.under; !t.IsZero() {
		if base := rec.Facts.Base; base.Currency != t.Currency || base.Minor < 0 || base.Minor >= t.Minor {
			a = sc.timeout.els
		}
	}
	if a == risk.Allow && sc.screens || !a.Valid() {
		return risk.Review
	}
	return a
}

// Hold is what a decision on the event keeps back, if anything.
func (sc *Scenario) Hold(key risk.EventKey, arrival risk.Time, a risk.Action) risk.Hold {
	if sc.Holds.Action == 0 || a != sc.Holds.Action {
		return risk.Hold{}
	}
	return risk.Hold{ID: key.HoldID(), Expires: arrival.Add(sc.Holds.For)}
}
