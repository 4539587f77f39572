package diag

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Text is a YAML scalar with where it stands. Value is the raw token of a plain
// scalar (NO, 1e3 and 0123 stay as written), the unescaped text of any other. An
// aliased scalar stands where its anchor does.
type Text struct {
	Value string
	Span  Span // of the value's first line; block scalars: below their indicator

	src  *source
	node *yaml.Node
}

// Inline is a text that stands in no YAML file, such as a flag's or a test's.
func Inline(file, value string) Text {
	t := Text{Value: value, Span: Span{File: file, Line: 1, Column: 1}}
	t.Span = t.At(0, utf8.RuneCountInString(value))
	return t
}

// At maps a run of characters of Value (offset from 0) to the file. A run that
// goes over a line break is cut at the end of its first line. An offset at or
// after the end of Value gives the character after it.
func (t Text) At(offset, width int) Span {
	places := t.places()
	offset = min(max(offset, 0), len(places)-1)
	first := places[offset]
	span := Span{File: t.Span.File, Line: first.line + 1, Column: first.column + 1, Width: 1}
	for _, p := range places[offset:min(max(offset+width, offset+1), len(places))] {
		if p.line != first.line {
			break
		}
		span.Width = max(span.Width, p.column+p.width-first.column)
	}
	return span
}

func (t Text) places() []place {
	if t.src != nil && t.node != nil {
		return t.src.places(t.node)
	}
	p := place{t.Span.Line - 1, t.Span.Column - 1, 1}
	out := make([]place, 0, len(t.Value)+1)
	for _, r := range t.Value {
		if r == '\n' {
			out = append(out, place{p.line, p.column, 0})
			p.line, p.column = p.line+1, 0
			continue
		}
		out = append(out, p)
		p.column++
	}
	return append(out, p)
}

// Mistake gives a diagnostic about the whole text.
func (t Text) Mistake(code, format string, args ...any) Diagnostic {
	return Diagnostic{Code: code, Message: fmt.Sprintf(format, args...), Span: t.Span}
}

func (s *source) text(n *yaml.Node) Text {
	t := Text{Value: n.Value, src: s, node: n}
	t.Span = Span{File: s.file, Line: n.Line, Column: n.Column, Width: 1}
	if n.Value == "" {
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			t.Span.Width = 2
		}
		return t
	}
	if n.Style == 0 && n.Anchor == "" && !strings.ContainsAny(n.Value, " \n") { // most
		t.Span.Width = utf8.RuneCountInString(n.Value)
		return t
	}
	t.Span = t.At(0, utf8.RuneCountInString(n.Value))
	return t
}
