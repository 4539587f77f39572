package rules

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

// said is what a rule came to, in the words of the documentation.
type said struct {
	stage, mode, result, reason string
}

// precedence is the order of precedence once more, written from the
// documentation: by positions in the order, where judge walks it.
func precedence(order []string, missing string, score risk.Number, bands ScoreSpec, all []said) (risk.Action, []string) {
	strict := map[string]int{"": 0, "allow": 1, "review": 2, "block": 3}
	first := func(what func(said) string) (string, int) { // the earliest stage that what names
		best, at := "", len(order)
		for _, r := range all {
			if i := slices.Index(order, what(r)); r.mode == "live" && i >= 0 && i < at {
				best, at = order[i], i
			}
		}
		return best, at
	}
	hitStage, hitAt := first(func(r said) string {
		if r.result == "hit" {
			return r.stage
		}
		return ""
	})
	faultStage, faultAt := first(func(r said) string {
		if r.result == "fault" && missing != "ignore" {
			return missing
		}
		return ""
	})
	decided, byHits, byFaults := "", false, false
	switch {
	case hitStage == "" && faultStage == "":
	case faultStage == "" || hitAt < faultAt && hitStage != "allow":
		decided, byHits = hitStage, true
	case hitStage == "" || faultAt < hitAt || hitStage == "allow" && faultStage != "allow":
		decided, byFaults = faultStage, true
	default: // the same stage
		decided, byHits, byFaults = hitStage, true, true
	}
	var codes []string
	add := func(want func(said) bool, code func(said) string) {
		for _, r := range all {
			if r.mode == "live" && want(r) {
				codes = append(codes, code(r))
			}
		}
	}
	own := func(r said) string { return r.reason }
	unknown := func(said) string { return Incomplete }
	if decided == "" {
		decided = "allow"
		if bands.Scorer != "" && score.Set {
			if !(score.Value < bands.ReviewAt) {
				decided = "review"
			}
			if score.Value >= bands.BlockAt {
				decided = "block"
			}
		}
		if decided != "allow" {
			add(func(r said) bool { return r.stage == "points" && r.result == "hit" }, own)
		}
	}
	if byHits {
		add(func(r said) bool { return r.stage == decided && r.result == "hit" }, own)
	}
	if byFaults {
		add(func(r said) bool { return r.result == "fault" }, unknown)
	}
	floor := ""
	for _, r := range all {
		switch {
		case r.mode != "live" || r.stage != "sanctions":
		case r.result == "hit":
			floor = "block"
		case r.result == "fault" && floor == "":
			floor = "review"
		}
	}
	if strict[floor] > strict[decided] {
		codes = nil
	}
	if floor != "" && strict[floor] >= strict[decided] {
		decided = floor
		if floor == "block" {
			add(func(r said) bool { return r.stage == "sanctions" && r.result == "hit" }, own)
		} else {
			add(func(r said) bool { return r.stage == "sanctions" && r.result == "fault" }, unknown)
		}
	}
	slices.Sort(codes)
	a, err := risk.ParseAction(decided)
	if err != nil {
		panic(err)
	}
	return a, slices.Compact(codes)
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func TestPrecedence(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 1))
	stage := func(name string) Stage { return Stage(max(slices.Index(stageNames[:], name), 0)) }
	seen := map[risk.Action]int{}
	for n := range 200_000 {
		order := []string{"block", "allow", "review"}
		r.Shuffle(3, func(i, j int) { order[i], order[j] = order[j], order[i] })
		missing := pick(r, "review", "block", "allow", "ignore")
		sc := &Scenario{missing: stage(missing), reasons: map[string]string{}}
		for i := range order {
			sc.order[i] = stage(order[i])
		}
		if r.IntN(3) > 0 {
			sc.Score = ScoreSpec{Scorer: "points", ReviewAt: 0.5, BlockAt: pick(r, 0.5, 0.8)}
		}
		score := risk.Number{Value: pick(r, 0, 0.49, 0.5, 0.79, 0.8, 1, math.NaN()), Set: r.IntN(5) > 0}
		var all []said
		out := &Outcome{challenge: true}
		for range r.IntN(6) {
			s := said{pick(r, "sanctions", "block", "allow", "review", "points", "points"), pick(r, "live", "live", "shadow"), pick(r, "hit", "hit", "fault"), fmt.Sprint("R", r.IntN(4))}
			all = append(all, s)
			out.marks = append(out.marks, mark{&rule{stage: stage(s.stage), live: s.mode == "live", reason: s.reason}, s.result == "fault"})
		}
		got, reasons, challenge := sc.Conclude(out, score)
		want, codes := precedence(order, missing, score, sc.Score, all)
		var gotCodes []string
		for _, reason := range reasons {
			gotCodes = append(gotCodes, reason.Code)
		}
		if slices.Sort(gotCodes); got != want || !slices.Equal(gotCodes, codes) {
			t.Fatalf("seed %d, case %d: order %v, missing_feature %s, score %v, bands %v, rules %+v:\nConclude = %v for %v, want %v for %v", seed, n, order, missing, score, sc.Score, all, got, gotCodes, want, codes)
		}
		if challenge != (got != risk.Block) {
			t.Fatalf("challenge %v with %v", challenge, got)
		}
		seen[got]++
	}
	for _, a := range []risk.Action{risk.Allow, risk.Review, risk.Block} {
		if seen[a] < 1000 {
			t.Errorf("only %d cases came to %v", seen[a], a)
		}
	}
}

// The reasons come in the order of the rules, each once.
func TestReasonOrder(t *testing.T) {
	sc := &Scenario{order: [3]Stage{Block, Allow, Review}, missing: Review, reasons: map[string]string{"R2": "two", "R1": "one", Incomplete: "unknown"}}
	fire := func(stage Stage, reason string, fault bool) mark {
		return mark{&rule{stage: stage, live: true, reason: reason}, fault}
	}
	out := &Outcome{marks: []mark{fire(Review, "R2", false), fire(Block, "R9", true), fire(Review, "R1", false), fire(Review, "R2", false)}}
	a, reasons, _ := sc.Conclude(out, risk.Number{})
	want := []risk.Reason{{Code: "R2", Text: "two"}, {Code: Incomplete, Text: "unknown"}, {Code: "R1", Text: "one"}}
	if a != risk.Review || !slices.Equal(reasons, want) {
		t.Errorf("Conclude = %v, %v, want review, %v", a, reasons, want)
	}
}
