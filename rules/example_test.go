package rules

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/internal/expression"
)

// Whatever an expression can read, an example can set, and the rule reads it
// back.
func TestExamplesSetEveryName(t *testing.T) {
	kinds := map[string]expression.Kind{"n": expression.Number, "s": expression.Text, "b": expression.Bool, "t": expression.Time}
	env := expression.NewEnv("USD", kinds)
	var rules strings.Builder
	add := func(when, with string) {
		fmt.Fprintf(&rules, "  - id: r%d\n    stage: review\n    reason: R101\n    when: %s\n    examples: [{hit: true, with: {%s}}]\n", strings.Count(rules.String(), "- id"), when, with)
	}
	for _, name := range env.Names() {
		v, scalar := env.Lookup(name)
		switch {
		case name == "event.time":
			add("days_since(event.time) == 0 and time.weekday == 7", "event.time: 2026-01-04T12:00:00Z")
		case !scalar:
			add("len("+name+") == 2", name+": 2")
		case strings.HasSuffix(name, ".currency"):
			add(name+` == "EUR"`, name+": EUR")
		case v.Kind == expression.Number:
			add(name+" == 1", name+": 1")
		case v.Kind == expression.Text:
			add(name+` == "DE"`, name+": DE")
		case v.Kind == expression.Bool:
			add(name, name+": true")
			add("not "+name, name+": false")
		default:
			add("days_since("+name+") == 1", name+": 2026-01-04T12:00:00Z")
		}
	}
	add("card_attempts_10m == 6", "card_attempts_10m: 6")
	add("points.g == 2.5", "points.g: 2.5")
	add(`amount.value == 1.5 and amount.currency == "USD" and amount.base == 1.5`, "amount: 1.50 USD")
	add(`amount.value == 150 and amount.currency == "JPY" and not has(amount.base)`, "amount: 150 JPY")
	add(`amount.value == 1.5 and amount.currency == "EUR"`, "amount.value: 1.5, amount.currency: EUR")
	add("time.hour == 3 and time.weekday == 7 and local.hour == 23 and local.weekday == 6", "local.hour: 23, local.weekday: 6, time.hour: 3, time.weekday: 7")
	add("customer.age_days == 30 and time.hour == 3", "customer.age_days: 30, time.hour: 3")
	add("label.fraud == 0", "label.fraud: 0")
	add(`event.type == "payment.authorization"`, "")
	rules.WriteString("  - {id: p, stage: points, points: 1, group: g, when: amount.base > 1, reason: R101}\n")

	files := base(t)
	files["ruleset.yaml"] = []byte(strings.Replace(string(files["ruleset.yaml"]), "{tier: string}", "{n: number, s: string, b: bool, t: time}", 1))
	files["rules/card.yaml"] = []byte("apiVersion: rules/v1\nscenario: card_payment\nrules:\n" + rules.String())
	if set := mustLoad(t, files); len(set.Rules()) < 100 {
		t.Errorf("%d rules, want one for each name", len(set.Rules()))
	}
}
