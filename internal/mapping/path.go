package mapping

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-risk/sluice/internal/diag"
)

const maxSteps = 32 // of one path

// step goes from a JSON value to one inside it.
type step struct {
	kind  stepKind
	key   string // of a member; of a match, the member that is compared
	index int
	value string // of a match
}

type stepKind uint8

const (
	member stepKind = iota + 1
	index
	only  // the one element of an array, or the value itself where it is none
	match // the element whose member has a value
)

// bareKey reports whether a key may stand in a path without brackets.
func bareKey(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '@' || c == '#'
}

// pathReader reads one path: `$.a.b`, or `.b` below root; `['any key']`, `[0]`,
// `[only]`, `[?name=="x"]`.
type pathReader struct {
	text diag.Text
	s    string
	i    int
	bad  *diag.Diagnostic
}

func (r *pathReader) fail(from, to int, format string, args ...any) {
	if r.bad != nil {
		return
	}
	at := utf8.RuneCountInString(r.s[:from])
	d := diag.Diagnostic{Code: badPath, Message: fmt.Sprintf(format, args...),
		Span: r.text.At(at, max(utf8.RuneCountInString(r.s[from:to]), 1))}
	r.bad = &d
}

// parsePath reads a path; root comes before one that begins with a dot.
func parsePath(t diag.Text, root []step) ([]step, *diag.Diagnostic) {
	r := &pathReader{text: t, s: t.Value}
	var steps []step
	switch {
	case strings.HasPrefix(r.s, "$"):
		r.i = 1
	case strings.HasPrefix(r.s, "."):
		steps = append(steps, root...)
	default:
		r.fail(0, len(r.s), "a path begins with `$`, or with a dot below root")
	}
	for r.bad == nil && r.i < len(r.s) {
		steps = append(steps, r.step())
		if len(steps) > maxSteps {
			r.fail(0, len(r.s), "a path of more than %d steps", maxSteps)
		}
	}
	return steps, r.bad
}

func (r *pathReader) step() step {
	from := r.i
	switch c := r.s[r.i]; c {
	case '.':
		r.i++
		key := r.word()
		if key == "" {
			r.fail(from, min(r.i+1, len(r.s)), "a key is missing after the dot")
			if d := r.bad; d != nil {
				d.Help = "a key with other characters than letters, digits, _ - @ # stands in brackets: ['a key']"
			}
		}
		return step{kind: member, key: key}
	case '[':
		r.i++
		s := r.bracket(from)
		if r.bad == nil && !r.eat("]") {
			r.fail(from, min(r.i+1, len(r.s)), "`]` is missing")
		}
		return s
	}
	r.fail(r.i, r.i+1, "`%c` cannot stand in a path", []rune(r.s[r.i:])[0])
	if r.bad != nil {
		r.bad.Help = "a key with other characters than letters, digits, _ - @ # stands in brackets: ['a key']"
	}
	return step{}
}

func (r *pathReader) bracket(from int) step {
	switch {
	case r.eat("only"):
		return step{kind: only}
	case r.eat("?"):
		key := r.word()
		if key == "" {
			key = r.quoted()
		}
		if key == "" || !r.eat("==") {
			r.fail(from, len(r.s), `an element is selected as in [?name=="x"]`)
			return step{}
		}
		return step{kind: match, key: key, value: r.quoted()}
	case r.i < len(r.s) && (r.s[r.i] == '\'' || r.s[r.i] == '"'):
		return step{kind: member, key: r.quoted()}
	}
	number := r.word()
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		r.fail(from, min(r.i+1, len(r.s)), "not a step of a path")
		if r.bad != nil {
			r.bad.Help = `in brackets stands a number, a 'key', only, or ?name=="x"`
		}
	}
	return step{kind: index, index: int(n)}
}

func (r *pathReader) eat(what string) bool {
	if !strings.HasPrefix(r.s[r.i:], what) {
		return false
	}
	r.i += len(what)
	return true
}

func (r *pathReader) word() string {
	from := r.i
	for r.i < len(r.s) && bareKey(r.s[r.i]) {
		r.i++
	}
	return r.s[from:r.i]
}

// quoted reads a text between single or double quotes; none can stand in it.
func (r *pathReader) quoted() string {
	if r.i == len(r.s) || r.s[r.i] != '\'' && r.s[r.i] != '"' {
		r.fail(min(r.i, len(r.s)), len(r.s), "a text in quotes is missing")
		return ""
	}
	from := r.i
	end := strings.IndexByte(r.s[from+1:], r.s[from])
	if end < 0 {
		r.fail(from, len(r.s), "the quote is not closed")
		r.i = len(r.s)
		return ""
	}
	r.i = from + end + 2
	return r.s[from+1 : from+1+end]
}

// node is a place in records that paths lead to or through.
type node struct {
	slot    int // of its value; -1: no path ends here
	keys    map[string]*node
	only    *node
	indexes []indexed
	matches []matched
}

type indexed struct {
	at   int
	node *node
}

type matched struct {
	key, value string
	node       *node
}

func newNode() *node { return &node{slot: -1} }

// child gives the node that a step leads to, and makes it where there is none.
func (n *node) child(s step) *node {
	switch s.kind {
	case member:
		if n.keys == nil {
			n.keys = map[string]*node{}
		}
		if n.keys[s.key] == nil {
			n.keys[s.key] = newNode()
		}
		return n.keys[s.key]
	case only:
		if n.only == nil {
			n.only = newNode()
		}
		return n.only
	case index:
		for _, x := range n.indexes {
			if x.at == s.index {
				return x.node
			}
		}
		n.indexes = append(n.indexes, indexed{s.index, newNode()})
		return n.indexes[len(n.indexes)-1].node
	}
	for _, x := range n.matches {
		if x.key == s.key && x.value == s.value {
			return x.node
		}
	}
	n.matches = append(n.matches, matched{s.key, s.value, newNode()})
	return n.matches[len(n.matches)-1].node
}

// torn reports a node that one path reads with [only] and another otherwise,
// which cannot both be meant.
func (n *node) torn() bool {
	if n.only != nil && (n.keys != nil || n.slot >= 0 || len(n.indexes)+len(n.matches) > 0) {
		return true
	}
	for _, c := range n.keys {
		if c.torn() {
			return true
		}
	}
	for _, c := range n.indexes {
		if c.node.torn() {
			return true
		}
	}
	for _, c := range n.matches {
		if c.node.torn() {
			return true
		}
	}
	return n.only != nil && n.only.torn()
}
