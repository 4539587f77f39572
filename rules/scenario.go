package rules

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// draft is a scenario that is being built.
type draft struct {
	sc    *Scenario
	at    diag.Span
	known bool // stands in ruleset.yaml
	spec  *scenarioSpec
	rules []*ruleSpec
}

func newDraft(sc *Scenario) *draft { return &draft{sc: sc} }

// group makes the points group of a rule known.
func (d *draft) group(r *ruleSpec) {
	if r.Stage.Value == "points" && names.MatchString(r.Group.Value) && !slices.Contains(d.sc.groups, r.Group.Value) {
		d.sc.groups = append(d.sc.groups, r.Group.Value)
	}
}

func (l *loader) draft(name string) *draft {
	for _, d := range l.drafts {
		if d.sc.Name == name {
			return d
		}
	}
	return nil
}

func (l *loader) scenarioNames() (all []string) {
	for _, d := range l.drafts {
		if d.known {
			all = append(all, d.sc.Name)
		}
	}
	return all
}

// scenarios checks ruleset.yaml's scenarios, apart from expressions, which may
// read points and wait for the rules.
func (l *loader) scenarios(spec *rulesetSpec) {
	taken := map[string]string{}
	for i := range spec.Scenarios {
		e := &spec.Scenarios[i]
		l.name(e.Key)
		sc := &Scenario{Name: e.Key.Value, Deadline: 100 * time.Millisecond, reasons: l.texts,
			order: [3]Stage{Block, Allow, Review}, missing: Review, timeout: timeout{then: risk.Review}}
		d := &draft{sc: sc, at: e.Key.Span, known: true, spec: &e.Value}
		l.drafts = append(l.drafts, d)
		l.set.scenarios = append(l.set.scenarios, sc)
		for _, t := range e.Value.Events {
			first, ok := taken[t.Value]
			switch {
			case !events.MatchString(t.Value):
				l.fault(codeName, t.Span, "a type is written payment.authorization", "`%s` is not an event type", t.Value)
			case ok && first == sc.Name:
				l.fault(codeDuplicate, t.Span, "name it once", "event type `%s` stands twice", t.Value)
			case ok:
				l.fault(codeDuplicate, t.Span, "an event has one decision: take it out of one of them", "event type `%s` belongs to scenario `%s` already", t.Value, first)
			default:
				taken[t.Value] = sc.Name
				sc.Events = append(sc.Events, t.Value)
				l.set.byEvent[t.Value] = sc
			}
		}
		l.scenario(sc, e.Key.Span, &e.Value)
	}
}

func (l *loader) scenario(sc *Scenario, at diag.Span, spec *scenarioSpec) {
	if spec.Events != nil && len(spec.Events) == 0 {
		l.fault(codeScenario, at, "name the types of events that it judges, such as payment.authorization", "scenario `%s` has no events", sc.Name)
	}
	l.subject(sc, spec.Subject)
	if t := spec.Deadline; written(t) {
		if d, ok := l.duration(codeScenario, t, "deadline", time.Millisecond, time.Minute); ok {
			sc.Deadline = d
		}
	}
	if spec.Order != nil {
		l.order(sc, at, spec.Order)
	}
	if spec.Score != nil {
		l.score(sc, spec.Score)
	}
	if spec.Timeout != nil {
		l.timeout(sc, spec.Timeout)
	}
	if t := spec.MissingFeature; written(t) && l.oneOf(codeScenario, t, "missing_feature", "review", "block", "allow", "ignore") {
		sc.missing = map[string]Stage{"review": Review, "block": Block, "allow": Allow}[t.Value]
	}
	if spec.Holds != nil {
		l.holds(sc, spec.Holds)
	}
}

func (l *loader) subject(sc *Scenario, t diag.Text) {
	var paths []string
	for _, f := range risk.Fields {
		if f.Text == nil || f.Kind == risk.Country || f.Path == "event.type" {
			continue
		}
		if paths = append(paths, f.Path); f.Path == t.Value {
			sc.Subject, sc.subject = f.Path, f.Text
			return
		}
	}
	if t.Value != "" {
		l.fault(codeScenario, t.Span, l.nearest(t.Value, paths, "name a text field of the event, such as customer.id"), "subject `%s` is not a field that names somebody", t.Value)
	}
}

func (l *loader) order(sc *Scenario, at diag.Span, order []diag.Text) {
	var stages []Stage
	for _, t := range order {
		switch t.Value {
		case "points", "sanctions":
			l.fault(codeScenario, t.Span, "write the order of block, allow and review", "stage `%s` has its place: points come first, sanctions are a floor", t.Value)
			return
		}
		if !l.oneOf(codeScenario, t, "stage", "block", "allow", "review") {
			return
		}
		stage := Stage(slices.Index(stageNames[:], t.Value))
		if slices.Contains(stages, stage) {
			l.fault(codeScenario, t.Span, "each of block, allow and review stands once", "stage `%s` stands twice", t.Value)
			return
		}
		stages = append(stages, stage)
	}
	if len(stages) < len(sc.order) {
		if len(order) > 0 {
			at = order[0].Span
		}
		l.fault(codeScenario, at, "each of block, allow and review stands once", "the order has %d of the three stages", len(stages))
		return
	}
	copy(sc.order[:], stages)
}

func (l *loader) score(sc *Scenario, spec *scoreSpec) {
	if t := spec.Scorer; t.Value != "" && t.Value != "points" {
		l.fault(codeLater, t.Span, "write `scorer: points`; trained models come later", "scorer `%s` is not supported yet", t.Value)
		return
	}
	s := ScoreSpec{Scorer: spec.Scorer.Value}
	var ok bool
	if !written(spec.Full) {
		l.fault(codeScore, spec.Scorer.Span, "write `full: 100`: the points that give a score of 1", "scorer `points` needs `full`")
	} else if s.Full, ok = l.number(codeScore, spec.Full, "full"); ok && s.Full <= 0 {
		l.fault(codeScore, spec.Full.Span, "it is the number of points that give a score of 1", "full `%s` is not above 0", spec.Full.Value)
	}
	band := func(t diag.Text, what string) (float64, bool) {
		n, ok := l.number(codeScore, t, what)
		if ok && (n <= 0 || n > 1) {
			l.fault(codeScore, t.Span, "a score lies from 0 to 1, and one of 0 means that nothing spoke against the payment", "%s `%s` is not above 0 and at most 1", what, t.Value)
			return 0, false
		}
		return n, ok
	}
	var low, high bool
	s.ReviewAt, low = band(spec.ReviewAt, "review_at")
	s.BlockAt, high = band(spec.BlockAt, "block_at")
	if low && high && s.ReviewAt > s.BlockAt {
		l.fault(codeScore, spec.ReviewAt.Span, "a higher score is a stricter one", "review_at `%s` lies above block_at `%s`", spec.ReviewAt.Value, spec.BlockAt.Value)
	}
	sc.Score = s
}

func (l *loader) timeout(sc *Scenario, spec *timeoutSpec) {
	action := func(t diag.Text) (a risk.Action) {
		if l.oneOf(codeTimeout, t, "action", "allow", "review", "block") {
			a, _ = risk.ParseAction(t.Value)
		}
		return a
	}
	t := timeout{then: action(spec.Then), els: action(spec.Else)}
	switch {
	case written(spec.Under) && !written(spec.Else):
		l.fault(codeTimeout, spec.Under.Span, "add `else: review`", "`under` needs an `else` for larger amounts")
	case !written(spec.Under) && written(spec.Else):
		l.fault(codeTimeout, spec.Else.Span, "add `under: 50`, an amount in the base currency", "`else` needs an `under`")
	case written(spec.Under):
		t.under = l.money(codeTimeout, spec.Under, "under")
		if t.then != 0 && t.els != 0 && t.then.Stricter(t.els) {
			l.fault(codeTimeout, spec.Else.Span, "larger amounts get at least what small ones get", "`else: %s` is less strict than `then: %s`", t.els, t.then)
		}
	}
	sc.timeout = t
}

// money reads a positive amount in the base currency.
func (l *loader) money(code string, t diag.Text, what string) risk.Money {
	if risk.Exponent(l.set.BaseCurrency) < 0 {
		return risk.Money{} // reported
	}
	m, err := risk.ParseMoney(t.Value, l.set.BaseCurrency)
	if err != nil || m.Minor <= 0 {
		l.fault(code, t.Span, fmt.Sprintf("write an amount above 0; decimals that %s has: %d", l.set.BaseCurrency, risk.Exponent(l.set.BaseCurrency)), "%s `%s` is not an amount in %s", what, t.Value, l.set.BaseCurrency)
		return risk.Money{}
	}
	return m
}

func (l *loader) holds(sc *Scenario, spec *holdSpec) {
	if l.oneOf(codeHold, spec.Action, "action", "review", "block") {
		sc.Holds.Action, _ = risk.ParseAction(spec.Action.Value)
	}
	if written(spec.Expires) {
		sc.Holds.For, _ = l.duration(codeHold, spec.Expires, "expires", time.Minute, 366*24*time.Hour)
	}
	if t := spec.AtExpiry; written(t) && l.oneOf(codeHold, t, "at_expiry", "release", "cancel", "escalate") {
		sc.Holds.AtExpiry = t.Value
	}
	if t := spec.FourEyesFrom; written(t) {
		sc.Holds.FourEyesFrom = l.money(codeHold, t, "four_eyes_from")
	}
}

// finish compiles the expressions and rules of a scenario.
func (l *loader) finish(d *draft) {
	sc := d.sc
	if d.known && len(d.rules) == 0 && !l.astray {
		l.fault(codeScenario, d.at, "write a file rules/"+sc.Name+".yaml with `scenario: "+sc.Name+"`", "scenario `%s` has no rules", sc.Name)
	}
	slices.Sort(sc.groups)
	env := l.env.With()
	for i, g := range sc.groups {
		l.define(env, expression.Var{Name: "points." + g, Kind: expression.Number, At: diag.Span{File: featuresFile},
			Number: func(s *expression.Scope) float64 { return s.Points[i] }})
	}
	if d.spec != nil && written(d.spec.Advice.Challenge) {
		var diags diag.List
		sc.advice, diags = env.Compile(d.spec.Advice.Challenge, expression.Bool, expression.CompileOptions{})
		l.diags = append(l.diags, diags...)
	}
	for _, r := range d.rules {
		l.rule(sc, env, r)
	}
	// Points first: what they add up to is read by the rest.
	later := slices.DeleteFunc(slices.Clone(sc.rules), func(r *rule) bool { return r.stage == Points })
	sc.rules = append(slices.DeleteFunc(sc.rules, func(r *rule) bool { return r.stage != Points }), later...)
}
