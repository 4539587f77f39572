package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mapping is what stands under map of a source. It is only carried here: what
// it means, and whether it is right, is for package mapping to say. The zero
// Mapping is none: values are canonical events.
type Mapping struct {
	Name   string     // of a ready-made mapping, or the path of a file
	Inline *yaml.Node // the mapping itself, where it stands in the configuration
	Place  Place
	Text   []byte // of the file, variable or flag that Inline stands in
}

// IsZero reports whether there is no mapping.
func (m Mapping) IsZero() bool { return m.Name == "" && m.Inline == nil }

// File reports whether Name is the path of a file: the name of a ready-made
// mapping has neither slash nor dot.
func (m Mapping) File() bool { return strings.ContainsAny(m.Name, `/\.`) }

// String gives the mapping on one line, as it could stand in the file.
func (m Mapping) String() string {
	switch {
	case m.Inline != nil:
		var b strings.Builder
		flow(&b, m.Inline)
		return b.String()
	case m.Name != "":
		return strconv.Quote(m.Name)
	}
	return "{}"
}

// flow writes a node the way JSON does.
func flow(b *strings.Builder, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteString(", ")
			}
			flow(b, n.Content[i])
			b.WriteString(": ")
			flow(b, n.Content[i+1])
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteString(", ")
			}
			flow(b, item)
		}
		b.WriteByte(']')
	default:
		if n.ShortTag() == "!!str" {
			b.WriteString(strconv.Quote(n.Value))
		} else {
			b.WriteString(n.Value)
		}
	}
}

// aliased finds an anchor or alias inside a node, which nothing here follows.
func aliased(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return n
	}
	for _, c := range n.Content {
		if found := aliased(c); found != nil {
			return found
		}
	}
	return nil
}

// sourceMapping reads what stands under map.
func (l *loader) sourceMapping(key string, there Place, n *yaml.Node) (m Mapping) {
	m.Place = there
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == "", n.Kind == yaml.MappingNode && len(n.Content) == 0:
		return Mapping{}
	case n.Kind == yaml.ScalarNode:
		m.Name = n.Value
	case n.Kind != yaml.MappingNode:
		l.fault(key, there, "", "is %s and must be a mapping, its file, or the name of a ready-made one", kind(n))
	case aliased(n) != nil:
		l.fault(key, position(there, aliased(n)), "", "anchors and aliases are not used here: write the mapping into a file of its own, where they are")
	default:
		m.Inline, m.Text = n, l.text
	}
	return m
}
