package expression

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// function is one entry of the allow-list. Exactly one implementation is set; has,
// len, min and max have their own checks and closures.
type function struct {
	usage string
	takes []Kind
	gives Kind
	sort  string // of the text it gives

	text    func(string) string              // "" has no value
	measure func(string, string) float64     // two texts
	number  func(float64) float64            // one number
	since   float64                          // milliseconds in its unit of time
	place   func(a, b, c, d float64) float64 // NaN: not a coordinate
}

var functions map[string]*function

func init() {
	text, number := []Kind{Text}, []Kind{Number}
	functions = map[string]*function{
		"has":           {usage: "has(name)"},
		"len":           {usage: "len(text)", takes: text, gives: Number},
		"min":           {usage: "min(a, b)", takes: number, gives: Number},
		"max":           {usage: "max(a, b)", takes: number, gives: Number},
		"abs":           {usage: "abs(x)", takes: number, gives: Number, number: abs},
		"round":         {usage: "round(x)", takes: number, gives: Number, number: round},
		"km":            {usage: "km(ip, billing), or km(lat1, lon1, lat2, lon2)", takes: []Kind{Number, Number, Number, Number}, gives: Number, place: km},
		"hours_since":   {usage: "hours_since(time)", takes: []Kind{Time}, gives: Number, since: float64(hour)},
		"days_since":    {usage: "days_since(time)", takes: []Kind{Time}, gives: Number, since: float64(day)},
		"lower":         {usage: "lower(text)", takes: text, gives: Text, text: strings.ToLower},
		"upper":         {usage: "upper(text)", takes: text, gives: Text, text: strings.ToUpper},
		"asn":           {usage: "asn(device.ip)", gives: Text},
		"network48":     {usage: "network48(ip)", takes: text, gives: Text, sort: "network", text: risk.Network48},
		"network":       {usage: "network(ip)", takes: text, gives: Text, sort: "network", text: risk.Network},
		"email":         {usage: "email(text)", takes: text, gives: Text, sort: "email", text: risk.Email},
		"domain":        {usage: "domain(email)", takes: text, gives: Text, sort: "domain", text: risk.Domain},
		"phone":         {usage: "phone(text), or phone(text, country)", takes: text, gives: Text, sort: "phone", text: func(s string) string { return risk.Phone(s, "") }},
		"name":          {usage: "name(text)", takes: text, gives: Text, sort: "name", text: risk.Name},
		"address":       {usage: "address(text), or address(billing)", takes: text, gives: Text, text: risk.PostalAddress},
		"text_distance": {usage: "text_distance(a, b)", takes: []Kind{Text, Text}, gives: Number, measure: textDistance},
	}
}

func (c *checker) call(called string, args []ast.Node, at int) *node {
	f := functions[called]
	end := at + 1
	if end < len(c.tokens) && c.match[end] > 0 {
		end = c.match[end]
	}
	if f == nil {
		help := "functions are " + strings.Join(slices.Sorted(maps.Keys(functions)), ", ")
		if near, ok := diag.Nearest(called, slices.Collect(maps.Keys(functions))); ok {
			help = fmt.Sprintf("did you mean %s?", functions[near].usage)
		}
		c.span(codeFunction, at, at, fmt.Sprintf("unknown function `%s`", called), "not a function of expressions", help)
		known := len(c.list)
		c.all(args)
		// A normal form may be meant, which may read what an unknown function may not.
		c.list = append(c.list[:known], slices.DeleteFunc(slices.Clone(c.list[known:]), func(d diag.Diagnostic) bool { return d.Code == codePersonal })...)
		return nil
	}
	if called == "has" || called == "len" {
		if n, done := c.ofName(called, args, at, end); done {
			return n
		}
	}
	if n, done := c.ofGroup(called, args, at, end); done {
		return n
	}
	kids, ok := c.all(args)
	if called == "min" || called == "max" {
		return c.extreme(called, kids, ok, at, end)
	}
	if called == "phone" && len(kids) == 2 {
		if ok = c.takes(kids[0], Text, called) && ok; !c.takes(kids[1], Text, called) || !ok {
			return nil
		}
		return c.make(node{op: opCall, kind: Text, sign: called, sort: f.sort, kids: kids}, at, end)
	}
	if len(kids) != len(f.takes) {
		c.span(codeArguments, at, end, fmt.Sprintf("`%s` takes %s, not %d", called, arguments(len(f.takes)), len(kids)), "", "write "+f.usage)
		return nil
	}
	for i, kid := range kids {
		ok = c.takes(kid, f.takes[i], called) && ok
	}
	if !ok {
		return nil
	}
	n := node{op: opCall, kind: f.gives, sign: called, sort: f.sort, kids: kids}
	if called == "abs" || called == "round" {
		n.money = kids[0].money
	}
	if called == "lower" || called == "upper" {
		n.sort = kids[0].sort
	}
	if kids[0].op == opName {
		n.key = keyOf(called, kids[0].name.Name)
	}
	return c.make(n, at, end)
}

// keyOf gives the normal form of a field where more than its own text decides it:
// of a phone also the country of whoever it belongs to. nil for all others.
func keyOf(function, path string) func(*risk.Event) string {
	if function != "phone" && function != "address" {
		return nil
	}
	if i := risk.KeyIndex(function + "(" + path + ")"); i >= 0 {
		return risk.Keys[i].Value
	}
	return nil
}

// ofGroup handles the calls whose arguments are groups of names: km(ip, billing),
// address(shipping); and asn(device.ip), which reads what was looked up for it.
func (c *checker) ofGroup(called string, args []ast.Node, at, end int) (n *node, done bool) {
	group := func(i int) (string, int) {
		if id, ok := args[i].(*ast.IdentifierNode); ok && c.env.name(id.Value) == nil {
			return id.Value, c.tokenAt(id.Location().From)
		}
		return "", 0
	}
	switch {
	case called == "asn":
		if m, ok := args0[*ast.MemberNode](args); ok {
			if path, first, ok := c.member(m); ok && path == "device.ip" {
				kid := c.path("ip.asn", first, c.tokenAt(m.Location().From))
				return c.make(node{op: opCall, kind: Text, sign: called, kids: []*node{kid}}, at, end), true
			}
		}
		c.span(codeArguments, at, end, "`asn` takes device.ip", "", "write asn(device.ip)")
		return nil, true
	case called == "address" && len(args) == 1:
		name, first := group(0)
		key := keyOf(called, name)
		if key == nil {
			return nil, false
		}
		kid := c.path(name+".line1", first, first)
		if kid == nil {
			return nil, true
		}
		return c.make(node{op: opCall, kind: Text, sign: called, kids: []*node{kid}, key: key}, at, end), true
	case called == "km" && len(args) == 2:
		out := node{op: opCall, kind: Number, sign: called}
		for i := range args {
			name, first := group(i)
			if name == "" || c.env.name(name+".lat") == nil || c.env.name(name+".lon") == nil {
				c.span(codeArguments, at, end, "`km` takes two places, or four coordinates", "", "places are "+strings.Join(c.places(), ", "))
				return nil, true
			}
			for _, coordinate := range []string{".lat", ".lon"} {
				if kid := c.path(name+coordinate, first, first); kid != nil {
					out.kids = append(out.kids, kid)
				}
			}
		}
		if len(out.kids) < 4 {
			return nil, true
		}
		return c.make(out, at, end), true
	}
	return nil, false
}

func args0[T ast.Node](args []ast.Node) (n T, ok bool) {
	if len(args) == 1 {
		n, ok = args[0].(T)
	}
	return n, ok
}

// places are the groups that have coordinates.
func (c *checker) places() (all []string) {
	for _, name := range c.env.Names() {
		if group, ok := strings.CutSuffix(name, ".lat"); ok && c.env.name(group+".lon") != nil {
			all = append(all, group)
		}
	}
	return all
}

// ofName handles has(name) and len(array), whose argument is not read as a value.
func (c *checker) ofName(called string, args []ast.Node, at, end int) (n *node, done bool) {
	path, first, isPath := "", 0, false
	if len(args) == 1 {
		switch a := args[0].(type) {
		case *ast.IdentifierNode:
			path, first, isPath = a.Value, c.tokenAt(a.Location().From), true
		case *ast.MemberNode:
			path, first, isPath = c.member(a)
		}
	}
	if !isPath {
		if called == "len" {
			return nil, false
		}
		c.span(codeArguments, at, end, "`has` takes one name", "", "write has(name)")
		c.all(args)
		return nil, true
	}
	if called == "len" {
		if known := c.env.name(path); known == nil || known.length == nil {
			return nil, false
		}
	}
	last := c.tokenAt(args[0].Location().From)
	options, key := c.options, -1
	if called == "has" {
		if key = risk.KeyIndex(path); key >= 0 { // its pseudonym tells
			c.options.Pseudonymous = false
		}
	}
	found := c.find(path, first, last)
	c.options = options
	if found == nil {
		return nil, true
	}
	if called == "len" {
		return c.make(node{op: opLength, kind: Number, sign: called, name: found}, at, end), true
	}
	out := node{op: opHas, kind: Bool, sign: called, text: path, name: found, keys: [2]int{key}, pseudonymous: options.Pseudonymous}
	return c.make(out, at, end), true
}

func arguments(n int) string {
	if n == 1 {
		return "one argument"
	}
	return fmt.Sprintf("%d arguments", n)
}

func (c *checker) extreme(called string, kids []*node, ok bool, at, end int) *node {
	if len(kids) < 2 {
		c.span(codeArguments, at, end, fmt.Sprintf("`%s` takes two or more numbers", called), "", "write "+functions[called].usage)
		return nil
	}
	for _, kid := range kids {
		ok = c.takes(kid, Number, called) && ok
	}
	if !ok {
		return nil
	}
	n := node{op: opCall, kind: Number, sign: called, kids: kids}
	for _, kid := range kids {
		if n.money == "" {
			n.money = kid.money
		}
	}
	for _, kid := range kids {
		c.tooFine(n.money, kid)
	}
	return c.make(n, at, end)
}
