package replay

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
)

// Codes are the kinds of mistakes that this package reports.
var Codes = []diag.Code{
	{ID: codeFile, Explain: "The apiVersion is not the one of a file of tests."},
	{ID: codeDiffers, Explain: "A test of the ruleset cannot be set up, or did not come out as it says."},
}

const (
	codeFile    = "E401"
	codeDiffers = "E402"
)

// A ruleset's tests: what came before, what comes now, what is expected.
type testFile struct {
	APIVersion diag.Text  `yaml:"apiVersion,required" help:"begin with apiVersion: tests/v1"`
	Ruleset    string     `yaml:"ruleset"`
	Tests      []testSpec `yaml:"tests,required"`
}

type testSpec struct {
	Name    diag.Text   `yaml:"name,required"`
	Now     diag.Text   `yaml:"now,required"`
	History []eventSpec `yaml:"history"`
	Given   eventSpec   `yaml:"given,required"`
	Expect  expectSpec  `yaml:"expect,required"`
}

// eventSpec is one event, or some at equal distances, the last one at ending.
type eventSpec struct {
	Event  diag.Text           `yaml:"event,required"`
	ID     string              `yaml:"id"`
	Times  int                 `yaml:"times"`
	Every  diag.Text           `yaml:"every"`
	Ending diag.Text           `yaml:"ending"`
	With   diag.Map[diag.Text] `yaml:"with"`
}

type expectSpec struct {
	Action   diag.Text           `yaml:"action"`
	Rules    []diag.Text         `yaml:"rules"`
	NotRules []diag.Text         `yaml:"not_rules"`
	Reasons  []diag.Text         `yaml:"reasons"`
	Features diag.Map[diag.Text] `yaml:"features"`
	Score    diag.Text           `yaml:"score"`
}

// TestResult is one test of a ruleset.
type TestResult struct {
	Name   string
	At     diag.Span
	Faults diag.List // empty: passed
}

// Test runs every tests/*_test.yaml of a release through the walk, each from an
// empty state. A file that cannot be read is an error; a test that fails is a
// result.
func Test(b *engine.Bundle, decoder *risk.Decoder, tables *enrich.Tables) ([]TestResult, error) {
	var results []TestResult
	var faults diag.List
	for _, name := range b.Files.Names() {
		if !strings.HasPrefix(name, "tests/") || !strings.HasSuffix(name, "_test.yaml") {
			continue
		}
		var f testFile
		if bad := diag.Decode(name, b.Files[name], &f); len(bad) > 0 {
			faults = append(faults, bad...)
			continue
		}
		if f.APIVersion.Value != "tests/v1" {
			faults.Add(f.APIVersion.Mistake(codeFile, "apiVersion `%s` is not `tests/v1`", f.APIVersion.Value))
			continue
		}
		for i := range f.Tests {
			t := &test{spec: &f.Tests[i], bundle: b}
			t.run(decoder, tables)
			results = append(results, TestResult{Name: t.spec.Name.Value, At: t.spec.Name.Span, Faults: t.faults})
		}
	}
	return results, faults.Err()
}

type test struct {
	spec   *testSpec
	bundle *engine.Bundle
	now    time.Time
	count  int
	faults diag.List
}

func (t *test) fault(at diag.Span, format string, args ...any) {
	t.faults.Add(diag.Diagnostic{Code: codeDiffers, Message: fmt.Sprintf(format, args...), Span: at})
}

func (t *test) run(decoder *risk.Decoder, tables *enrich.Tables) {
	var err error
	if t.now, err = time.Parse(time.RFC3339, t.spec.Now.Value); err != nil {
		t.fault(t.spec.Now.Span, "now is not an RFC 3339 time")
		return
	}
	var items []timed
	for i := range t.spec.History {
		items = append(items, t.events(&t.spec.History[i])...)
	}
	slices.SortStableFunc(items, func(a, b timed) int { return a.at.Compare(b.at) })
	given := t.events(&t.spec.Given)
	if len(t.faults) > 0 || len(given) != 1 {
		return
	}
	walk := engine.NewOffline(decoder, tables, nil)
	walk.Pin(t.bundle)
	b := &engine.Batch{}
	for _, it := range append(items, given[0]) {
		b.Items = append(b.Items, timedItem(it))
	}
	walk.Decode(b, func(it *engine.Item, err error) {
		t.fault(t.spec.Name.Span, "an event of this test is refused: %v", err)
	})
	if len(t.faults) > 0 {
		return
	}
	if err := walk.Apply(b); err != nil {
		t.fault(t.spec.Name.Span, "%v", err)
		return
	}
	last := len(b.Items) - 1
	t.compare(b.Results()[last], b.Items[last].Vector())
}

func timedItem(t timed) *engine.Item {
	it := engine.NewItem(t.raw, "test")
	it.Arrival = risk.At(t.at)
	return it
}

type timed struct {
	at  time.Time
	raw []byte
}

// events makes the JSON of the events that a spec stands for.
func (t *test) events(s *eventSpec) (out []timed) {
	ending, every := t.offset(s.Ending), t.offset(s.Every)
	times := max(s.Times, 1)
	for k := range times {
		t.count++
		at := t.now.Add(ending - every*time.Duration(times-1-k))
		id := s.ID
		if id == "" {
			id = "t" + strconv.Itoa(t.count)
		} else if times > 1 {
			id += "-" + strconv.Itoa(k+1)
		}
		event := map[string]any{"event": map[string]any{"id": id, "type": s.Event.Value, "time": at.UTC().Format(time.RFC3339Nano)}}
		for _, entry := range s.With {
			t.set(event, entry.Key, entry.Value, at)
		}
		raw, err := json.Marshal(event)
		if err != nil {
			t.fault(s.Event.Span, "%v", err)
		}
		out = append(out, timed{at, raw})
	}
	return out
}

func (t *test) offset(text diag.Text) time.Duration {
	if text.Value == "" {
		return 0
	}
	d, err := parseOffset(text.Value)
	if err != nil {
		t.fault(text.Span, "%q is not a duration such as -1m, 36h or 7d", text.Value)
	}
	return d
}

func parseOffset(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		return time.Duration(n * 24 * float64(time.Hour)), err
	}
	return time.ParseDuration(s)
}

// set puts one value at its dotted path. Money is "12.30 USD"; an instant may be
// an offset from the event ("-400d").
func (t *test) set(event map[string]any, key, value diag.Text, at time.Time) {
	path := key.Value
	if path == "amount" || path == "settlement" {
		decimal, currency, ok := strings.Cut(value.Value, " ")
		if !ok {
			t.fault(value.Span, "%s is written as \"12.30 USD\"", path)
		}
		member := "value"
		if path == "settlement" {
			member = "amount"
		}
		group(event, path)[member] = decimal
		group(event, path)["currency"] = currency
		return
	}
	g, name, ok := strings.Cut(path, ".")
	if !ok {
		t.fault(key.Span, "%q is not a field of an event", path)
		return
	}
	v, ok := typed(path, value.Value, at)
	if !ok {
		t.fault(key.Span, "%q is not a field of an event", path)
		return
	}
	group(event, g)[name] = v
}

func group(event map[string]any, name string) map[string]any {
	g, ok := event[name].(map[string]any)
	if !ok {
		g = map[string]any{}
		event[name] = g
	}
	return g
}

func typed(path, text string, at time.Time) (any, bool) {
	if strings.HasPrefix(path, "custom.") {
		if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(n, 0) {
			return json.Number(text), true
		}
		if text == "true" || text == "false" {
			return text == "true", true
		}
		return text, true
	}
	switch path {
	case "amount.value", "amount.currency", "settlement.amount", "settlement.currency", "card.number":
		return text, true
	}
	for _, f := range risk.Fields {
		if f.Path != path {
			continue
		}
		switch f.Kind {
		case risk.Decimal:
			return json.Number(text), true
		case risk.Bool:
			return text == "true", true
		case risk.Instant:
			if d, err := parseOffset(text); err == nil {
				return at.Add(d).UTC().Format(time.RFC3339), true
			}
		}
		return text, true
	}
	return nil, false
}

// compare holds the decision against what is expected, and reports every
// difference where the expectation stands.
func (t *test) compare(r engine.Result, vector []float64) {
	x := &t.spec.Expect
	if r.Verdict != engine.Decided {
		t.fault(t.spec.Given.Event.Span, "no decision: the event is %s", r.Verdict)
		return
	}
	d, err := risk.ParseBody(r.Body)
	if err != nil {
		t.fault(t.spec.Name.Span, "%v", err)
		return
	}
	if x.Action.Value != "" && x.Action.Value != d.Action.String() {
		t.fault(x.Action.Span, "action is %s, expected %s (%s)", d.Action, x.Action.Value, firedNames(d))
	}
	fired := map[string]string{}
	for _, f := range d.Rules {
		fired[f.ID] = f.Result
	}
	for _, id := range x.Rules {
		if result, ok := fired[id.Value]; !ok {
			t.fault(id.Span, "%s did not fire (%s)", id.Value, firedNames(d))
		} else if result != "" {
			t.fault(id.Span, "%s did not fire: %s", id.Value, result)
		}
	}
	for _, id := range x.NotRules {
		if result, ok := fired[id.Value]; ok && result == "" {
			t.fault(id.Span, "%s fired", id.Value)
		}
	}
	for _, code := range x.Reasons {
		if !slices.ContainsFunc(d.Reasons, func(r risk.Reason) bool { return r.Code == code.Value }) {
			t.fault(code.Span, "reason %s is not given", code.Value)
		}
	}
	for _, f := range x.Features {
		i, ok := t.bundle.Rules.Features.Index(f.Key.Value)
		if !ok {
			t.fault(f.Key.Span, "unknown feature %s", f.Key.Value)
			continue
		}
		got := "missing"
		if !math.IsNaN(vector[i]) {
			got = strconv.FormatFloat(vector[i], 'g', -1, 64)
		}
		want := f.Value.Value
		if n, err := strconv.ParseFloat(want, 64); err == nil {
			want = strconv.FormatFloat(n, 'g', -1, 64)
		} else if want != "missing" {
			want = fmt.Sprintf("a number or the word missing, not `%s`", want)
		}
		if got != want {
			t.fault(f.Value.Span, "%s is %s, expected %s", f.Key.Value, got, want)
		}
	}
	if x.Score.Value != "" {
		want, err := strconv.ParseFloat(x.Score.Value, 64)
		if err != nil || !d.Score.Set || d.Score.Value != want {
			t.fault(x.Score.Span, "score is %v, expected %s", d.Score.Value, x.Score.Value)
		}
	}
}

func firedNames(d *risk.Decision) string {
	var names []string
	for _, f := range d.Rules {
		name := f.ID
		if f.Result != "" {
			name += " " + f.Result
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no rule fired"
	}
	return "fired: " + strings.Join(names, ", ")
}
