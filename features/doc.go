// Package features turns features.yaml into numbers about what an event's card,
// account, merchant … did before: counts, sums, distinct values over windows of
// event time.
//
// A [Set] is a compiled features.yaml, immutable and safe to share. Set.Prepare
// computes, in parallel, what depends on one event alone: which entities it
// touches, which features count it, and with which values ([Prepared]). [State]
// holds the events that the entities remember; State.Observe is the serial step
// that counts an event and reads every feature into a [Vector]. Set.Derive adds,
// in parallel again, the features that are formulas of others.
//
// Of an entity with very many events the older ones are added up in tiles, see
// tile.go and State.overflow; Set.Approximate names what may differ for it.
//
// One goroutine owns a State. Everything in it is a function of the events in
// their order: no clock, no floating-point sum, no map order reaches a value, and
// values do not depend on when a checkpoint was taken or an entity was folded,
// swept or restored.
//
// The package knows no store: State.Checkpoint gives keys and values to one, and a
// [Reader] reads them again, by State.Prefetch beside everything else, for entities
// that are not in memory. Which are is of no influence on a value, either.
// It does not remember
// which labels it has seen, nor which entities a past event touched; the caller
// does, and passes them to Prepared.Recall.
package features
