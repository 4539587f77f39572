package rules

import "github.com/sluice-risk/sluice/risk"

// Incomplete is the reason given where rules could not be evaluated: their own
// reasons would say of the payment what is not known. reasons.yaml may word it.
const (
	Incomplete     = "INCOMPLETE"
	incompleteText = "Some of the information needed was not available"
)

// verdict is what one kind of evidence asks for, and which of the live rules
// that fired are the evidence.
type verdict struct {
	action risk.Action
	hits   Stage // rules of this stage that were true; 0: none
	faults Stage // rules of this stage that could not be evaluated; stages: of any; 0: none
}

func (v verdict) leads(m mark) bool {
	if m.fault {
		return v.faults == stages || v.faults == m.rule.stage
	}
	return v.hits == m.rule.stage
}

// Conclude applies the scenario's order of precedence to what fired and to the
// score. The action is never the zero one. The reasons are the codes of the
// rules that led to it, in the order of out.Fired, each once. A challenge is
// advised only with a payment that is not blocked.
func (sc *Scenario) Conclude(out *Outcome, score risk.Number) (a risk.Action, reasons []risk.Reason, challenge bool) {
	rest, floor := sc.judge(out, score), sc.floor(out)
	a = rest.action
	if floor.action.Stricter(a) {
		a = floor.action
	}
	out.reasons = out.reasons[:0]
	for _, m := range out.marks {
		if m.rule.live && (rest.action == a && rest.leads(m) || floor.action == a && floor.leads(m)) {
			out.reasons = sc.reason(out.reasons, m)
		}
	}
	return a, out.reasons, out.challenge && a != risk.Block
}

// judge walks the scenario's order: the first stage in which a live rule acts
// decides, then the bands of the score, then allow. Missing and error act in the
// stage that missing_feature names; a live allow overrides the rules behind it,
// but not those that could not be evaluated and act in review or block.
func (sc *Scenario) judge(out *Outcome, score risk.Number) verdict {
	hit, faulty := [stages]bool{}, false
	for _, m := range out.marks {
		switch {
		case !m.rule.live:
		case !m.fault:
			hit[m.rule.stage] = true
		default:
			faulty = true
		}
	}
	faulty = faulty && sc.missing != 0 // ignore: recorded, acts nowhere
	for _, stage := range sc.order {
		here := faulty && sc.missing == stage
		switch {
		case stage == Allow && hit[Allow] && faulty && sc.missing != Allow:
			return verdict{action: sc.missing.action(), faults: stages}
		case hit[stage] && here:
			return verdict{action: stage.action(), hits: stage, faults: stages}
		case hit[stage]:
			return verdict{action: stage.action(), hits: stage}
		case here:
			return verdict{action: stage.action(), faults: stages}
		}
	}
	switch {
	case sc.Score.Scorer == "" || !score.Set || score.Value < sc.Score.ReviewAt:
		return verdict{action: risk.Allow}
	case score.Value >= sc.Score.BlockAt:
		return verdict{action: risk.Block, hits: Points}
	}
	return verdict{action: risk.Review, hits: Points} // also a score that is not a number
}

// floor is what the stage sanctions asks for at least; no action if nothing. A
// rule of it that could not be evaluated has not cleared the parties: whatever
// missing_feature says, that is review at least.
func (sc *Scenario) floor(out *Outcome) (v verdict) {
	for _, m := range out.marks {
		switch {
		case !m.rule.live || m.rule.stage != Sanctions:
		case !m.fault:
			return verdict{action: risk.Block, hits: Sanctions}
		default:
			v = verdict{action: risk.Review, faults: Sanctions}
		}
	}
	return v
}

func (sc *Scenario) reason(to []risk.Reason, m mark) []risk.Reason {
	code := m.rule.reason
	if m.fault {
		code = Incomplete
	}
	for _, r := range to {
		if r.Code == code {
			return to
		}
	}
	return append(to, risk.Reason{Code: code, Text: sc.reasons[code]})
}
