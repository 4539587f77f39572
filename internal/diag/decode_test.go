package diag

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite golden files")

type titled struct {
	Title Text `yaml:"title"`
}

// oneOrMany is written as a scalar or as a list.
type oneOrMany []Text

func (o *oneOrMany) DecodeNode(d *Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		*o = oneOrMany{d.Text(n)}
		return
	}
	var many []Text
	d.Decode(n, &many)
	*o = many
}

type rule struct {
	Span   Span `yaml:"-,span"`
	titled `yaml:",inline"`
	ID     Text      `yaml:"id,required"`
	When   Text      `yaml:"when,required"`
	Points float64   `yaml:"points"`
	Limit  int       `yaml:"limit"`
	Live   bool      `yaml:"live"`
	Keys   oneOrMany `yaml:"keys"`
	Params Map[struct {
		Value float64 `yaml:"value,required"`
	}] `yaml:"params"`
	With Map[Text] `yaml:"with"`
	Next *rule     `yaml:"next"`
}

type rulesFile struct {
	API   string `yaml:"apiVersion,required"`
	Rules []rule `yaml:"rules"`
}

func decode(t *testing.T, src string) (rulesFile, List) {
	t.Helper()
	var f rulesFile
	return f, Decode("rules/a.yaml", []byte(src), &f)
}

func TestDecode(t *testing.T) {
	var f rulesFile
	l := Decode("rules/a.yaml", []byte(`# a comment
apiVersion: rules/v1
rules:
  - id: &id first        # its id
    title: 试卡
    when: NO
    points: -1.5e1
    limit: 7
    live: true
    keys: customer.id
    params: {b: {value: 1}, a: {value: 2}}
    with: &tiny {x: 0123, y: 1e3, on: 2026-11-02, n: ~}
  - {id: *id, when: "a > 1", keys: [a, b], with: {<<: *tiny, y: 5}, next: {id: n, when: x}}
`), &f)
	if l.Err() != nil {
		t.Fatal(l)
	}
	a, b := f.Rules[0], f.Rules[1]
	if a.ID.Value != "first" || a.When.Value != "NO" || a.Points != -15 || a.Limit != 7 || !a.Live || a.Title.Value != "试卡" {
		t.Errorf("first rule %+v", a)
	}
	if a.Span != (Span{"rules/a.yaml", 4, 5, 2}) || b.Span != (Span{"rules/a.yaml", 13, 5, 1}) {
		t.Errorf("rules stand at %v and %v", a.Span, b.Span)
	}
	flat := func(m Map[Text]) (out []string) {
		for _, e := range m {
			out = append(out, e.Key.Value+"="+e.Value.Value)
		}
		return out
	}
	if got, want := flat(a.With), []string{"x=0123", "y=1e3", "on=2026-11-02", "n=~"}; !reflect.DeepEqual(got, want) {
		t.Errorf("with = %q, want %q", got, want)
	}
	if got, want := flat(b.With), []string{"x=0123", "on=2026-11-02", "n=~", "y=5"}; !reflect.DeepEqual(got, want) {
		t.Errorf("merged with = %q, want %q", got, want)
	}
	if a.Params[0].Key.Value != "b" || a.Params[1].Value.Value != 2 {
		t.Errorf("params lost their order: %+v", a.Params)
	}
	if len(a.Keys) != 1 || len(b.Keys) != 2 || b.Next == nil || b.Next.ID.Value != "n" {
		t.Errorf("keys %v %v, next %v", a.Keys, b.Keys, b.Next)
	}
	if b.ID.Value != "first" || b.ID.Span != a.ID.Span || a.ID.Span != (Span{"rules/a.yaml", 4, 13, 5}) {
		t.Errorf("alias: %+v, anchor %+v", b.ID.Span, a.ID.Span)
	}
}

// TestBadFiles renders every testdata/*.bad.yaml and compares with its .want file.
func TestBadFiles(t *testing.T) {
	names, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no test files", err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Base(name)
		var f rulesFile
		l := Decode(file, src, &f)
		if len(l) == 0 {
			t.Errorf("%s: no mistake found", name)
		}
		var b strings.Builder
		Render(&b, l, Files{file: src})
		golden(t, strings.TrimSuffix(name, ".yaml")+".want", b.String())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestHostileFilesAreRefusedQuickly(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'k'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") + "]\n"
	}
	merges := "a: &a {k: v}\n"
	for c := 'b'; c <= 'z'; c++ {
		merges += string(c) + ": &" + string(c) + " {<<: [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") + "]}\n"
	}
	type any struct {
		All Map[nested] `yaml:"all"`
	}
	for name, src := range map[string]string{
		"too large":       strings.Repeat("# x\n", MaxFile/4+1),
		"nested flow":     "all: " + strings.Repeat("[", 100_000),
		"nested 5000":     "all: " + strings.Repeat("{a: ", 5000) + "1" + strings.Repeat("}", 5000),
		"nested 100":      "all: " + strings.Repeat("{a: ", 100) + "1" + strings.Repeat("}", 100),
		"billion laughs":  bomb + "all: {k: *k}\n",
		"merge bomb":      merges + "all: *z\n",
		"alias to itself": "all: &a {b: *a}\n",
		"merges itself":   "all: &a {<<: *a}\n",
		"not utf-8":       "all: \"\xff\"\n",
		"two documents":   "all: {}\n---\nall: {}\n",
		"tag":             "all: !!binary aGk=\n",
		"unknown anchor":  "all: *nobody\n",
	} {
		start := time.Now()
		var out any
		l := Decode("f.yaml", []byte(src), &out)
		if len(l) == 0 {
			t.Errorf("%s: accepted", name)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// nested is any tree of lists and mappings.
type nested struct{ n int }

func (x *nested) DecodeNode(d *Decoder, n *yaml.Node) {
	switch n.Kind {
	case yaml.SequenceNode:
		var all []nested
		d.Decode(n, &all)
	case yaml.MappingNode:
		var all Map[nested]
		d.Decode(n, &all)
	}
	x.n++
}

func FuzzDecode(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range names {
		src, _ := os.ReadFile(name)
		f.Add(src)
	}
	f.Add([]byte("apiVersion: &a >2-\n   x\n    y\nrules: [{id: 'a''b', when: \"\\u4e2d \\\n  c\"}]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		var out rulesFile
		l := Decode("f.yaml", src, &out)
		Render(new(strings.Builder), l, Files{"f.yaml": src})
		for _, r := range out.Rules {
			for i := range len(r.When.Value) + 1 {
				r.When.At(i, 2)
			}
		}
	})
}
