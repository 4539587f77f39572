package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Span is a run of characters on one line. Line and Column start at 1, columns
// and width count characters. A Span without a line names a file as a whole.
type Span struct {
	File                string
	Line, Column, Width int
}

// String gives file:line:column.
func (s Span) String() string {
	if s.Line == 0 {
		return s.File
	}
	return fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Column)
}

// Diagnostic is one mistake in a file.
type Diagnostic struct {
	Code    string // stable: "E012"
	Message string // one cause: unknown feature `x`
	Label   string // stands after the carets
	Help    string // one fix
	Span    Span
	Warning bool // the file may be used all the same
}

func (d Diagnostic) String() string {
	return fmt.Sprintf("%s: %s: %s", d.Span, d.kind(), d.Message)
}

func (d Diagnostic) kind() string {
	if d.Warning {
		return "warning[" + d.Code + "]"
	}
	return "error[" + d.Code + "]"
}

// Code is a kind of mistake with the line that explains it.
type Code struct{ ID, Explain string }

// Codes are the kinds of mistakes that this package itself reports.
var Codes = []Code{
	{notYAML, "The file is not valid YAML."},
	{unknownKey, "A key that this file format does not have; keys are never ignored."},
	{duplicateKey, "The same key stands twice in one mapping."},
	{wrongType, "The value is of another type than the key takes."},
	{missingKey, "A required key is missing or empty."},
	{badNumber, "The number cannot be used: not finite, too large, or with a leading zero."},
	{tooLarge, "The file is too large, too deeply nested, or expands to too much."},
}

const (
	notYAML      = "E050"
	unknownKey   = "E051"
	duplicateKey = "E052"
	wrongType    = "E053"
	missingKey   = "E054"
	badNumber    = "E055"
	tooLarge     = "E056"
)

// List is every mistake found in one run. It is an error when it is not empty;
// use Err to get a nil error from an empty one.
type List []Diagnostic

// Add appends one mistake.
func (l *List) Add(d Diagnostic) { *l = append(*l, d) }

// Err gives l as an error, nil when it is empty.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// Error gives one line for each mistake.
func (l List) Error() string {
	lines := make([]string, len(l))
	for i, d := range l {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Sort orders the mistakes by file, line and column, and drops what stands there
// twice: a part that is used again by an alias is read each time.
func (l *List) Sort() {
	slices.SortStableFunc(*l, func(a, b Diagnostic) int {
		return cmp.Or(
			strings.Compare(a.Span.File, b.Span.File),
			cmp.Compare(a.Span.Line, b.Span.Line),
			cmp.Compare(a.Span.Column, b.Span.Column),
		)
	})
	*l = slices.Compact(*l)
}
