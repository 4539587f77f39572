package expression

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-risk/sluice/risk"
)

// compile builds the closure of a node and of everything below it. Each node
// keeps its own, also where a parent fuses several into one, so that Because can
// ask any part for its value.
func compile(n *node) {
	for _, kid := range n.kids {
		compile(kid)
	}
	switch n.kind {
	case Number, Time:
		n.number = numberOf(n)
	case Text:
		n.words = textOf(n)
	case Bool:
		n.test = truthOfNode(n)
	}
}

func numberOf(n *node) numberFn {
	switch n.op {
	case opNumber:
		value := n.num
		return func(*Scope) float64 { return value }
	case opName:
		read, fault := n.name.Number, n.name.fault
		return func(s *Scope) float64 {
			x := read(s)
			if x-x != 0 {
				return s.noNumber(x, fault)
			}
			return x
		}
	case opLength:
		length := n.name.length
		return func(s *Scope) float64 { return float64(length(s)) }
	case opNegate:
		f := n.kids[0].number
		return func(s *Scope) float64 { return -f(s) }
	case opArith:
		return arithOf(n)
	case opChoose:
		cond, a, b := n.kids[0].test, n.kids[1].number, n.kids[2].number
		return func(s *Scope) float64 {
			switch cond(s) {
			case True:
				return a(s)
			case False:
				return b(s)
			}
			return math.NaN()
		}
	}
	return callOf(n)
}

// noNumber ends an evaluation at a value that is NaN, which is missing, or
// infinite, which no source should give.
func (s *Scope) noNumber(x float64, missing *Fault) float64 {
	if s.fault = missing; x == x {
		s.fault = overflow
	}
	return math.NaN()
}

func (s *Scope) finite(x float64) float64 {
	if x-x != 0 {
		s.fault = overflow
		return math.NaN()
	}
	return x
}

// arithOf has a closure for each operator: none calls another function, and each
// product leaves the closure before anything is added to it.
func arithOf(n *node) numberFn {
	l, r := n.kids[0].number, n.kids[1].number
	switch n.sign {
	case "+":
		return func(s *Scope) float64 {
			a := l(s)
			if a != a {
				return a
			}
			b := r(s)
			if b != b {
				return b
			}
			return s.finite(a + b)
		}
	case "-":
		return func(s *Scope) float64 {
			a := l(s)
			if a != a {
				return a
			}
			b := r(s)
			if b != b {
				return b
			}
			return s.finite(a - b)
		}
	case "*":
		return func(s *Scope) float64 {
			a := l(s)
			if a != a {
				return a
			}
			b := r(s)
			if b != b {
				return b
			}
			return s.finite(float64(a * b))
		}
	}
	sign := n.sign
	return func(s *Scope) float64 {
		a := l(s)
		if a != a {
			return a
		}
		b := r(s)
		if b != b {
			return b
		}
		x, fault := calculate(sign, a, b)
		if fault != nil {
			s.fault = fault
		}
		return x
	}
}

func callOf(n *node) numberFn {
	f := functions[n.sign]
	switch {
	case n.sign == "len":
		text := n.kids[0].words
		return func(s *Scope) float64 {
			t := text(s)
			if t == "" {
				return math.NaN()
			}
			return float64(utf8.RuneCountInString(t))
		}
	case n.sign == "min" || n.sign == "max":
		all, sign := make([]numberFn, len(n.kids)), 1.0
		for i, kid := range n.kids {
			all[i] = kid.number
		}
		if n.sign == "max" {
			sign = -1
		}
		return func(s *Scope) float64 {
			best := all[0](s)
			if best != best {
				return best
			}
			for _, f := range all[1:] {
				x := f(s)
				if x != x {
					return x
				}
				if x*sign < best*sign {
					best = x
				}
			}
			return best
		}
	case f.since > 0:
		t, unit := n.kids[0].number, f.since
		return func(s *Scope) float64 { return (float64(s.At) - t(s)) / unit }
	case f.number != nil:
		x, of := n.kids[0].number, f.number
		return func(s *Scope) float64 { return of(x(s)) } // NaN stays NaN
	case f.measure != nil:
		l, r, of := n.kids[0].words, n.kids[1].words, f.measure
		return func(s *Scope) float64 {
			a := l(s)
			if a == "" {
				return math.NaN()
			}
			b := r(s)
			if b == "" {
				return math.NaN()
			}
			return of(a, b)
		}
	}
	args, of := [4]numberFn{}, f.place
	for i, kid := range n.kids {
		args[i] = kid.number
	}
	return func(s *Scope) float64 {
		var v [4]float64
		for i, f := range args {
			if v[i] = f(s); v[i] != v[i] {
				return v[i]
			}
		}
		x := of(v[0], v[1], v[2], v[3])
		if x != x {
			s.fault = noCoordinate
		}
		return x
	}
}

func textOf(n *node) textFn {
	switch n.op {
	case opText:
		value := n.text
		return func(*Scope) string { return value }
	case opName:
		read, fault := n.name.Text, n.name.fault
		return func(s *Scope) string {
			t := read(s)
			if t == "" {
				s.fault = fault
			}
			return t
		}
	case opChoose:
		cond, a, b := n.kids[0].test, n.kids[1].words, n.kids[2].words
		return func(s *Scope) string {
			switch cond(s) {
			case True:
				return a(s)
			case False:
				return b(s)
			}
			return ""
		}
	}
	// A text without the form that a function gives, such as an address that is
	// none, has no value: missing(email(customer.email)).
	fault := &Fault{Missing: n.source}
	if n.sign == "asn" {
		number := n.kids[0].number
		return func(s *Scope) string {
			if x := number(s); x == x {
				return "AS" + strconv.FormatFloat(x, 'f', 0, 64)
			}
			return ""
		}
	}
	arg, of := n.kids[0].words, functions[n.sign].text
	switch {
	case n.key != nil:
		key := n.key
		return func(s *Scope) string {
			t := arg(s)
			if t == "" {
				return ""
			}
			if t = key(&s.Record.Event); t == "" {
				s.fault = fault
			}
			return t
		}
	case len(n.kids) == 2: // phone
		country := n.kids[1].words
		return func(s *Scope) string {
			t := arg(s)
			if t == "" {
				return ""
			}
			region := country(s)
			if region == "" {
				return ""
			}
			if t = risk.Phone(t, region); t == "" {
				s.fault = fault
			}
			return t
		}
	}
	return func(s *Scope) string {
		t := arg(s)
		if t == "" {
			return ""
		}
		if t = of(t); t == "" {
			s.fault = fault
		}
		return t
	}
}

func truthOfNode(n *node) truthFn {
	switch n.op {
	case opBool:
		value := tri(n.truth)
		return func(*Scope) Tri { return value }
	case opName:
		read, fault := n.name.Bool, n.name.fault
		return func(s *Scope) Tri {
			t := read(s)
			if t >= Missing {
				s.fault = fault
				return Missing
			}
			return t
		}
	case opHas:
		if n.keys[0] >= 0 {
			return hasKeyOf(n)
		}
		return hasOf(n.name)
	case opSame:
		return sameOf(n)
	case opNot:
		f := n.kids[0].test
		return func(s *Scope) Tri {
			if t := f(s); t != Missing {
				return True - t
			}
			return Missing
		}
	case opAnd:
		return andOf(n.kids)
	case opOr:
		return orOf(n.kids)
	case opChoose:
		cond, a, b := n.kids[0].test, n.kids[1].test, n.kids[2].test
		return func(s *Scope) Tri {
			switch cond(s) {
			case True:
				return a(s)
			case False:
				return b(s)
			}
			return Missing
		}
	case opCompare:
		return compareOf(n)
	case opTest:
		return testOf(n)
	case opIn:
		return inOf(n)
	}
	return inListOf(n)
}

func hasOf(n *name) truthFn {
	switch {
	case n.length != nil:
		length := n.length
		return func(s *Scope) Tri { return tri(length(s) > 0) }
	case n.Kind == Text:
		read := n.Text
		return func(s *Scope) Tri { return tri(read(s) != "") }
	case n.Kind == Bool:
		read := n.Bool
		return func(s *Scope) Tri { return tri(read(s) < Missing) }
	}
	read := n.Number
	return func(s *Scope) Tri { x := read(s); return tri(x-x == 0) }
}

func andOf(kids []*node) truthFn {
	a, b := kids[0].test, kids[1].test
	switch len(kids) {
	case 2:
		return func(s *Scope) Tri {
			if t := a(s); t != True {
				return t
			}
			return b(s)
		}
	case 3:
		c := kids[2].test
		return func(s *Scope) Tri {
			if t := a(s); t != True {
				return t
			}
			if t := b(s); t != True {
				return t
			}
			return c(s)
		}
	}
	all := tests(kids)
	return func(s *Scope) Tri {
		for _, f := range all {
			if t := f(s); t != True {
				return t
			}
		}
		return True
	}
}

func orOf(kids []*node) truthFn {
	all := tests(kids)
	return func(s *Scope) Tri {
		for _, f := range all {
			if t := f(s); t != False {
				return t
			}
		}
		return False
	}
}

func tests(kids []*node) []truthFn {
	all := make([]truthFn, len(kids))
	for i, kid := range kids {
		all[i] = kid.test
	}
	return all
}

func testOf(n *node) truthFn {
	l, r := n.kids[0].words, n.kids[1].words
	if n.sign == "matches" {
		re := n.regexp
		return func(s *Scope) Tri {
			t := l(s)
			if t == "" {
				return Missing
			}
			return tri(re.MatchString(t))
		}
	}
	of := map[string]func(text, part string) bool{
		"startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix, "contains": strings.Contains,
	}[n.sign]
	return func(s *Scope) Tri {
		a := l(s)
		if a == "" {
			return Missing
		}
		b := r(s)
		if b == "" {
			return Missing
		}
		return tri(of(a, b))
	}
}

func inOf(n *node) truthFn {
	const few = 8 // up to here comparing one by one is faster than hashing
	values := n.kids[1:]
	if n.kids[0].kind == Text {
		f, all, index := n.kids[0].words, []string{}, map[string]bool{}
		for _, v := range values {
			all, index[v.text] = append(all, v.text), true
		}
		if len(all) > few {
			return func(s *Scope) Tri {
				t := f(s)
				if t == "" {
					return Missing
				}
				return tri(index[t])
			}
		}
		return func(s *Scope) Tri {
			t := f(s)
			if t == "" {
				return Missing
			}
			for _, v := range all {
				if v == t {
					return True
				}
			}
			return False
		}
	}
	f, all, index := n.kids[0].number, []float64{}, map[float64]bool{}
	for _, v := range values {
		all, index[v.num] = append(all, v.num), true
	}
	return func(s *Scope) Tri {
		x := f(s)
		if x != x {
			return Missing
		}
		if len(all) > few {
			return tri(index[x])
		}
		for _, v := range all {
			if v == x {
				return True
			}
		}
		return False
	}
}

func inListOf(n *node) truthFn {
	list := n.list
	if n.kids[0].kind == Number {
		f := n.kids[0].number
		return func(s *Scope) Tri {
			x := f(s)
			if x != x {
				return Missing
			}
			return tri(list.Contains(strconv.FormatFloat(x, 'g', -1, 64), s.At))
		}
	}
	f := n.kids[0].words
	normal := lookedUp[list.Type()]
	if n.kids[0].op == opName {
		if key := keyOf(list.Type(), n.kids[0].name.Name); key != nil {
			normal = nil
			f = func(s *Scope) string {
				if t := n.kids[0].words(s); t == "" {
					return ""
				}
				return cmp.Or(key(&s.Record.Event), " ") // no number is on no list
			}
		}
	}
	return func(s *Scope) Tri {
		t := f(s)
		if t == "" {
			return Missing
		}
		if normal != nil {
			t = normal(t)
		}
		return tri(t != "" && list.Contains(t, s.At))
	}
}

// lookedUp brings a value to the form in which lists of a type hold their items.
var lookedUp = map[string]func(string) string{
	"email": risk.Email,
	"email_domain": func(s string) string {
		if strings.Contains(s, "@") {
			return risk.Domain(s)
		}
		return strings.TrimSuffix(strings.ToLower(s), ".")
	},
	"phone": func(s string) string { return risk.Phone(s, "") },
	"name":  risk.Name,
}
