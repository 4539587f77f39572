package expression

import "github.com/sluice-risk/sluice/risk"

// Program is a compiled expression. It is immutable and safe for many goroutines,
// each with its own Scope. None of its evaluations allocates, but for functions
// that make a text and for numbers looked up in lists.
type Program struct {
	root   *node
	source string
	reads  []string
}

// Kind is the kind of value that the program gives.
func (p *Program) Kind() Kind { return p.root.kind }

// Source is the text it was compiled from.
func (p *Program) Source() string { return p.source }

// Reads are the names it may read, sorted; has(x) reads x.
func (p *Program) Reads() []string { return p.reads }

// Money is the currency of a monetary result, "*" for the event's own, "" for any
// other result.
func (p *Program) Money() string { return p.root.money }

var wrongKind = Fault{Err: "another kind of program"}

// Bool evaluates a condition. With a fault the answer is false and means nothing.
func (p *Program) Bool(s *Scope) (bool, Fault) {
	if p.root.kind != Bool {
		return false, wrongKind
	}
	switch p.root.test(s) {
	case True:
		return true, Fault{}
	case False:
		return false, Fault{}
	}
	return false, *s.fault
}

// Number evaluates a formula; of a Time it gives milliseconds since 1970. With a
// fault the number is 0 and means nothing.
func (p *Program) Number(s *Scope) (float64, Fault) {
	if p.root.kind != Number && p.root.kind != Time {
		return 0, wrongKind
	}
	x := p.root.number(s)
	if x != x {
		return 0, *s.fault
	}
	return x, Fault{}
}

// Text evaluates a text. With a fault it is empty, else it never is.
func (p *Program) Text(s *Scope) (string, Fault) {
	if p.root.kind != Text {
		return "", wrongKind
	}
	t := p.root.words(s)
	if t == "" {
		return "", *s.fault
	}
	return t, Fault{}
}

// Because gives the comparisons that made a condition true, from left to right:
// of `and` all, of `or` the first true branch, of `not` what was false in its
// negated reading, of a choice its condition and the branch taken. It is nil for a
// program that is not true. Unlike Bool it allocates; it is called for hits only.
func (p *Program) Because(s *Scope) []risk.Because {
	if p.root.kind != Bool || p.root.test(s) != True {
		return nil
	}
	return p.root.because(s, true, nil)
}

// because explains why n, which was evaluated, is want.
func (n *node) because(s *Scope, want bool, out []risk.Because) []risk.Because {
	switch n.op {
	case opNot:
		return n.kids[0].because(s, !want, out)
	case opAnd, opOr:
		// All parts of a true `and` and of a false `or`; else the one that settled it.
		settled := tri(n.op == opOr)
		for _, kid := range n.kids {
			is := kid.test(s)
			if want == (n.op == opAnd) {
				out = kid.because(s, is == True, out)
			} else if is == settled {
				return kid.because(s, is == True, out)
			}
		}
		return out
	case opChoose:
		is := n.kids[0].test(s)
		out = n.kids[0].because(s, is == True, out)
		if is == True {
			return n.kids[1].because(s, want, out)
		}
		return n.kids[2].because(s, want, out)
	case opBool:
		return out
	case opName, opSame: // of identifiers, not what they are
		value := risk.Scalar{Kind: risk.Bool, Bool: want}
		return append(out, risk.Because{Left: n.source, Value: value, Op: "==", Limit: value, Window: n.window()})
	case opHas:
		op := "has"
		if !want {
			op = "not has"
		}
		return append(out, risk.Because{Left: n.text, Value: valueOfName(n.name, s), Op: op, Window: n.name.Window})
	}
	left, sign := n.kids[0], n.sign
	limit := risk.Scalar{Kind: risk.Text, Text: n.text} // of in
	if n.op == opCompare || n.op == opTest {
		right := n.kids[1]
		if n.op == opCompare && left.constant() && !right.constant() {
			left, right, sign = right, left, mirrored[sign] // 6 <= x reads x >= 6
		}
		limit = right.value(s)
	}
	if !want {
		sign = negated(sign)
	}
	return append(out, risk.Because{Left: left.source, Value: left.value(s), Op: sign, Limit: limit, Window: left.window()})
}

func negated(sign string) string {
	switch sign {
	case "==":
		return "!="
	case "!=":
		return "=="
	case "<":
		return ">="
	case "<=":
		return ">"
	case ">":
		return "<="
	case ">=":
		return "<"
	}
	return "not " + sign
}

// window is that of the one name that a part is about.
func (n *node) window() string {
	if n.op == opName {
		return n.name.Window
	}
	return ""
}

// value evaluates one side of a comparison for evidence.
func (n *node) value(s *Scope) risk.Scalar {
	switch n.kind {
	case Number, Time:
		return scalar(n.kind, n.number(s))
	case Text:
		if t := n.words(s); t != "" {
			return risk.Scalar{Kind: risk.Text, Text: t}
		}
	case Bool:
		if t := n.test(s); t != Missing {
			return risk.Scalar{Kind: risk.Bool, Bool: t == True}
		}
	}
	return risk.Scalar{}
}

func scalar(kind Kind, x float64) risk.Scalar {
	switch {
	case x-x != 0:
		return risk.Scalar{}
	case kind == Time:
		return risk.Scalar{Kind: risk.Text, Text: risk.Time(x).String()}
	}
	return risk.Scalar{Kind: risk.Decimal, Number: x}
}

func valueOfName(n *name, s *Scope) risk.Scalar {
	if n.length != nil {
		return scalar(Number, float64(n.length(s)))
	}
	switch n.Kind {
	case Number, Time:
		return scalar(n.Kind, n.Number(s))
	case Text:
		if t := n.Text(s); t != "" {
			return risk.Scalar{Kind: risk.Text, Text: t}
		}
	case Bool:
		if t := n.Bool(s); t < Missing {
			return risk.Scalar{Kind: risk.Bool, Bool: t == True}
		}
	}
	return risk.Scalar{}
}
