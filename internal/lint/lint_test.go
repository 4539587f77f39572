package lint

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The module itself.
func TestModule(t *testing.T) {
	findings, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}

func TestLayersNameEachPackageOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range layers {
		for _, name := range row {
			if seen[name] {
				t.Errorf("%s stands in layers twice", name)
			}
			seen[name] = true
		}
	}
	for _, name := range slices.Concat(stdOnly, sameBits) {
		if !seen[name] {
			t.Errorf("%s has a rule and no row in layers", name)
		}
	}
}

// pkg is the text of a documented package.
func pkg(dir string, lines ...string) string {
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	return "// Package " + name + " is for a test.\npackage " + name + "\n" + strings.Join(lines, "\n") + "\n"
}

// Each tree breaks one rule, or none; each rule is broken by some tree.
func TestRules(t *testing.T) {
	const risk, journal, engine = `import _ "x.org/m/risk"`, `import _ "x.org/m/store/journal"`, `import _ "x.org/m/engine"`
	home := "/ho" + "me/ann/x" // in two, for this file is checked too
	for _, c := range []struct {
		name, file, text string
		want             string // of the finding; empty: none
	}{
		{"down", "features/f.go", pkg("features", risk, journal), ""},
		{"down over rows", "cmd/sluice/main.go", "// Command sluice decides.\npackage main\n" + risk, ""},
		{"up", "features/f.go", pkg("features", risk, engine), "features/f.go:4: features may not import engine, which is above it"},
		{"up in a test", "features/f_test.go", pkg("features", engine), ""},
		{"sideways", "store/s.go", pkg("store", journal), "store/s.go:3: store may not import store/journal, its neighbour"},
		{"sideways, aliased", "internal/api/a.go", pkg("api", `import r "x.org/m/replay"`), "internal/api/a.go:3: internal/api may not import replay, its neighbour"},
		{"bottom", "internal/auth/a.go", pkg("auth", risk), "internal/auth/a.go:3: internal/auth may not import risk, its neighbour"},
		{"gone", "engine/e.go", pkg("engine", `import _ "x.org/m/gone"`), "engine/e.go:3: imports gone, which is not in the tree"},
		{"others", "engine/e.go", pkg("engine", `import _ "y.org/z"`), ""},
		{"risk and others", "risk/r.go", pkg("risk", `import _ "y.org/z"`), "risk/r.go:3: risk may import the standard library only, not y.org/z"},
		{"risk and std", "risk/r.go", pkg("risk", `import _ "encoding/json"`), ""},
		{"unknown package", "ledger/l.go", pkg("ledger"), "ledger: new package: place it in a row of layers"},
		{"unknown, tests only", "ledger/l_test.go", pkg("ledger"), "ledger: new package: place it in a row of layers"},
		{"unknown, ignored", "scripts/gen.go", "//go:build ignore\n\npackage main\n", ""},
		{"unknown, testdata", "risk/testdata/x/x.go", "package x", ""},
		{"unknown, made", "data/x.go", "package x", ""},
		{"no doc", "risk/r.go", "package risk\n", "risk: no doc comment: begin one file with `// Package risk"},
		{"doc of another", "risk/r.go", "// Package engine is this.\npackage risk\n", "risk: no doc comment"},
		{"doc apart", "risk/r.go", "// Package risk is this.\n\npackage risk\n", "risk: no doc comment"},
		{"broken", "risk/r.go", "package risk\nfunc {", "risk/r.go: does not parse"},
		{"math", "rules/r.go", pkg("rules", `import "math"`, "var x = math.Exp(1)"), "rules/r.go:4: math.Exp differs between machines"},
		{"math renamed", "rules/r.go", pkg("rules", `import m "math"`, "var f = m.Sin"), "rules/r.go:4: math.Sin differs between machines"},
		{"math with a dot", "rules/r.go", pkg("rules", `import . "math"`), "rules/r.go:3: imports math with a dot"},
		{"math allowed", "rules/r.go", pkg("rules", `import "math"`, "var x = math.Exp(1) //lint:allow-math shown to people only"), ""},
		{"math without reason", "rules/r.go", pkg("rules", `import "math"`, "var x = math.Exp(1) //lint:allow-math "), "rules/r.go:4: math.Exp"},
		{"math exact", "rules/r.go", pkg("rules", `import "math"`, "var x = math.Floor(math.Sqrt(2)) + math.MaxInt8 + math.Pi"), ""},
		{"math in a test", "rules/r_test.go", pkg("rules", `import "math"`, "var x = math.Exp(1)"), ""},
		{"math elsewhere", "internal/simulate/s.go", pkg("simulate", `import "math"`, "var x = math.Exp(1)"), ""},
		{"home", "docs/a.md", "see\n`" + home + "`\n", "docs/a.md:2: " + home + " is a path of one machine"},
		{"home of a URL", "docs/a.md", "https://x.org" + home, ""},
		{"home in a binary", "docs/a.bin", "\x00 " + home, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := fstest.MapFS{"go.mod": {Data: []byte("module x.org/m\n\ngo 1.26\n")}, c.file: {Data: []byte(c.text)}}
			findings, err := Check(tree)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.want == "" && len(findings) != 0:
				t.Errorf("Check = %v, want nothing", findings)
			case c.want != "" && (len(findings) != 1 || !strings.HasPrefix(findings[0].String(), c.want)):
				t.Errorf("Check = %v, want %s…", findings, c.want)
			}
		})
	}
}

func TestEmptyNames(t *testing.T) {
	for _, dir := range []string{"utils", "internal/common", "pkg/risk"} {
		findings, err := Check(fstest.MapFS{"go.mod": {Data: []byte("module x.org/m\n")}, dir + "/a.go": {Data: []byte(pkg(dir))}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(findings, func(f Finding) bool { return strings.Contains(f.Msg, "says nothing of what is in the package") }) {
			t.Errorf("Check(%s) = %v, want the name refused", dir, findings)
		}
	}
}

func TestNotAModule(t *testing.T) {
	if _, err := Check(fstest.MapFS{}); err == nil {
		t.Error("Check took a tree without go.mod")
	}
}
