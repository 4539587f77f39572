// Package risk holds the words of the domain that two or more layers exchange:
// the [Event] as received, the [Record] that enters the journal with the [Facts]
// looked up for it, [Money], [Action] and the [Decision] that answers it.
//
// One table, [Fields], describes every field of an event: its path, its type and
// whether it is personal. Decoding, canonical encoding, pseudonyms, the names in
// expressions and the published schema all follow from that table.
//
// [Decoder] reads events, [AppendEntry] and [DecodeEntry] are the journal's bytes,
// [Decision.AppendBody] is what is compared, hashed and stored; docs/format.md
// has them as tables. [Secrets] holds the keys behind every pseudonym.
//
// Values here are owned by whoever holds them; Decoder and Secrets may be shared
// between goroutines. Nothing in this package does I/O or reads a clock.
package risk
