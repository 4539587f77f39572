// Package lint holds the rules of the source tree that no ready-made tool
// knows: which package may import which, which mathematics may decide, what a
// package must say about itself. Check reads a tree and returns a Finding for
// each breach; the test of this package runs it over the module.
//
// It reads source text and resolves no types, so it also works on a tree that
// does not build. It runs in tests only and keeps no state.
package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// layers are all packages of the module. Imports go down only, never sideways
// in a row, so a package of the last row imports none of ours.
var layers = [][]string{
	{"cmd/sluice"},
	{"internal/doctor"},
	{"internal/api", "internal/stream", "replay", "internal/simulate"},
	{"internal/featurelog"},
	{"engine"},
	{"rules", "scoring"},
	{"features"},
	{"internal/enrich", "internal/lists", "internal/expression", "internal/mapping"},
	{"risk", "store", "store/journal", "internal/auth", "internal/config", "internal/seal", "internal/web", "internal/bloom", "internal/diag", "internal/lint", "internal/kafkatest", "internal/parquet", "rulesets"},
	{"internal/atomicfile"},
}

// stdOnly are packages that import the standard library alone: everyone who
// uses Sluice as a library depends on them.
var stdOnly = []string{"risk"}

// sameBits are the packages whose results must be equal on every machine.
var sameBits = []string{"risk", "features", "rules", "scoring", "engine", "internal/expression", "internal/enrich"}

// inexact are the functions of math whose last bit depends on the machine: they
// have assembly for some architectures, or multiply and add in Go, which the
// compiler fuses on arm64, ppc64, riscv64 and s390x and not on amd64.
var inexact = strings.Fields(`Acos Acosh Asin Asinh Atan Atan2 Atanh Cbrt Cos Cosh Erf Erfc Erfcinv Erfinv
	Exp Exp2 Expm1 FMA Gamma Hypot J0 J1 Jn Lgamma Log Log10 Log1p Log2 Pow Sin Sincos Sinh Tan Tanh Y0 Y1 Yn`)

// allowMath on a line lets that line use an inexact function, with a reason.
var allowMath = regexp.MustCompile(`^//lint:allow-math \S`)

// emptyNames say nothing about what a package holds.
var emptyNames = []string{"utils", "common", "models", "helpers", "pkg"}

// unlisted are folders at the root that are made, not written.
var unlisted = []string{"bin", "data", "dist"}

// Finding is one breach of a rule.
type Finding struct {
	File string // slash path in the tree; may be a folder
	Line int    // from 1; 0: the whole of it
	Msg  string // what is wrong and what to do
}

func (f Finding) String() string {
	if f.Line == 0 {
		return f.File + ": " + f.Msg
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Msg)
}

// Check reads the module in tree and returns what breaks a rule, by path.
func Check(tree fs.FS) ([]Finding, error) {
	gomod, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("lint: not the root of a module: %w", err)
	}
	line, _, _ := strings.Cut(string(gomod), "\n")
	c := &checker{tree: tree, module: strings.TrimSpace(strings.TrimPrefix(line, "module "))}
	err = fs.WalkDir(tree, ".", c.visit)
	return c.findings, err
}

type checker struct {
	tree     fs.FS
	module   string
	findings []Finding
}

func (c *checker) find(file string, line int, msg string, args ...any) {
	c.findings = append(c.findings, Finding{file, line, fmt.Sprintf(msg, args...)})
}

func (c *checker) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if !d.IsDir() {
		return c.checkText(name, d)
	}
	if name == "." {
		return c.checkPackage(name)
	}
	if base := path.Base(name); base == ".git" || base == ".cache" || slices.Contains(unlisted, name) {
		return fs.SkipDir
	}
	if _, err := fs.Stat(c.tree, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir // a module of its own
	}
	return c.checkPackage(name)
}

// homePath is a path of somebody's machine.
var homePath = regexp.MustCompile("(?m)(?:^|[\\s\"'`=(:,])((?:/home/|/Users/|/root/|[A-Z]:\\\\Users\\\\)\\w[^\\s\"'`),]*)")

// checkText tests what no file of whatever kind may hold.
func (c *checker) checkText(name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return err
	}
	text, err := fs.ReadFile(c.tree, name)
	if err != nil || slices.Contains(text, 0) {
		return err
	}
	for _, at := range homePath.FindAllSubmatchIndex(text, -1) {
		line := 1 + strings.Count(string(text[:at[2]]), "\n")
		c.find(name, line, "%s is a path of one machine: use a relative path, a variable or a temporary directory", text[at[2]:at[3]])
	}
	return nil
}

// checkPackage tests the Go files of one folder, as go build would take them.
func (c *checker) checkPackage(dir string) error {
	for element := range strings.SplitSeq(dir, "/") {
		if element == "testdata" || element != "." && strings.HasPrefix(element, ".") || strings.HasPrefix(element, "_") {
			return nil
		}
	}
	entries, err := fs.ReadDir(c.tree, dir)
	if err != nil {
		return err
	}
	var files []*goFile
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".go" || strings.HasPrefix(e.Name(), "_") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		f, err := c.parse(path.Join(dir, e.Name()), slices.Contains(sameBits, dir))
		if err != nil {
			return err
		}
		if f != nil {
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil
	}
	row := layerOf(dir)
	if row < 0 {
		c.find(dir, 0, "new package: place it in a row of layers in internal/lint/lint.go, below all that import it and above all it imports")
	}
	for _, name := range emptyNames {
		if slices.Contains(strings.Split(dir, "/"), name) || files[0].tree.Name.Name == name {
			c.find(dir, 0, "%s says nothing of what is in the package: name it after what it provides", name)
		}
	}
	if !slices.ContainsFunc(files, (*goFile).documents) {
		c.find(dir, 0, "no doc comment: begin one file with `// Package %s …`: what for, its central types, who owns concurrency, what it does not do",
			files[0].tree.Name.Name)
	}
	for _, f := range files {
		if f.test {
			continue // tests may build on whatever they like
		}
		c.checkImports(dir, row, f)
		if slices.Contains(sameBits, dir) {
			c.checkMath(f)
		}
	}
	return nil
}

func layerOf(dir string) int {
	return slices.IndexFunc(layers, func(row []string) bool { return slices.Contains(row, dir) })
}

type goFile struct {
	name string
	test bool
	set  *token.FileSet
	tree *ast.File
}

// parse reads a file's imports, or all of it; nil for one that is never built.
func (c *checker) parse(name string, whole bool) (*goFile, error) {
	text, err := fs.ReadFile(c.tree, name)
	if err != nil {
		return nil, err
	}
	mode := parser.ImportsOnly
	if whole {
		mode = parser.SkipObjectResolution
	}
	f := &goFile{name: name, test: strings.HasSuffix(name, "_test.go"), set: token.NewFileSet()}
	f.tree, err = parser.ParseFile(f.set, name, text, mode|parser.ParseComments)
	if err != nil {
		c.find(name, 0, "does not parse: %v", err)
		return nil, nil
	}
	for _, group := range f.tree.Comments {
		for _, comment := range group.List {
			if comment.Pos() < f.tree.Package && comment.Text == "//go:build ignore" {
				return nil, nil
			}
		}
	}
	return f, nil
}

// documents says whether the file opens with the package's doc comment.
func (f *goFile) documents() bool {
	name, doc := f.tree.Name.Name, f.tree.Doc.Text()
	return strings.HasPrefix(doc, "Package "+name+" ") || name == "main" && doc != ""
}

func (f *goFile) line(p token.Pos) int { return f.set.Position(p).Line }

func (c *checker) checkImports(dir string, row int, f *goFile) {
	for _, spec := range f.tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // parsed, so it cannot happen
		}
		line := f.line(spec.Pos())
		first, _, _ := strings.Cut(imported, "/")
		if slices.Contains(stdOnly, dir) && (strings.Contains(first, ".") || imported == "C") {
			c.find(f.name, line, "%s may import the standard library only, not %s", dir, imported)
			continue
		}
		ours, found := strings.CutPrefix(imported, c.module+"/")
		if !found || row < 0 {
			continue
		}
		switch below := layerOf(ours); {
		case below < 0 && !c.exists(ours):
			c.find(f.name, line, "imports %s, which is not in the tree", ours)
		case below < 0:
			// The new package has its own finding.
		case below == row:
			c.find(f.name, line, "%s may not import %s, its neighbour in the layers: move what both need down, or put them together above", dir, ours)
		case below < row:
			c.find(f.name, line, "%s may not import %s, which is above it: take an interface or a value here and let the upper one pass it", dir, ours)
		}
	}
}

func (c *checker) exists(dir string) bool {
	_, err := fs.Stat(c.tree, dir)
	return err == nil
}

// checkMath finds inexact functions of math that carry no reason.
func (c *checker) checkMath(f *goFile) {
	local := ""
	for _, spec := range f.tree.Imports {
		if spec.Path.Value == `"math"` {
			local = "math"
			if spec.Name != nil {
				local = spec.Name.Name
			}
			if local == "." {
				c.find(f.name, f.line(spec.Pos()), "imports math with a dot, which hides what is used: name it")
			}
		}
	}
	if local == "" {
		return
	}
	allowed := map[int]bool{}
	for _, group := range f.tree.Comments {
		for _, comment := range group.List {
			if allowMath.MatchString(comment.Text) {
				allowed[f.line(comment.Pos())] = true
			}
		}
	}
	ast.Inspect(f.tree, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && x.Name == local && slices.Contains(inexact, selector.Sel.Name) {
			if line := f.line(selector.Pos()); !allowed[line] {
				c.find(f.name, line, "math.%s differs between machines and a decision must not: use exact arithmetic or a function of our own, "+
					"or say on the line why it cannot matter: //lint:allow-math reason", selector.Sel.Name)
			}
		}
		return true
	})
}
