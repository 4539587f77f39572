package diag

import (
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// source is a file cut into lines the way YAML counts them.
type source struct {
	file  string
	lines []string
}

// splitLines cuts at \n, \r\n, \r, NEL, LS and PS, as YAML 1.1 does, and drops a
// byte order mark.
func splitLines(src []byte) []string {
	s := strings.TrimPrefix(string(src), "\ufeff")
	var lines []string
	start := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isBreak(r) {
			i += size
			continue
		}
		lines = append(lines, s[start:i])
		if r == '\r' && strings.HasPrefix(s[i:], "\r\n") {
			size = 2
		}
		i += size
		start = i
	}
	return append(lines, s[start:])
}

func isBreak(r rune) bool {
	switch r {
	case '\n', '\r', '\u0085', '\u2028', '\u2029':
		return true
	}
	return false
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || isBreak(r) }

// place is where one character of a scalar's value stands in the file; width is
// more than 1 for an escape, 0 for a line break.
type place struct{ line, column, width int }

// places maps every character of a scalar's value, and its end, to the file. It
// walks value and raw text in step: YAML changes nothing but white space (folding,
// indentation, chomping) and escapes. So every other character maps exactly;
// folded white space maps to where it was folded.
func (s *source) places(n *yaml.Node) []place {
	c := cursor{lines: s.lines, line: n.Line - 1, column: n.Column - 1}
	c.load()
	for c.peek() == '&' || c.peek() == '!' { // anchor and tag stand before the scalar
		for c.peek() != end && !isBlank(c.peek()) {
			c.column++
		}
		c.skipBlank(false)
	}
	double := n.Style&yaml.DoubleQuotedStyle != 0
	switch {
	case double, n.Style&yaml.SingleQuotedStyle != 0:
		c.column++
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.nextLine()
	}
	out := make([]place, 0, len(n.Value)+1)
	for _, v := range n.Value {
		if !isBlank(v) {
			c.skipBlank(double)
		}
		p := place{c.line, c.column, 1}
		switch raw := c.peek(); {
		case raw == end && isBlank(v):
			p.width = 0
			c.nextLine()
		case raw == end: // cannot happen: the value came from here
		case double && raw == '\\':
			p.width = c.escape()
			c.column += p.width
		case raw == '\'' && v == '\'' && n.Style&yaml.SingleQuotedStyle != 0:
			p.width = 2
			c.column += 2
		case isBlank(v) && !isBlank(raw): // folded away
		default:
			c.column++
		}
		out = append(out, p)
	}
	return append(out, place{c.line, c.column, 1})
}

const end rune = -1

// cursor walks the characters of a file, line by line.
type cursor struct {
	lines        []string
	line, column int // from 0, in characters
	text         []rune
}

func (c *cursor) load() {
	c.text = nil
	if c.line >= 0 && c.line < len(c.lines) {
		c.text = []rune(c.lines[c.line])
	}
}

func (c *cursor) nextLine() {
	if c.line+1 < len(c.lines) {
		c.line, c.column = c.line+1, 0
		c.load()
	}
}

func (c *cursor) peek() rune {
	if c.column < 0 || c.column >= len(c.text) {
		return end
	}
	return c.text[c.column]
}

// skipBlank goes to the next character that is not white space; in a double
// quoted scalar an escaped line break is white space too.
func (c *cursor) skipBlank(double bool) {
	for {
		switch r := c.peek(); {
		case r == end:
			if c.line+1 >= len(c.lines) {
				return
			}
			c.nextLine()
		case isBlank(r):
			c.column++
		case double && r == '\\' && c.column == len(c.text)-1:
			c.column++
		default:
			return
		}
	}
}

// escape gives the width of the escape at the cursor.
func (c *cursor) escape() int {
	if c.column+1 >= len(c.text) {
		return 1
	}
	switch c.text[c.column+1] {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}
