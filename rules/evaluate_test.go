package rules

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/scoring"
)

// with gives the base ruleset with other rules and scenario settings.
func with(t testing.TB, settings, rules string) *Scenario {
	t.Helper()
	files := base(t)
	files["ruleset.yaml"] = append(files["ruleset.yaml"], settings...)
	files["rules/card.yaml"] = []byte("apiVersion: rules/v1\nscenario: card_payment\nrules:\n" + rules)
	files["reasons.yaml"] = []byte("apiVersion: reasons/v1\nreasons:\n  R1: {public: {en: one}}\n  R2: {public: {en: two, zh: 二}}\n  R3: {public: {en: three}}\n")
	return mustLoad(t, files).Scenario("payment.authorization")
}

// payment is an event of 100 USD with the given number of attempts.
func payment(attempts float64) *expression.Scope {
	rec := &risk.Record{}
	rec.Event.Type = "payment.authorization"
	rec.Event.Amount = risk.Money{Minor: 10_000, Currency: "USD"}
	rec.Facts.Base = rec.Event.Amount
	return &expression.Scope{Record: rec, At: exampleTime, Features: []float64{attempts}}
}

func show(out *Outcome) string {
	var all []string
	for _, f := range out.Fired {
		s := f.ID + " " + f.Mode
		if f.Result != "" {
			s += " " + f.Result
		}
		if f.Points != 0 {
			s += fmt.Sprintf(" %g", f.Points)
		}
		all = append(all, s)
	}
	return strings.Join(all, "; ")
}

func TestEvaluate(t *testing.T) {
	sc := with(t, "", `
  - {id: hit, stage: review, when: card_attempts_10m >= 6, reason: R1}
  - {id: silent, stage: block, when: card_attempts_10m >= 60, reason: R1}
  - {id: excepted, stage: block, when: card_attempts_10m >= 6, unless: amount.base > 50, reason: R1}
  - {id: unknown_exception, stage: block, when: card_attempts_10m >= 6, unless: card.country == "DE", reason: R1}
  - {id: exception_not_read, stage: block, when: card_attempts_10m >= 60, unless: card.country == "DE", reason: R1}
  - {id: missing, stage: block, when: customer.country == "DE", reason: R1, mode: shadow}
  - {id: guarded, stage: block, when: has(customer.country) and customer.country == "DE", reason: R1}
  - {id: error, stage: block, when: amount.base / (card_attempts_10m - 6) > 1, reason: R1}
  - {id: off, stage: block, when: card_attempts_10m >= 6, reason: R1, mode: "off"}
  - {id: shadow, stage: block, when: card_attempts_10m >= 6, reason: R1, mode: shadow}
  - {id: param, stage: review, when: card_attempts_10m > param.most, reason: R1, params: {least: {value: 1}, most: {value: 5.5, min: 1, max: 10}}}
  - {id: reads_points, stage: review, when: points.a == 30.5 and points.b == 0, reason: R2}
  - {id: a1, stage: points, when: card_attempts_10m >= 6, points: 30, group: a, reason: R3}
  - {id: a2, stage: points, when: card_attempts_10m >= 6, points: 0.5, group: a, reason: R3}
  - {id: b1, stage: points, when: card_attempts_10m >= 6, points: 7, group: b, reason: R3, mode: shadow}
  - {id: c1, stage: points, when: card_attempts_10m >= 6, points: -0.3, group: c, reason: R3}
`)
	out := &Outcome{}
	s := payment(6)
	for range 2 { // an Outcome is reused
		sc.Evaluate(s, out)
		want := "a1 live 30; a2 live 0.5; b1 shadow 7; c1 live -0.3; hit live; unknown_exception live missing(card.country); " +
			"missing shadow missing(customer.country); error live error(division by zero); shadow shadow; param live; reads_points live"
		if got := show(out); got != want {
			t.Fatalf("Evaluate fired\n%s, want\n%s", got, want)
		}
		if out.Points != 30.2 || out.Faults != 3 {
			t.Errorf("Points %v, Faults %d, want 30.2, 3", out.Points, out.Faults)
		}
	}
	hit := out.Fired[4]
	want := risk.Fired{ID: "hit", Stage: "review", Mode: "live", At: "rules/card.yaml:5", Because: []risk.Because{{
		Left: "card_attempts_10m", Value: risk.Scalar{Kind: risk.Decimal, Number: 6}, Op: ">=", Limit: risk.Scalar{Kind: risk.Decimal, Number: 6}, Window: "10m"}}}
	if !reflect.DeepEqual(hit, want) {
		t.Errorf("Fired = %+v, want %+v", hit, want)
	}
	if got := out.Fired[len(out.Fired)-2].Because; len(got) != 1 || got[0].Limit.Number != 5.5 {
		t.Errorf("the limit of a parameter is %+v, want 5.5", got)
	}
	a, reasons, _ := sc.Conclude(out, scoring.Points{Full: sc.Score.Full}.Score(out.Points, nil))
	if a != risk.Review || len(reasons) != 3 || reasons[0] != (risk.Reason{Code: "R1", Text: "one"}) || reasons[1].Code != Incomplete || reasons[2].Code != "R2" {
		t.Errorf("Conclude = %v, %v, want review for R1, %s, R2", a, reasons, Incomplete)
	}
	sc.Evaluate(payment(1), out)
	if got := show(out); got != "missing shadow missing(customer.country)" || out.Points != 0 {
		t.Errorf("after a quiet event: %s, %v points", got, out.Points)
	}
	if a, reasons, _ := sc.Conclude(out, risk.Number{Set: true}); a != risk.Allow || len(reasons) != 0 {
		t.Errorf("Conclude = %v, %v, want allow without reasons", a, reasons)
	}
}

// From points over the score to the band.
func TestBands(t *testing.T) {
	sc := with(t, "", `
  - {id: a, stage: points, when: card_attempts_10m >= 1, points: 61.9, group: a, reason: R2}
  - {id: b, stage: points, when: card_attempts_10m >= 2, points: 0.1, group: b, reason: R1}
  - {id: c, stage: points, when: card_attempts_10m >= 3, points: 28, group: a, reason: R2}
  - {id: d, stage: points, when: card_attempts_10m >= 3, points: 99, group: a, reason: R3, mode: shadow}
`)
	f := func(attempts, score float64, want risk.Action, codes ...string) {
		t.Helper()
		out := &Outcome{}
		sc.Evaluate(payment(attempts), out)
		n := scoring.Points{Full: sc.Score.Full}.Score(out.Points, nil)
		got, reasons, _ := sc.Conclude(out, n)
		var gotCodes []string
		for _, r := range reasons {
			gotCodes = append(gotCodes, r.Code)
		}
		if got != want || n.Value != score || !slices.Equal(gotCodes, codes) {
			t.Errorf("%v attempts: %v, score %v, reasons %v, want %v, %v, %v", attempts, got, n.Value, gotCodes, want, score, codes)
		}
	}
	f(0, 0, risk.Allow)
	f(1, 0.619, risk.Allow)
	f(2, 0.62, risk.Review, "R2", "R1") // the band includes its threshold
	f(3, 0.9, risk.Block, "R2", "R1")
}

func TestPanicIsAResult(t *testing.T) {
	files := base(t)
	files["rules/card.yaml"] = []byte(`apiVersion: rules/v1
scenario: card_payment
rules:
  - {id: first, stage: review, when: card_attempts_10m >= 6, reason: R101}
  - {id: second, stage: block, when: amount.base > 1, reason: R101}
`)
	sc := mustLoad(t, files).Scenario("payment.authorization")
	s := payment(6)
	s.Features = nil // the index is out of range: a panic inside the first rule
	out := &Outcome{}
	sc.Evaluate(s, out)
	if got, want := show(out), "first live error(panic); second live"; got != want || out.Panic == nil || out.Faults != 1 {
		t.Errorf("Evaluate fired %s with panic %v, %d faults, want %s", got, out.Panic, out.Faults, want)
	}
	if a, _, _ := sc.Conclude(out, risk.Number{}); a != risk.Block {
		t.Errorf("Conclude = %v, want block by the second rule", a)
	}
}

func TestChallenge(t *testing.T) {
	sc := with(t, `    advice: {challenge: "amount.base > 30 and card_attempts_10m > 2"}`+"\n", "  - {id: a, stage: block, when: card_attempts_10m >= 6, reason: R1}\n")
	f := func(attempts float64, want bool, fault string) {
		t.Helper()
		out := &Outcome{}
		sc.Evaluate(payment(attempts), out)
		if _, _, got := sc.Conclude(out, risk.Number{}); got != want || out.Advice.String() != fault {
			t.Errorf("%v attempts: challenge %v, fault %q, want %v, %q", attempts, got, out.Advice, want, fault)
		}
	}
	f(2, false, "")
	f(3, true, "")
	f(math.NaN(), true, "missing(card_attempts_10m)") // not known to be unnecessary
	f(6, false, "")                                   // blocked
}

func TestFallback(t *testing.T) {
	rules := "  - {id: a, stage: block, when: amount.base > 1, reason: R1}\n"
	sanctions := rules + "  - {id: s, stage: sanctions, when: ip.country == \"KP\", reason: R1}\n"
	f := func(timeout, rules string, base risk.Money, want risk.Action) {
		t.Helper()
		sc := with(t, timeout, rules)
		if got := sc.Fallback(&risk.Record{Facts: risk.Facts{Base: base}}); got != want {
			t.Errorf("Fallback of %v under %q = %v, want %v", base, timeout, got, want)
		}
	}
	usd := func(minor int64) risk.Money { return risk.Money{Minor: minor, Currency: "USD"} }
	small := "    timeout: {under: 50, then: allow, else: review}\n"
	f("", rules, usd(1), risk.Review)
	f(small, rules, usd(4999), risk.Allow)
	f(small, rules, usd(5000), risk.Review)
	f(small, rules, usd(-1), risk.Review)
	f(small, rules, risk.Money{}, risk.Review)
	f(small, sanctions, usd(4999), risk.Review)
	f(small, strings.Replace(sanctions, "reason: R1}\n", "reason: R1, mode: shadow}\n", 2), usd(4999), risk.Allow)
	f("    timeout: {then: allow}\n", rules, risk.Money{}, risk.Allow)
	f("    timeout: {then: block}\n", sanctions, usd(1), risk.Block)
}

func TestHold(t *testing.T) {
	rules := "  - {id: a, stage: block, when: amount.base > 1, reason: R1}\n"
	sc := with(t, "    holds: {action: review, expires: 48h, at_expiry: release, four_eyes_from: 10000}\n", rules)
	key := risk.KeyOf("t", "e")
	if got := sc.Hold(key, 1000, risk.Review); got.ID != key.HoldID() || got.Expires != risk.Time(1000).Add(48*time.Hour) {
		t.Errorf("Hold = %+v, want %s until 48 h after arrival", got, key.HoldID())
	}
	if got := sc.Hold(key, 1000, risk.Block); got != (risk.Hold{}) {
		t.Errorf("Hold of a blocked payment = %+v, want none", got)
	}
	if want := (HoldSpec{risk.Review, 48 * time.Hour, "release", risk.Money{Minor: 1_000_000, Currency: "USD"}}); sc.Holds != want {
		t.Errorf("Holds = %+v, want %+v", sc.Holds, want)
	}
	if got := with(t, "", rules).Hold(key, 1000, risk.Review); got != (risk.Hold{}) {
		t.Errorf("Hold without holds = %+v, want none", got)
	}
}

func TestRuleset(t *testing.T) {
	files := base(t)
	files["rules/a.yaml"] = []byte(`apiVersion: rules/v1
scenario: card_payment
rules:
  - {id: early, was: [earlier], stage: review, when: customer.id == "u", reason: R101, title: {en: Early}, owner: me, why: because, mode: "off"}
  - {id: pts, stage: points, points: 1, group: g, when: customer.id == "u", reason: R101}
`)
	set := mustLoad(t, files)
	var got []string
	for _, r := range set.Rules() {
		got = append(got, fmt.Sprintf("%s %s %s %s %s:%d", r.ID, r.Scenario, r.Stage, r.Mode, r.File, r.Line))
	}
	want := []string{
		"early card_payment review off rules/a.yaml:4", "pts card_payment points live rules/a.yaml:5",
		"burst card_payment block live rules/card.yaml:4",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Rules = %q, want %q", got, want)
	}
	sc := set.Scenario("payment.authorization")
	rec := &risk.Record{}
	rec.Event.Customer.ID = "u7"
	if sc.SubjectOf(rec) != "u7" || sc.Deadline != 100*time.Millisecond || set.Scenario("transfer") != nil || len(set.Scenarios()) != 1 {
		t.Errorf("subject %q, deadline %v, scenarios %v", sc.SubjectOf(rec), sc.Deadline, set.Scenarios())
	}
}

// A version names what it is made of, and nothing else.
func TestVersions(t *testing.T) {
	files := base(t)
	files["lists/x.yaml"] = []byte("apiVersion: lists/v1\nlist: x\ntype: id\nsource: x.csv\n")
	files["lists/x.csv"] = []byte("value\nm_1\n")
	before := mustLoad(t, files).Versions()
	if before.Screening != "none" || len(before.Ruleset) != 71 || len(before.Lists) != 71 || len(before.Features) != 71 {
		t.Errorf("Versions = %+v, want three hashes", before)
	}
	f := func(file, more string, ruleset, features, lists bool) {
		t.Helper()
		changed := diag.Files{}
		for name, src := range files {
			changed[name] = src
		}
		changed[file] = append(slices.Clone(changed[file]), more...)
		after := mustLoad(t, changed).Versions()
		if got := [3]bool{after.Ruleset != before.Ruleset, after.Features != before.Features, after.Lists != before.Lists}; got != [3]bool{ruleset, features, lists} {
			t.Errorf("a change of %s changes ruleset, features, lists: %v, want %v", file, got, [3]bool{ruleset, features, lists})
		}
	}
	f("ruleset.yaml", "    deadline: 80ms\n", true, false, false)
	f("reasons.yaml", "  R9: {public: {en: nine}}\n", true, false, false)
	f("rules/card.yaml", "  - {id: more, stage: block, when: amount.base > 1, reason: R101}\n", true, false, false)
	f("rules/new.yaml", "apiVersion: rules/v1\nscenario: card_payment\nrules: []\n", true, false, false)
	f("features.yaml", "  more: {count: {by: card, window: 20m}}\n", false, true, false)
	f("lists/x.csv", "m_2\n", false, false, true)
	f("README.md", "# text\n", false, false, false)
	f("tests/a_test.yaml", "x", false, false, false)
	f("rates.csv", "date,currency,rate\n", false, false, false)
}

// quiet is a ruleset of n rules of three comparisons, none of which is true.
func quiet(t testing.TB, n int) *Scenario {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  - {id: r%d, stage: review, reason: R1, when: card_attempts_10m >= %d and amount.base < 5 or amount.base > %d}\n", i, 1+i%3, 1000+i)
	}
	return with(t, "", b.String())
}

func TestEvaluateDoesNotAllocate(t *testing.T) {
	sc, s, out := quiet(t, 100), payment(6), &Outcome{}
	if n := testing.AllocsPerRun(100, func() {
		sc.Evaluate(s, out)
		sc.Conclude(out, risk.Number{})
	}); n != 0 || len(out.Fired) != 0 {
		t.Errorf("100 rules that do not fire: %v allocations, %d fired, want none", n, len(out.Fired))
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, n := range []int{30, 100} {
		sc, s, out := quiet(b, n), payment(6), &Outcome{}
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sc.Evaluate(s, out)
				sc.Conclude(out, risk.Number{})
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	var rules strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&rules, "  - {id: r%d, stage: review, reason: R101, when: card_attempts_10m >= %d and amount.base < 5 or amount.base > %d}\n", i, 1+i%3, 1000+i)
	}
	files := base(b)
	files["rules/card.yaml"] = []byte("apiVersion: rules/v1\nscenario: card_payment\nrules:\n" + rules.String())
	b.Run("rules=1000", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, diags := Load(files); len(diags) > 0 {
				b.Fatal(diags)
			}
		}
	})
}
