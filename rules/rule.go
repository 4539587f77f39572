package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
)

// maxPoints bounds what one rule can add or take.
const maxPoints = 1_000_000

// rule compiles one rule into sc.
func (l *loader) rule(sc *Scenario, env *expression.Env, spec *ruleSpec) {
	mistakes := len(l.diags)
	r := &rule{id: spec.ID.Value, file: spec.At.File, at: fmt.Sprintf("%s:%d", spec.At.File, spec.At.Line), reason: spec.Reason.Value}
	l.unsupported(spec)
	if l.oneOf(codeRule, spec.Stage, "stage", stageNames[1:]...) {
		r.stage = Stage(slices.Index(stageNames[:], spec.Stage.Value))
	}
	mode := "live"
	if t := spec.Mode.Text; written(t) && !spec.Mode.Canary && l.oneOf(codeRule, t, "mode", "live", "shadow", "off") {
		mode = t.Value
	}
	r.live = mode == "live"
	if code := spec.Reason; code.Value != "" && !l.noReasons {
		if _, ok := l.texts[code.Value]; !ok {
			l.fault(codeReason, code.Span, l.nearest(code.Value, l.reasonCodes(), "add it to reasons.yaml"), "unknown reason `%s`", code.Value)
		}
	}
	l.languages(spec.Title)
	l.points(sc, r, spec)
	env = l.params(env, r, spec)
	r.when = l.condition(env, r, spec.When)
	if spec.When.Value == "" && spec.Screen.At.Line == 0 && spec.clean {
		l.fault(codeRule, spec.ID.Span, "write `when:` with the condition under which it fires", "rule `%s` has no condition", r.id)
	}
	if r.unless = l.condition(env, r, spec.Unless); written(spec.Unless) && spec.Unless.Value == "" {
		l.fault(codeRule, spec.Unless.Span, "write the condition under which the rule does not fire, or leave it out", "`unless` is empty")
	}
	if len(l.diags) == mistakes && !l.shaky {
		l.examples(sc, r, spec)
	}
	l.set.infos = append(l.set.infos, info(sc, spec, r, mode))
	if mode != "off" {
		sc.rules = append(sc.rules, r)
		sc.screens = sc.screens || r.live && r.stage == Sanctions
	}
}

// unsupported refuses by name what this release does not do: a rule that is
// written to be sent to a queue, say, must not quietly go nowhere.
func (l *loader) unsupported(spec *ruleSpec) {
	refuse := func(at diag.Span, what, help string) {
		if at.Line > 0 {
			l.fault(codeLater, at, help, "%s is not supported yet", what)
		}
	}
	refuse(spec.Screen.At, "`screen:`", "write the condition as `when:`, such as `receiver.country in list.embargoed`")
	refuse(spec.Case.At, "`case:`", "leave it out: cases are not opened yet")
	refuse(spec.Queue.At, "`queue:`", "leave it out: there are no queues yet")
	refuse(spec.SLA.At, "`sla:`", "leave it out: there are no queues yet")
	if spec.Mode.Canary {
		refuse(spec.Mode.Text.Span, "a canary `mode:`", "write live, shadow or off")
	}
}

func (l *loader) reasonCodes() (codes []string) {
	for code := range l.texts {
		codes = append(codes, code)
	}
	return codes
}

func (l *loader) points(sc *Scenario, r *rule, spec *ruleSpec) {
	if r.stage != Points {
		for _, t := range []diag.Text{spec.Points, spec.Group} {
			if written(t) && r.stage != 0 {
				l.fault(codePoints, t.Span, "write `stage: points`, or leave `points` and `group` out", "a rule of stage `%s` gives no points", r.stage)
				return
			}
		}
		return
	}
	if !written(spec.Points) {
		l.fault(codePoints, spec.ID.Span, "write `points: 30`", "rule `%s` of stage `points` gives no points", r.id)
	} else if n, ok := l.number(codePoints, spec.Points, "points"); ok {
		// n*1000 rounded is exact for what has three decimals and is within bounds.
		_, decimals, _ := strings.Cut(spec.Points.Value, ".")
		if n == 0 || n < -maxPoints || n > maxPoints || len(decimals) > 3 {
			l.fault(codePoints, spec.Points.Span, fmt.Sprintf("from -%d to %d, not 0, with at most 3 decimals", maxPoints, maxPoints), "points `%s` are out of bounds", spec.Points.Value)
		}
		r.points = thousandths(n)
	}
	switch {
	case !written(spec.Group):
		l.fault(codePoints, spec.ID.Span, "write `group:` with the name under which its points are summed up", "rule `%s` of stage `points` has no group", r.id)
	default:
		l.name(spec.Group)
		r.group = slices.Index(sc.groups, spec.Group.Value)
	}
}

func thousandths(n float64) int64 {
	if n < 0 {
		return -thousandths(-n)
	}
	return int64(float64(n*1000) + 0.5)
}

// params adds param.<name> to the names that this rule may read.
func (l *loader) params(env *expression.Env, r *rule, spec *ruleSpec) *expression.Env {
	if spec.Params == nil {
		return env
	}
	env = env.With()
	for i, p := range spec.Params {
		v, ok := l.number(codeParam, p.Value.Value, "value")
		low, bounded := l.number(codeParam, p.Value.Min, "min")
		if ok && bounded && v < low {
			l.fault(codeParam, p.Value.Value.Span, "change the value or its bounds", "value `%s` of `%s` lies under its min `%s`", p.Value.Value.Value, p.Key.Value, p.Value.Min.Value)
		}
		high, bounded := l.number(codeParam, p.Value.Max, "max")
		if ok && bounded && v > high {
			l.fault(codeParam, p.Value.Value.Span, "change the value or its bounds", "value `%s` of `%s` lies over its max `%s`", p.Value.Value.Value, p.Key.Value, p.Value.Max.Value)
		}
		r.params = append(r.params, v)
		if l.name(p.Key) {
			l.define(env, expression.Var{Name: "param." + p.Key.Value, Kind: expression.Number, At: p.Key.Span,
				Number: func(s *expression.Scope) float64 { return s.Params[i] }})
		}
	}
	return env
}

func (l *loader) define(env *expression.Env, v expression.Var) {
	if err := env.Define(v); err != nil {
		l.fault(codeClash, v.At, "rename one of them", "%s", strings.TrimPrefix(err.Error(), "expression: "))
	}
}

// condition compiles `when` or `unless`.
func (l *loader) condition(env *expression.Env, r *rule, src diag.Text) *expression.Program {
	if src.Value == "" {
		return nil
	}
	p, diags := env.Compile(src, expression.Bool, expression.CompileOptions{})
	l.diags = append(l.diags, diags...)
	if len(diags) > 0 || r.stage != Points {
		return p
	}
	for _, name := range p.Reads() {
		if strings.HasPrefix(name, "points.") {
			l.fault(codePoints, src.At(max(strings.Index(src.Value, name), 0), len(name)), "read it in a rule of another stage, which comes after all points", "a rule of stage `points` reads `%s`", name)
		}
	}
	return p
}

func info(sc *Scenario, spec *ruleSpec, r *rule, mode string) RuleInfo {
	title := map[string]string{}
	for _, e := range spec.Title {
		title[e.Key.Value] = e.Value.Value
	}
	var was []string
	for _, id := range spec.Was {
		was = append(was, id.Value)
	}
	return RuleInfo{ID: r.id, Was: was, Scenario: sc.Name, Stage: r.stage.String(), Mode: mode, File: r.file, Line: spec.At.Line,
		Title: title, Reason: r.reason, Owner: spec.Owner.Value, Why: spec.Why.Value,
		Points: float64(r.points) / 1000, Group: spec.Group.Value, Examples: len(spec.Examples)}
}
