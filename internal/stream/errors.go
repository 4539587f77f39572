package stream

import "errors"

// What ends Run. Everything else is tried again.
var (
	ErrFenced = errors.New("stream: another process publishes for this cell")
	ErrAhead  = errors.New("stream: more was published than the journal holds")
	ErrTaken  = errors.New("stream: the cell publishes from another journal")
)

// Reasons to look at the partitions again.
var (
	errChanged = errors.New("stream: partitions have changed")
	errRefused = errors.New("stream: the cell refused records for want of storage")
)
