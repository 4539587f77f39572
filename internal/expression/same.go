package expression

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/sluice-risk/sluice/risk"
)

// same checks the comparison of two identifiers, in their forms of risk.Keys.
// Their pseudonyms are equal exactly when they are, so features may compare them
// too, and a rule still can when the person has been erased. It gives nil, false
// for any other comparison.
func (c *checker) same(n *ast.BinaryNode) (out *node, done bool) {
	if n.Operator != "==" && n.Operator != "!=" {
		return nil, false
	}
	formA, formB := c.keyForm(n.Left), c.keyForm(n.Right)
	keyA, keyB := risk.KeyIndex(formA), risk.KeyIndex(formB)
	if keyA < 0 || keyB < 0 {
		return nil, false
	}
	pseudonymous := c.options.Pseudonymous
	c.options.Pseudonymous = false
	kids, ok := c.all([]ast.Node{n.Left, n.Right})
	c.options.Pseudonymous = pseudonymous
	if !ok {
		return nil, true
	}
	a, b := kids[0], kids[1]
	out = c.make(node{op: opSame, kind: Bool, sign: n.Operator, kids: kids, keys: [2]int{keyA, keyB}, pseudonymous: pseudonymous},
		min(a.first, b.first), max(a.last, b.last))
	if kindA, kindB := identifierKind(formA), identifierKind(formB); kindA != kindB {
		report := func() {
			c.at(codeKind, out, fmt.Sprintf("identifiers of two kinds are compared: %s and %s", kindA, kindB), "", likes(formA))
		}
		if pseudonymous {
			report()
			return nil, true
		}
		c.doubt(report)
	}
	return out, true
}

// keyForm writes a field, or a call with one name, as it stands in risk.Keys.
func (c *checker) keyForm(n ast.Node) string {
	function, args := "", []ast.Node{n}
	switch call := n.(type) {
	case *ast.CallNode:
		if callee, ok := call.Callee.(*ast.IdentifierNode); ok {
			function, args = callee.Value, call.Arguments
		}
	case *ast.BuiltinNode:
		function, args = call.Name, call.Arguments
	}
	path := ""
	if m, ok := args0[*ast.MemberNode](args); ok {
		path, _, _ = c.member(m)
	} else if id, ok := args0[*ast.IdentifierNode](args); ok {
		path = id.Value
	}
	if function == "" {
		return path
	}
	return function + "(" + path + ")"
}

// identifierKind tells what a form of risk.Keys identifies.
func identifierKind(form string) string {
	if function, _, ok := strings.Cut(form, "("); ok {
		return function + "(…)"
	}
	switch group, field, _ := strings.Cut(form, "."); {
	case form == "device.ip":
		return "an IP address"
	case form == "device.id":
		return "a device's id"
	case field == "id", group == "escrow":
		return "a party's id"
	case field == "account", field == "email":
		return "an " + field
	case field == "phone", field == "wallet":
		return "a " + field
	}
	return form // the only one of its kind
}

// likes helps to find what an identifier can be compared with.
func likes(form string) string {
	var all []string
	for i := range risk.Keys {
		if other := risk.Keys[i].Form; other != form && identifierKind(other) == identifierKind(form) {
			all = append(all, other)
		}
	}
	if len(all) == 0 {
		return fmt.Sprintf("there is nothing else like %s in an event", form)
	}
	return fmt.Sprintf("%s can be compared with %s", form, strings.Join(all, ", "))
}

// erased tells whether identifiers are known by their pseudonyms alone.
func (n *node) erased(s *Scope) bool { return n.pseudonymous || s.Record.Erased }

func sameOf(n *node) truthFn {
	l, r, equal := n.kids[0].words, n.kids[1].words, n.sign == "=="
	a, b := n.keys[0], n.keys[1]
	faults := [2]*Fault{{Missing: n.kids[0].source}, {Missing: n.kids[1].source}}
	return func(s *Scope) Tri {
		var missingA, missingB, same bool
		if n.erased(s) {
			ids := &s.Record.IDs
			missingA, missingB, same = ids[a].IsZero(), ids[b].IsZero(), ids[a] == ids[b]
		} else {
			x := l(s)
			y := r(s)
			missingA, missingB, same = x == "", y == "", x == y
		}
		switch {
		case missingA:
			s.fault = faults[0]
			return Missing
		case missingB:
			s.fault = faults[1]
			return Missing
		}
		return tri(same == equal)
	}
}

// hasKeyOf tells whether there is an identifier, or was before it was erased.
func hasKeyOf(n *node) truthFn {
	read, key := n.name.Text, n.keys[0]
	return func(s *Scope) Tri {
		if n.erased(s) {
			return tri(!s.Record.IDs[key].IsZero())
		}
		return tri(read(s) != "")
	}
}
