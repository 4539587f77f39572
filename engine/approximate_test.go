package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
)

// A decision names the features of a busy merchant that were read from tiles, and no
// others: those that differ from the exact count are among them, and a formula is as
// approximate as what it reads. The names are part of the body, so a restart and a
// replay give the same ones.
func TestADecisionNamesWhatIsApproximate(t *testing.T) {
	b, err := engine.Build(diag.Files{
		"ruleset.yaml": []byte("apiVersion: ruleset/v1\nruleset: busy\nbase_currency: USD\nscenarios:\n  pay:\n    events: [payment.authorization]\n" +
			"    subject: customer.id\n    timeout: {then: review}\n    missing_feature: ignore\n"),
		"reasons.yaml": []byte("apiVersion: reasons/v1\nreasons:\n  R1: {public: {en: one}}\n"),
		"rules/r.yaml": []byte("apiVersion: rules/v1\nscenario: pay\nrules:\n  - {id: r1, stage: review, when: n_1h > 380, reason: R1}\n"),
		"features.yaml": []byte(`apiVersion: features/v1
limits: {exact_events: 256, allowed_lateness: 60s}
entities: {merchant: {key: merchant.id}}
features:
  twice:   {expr: n_1h * 2}
  n_10m:   {count: {by: merchant, window: 10m}}
  most_1h: {max: {by: merchant, of: amount.base, window: 1h}}
  n_1h:    {count: {by: merchant, window: 1h}}
`),
	}, tables())
	if err != nil {
		t.Fatal(err)
	}
	var events [][]byte
	var times []time.Time
	for i := range 900 {
		at := clock().Add(time.Duration(i-900) * 10 * time.Second)
		if i%17 == 0 {
			at = at.Add(-35 * time.Second)
		}
		times = append(times, at)
		events = append(events, fmt.Appendf(nil, `{"event":{"id":"e%d","type":"payment.authorization","time":%q},"amount":{"value":"%d.00","currency":"USD"},"customer":{"id":"c"},"merchant":{"id":"busy"}}`,
			i, at.Format("2006-01-02T15:04:05.000Z"), i+1))
	}

	dir := t.TempDir()
	c := startWith(t, dir, options(), b)
	live := bodies(c.feed(events[:600], 0))
	c.close()
	c = startWith(t, dir, options(), b)
	live = append(live, bodies(c.feed(events[600:], 600))...)
	c.close()
	for _, batch := range []int{1, 512} {
		_, again := replayed(t, dir, batch)
		same(t, fmt.Sprint("replay in batches of ", batch), again, live)
	}

	i, named, differ := 0, 0, 0
	for line := range bytes.Lines(live) {
		var d struct {
			Features    map[string]float64
			Approximate []string
		}
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		within := func(w time.Duration) (n int) {
			for _, at := range times[:i+1] {
				if at.After(times[i].Add(-w)) && !at.After(times[i]) {
					n++
				}
			}
			return n
		}
		// A tile of an hour is 14 seconds, in which two events lie at most, and late ones.
		exact := within(time.Hour)
		if n := int(d.Features["n_1h"]); n < exact || n > exact+3 {
			t.Fatalf("decision %d: n_1h is %d, exactly %d", i, n, exact)
		} else if n != exact {
			if differ++; d.Approximate == nil {
				t.Fatalf("decision %d: n_1h is %d, exactly %d, and not named: %s", i, n, exact, line)
			}
		}
		if got := int(d.Features["n_10m"]); got != within(10*time.Minute) {
			t.Fatalf("decision %d: n_10m is %d, want %d", i, got, within(10*time.Minute))
		}
		switch {
		case slices.Equal(d.Approximate, []string{"twice", "n_1h"}):
			named++
		case d.Approximate != nil || bytes.Contains(line, []byte(`"approximate"`)):
			t.Fatalf("decision %d: %s", i, line)
		}
		if i < 256 && d.Approximate != nil {
			t.Fatalf("decision %d: approximate while every event is in the log: %s", i, line)
		}
		i++
	}
	if i != len(events) || named < 300 || differ < 100 {
		t.Errorf("%d decisions, %d of them name what is approximate, %d counts differ", i, named, differ)
	}
}
