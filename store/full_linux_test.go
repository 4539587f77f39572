package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A real disk fills up beside a store that is being written. Without the guard
// this test dies of SIGBUS. It needs the right to mount.
func TestDiskFull(t *testing.T) {
	if os.Getenv("SLUICE_TORTURE") == "" {
		t.Skip("set SLUICE_TORTURE")
	}
	n := seed(t, 13)
	random := rand.New(rand.NewPCG(n, 1))
	for round := range 20 {
		fillOnce(t, n+uint64(round), random)
	}
}

func fillOnce(t *testing.T, seed uint64, random *rand.Rand) {
	mount := t.TempDir()
	if err := unix.Mount("none", mount, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("tmpfs can not be mounted: %v", err)
	}
	defer unix.Unmount(mount, unix.MNT_DETACH)
	dir := filepath.Join(mount, "state")
	g, err := NewGuard(GuardOptions{Dirs: []string{dir}, Reserve: 16 << 20, Ballast: 4 << 20, Interval: 50 * time.Millisecond, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	defer func() { cancel(); <-done }()

	o := small()
	o.Guard = g
	h := newHistory(seed)
	s := open(t, dir, o)
	defer s.Close()
	filler, err := os.Create(filepath.Join(mount, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 200<<10+random.IntN(1<<20))
	var kept *Checkpoint
	for {
		if kept == nil {
			kept = h.any()
		}
		err := s.Commit(kept)
		if errors.Is(err, ErrNoSpace) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kept = nil
		if _, err := filler.Write(noise); err != nil {
			t.Fatal(err)
		}
	}
	// Read-only: others fill what is left but for what Badger may hold, and the
	// store still answers.
	for {
		if free, err := freeSpace(mount); err != nil || free < 8<<20 {
			break
		}
		filler.Write(noise)
	}
	if err := h.check(s, h.at-1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(filler.Close(), os.Remove(filler.Name())); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if readOnly, _ := g.ReadOnly(); !readOnly {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("still read-only 10 s after there is room again")
		}
	}
	commit(t, s, kept)
	if err := h.check(s, h.at); err != nil {
		t.Fatal(err)
	}
}
