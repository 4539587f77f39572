package features

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

var update = flag.Bool("update", false, "rewrite the expected messages under testdata")

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			set, list := Load("features.yaml", src, testEnv())
			if set != nil {
				list = set.Warnings()
			}
			if idle := filepath.Base(file) == "idle.yaml"; idle != (set != nil) || len(list) == 0 {
				t.Fatalf("Load gave a set (%v), mistakes or warnings: %d", set != nil, len(list))
			}
			var got bytes.Buffer
			diag.Render(&got, list, diag.Files{"features.yaml": src})
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

func TestEveryCodeIsExplainedAndUsed(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.txt")
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	for _, c := range Codes {
		if c.ID != codeSize && !bytes.Contains(all, []byte("["+c.ID+"]")) {
			t.Errorf("no bad file has a mistake %s", c.ID)
		}
	}
}

func TestTooLargeFiles(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: features/v1\nentities: {card: {key: card.token}}\nfeatures:\n")
	for i := range maxFeatures + 1 {
		fmt.Fprintf(&b, "  f%d: {count: {by: card}}\n", i)
	}
	if _, list := Load("f", []byte(b.String()), testEnv()); len(list) != 1 || list[0].Code != codeSize {
		t.Errorf("%d features: %v", maxFeatures+1, list)
	}
	b.Reset()
	b.WriteString("apiVersion: features/v1\nentities:\n")
	for i := range maxEntities + 1 {
		fmt.Fprintf(&b, "  e%d: {key: card.token}\n", i)
	}
	if _, list := Load("f", []byte(b.String()), testEnv()); len(list) != 1 || list[0].Code != codeSize {
		t.Errorf("%d entities: %v", maxEntities+1, list)
	}
}

func TestSetDescribesItself(t *testing.T) {
	set := mustLoad(t, modelYAML([]string{"ratio", "card_10m", "card_life", "customer_avg"}))
	if got, want := fmt.Sprint(set.Names()), "[ratio card_10m card_life customer_avg]"; got != want {
		t.Errorf("Names() = %s, want %s", got, want)
	}
	if i, ok := set.Index("card_life"); i != 2 || !ok {
		t.Errorf("Index(card_life) = %d, %v", i, ok)
	}
	at := set.Info(3).At
	if got, want := set.Info(3), (Info{"customer_avg", "avg", "customer", "1h", "10m", false, at}); got != want || at.Line != 14 {
		t.Errorf("Info(3) = %+v, want %+v on line 14", got, want)
	}
	if got := set.Info(0); !got.Derived || got.Aggregate != "" || got.Window != "" {
		t.Errorf("Info(0) = %+v, want a formula", got)
	}
	if got, want := set.Horizon(), 2*time.Hour+10*time.Minute; got != want {
		t.Errorf("Horizon() = %v, want %v", got, want)
	}
	standard := mustLoad(t, "apiVersion: features/v1\n")
	if got, want := standard.Limits(), (Limits{4096, 25 * time.Hour, 180 * day, 7 * day}); got != want {
		t.Errorf("Limits() = %+v, want %+v", got, want)
	}
}

func TestDigestCoversDefinitionsAndLimits(t *testing.T) {
	src := modelYAML([]string{"ratio", "card_10m", "card_life", "account_any"})
	base := mustLoad(t, src).Digest()
	same := "# a comment\n" + strings.Replace(src, "{by: card, window: 10m,", "{window: 10m, by: card,", 1)
	if got := mustLoad(t, same).Digest(); got != base {
		t.Errorf("another layout of the file has another digest")
	}
	for old, new := range map[string]string{
		"allowed_lateness: 1h":      "allowed_lateness: 2h",
		"allowed_lateness: 1h}":     "allowed_lateness: 1h, dedup: 8d}",
		"card_10m: {count":          "card_9m: {count",
		"window: 10m":               "window: 11m",
		"card_10m / card_life":      "card_life / card_10m",
		"read: sender.account":      "read: receiver.account",
		"pair: {key: [customer.id,": "pair: {key: [card.token,",
		"key: card.token}":          "key: customer.id}",
	} {
		changed := strings.Replace(src, old, new, 1)
		if old == "card_10m: {count" {
			changed = strings.ReplaceAll(src, "card_10m", "card_9m")
		}
		if changed == src {
			t.Fatalf("%q is not in the file", old)
		}
		if got := mustLoad(t, changed).Digest(); got == base {
			t.Errorf("%q for %q: the same digest", new, old)
		}
	}
}

func TestNamesForRules(t *testing.T) {
	set := mustLoad(t, modelYAML([]string{"card_10m", "card_sum_2h", "customer_avg"}))
	env := testEnv()
	if err := set.Define(env); err != nil {
		t.Fatal(err)
	}
	if err := set.Define(env); err == nil {
		t.Error("Define twice: no error")
	}
	compile := func(src string) diag.List {
		_, list := env.Compile(diag.Inline("r", src), expression.Bool, expression.CompileOptions{})
		return list
	}
	if list := compile("card_10m >= 5 and card_sum_2h > 10.25 and customer_avg > 10.255"); len(list) > 0 {
		t.Errorf("a condition on features: %v", list)
	}
	if list := compile("card_sum_2h > 10.255"); len(list) == 0 {
		t.Error("a sum of dollars is compared with a tenth of a cent: no mistake")
	}
	v, ok := env.Lookup("card_10m")
	if !ok || v.Window != "10m" || v.Kind != expression.Number {
		t.Errorf("Lookup(card_10m) = %+v, %v", v, ok)
	}
	scope := expression.Scope{Features: []float64{7, missing, missing}}
	if got := v.Number(&scope); got != 7 {
		t.Errorf("card_10m = %v, want 7", got)
	}
}

// A file that loads can prepare and observe any event.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	more, _ := filepath.Glob("../cmd/sluice/testdata/check/*/features.yaml")
	for _, file := range append(files, more...) {
		src, _ := os.ReadFile(file)
		f.Add(src)
	}
	var names []string
	for _, m := range modelFeatures {
		names = append(names, m.name)
	}
	f.Add([]byte(modelYAML(names)))
	f.Add([]byte(typical))
	env := testEnv()
	f.Fuzz(func(t *testing.T, src []byte) {
		set, list := Load("f", src, env)
		if (set == nil) == (len(list) == 0) {
			t.Fatalf("set %v with %d mistakes", set != nil, len(list))
		}
		if set == nil {
			return
		}
		st := NewState(set)
		var p Prepared
		var v Vector
		var scope expression.Scope
		for _, rec := range traffic(3, 10, 1000) {
			set.Prepare(rec, &scope, &p)
			st.Observe(&p, rec.Event.Time, rec.Arrival, &v)
			scope.Features = v.Values
			set.Derive(&scope)
		}
	})
}

func TestKeyHelpNamesNormalisers(t *testing.T) {
	if got, want := normalised("`customer.email` identifies somebody"), "email(customer.email), domain(customer.email)"; got != want {
		t.Errorf("normal forms of customer.email: %s, want %s", got, want)
	}
	if risk.KeyIndex("card.token") < 0 {
		t.Error("card.token is no key")
	}
}

// Every example of the documentation must load.
func TestDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, block := range strings.Split(string(doc), "```yaml\n")[1:] {
		src, _, ok := strings.Cut(block, "```")
		if !ok {
			t.Fatal("a block without end")
		}
		mustLoad(t, src)
		examples++
	}
	if examples == 0 {
		t.Error("no example")
	}
	// What stands in the tables of keys and of `by`, written into a file.
	var entities, by int
	for _, line := range strings.Split(string(doc), "\n") {
		row, ok := strings.CutPrefix(line, "| ")
		if !ok {
			continue
		}
		cell, _, _ := strings.Cut(row, " |")
		written := strings.Trim(cell, "`")
		switch {
		case strings.HasPrefix(cell, "`key"):
			mustLoad(t, "apiVersion: features/v1\nentities: {x: {"+written+"}}\n")
			entities++
		case strings.HasPrefix(cell, "`by:"):
			header := strings.Replace(modelHeader, "entities:\n", "entities:\n  on_device: {keys: [[device.id, customer.id], [device.id, escrow.seller]]}\n", 1)
			mustLoad(t, header+"  n: {count: {"+written+"}}\n")
			by++
		}
	}
	if entities < 5 || by < 2 {
		t.Errorf("%d keys and %d uses of by in the tables", entities, by)
	}
	for _, a := range aggregates {
		if !bytes.Contains(doc, []byte("`"+a.name+"`")) {
			t.Errorf("%s is not described", a.name)
		}
	}
}

func TestFormulasThatReadAFeature(t *testing.T) {
	set := mustLoad(t, modelHeader+`  a: {count: {by: card}}
  b: {count: {by: card, window: 1h}}
  twice: {expr: half * 4}
  half: {expr: a / 2}
  other: {expr: b + 1}
  both: {expr: b + twice}
`)
	for _, x := range []struct{ of, want []string }{
		{[]string{"a"}, []string{"twice", "half", "both"}}, {[]string{"b"}, []string{"other", "both"}}, {nil, nil},
	} {
		if got := set.Formulas(x.of); !slices.Equal(got, x.want) {
			t.Errorf("%v is read by %v, want %v", x.of, got, x.want)
		}
	}
}
