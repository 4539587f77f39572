// Package rules compiles a directory of rule files and says which rules fire for
// an event, and what follows.
//
// [Load] reads the whole directory and reports every mistake of every file in
// one run; the [Ruleset] it gives is immutable and safe to share. A [Scenario] is
// what is judged by one policy: Evaluate writes what fired, and why, into an
// [Outcome], Conclude makes of it and the score an action with its reasons.
// What a user wrote and what is run are two kinds of types: the specs in spec.go
// are decoded, checked, and gone after the load.
//
// An Outcome and an expression.Scope belong to one goroutine, which reuses them;
// evaluating allocates only for what fires. Nothing here does I/O, reads a clock,
// keeps state between events, computes the score, or knows the journal.
package rules
