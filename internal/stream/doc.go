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
// waits in its partition while the cell is full: nothing is buffered beyond one
// fetch.
//
// Records of several partitions go in as they are fetched. Merging them by
// timestamp, so that a backlog keeps the order of event times among partitions,
// is not done yet: until then one partition a topic keeps that order. A process
// with the same cell name on another journal whose end lies beyond the published
// position is not told apart from the right one.
//
// The transactions rely on the producer's epoch being checked with each of them,
// which brokers do from version 4.0 on (KIP-890). Older ones, from 2.5 on, work
// but can let a delayed request of a process that is gone join a transaction.
package stream
