package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/mapping"
	"github.com/sluice-risk/sluice/risk"
)

func explainCommand() *cobra.Command {
	var source, key, at, output string
	var headers []string
	c := &cobra.Command{
		Use:   "explain --source NAME FILE|-",
		Short: "Show which event a record of a source becomes, and where each value comes from",
		Long: `Show which event a record of a source becomes, and where each value comes from.
NAME is the topic of a configured source, a ready-made mapping, or the file of a mapping.
FILE holds the value of one record. Card numbers are masked, all else is shown as it is. What the configured tables know about
the event is shown below it; what needs a ruleset's rates is not.`,
		Args: cobra.ExactArgs(1),
	}
	load := configured(c)
	c.Flags().StringVar(&source, "source", "", "topic of a configured source, name of a ready-made mapping, or file of a mapping")
	c.Flags().StringArrayVar(&headers, "header", nil, "key=value, a header of the record; may be given often")
	c.Flags().StringVar(&key, "key", "", "key of the record")
	c.Flags().StringVar(&at, "timestamp", "", "time of the record, RFC 3339 (default: now)")
	c.Flags().StringVar(&output, "output", "text", "text or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		r := mapping.Record{Key: []byte(key), Time: time.Now()}
		if at != "" {
			if r.Time, err = time.Parse(time.RFC3339, at); err != nil {
				return &exitError{exitUsage, fmt.Errorf("--timestamp %s: not an RFC 3339 time", at)}
			}
		}
		for _, h := range headers {
			name, value, ok := strings.Cut(h, "=")
			if !ok {
				return &exitError{exitUsage, fmt.Errorf("--header %s: want key=value", h)}
			}
			r.Headers = append(r.Headers, mapping.Header{Key: name, Value: []byte(value)})
		}
		if output != "text" && output != "json" {
			return &exitError{exitUsage, fmt.Errorf("--output %s: want text or json", output)}
		}
		m, err := explained(cfg, source)
		if err != nil {
			return err
		}
		if r.Value, err = readRecord(c.InOrStdin(), args[0]); err != nil {
			return err
		}
		tables, err := enrich.New(enrich.Options{Files: tableFiles(cfg)})
		if err != nil {
			return err
		}
		x := explain(m, cfg, tables, &r)
		if output == "json" {
			encoder := json.NewEncoder(c.OutOrStdout())
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			err = encoder.Encode(x)
		} else {
			err = x.print(c.OutOrStdout())
		}
		if err == nil && x.refused() {
			err = &exitError{exitFailed, errors.New("the record becomes no event")}
		}
		return err
	}
	return c
}

// explained finds the mapping that a name stands for.
func explained(cfg *config.Config, name string) (*mapping.Mapping, error) {
	if name == "" {
		return nil, &exitError{exitUsage, errors.New("--source is missing: a topic of the configuration, a mapping's file, or one of " + strings.Join(mapping.ReadyNames(), ", "))}
	}
	known := mapping.ReadyNames()
	for _, s := range cfg.Sources {
		if s.Topic == name {
			return sourceMapping(s)
		}
		known = append(known, s.Topic)
	}
	s := config.Source{Topic: name, Format: string(mapping.JSON), Map: config.Mapping{Name: name, Place: config.Place{Name: "--source"}}}
	if !s.Map.File() && !slices.Contains(known, name) {
		help := "known: " + strings.Join(known, ", ")
		if near, ok := diag.Nearest(name, known); ok {
			help = "did you mean " + near + "?"
		}
		return nil, &exitError{exitUsage, fmt.Errorf("--source %s: neither a configured topic nor a ready-made mapping (%s)", name, help)}
	}
	return sourceMapping(s)
}

// readRecord reads one value, and a byte more than is taken, so that it is told.
func readRecord(in io.Reader, file string) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	value, err := io.ReadAll(io.LimitReader(in, mapping.MaxRecord+2))
	return bytes.TrimSuffix(value, []byte("\n")), err
}

// explanation is what is shown of a record.
type explanation struct {
	Case     string         `json:"case,omitempty"`
	Skipped  string         `json:"skipped,omitempty"`
	Fields   []fieldShown   `json:"fields"`
	Fault    string         `json:"fault,omitempty"` // of the record as a whole
	Problems []risk.Problem `json:"problems"`        // why the decoder refuses the event
	Warnings []risk.Warning `json:"warnings"`
	Event    any            `json:"event,omitempty"`
	Facts    []factShown    `json:"facts,omitempty"`
	Tables   string         `json:"tables,omitempty"` // that the facts come from
}

type factShown struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

type fieldShown struct {
	Field string `json:"field"`
	Value any    `json:"value,omitempty"`
	From  string `json:"from"`
	Fault string `json:"fault,omitempty"`
}

func (x *explanation) refused() bool {
	return x.Skipped == "" && (x.Event == nil || len(x.Problems) > 0)
}

// explain maps a record and decodes what it becomes as intake does, but for the
// keys of the tokens.
func explain(m *mapping.Mapping, cfg *config.Config, tables *enrich.Tables, r *mapping.Record) *explanation {
	found := m.Explain(r)
	x := &explanation{Case: found.Case, Skipped: found.Skip, Fields: []fieldShown{}, Problems: []risk.Problem{}, Warnings: []risk.Warning{}}
	faults := 0
	for _, f := range found.Fields {
		shown := fieldShown{Field: f.Field, From: f.From, Fault: f.Fault}
		if f.Field == "card.number" && f.Value != "" {
			shown.Value = "a card number"
		} else if f.Value != "" {
			shown.Value = masked([]byte(f.Value))
		}
		if f.Fault != "" {
			faults++
		}
		x.Fields = append(x.Fields, shown)
	}
	if found.Err != nil && faults == 0 {
		x.Fault = found.Err.Error()
	}
	if found.Event == nil {
		return x
	}
	d := risk.Decoder{Secrets: risk.NewSecrets([32]byte{}), MaxBytes: int(cfg.Limits.BodyBytes)}
	if cfg.PAN.Mode == "hmac" {
		d.PAN = risk.PANToken
	}
	var rec risk.Record
	if e, ok := errors.AsType[*risk.DecodeError](d.Decode(found.Event, &rec)); ok {
		x.Problems = e.Problems
	}
	if rec.Warnings != nil {
		x.Warnings = rec.Warnings
	}
	x.Event = masked(found.Event)
	if len(x.Problems) == 0 {
		tables.Fill(&rec)
		x.Facts, x.Tables = factsOf(&rec.Facts), rec.Facts.Version
	}
	return x
}

// factsOf gives what was looked up for an event, by the names of expressions.
func factsOf(f *risk.Facts) (all []factShown) {
	for _, field := range risk.FactFields {
		switch {
		case field.Text != nil && *field.Text(f) != "":
			all = append(all, factShown{field.Path, *field.Text(f)})
		case field.Number != nil && field.Number(f).Set:
			all = append(all, factShown{field.Path, field.Number(f).Value})
		case field.Flag != nil && *field.Flag(f) != 0:
			all = append(all, factShown{field.Path, *field.Flag(f) == risk.Yes})
		}
	}
	if f.UTCOffset.Set {
		all = append(all, factShown{"minutes from UTC", f.UTCOffset.Value})
	}
	return all
}

// masked gives JSON without card numbers. Where a number was one it is JSON no
// more, and shown as a text.
func masked(b []byte) any {
	b = bytes.Clone(b)
	risk.MaskCardNumbers(b)
	if !json.Valid(b) {
		return string(b)
	}
	return json.RawMessage(b)
}

func shownText(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case json.RawMessage:
		return string(v)
	}
	return fmt.Sprint(v)
}

func (x *explanation) print(out io.Writer) error {
	var b bytes.Buffer
	if x.Case != "" {
		fmt.Fprintf(&b, "case on %s\n\n", x.Case)
	}
	if len(x.Fields) > 0 {
		w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "FIELD\tVALUE\tFROM")
		for _, f := range x.Fields {
			value := shownText(f.Value)
			if f.Fault != "" {
				value = "refused: " + f.Fault
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Field, value, f.From)
		}
		w.Flush()
		b.WriteByte('\n')
	}
	for _, w := range x.Warnings {
		fmt.Fprintf(&b, "warning: %s %s: %s%s\n", w.Pointer, w.Code, w.Detail, x.from(w.Pointer))
	}
	for _, p := range x.Problems {
		fmt.Fprintf(&b, "refused: %s %s: %s%s\n", p.Pointer, p.Code, p.Detail, x.from(p.Pointer))
	}
	switch {
	case x.Skipped != "":
		fmt.Fprintf(&b, "left out: %s\n", x.Skipped)
	case x.Fault != "":
		fmt.Fprintf(&b, "refused: %s\n", x.Fault)
	case x.Event != nil:
		fmt.Fprintf(&b, "%s\n", shownText(x.Event))
	}
	if len(x.Facts) > 0 {
		w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		fmt.Fprintf(w, "\nFACT\tVALUE\n")
		for _, f := range x.Facts {
			fmt.Fprintf(w, "%s\t%v\n", f.Name, f.Value)
		}
		w.Flush()
		fmt.Fprintf(&b, "\nlooked up in %s\n", x.Tables)
	}
	_, err := out.Write(b.Bytes())
	return err
}

// from tells where the value that a pointer names came from.
func (x *explanation) from(pointer string) string {
	name := strings.ReplaceAll(strings.TrimPrefix(pointer, "/"), "/", ".")
	if i := slices.IndexFunc(x.Fields, func(f fieldShown) bool { return f.Field == name && f.From != "" }); i >= 0 {
		return " (from " + x.Fields[i].From + ")"
	}
	return ""
}
