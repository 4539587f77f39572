package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// When opening.
var (
	ErrLocked  = errors.New("store: directory is in use by another process")
	ErrNoSpace = errors.New("store: free disk space is under the reserve")
)

// When reading or writing.
var (
	ErrNotFound = errors.New("store: key not found")
	ErrClosed   = errors.New("store: closed")
	// ErrFailed: an earlier write failed in a way that leaves unknown what is on
	// disk. A failed sync is never retried; the process must end and open again.
	ErrFailed = errors.New("store: an earlier write failed, open the store again")
)

// CorruptError says that the stored state can not be trusted. Keys appear in
// its text as a hash only, for they may name people.
type CorruptError struct {
	Dir   string
	Space Space  // 0 when no single key is meant
	Key   []byte // without the keyspace
	What  string
}

func (e *CorruptError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store: corrupt state in %s: ", e.Dir)
	if e.Space != 0 {
		fmt.Fprintf(&b, "space %q key #%016x: ", byte(e.Space), xxhash.Sum64(e.Key))
	}
	b.WriteString(e.What)
	b.WriteString("; the state must be rebuilt from the journal")
	return b.String()
}

// plain is what may be shown of a message that comes from Badger: it prints
// whole keys and values into some of its errors (as a hex dump from the second
// line on), so only the printable start of the first line is kept.
func plain(v any) string {
	const most = 200
	text, _, _ := strings.Cut(fmt.Sprint(v), "\n")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if len(text) > most {
		text = text[:most] + "..."
	}
	return text
}
