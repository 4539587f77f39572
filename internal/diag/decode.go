package diag

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Bounds of one YAML file. Aliases may expand a file by so many nodes.
const (
	maxNesting   = 64
	maxExpansion = 100_000
)

// Map is a YAML mapping in file order; duplicate keys are refused.
type Map[T any] []Entry[T]

// Entry is one key of a Map with its value.
type Entry[T any] struct {
	Key   Text
	Value T
}

// Get finds a key.
func (m Map[T]) Get(key string) (value T, ok bool) {
	for i := range m {
		if m[i].Key.Value == key {
			return m[i].Value, true
		}
	}
	return value, false
}

// DecodeNode implements NodeDecoder.
func (m *Map[T]) DecodeNode(d *Decoder, n *yaml.Node) {
	*m = nil
	for _, p := range d.pairs(n) {
		var value T
		d.Decode(p.value, &value)
		*m = append(*m, Entry[T]{d.src.text(p.key), value})
	}
}

// NodeDecoder is a type that decodes itself, such as one that is written as a
// scalar or as a mapping. The node is never an alias. To decode a struct by its
// tags from inside its own method, pass a type without the method.
type NodeDecoder interface {
	DecodeNode(*Decoder, *yaml.Node)
}

// Decoder decodes one file.
type Decoder struct {
	src   *source
	list  List
	depth int
	left  int  // nodes that may still be visited
	dead  bool // over a bound: nothing more is decoded
}

// Decode reads one YAML document into the struct that out points to and gives
// every mistake in it, sorted. It is strict: unknown and duplicate keys, explicit
// tags, second documents, and values of another type are mistakes.
//
// Fields are matched by tag: `yaml:"name"`, `yaml:"name,required"` (there and not
// empty), `yaml:",inline"` for an embedded struct, and `yaml:"-,span"` on a Span
// to get the mapping's own place. Field types are Text, string, bool, integers,
// float64, slices, structs, pointers, Map, encoding.TextUnmarshaler and
// NodeDecoder. Text and string take any scalar as it is written; numbers are
// decimal, finite, and without leading zeros; only true and false are bools.
// Aliases and merge keys work, within bounds.
func Decode(file string, src []byte, out any) List {
	d := &Decoder{src: &source{file: file}}
	d.file(src, out)
	d.list.Sort()
	return d.list
}

// DecodeNode is Decode for a part of a document that has been parsed already: n
// stands in src, the text of the file.
func DecodeNode(file string, src []byte, n *yaml.Node, out any) List {
	d := &Decoder{src: &source{file: file, lines: splitLines(src)}}
	d.left = count(n) + maxExpansion
	d.Decode(n, out)
	d.list.Sort()
	return d.list
}

func (d *Decoder) file(src []byte, out any) {
	top := Span{File: d.src.file, Line: 1, Column: 1, Width: 1}
	if len(src) > MaxFile {
		d.Add(Diagnostic{Code: tooLarge, Message: fmt.Sprintf("the file is larger than %d MiB", MaxFile>>20), Help: "split it, or move long lists to CSV files", Span: Span{File: d.src.file}})
		return
	}
	d.src.lines = splitLines(src)
	for i, line := range d.src.lines {
		if !utf8.ValidString(line) {
			good := 0
			for r, size := utf8.DecodeRuneInString(line[good:]); r != utf8.RuneError || size > 1; r, size = utf8.DecodeRuneInString(line[good:]) {
				good += size
			}
			d.Add(Diagnostic{
				Code: notYAML, Message: "not valid UTF-8", Label: fmt.Sprintf("byte %02X", line[good]), Help: "save the file as UTF-8",
				Span: d.span(i+1, utf8.RuneCountInString(line[:good])+1, 1),
			})
			return
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF): // nothing but comments
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Tag: "!!map", Line: 1, Column: 1}}}
	case err != nil:
		d.syntax(err)
		return
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
		return
	default:
		d.Add(Diagnostic{Code: notYAML, Message: "a second document in one file", Help: "take the --- out, or move what follows to a file of its own", Span: d.span(second.Line, second.Column, 3)})
		return
	}
	root := doc.Content[0]
	if isNull(root) {
		root = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: top.Line, Column: top.Column}
	}
	d.left = count(root) + maxExpansion
	d.Decode(root, out)
	if len(root.Content) == 0 && len(d.list) > 0 {
		missing := make([]string, len(d.list))
		for i, m := range d.list {
			missing[i] = strings.TrimPrefix(m.Message, "missing key ")
		}
		d.list = List{{Code: missingKey, Message: "there is nothing in the file", Help: "it needs " + strings.Join(missing, ", "), Span: top}}
	}
}

func count(n *yaml.Node) int {
	total := 1
	for _, c := range n.Content {
		total += count(c)
	}
	return total
}

func (d *Decoder) span(line, column, width int) Span {
	return Span{File: d.src.file, Line: line, Column: column, Width: max(width, 1)}
}

// Add reports a mistake.
func (d *Decoder) Add(x Diagnostic) { d.list.Add(x) }

// Try is Decode, and tells whether no mistake was found.
func (d *Decoder) Try(n *yaml.Node, out any) bool {
	before := len(d.list)
	d.Decode(n, out)
	return len(d.list) == before && !d.dead
}

// Errorf reports a mistake about a node.
func (d *Decoder) Errorf(n *yaml.Node, code, format string, args ...any) {
	d.Add(Diagnostic{Code: code, Message: fmt.Sprintf(format, args...), Span: d.Span(n)})
}

// Span gives the place of a node: the text of a scalar, the first key of a block
// mapping, the first character of anything else.
func (d *Decoder) Span(n *yaml.Node) Span {
	switch n = target(n); {
	case n.Kind == yaml.ScalarNode:
		return d.src.text(n).Span
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 && len(n.Content) > 0:
		return d.Span(n.Content[0])
	}
	return d.span(n.Line, n.Column, 1)
}

// Text gives a scalar with its place. Another node is reported as a mistake.
func (d *Decoder) Text(n *yaml.Node) Text {
	n = target(n)
	if !d.scalar(n, "text") {
		return Text{Span: d.Span(n)}
	}
	return d.src.text(n)
}

// target follows an alias. A cycle of aliases ends at the depth bound.
func target(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func (d *Decoder) scalar(n *yaml.Node, want string) bool {
	if n.Kind != yaml.ScalarNode {
		d.wrong(n, want)
		return false
	}
	return true
}

func (d *Decoder) wrong(n *yaml.Node, want string) {
	found := "a list"
	switch {
	case n.Kind == yaml.MappingNode:
		found = "a mapping"
	case isNull(n):
		found = "nothing"
	case n.Kind == yaml.ScalarNode:
		value := []rune(n.Value)
		if len(value) > 40 {
			value = append(value[:40:40], '…')
		}
		found = "`" + string(value) + "`"
		if n.Style != 0 {
			found = "the text " + found
		}
	}
	d.Errorf(n, wrongType, "expected %s, found %s", want, found)
}

// Decode decodes a node into what out points to.
func (d *Decoder) Decode(n *yaml.Node, out any) {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("diag: cannot decode into %T", out))
	}
	d.value(n, v.Elem())
}

// enter counts a node against the bounds; leave must follow when it is true.
func (d *Decoder) enter(n *yaml.Node) bool {
	if d.dead {
		return false
	}
	d.left--
	if d.left < 0 || d.depth >= maxNesting {
		d.dead = true
		what := fmt.Sprintf("nested more than %d deep", maxNesting)
		if d.left < 0 {
			what = fmt.Sprintf("aliases add more than %d nodes", maxExpansion)
		}
		d.Add(Diagnostic{Code: tooLarge, Message: what, Span: d.span(n.Line, n.Column, 1)})
		return false
	}
	d.depth++
	return true
}

func (d *Decoder) leave() { d.depth-- }

var textType = reflect.TypeFor[Text]()

func (d *Decoder) value(n *yaml.Node, v reflect.Value) {
	n = target(n)
	if !d.enter(n) {
		return
	}
	defer d.leave()
	if n.Style&yaml.TaggedStyle != 0 {
		d.Errorf(n, notYAML, "tag %s: tags are not supported", n.Tag)
		return
	}
	if v.Kind() == reflect.Pointer {
		if !isNull(n) {
			v.Set(reflect.New(v.Type().Elem()))
			d.value(n, v.Elem())
		}
		return
	}
	if v.Type() == textType {
		v.Set(reflect.ValueOf(d.Text(n)))
		return
	}
	switch self := v.Addr().Interface().(type) {
	case NodeDecoder:
		self.DecodeNode(d, n)
		return
	case encoding.TextUnmarshaler:
		if d.scalar(n, "text") {
			if err := self.UnmarshalText([]byte(n.Value)); err != nil {
				d.Errorf(n, wrongType, "%v", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		if d.scalar(n, "text") {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || n.Style != 0 || n.Value != "true" && n.Value != "false" {
			d.wrong(n, "true or false")
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if s, ok := d.number(n, "an integer", integer); ok {
			i, err := strconv.ParseInt(s, 10, 64)
			if err != nil || v.OverflowInt(i) {
				d.Errorf(n, badNumber, "integer %s is out of range", s)
				return
			}
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if s, ok := d.number(n, "an integer", integer); ok {
			u, err := strconv.ParseUint(s, 10, 64)
			if err != nil || v.OverflowUint(u) {
				d.Errorf(n, badNumber, "integer %s is out of range", s)
				return
			}
			v.SetUint(u)
		}
	case reflect.Float64:
		if s, ok := d.number(n, "a number", decimal); ok {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsInf(f, 0) {
				d.Errorf(n, badNumber, "number %s is out of range", s)
				return
			}
			v.SetFloat(f)
		}
	case reflect.Slice:
		d.slice(n, v)
	case reflect.Struct:
		d.fields(n, v)
	default:
		panic(fmt.Sprintf("diag: cannot decode into %s", v.Type()))
	}
}

var (
	integer = regexp.MustCompile(`^[-+]?[0-9]+$`)
	decimal = regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	leading = regexp.MustCompile(`^[-+]?0[0-9]`)
)

func (d *Decoder) number(n *yaml.Node, want string, form *regexp.Regexp) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode || n.Style != 0:
		d.wrong(n, want)
	case n.ShortTag() == "!!float" && !decimal.MatchString(n.Value) && strings.ContainsAny(n.Value, "nN"):
		d.Errorf(n, badNumber, "%s is not a finite number", n.Value)
	case !form.MatchString(n.Value):
		d.wrong(n, want)
	case leading.MatchString(n.Value):
		d.Errorf(n, badNumber, "number %s with a leading zero", n.Value)
	default:
		return strings.TrimPrefix(n.Value, "+"), true
	}
	return "", false
}

func (d *Decoder) slice(n *yaml.Node, v reflect.Value) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, "a list")
		if n.Kind == yaml.ScalarNode {
			d.list[len(d.list)-1].Help = fmt.Sprintf("write [%s]", n.Value)
		}
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		d.value(c, out.Index(i))
	}
	v.Set(out)
}
