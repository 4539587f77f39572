package rules

import (
	"slices"

	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// Outcome is what the rules of one scenario say about one event. It is reused:
// everything in it holds until the next Evaluate.
type Outcome struct {
	// Fired has every rule that was true, missing a value, or in error, live and
	// shadow: those of stage points first, else by file name and place in the file.
	Fired  []risk.Fired
	Points float64 // of the live points rules that were true, all groups
	Faults int     // rules in Fired that could not be evaluated
	// Advice is why the scenario's advice could not be evaluated, if so.
	Advice expression.Fault
	// Panic is what the last recovered panic carried, for the log. The rule's
	// result is error(panic); nil if nothing panicked.
	Panic any

	marks     []mark // one for each of Fired
	sums      []int64
	groups    []float64
	reasons   []risk.Reason
	challenge bool
}

// mark is what Conclude needs to know of a fired rule.
type mark struct {
	rule  *rule
	fault bool
}

// rule is one compiled rule that is live or shadow.
type rule struct {
	id     string
	file   string
	at     string // rules/card.yaml:18
	stage  Stage
	live   bool
	group  int   // index of the points group
	points int64 // thousandths
	reason string
	params []float64
	when   *expression.Program
	unless *expression.Program // nil: none
}

// match evaluates the rule. `unless` is read only where `when` is true, and a
// value that it lacks is a fault like any other: a rule whose exception cannot be
// judged neither fires nor stays silent.
func (r *rule) match(s *expression.Scope) (bool, expression.Fault) {
	s.Params = r.params
	hit, fault := r.when.Bool(s)
	if !hit || fault != (expression.Fault{}) || r.unless == nil {
		return hit, fault
	}
	except, fault := r.unless.Bool(s)
	return !except && fault == (expression.Fault{}), fault
}

// Evaluate runs all rules of the scenario over s and writes what fired to out.
// It sets s.Points and s.Params.
func (sc *Scenario) Evaluate(s *expression.Scope, out *Outcome) {
	out.reset(len(sc.groups))
	s.Points = out.groups
	for i := 0; i < len(sc.rules); {
		i = sc.run(i, s, out)
	}
	sc.advise(s, out)
}

func (o *Outcome) reset(groups int) {
	clear(o.Fired) // lets go of the evidence
	clear(o.marks)
	*o = Outcome{Fired: o.Fired[:0], marks: o.marks[:0], reasons: o.reasons[:0],
		sums:   slices.Grow(o.sums[:0], groups)[:groups],
		groups: slices.Grow(o.groups[:0], groups)[:groups]}
	clear(o.sums)
	clear(o.groups)
}

// run evaluates rules from index from on and gives the index to go on with. One
// recover serves the whole run: after a panic the caller enters again behind the
// rule that caused it.
func (sc *Scenario) run(from int, s *expression.Scope, out *Outcome) (next int) {
	next = from
	defer func() {
		if p := recover(); p != nil {
			out.Panic = p
			out.fault(sc.rules[next], expression.Fault{Err: "panic"})
			next++
		}
	}()
	for ; next < len(sc.rules); next++ {
		r := sc.rules[next]
		hit, fault := r.match(s)
		switch {
		case fault != (expression.Fault{}):
			out.fault(r, fault)
		case hit:
			out.hit(r, r.when.Because(s))
		}
	}
	return next
}

func (o *Outcome) hit(r *rule, because []risk.Because) {
	f := r.fired()
	f.Because = because
	if r.stage == Points {
		f.Points = float64(r.points) / 1000
		if r.live {
			// Integers, so that the sum does not depend on the order of the rules.
			o.sums[r.group] += r.points
			o.groups[r.group] = float64(o.sums[r.group]) / 1000
			var all int64
			for _, sum := range o.sums {
				all += sum
			}
			o.Points = float64(all) / 1000
		}
	}
	o.Fired = append(o.Fired, f)
	o.marks = append(o.marks, mark{rule: r})
}

func (o *Outcome) fault(r *rule, fault expression.Fault) {
	f := r.fired()
	f.Result = fault.String()
	o.Faults++
	o.Fired = append(o.Fired, f)
	o.marks = append(o.marks, mark{rule: r, fault: true})
}

func (r *rule) fired() risk.Fired {
	mode := "shadow"
	if r.live {
		mode = "live"
	}
	return risk.Fired{ID: r.id, Stage: r.stage.String(), Mode: mode, At: r.at}
}

// advise evaluates advice.challenge. Where that cannot be told, a challenge is
// advised: it is the careful answer, and out.Advice says why.
func (sc *Scenario) advise(s *expression.Scope, out *Outcome) {
	if sc.advice == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			out.Panic, out.challenge, out.Advice = p, true, expression.Fault{Err: "panic"}
		}
	}()
	s.Params = nil
	yes, fault := sc.advice.Bool(s)
	out.challenge, out.Advice = yes || fault != (expression.Fault{}), fault
}
