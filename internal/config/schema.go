package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one key of a struct: a value, a list, or a section of further keys.
type field struct {
	name  string
	index int
	typ   reflect.Type
	tag   reflect.StructTag
}

// fields are the direct keys of a struct type, in the order of the source.
func fields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		if name := f.Tag.Get("key"); name != "" {
			out = append(out, field{name, i, f.Type, f.Tag})
		}
	}
	return out
}

// section says whether a field holds further keys of its own.
func (f field) section() bool { return f.typ.Kind() == reflect.Struct && f.typ != mappingType }

// list says whether a field is a list of sections.
func (f field) list() bool {
	return f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct
}

var (
	mappingType  = reflect.TypeFor[Mapping]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

// setting is a key that environment and flags can set, with its place in Config.
type setting struct {
	field
	key  string
	path []int
}

var settings = flatten(reflect.TypeFor[Config](), "", nil)

func flatten(t reflect.Type, prefix string, path []int) []setting {
	var out []setting
	for _, f := range fields(t) {
		at := append(slices.Clone(path), f.index)
		if f.section() {
			out = append(out, flatten(f.typ, prefix+f.name+".", at)...)
			continue
		}
		out = append(out, setting{f, prefix + f.name, at})
	}
	return out
}

func lookup(key string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// EnvName is the environment variable of a key: kafka.tls.ca_file is
// SLUICE_KAFKA_TLS_CA_FILE.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Key describes one key for documentation and completion.
type Key struct {
	Name    string // kafka.sasl.mechanism
	Env     string // SLUICE_KAFKA_SASL_MECHANISM
	Default string // as it would stand in the file
	Help    string
}

// Keys lists every key in the order of the file.
func Keys() []Key {
	out := make([]Key, len(settings))
	for i, s := range settings {
		value := s.tag.Get("default")
		if d := s.tag.Get("derive"); d != "" {
			value = "<data_dir>/" + d
		}
		out[i] = Key{s.key, EnvName(s.key), value, s.tag.Get("help")}
	}
	return out
}

// parse reads one value in the notation of its field into v and checks it.
func (f field) parse(v reflect.Value, text string) error {
	if err := f.check(text); err != nil {
		return err
	}
	switch {
	case f.typ == durationType:
		return bounded(f, v, text, ParseDuration, FormatDuration)
	case f.typ == sizeType:
		return bounded(f, v, text, ParseSize, Size.String)
	case f.typ.Kind() == reflect.Int:
		return bounded(f, v, text, parseInt, strconv.Itoa)
	case f.typ.Kind() == reflect.Bool:
		if text != "true" && text != "false" { // one notation; YAML's yes and on are texts
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
		return nil
	case f.typ.Kind() == reflect.String:
		v.SetString(text)
		return nil
	}
	panic(fmt.Sprintf("config: field %s has type %s, which no notation is known for", f.name, f.typ))
}

func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a whole number from 0 up", text)
	}
	return n, nil
}

// bounded parses text and both bounds with the same reader.
func bounded[T cmp.Ordered](f field, v reflect.Value, text string, read func(string) (T, error), write func(T) string) error {
	got, err := read(text)
	if err != nil {
		return err
	}
	if bound, ok := f.tag.Lookup("min"); ok {
		if low, err := read(bound); err != nil {
			panic(err)
		} else if got < low {
			return fmt.Errorf("%s is below the least, %s", text, write(low))
		}
	}
	if bound, ok := f.tag.Lookup("max"); ok {
		if high, err := read(bound); err != nil {
			panic(err)
		} else if got > high {
			return fmt.Errorf("%s is above the most, %s", text, write(high))
		}
	}
	v.Set(reflect.ValueOf(got))
	return nil
}

// check applies oneof, later and check to a text.
func (f field) check(text string) error {
	if later := f.tag.Get("later"); later != "" && slices.Contains(strings.Split(later, ","), text) {
		return fmt.Errorf("%q is not supported yet: write %s", text, orList(f.tag.Get("oneof")))
	}
	if known := f.tag.Get("oneof"); known != "" {
		names := strings.Split(known, ",")
		if !slices.Contains(names, text) {
			hint := ""
			if n := nearest(text, names); n != "" {
				hint = fmt.Sprintf("; did you mean %s?", n)
			}
			return fmt.Errorf("%q is not known: write %s%s", text, orList(known), hint)
		}
	}
	name, optional := strings.CutSuffix(f.tag.Get("check"), "?")
	if name == "" || optional && text == "" {
		return nil
	}
	return checks[name](text)
}

func orList(names string) string {
	list := strings.Split(names, ",")
	if len(list) == 1 {
		return names
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}

// setDefaults gives every key below v its default, and notes it as one.
func setDefaults(v reflect.Value) {
	for _, f := range fields(v.Type()) {
		at := v.Field(f.index)
		if f.section() {
			setDefaults(at)
			continue
		}
		if text, ok := f.tag.Lookup("default"); ok {
			if err := f.parse(at, text); err != nil {
				panic(fmt.Sprintf("config: default of %s: %v", f.name, err))
			}
		}
	}
}

// format writes a value as the file would have it.
func format(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return FormatDuration(x)
	case []string:
		return strings.Join(x, ",")
	case Mapping:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Struct:
		var parts []string
		for _, f := range fields(v.Type()) {
			value := format(v.Field(f.index))
			if f.typ.Kind() == reflect.String {
				value = strconv.Quote(value) // a topic may be called null
			}
			parts = append(parts, f.name+": "+value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = format(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

const envPrefix = "SLUICE_"

// EnvFile names the configuration file when no flag does.
const EnvFile = envPrefix + "CONFIG"

// foreignEnv are SLUICE_* variables that are no keys: the file's name, switches
// of the tests, and what Kubernetes sets in every pod beside a Service whose
// name begins with sluice.
var foreignEnv = regexp.MustCompile(`^SLUICE_(CONFIG|TORTURE|TEST_[A-Z0-9_]+|` +
	`([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?))$`)
