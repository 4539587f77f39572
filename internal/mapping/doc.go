// Package mapping turns records of any JSON format into canonical events.
//
// A [Mapping] is what stands under `map:` of a source, or in a file of its own,
// compiled: where each field of the event comes from and how it is converted.
// [Mapping.Translate] turns one [Record] into the bytes of an event; what it
// leaves out on purpose is [ErrSkip], what it cannot map an [*Error] that names
// the field, the place it was read from and what was found there, never a value
// that could name a person or a card. [Mapping.Explain] tells the same field by
// field. [Ready] holds mappings for formats that many share.
//
// A Mapping is immutable and safe for concurrent use; the same record gives the
// same bytes everywhere. The package checks the form of a record and what it
// converts itself; whether the event is one that can be taken is for the decoder
// of package risk to say. It does no I/O and reads no clock.
package mapping
