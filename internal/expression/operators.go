package expression

import (
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Bounds of a regular expression: its characters, and the instructions that it
// compiles to. RE2 takes time by their number times the text's length, and a{1000}
// is 1,000 of them.
const (
	maxPattern = 256
	maxProgram = 1000
)

func (c *checker) binary(n *ast.BinaryNode) *node {
	if n.Operator == "in" {
		return c.in(n)
	}
	if out, done := c.same(n); done {
		return out
	}
	kids, ok := c.all([]ast.Node{n.Left, n.Right})
	a, b := kids[0], kids[1]
	if !ok {
		c.half(n.Operator, a, b)
		return nil
	}
	first, last := min(a.first, b.first), max(a.last, b.last)
	switch n.Operator {
	case "and", "&&", "or", "||":
		op, sign := opAnd, "and"
		if n.Operator == "or" || n.Operator == "||" {
			op, sign = opOr, "or"
		}
		if okA, okB := c.takes(a, Bool, n.Operator), c.takes(b, Bool, n.Operator); !okA || !okB {
			return nil
		}
		return c.make(node{op: op, kind: Bool, sign: sign, kids: append(flat(op, a), flat(op, b)...)}, first, last)
	case "==", "!=", "<", "<=", ">", ">=":
		return c.compare(n.Operator, a, b, first, last)
	case "+", "-", "*", "/", "%":
		return c.arith(n.Operator, a, b, first, last)
	case "startsWith", "endsWith", "contains", "matches":
		if okA, okB := c.takes(a, Text, n.Operator), c.takes(b, Text, n.Operator); !okA || !okB {
			return nil
		}
		out := node{op: opTest, kind: Bool, sign: n.Operator, kids: kids}
		if n.Operator == "matches" {
			if out.regexp = c.pattern(b); out.regexp == nil {
				return nil
			}
		}
		return c.make(out, first, last)
	}
	c.refuse(c.tokens[c.tokenAt(n.Location().From)], "`"+n.Operator+"` is", instead[n.Operator])
	return nil
}

// half checks the one operand that is known when the other was reported.
func (c *checker) half(operator string, a, b *node) {
	for _, n := range []*node{a, b} {
		switch operator {
		case "and", "&&", "or", "||":
			c.takes(n, Bool, operator)
		case "+", "-", "*", "/", "%":
			c.takes(n, Number, operator)
		case "startsWith", "endsWith", "contains", "matches":
			c.takes(n, Text, operator)
		}
	}
}

// flat makes a and (b and c) one node of three: and is associative, also where an
// operand has no value, since each ends the evaluation at its own place.
func flat(op op, n *node) []*node {
	if n.op == op {
		return n.kids
	}
	return []*node{n}
}

func (c *checker) compare(sign string, a, b *node, first, last int) *node {
	out := c.make(node{op: opCompare, kind: Bool, sign: sign, kids: []*node{a, b}}, first, last)
	if a.kind != b.kind {
		help := ""
		switch {
		case a.kind == Time && b.kind == Number:
			help = fmt.Sprintf("write hours_since(%s) or days_since(%s)", a.source, a.source)
		case b.kind == Time && a.kind == Number:
			help = fmt.Sprintf("write hours_since(%s) or days_since(%s)", b.source, b.source)
		case a.kind == Number && quoted(b), b.kind == Number && quoted(a):
			help = "write the number without quotes"
		case a.kind == Text && b.op == opNumber && (sign == "==" || sign == "!="):
			help = fmt.Sprintf("write the text in quotes: \"%s\"", b.source)
		case a.kind == Bool:
			help = fmt.Sprintf("write `%s` or `not %s` alone", a.source, a.source)
		}
		c.at(codeKind, out, fmt.Sprintf("a %s is compared with a %s", a.kind, b.kind), "", help)
		return nil
	}
	if a.kind == Bool && sign != "==" && sign != "!=" {
		c.at(codeKind, out, fmt.Sprintf("`%s` does not compare bools", sign), "", "")
		return nil
	}
	c.tooFine(a.money, b)
	c.tooFine(b.money, a)
	if sign == "==" || sign == "!=" {
		c.never(a, b)
		c.never(b, a)
	}
	return out
}

func (c *checker) arith(sign string, a, b *node, first, last int) *node {
	okA, okB := c.takes(a, Number, sign), c.takes(b, Number, sign)
	if !okA || !okB {
		return nil
	}
	money := ""
	switch {
	case sign == "+" || sign == "-":
		if money = a.money; money == "" {
			money = b.money
		}
	case sign == "*" && (a.money == "" || b.money == ""):
		money = a.money + b.money
	}
	out := c.make(node{op: opArith, kind: Number, sign: sign, money: money, kids: []*node{a, b}}, first, last)
	if b.op == opNumber && b.num == 0 && (sign == "/" || sign == "%") {
		c.at(codeNumber, out, "division by zero", "", "")
		return nil
	}
	if a.op == opNumber && b.op == opNumber { // fold, so that 24 * 60 is a limit like 1440
		value, fault := calculate(sign, a.num, b.num)
		if fault != nil {
			c.at(codeNumber, out, fault.Err, "", "")
			return nil
		}
		out.op, out.num, out.kids = opNumber, value, nil
	}
	return out
}

// calculate is the arithmetic of expressions. Each result is one float64
// operation, so no two can be fused into one with another last bit.
func calculate(sign string, a, b float64) (float64, *Fault) {
	var x float64
	switch sign {
	case "+":
		x = a + b
	case "-":
		x = a - b
	case "*":
		x = float64(a * b)
	case "/", "%":
		if b == 0 {
			return math.NaN(), zeroDivision
		}
		if x = a / b; sign == "%" {
			x = math.Mod(a, b)
		}
	}
	if x-x != 0 {
		return math.NaN(), overflow
	}
	return x, nil
}

func (c *checker) pattern(n *node) *regexp.Regexp {
	switch {
	case n.op != opText:
		c.at(codeRegexp, n, "the pattern after `matches` must be a text in quotes", "", "")
	case len([]rune(n.text)) > maxPattern:
		c.at(codeRegexp, n, fmt.Sprintf("pattern of %d characters; at most %d", len([]rune(n.text)), maxPattern), "", "")
	default:
		re, err := regexp.Compile(n.text)
		if err == nil {
			if size := programSize(n.text); size > maxProgram {
				c.at(codeRegexp, n, fmt.Sprintf("pattern needs %d steps a character; at most %d", size, maxProgram), "", "repeat less")
				return nil
			}
			return re
		}
		c.at(codeRegexp, n, strings.TrimPrefix(err.Error(), "error parsing regexp: "), "not a RE2 pattern", "")
	}
	return nil
}

func programSize(pattern string) int {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

func (c *checker) in(n *ast.BinaryNode) *node {
	a := c.expr(n.Left)
	if array, ok := n.Right.(*ast.ArrayNode); ok {
		return c.inValues(a, array)
	}
	at := c.tokenAt(n.Right.Location().From)
	path, first := "", at
	switch r := n.Right.(type) {
	case *ast.IdentifierNode:
		path = r.Value
	case *ast.MemberNode:
		if p, f, ok := c.member(r); ok {
			path, first = p, f
		}
	}
	key, isList := strings.CutPrefix(path, "list.")
	list := c.env.list(key)
	switch {
	case isList && list == nil:
		c.unknown(path, first, at)
		return nil
	case !isList && path != "" && c.env.name(path) == nil && c.env.list(path) != nil:
		c.span(codeName, first, at, fmt.Sprintf("unknown feature `%s`", path), "a list has this name", fmt.Sprintf("write list.%s", path))
		return nil
	case !isList:
		if path == "" || c.find(path, first, at) != nil {
			c.span(codeKind, first, at, "`in` takes [values] or list.name", "", "")
		}
		if path == "" {
			c.expr(n.Right)
		}
		return nil
	case a == nil || !c.fits(a, list, path, first, at):
		return nil
	}
	return c.make(node{op: opInList, kind: Bool, sign: "in", text: path, list: list, kids: []*node{a}}, min(a.first, first), max(a.last, at))
}

func (c *checker) inValues(a *node, array *ast.ArrayNode) *node {
	open := c.tokenAt(array.Location().From)
	values, ok := c.all(array.Nodes)
	if a != nil && a.kind != Number && a.kind != Text {
		c.at(codeKind, a, fmt.Sprintf("`in` looks up a number or a text, not a %s", a.kind), a.kind.String(), "")
		return nil
	}
	if len(values) == 0 {
		c.report(codeKind, c.tokens[open].From, 2, "nothing is in an empty list", "", "")
		return nil
	}
	for _, v := range values {
		switch {
		case v == nil:
		case !v.constant():
			c.at(codeKind, v, "the values after `in` must be literals", "", "compare with == and `or`")
			ok = false
		case a != nil && v.kind != a.kind:
			c.at(codeKind, v, fmt.Sprintf("a %s is looked up among values of kind %s", a.kind, v.kind), v.kind.String(), "")
			ok = false
		case a != nil:
			c.tooFine(a.money, v)
			c.never(a, v)
		}
	}
	if a == nil || !ok {
		return nil
	}
	n := node{op: opIn, kind: Bool, sign: "in", kids: append([]*node{a}, values...)}
	n.text = c.textOf(open, c.match[open])
	return c.make(n, min(a.first, open), max(a.last, c.match[open]))
}

// listTypes tells what each type of list may be asked for: "number", "text" for a
// text of unknown sort, and the sorts of texts that are known.
var listTypes = map[string][]string{
	"number":       {"number"},
	"id":           {"text", "country", "ip", "card", "device", "email", "phone", "name", "domain", "network"},
	"country":      {"text", "country"},
	"ip":           {"text", "ip"},
	"cidr":         {"text", "ip"}, // networks that hold an address
	"email":        {"text", "email"},
	"email_domain": {"text", "email", "domain"},
	"card":         {"text", "card"},
	"device":       {"text", "device"},
	"phone":        {"text", "phone"},
	"name":         {"text", "name"},
}

func (c *checker) fits(a *node, list List, path string, first, last int) bool {
	asked := a.kind.String()
	if a.kind == Text && a.sort != "" {
		asked = a.sort
	}
	if slices.Contains(listTypes[list.Type()], asked) {
		return true
	}
	c.span(codeList, first, last, fmt.Sprintf("`%s` (%s) is looked up in `%s`, a list of type %s", a.source, asked, path, list.Type()), "is never found there", "")
	return false
}
