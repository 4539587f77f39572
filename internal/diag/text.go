package diag

import (
	"go.yaml.in/yaml/v3"
)

// Text is a YAML scalar with where it stands. Value is the raw token for a plain
// scalar (NO, 1e3 and 0123 stay as written), the unescaped text for a quoted one.
type Text struct {
	Value string
	Span  Span // of the scalar's first line

	src *source
	at  *yaml.Node
}

// Inline is a text that stands in no file, such as a test's or a flag's.
func Inline(name, value string) Text {
	return Text{Value: value, Span: Span{File: name, Line: 1, Column: 1, Width: len([]rune(value))}}
}
