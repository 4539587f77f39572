package featurelog

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-risk/sluice/internal/parquet"
	"github.com/sluice-risk/sluice/store/journal"
)

// Format is how rows are written.
type Format uint8

const (
	CSV Format = iota
	Parquet
)

// FormatOf gives the format that a file's name asks for.
func FormatOf(name string) Format {
	if strings.HasSuffix(name, ".parquet") {
		return Parquet
	}
	return CSV
}

// File writes rows to one file. Its schema is that of the first row.
type File struct {
	out    io.Writer
	format Format
	schema *Schema
	meta   Meta
	table  *parquet.Writer
	rows   []parquet.Values // those not written yet
	held   int
	line   []byte
	bytes  int64
}

// NewFile begins a file. program is what it says it was made by.
func NewFile(out io.Writer, format Format, program string) *File {
	return &File{out: out, format: format, meta: Meta{Format: FormatName, Program: program}}
}

// Begin fixes the schema before the first row.
func (f *File) Begin(s *Schema) error {
	f.schema = s
	f.meta.Features, f.meta.Columns, f.meta.Definition = s.Digest, s.Columns, s.Definition
	if f.format == CSV {
		f.line = append(f.line[:0], strings.Join(own, ",")...)
		for _, c := range s.Columns {
			f.line = append(append(f.line, ','), c.Name...)
		}
		return f.flushLine()
	}
	columns := []parquet.Column{{Name: own[0], Kind: parquet.Text}, {Name: own[1], Kind: parquet.Text}, {Name: own[2], Kind: parquet.Text},
		{Name: own[3], Kind: parquet.Time}, {Name: own[4], Kind: parquet.Integer}, {Name: own[5], Kind: parquet.Text}, {Name: own[6], Kind: parquet.Text},
		{Name: own[7], Kind: parquet.Text, Optional: true}, {Name: own[8], Kind: parquet.Text, Optional: true}}
	for _, c := range s.Columns {
		columns = append(columns, parquet.Column{Name: c.Name, Kind: parquet.Double, Optional: true})
	}
	f.rows = make([]parquet.Values, len(columns))
	var err error
	f.table, err = parquet.New(f.out, columns)
	return err
}

// Write adds a row of a schema. One of another schema, or decided by another
// engine, is a *ChangedError.
func (f *File) Write(s *Schema, r *Row) error {
	if f.schema == nil {
		if err := f.Begin(s); err != nil {
			return err
		}
	}
	switch {
	case s.Digest != f.schema.Digest:
		return &ChangedError{r.Position, f.schema.Digest, s.Digest}
	case f.meta.Engine == "":
		f.meta.Engine = r.Versions.Engine
	case f.meta.Engine != r.Versions.Engine:
		return &ChangedError{r.Position, "engine " + f.meta.Engine, "engine " + r.Versions.Engine}
	}
	if len(r.Values) != len(s.Names) {
		return fmt.Errorf("featurelog: position %d has %d features, want %d", r.Position, len(r.Values), len(s.Names))
	}
	if !slices.Contains(f.meta.Rulesets, r.Versions.Ruleset) {
		f.meta.Rulesets = append(f.meta.Rulesets, r.Versions.Ruleset)
	}
	if f.meta.Rows == 0 {
		f.meta.First = uint64(r.Position)
	}
	f.meta.Rows++
	f.meta.Last = uint64(r.Position)
	if f.format == CSV {
		return f.writeLine(r)
	}
	return f.hold(r)
}

// Covers says for which positions the file is complete, if for more than those
// from its first row to its last.
func (f *File) Covers(first, last journal.Position) {
	f.meta.First, f.meta.Last = uint64(first), uint64(last)
}

// Rows is the number of rows so far.
func (f *File) Rows() int64 { return f.meta.Rows }

// Bytes estimates the size of the file so far.
func (f *File) Bytes() int64 {
	if f.table == nil {
		return f.bytes
	}
	return f.table.Bytes() + int64(f.held*(64+3*len(f.schema.Names))) // features are small numbers mostly
}

// Close writes what is left; a file without a row gets the columns of s. It does
// not close what the file is written to.
func (f *File) Close(s *Schema) error {
	if f.schema == nil {
		if err := f.Begin(s); err != nil {
			return err
		}
	}
	if f.format == CSV {
		return nil
	}
	if err := f.flushRows(); err != nil {
		return err
	}
	m := &f.meta
	columns, err := json.Marshal(m.Columns)
	if err != nil {
		return err
	}
	return f.table.Close("sluice version "+m.Program, []parquet.Pair{
		{Key: "sluice.format", Value: m.Format},
		{Key: "sluice.program", Value: m.Program},
		{Key: "sluice.engine", Value: m.Engine},
		{Key: "sluice.features", Value: m.Features},
		{Key: "sluice.rulesets", Value: strings.Join(m.Rulesets, " ")},
		{Key: "sluice.first", Value: strconv.FormatUint(m.First, 10)},
		{Key: "sluice.last", Value: strconv.FormatUint(m.Last, 10)},
		{Key: "sluice.rows", Value: strconv.FormatInt(m.Rows, 10)},
		{Key: "sluice.columns", Value: string(columns)},
		{Key: "sluice.definition", Value: m.Definition},
	})
}

// Companion is what lies beside a CSV file, which cannot say it itself: JSON with
// the same as the metadata of a Parquet file.
func (f *File) Companion() ([]byte, error) {
	b, err := json.MarshalIndent(&f.meta, "", "  ")
	return append(b, '\n'), err
}

// writeLine appends a CSV row. Missing is empty, integers are integers, anything
// else has 17 significant digits, which name a float64 exactly.
func (f *File) writeLine(r *Row) error {
	b := appendCSV(f.line[:0], r.Event)
	b = appendCSV(append(b, ','), r.Tenant)
	b = appendCSV(append(b, ','), r.Type)
	b = r.At.Append(append(b, ','))
	b = strconv.AppendUint(append(b, ','), uint64(r.Position), 10)
	b = appendCSV(append(b, ','), r.Scenario)
	b = append(append(b, ','), r.Action.String()...)
	b = append(append(b, ','), r.Partial...)
	b = append(append(b, ','), r.Approximate...)
	for _, v := range r.Values {
		b = append(b, ',')
		switch {
		case math.IsNaN(v):
		case v == math.Trunc(v) && math.Abs(v) < 1<<53:
			b = strconv.AppendInt(b, int64(v), 10)
		default:
			b = strconv.AppendFloat(b, v, 'g', 17, 64)
		}
	}
	f.line = b
	return f.flushLine()
}

func (f *File) flushLine() error {
	f.line = append(f.line, '\n')
	n, err := f.out.Write(f.line)
	f.bytes += int64(n)
	return err
}

func appendCSV(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\n\r") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(s, `"`, `""`)...)
	return append(dst, '"')
}

// hold adds a row to the row group under way.
func (f *File) hold(r *Row) error {
	for i, s := range [...]string{r.Event, r.Tenant, r.Type, "", "", r.Scenario, r.Action.String()} {
		switch i {
		case 3:
			f.rows[i].Ints = append(f.rows[i].Ints, int64(r.At))
		case 4:
			f.rows[i].Ints = append(f.rows[i].Ints, int64(r.Position))
		default:
			f.rows[i].Texts = append(f.rows[i].Texts, s)
		}
	}
	for i, names := range [...]string{r.Partial, r.Approximate} {
		c := &f.rows[len(own)-2+i]
		if c.Missing = append(c.Missing, names == ""); names != "" {
			c.Texts = append(c.Texts, names)
		}
	}
	for i, v := range r.Values {
		c := &f.rows[len(own)+i]
		if c.Missing = append(c.Missing, math.IsNaN(v)); !math.IsNaN(v) {
			c.Doubles = append(c.Doubles, v)
		}
	}
	if f.held++; f.held < f.groupRows() {
		return nil
	}
	return f.flushRows()
}

// groupRows bounds what waits in memory to about 16 MiB.
func (f *File) groupRows() int {
	return min(max(16<<20/(9*len(f.rows)+128), 1024), 1<<16)
}

func (f *File) flushRows() error {
	if f.held == 0 {
		return nil
	}
	f.held = 0
	err := f.table.Group(f.rows)
	for i := range f.rows {
		f.rows[i].Reset()
	}
	return err
}
