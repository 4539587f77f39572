package engine_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/store"
)

// said calls back at a line of the log.
type said func(string)

func (f said) Write(b []byte) (int, error) {
	f(string(b))
	return len(b), nil
}

// A cell waits for the process before it to leave the directory, says so once, and
// gives up in time.
func TestOpenWaitsForTheDirectory(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir, options())
	o, lines, leave := options(), 0, func() {}
	o.Log = slog.New(slog.NewTextHandler(said(func(line string) {
		if strings.Contains(line, "waiting for another process") {
			lines++
			leave()
		}
	}), nil))
	o.LockWait = 60 * time.Millisecond
	if _, err := engine.Open(dir, o); !errors.Is(err, store.ErrLocked) || lines != 1 {
		t.Fatalf("beside another: %v, said %d times", err, lines)
	}
	leave, o.LockWait = first.close, time.Minute
	c, err := engine.Open(dir, o)
	if err != nil || lines != 2 {
		t.Fatalf("after another: %v, said %d times", err, lines)
	}
	run(t, c, release())
}
