// Package journal keeps the one ordered, durable log of everything that can
// change a decision. Records have positions that start at 1 and never skip.
//
// A [Log] is a directory of segment files. [Log.Append] writes a [Batch] as one
// checksummed frame, [Log.Sync] makes it durable, [Log.Wait] waits for that, and
// a [Reader] walks whole frames up to the durable position and never past it.
// The files are described in docs/format.md.
//
// What recovery may conclude rests on one invariant, kept here and not left to
// the caller: a frame is written only after the one before it is on the disk. So
// at most one frame can be torn, and a bad frame that has another one behind it
// is corruption, never a torn write.
//
// One goroutine appends; every other method may be called from any goroutine,
// Sync beside the compression of the next Append. Three locks, always taken in
// this order and never held for a caller: Log.mu (the active file), Log.segMu
// (the list of segments), Log.waitMu (waiters and the reason of failure).
//
// The package does not batch (the caller takes what waits), does not decide how
// long segments are kept (Retain is told), and does not interpret records. What
// it cannot see from inside, it reports for a check from outside: a damaged last
// batch after a crash looks like a torn write, is cut with a warning, and leaves
// End below what others have applied or published.
package journal
