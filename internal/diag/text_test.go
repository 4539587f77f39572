package diag

import (
	"strings"
	"testing"
)

// TestPositions decodes a text in every style and checks that each of its
// characters maps to where that character, or its escape, stands in the file.
func TestPositions(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"plain":                  {"rules:\n  - id: a\n    when: amount > 5 and x\n", "amount > 5 and x"},
		"plain over lines":       {"rules:\n  - id: a\n    when: amount > 5\n      and x\n\n      or y  \n", "amount > 5 and x\nor y"},
		"plain wide":             {"rules:\n  - {id: 试, when: 试卡 == x}\n", "试卡 == x"},
		"plain in flow":          {"rules: [{id: a, when: amount > 5 and\n   z < 4}]\n", "amount > 5 and z < 4"},
		"single":                 {"rules:\n  - id: a\n    when: 'x == ''a'' and y'\n", "x == 'a' and y"},
		"single over lines":      {"rules:\n  - id: a\n    when: 'x  \n      and\n\n      y'\n", "x and\ny"},
		"double":                 {"rules:\n  - id: a\n    when: \"x == \\\"a\\\" \\u4e2d\\x41\\U0001f600 b\"\n", "x == \"a\" 中A😀 b"},
		"double over lines":      {"rules:\n  - id: a\n    when: \"x ==\n      y \\\n      and\\n z\\tq\"\n", "x == y and\n z\tq"},
		"literal":                {"rules:\n  - id: a\n    when: |\n      x > 1 and\n        y > 2 and\n\n      z\n", "x > 1 and\n  y > 2 and\n\nz\n"},
		"literal with indicator": {"rules:\n  - id: a\n    when: |2-   # two\n         x\n       y\n", "   x\n y"},
		"literal crlf":           {"rules:\r\n  - id: a\r\n    when: |\r\n      x\r\n      y\r\n", "x\ny\n"},
		"folded":                 {"rules:\n  - id: a\n    when: >-\n      x > 1\n      and y\n\n      z\n        more\n      q\n", "x > 1 and y\nz\n  more\nq"},
		"anchored":               {"rules:\n  - id: a\n    when: &w x > 1\n", "x > 1"},
		"anchored folded":        {"rules:\n  - id: a\n    when: &w >\n      x > 1\n", "x > 1\n"},
		"anchor on its own line": {"rules:\n  - id: a\n    when: &w\n      x > 1\n", "x > 1"},
		"byte order mark":        {"\ufeffrules:\n  - {id: a, when: x}\n", "x"},
		"next line mark":         {"# a\u0085rules:\n  - {id: a, when: x}\n", "x"},
	} {
		f, l := decode(t, "apiVersion: v1\n"+c.src)
		if strings.HasPrefix(c.src, "\ufeff") {
			f, l = decode(t, c.src+"apiVersion: v1\n")
		}
		if l.Err() != nil {
			t.Errorf("%s: %v", name, l)
			continue
		}
		when := f.Rules[0].When
		if when.Value != c.want {
			t.Errorf("%s: value %q, want %q", name, when.Value, c.want)
			continue
		}
		lines := splitLines([]byte("apiVersion: v1\n" + c.src))
		if strings.HasPrefix(c.src, "\ufeff") {
			lines = splitLines([]byte(c.src))
		}
		for i, r := range []rune(when.Value) {
			if isBlank(r) {
				continue
			}
			at := when.At(i, 1)
			raw := string([]rune(lines[at.Line-1])[at.Column-1 : at.Column-1+at.Width])
			if raw != string(r) && !escapes[raw] {
				t.Errorf("%s: character %d %q maps to %v %q", name, i, r, at, raw)
			}
		}
	}
}

var escapes = map[string]bool{`\"`: true, `\u4e2d`: true, `\x41`: true, `\U0001f600`: true, "''": true}

func TestAt(t *testing.T) {
	f, l := decode(t, "apiVersion: v1\nrules:\n  - id: a\n    when: |\n      x > 1 and\n      yy\n    title: ''\n")
	if l.Err() != nil {
		t.Fatal(l)
	}
	when := f.Rules[0].When
	for _, c := range []struct {
		offset, width int
		want          Span
	}{
		{0, 5, Span{"rules/a.yaml", 5, 7, 5}},
		{10, 2, Span{"rules/a.yaml", 6, 7, 2}},
		{6, 6, Span{"rules/a.yaml", 5, 13, 3}}, // "and\nyy" ends with its line
		{12, 1, Span{"rules/a.yaml", 6, 9, 1}},
		{99, 1, Span{"rules/a.yaml", 7, 1, 1}},
		{-1, 0, Span{"rules/a.yaml", 5, 7, 1}},
	} {
		if got := when.At(c.offset, c.width); got != c.want {
			t.Errorf("At(%d, %d) = %+v, want %+v", c.offset, c.width, got, c.want)
		}
	}
	if want := (Span{"rules/a.yaml", 5, 7, 9}); when.Span != want {
		t.Errorf("span of a block scalar = %+v, want %+v", when.Span, want)
	}
	if want := (Span{"rules/a.yaml", 7, 12, 2}); f.Rules[0].Title.Span != want {
		t.Errorf("span of '' = %+v, want %+v", f.Rules[0].Title.Span, want)
	}
	in := Inline("flag", "a\nbc")
	if got, want := in.At(2, 2), (Span{"flag", 2, 1, 2}); got != want {
		t.Errorf("inline At = %+v, want %+v", got, want)
	}
	if got, want := in.Span, (Span{"flag", 1, 1, 1}); got != want {
		t.Errorf("inline span = %+v, want %+v", got, want)
	}
}
