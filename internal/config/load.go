package config

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// maxFile bounds sluice.yaml, which is a page long.
const maxFile = 1 << 20

// Input is what a Config is made from.
type Input struct {
	File  string            // path of sluice.yaml; empty: EnvFile's value, else none
	Env   []string          // NAME=value, as os.Environ gives them
	Flags map[string]string // key=value, from --set and from flags named for a key
}

// Source levels, weakest first.
const (
	FromDefault = "default"
	FromFile    = "file"
	FromEnv     = "env"
	FromFlag    = "flag"
)

// Place is where a value was written.
type Place struct {
	From         string // FromDefault, FromFile, FromEnv or FromFlag
	Name         string // the file's path, the variable's name, or the key
	Line, Column int    // in the file, from 1; 0 where unknown
}

// String reads sluice.yaml:3:9, SLUICE_LISTEN, --set listen or default.
func (p Place) String() string {
	switch {
	case p.From == FromFlag:
		return "--set " + p.Name
	case p.From == FromDefault:
		return FromDefault
	case p.Line == 0:
		return p.Name
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.Name, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.Name, p.Line, p.Column)
}

// Origin is a key, its value in force, and where that came from. Secrets are
// never values, so a value can be shown.
type Origin struct {
	Key   string
	Value string
	Place Place
}

// Origins lists every key in the order of the file.
func (c *Config) Origins() []Origin { return slices.Clone(c.origins) }

// Load makes the configuration, or an *Error with everything that is wrong. An
// error of another type means that the file could not be read at all.
func Load(in Input) (*Config, error) {
	l := &loader{config: new(Config), places: map[string]Place{}, bad: map[string]bool{}}
	setDefaults(reflect.ValueOf(l.config).Elem())

	env := map[string]string{}
	for _, pair := range in.Env {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	if in.File == "" {
		in.File = env[EnvFile]
	}
	if in.File != "" {
		text, err := readCapped(in.File, maxFile)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		l.file(in.File, text)
	}
	l.environment(env)
	l.flags(in.Flags)
	l.derive()
	l.crossCheck()
	if len(l.faults) > 0 {
		return nil, &Error{l.faults}
	}
	for _, s := range settings {
		l.config.origins = append(l.config.origins, Origin{s.key, format(l.value(s)), l.place(s.key)})
	}
	return l.config, nil
}

// loader collects values, where they came from, and what was wrong.
type loader struct {
	config *Config
	places map[string]Place
	bad    map[string]bool
	faults []Fault
	text   []byte // that is being read
}

func (l *loader) value(s setting) reflect.Value {
	return reflect.ValueOf(l.config).Elem().FieldByIndex(s.path)
}

// place is where the value in force of a key was written.
func (l *loader) place(key string) Place {
	if p, ok := l.places[key]; ok {
		return p
	}
	return Place{From: FromDefault}
}

func (l *loader) fault(key string, at Place, help, msg string, args ...any) {
	l.bad[key] = true
	l.faults = append(l.faults, Fault{key, at, fmt.Sprintf(msg, args...), help})
}

func (l *loader) environment(env map[string]string) {
	names := make([]string, len(settings))
	for i, s := range settings {
		names[i] = EnvName(s.key)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		at := Place{From: FromEnv, Name: name}
		switch i := slices.Index(names, name); {
		case i >= 0:
			l.set(settings[i], at, env[name])
		case !foreignEnv.MatchString(name):
			help := suggestion(name, names)
			if slices.Contains(names, name+"_FILE") {
				help = secretHelp + name + "_FILE"
			}
			l.fault("", at, help, "no key has this variable")
		}
	}
}

func (l *loader) flags(flags map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		at := Place{From: FromFlag, Name: key}
		if s, ok := lookup(key); ok {
			l.set(s, at, flags[key])
			continue
		}
		l.fault(key, at, unknownHelp("", key, allKeys()), "unknown key")
	}
}

// set gives a key the text of a variable or flag. Lists are separated by
// commas; a list of sections is written in YAML.
func (l *loader) set(s setting, at Place, text string) {
	v := l.value(s)
	switch {
	case s.list():
		l.yamlValue(s, at, text)
		return
	case s.typ.Kind() == reflect.Slice:
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		for _, item := range items {
			if err := s.check(item); err != nil {
				l.fault(s.key, at, "", "%v", err)
				return
			}
		}
		v.Set(reflect.ValueOf(items))
	default:
		if err := s.parse(v, text); err != nil {
			l.fault(s.key, at, "", "%v", err)
			return
		}
	}
	l.places[s.key] = at
}

// derive fills what an empty value stands for.
func (l *loader) derive() {
	for _, s := range settings {
		if name := s.tag.Get("derive"); name != "" && l.value(s).String() == "" {
			l.value(s).SetString(filepath.Join(l.config.DataDir, name))
		}
	}
	if t := &l.config.Kafka.TLS; t.files() && l.place("kafka.tls.enabled").From == FromDefault {
		t.Enabled = true
	}
	for i := range l.config.Sources {
		if s := &l.config.Sources[i]; s.Tenant == "" {
			s.Tenant = l.config.Tenant
		}
	}
}

const secretHelp = "a secret stands in a file of its own: use "

func suggestion(name string, candidates []string) string {
	if n := nearest(name, candidates); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}

func allKeys() []string {
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.key
	}
	return keys
}

// unknownHelp says what an unknown name in a section was meant to be: a
// neighbour, a key of the same name elsewhere, or a secret in the wrong form.
func unknownHelp(section, name string, neighbours []string) string {
	full := section + name
	if _, ok := lookup(full + "_file"); ok {
		return secretHelp + full + "_file"
	}
	if n := nearest(name, neighbours); n != "" {
		return "did you mean " + section + n + "?"
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	for _, key := range allKeys() {
		if strings.HasSuffix(key, "."+last) || strings.HasSuffix(key, "."+last+"_file") || key == last {
			return "did you mean " + key + "?"
		}
	}
	return suggestion(full, allKeys())
}

func readCapped(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return text, nil
}
