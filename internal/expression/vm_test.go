package expression

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
	"pgregory.net/rapid"
)

// world is the values of one evaluation, with a trace of what was read in which
// order. A name that is in none of the maps has no value.
type world struct {
	numbers map[string]float64
	texts   map[string]string
	truths  map[string]bool
	trace   []string
}

var (
	numberNames = []string{"a", "b", "c", "deep.er.d", "deep.e"}
	textNames   = []string{"s", "t", "deep.u", "v"}
	truthNames  = []string{"p", "q", "deep.r"}
	words       = []string{"x", "y", "xy", "yx", "xyz", "Zyx"}
)

var errMissing = errors.New("missing")

// reference compiles for expr's VM, optimiser off, what Compile compiles to
// closures. Names become calls that trace and may fail, and division fails by
// zero; everything else is expr's own meaning.
func reference(w *world, src string) (*vm.Program, error) {
	divide := func(sign string) func(...any) (any, error) {
		return func(args ...any) (any, error) {
			a, b := asFloat(args[0]), asFloat(args[1])
			if b == 0 {
				return nil, errors.New("division by zero")
			}
			if sign == "%" {
				return math.Mod(a, b), nil
			}
			return a / b, nil
		}
	}
	return expr.Compile(src, expr.Optimize(false), expr.Patch(nameCalls{}),
		expr.Function("readNumber", func(args ...any) (any, error) {
			w.trace = append(w.trace, args[0].(string))
			if v, ok := w.numbers[args[0].(string)]; ok {
				return v, nil
			}
			return nil, errMissing
		}, new(func(string) float64)),
		expr.Function("readText", func(args ...any) (any, error) {
			w.trace = append(w.trace, args[0].(string))
			if v, ok := w.texts[args[0].(string)]; ok {
				return v, nil
			}
			return nil, errMissing
		}, new(func(string) string)),
		expr.Function("readTruth", func(args ...any) (any, error) {
			w.trace = append(w.trace, args[0].(string))
			if v, ok := w.truths[args[0].(string)]; ok {
				return v, nil
			}
			return nil, errMissing
		}, new(func(string) bool)),
		expr.Function("has", func(args ...any) (any, error) {
			name := args[0].(string)
			w.trace = append(w.trace, name)
			_, isNumber := w.numbers[name]
			_, isText := w.texts[name]
			_, isTruth := w.truths[name]
			return isNumber || isText || isTruth, nil
		}, new(func(string) bool)),
		expr.Function("text_distance", func(args ...any) (any, error) {
			return float64(editDistance([]rune(args[0].(string)), []rune(args[1].(string)))), nil
		}, new(func(string, string) float64)),
		expr.Function("divide", divide("/"), new(func(any, any) float64)),
		expr.Function("modulo", divide("%"), new(func(any, any) float64)),
	)
}

// editDistance is the plain recursive definition.
func editDistance(a, b []rune) int {
	switch {
	case len(a) == 0 || len(b) == 0:
		return len(a) + len(b)
	case a[0] == b[0]:
		return editDistance(a[1:], b[1:])
	}
	return 1 + min(editDistance(a[1:], b), editDistance(a, b[1:]), editDistance(a[1:], b[1:]))
}

func asFloat(v any) float64 {
	if i, ok := v.(int); ok {
		return float64(i)
	}
	return v.(float64)
}

// nameCalls rewrites names to the calls above.
type nameCalls struct{}

func (nameCalls) Visit(n *ast.Node) {
	read := func(path string) {
		of := "readNumber"
		switch {
		case slices.Contains(textNames, path):
			of = "readText"
		case slices.Contains(truthNames, path):
			of = "readTruth"
		}
		ast.Patch(n, &ast.CallNode{Callee: &ast.IdentifierNode{Value: of}, Arguments: []ast.Node{&ast.StringNode{Value: path}}})
	}
	pathOf := func(n ast.Node) string {
		return n.(*ast.CallNode).Arguments[0].(*ast.StringNode).Value
	}
	switch x := (*n).(type) {
	case *ast.IdentifierNode:
		if x.Value == "deep" || len(x.Value) == 1 {
			read(x.Value)
		}
	case *ast.MemberNode:
		read(pathOf(x.Node) + "." + x.Property.(*ast.StringNode).Value)
	case *ast.CallNode:
		if callee, ok := x.Callee.(*ast.IdentifierNode); ok && callee.Value == "has" {
			if arg, ok := x.Arguments[0].(*ast.CallNode); ok {
				x.Arguments[0] = &ast.StringNode{Value: pathOf(arg)}
			}
		}
	case *ast.BinaryNode:
		if name := map[string]string{"/": "divide", "%": "modulo"}[x.Operator]; name != "" {
			ast.Patch(n, &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: []ast.Node{x.Left, x.Right}})
		}
	}
}

func (w *world) env(t testing.TB) *Env {
	e := newEnv(nil)
	define := func(v Var) {
		if err := e.Define(v); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range numberNames {
		define(Var{Name: name, Kind: Number, Number: func(*Scope) float64 {
			w.trace = append(w.trace, name)
			if v, ok := w.numbers[name]; ok {
				return v
			}
			return math.NaN()
		}})
	}
	for _, name := range textNames {
		define(Var{Name: name, Kind: Text, Text: func(*Scope) string {
			w.trace = append(w.trace, name)
			return w.texts[name]
		}})
	}
	for _, name := range truthNames {
		define(Var{Name: name, Kind: Bool, Bool: func(*Scope) Tri {
			w.trace = append(w.trace, name)
			if v, ok := w.truths[name]; ok {
				return tri(v)
			}
			return Missing
		}})
	}
	return e
}

// source writes a random expression of a kind.
type source struct{ *rapid.T }

func (g source) pick(from ...string) string { return rapid.SampledFrom(from).Draw(g.T, "pick") }

func (g source) number(depth int) string {
	n := rapid.IntRange(0, 9).Draw(g.T, "number")
	if depth == 0 && n > 4 {
		n %= 5
	}
	d := depth - 1
	switch n {
	case 0, 1:
		return strconv.FormatFloat(float64(rapid.IntRange(0, 12).Draw(g.T, "literal"))/2, 'f', 1, 64)
	case 2, 3, 4:
		return g.pick(numberNames...)
	case 5, 6:
		return "(" + g.number(d) + g.pick(" + ", " - ", " * ", "/", " % ") + g.number(d) + ")"
	case 7:
		return g.pick("-", "+") + g.pick("abs", "round") + "(" + g.number(d) + ")"
	case 8:
		return g.pick("min", "max") + "(" + g.number(d) + ", " + g.number(d) + ", " + g.number(d) + ")"
	}
	return "(" + g.truth(d) + " ? " + g.number(d) + " : " + g.pick(g.number(d), "len("+g.text(d)+") * 1.0", "text_distance("+g.text(0)+", "+g.text(0)+")") + ")"
}

func (g source) text(depth int) string {
	switch n := rapid.IntRange(0, 7).Draw(g.T, "text"); {
	case n < 2 || depth == 0 && n > 4:
		return strconv.Quote(g.pick(words...))
	case n < 5:
		return g.pick(textNames...)
	case n < 7:
		return g.pick("lower", "upper") + "(" + g.text(depth-1) + ")"
	}
	return "(" + g.truth(depth-1) + " ? " + g.text(depth-1) + " : " + g.text(depth-1) + ")"
}

func (g source) truth(depth int) string {
	n := rapid.IntRange(0, 12).Draw(g.T, "truth")
	if depth == 0 {
		n %= 7
	}
	d := max(depth-1, 0)
	switch n {
	case 0:
		return g.pick(truthNames...)
	case 1:
		return "has(" + g.pick(append(append(slices.Clone(numberNames), textNames...), truthNames...)...) + ")"
	case 2:
		return g.number(d) + g.pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + g.number(d)
	case 3:
		return g.pick(numberNames...) + g.pick(" == ", " != ", " < ", " <= ", " > ", " >= ") + "2.5"
	case 4:
		return g.text(d) + g.pick(" == ", " != ", " < ", " >= ", " contains ", " startsWith ", " endsWith ", " not contains ", ` matches "^x+" and "x" != `) + g.text(d)
	case 5:
		return g.number(d) + g.pick(" in ", " not in ") + "[1.5, -2.0, 3.0]"
	case 6:
		return g.text(d) + g.pick(" in ", " not in ") + `["x", "yx", "a", "b", "c", "d", "e", "f", "g"]`
	case 7, 8:
		return "(" + g.truth(d) + g.pick(" and ", " && ", " or ", " || ") + g.truth(d) + ")"
	case 9:
		return "(" + g.truth(d) + " and " + g.truth(d) + " and " + g.truth(d) + " or " + g.truth(d) + ")"
	case 10:
		return g.pick("not ", "!") + "(" + g.truth(d) + ")"
	case 11:
		return "(" + g.truth(d) + ")" + g.pick(" == ", " != ") + "(" + g.truth(d) + ")"
	}
	return "(" + g.truth(d) + " ? " + g.truth(d) + " : " + g.truth(d) + ")"
}

func (g source) world() *world {
	w := &world{numbers: map[string]float64{}, texts: map[string]string{}, truths: map[string]bool{}}
	present := func() bool { return rapid.IntRange(0, 9).Draw(g.T, "present") > 0 }
	for _, name := range numberNames {
		if present() {
			w.numbers[name] = float64(rapid.IntRange(-8, 8).Draw(g.T, name)) / 2
		}
	}
	for _, name := range textNames {
		if present() {
			w.texts[name] = g.pick(words...)
		}
	}
	for _, name := range truthNames {
		if present() {
			w.truths[name] = rapid.Bool().Draw(g.T, name)
		}
	}
	return w
}

// TestAgainstVM holds closures to expr's VM: the same value, a fault for a fault,
// and the same names read in the same order, so also the same short circuits.
func TestAgainstVM(t *testing.T) {
	values, faults, hits := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		g := source{rt}
		w := g.world()
		e := w.env(t)
		for range 30 {
			kind, src := Bool, ""
			switch rapid.IntRange(0, 3).Draw(rt, "kind") {
			case 0:
				kind, src = Number, g.number(4)
			case 1:
				kind, src = Text, g.text(4)
			default:
				src = g.truth(4)
			}
			p, l := e.Compile(diag.Inline("test", src), kind, CompileOptions{})
			if l.Err() != nil {
				// What is constant and fails is refused at load.
				if slices.ContainsFunc(l, func(d diag.Diagnostic) bool { return d.Code != codeNumber && d.Code != codeBounds }) {
					rt.Fatalf("%s: %v", src, l)
				}
				continue
			}
			program, err := reference(w, src)
			if err != nil {
				rt.Fatalf("%s: the VM refuses it: %v", src, err)
			}
			w.trace = nil
			want, err := vm.Run(program, nil)
			wantTrace := w.trace
			w.trace = nil
			s := &Scope{Record: &risk.Record{}}
			var got any
			var fault Fault
			switch kind {
			case Bool:
				got, fault = p.Bool(s)
			case Number:
				got, fault = p.Number(s)
				if err == nil {
					want = asFloat(want)
				}
			case Text:
				got, fault = p.Text(s)
			}
			switch {
			case !slices.Equal(w.trace, wantTrace):
				rt.Fatalf("%s: read %q, the VM %q", src, w.trace, wantTrace)
			case (err == nil) != (fault == Fault{}):
				rt.Fatalf("%s: fault %q, the VM %v", src, fault, err)
			case errors.Is(err, errMissing) && fault.Missing != wantTrace[len(wantTrace)-1]:
				rt.Fatalf("%s: fault %q, last read %q", src, fault, wantTrace[len(wantTrace)-1])
			case err == nil && got != want:
				rt.Fatalf("%s = %v, the VM %v", src, got, want)
			}
			if err != nil {
				faults++
				continue
			}
			if values++; got == true {
				hits++
				holds(rt, src, p.Because(s))
			}
		}
	})
	t.Logf("%d values, %d faults, %d hits", values, faults, hits)
	if values < 100 || faults < 50 || hits < 50 {
		t.Errorf("the generator is too narrow: %d values, %d faults, %d hits", values, faults, hits)
	}
}

// holds checks that each comparison given as a reason is true.
func holds(t *rapid.T, src string, because []risk.Because) {
	for _, b := range because {
		op, negated := b.Op, false
		if rest, ok := strings.CutPrefix(op, "not "); ok {
			op, negated = rest, true
		}
		order := 0
		switch {
		case b.Value.Kind == risk.Decimal && b.Limit.Kind == risk.Decimal:
			order = int(min(max(math.Ceil(math.Abs(b.Value.Number-b.Limit.Number)), 0), 1))
			if b.Value.Number < b.Limit.Number {
				order = -order
			}
		case b.Value.Kind == risk.Text && b.Limit.Kind == risk.Text:
			order = strings.Compare(b.Value.Text, b.Limit.Text)
		case b.Value.Kind == risk.Bool && b.Value.Bool != b.Limit.Bool:
			order = 1
		}
		ok := false
		switch op {
		case "==":
			ok = order == 0
		case "!=":
			ok = order != 0
		case "<":
			ok = order < 0
		case "<=":
			ok = order <= 0
		case ">":
			ok = order > 0
		case ">=":
			ok = order >= 0
		case "contains":
			ok = strings.Contains(b.Value.Text, b.Limit.Text)
		case "startsWith":
			ok = strings.HasPrefix(b.Value.Text, b.Limit.Text)
		case "endsWith":
			ok = strings.HasSuffix(b.Value.Text, b.Limit.Text)
		case "matches":
			ok = strings.HasPrefix(b.Value.Text, "x")
		case "in":
			ok = strings.Contains(b.Limit.Text, fmt.Sprintf("%q", b.Value.Text))
			if b.Value.Kind == risk.Decimal {
				ok = slices.Contains([]float64{1.5, -2, 3}, b.Value.Number)
			}
		case "has":
			ok = b.Value.Kind != 0
		}
		if ok == negated {
			t.Fatalf("%s: because %+v, which is not so", src, b)
		}
	}
}
