package expression

import "cmp"

// compareOf fuses the comparison that most rules are made of, a name with a
// literal, into one closure.
func compareOf(n *node) truthFn {
	a, b, sign := n.kids[0], n.kids[1], n.sign
	if a.constant() && !b.constant() { // evaluating a literal first or last is the same
		a, b, sign = b, a, mirrored[sign]
	}
	switch {
	case a.kind == Bool:
		l, r, equal := a.test, b.test, sign == "=="
		return func(s *Scope) Tri {
			x := l(s)
			if x == Missing {
				return Missing
			}
			y := r(s)
			if y == Missing {
				return Missing
			}
			return tri((x == y) == equal)
		}
	case a.kind == Text && a.op == opName && b.op == opText && (sign == "==" || sign == "!="):
		read, fault, limit, equal := a.name.Text, a.name.fault, b.text, sign == "=="
		return func(s *Scope) Tri {
			t := read(s)
			if t == "" {
				s.fault = fault
				return Missing
			}
			return tri((t == limit) == equal)
		}
	case a.kind == Text:
		l, r := a.words, b.words
		want := outcomes[sign]
		return func(s *Scope) Tri {
			x := l(s)
			if x == "" {
				return Missing
			}
			y := r(s)
			if y == "" {
				return Missing
			}
			return tri(want[cmp.Compare(x, y)+1])
		}
	case a.op == opName && b.op == opNumber:
		return nameWithNumber(a.name, sign, b.num)
	}
	l, r := a.number, b.number
	want := outcomes[sign]
	return func(s *Scope) Tri {
		x := l(s)
		if x != x {
			return Missing
		}
		y := r(s)
		if y != y {
			return Missing
		}
		switch {
		case x < y:
			return tri(want[0])
		case x > y:
			return tri(want[2])
		}
		return tri(want[1])
	}
}

// mirrored is the sign that holds when the operands change places.
var mirrored = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// outcomes tells for less, equal and greater whether a sign holds. There is no
// fourth: NaN never gets here.
var outcomes = map[string][3]bool{
	"==": {1: true}, "!=": {0: true, 2: true},
	"<": {0: true}, "<=": {0: true, 1: true},
	">": {2: true}, ">=": {1: true, 2: true},
}

func nameWithNumber(n *name, sign string, limit float64) truthFn {
	read, fault := n.Number, n.fault
	switch sign {
	case ">":
		return func(s *Scope) Tri {
			x := read(s)
			if x-x != 0 {
				s.noNumber(x, fault)
				return Missing
			}
			return tri(x > limit)
		}
	case ">=":
		return func(s *Scope) Tri {
			x := read(s)
			if x-x != 0 {
				s.noNumber(x, fault)
				return Missing
			}
			return tri(x >= limit)
		}
	case "<":
		return func(s *Scope) Tri {
			x := read(s)
			if x-x != 0 {
				s.noNumber(x, fault)
				return Missing
			}
			return tri(x < limit)
		}
	case "<=":
		return func(s *Scope) Tri {
			x := read(s)
			if x-x != 0 {
				s.noNumber(x, fault)
				return Missing
			}
			return tri(x <= limit)
		}
	}
	equal := sign == "=="
	return func(s *Scope) Tri {
		x := read(s)
		if x-x != 0 {
			s.noNumber(x, fault)
			return Missing
		}
		return tri((x == limit) == equal)
	}
}
