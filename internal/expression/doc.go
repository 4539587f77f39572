// Package expression turns the conditions and formulas of a ruleset into code.
//
// An [Env] knows the names that may be read; [Env.Compile] parses a source with
// expr's parser, admits what an allow-list names, checks kinds, money and lists
// itself, so that every mistake of a source is told at once, and builds typed
// closures: a [Program]. A [Scope] is what one evaluation reads.
//
// Evaluation is left to right with short circuit and ends at the first value that
// is missing or cannot be computed: that [Fault] is the result. has(x) tells
// whether reading x would succeed. NaN and infinities never leave an expression,
// nothing in it reads a clock, loops, or grows memory, and every result has the
// same bits on every machine.
//
// Numbers are float64 and money is in major units. Amounts have at most 15
// digits, so comparing their correctly rounded major units is comparing their
// minor units; a literal that is finer than the currency is a mistake.
//
// An Env may be changed by one goroutine while nobody compiles with it; compiling
// and a Program are safe for many. A Scope belongs to one goroutine. The package
// keeps no state of events and knows no rules.
package expression

import "github.com/sluice-risk/sluice/risk"

// Kind is the type of a value.
type Kind uint8

const (
	Number Kind = iota + 1
	Text
	Bool
	Time // an instant: compared with instants only
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

// Tri is a truth value, or that there is none.
type Tri uint8

const (
	False Tri = iota
	True
	Missing // no value, or a failure: the evaluation ends here
)

func tri(b bool) Tri {
	if b {
		return True
	}
	return False
}

// Fault is why an evaluation has no value. The zero Fault is none.
type Fault struct {
	Missing string // the name that was read first without a value
	Err     string // the cause of a failure: "division by zero"
}

// String gives missing(name) or error(cause), "" for no fault.
func (f Fault) String() string {
	switch {
	case f.Err != "":
		return "error(" + f.Err + ")"
	case f.Missing != "":
		return "missing(" + f.Missing + ")"
	}
	return ""
}

var (
	zeroDivision = &Fault{Err: "division by zero"}
	overflow     = &Fault{Err: "number too large"}
	noCoordinate = &Fault{Err: "not a coordinate"}
)

// Scope is what one evaluation reads. Each worker has its own and reuses it.
type Scope struct {
	Record *risk.Record
	At     risk.Time // the event's clamped time: ages, hours_since, list expiry

	Features, Points, Params []float64 // NaN is missing

	fault *Fault // set by whatever ended the evaluation; of the program, never changed
}

// Closures of one evaluation. A number that is NaN, an empty text and Missing mean
// that the evaluation has ended and that Scope.fault says why; a closure that gets
// one from its operand returns at once. No closure gives an infinity.
type (
	numberFn func(*Scope) float64 // of a Time: milliseconds since 1970
	textFn   func(*Scope) string
	truthFn  func(*Scope) Tri
)
