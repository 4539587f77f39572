package expression

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// Var is one name that expressions may read. Its closure is set by Kind.
type Var struct {
	Name   string
	Kind   Kind
	Money  string     // of a monetary number: the ISO code whose decimals bound literals, "*" for the event's own; "" is no money
	Class  risk.Class // Identifier and Personal are refused under CompileOptions.Pseudonymous
	Window string     // for evidence: "10m"; "" none
	At     diag.Span  // where it is defined, for "did you mean"; may be zero

	Number func(*Scope) float64 // NaN missing; of a Time: milliseconds since 1970
	Text   func(*Scope) string  // "" missing
	Bool   func(*Scope) Tri
}

// List is what `x in list.name` looks into.
type List interface {
	Type() string // id country ip cidr email email_domain card device phone name number
	// Contains looks a value up as of an instant: an address, domain, phone or name
	// in its normal form, a number in its shortest decimal form.
	Contains(value string, at risk.Time) bool
}

// Env is the names that expressions may use.
type Env struct {
	parent *Env
	names  map[string]*name
	groups map[string]bool
	lists  map[string]List
	types  []string // of events, beside those that are known everywhere
	used   *used    // shared with all that come from one Env
}

// used are the names that compiled expressions read, and where one of them stands,
// and what is doubtful in them.
type used struct {
	mu     sync.Mutex
	at     map[string]diag.Span
	doubts diag.List
}

func (u *used) add(reads map[string]diag.Span, doubts diag.List) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, d := range doubts {
		if !slices.Contains(u.doubts, d) { // compiled more than once
			u.doubts.Add(d)
		}
	}
	for name, at := range reads {
		if _, ok := u.at[name]; !ok {
			u.at[name] = at
		}
	}
}

// Used gives the names that were read by what was compiled with e and its children,
// each with a place where it is read.
func (e *Env) Used() map[string]diag.Span {
	e.used.mu.Lock()
	defer e.used.mu.Unlock()
	return maps.Clone(e.used.at)
}

// Doubts warns of what never holds in what was compiled with e and its children.
func (e *Env) Doubts() diag.List {
	e.used.mu.Lock()
	defer e.used.mu.Unlock()
	return slices.Clone(e.used.doubts)
}

// name is a Var, or an array that only len and has take.
type name struct {
	Var
	length func(*Scope) int // of an array; Kind is 0
	sort   string           // of a text, where known: country, email, phone, ip …
	fault  *Fault           // missing(name)
}

// nameForm is what a name may look like. Groups nest by dots.
var nameForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// families are groups whose names a ruleset brings itself.
var families = []string{"param", "points", "screen"}

// reserved words are operators, literals and groups of the language.
var reserved = strings.Fields("and or not in matches contains startsWith endsWith let if else true false nil list param points screen")

// Define adds a name. A name that is taken, that is a group (or would be inside a
// name that is none), a word of the language or a function is refused.
func (e *Env) Define(v Var) error { return e.define(&name{Var: v}) }

func (e *Env) define(n *name) error {
	first, _, _ := strings.Cut(n.Name, ".")
	switch {
	case !nameForm.MatchString(n.Name):
		return fmt.Errorf("expression: %q is not a name (letters, digits and _, groups joined by dots)", n.Name)
	case slices.Contains(reserved, n.Name), first != n.Name && slices.Contains(reserved, first) && !slices.Contains(families, first):
		return fmt.Errorf("expression: `%s` is a word of the language", first)
	case first == n.Name && functions[n.Name] != nil:
		return fmt.Errorf("expression: `%s` is a function", n.Name)
	case e.name(n.Name) != nil:
		return fmt.Errorf("expression: `%s` is defined already", n.Name)
	case e.group(n.Name):
		return fmt.Errorf("expression: `%s` is a group of the event's fields", n.Name)
	case n.length == nil && !n.complete():
		return fmt.Errorf("expression: %s has no value of kind %s", n.Name, n.Kind)
	}
	for g := range groupsOf(n.Name) {
		if e.name(g) != nil {
			return fmt.Errorf("expression: %s is a name, so %s cannot be in it", g, n.Name)
		}
	}
	for g := range groupsOf(n.Name) {
		e.groups[g] = true
	}
	n.fault = &Fault{Missing: n.Name}
	e.names[n.Name] = n
	return nil
}

func (n *name) complete() bool {
	switch n.Kind {
	case Number, Time:
		return n.Number != nil
	case Text:
		return n.Text != nil
	case Bool:
		return n.Bool != nil
	}
	return false
}

// groupsOf gives a and a.b of a.b.c.
func groupsOf(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(path) {
			if path[i] == '.' && !yield(path[:i]) {
				return
			}
		}
	}
}

// AddList makes `x in list.name` possible.
func (e *Env) AddList(name string, l List) error {
	switch {
	case !nameForm.MatchString(name) || strings.Contains(name, "."):
		return fmt.Errorf("expression: %q is not a name for a list (letters, digits and _)", name)
	case listTypes[l.Type()] == nil:
		return fmt.Errorf("expression: list %s is of type %q; types are %s", name, l.Type(), strings.Join(slices.Sorted(maps.Keys(listTypes)), " "))
	case e.list(name) != nil:
		return fmt.Errorf("expression: list %s is defined already", name)
	}
	e.lists[name] = l
	return nil
}

// With gives a child that knows more names, such as a rule's own param.x; e is not
// changed. It panics where Define gives an error: callers make sure of the names.
func (e *Env) With(vars ...Var) *Env {
	child := newEnv(e)
	for _, v := range vars {
		if err := child.Define(v); err != nil {
			panic(err)
		}
	}
	return child
}

func newEnv(parent *Env) *Env {
	u := &used{at: map[string]diag.Span{}}
	if parent != nil {
		u = parent.used
	}
	return &Env{used: u, parent: parent, names: map[string]*name{}, groups: map[string]bool{}, lists: map[string]List{}}
}

func (e *Env) name(path string) *name {
	for ; e != nil; e = e.parent {
		if n := e.names[path]; n != nil {
			return n
		}
	}
	return nil
}

func (e *Env) group(path string) bool {
	for ; e != nil; e = e.parent {
		if e.groups[path] {
			return true
		}
	}
	return false
}

func (e *Env) list(name string) List {
	for ; e != nil; e = e.parent {
		if l := e.lists[name]; l != nil {
			return l
		}
	}
	return nil
}

// Names gives every name, sorted; lists are not among them.
func (e *Env) Names() []string {
	var all []string
	for ; e != nil; e = e.parent {
		all = slices.AppendSeq(all, maps.Keys(e.names))
	}
	slices.Sort(all)
	return all
}

// Lookup tells the kind of a name and whether there is one.
func (e *Env) Lookup(path string) (Var, bool) {
	if n := e.name(path); n != nil && n.length == nil {
		return n.Var, true
	}
	return Var{}, false
}

func (e *Env) listNames() []string {
	var all []string
	for ; e != nil; e = e.parent {
		all = slices.AppendSeq(all, maps.Keys(e.lists))
	}
	slices.Sort(all)
	return all
}
