package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// disk is an invented disk whose free space also knows the ballast.
type disk struct {
	free    atomic.Int64 // without a ballast
	broken  atomic.Bool
	ballast string
}

func (d *disk) statfs(string) (int64, error) {
	if d.broken.Load() {
		return 0, errors.New("input/output error")
	}
	free := d.free.Load()
	if info, err := os.Stat(d.ballast); err == nil {
		free -= info.Size()
	}
	return free, nil
}

func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := &disk{ballast: filepath.Join(dir, ballastFile)}
		d.free.Store(10000)
		var log bytes.Buffer
		g, err := NewGuard(GuardOptions{
			Dirs: []string{dir, t.TempDir()}, Reserve: 4000, Ballast: 1000, freeSpace: d.statfs,
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		var seen []string
		g.Subscribe(func(readOnly bool, reason string) { seen = append(seen, fmt.Sprint(readOnly, reason != "")) })
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); g.Run(ctx) }()
		f := func(when string, readOnly, ballast bool) {
			t.Helper()
			if got, reason := g.ReadOnly(); got != readOnly || got != (reason != "") {
				t.Errorf("%s: ReadOnly = %v (%s)", when, got, reason)
			}
			if got := g.hasBallast(); got != ballast {
				t.Errorf("%s: there is a ballast = %v", when, got)
			}
		}
		tick := func() { time.Sleep(1500 * time.Millisecond); synctest.Wait() }

		f("with room", false, true)
		d.free.Store(5000) // 4000 beside the ballast: exactly the reserve
		tick()
		f("at the reserve", false, true)
		d.free.Store(4999)
		if err := g.Check(); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "under the reserve") {
			t.Errorf("Check under the reserve = %v", err)
		}
		f("under the reserve", true, false)
		// The freed ballast alone must not turn it back, nor may Check do so.
		tick()
		f("with the ballast freed", true, false)
		d.free.Store(5400)
		tick()
		f("with a little room", true, false)
		d.free.Store(5500)
		if err := g.Check(); !errors.Is(err, ErrNoSpace) {
			t.Errorf("Check before the next look = %v", err)
		}
		tick()
		f("with room again", false, true)
		if err := g.Check(); err != nil {
			t.Errorf("Check with room = %v", err)
		}
		d.broken.Store(true)
		tick()
		f("when the disk does not answer", true, false)
		d.broken.Store(false)
		tick()
		f("when it does again", false, true)
		cancel()
		<-done
		if got, want := fmt.Sprint(seen), "[true true false false true true false false]"; got != want {
			t.Errorf("subscriber saw %s, want %s", got, want)
		}
		if n, m := strings.Count(log.String(), "read-only now"), strings.Count(log.String(), "writable again"); n != 2 || m != 2 {
			t.Errorf("log has %d and %d transitions, want 2 and 2:\n%s", n, m, log.String())
		}
	})
}

func TestGuardStartsFull(t *testing.T) {
	dir := t.TempDir()
	d := &disk{ballast: filepath.Join(dir, ballastFile)}
	os.WriteFile(d.ballast, make([]byte, 1000), 0o600) // of an earlier run
	d.free.Store(2000)
	g, err := NewGuard(GuardOptions{Dirs: []string{dir}, Reserve: 4000, Ballast: 1000, Logger: quiet, freeSpace: d.statfs})
	if err != nil {
		t.Fatal(err)
	}
	if readOnly, _ := g.ReadOnly(); !readOnly || g.hasBallast() {
		t.Errorf("a guard of a full disk is read-only = %v, keeps its ballast = %v", readOnly, g.hasBallast())
	}

	o := small()
	o.Guard = g
	s := open(t, t.TempDir(), o)
	if err := s.Commit(&Checkpoint{Position: 1}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Commit on a full disk = %v, want ErrNoSpace", err)
	}
	d.free.Store(9000)
	g.look(true)
	commit(t, s, &Checkpoint{Position: 1}) // the refusal left nothing behind
}

func TestBallastTakesSpace(t *testing.T) {
	dir := t.TempDir()
	g, err := NewGuard(GuardOptions{Dirs: []string{dir}, Reserve: 1, Ballast: 3<<20 + 5, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(g.ballastPath())
	if err != nil {
		t.Fatal(err)
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != 3<<20+5 || blocks < info.Size() {
		t.Errorf("ballast of %d bytes takes %d", info.Size(), blocks)
	}
	if _, err := NewGuard(GuardOptions{Reserve: -1}); err == nil || !strings.Contains(err.Error(), "no directory") || !strings.Contains(err.Error(), "must not be negative") {
		t.Errorf("NewGuard of nonsense = %v", err)
	}
}
