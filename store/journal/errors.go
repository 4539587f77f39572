package journal

import (
	"errors"
	"fmt"
)

// At Open.
var (
	ErrLocked = errors.New("journal: another process has this journal open")
)

// At Append, Sync, Wait and Retain.
var (
	// ErrFull: no space for the next segment. Nothing was written; the same
	// batch may be appended again on the same Log once there is space.
	ErrFull = errors.New("journal: no space for the next segment")
	// ErrFailed: a write or sync failed, and what is on the disk is unknown. The
	// Log takes no more appends; restart and recover. A failed sync is never
	// tried again: the kernel may have dropped the pages and report success.
	ErrFailed = errors.New("journal: failed, restart to recover")
	// ErrRefused: the batch is beyond a bound or contradicts itself.
	ErrRefused  = errors.New("journal: batch refused")
	ErrReadOnly = errors.New("journal: opened read-only")
	ErrClosed   = errors.New("journal: closed")
)

// At Read.
var (
	ErrGone   = errors.New("journal: position no longer kept")
	ErrBeyond = errors.New("journal: position beyond the end")
)

// CorruptError names bytes that are not what was written. Nothing was changed:
// restore the file from a backup, or cut by hand knowing what is lost.
type CorruptError struct {
	File     string
	Offset   int64
	Position Position // the record expected there
	Reason   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal: corrupt: %s at offset %d, position %d: %s", e.File, e.Offset, e.Position, e.Reason)
}
