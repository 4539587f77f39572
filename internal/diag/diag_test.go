package diag

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	src := []byte("id: a\n    when: 名字 == \"张三\" and\tamout > 5\n" + strings.Repeat("x", 300) + "amout" + strings.Repeat("y", 300) + "\n")
	l := List{
		{Code: "E012", Message: "unknown feature `amout`", Label: "not in features.yaml", Help: "did you mean `amount`?", Span: Span{"a.yaml", 2, 26, 5}},
		{Code: "E011", Message: "texts differ", Span: Span{"a.yaml", 2, 11, 10}},
		{Code: "E012", Message: "far right", Span: Span{"a.yaml", 3, 301, 5}},
		{Code: "E012", Message: "over the end", Span: Span{"a.yaml", 1, 9, 40}},
		{Code: "E054", Message: "a whole file\x1b[31m\u202e", Label: "is missing", Span: Span{File: "b.yaml"}},
	}
	var b strings.Builder
	Render(&b, l, Files{"a.yaml": src})
	golden(t, "testdata/render.want", b.String())

	// Each caret line must mark the same columns as the text above it.
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		if at := strings.Index(line, "^"); at >= 0 && strings.Contains(lines[i-1], "amout > 5") && strings.Contains(line, "not in") {
			before, _, _ := strings.Cut(lines[i-1], "amout")
			if got, want := columns([]rune(line[:at])), columns([]rune(before)); got != want {
				t.Errorf("carets start in column %d, the word in %d", got, want)
			}
		}
	}
}

func TestList(t *testing.T) {
	var l List
	if l.Err() != nil {
		t.Error("an empty list is an error")
	}
	l.Add(Diagnostic{Code: "E2", Message: "b", Span: Span{"f", 2, 1, 1}})
	l.Add(Diagnostic{Code: "E1", Message: "a", Span: Span{"f", 1, 9, 1}})
	l.Sort()
	if got, want := l.Err().Error(), "f:1:9: error[E1]: a\nf:2:1: error[E2]: b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"card_distinct_amounts_10m", "card_attempts_10m", "amount.base", "amount.value", "ip.asn", "id"}
	for name, want := range map[string]string{
		"card_distinct_amount_10m": "card_distinct_amounts_10m",
		"card_atempts_10m":         "card_attempts_10m",
		"amuont.base":              "amount.base",
		"ip.ans":                   "ip.asn",
		"di":                       "id",
		"zzzzzz":                   "",
		"":                         "",
		"amount.base":              "", // known
	} {
		if got, ok := Nearest(name, known); got != want || ok != (want != "") {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Skip("no symbolic links here:", err)
	}
}

func TestReadDir(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"ruleset.yaml": "a", "rules/card.yaml": "b", ".git/config": "x", "rules/.swp": "x"})
	f, err := ReadDir(dir)
	if err != nil || !slices.Equal(f.Names(), []string{"rules/card.yaml", "ruleset.yaml"}) || string(f["ruleset.yaml"]) != "a" {
		t.Errorf("ReadDir = %v, %v", f.Names(), err)
	}
	as := filepath.Join(t.TempDir(), "link")
	link(t, dir, as)
	if g, err := ReadDir(as); err != nil || g.Digest() != f.Digest() {
		t.Errorf("through a link: %v, %v", g.Names(), err)
	}
}

// A mounted Kubernetes volume: ..data links to a dated directory, and each name
// links through ..data.
func TestReadDirOfAMountedVolume(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"..2026_11_21/ruleset.yaml": "a", "..2026_11_21/rules/card.yaml": "b"})
	link(t, "..2026_11_21", filepath.Join(dir, "..data"))
	link(t, "..data/ruleset.yaml", filepath.Join(dir, "ruleset.yaml"))
	link(t, "..data/rules", filepath.Join(dir, "rules"))
	f, err := ReadDir(dir)
	if err != nil || !slices.Equal(f.Names(), []string{"rules/card.yaml", "ruleset.yaml"}) {
		t.Errorf("ReadDir = %v, %v", f.Names(), err)
	}
}

func TestReadDirRefuses(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"secret": "s"})
	for name, prepare := range map[string]func(dir string){
		"a link out of the root":     func(dir string) { link(t, filepath.Join(outside, "secret"), filepath.Join(dir, "a.yaml")) },
		"a directory link out of it": func(dir string) { link(t, outside, filepath.Join(dir, "rules")) },
		"a link to itself":           func(dir string) { link(t, ".", filepath.Join(dir, "rules")) },
		"a broken link":              func(dir string) { link(t, "nowhere", filepath.Join(dir, "a.yaml")) },
		"a large file":               func(dir string) { write(t, dir, map[string]string{"a": strings.Repeat("x", MaxFile+1)}) },
		"a deep tree":                func(dir string) { write(t, dir, map[string]string{strings.Repeat("d/", 12) + "a": "x"}) },
		"no directory":               func(dir string) { os.Remove(dir) },
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		prepare(dir)
		if f, err := ReadDir(dir); err == nil {
			t.Errorf("%s: read %v", name, f.Names())
		} else if runtime.GOOS != "windows" && strings.Contains(err.Error(), "secret:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadDirSaysWhatToDoWithALargeFile(t *testing.T) {
	for name, want := range map[string]string{"ev.jsonl": "begin its name with a dot", "lists/l.csv": "larger than 1 MiB; split it"} {
		dir := t.TempDir()
		write(t, dir, map[string]string{name: strings.Repeat("x", MaxFile+1)})
		if _, err := ReadDir(dir); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": "a", ".ev.jsonl": strings.Repeat("x", MaxFile+1)})
	if f, err := ReadDir(dir); err != nil || len(f) != 1 {
		t.Errorf("beside a large file that is not read: %v, %v", f.Names(), err)
	}
}

func TestDigest(t *testing.T) {
	f := Files{"a": []byte("bc"), "ab": []byte("c"), "e": nil}
	all := f.Digest()
	if !strings.HasPrefix(all, "sha256:") || len(all) != 71 {
		t.Errorf("digest %q", all)
	}
	if f.Digest("ab", "a", "e", "a") != all {
		t.Error("order or repetition of names changes the digest")
	}
	for name, g := range map[string]Files{
		"moved byte":   {"ab": []byte("c"), "a": []byte("b"), "e": []byte("c")},
		"other name":   {"a": []byte("bc"), "ab": []byte("c"), "f": nil},
		"one file off": {"a": []byte("bc"), "ab": []byte("c")},
	} {
		if g.Digest() == all {
			t.Errorf("%s: same digest", name)
		}
	}
	if f.Digest("e") == f.Digest("nowhere") || f.Digest("nowhere") == f.Digest("elsewhere") {
		t.Error("a file that is not there counts as an empty one")
	}
}

// Carets stand right below emoji as terminals draw them.
func TestColumns(t *testing.T) {
	for text, want := range map[string]int{
		"abc": 3, "é́": 1, "测试": 4, "１０m": 5, "🙂": 2, "👍🏽": 2, "👩‍👩‍👧": 2, "⚠️": 2, "⚠": 1, "✅": 2, "⏰x": 3, "🏽": 2, "a\u200bb": 2, "🟢": 2, "©": 1,
	} {
		if got := columns([]rune(text)); got != want {
			t.Errorf("columns(%q) = %d, want %d", text, got, want)
		}
	}
}
