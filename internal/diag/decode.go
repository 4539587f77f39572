package diag

import "go.yaml.in/yaml/v3"

// Map is a YAML mapping in file order; duplicate keys are refused.
type Map[T any] []Entry[T]

// Entry is one key of a Map with its value.
type Entry[T any] struct {
	Key   Text
	Value T
}

type source struct{ file string }

// Decoder decodes one file; it is what DecodeNode methods get.
type Decoder struct{}

// Decode decodes a node into out, a pointer.
func (d *Decoder) Decode(n *yaml.Node, out any) {}

// Text gives a scalar node with its place.
func (d *Decoder) Text(n *yaml.Node) Text { return Text{} }

// Span gives the place of a node.
func (d *Decoder) Span(n *yaml.Node) Span { return Span{} }

// Add reports a mistake.
func (d *Decoder) Add(x Diagnostic) {}

// Decode reads strict YAML.
func Decode(file string, src []byte, out any) List { return nil }

// At maps characters of Value to the file.
func (t Text) At(offset, width int) Span { return t.Span }
