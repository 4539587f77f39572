// Package store keeps what a cell has derived from its journal, so that a
// restart need not read the journal from the beginning. It is a thin, paranoid
// layer over Badger and knows bytes only.
//
// The truth is the journal. The store is written by [Store.Commit], one [Checkpoint]
// at a time, and by [Store.Amend] beside the last one, and may lag behind the journal; it must never be
// silently wrong. Three checks see to that, each for a fault that was seen:
//
//   - every value is sealed with a checksum over its keyspace, key and bytes, so
//     a flipped bit is an error and never another value;
//   - every transaction leaves a numbered record, so a write-ahead log that lost
//     its tail while a newer one survived is a gap that [Open] refuses;
//   - the keys of entities have a running sum, so a [Store.ScanEntities] notices
//     a lost, stale or resurrected key.
//
// A fault found is a [*CorruptError]; the state is then rebuilt from the journal.
//
// One goroutine commits, another may amend. Get and Scan may run beside it from any number of
// goroutines. [Guard] watches the free space of the disk, because Badger dies of
// SIGBUS on a full one; its owner runs [Guard.Run].
//
// The package does not expire anything (callers delete by event time), encodes
// no values, and keeps no history.
package store
