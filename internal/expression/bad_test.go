package expression

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestBadFiles compiles every expression of testdata/*.bad.yaml and compares what
// is rendered with the .want file beside it. Each expression must be refused, but
// for those that are doubtful.
func TestBadFiles(t *testing.T) {
	names, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no test files", err)
	}
	e := testEnv(t)
	seen := map[string]bool{}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Base(name)
		var f struct {
			Rules    []diag.Text `yaml:"rules"`
			Features []diag.Text `yaml:"features"`
			Doubtful []diag.Text `yaml:"doubtful"`
		}
		all := diag.Decode(file, src, &f)
		if all.Err() != nil {
			t.Fatal(all)
		}
		compile := func(src diag.Text, want Kind, o CompileOptions) {
			p, l := e.Compile(src, want, o)
			if p != nil || len(l) == 0 {
				t.Errorf("%s: compiled", src.Span)
			}
			all = append(all, l...)
		}
		for _, src := range f.Rules {
			compile(src, Bool, CompileOptions{})
		}
		for _, src := range f.Features {
			compile(src, Number, CompileOptions{Pseudonymous: true})
		}
		for _, src := range f.Doubtful {
			if _, l := e.Compile(src, Bool, CompileOptions{}); len(l) > 0 {
				t.Errorf("%s: %v", src.Span, l)
			}
		}
		for _, d := range e.Doubts() {
			if d.Span.File == file {
				all = append(all, d)
			}
		}
		for _, d := range all {
			seen[d.Code] = true
		}
		var b strings.Builder
		diag.Render(&b, all, diag.Files{file: src})
		want := strings.TrimSuffix(name, ".yaml") + ".want"
		if *update {
			if err := os.WriteFile(want, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if golden, err := os.ReadFile(want); err != nil || b.String() != string(golden) {
			t.Errorf("%s: %v\n%s", name, err, b.String())
		}
	}
	ids := map[string]bool{}
	for _, c := range Codes {
		if ids[c.ID] || c.Explain == "" {
			t.Errorf("code %s stands twice or says nothing", c.ID)
		}
		ids[c.ID] = true
		if !seen[c.ID] {
			t.Errorf("no bad file shows %s", c.ID)
		}
	}
	for code := range seen {
		if !ids[code] {
			t.Errorf("code %s is in no table", code)
		}
	}
}

// TestHostileSourcesAreRefusedQuickly holds what brings expr's own compiler or VM
// down: stack overflow, memory without bound, endless loops.
func TestHostileSourcesAreRefusedQuickly(t *testing.T) {
	e := testEnv(t)
	r := strings.Repeat
	for name, src := range map[string]string{
		"repeat":            `repeat(repeat("a",900000),900000) == "a"`,
		"replace":           `replace(replace(customer.id,"a",customer.id),"a",customer.id) == "a"`,
		"5 million (":       r("(", 5_000_000),
		"4000 (":            r("(", 4000),
		"65 (":              r("(", 65) + "true" + r(")", 65),
		"200,000 !":         r("!", 200_000) + "true",
		"4000 !":            r("!", 4000) + "true",
		"65 not":            r("not ", 65) + "true",
		"4000 -":            r("-", 4000) + "1 > 0",
		"mixed nesting":     r("-(", 1000) + "1" + r(")", 1000) + " > 0",
		"4000 [":            r("[", 4000),
		"4000 {":            r("{", 4000),
		"nested counts":     `count(order.items,{count(order.items,{count(order.items,{count(order.items,#>0)>0})>0})>0}) > 0`,
		"reduce":            `reduce(1..30,#acc+#acc,"aaaaaaaa") == "a"`,
		"let doubling":      `let a = "aaaaaaaa"; let b = a + a; let c = b + b; c == "a"`,
		"range":             `len(1..100000000) > 1`,
		"501 parts":         "attempts > 1" + r(" and attempts > 1", 130),
		"choices":           r("true?", 1000) + "true" + r(":true", 1000),
		"powers":            "2" + r("**2", 1000) + " > 1",
		"nested repetition": `customer.id matches "((a{100}){100}){100}"`,
		"long pattern":      `customer.id matches "` + r("a?", 200) + `"`,
		"costly pattern":    `customer.id matches "` + r("a{900}", 30) + `"`,
		"pattern from data": `customer.id matches customer.name`,
		"environment":       `$env["customer"] == "a"`,
		"now":               `now() > now()`,
		"json":              `toJSON(customer.id) == "a"`,
		"predicate":         `all(order.items, true)`,
		"not utf-8":         "customer.id == \"\xff\"",
		"long":              "attempts > 1 " + r(" ", maxSource),
		"sums of texts":     `customer.id + customer.id == "a"`,
	} {
		text := diag.Inline("test", src)
		start := time.Now()
		p, l := e.Compile(text, Bool, CompileOptions{})
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if p != nil || len(l) == 0 {
			t.Errorf("%s: compiled", name)
		}
		if len(l) > maxMistakes {
			t.Errorf("%s: %d mistakes", name, len(l))
		}
	}
	for name, src := range map[string]string{
		"64 (":      r("(", 64) + "true" + r(")", 64),
		"64 not":    r("not ", 64) + "true",
		"120 terms": "attempts > 1" + r(" and attempts > 1", 120),
	} {
		if _, l := e.Compile(diag.Inline("test", src), Bool, CompileOptions{}); l.Err() != nil {
			t.Errorf("%s: %v", name, l)
		}
	}
}

func FuzzCompile(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.bad.yaml")
	for _, name := range names {
		src, _ := os.ReadFile(name)
		for line := range strings.Lines(string(src)) {
			f.Add(strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "-")))
		}
	}
	for _, src := range []string{
		"a.b ? (c) : -d ** 2", "x not in [1, 'b', -2.5e3]", "km(1,2,3,4) % len(order.items)", "b'\\x00' == `a` // c", "/* */ a?.b ?? c | d()", "((a).b)[1:2]",
		"min(attempts, -1) < 3 < 4 and has(customer.id)", "if a { b } else { c }", "let a = 1; a; b", "#.x in {a: 1}",
	} {
		f.Add(src)
	}
	e, s := testEnv(f), testScope()
	f.Fuzz(func(t *testing.T, src string) {
		for _, want := range []Kind{Bool, Number, Text, Time} {
			p, l := e.Compile(diag.Inline("f", src), want, CompileOptions{})
			if (p == nil) == (len(l) == 0) {
				t.Fatalf("%q: program %v with mistakes %v", src, p, l)
			}
			diag.Render(new(strings.Builder), l, diag.Files{"f": []byte(src)})
			if p == nil {
				continue
			}
			p.Text(s)
			if x, fault := p.Number(s); x-x != 0 {
				t.Fatalf("%q = %v, %v", src, x, fault)
			}
			hit, fault := p.Bool(s)
			if because := p.Because(s); !hit && because != nil || hit && fault != (Fault{}) {
				t.Fatalf("%q: hit %v, fault %v, because %v", src, hit, fault, because)
			}
		}
	})
}
