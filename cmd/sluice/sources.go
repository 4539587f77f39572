package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/mapping"
)

// translator gives what turns the records of a source into events, nil where
// they are events.
func translator(s config.Source) (func(dst []byte, r *kgo.Record) ([]byte, error), error) {
	if s.Map.IsZero() && mapping.Format(s.Format) == mapping.JSON {
		return nil, nil
	}
	m, err := sourceMapping(s)
	if err != nil {
		return nil, err
	}
	return func(dst []byte, r *kgo.Record) ([]byte, error) {
		record := mapping.Record{Key: r.Key, Value: r.Value, Time: r.Timestamp}
		var few [8]mapping.Header
		record.Headers = few[:0]
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, mapping.Header{Key: h.Key, Value: h.Value})
		}
		dst, err := m.Translate(dst, &record)
		if errors.Is(err, mapping.ErrSkip) {
			err = fmt.Errorf("%w: %w", engine.ErrSkip, err)
		}
		return dst, err
	}, nil
}

// sourceMapping compiles the mapping of a source: none, a ready-made one, a file,
// or what stands in the configuration.
func sourceMapping(s config.Source) (*mapping.Mapping, error) {
	format := mapping.Format(s.Format)
	name, text := s.Map.Name, s.Map.Text
	var m *mapping.Mapping
	var err error
	switch {
	case s.Map.IsZero():
		return mapping.Plain(format), nil
	case s.Map.Inline != nil:
		name = s.Map.Place.Name
		m, err = mapping.CompileNode(name, text, s.Map.Inline, format)
	case s.Map.File():
		if text, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("source %s: %s: %w", s.Topic, s.Map.Place, err)
		}
		m, err = mapping.Compile(name, text, format)
	default:
		file, ready, ok := mapping.Ready(name)
		if !ok {
			names := mapping.ReadyNames()
			help := "there are " + strings.Join(names, ", ")
			if near, ok := diag.Nearest(name, names); ok {
				help = "did you mean " + near + "?"
			}
			return nil, &exitError{exitUsage, fmt.Errorf("source %s: %s: no ready-made mapping is called %s (%s; a file is written ./%[3]s.yaml)", s.Topic, s.Map.Place, name, help)}
		}
		name, text = file, ready
		m, err = mapping.Compile(name, text, format)
	}
	if list, ok := errors.AsType[diag.List](err); ok {
		var shown strings.Builder
		diag.Render(&shown, list, diag.Files{name: text})
		return nil, &exitError{exitUsage, fmt.Errorf("the mapping of source %s has mistakes\n%s", s.Topic, strings.TrimSuffix(shown.String(), "\n"))}
	}
	return m, err
}
