package expression

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// op is what a node of the checked tree does.
type op uint8

const (
	opNumber  op = iota + 1 // literal
	opText                  // literal
	opBool                  // literal
	opName                  // read a name
	opHas                   // has(name)
	opLength                // len(array)
	opCall                  // any other function
	opNegate                // -x
	opArith                 // + - * / %
	opCompare               // == != < <= > >=
	opSame                  // == != of two identifiers
	opTest                  // startsWith endsWith contains matches
	opIn                    // in [literals]
	opInList                // in list.x
	opNot
	opAnd // two or more kids
	opOr
	opChoose // a ? b : c
)

// node is one part of a checked expression. check makes the upper part, compile
// the closure for its kind; Because uses both.
type node struct {
	op     op
	kind   Kind
	sign   string // operator or function as written in evidence
	money  string // of a number
	sort   string // of a text: what it holds
	source string
	kids   []*node

	num    float64
	text   string
	truth  bool
	name   *name
	list   List
	regexp *regexp.Regexp
	key    func(*risk.Event) string // of a call whose field has a normal form of its own

	keys         [2]int // of opSame, and the first of opHas: in risk.Keys, -1 for none
	pseudonymous bool   // only the pseudonyms of keys are read

	first, last int // tokens

	number numberFn
	words  textFn
	test   truthFn
}

// constant tells whether a node is a literal or folded from literals.
func (n *node) constant() bool { return n.op == opNumber || n.op == opText || n.op == opBool }

// checker turns one source into a checked tree.
type checker struct {
	env     *Env
	src     diag.Text
	options CompileOptions
	runes   []rune
	tokens  []lexer.Token
	match   []int                // of a bracket: the other one; else -1
	reads   map[string]diag.Span // where each name stands first
	list    diag.List
	doubts  diag.List // warnings
}

// CompileOptions restrict an expression.
type CompileOptions struct {
	// Pseudonymous refuses names that vanish when the personal part of a record
	// is erased, so that features replay the same afterwards.
	Pseudonymous bool
}

// Compile checks an expression and builds its program. The list holds every
// mistake found; the program is nil unless it is empty.
func (e *Env) Compile(src diag.Text, want Kind, o CompileOptions) (*Program, diag.List) {
	c := &checker{env: e, src: src, options: o, reads: map[string]diag.Span{}}
	root := c.check()
	if root != nil && root.kind != want {
		help := ""
		switch {
		case want == Bool && root.kind == Number:
			help = "compare it with a number, such as `> 0`"
		case want == Bool && root.kind == Text:
			help = "compare it with a text, or ask has(name)"
		case want == Number && root.kind == Bool:
			help = "write `… ? 1 : 0`"
		}
		c.at(codeResult, root, fmt.Sprintf("expression gives a %s; a %s is needed here", root.kind, want), root.kind.String(), help)
	}
	if len(c.list) > 0 || root == nil {
		c.list.Sort()
		return nil, c.list
	}
	compile(root)
	p := &Program{root: root, source: src.Value}
	for name := range c.reads {
		p.reads = append(p.reads, name)
	}
	slices.Sort(p.reads)
	e.used.add(c.reads, c.doubts)
	return p, nil
}

// noBuiltins makes the parser treat expr's builtins like any other name.
var noBuiltins = func() map[string]bool {
	all := map[string]bool{}
	for _, f := range builtin.Builtins {
		all[f.Name] = true
	}
	return all
}()

func (c *checker) check() *node {
	if !c.scan() {
		c.looseNames()
		return nil
	}
	tree, err := parser.ParseWithConfig(c.src.Value, &conf.Config{MaxNodes: maxNodes, Disabled: noBuiltins})
	if err != nil {
		c.syntax(err)
		return nil
	}
	return c.expr(tree.Node)
}

func (c *checker) syntax(err error) {
	var fault *file.Error
	if !errors.As(err, &fault) {
		c.report(codeSyntax, 0, 1, err.Error(), "", "")
		return
	}
	if strings.Contains(fault.Message, "maximum allowed nodes") {
		c.report(codeBounds, fault.From, 1, fmt.Sprintf("expression has more than %d parts", maxNodes), "", "")
		return
	}
	message, width, help := fault.Message, fault.To-fault.From, ""
	if strings.HasPrefix(message, "unexpected token") {
		if t := c.tokens[c.tokenAt(fault.From)]; t.From <= fault.From && fault.From < t.To && !strings.Contains(message, "EOF") {
			message = fmt.Sprintf("unexpected `%s`", string(c.runes[t.From:t.To]))
			if t.Kind == lexer.Identifier && t.Value != "true" && t.Value != "false" {
				help = foreign[strings.ToLower(t.Value)]
			}
		} else {
			message, fault.From, width = "expression ends too early", c.tokens[len(c.tokens)-1].To, 1
			for i, t := range c.tokens {
				if t.Kind == lexer.Bracket && c.match[i] < 0 && strings.Contains("([", t.Value) {
					message, fault.From = fmt.Sprintf("`%s` is not closed", t.Value), t.From
					break
				}
			}
			if last := c.tokens[len(c.tokens)-1]; last.Kind == lexer.Operator && last.Value == "%" {
				message, fault.From, help = "`%` needs a number behind it", last.From, "it gives what a division leaves; two per cent are 0.02"
			}
		}
	}
	c.report(codeSyntax, fault.From, width, message, "", help)
	c.looseNames()
}

// at reports a mistake about a node.
func (c *checker) at(code string, n *node, message, label, help string) {
	from, to := c.tokens[n.first].From, c.tokens[n.last].To
	c.report(code, from, to-from, message, label, help)
}

// make finishes a node that covers a run of tokens.
func (c *checker) make(n node, first, last int) *node {
	n.first, n.last = c.closed(first, last)
	n.source = c.textOf(n.first, n.last)
	return &n
}

// expr checks one part. It gives nil when the part, or something in it, was
// reported; whoever needs its kind then keeps silent.
func (c *checker) expr(n ast.Node) *node {
	if n == nil {
		return nil
	}
	at := c.tokenAt(n.Location().From)
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return c.path(n.Value, at, at)
	case *ast.MemberNode:
		if path, first, ok := c.member(n); ok {
			return c.path(path, first, at)
		}
		c.refuse(c.tokens[at], "indexing is", "")
		c.expr(n.Node)
	case *ast.IntegerNode:
		return c.literal(float64(n.Value), n.Value > 1<<53, at)
	case *ast.FloatNode:
		return c.literal(n.Value, false, at)
	case *ast.BoolNode:
		return c.make(node{op: opBool, kind: Bool, truth: n.Value}, at, at)
	case *ast.StringNode:
		if n.Value == "" {
			c.report(codeEmpty, c.tokens[at].From, 2, "nothing equals an empty text", "", "write `not has(name)`")
			return nil
		}
		return c.make(node{op: opText, kind: Text, text: n.Value}, at, at)
	case *ast.NilNode:
		c.refuse(c.tokens[at], "`nil` is", "write has(name)")
	case *ast.UnaryNode:
		return c.unary(n, at)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.choose(n)
	case *ast.ArrayNode:
		c.report(codeKind, c.tokens[at].From, 1, "a list of values stands only after `in`", "", "")
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(callee.Value, n.Arguments, at)
		}
		c.refuse(c.tokens[at], "a method is", "write name(x)")
		c.all(n.Arguments)
	case *ast.BuiltinNode:
		return c.call(n.Name, n.Arguments, at)
	case *ast.SliceNode:
		c.refuse(c.tokens[at], "slicing is", "")
		c.expr(n.Node)
	case *ast.PredicateNode:
		c.expr(n.Node)
	default:
		c.refuse(c.tokens[at], fmt.Sprintf("%T is", n), "")
	}
	return nil
}

func (c *checker) all(nodes []ast.Node) (out []*node, ok bool) {
	ok = true
	for _, n := range nodes {
		kid := c.expr(n)
		out, ok = append(out, kid), ok && kid != nil
	}
	return out, ok
}

// member gives the path of a.b.c and its first token.
func (c *checker) member(n *ast.MemberNode) (path string, first int, ok bool) {
	property, isText := n.Property.(*ast.StringNode)
	if !isText || n.Optional || c.tokens[c.tokenAt(n.Property.Location().From)].Kind == lexer.String {
		return "", 0, false
	}
	switch of := n.Node.(type) {
	case *ast.IdentifierNode:
		return of.Value + "." + property.Value, c.tokenAt(of.Location().From), true
	case *ast.MemberNode:
		path, first, ok = c.member(of)
		return path + "." + property.Value, first, ok
	}
	return "", 0, false
}

// path checks a name that is read as a value.
func (c *checker) path(path string, first, last int) *node {
	n := c.find(path, first, last)
	switch {
	case n == nil:
		return nil
	case n.length != nil:
		c.span(codeGroup, first, last, fmt.Sprintf("`%s` is not one value", path), "an array", fmt.Sprintf("write len(%s) or has(%s)", path, path))
		return nil
	}
	return c.make(node{op: opName, kind: n.Kind, money: n.Money, sort: n.sort, name: n}, first, last)
}

func (c *checker) span(code string, first, last int, message, label, help string) {
	from, to := c.tokens[first].From, c.tokens[last].To
	c.report(code, from, to-from, message, label, help)
}

// find resolves a name, or reports why it cannot.
func (c *checker) find(path string, first, last int) *name {
	n := c.env.name(path)
	switch {
	case n != nil && c.options.Pseudonymous && (n.Class == risk.Identifier || n.Class == risk.Personal):
		what := "is personal"
		if n.Class == risk.Identifier {
			what = "identifies somebody"
		}
		c.span(codePersonal, first, last, fmt.Sprintf("`%s` %s: a feature may not read it", path, what), "may be erased",
			"a feature counts the same after a person is erased; read it in a rule")
		return nil
	case n != nil:
		if _, ok := c.reads[path]; !ok {
			from := c.tokens[first].From
			c.reads[path] = c.src.At(from, c.tokens[last].To-from)
		}
		return n
	case c.isList(path):
		c.span(codeGroup, first, last, fmt.Sprintf("`%s` is a list", path), "", fmt.Sprintf("write x in %s", path))
	case c.env.group(path) || path == "list":
		c.span(codeGroup, first, last, fmt.Sprintf("`%s` is a group of names", path), "", c.members(path))
	case functions[path] != nil:
		c.span(codeFunction, first, last, fmt.Sprintf("`%s` is a function", path), "", fmt.Sprintf("write %s", functions[path].usage))
	default:
		c.unknown(path, first, last)
	}
	return nil
}

func (c *checker) literal(value float64, inexact bool, at int) *node {
	n := c.make(node{op: opNumber, kind: Number, num: value}, at, at)
	if inexact || math.Abs(value) > 1e300 {
		c.at(codeNumber, n, fmt.Sprintf("number %s is too large to be exact", n.source), "", "")
		return nil
	}
	return n
}

// takes reports a node of another kind than an operator or function takes.
func (c *checker) takes(n *node, kind Kind, who string) bool {
	if n == nil || n.kind == kind {
		return n != nil
	}
	help := ""
	switch {
	case n.kind == Time && kind == Number:
		help = fmt.Sprintf("write hours_since(%s) or days_since(%s)", n.source, n.source)
	case kind == Number && quoted(n):
		help = "write the number without quotes"
	case kind == Bool:
		help = "write a comparison"
	}
	c.at(codeKind, n, fmt.Sprintf("`%s` takes a %s, not a %s", who, kind, n.kind), n.kind.String(), help)
	return false
}

// quoted tells whether a literal is a number in quotes.
func quoted(n *node) bool {
	_, err := strconv.ParseFloat(n.text, 64)
	return n.op == opText && err == nil
}

func (c *checker) unary(n *ast.UnaryNode, at int) *node {
	kid := c.expr(n.Node)
	if kid == nil {
		return nil
	}
	first, last := min(at, kid.first), max(at, kid.last)
	switch n.Operator {
	case "not", "!":
		if !c.takes(kid, Bool, n.Operator) {
			return nil
		}
		return c.make(node{op: opNot, kind: Bool, kids: []*node{kid}}, first, last)
	case "+", "-":
		if !c.takes(kid, Number, n.Operator) {
			return nil
		}
		switch {
		case kid.op == opNumber && n.Operator == "-":
			return c.make(node{op: opNumber, kind: Number, num: -kid.num}, first, last)
		case n.Operator == "-":
			return c.make(node{op: opNegate, kind: Number, money: kid.money, kids: []*node{kid}}, first, last)
		}
		kid.first, kid.last = first, last
		kid.source = c.textOf(first, last)
		return kid
	}
	c.refuse(c.tokens[at], "`"+n.Operator+"` is", "")
	return nil
}

func (c *checker) choose(n *ast.ConditionalNode) *node {
	kids, ok := c.all([]ast.Node{n.Cond, n.Exp1, n.Exp2})
	if kids[0] != nil && !c.takes(kids[0], Bool, "?") || !ok {
		return nil
	}
	a, b := kids[1], kids[2]
	if a.kind != b.kind {
		c.at(codeKind, b, fmt.Sprintf("both branches of `?` must be of one kind, not %s and %s", a.kind, b.kind), b.kind.String(), "")
		return nil
	}
	money := a.money
	if money == "" {
		money = b.money
	}
	sort := ""
	if a.sort == b.sort {
		sort = a.sort
	}
	return c.make(node{op: opChoose, kind: a.kind, money: money, sort: sort, kids: kids}, kids[0].first, b.last)
}

// tooFine reports literals that are finer than the money they are compared with.
func (c *checker) tooFine(money string, with *node) {
	if money == "" {
		return
	}
	if with.op == opChoose {
		c.tooFine(money, with.kids[1])
		c.tooFine(money, with.kids[2])
		return
	}
	if with.op != opNumber {
		return
	}
	limits, currency := risk.Exponent(money), money
	limit := limits
	if limits < 0 {
		limit = 4
	}
	_, decimals, _ := strings.Cut(strconv.FormatFloat(with.num, 'f', -1, 64), ".")
	if len(decimals) > limit {
		has := fmt.Sprintf("%s has %d decimals", currency, limit)
		switch {
		case limit == 0:
			has = currency + " has no decimals"
		case limits < 0:
			has = "no currency has more than 4 decimals"
		}
		c.at(codeMoney, with, with.source+" is finer than the amount it is compared with", has, "")
	}
}
