package expression

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"github.com/sluice-risk/sluice/internal/diag"
)

// Bounds of one expression, held before it is parsed: expr's parser recurses per
// bracket and per unary operator and would overflow its stack on a long enough
// run of them.
const (
	maxSource = 4 << 10
	maxDepth  = 64
	maxNodes  = 500

	maxMistakes = 50 // told of one expression
)

// allowed operators. Whatever else the lexer knows is refused by name.
var allowed = map[string]bool{
	"+": true, "-": true, "*": true, "/": true, "%": true,
	"==": true, "!=": true, "<": true, "<=": true, ">": true, ">=": true,
	"and": true, "&&": true, "or": true, "||": true, "not": true, "!": true,
	"in": true, "matches": true, "contains": true, "startsWith": true, "endsWith": true,
	"?": true, ":": true, ",": true, ".": true,
}

// instead says what to write for a refused operator.
var instead = map[string]string{
	"**": "write x * x", "^": "write x * x", "=": "equality is ==", "&": "write `and`", "|": "call the function: lower(x)",
	"??": "write has(x) ? x : other", "?.": "a name that has no value is guarded by has(x)",
	"#":  "a comment cannot stand in an expression; put it on a line of its own above the key",
	"if": "write condition ? a : b", "else": "write condition ? a : b", "let": "write the value where it is used",
}

// foreign says what to write for a word of another language, in small letters.
var foreign = map[string]string{
	"and": "write `and`", "or": "write `or`", "not": "write `not`", "true": "write `true`", "false": "write `false`",
	"is": "equality is ==; has(name) asks whether there is a value", "like": "write contains, startsWith, endsWith or matches",
	"between": "write 5 <= x <= 10", "null": absent, "none": absent,
}

const absent = "an absent value equals nothing: ask has(name)"

// scan cuts the source into tokens and reports what goes over a bound or is no
// part of the language. It is linear in the source.
func (c *checker) scan() bool {
	src := c.src.Value
	switch {
	case len(src) > maxSource:
		c.list.Add(diag.Diagnostic{
			Code: codeBounds, Message: fmt.Sprintf("expression of %d bytes; at most %d", len(src), maxSource),
			Help: "move parts of it to expr: features", Span: c.src.Span,
		})
		return false
	case !utf8.ValidString(src):
		c.report(codeSyntax, 0, 1, "expression is not valid UTF-8", "", "")
		return false
	case strings.TrimSpace(src) == "":
		c.report(codeSyntax, 0, 1, "expression is empty", "", "")
		return false
	}
	c.runes = []rune(src)
	l := lexer.New()
	l.Reset(file.NewSource(src))
	for {
		t, err := l.Next()
		var fault *file.Error
		switch {
		case err == nil && t.Kind == lexer.EOF, errors.Is(err, io.EOF):
			return c.bounded()
		case errors.As(err, &fault):
			c.report(codeSyntax, fault.From, 1, fault.Message, "", "")
			return false
		case err != nil:
			c.report(codeSyntax, 0, 1, err.Error(), "", "")
			return false
		}
		c.tokens = append(c.tokens, t)
	}
}

func (c *checker) bounded() bool {
	ok, unary := true, 0
	var open []int
	c.match = make([]int, len(c.tokens))
	for i, t := range c.tokens {
		c.match[i] = -1
		isUnary := false
		switch {
		case t.Kind == lexer.Bracket && strings.Contains("([{", t.Value):
			open = append(open, i)
			if t.Value == "{" {
				ok = false
				c.refuse(t, "`{`: maps and predicates are", "")
			}
		case t.Kind == lexer.Bracket && len(open) > 0:
			c.match[i], c.match[open[len(open)-1]] = open[len(open)-1], i
			open = open[:len(open)-1]
		case t.Kind == lexer.Bytes:
			ok = false
			c.refuse(t, "a byte string is", "write the text without b")
		case t.Kind == lexer.Operator && !allowed[t.Value]:
			ok = false
			c.refuse(t, "`"+t.Value+"` is", instead[t.Value])
		case t.Kind == lexer.Operator:
			isUnary = strings.Contains(" ! not - + ", " "+t.Value+" ")
		}
		if unary++; !isUnary {
			unary = 0
		}
		if len(open)+unary > maxDepth {
			c.list = nil // thousands of others tell nothing new
			c.report(codeBounds, t.From, t.To-t.From, fmt.Sprintf("expression is nested deeper than %d", maxDepth), "", "")
			return false
		}
	}
	return ok
}

func (c *checker) refuse(t lexer.Token, what, help string) {
	c.report(codeRefused, t.From, t.To-t.From, what+" not part of expressions", "", help)
}

// looseNames reports unknown names of a source that could not be parsed.
func (c *checker) looseNames() {
	is := func(i int, kind lexer.Kind, value string) bool {
		return i >= 0 && i < len(c.tokens) && c.tokens[i].Kind == kind && (value == "" || c.tokens[i].Value == value)
	}
	braces, own := 0, map[string]bool{}
	for i := 0; i < len(c.tokens); i++ {
		switch {
		case is(i, lexer.Operator, "#"): // and the rest of the comment
			for i+1 < len(c.tokens) && !slices.Contains(c.runes[c.tokens[i].From:c.tokens[i+1].From], '\n') {
				i++
			}
		case is(i, lexer.Bracket, "{"):
			braces++
		case is(i, lexer.Bracket, "}"):
			braces--
		case is(i, lexer.Operator, "let") && is(i+1, lexer.Identifier, ""):
			own[c.tokens[i+1].Value] = true
			i++
		case !is(i, lexer.Identifier, "") || braces > 0 || is(i-1, lexer.Operator, ".") || is(i-1, lexer.Operator, "?."):
		default:
			first, path := i, c.tokens[i].Value
			for is(i+1, lexer.Operator, ".") && is(i+2, lexer.Identifier, "") {
				i += 2
				path += "." + c.tokens[i].Value
			}
			switch {
			case own[path], foreign[strings.ToLower(path)] != "", path == "true", path == "false", path == "nil", is(i+1, lexer.Bracket, "("):
			case c.env.name(path) == nil && !c.env.group(path) && !c.isList(path):
				c.unknown(path, first, i)
			}
		}
	}
}

func (c *checker) isList(path string) bool {
	name, ok := strings.CutPrefix(path, "list.")
	return ok && c.env.list(name) != nil
}

// tokenAt finds the token that starts at a character.
func (c *checker) tokenAt(from int) int {
	lo, hi := 0, len(c.tokens)-1
	for lo < hi {
		mid := (lo + hi) / 2
		if c.tokens[mid].To > from {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// closed widens a run of tokens until its brackets match: the operands of
// (a + b) * c are found by their names, not by the brackets around them.
func (c *checker) closed(first, last int) (int, int) {
	for again := true; again; {
		again = false
		for i := first; i <= last; i++ {
			if m := c.match[i]; m >= 0 && (m < first || m > last) {
				first, last, again = min(first, m), max(last, m), true
			}
		}
	}
	return first, last
}

// textOf gives the source of a run of tokens, its line breaks made spaces.
func (c *checker) textOf(first, last int) string {
	s := string(c.runes[c.tokens[first].From:c.tokens[last].To])
	if strings.ContainsAny(s, "\r\n\t") {
		return strings.Join(strings.Fields(s), " ")
	}
	return s
}

// report adds a mistake once: a chained comparison holds its middle twice.
func (c *checker) report(code string, from, width int, message, label, help string) {
	if len(c.list) == maxMistakes {
		return
	}
	d := diag.Diagnostic{Code: code, Message: message, Label: label, Help: help, Span: c.src.At(from, width)}
	for _, known := range c.list {
		if known == d {
			return
		}
	}
	c.list.Add(d)
}
