// Package diag says what is wrong in a file that a person wrote, and where.
//
// A [Diagnostic] is one mistake: a stable code, one cause, one fix and a [Span].
// A [List] collects all of them in one run and [Render] prints them with the
// source line. [Text] is a YAML scalar that remembers where it stands, down to a
// character inside a quoted or folded scalar; [Decode] reads strict YAML into
// structs made of them, and [ReadDir] reads the directory they come from.
//
// Everything here is a value or works on its arguments alone; nothing is shared
// between goroutines. The package knows no rule language and no schema.
package diag
