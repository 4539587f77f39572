package diag

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

type pair struct{ key, value *yaml.Node }

// pairs gives a mapping's keys in file order, merged ones where their << stands.
// A key of the mapping itself wins over a merged one, an earlier merge over a
// later one.
func (d *Decoder) pairs(n *yaml.Node) []pair {
	if n = target(n); isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		d.wrong(n, "a mapping")
		if n.Kind == yaml.SequenceNode && n.Style&yaml.FlowStyle == 0 {
			d.list[len(d.list)-1].Help = "write `name: …` on each line, without the dash"
		}
		return nil
	}
	if !d.enter(n) {
		return nil
	}
	defer d.leave()
	own := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := target(n.Content[i]); k.Kind == yaml.ScalarNode && !isMerge(k) && own[k.Value] == nil {
			own[k.Value] = k
		}
	}
	merged := map[string]bool{}
	var out []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := target(n.Content[i]), n.Content[i+1]
		switch {
		case isMerge(key):
			for _, p := range d.merge(value) {
				if own[p.key.Value] == nil && !merged[p.key.Value] {
					merged[p.key.Value] = true
					out = append(out, p)
				}
			}
		case key.Kind != yaml.ScalarNode:
			d.wrong(key, "a key")
		case own[key.Value] != key:
			d.Add(Diagnostic{
				Code: duplicateKey, Message: fmt.Sprintf("key `%s` stands here twice", key.Value),
				Label: fmt.Sprintf("first on line %d", own[key.Value].Line), Span: d.Span(key),
			})
		default:
			out = append(out, pair{key, value})
		}
	}
	return out
}

func isMerge(k *yaml.Node) bool { return k.Kind == yaml.ScalarNode && k.Style == 0 && k.Value == "<<" }

func (d *Decoder) merge(n *yaml.Node) []pair {
	n = target(n)
	if n.Kind != yaml.SequenceNode {
		return d.pairs(n)
	}
	var out []pair
	for _, c := range n.Content {
		out = append(out, d.pairs(c)...)
	}
	return out
}

type member struct {
	name     string
	help     string // for when it is missing
	required bool
	value    reflect.Value
}

func (d *Decoder) fields(n *yaml.Node, v reflect.Value) {
	members := d.members(n, v, nil)
	if n.Kind != yaml.MappingNode && !isNull(n) {
		d.wrong(n, "a mapping")
		return
	}
	seen := map[string]*yaml.Node{}
	for _, p := range d.pairs(n) {
		m := find(members, p.key.Value)
		if m == nil {
			d.unknown(p.key, members)
			continue
		}
		seen[m.name] = target(p.value)
		d.value(p.value, m.value)
	}
	for _, m := range members {
		if value := seen[m.name]; m.required && value == nil {
			d.Add(Diagnostic{Code: missingKey, Message: fmt.Sprintf("missing key `%s`", m.name), Help: m.help, Span: d.Span(n)})
		} else if m.required && (isNull(value) && value.Value == "" || value.Kind == yaml.ScalarNode && strings.TrimSpace(value.Value) == "") {
			d.Errorf(value, missingKey, "key `%s` has no value", m.name)
		}
	}
}

func (d *Decoder) members(n *yaml.Node, v reflect.Value, out []member) []member {
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("yaml")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		switch {
		case name == "-" && option == "span":
			v.Field(i).Set(reflect.ValueOf(d.Span(n)))
		case name == "-":
		case name == "" && option == "inline":
			out = d.members(n, v.Field(i), out)
		case name == "" || option != "" && option != "required":
			panic(fmt.Sprintf("diag: tag %q of %s", tag, v.Type()))
		default:
			out = append(out, member{name, v.Type().Field(i).Tag.Get("help"), option == "required", v.Field(i)})
		}
	}
	return out
}

func find(members []member, name string) *member {
	for i := range members {
		if members[i].name == name {
			return &members[i]
		}
	}
	return nil
}

// Cut tells whether a key looks like the rest of an expression that YAML cut at a
// comma.
func Cut(key string) bool { return strings.ContainsAny(key, "()<>=\"'") }

func (d *Decoder) unknown(key *yaml.Node, members []member) {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	help := "known here: " + strings.Join(names, ", ")
	if near, ok := Nearest(key.Value, names); ok {
		help = fmt.Sprintf("did you mean `%s`?", near)
	}
	if Cut(key.Value) {
		help = "the comma before it ended a value: put that value in quotes"
	}
	d.Add(Diagnostic{Code: unknownKey, Message: fmt.Sprintf("unknown key `%s`", key.Value), Help: help, Span: d.Span(key)})
}
