package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Guard watches the free space of directories. Badger writes through memory
// maps, so a full disk is not an error but SIGBUS: the process dies, and dies
// again at every start. Under the reserve the guard therefore turns read-only,
// and frees a ballast file so that what Badger still holds can be flushed. It
// turns back, with a new ballast, when there is room again.
type Guard struct {
	o GuardOptions

	mu          sync.Mutex // held over a change and its callbacks, so that they come in order
	subscribers []func(readOnly bool, reason string)

	state  sync.Mutex
	reason string // "" is writable
}

// GuardOptions of a guard; only Dirs must be set.
type GuardOptions struct {
	Dirs    []string // all watched; the ballast lies in the first
	Reserve int64    // free bytes under which nothing is written, default 512 MiB
	Ballast int64    // size of the ballast file, default 64 MiB, negative for none
	// Interval between looks at the disk, default 1 s.
	Interval time.Duration
	Logger   *slog.Logger
	Metrics  *Metrics

	freeSpace func(dir string) (int64, error)
}

const ballastFile = "BALLAST"

// NewGuard looks at the disk for the first time; Run keeps looking.
func NewGuard(o GuardOptions) (*Guard, error) {
	if o.Reserve == 0 {
		o.Reserve = 512 << 20
	}
	if o.Ballast == 0 {
		o.Ballast = 64 << 20
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = newMetrics()
	}
	if o.freeSpace == nil {
		o.freeSpace = freeSpace
	}
	var errs []error
	if len(o.Dirs) == 0 {
		errs = append(errs, errors.New("store: guard: no directory to watch"))
	}
	if o.Reserve < 0 {
		errs = append(errs, fmt.Errorf("store: guard: reserve (%d bytes) must not be negative", o.Reserve))
	}
	if o.Interval < 0 {
		errs = append(errs, fmt.Errorf("store: guard: interval %s must be positive", o.Interval))
	}
	for _, dir := range o.Dirs {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			errs = append(errs, fmt.Errorf("store: guard: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g := &Guard{o: o}
	g.look(true)
	return g, nil
}

// Run looks at the disk until ctx ends. Only here does the guard turn back to
// writable, because making the ballast takes its time.
func (g *Guard) Run(ctx context.Context) {
	tick := time.NewTicker(g.o.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.look(true)
		}
	}
}

// Check looks at the disk now. It returns nil or an error that wraps
// ErrNoSpace. It costs one statfs a directory.
func (g *Guard) Check() error {
	if reason := g.look(false); reason != "" {
		return fmt.Errorf("%w: %s", ErrNoSpace, reason)
	}
	return nil
}

// ReadOnly is the state at the last look.
func (g *Guard) ReadOnly() (readOnly bool, reason string) {
	g.state.Lock()
	defer g.state.Unlock()
	return g.reason != "", g.reason
}

// Subscribe has f called at every change, one after the other, by whoever
// noticed it. f must not call the guard's Check or Subscribe.
func (g *Guard) Subscribe(f func(readOnly bool, reason string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.subscribers = append(g.subscribers, f)
}

// look takes the state from the disk. Back to writable only if mayReturn.
func (g *Guard) look(mayReturn bool) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	readOnly, was := g.ReadOnly()

	reason, fullest := g.measure(0)
	g.o.Metrics.free.Set(float64(fullest))
	switch {
	case reason != "" && !readOnly:
		g.dropBallast()
		g.turn(reason)
	case reason != "" && mayReturn:
		g.dropBallast() // it may have been left by an earlier run
	case reason != "":
	case !mayReturn:
		reason = was
	default:
		g.restore(readOnly)
		_, reason = g.ReadOnly()
	}
	return reason
}

// restore makes the ballast if there is room for it, and then turns writable.
// The margin keeps the state from swinging.
func (g *Guard) restore(readOnly bool) {
	if !readOnly && g.hasBallast() {
		return
	}
	need := g.o.Reserve / 8
	if !g.hasBallast() {
		need += g.o.Ballast
	}
	if reason, _ := g.measure(need); reason != "" {
		return
	}
	if err := g.makeBallast(); err != nil {
		g.dropBallast()
		if readOnly {
			return // the next look tries again
		}
		g.o.Logger.Warn("disk ballast can not be made", "err", err)
	}
	if readOnly {
		g.turn("")
	}
}

// measure returns why the reserve and more is not free, and the least that is.
func (g *Guard) measure(more int64) (reason string, fullest int64) {
	fullest = 1<<63 - 1
	for i, dir := range g.o.Dirs {
		free, err := g.o.freeSpace(dir)
		if err != nil {
			return fmt.Sprintf("free space of %s is unknown: %s", dir, plain(err)), 0
		}
		need := g.o.Reserve + g.o.Reserve/8*min(more, 1)
		if i == 0 {
			need = g.o.Reserve + more
		}
		if free < need && reason == "" {
			reason = fmt.Sprintf("%s has %d MiB free, under the reserve of %d MiB", dir, free>>20, need>>20)
		}
		fullest = min(fullest, free)
	}
	return reason, fullest
}

func (g *Guard) turn(reason string) {
	g.state.Lock()
	g.reason = reason
	g.state.Unlock()
	if reason != "" {
		g.o.Metrics.readOnly.Set(1)
		g.o.Logger.Error("disk space is short, read-only now", "reason", reason)
	} else {
		g.o.Metrics.readOnly.Set(0)
		g.o.Logger.Info("disk space is back, writable again", "reserve_mib", g.o.Reserve>>20)
	}
	for _, f := range g.subscribers {
		f(reason != "", reason)
	}
}

func (g *Guard) ballastPath() string { return filepath.Join(g.o.Dirs[0], ballastFile) }

func (g *Guard) hasBallast() bool {
	if g.o.Ballast < 0 {
		return true
	}
	info, err := os.Stat(g.ballastPath())
	return err == nil && info.Size() == g.o.Ballast
}

func (g *Guard) dropBallast() {
	err := os.Remove(g.ballastPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		g.o.Logger.Error("disk ballast can not be deleted", "err", err)
	}
}

// makeBallast writes noise: zeros or a hole need not take any space.
func (g *Guard) makeBallast() (err error) {
	if g.hasBallast() {
		return nil
	}
	f, err := os.Create(g.ballastPath())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	noise := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	for left := g.o.Ballast; left > 0; left -= int64(len(block)) {
		block = block[:min(left, int64(len(block)))]
		noise.Read(block)
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Sync()
}
