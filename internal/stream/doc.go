// Package stream connects a cell to Kafka: records of source topics become
// entries of its journal, and what the journal has decided is published.
//
// A [Stream] is both directions for one cell, a [Source] is one topic that is
// read, a [Decider] is what it needs of the cell. Both directions are exactly
// once. Inwards, a record's topic, partition and offset are kept in the journal
// with the entry it became, and partitions are assigned directly, never in a
// group, each from behind the last offset in the journal. Outwards, every
// transaction that carries results also carries the journal position up to which
// they go, in the compacted topic [PublishedTopic]; whoever owns the
// transactional id reads it back and continues there. Readers must read
// committed. After a failure the position is read back, never guessed.
//
// [Stream.Run] owns all goroutines and returns when they have ended. One of them
// reads, one follows the journal and makes records, one commits them. A record
// waits in its partition while the cell is full or another partition is behind:
// what is buffered is bounded.
//
// Records of several partitions are merged by timestamp (see merge.go), so that a
// backlog is judged in the order in which it happened. The published position also
// names the journal and the entry it came from: an engine with the same cell name
// and another journal is refused before it fences anybody off.
//
// [Stream.Reread] reads single records once more, on request: they go in as what
// they are, and the place at which their partition is read on stays.
//
// [Brokers] is the way to the brokers: TLS and identity by files that are read at
// each new connection, and words for what keeps them away.
//
// The transactions rely on the producer's epoch being checked with each of them,
// which brokers do from version 4.0 on (KIP-890). Older ones, from 2.5 on, work
// but can let a delayed request of a process that is gone join a transaction.
package stream
