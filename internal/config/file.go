package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file reads the configuration file. It walks yaml's nodes itself: the
// library's own decoder stops at the first unknown key, gives no columns, takes
// `yes` for a bool in one place and a string in another, and repeats values in
// its errors.
func (l *loader) file(path string, text []byte) {
	at := Place{From: FromFile, Name: path}
	l.text = text
	if root := l.parseYAML(at, "", text); root != nil {
		l.mapping(reflect.ValueOf(l.config).Elem(), "", at, root)
	}
}

// yamlValue reads a list of sections out of a variable or flag.
func (l *loader) yamlValue(s setting, at Place, text string) {
	l.text = []byte(text)
	if root := l.parseYAML(at, s.key, l.text); root != nil {
		l.sections(l.value(s), s.key, at, root)
	} else {
		l.value(s).SetZero()
	}
	l.places[s.key] = at
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// parseYAML returns the content of the only document, nil when there is none.
func (l *loader) parseYAML(at Place, key string, text []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if err == nil {
		if err = decoder.Decode(&second); err == nil {
			l.fault(key, position(at, &second), "", "a second document: the file holds one")
			return nil
		}
	}
	if !errors.Is(err, io.EOF) {
		msg := err.Error()
		if m := yamlLine.FindStringSubmatch(msg); m != nil {
			msg = msg[len(m[0]):]
			if at.From == FromFile {
				at.Line, _ = strconv.Atoi(m[1])
			}
		}
		l.fault(key, at, "", "not YAML: %s", strings.TrimPrefix(msg, "yaml: "))
		return nil
	}
	if len(document.Content) == 0 || isNull(document.Content[0]) {
		return nil
	}
	return document.Content[0]
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// position is at with a node's line and column, if at is a file.
func position(at Place, n *yaml.Node) Place {
	if at.From == FromFile {
		at.Line, at.Column = n.Line, n.Column
	}
	return at
}

// mapping reads the keys of one section into a struct.
func (l *loader) mapping(v reflect.Value, prefix string, at Place, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		l.fault(strings.TrimSuffix(prefix, "."), position(at, n), "", "is %s and must be a section of keys", kind(n))
		return
	}
	known := fields(v.Type())
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key, here := prefix+name.Value, position(at, name)
		if line, twice := seen[name.Value]; twice {
			l.fault(key, here, "", "set twice, first in line %d", line)
			continue
		}
		seen[name.Value] = name.Line
		switch j := slices.Index(names, name.Value); {
		case value.Kind == yaml.AliasNode || value.Anchor != "" || name.Kind != yaml.ScalarNode:
			l.fault(key, here, "", "anchors and aliases are not used here: write the value out")
		case j < 0:
			l.fault(key, here, unknownHelp(prefix, name.Value, names), "unknown key")
		default:
			l.node(known[j], v.Field(known[j].index), key, at, here, value)
		}
	}
}

// node reads the value of one key, which may be a section or a list.
func (l *loader) node(f field, v reflect.Value, key string, at, here Place, n *yaml.Node) {
	there := position(at, n)
	switch {
	case isNull(n) && (f.section() || f.list()):
		// A section whose keys are all commented out sets nothing.
	case isNull(n):
		l.fault(key, here, "", `has no value; write "" for the empty one`)
	case f.section():
		l.mapping(v, key+".", at, n)
	case f.list():
		l.sections(v, key, at, n)
		l.places[key] = here
	case f.typ == mappingType:
		v.Set(reflect.ValueOf(l.sourceMapping(key, there, n)))
		l.places[key] = there
	case f.typ.Kind() == reflect.Slice:
		l.scalars(f, v, key, at, n)
		l.places[key] = here
	case n.Kind != yaml.ScalarNode:
		l.fault(key, there, "", "is %s and must be one value", kind(n))
	default:
		if err := f.parse(v, n.Value); err != nil {
			l.fault(key, there, "", "%v", err)
			return
		}
		l.places[key] = there
	}
}

// sections reads a list of sections, each beginning from its defaults.
func (l *loader) sections(v reflect.Value, key string, at Place, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		l.fault(key, position(at, n), "", "is %s and must be a list", kind(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		name := fmt.Sprintf("%s[%d]", key, i)
		setDefaults(list.Index(i))
		l.places[name] = position(at, item)
		l.mapping(list.Index(i), name+".", at, item)
	}
	v.Set(list)
}

// scalars reads a list of plain values.
func (l *loader) scalars(f field, v reflect.Value, key string, at Place, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		l.fault(key, position(at, n), "", "is %s and must be a list: [a, b]", kind(n))
		return
	}
	var items []string
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || isNull(item) {
			l.fault(key, position(at, item), "", "is %s and must be one value", kind(item))
			continue
		}
		if err := f.check(item.Value); err != nil {
			l.fault(key, position(at, item), "", "%v", err)
			continue
		}
		items = append(items, item.Value)
	}
	v.Set(reflect.ValueOf(items))
}

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a section"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	}
	return "one value"
}
