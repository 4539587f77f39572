// Package engine carries one payment from bytes to an answer.
//
// A [Cell] is one journal, one total order, one state. Its [Cell.Run] is the walk:
// intake and enrich in parallel, journal and features in order, decide in
// parallel, answer when durable. A [Walk] is the part of it that is a function of
// the journal alone; the live cell, recovery, replay and tests run that same code
// over another source of batches. A [Bundle] is everything a release brings:
// rules, features, lists, rates and score, immutable once built.
//
// Three goroutines own a running cell: one gathers batches, one orders them and
// owns all changing state, one answers. What they share with callers is behind
// the feed's and the memory's own locks. The package reads no decision back: what
// follows from decisions is computed outside and comes in again as an entry.
package engine

// Version names the semantics of the walk in every decision. It changes when the
// same journal could give other decisions.
const Version = "3"
