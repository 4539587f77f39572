package risk

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sampleDecision() *Decision {
	key := KeyOf("default", "pay_91")
	return &Decision{
		ID: key.DecisionID(), Event: "pay_91", Tenant: "default", Scenario: "card_payment",
		Action: Review, Score: Number{0.71, true},
		Reasons: []Reason{{"R210", "Moved faster than an airliner"}},
		Rules: []Fired{
			{ID: "impossible_travel", Stage: "review", Mode: "live", At: "rules/card.yaml:18", Because: []Because{
				{Left: "travel_speed", Value: Scalar{Kind: Decimal, Number: 1830.4}, Op: ">", Limit: Scalar{Kind: Decimal, Number: 950}, Window: "10m"},
				{Left: "card.country", Value: Scalar{Kind: Text, Text: "US"}, Op: "!=", Limit: Scalar{Kind: Text, Text: "DE"}},
				{Left: "payment.mit", Value: Scalar{Kind: Bool}, Op: "==", Limit: Scalar{}},
			}},
			{ID: "many_cards", Stage: "points", Mode: "shadow", Points: 12.5, At: "rules/card.yaml:30"},
			{ID: "old_account", Stage: "review", Mode: "live", Result: "missing(customer.age_days)", At: "rules/card.yaml:44"},
		},
		Features: Values{
			Names: []string{"amount_sum_24h", "card_attempts_10m", "share_declined", "travel_speed"},
			Value: []float64{323.21, 4, 1.0 / 3, math.NaN()},
		},
		Partial: []Partial{{Since: 1_795_262_400_000, Features: []string{"amount_sum_24h"}}},
		Advice:  Advice{Challenge: true},
		Hold:    Hold{ID: key.HoldID(), Expires: 1_795_435_200_000},
		Versions: Versions{Engine: "0.1.0", Ruleset: "sha256:aa", Features: "sha256:bb", Lists: "sha256:cc",
			Model: "none", Screening: "none", Facts: "iploc-20260915"},
		Warnings: []Warning{{"/card/bin", CodeInputInvalid, "not the 6 to 8 digits of a BIN"}},
	}
}

// golden compares with a file that is part of the interface: a change of it is a
// change of every stored decision.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strings.TrimSuffix(string(want), "\n") {
		t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
	}
	if !json.Valid(got) {
		t.Errorf("%s is not JSON", name)
	}
}

func TestBody(t *testing.T) {
	d := sampleDecision()
	full, short := d.AppendBody(nil, true), d.AppendBody([]byte("x"), false)[1:]
	golden(t, "body.json", full)
	golden(t, "body_without_evidence.json", short)
	for _, word := range []string{"because", "score", `"features":{"amount`, "partial_since", `"points":`} {
		if bytes.Contains(short, []byte(word)) {
			t.Errorf("%s is in the body without evidence", word)
		}
	}
	d.Approximate, d.Awaiting = []string{"merchant_cards_30d", "merchant_volume"}, []string{"card_new"}
	named := bytes.Replace(full, []byte(`,"advice"`), []byte(`,"approximate":["merchant_cards_30d","merchant_volume"],"awaiting_backfill":["card_new"],"advice"`), 1)
	if got := d.AppendBody(nil, true); !bytes.Equal(got, named) {
		t.Errorf("with features named: %s\nwant %s", got, named)
	}
	if got := d.AppendBody(nil, false); !bytes.Equal(got, short) {
		t.Errorf("with features named, without evidence: %s\nwant %s", got, short)
	}
	golden(t, "body_empty.json", (&Decision{Action: Allow}).AppendBody(nil, true))
	golden(t, "answer.json", AppendAnswer(nil, short, Envelope{Position: 4711, Degraded: []string{"storage"},
		Supersedes: &Answered{Tenant: "default", Event: "pay_91", Action: Block, Degraded: []string{"deadline"}, At: 1_795_262_400_080}}))
	a := Alert{ID: KeyOf("default", "pay_91").AlertID(), Kind: "rule", Event: "pay_91", Decision: d.ID, Subject: "u1",
		Scenario: d.Scenario, Action: d.Action, Reasons: d.Reasons, Versions: d.Versions}
	golden(t, "alert.json", a.Append(nil))

	for name, b := range map[string][]byte{"body": full, "body, features named": named, "short body": short} {
		back, err := ParseBody(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := back.AppendBody(nil, name != "short body"); !bytes.Equal(again, b) {
			t.Errorf("%s written again:\n%s\nfirst:\n%s", name, again, b)
		}
	}
	want := append(bytes.Clone(full[:len(full)-1]), `,"position":7}`...)
	if got := AppendAnswer(nil, full, Envelope{Position: 7}); !bytes.Equal(got, want) {
		t.Errorf("answer %s\nwant   %s", got, want)
	}
}

// TestNoActionNoBody holds that what has no action is never written, and never
// read as one.
func TestNoActionNoBody(t *testing.T) {
	for _, a := range []Action{0, 4, 255} {
		d := sampleDecision()
		d.Action = a
		if b := d.AppendBody([]byte("x"), true); b != nil {
			t.Errorf("AppendBody with %s = %s, want nil", a, b)
		}
		if b := (&Alert{Action: a}).Append([]byte("x")); b != nil {
			t.Errorf("Alert with %s = %s, want nil", a, b)
		}
		if b := AppendAnswer(nil, []byte(`{"a":1}`), Envelope{Supersedes: &Answered{Action: a}}); b != nil {
			t.Errorf("AppendAnswer superseding %s = %s, want nil", a, b)
		}
	}
	for _, body := range []string{`{}`, `{"action":null}`, `{"action":""}`, `{"action":"Allow"}`, `{"action":"action(0)"}`, `{"action":1}`} {
		if d, err := ParseBody([]byte(body)); err == nil {
			t.Errorf("ParseBody(%s) = %+v", body, d)
		}
	}
	if _, err := ParseBody([]byte(`{"action":null}`)); !errors.Is(err, ErrNoAction) {
		t.Errorf("no action: %v", err)
	}
	for _, body := range []string{`{"action":"allow"}x`, `{"action":"allow","extra":1}`, `[]`} {
		if d, err := ParseBody([]byte(body)); err == nil {
			t.Errorf("ParseBody(%s) = %+v", body, d)
		}
	}
	for _, body := range []string{"", "{}", "[1]", `{"a":1`} {
		if b := AppendAnswer(nil, []byte(body), Envelope{}); b != nil {
			t.Errorf("AppendAnswer(%q) = %s, want nil", body, b)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := string(appendFloat(nil, v)); got != want {
			t.Errorf("appendFloat(%g) = %s, want %s", v, got, want)
		}
	}
	f(0, "0")
	f(math.Copysign(0, -1), "0")
	f(1830.4, "1830.4")
	f(-12, "-12")
	f(1e15, "1000000000000000")
	f(1e21, "1000000000000000000000")
	f(0.1, "0.1")
	f(1e-6, "0.000001")
	f(1e-7, "1e-7")
	f(-1.5e-10, "-1.5e-10")
	f(5e-324, "5e-324")
	f(math.NaN(), "null")
	f(math.Inf(1), "null")
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64().Draw(t, "v")
		var back float64
		b := appendFloat(nil, v)
		if err := json.Unmarshal(b, &back); err != nil || back != v {
			t.Fatalf("%v is written %s and read %v (%v)", v, b, back, err)
		}
		if want, _ := json.Marshal(v); v != math.Trunc(v) && string(b) != string(want) {
			t.Fatalf("%v is written %s, encoding/json writes %s", v, b, want)
		}
	})
}

func TestAppendString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		var back string
		b := appendString([]byte("x"), s)[1:]
		if err := json.Unmarshal(b, &back); err != nil || back != s {
			t.Fatalf("%q is written %s and read %q (%v)", s, b, back, err)
		}
	})
	if got := string(appendString(nil, "a\xffb<\x1f\"é")); got != `"a`+"\ufffd"+`b<\u001f\"é"` {
		t.Errorf("got %s", got)
	}
}

func BenchmarkBody(b *testing.B) {
	d := sampleDecision()
	for i := range 40 {
		d.Features.Names = append(d.Features.Names, "feature_"+string(rune('a'+i%26))+"_24h")
		d.Features.Value = append(d.Features.Value, float64(i)*1.25)
	}
	buf := d.AppendBody(nil, true)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		buf = d.AppendBody(buf[:0], true)
	}
}
