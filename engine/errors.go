package engine

import (
	"errors"
	"fmt"

	"github.com/sluice-risk/sluice/store/journal"
)

// On the way in.
var (
	ErrOverloaded = errors.New("engine: too many events wait")      // above the admission bound: try again later
	ErrStorage    = errors.New("engine: storage takes no events")   // disk guard or a full journal: nothing was kept, send again
	ErrClosed     = errors.New("engine: cell is closed")            // draining or failed
	ErrNoRelease  = errors.New("engine: no release is active")      // before the first activation
	ErrNotFound   = errors.New("engine: no decision under this id") // never made, or past its retention
	ErrSkip       = errors.New("engine: not an event of ours")      // by Item.Translate
	ErrCurrency   = errors.New("engine: base currency is fixed for the life of a journal")
)

// DivergedError tells that recomputing the journal gave other decisions than the
// ones it was written with.
type DivergedError struct {
	Position  journal.Position // of the batch whose header disagrees
	Want, Got [32]byte
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("engine: decisions before position %d differ from those made when it was written (digest %x, now %x)",
		e.Position, e.Want[:6], e.Got[:6])
}

// BlobError tells that the bytes of a release cannot be had. The cell stops at
// the activation's position until they are back.
type BlobError struct {
	Position journal.Position
	SHA256   string
	Err      error
}

func (e *BlobError) Error() string {
	return fmt.Sprintf("engine: release %.12s activated at position %d: %v", e.SHA256, e.Position, e.Err)
}

func (e *BlobError) Unwrap() error { return e.Err }
