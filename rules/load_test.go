package rules

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/internal/diag"
)

var update = flag.Bool("update", false, "write the golden messages")

// archive is a text file that holds several, each after a line `-- name --`.
type archive struct {
	comment string
	files   diag.Files
}

var fileMark = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func readArchive(t testing.TB, name string) archive {
	t.Helper()
	src, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	a := archive{files: diag.Files{}}
	marks := fileMark.FindAllSubmatchIndex(src, -1)
	for i, m := range marks {
		end := len(src)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		a.files[string(src[m[2]:m[3]])] = src[m[1]:end:end] // appending copies
	}
	a.comment = string(src)
	if len(marks) > 0 {
		a.comment = string(src[:marks[0][0]])
	}
	return a
}

func base(t testing.TB) diag.Files { return readArchive(t, "testdata/base.txt").files }

func mustLoad(t testing.TB, files diag.Files) *Ruleset {
	t.Helper()
	set, diags := Load(files)
	if len(diags) > 0 {
		var b bytes.Buffer
		diag.Render(&b, diags, files)
		t.Fatalf("Load:\n%s", b.String())
	}
	return set
}

// Each file of testdata/bad breaks the base ruleset; it ends with the messages.
func TestMessages(t *testing.T) {
	mustLoad(t, base(t))
	names, _ := filepath.Glob("testdata/bad/*.txt")
	if len(names) < 20 {
		t.Fatalf("%d files in testdata/bad", len(names))
	}
	const golden = "messages"
	reported := map[string]bool{}
	for _, name := range names {
		a := readArchive(t, name)
		files := base(t)
		for f, src := range a.files {
			if f != golden {
				files[f] = src
			}
		}
		for line := range strings.SplitSeq(a.comment, "\n") {
			if absent, ok := strings.CutPrefix(line, "absent: "); ok {
				for _, f := range strings.Fields(absent) {
					delete(files, f)
				}
			}
		}
		set, diags := Load(files)
		if set != nil || len(diags) == 0 {
			t.Errorf("%s: loads", name)
		}
		for _, d := range diags {
			reported[d.Code] = true
		}
		var b bytes.Buffer
		diag.Render(&b, diags, files)
		if *update {
			src, _ := os.ReadFile(name)
			src, _, _ = bytes.Cut(src, []byte("-- "+golden+" --\n"))
			if err := os.WriteFile(name, append(append(src, "-- "+golden+" --\n"...), b.Bytes()...), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if b.String() != string(a.files[golden]) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), a.files[golden])
		}
	}
	for _, c := range Codes {
		if c.ID == codeClash { // names that could clash are words of the language
			continue
		}
		if !reported[c.ID] {
			t.Errorf("no file of testdata/bad reports %s", c.ID)
		}
	}
}
