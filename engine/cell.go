package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// Options say how a cell is fed and kept. None of them changes a decision.
type Options struct {
	Tables  *enrich.Tables // look-ups of enrich; required
	Decoder *risk.Decoder  // of raw events; required
	Tenant  string         // of events that name none
	Cell    string         // name of the cell, fixed when its journal begins; "cell-0" when empty

	BatchEvents      int           // most events in a batch, 512
	Inflight         int           // most events that wait, 4096
	CheckpointEvery  time.Duration // 1 s
	CheckpointEvents int           // 10,000
	RetainDecisions  time.Duration // by event time, 180 days
	RetainJournal    time.Duration // by event time, 400 days; never less than a window needs
	JournalDir       string        // <dir>/journal
	RetainBytes      int64         // of journal, 200 GiB; what is needed stays all the same
	DiskReserve      int64         // bytes kept free, 1 GiB; negative: no guard
	DiskBallast      int64         // bytes given up when the reserve is reached, 64 MiB
	BackfillShare    float64       // of one core that a backfill may take, 0.3
	LockWait         time.Duration // for another process to leave the directory; 0: it is refused at once

	StateMemory int64         // bytes of entities kept in memory; 0: all of them
	SweepEvery  time.Duration // how long a pass over the stored entities takes at least, 1 h

	Journal  journal.Options
	Store    store.Options
	Log      *slog.Logger
	Register prometheus.Registerer
	Now      func() time.Time // arrival; time.Now
	// Seal closes the payload of a source's record that is refused, so that its dead
	// letter can carry it; nil: payloads are not kept. It is called by any goroutine.
	Seal func(risk.Source, []byte) []byte

	step func(name string) // called behind each step of a backfill, by tests
}

// Cell is one journal, one total order, one state: the walk with what makes it
// durable and lets others speak to it.
type Cell struct {
	opts    Options
	walk    *Walk
	journal *journal.Log
	store   *store.Store
	guard   *store.Guard
	blobs   Blobs
	memory  recent
	feed    feed
	metrics *Metrics
	log     *slog.Logger

	waiting  chan *Item
	gathered chan *Batch // complete entries, not yet ordered
	ordered  chan *Batch // decided, perhaps not yet durable
	pending  chan *pending
	intakers pool
	held     *Item // closed the batch before it
	drained  bool  // the last batch has been gathered

	accepting sync.RWMutex // held for reading while an item is handed in
	closed    bool

	bundle     atomic.Pointer[Bundle] // for readers outside the walk
	watermark  atomic.Int64
	dedup      atomic.Int64                 // of the active release, nanoseconds
	state      atomic.Pointer[resident]     // nil before the first release
	stale      chan stale                   // what the pass over the store finds
	oldest     atomic.Int64                 // event time at which the kept journal begins
	generation atomic.Uint64                // checkpoints stored
	saving     atomic.Bool                  // one is being stored
	owed       atomic.Bool                  // one was due meanwhile
	nudge      chan struct{}                // asks for a batch that may carry it
	full       atomic.Bool                  // the journal had no room for the batch at hand
	origin     atomic.Pointer[risk.Genesis] // nil before Begin
	oversize   bool                         // the journal is larger than RetainBytes, and that was said
	progress   progress                     // what the ordering goroutine knows beside the walk
	space      store.Space                  // of the entities; the ordering goroutine's
	aside      aside
	backfill   backfill
	retaining  sync.Mutex
	hold       atomic.Uint64 // position that the backfill still needs of the journal; 0: none
}

// Run is the walk. It returns when ctx is done and everything accepted has been
// answered and stored, or with the error that stopped the cell.
func (c *Cell) Run(ctx context.Context) error {
	steps, failed := errgroup.WithContext(context.WithoutCancel(ctx))

	steps.Go(func() error { // bytes -> complete entries, batch by batch
		defer close(c.gathered)
		stop := context.AfterFunc(ctx, c.refuse)
		defer stop()
		for b := c.gather(failed); b != nil; b = c.gather(failed) {
			c.intakers.each(b, c.intake)
			b.generation = c.generation.Load()
			c.intakers.each(b, c.enrich)
			if err := c.prefetch(); err != nil {
				return err
			}
			if err := c.reread(b); err != nil {
				return err
			}
			if err := c.settle(b); err != nil {
				return err
			}
			for _, part := range b.split() {
				if !send(failed, c.gathered, part) {
					return nil
				}
			}
		}
		return nil
	})
	steps.Go(func() error { // complete entries -> decisions, in order
		defer close(c.ordered)
		for b := range c.gathered {
			if err := c.append(failed, b); err != nil { // the fsync runs beside the next step
				return err
			}
			if err := c.walk.Apply(b); err != nil {
				return err
			}
			c.note(b)
			if !send(failed, c.ordered, b) {
				return nil
			}
		}
		return nil
	})
	steps.Go(func() error { // decisions -> answers, when durable
		defer close(c.pending)
		for b := range c.ordered {
			if err := <-b.durable; err != nil {
				return err
			}
			c.answer(b)
			if b.checkpoint != nil && !send(failed, c.pending, b.checkpoint) {
				return nil
			}
		}
		return nil
	})
	steps.Go(func() error { // checkpoints, beside the walk
		for p := range c.pending {
			if err := c.save(p); err != nil {
				return err
			}
		}
		return nil
	})
	steps.Go(func() error { return c.fillFilter(failed) })
	steps.Go(func() error { // the past of new features, beside all that
		learning, stop := context.WithCancel(failed)
		defer stop()
		defer context.AfterFunc(ctx, stop)()
		return c.runBackfill(learning)
	})
	steps.Go(func() error { return c.passes(failed, ctx) })
	if c.guard != nil {
		watching, stop := context.WithCancel(failed)
		defer stop()
		go c.guard.Run(watching)
	}
	err := steps.Wait()
	c.refuse()
	c.abandon()
	return err
}

// Submit hands an entry in. The error is ErrOverloaded, ErrStorage or ErrClosed;
// then Reply is not called. Otherwise it is called once.
func (c *Cell) Submit(it *Item) error { return c.submit(context.Background(), it, false) }

// SubmitWait is Submit for a source that can wait: it blocks while the cell is
// full or takes nothing.
func (c *Cell) SubmitWait(ctx context.Context, it *Item) error { return c.submit(ctx, it, true) }

func (c *Cell) submit(ctx context.Context, it *Item, wait bool) error {
	for c.readOnly() {
		if !wait {
			return ErrStorage
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	c.accepting.RLock()
	defer c.accepting.RUnlock()
	if c.closed {
		return ErrClosed
	}
	it.Started = time.Now()
	select {
	case c.waiting <- it:
		return nil
	default:
	}
	if !wait {
		return ErrOverloaded
	}
	select {
	case c.waiting <- it:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Cell) readOnly() bool {
	if c.full.Load() {
		return true
	}
	if c.guard == nil {
		return false
	}
	readOnly, _ := c.guard.ReadOnly()
	return readOnly
}

// refuse takes nothing more; what waits is still worked off.
func (c *Cell) refuse() {
	c.accepting.Lock()
	defer c.accepting.Unlock()
	if !c.closed {
		c.closed = true
		close(c.waiting)
	}
}

// abandon answers what a failed cell can no longer take.
func (c *Cell) abandon() {
	for it := range c.waiting {
		it.reply(Result{Err: ErrClosed})
	}
}

// Journal order is fixed here: everything that waits, at most BatchEvents and
// 4 MiB, without a timer. An activation or a cutover closes the batch before it. Nil when the
// cell is closed and empty.
func (c *Cell) gather(ctx context.Context) *Batch {
	const maxBytes = 4 << 20
	b := &Batch{durable: make(chan error, 1)}
	defer c.metrics.batch(b)
	first := c.held
	c.held = nil
	if first == nil {
		timer := time.NewTimer(c.opts.CheckpointEvery)
		defer timer.Stop()
		var open bool
		select {
		case first, open = <-c.waiting:
			if !open && c.drained {
				return nil
			}
			if !open { // an empty batch carries the last checkpoint
				c.drained, b.final = true, true
				return b
			}
		case <-timer.C: // nothing came: a chance to store what has changed
			return b
		case <-c.nudge:
			return b
		case <-ctx.Done():
			return nil
		}
	}
	b.Items = append(b.Items, first)
	bytes := len(first.Raw)
	for !first.alone() && len(b.Items) < c.opts.BatchEvents && bytes < maxBytes {
		select {
		case it, open := <-c.waiting:
			if !open {
				return b
			}
			if it.alone() {
				c.held = it
				return b
			}
			b.Items = append(b.Items, it)
			bytes += len(it.Raw)
		default:
			return b
		}
	}
	return b
}

// alone tells whether an entry must be by itself in its batch.
func (it *Item) alone() bool { return it.Entry.Activation != nil || it.Entry.Cutover != nil }

// append writes the batch to the journal and starts the one fsync it needs. A
// batch is written only when the one before it is durable, so that a torn tail is
// at most one batch.
func (c *Cell) append(ctx context.Context, b *Batch) error {
	b.First = c.walk.Next()
	c.walk.ledger.drop(b.generation)
	if len(b.Items) == 0 {
		b.durable <- nil
		return nil
	}
	if err := c.journal.Wait(ctx, c.journal.End()); err != nil {
		return err
	}
	for {
		frame := journal.Batch{Records: make([][]byte, len(b.Items)), Decided: b.First - 1, Digest: c.walk.Digest()}
		for i, it := range b.Items {
			frame.Records[i] = it.encoded
		}
		_, err := c.journal.Append(&frame)
		if err == nil {
			break
		}
		if !errors.Is(err, journal.ErrFull) {
			return err
		}
		if !c.full.Swap(true) {
			c.log.Error("the journal is full: nothing is taken until there is room", "err", err)
		}
		if b.refuseCallers(); len(b.Items) == 0 {
			c.full.Store(false) // the next batch finds out
			b.durable <- nil
			return nil
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	c.full.Store(false)
	go func() { b.durable <- c.journal.Sync() }() // answer waits for it
	return nil
}

// refuseCallers answers those who can send again, and keeps what a source has
// read: were it given back, records behind it could get into the journal first.
func (b *Batch) refuseCallers() {
	keep := b.Items[:0]
	for _, it := range b.Items {
		if !it.source().InOrder() {
			it.reply(Result{Err: ErrStorage})
			continue
		}
		keep = append(keep, it)
	}
	clear(b.Items[len(keep):])
	b.Items = keep
}

// source is where the entry was read.
func (it *Item) source() risk.Source {
	switch {
	case it.Entry.Event != nil:
		return it.Entry.Event.Source
	case it.Entry.Refused != nil:
		return it.Entry.Refused.Source
	}
	return risk.Source{}
}

// answer tells everyone what is durable now: followers, then callers, in order.
func (c *Cell) answer(b *Batch) {
	if len(b.Items) == 0 {
		return
	}
	results := make([]Result, len(b.Items))
	for i, it := range b.Items {
		results[i] = it.result(b.First + journal.Position(i))
	}
	c.memory.add(b.Items, results)
	if b.bundle != nil { // before who activated it is told
		c.bundle.Store(b.bundle)
	}
	for i, it := range b.Items {
		r := &results[i]
		if r.Verdict == Conflict && r.Source.InOrder() {
			r.Refused = conflict(it.Entry.Event)
		}
		c.metrics.count(r)
		if it.Reply == nil {
			continue
		}
		reply := *r
		if r.Verdict == Duplicate { // followers see it where it stands, its caller the first answer
			c.recall(&reply)
		}
		it.Reply(reply)
	}
	c.feed.publish(results)
	b.Release()
}

func (it *Item) result(position journal.Position) Result {
	r := Result{Position: position, Verdict: it.verdict, Key: it.Key, Body: it.body, Public: it.public,
		Action: it.action, Subject: it.subject, Refused: it.Entry.Refused, Answered: it.Entry.Answered,
		Took: time.Since(it.Started)}
	if rec := it.Entry.Event; rec != nil {
		r.Tenant, r.Event, r.Type = rec.Tenant, rec.Event.ID, rec.Event.Type
		r.Source, r.Time, r.Arrival, r.Amount, r.Base = rec.Source, rec.Event.Time, rec.Arrival, rec.Event.Amount, rec.Facts.Base
		if it.scenario != nil {
			r.Scenario = it.scenario.Name
		}
	}
	return r
}

func (it *Item) reply(r Result) {
	if it.Reply != nil {
		it.Reply(r)
	}
}

func send[T any](ctx context.Context, to chan<- T, v T) bool {
	select {
	case to <- v:
		return true
	case <-ctx.Done():
		return false
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
