package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// Open opens the cell kept in dir, or begins a new one: the journal with its torn
// tail cut, the store's last checkpoint, the state from both, and then everything
// the journal has behind it, through the same walk, compared with the digests
// written at the time. What does not fit together is an error that says which
// file, and nothing is served.
func Open(dir string, o Options) (*Cell, error) {
	o = o.withDefaults()
	c := &Cell{
		opts:     o,
		blobs:    Blobs(filepath.Join(dir, "blobs")),
		metrics:  newMetrics(o.Register),
		log:      o.Log,
		waiting:  make(chan *Item, o.Inflight),
		gathered: make(chan *Batch),
		ordered:  make(chan *Batch, 1),
		pending:  make(chan *pending, 1),
		nudge:    make(chan struct{}, 1),
		intakers: newPool(),
		stale:    make(chan stale, 1024),
		memory:   recent{accepted: map[risk.EventKey]*settled{}, answered: map[risk.EventKey]*risk.Answered{}},
		space:    store.Entities,
		aside:    aside{free: make(chan struct{}, 1)},
		backfill: backfill{wake: make(chan struct{}, 1)},
		progress: progress{offsets: map[string]map[int32]int64{}, at: time.Now(), filter: newFilter()},
	}
	c.walk = NewWalk(func(a risk.Activation) (*Bundle, error) { return c.blobs.Load(a.SHA256, o.Tables) }, c.metrics)
	c.walk.stored = true
	c.walk.second = c.succeed
	c.walk.attach = func(state *features.State) { c.attach(state, c.space, o.StateMemory) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := c.open(dir); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cell) open(dir string) (err error) {
	var metrics *store.Metrics
	if c.opts.Register != nil {
		if metrics, err = store.NewMetrics(c.opts.Register); err != nil {
			return err
		}
	}
	c.opts.Store.Metrics, c.opts.Store.Logger, c.opts.Journal.Logger = metrics, c.log, c.log
	if reserve := c.opts.DiskReserve; reserve >= 0 {
		dirs := []string{dir}
		if c.opts.JournalDir != "" {
			if err := os.MkdirAll(c.opts.JournalDir, 0o700); err != nil {
				return err
			}
			dirs = append(dirs, c.opts.JournalDir)
		}
		if c.opts.Store.Reserve == 0 {
			c.opts.Store.Reserve = min(reserve, 256<<20)
		}
		if c.guard, err = store.NewGuard(store.GuardOptions{Dirs: dirs, Reserve: reserve, Ballast: c.opts.DiskBallast, Logger: c.log, Metrics: metrics}); err != nil {
			return err
		}
	}
	end := time.Now().Add(c.opts.LockWait)
	if err := c.owned(end, func() (err error) {
		c.store, err = store.Open(filepath.Join(dir, "state"), c.opts.Store)
		return err
	}); err != nil {
		return err
	}
	if last, ok := c.store.Last(); ok {
		c.opts.Journal.Known = journal.Position(last.Position)
	}
	if c.backfill.stored, err = c.storedSecond(); err != nil {
		return err
	}
	if st := c.backfill.stored; st != nil {
		c.opts.Journal.Known = max(c.opts.Journal.Known, st.Position)
		c.aside.state.Store(asideTaken)
	}
	if err := c.owned(end, func() (err error) {
		c.journal, err = journal.Open(cmp.Or(c.opts.JournalDir, filepath.Join(dir, "journal")), c.opts.Journal)
		return err
	}); err != nil {
		return err
	}
	if err := c.restore(); err != nil {
		return err
	}
	c.hold.Store(1) // a cutover in what follows may need the journal's first position
	if err := c.catchUp(); err != nil {
		return err
	}
	c.resume()
	if origin := c.origin.Load(); origin != nil && origin.Cell != c.opts.Cell {
		return fmt.Errorf("engine: the journal is that of cell %s, not of %s: a cell keeps its name, results are published under it", origin.Cell, c.opts.Cell)
	}
	c.feed.init(c.journal.End() + 1)
	if c.opts.Register != nil {
		c.register(c.opts.Register)
		c.registerBackfill(c.opts.Register)
	}
	return nil
}

// owned opens what one process at a time may have. One that was killed keeps its locks
// until the kernel has taken it apart, with a large state for some tenths of a second.
func (c *Cell) owned(end time.Time, open func() error) error {
	for said := false; ; time.Sleep(20 * time.Millisecond) {
		err := open()
		if !errors.Is(err, store.ErrLocked) && !errors.Is(err, journal.ErrLocked) || !time.Now().Before(end) {
			return err
		}
		if !said {
			c.log.Info("waiting for another process to leave the data directory", "cause", err, "at_most", time.Until(end).Round(time.Millisecond))
			said = true
		}
	}
}

// restore takes up the last checkpoint.
func (c *Cell) restore() error {
	last, ok := c.store.Last()
	if !ok {
		if first := c.journal.First(); first > 1 {
			return fmt.Errorf("engine: the store is empty and the journal begins at position %d: the state cannot be rebuilt from it", first)
		}
		return nil
	}
	position := journal.Position(last.Position)
	if end := c.journal.End(); position > end {
		return fmt.Errorf("engine: the store has applied position %d, the journal ends at %d: entries are missing from the journal", position, end)
	}
	if first := c.journal.First(); first > position+1 {
		return fmt.Errorf("engine: the store has applied position %d, the journal begins at %d: entries are missing between them", position, first)
	}
	var s cellState
	if err := json.Unmarshal(last.State, &s); err != nil {
		return fmt.Errorf("engine: checkpoint at position %d: %w", position, err)
	}
	w := c.walk
	w.next, w.digest, w.origin = position+1, last.Digest, s.Genesis
	if s.Space != "" {
		c.space = store.Space(s.Space[0])
	}
	if s.Activation.SHA256 != "" {
		if err := w.activate(&Item{Entry: risk.Entry{Activation: &s.Activation}}, s.ActivatedAt); err != nil {
			return err
		}
		if err := w.state.Restore(s.Features); err != nil {
			return err
		}
	}
	w.awaited, w.ledger.generation = s.Awaited, s.Cutovers
	if st := c.backfill.stored; st != nil && st.Position > c.journal.End() {
		return fmt.Errorf("engine: a backfill has read position %d, the journal ends at %d: entries are missing from the journal", st.Position, c.journal.End())
	}
	if s.Offsets != nil {
		c.progress.offsets = s.Offsets
	}
	if c.progress.marks = s.Marks; len(s.Marks) > 0 {
		c.oldest.Store(int64(s.Marks[0].At))
	}
	if w.state != nil {
		w.state.Expect(c.store.Count())
	}
	// The scan also proves that no entity is lost, stale or back from the dead.
	return c.store.ProveEntities(func(space store.Space, keys [][]byte) error {
		if space != c.space { // of a second walk, or to be removed
			return nil
		}
		if w.state == nil {
			return errors.New("engine: the store holds entities of no release")
		}
		w.state.Known(keys...)
		return nil
	})
}

// resume settles, when the journal is applied, what becomes of a stored second walk.
func (c *Cell) resume() {
	c.aim()
	st := c.backfill.stored
	switch {
	case c.aside.state.Load() == asideHanded: // the next checkpoint lets go
	case st != nil && st.Activation == c.walk.awaited:
		c.hold.Store(uint64(max(st.Position+1, st.From)))
	default:
		c.backfill.stored = nil
		c.aside.state.CompareAndSwap(asideTaken, asideDirty)
		c.hold.Store(0)
	}
}

// catchUp applies what the journal has behind the checkpoint.
func (c *Cell) catchUp() error {
	from := c.walk.Next()
	if from > c.journal.End() {
		c.publishBundle()
		return nil
	}
	started := time.Now()
	r, err := c.journal.Read(from)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		b, err := DecodeBatch(frame)
		if err != nil {
			return err
		}
		// A frame cut by the checkpoint's position has no digest of its start.
		if frame.Decided == b.First-1 && frame.Digest != c.walk.digest {
			return &DivergedError{Position: b.First, Want: frame.Digest, Got: c.walk.digest}
		}
		b.generation = c.generation.Load()
		c.intakers.each(b, func(_ *Batch, it *Item, s *worker) {
			if it.Entry.Event == nil {
				return
			}
			if c.lookUp(it); it.err == nil {
				c.want(it, c.walk.bundle, s)
			}
		})
		err = c.prefetch()
		c.intakers.closeViews()
		if err != nil {
			return err
		}
		for _, it := range b.Items {
			if it.err != nil {
				return it.err
			}
		}
		if err := c.walk.Apply(b); err != nil {
			return err
		}
		results := make([]Result, len(b.Items))
		for i, it := range b.Items {
			results[i] = it.result(b.First + journal.Position(i))
		}
		c.memory.add(b.Items, results)
		c.note(b)
		if b.checkpoint != nil {
			if err := c.save(b.checkpoint); err != nil {
				return err
			}
			c.walk.ledger.drop(c.generation.Load())
		}
	}
	c.publishBundle()
	c.log.Info("journal applied", "from", from, "to", c.walk.Next()-1, "dur", time.Since(started))
	return nil
}

// publishBundle shows readers outside the walk what the journal has come to.
func (c *Cell) publishBundle() {
	if origin := c.walk.origin; origin.Cell != "" {
		c.origin.Store(&origin)
	}
	c.bundle.Store(c.walk.Bundle())
	c.watermark.Store(int64(c.walk.watermark()))
	if b := c.walk.Bundle(); b != nil {
		c.dedup.Store(int64(b.Rules.Features.Limits().Dedup))
	}
}

// DecodeBatch reads a journal frame back into a batch that Apply takes.
func DecodeBatch(frame journal.Batch) (*Batch, error) {
	b := &Batch{First: frame.First, Items: make([]*Item, len(frame.Records))}
	for i, bytes := range frame.Records {
		it := &Item{}
		it.Entry.Event = &it.record
		if err := risk.DecodeEntry(bytes, &it.Entry); err != nil {
			return nil, fmt.Errorf("engine: journal position %d: %w", frame.First+journal.Position(i), err)
		}
		if rec := it.Entry.Event; rec != nil {
			it.Key = risk.KeyOf(rec.Tenant, rec.Event.ID)
		}
		b.Items[i] = it
	}
	return b, nil
}

// Journal names the journal: the digest of its genesis, empty before Begin. Two
// journals of the same cell have different names.
func (c *Cell) Journal() string {
	origin := c.origin.Load()
	if origin == nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d", origin.Cell, origin.BaseCurrency, origin.Created))
	return hex.EncodeToString(sum[:10])
}

// Begin starts a new journal: the genesis, which fixes the base currency, and the
// first release. It does nothing to a journal that has begun. Begin and Activate
// are for one goroutine.
func (c *Cell) Begin(ctx context.Context, b *Bundle, by string) error {
	if c.journal.End() > 0 {
		return nil
	}
	genesis := risk.Genesis{Cell: c.opts.Cell, BaseCurrency: b.Rules.BaseCurrency, Created: risk.At(c.opts.Now())}
	if _, err := c.do(ctx, &Item{Entry: risk.Entry{Genesis: &genesis}}); err != nil {
		return err
	}
	c.origin.Store(&genesis)
	_, err := c.Activate(ctx, b, by)
	return err
}

// Activated is what an activation leads to.
type Activated struct {
	Position journal.Position
	Missing  []string // features that have no value until a backfill is complete
	// Forgets are features without a window that the release before had too: they lose
	// what they know from before the journal's first kept position, for the backfill
	// begins there.
	Forgets []string
}

// Activate makes a release the one that decides, from a position of its own on.
// The release is stored before the journal names it.
func (c *Cell) Activate(ctx context.Context, b *Bundle, by string) (Activated, error) {
	origin := c.origin.Load()
	if origin == nil {
		return Activated{}, errors.New("engine: the journal has not begun")
	}
	if origin.BaseCurrency != b.Rules.BaseCurrency {
		return Activated{}, fmt.Errorf("%w: journal %s, release %s", ErrCurrency, origin.BaseCurrency, b.Rules.BaseCurrency)
	}
	if err := c.blobs.Put(b); err != nil {
		return Activated{}, fmt.Errorf("engine: store release %.12s: %w", b.SHA256, err)
	}
	a := risk.Activation{Kind: "ruleset", Name: b.Rules.Name, SHA256: b.SHA256, Size: int64(len(b.Blob)), By: by, At: risk.At(c.opts.Now())}
	before := c.bundle.Load()
	r, err := c.do(ctx, &Item{Entry: risk.Entry{Activation: &a}, Bundle: b})
	if err != nil {
		return Activated{}, err
	}
	out := Activated{Position: r.Position, Missing: c.Backfill().Features}
	if first := c.journal.First(); len(out.Missing) > 0 && first > 1 && before != nil {
		if out.Forgets = b.Rules.Features.Unbounded(before.Rules.Features); len(out.Forgets) > 0 {
			c.log.Warn("features without a window will forget what lies before the journal's first position: the release brings others that need a backfill",
				"features", out.Forgets, "first", first)
		}
	}
	return out, nil
}

// do hands an entry in and waits until it is durable and applied.
func (c *Cell) do(ctx context.Context, it *Item) (Result, error) {
	done := make(chan Result, 1)
	it.Reply = func(r Result) { done <- r }
	if err := c.SubmitWait(ctx, it); err != nil {
		return Result{}, err
	}
	select {
	case r := <-done:
		return r, r.Err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// Bundle is the release that decides now, nil before the first.
func (c *Cell) Bundle() *Bundle { return c.bundle.Load() }

// Close closes the files of a cell that is not running.
func (c *Cell) Close() error {
	var errs []error
	if c.journal != nil {
		errs = append(errs, c.journal.Close())
	}
	if c.store != nil {
		errs = append(errs, c.store.Close())
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	lasting := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&o.BatchEvents, 512)
	or(&o.Inflight, 4096)
	or(&o.CheckpointEvents, 10_000)
	lasting(&o.CheckpointEvery, time.Second)
	lasting(&o.SweepEvery, time.Hour)
	lasting(&o.RetainDecisions, 180*24*time.Hour)
	lasting(&o.RetainJournal, 400*24*time.Hour)
	if o.RetainBytes == 0 {
		o.RetainBytes = 200 << 30
	}
	if o.DiskReserve == 0 {
		o.DiskReserve = 1 << 30
	}
	if o.DiskBallast == 0 {
		o.DiskBallast = 64 << 20
	}
	if o.BackfillShare <= 0 || o.BackfillShare > 1 {
		o.BackfillShare = 0.3
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	if o.Cell == "" {
		o.Cell = "cell-0"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}
