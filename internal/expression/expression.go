package expression

import (
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// Kind is the type of a value.
type Kind uint8

const (
	Number Kind = iota + 1
	Text
	Bool
	Time
)

func (k Kind) String() string {
	switch k {
	case Number:
		return "number"
	case Text:
		return "text"
	case Bool:
		return "bool"
	case Time:
		return "time"
	}
	return "nothing"
}

// Tri is the truth of a condition, or that it cannot be told.
type Tri uint8

const (
	False Tri = iota
	True
	Missing // no value, or a failure: the evaluation ends here
)

// Fault is why an evaluation has no value. The zero Fault is none.
type Fault struct {
	Missing string // the name that was read first without a value
	Err     string // the cause of a failure: "division by zero"
}

// String gives missing(name) or error(cause), "" for none.
func (f Fault) String() string {
	switch {
	case f.Err != "":
		return "error(" + f.Err + ")"
	case f.Missing != "":
		return "missing(" + f.Missing + ")"
	}
	return ""
}

// Scope is what one evaluation reads. Each worker has its own and reuses it.
type Scope struct {
	Record *risk.Record
	At     risk.Time // the event's clamped time

	Features, Points, Params []float64 // NaN is missing

	fault *Fault
}

// Var is one name that expressions may read.
type Var struct {
	Name   string
	Kind   Kind
	Money  string     // monetary number: ISO code whose exponent bounds literals, "*" the event's own currency
	Class  risk.Class // Identifier and Personal are refused under CompileOptions.Pseudonymous
	Window string     // for evidence: "10m"
	At     diag.Span  // where it is defined, for "did you mean"; optional

	Number func(*Scope) float64 // NaN missing; of a Time: milliseconds since 1970
	Text   func(*Scope) string  // "" missing
	Bool   func(*Scope) Tri
}

// List is a list that `x in list.name` looks into.
type List interface {
	Type() string // id country ip cidr email email_domain card device phone name number
	Contains(value string, at risk.Time) bool
}

// CompileOptions restrict an expression.
type CompileOptions struct {
	Pseudonymous bool // refuse names that vanish when the personal part is erased
}

// Env is the names that expressions may use.
type Env struct{}

// NewEnv gives an Env with the fields of an event.
func NewEnv(baseCurrency string, custom map[string]Kind) *Env { return &Env{} }

// Define adds a name.
func (e *Env) Define(v Var) error { return nil }

// AddList adds a list.
func (e *Env) AddList(name string, l List) error { return nil }

// With gives a child with more names.
func (e *Env) With(vars ...Var) *Env { return e }

// Compile compiles.
func (e *Env) Compile(src diag.Text, want Kind, o CompileOptions) (*Program, diag.List) {
	return &Program{}, nil
}

// Program is a compiled expression.
type Program struct{}

func (p *Program) Kind() Kind                       { return 0 }
func (p *Program) Source() string                   { return "" }
func (p *Program) Reads() []string                  { return nil }
func (p *Program) Money() string                    { return "" }
func (p *Program) Bool(s *Scope) (bool, Fault)      { return false, Fault{} }
func (p *Program) Number(s *Scope) (float64, Fault) { return 0, Fault{} }
func (p *Program) Text(s *Scope) (string, Fault)    { return "", Fault{} }
func (p *Program) Because(s *Scope) []risk.Because  { return nil }
