// Package replay runs past events through the live code: a file of events or a
// journal, under the releases of that time or under a candidate, and a ruleset's
// own tests.
//
// A [Replay] drives an engine.Offline on one goroutine and writes decisions and
// feature values in order. [Test] runs the timed histories of a ruleset. Nothing
// here writes to a journal or a store, and nothing it computes depends on batch
// size or cores.
package replay
