package engine

import (
	"context"
	"time"

	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Causes of an answer that is not the decision.
const (
	CauseDeadline = "deadline" // the decision was not durable in time
	CauseStorage  = "storage"  // the event could not be kept: send it again
)

// Answer is what a waiting caller gets: the decision, or its scenario's fallback.
type Answer struct {
	Result
	Degraded []string // why Action is the fallback and Body is nil; empty: the decision
}

// Ask hands in an event that Intake has decoded and waits for its decision, at
// most until the deadline. Then it gives the scenario's declared fallback, and
// the journal is told that it did: a retry gets the decision, which supersedes
// it. When the event cannot be kept at all the fallback says CauseStorage.
// Other errors are ErrOverloaded, ErrClosed, ErrNoRelease and ctx's.
func (c *Cell) Ask(ctx context.Context, it *Item, deadline time.Duration) (Answer, error) {
	b := c.bundle.Load()
	if b == nil {
		return Answer{}, ErrNoRelease
	}
	rec := it.Entry.Event
	fallback := Answer{Result: Result{Key: it.Key, Tenant: rec.Tenant, Event: rec.Event.ID, Type: rec.Event.Type, Arrival: rec.Arrival}}
	if sc := b.Rules.Scenario(rec.Event.Type); sc != nil {
		c.tables().Fill(rec) // the fallback may depend on the amount
		fallback.Action, fallback.Scenario = sc.Fallback(rec), sc.Name
		if deadline <= 0 {
			deadline = sc.Deadline
		}
	}
	if !fallback.Action.Valid() {
		fallback.Action = risk.Review
	}
	done := make(chan Result, 1)
	it.Reply = func(r Result) { done <- r }
	storage := func() (Answer, error) {
		c.metrics.degraded.WithLabelValues(CauseStorage).Inc()
		fallback.Degraded = []string{CauseStorage}
		return fallback, nil
	}
	switch err := c.Submit(it); err {
	case nil:
	case ErrStorage:
		return storage()
	default:
		return Answer{}, err
	}
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case r := <-done:
		if r.Err == ErrStorage {
			return storage()
		}
		return Answer{Result: r}, r.Err
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	case <-timer.C:
	}
	c.metrics.degraded.WithLabelValues(CauseDeadline).Inc()
	fallback.Degraded = []string{CauseDeadline}
	// Not waited for, and lost without harm: the caller has its answer.
	_ = c.Submit(&Item{Entry: risk.Entry{Answered: &risk.Answered{Tenant: fallback.Tenant, Event: fallback.Event,
		Action: fallback.Action, Degraded: fallback.Degraded, At: risk.At(c.opts.Now())}}})
	return fallback, nil
}

// Status is how a cell stands, for health checks and pages.
type Status struct {
	End, Durable, Stored journal.Position // last position appended, fsynced, checkpointed
	Watermark            risk.Time
	Waiting              int    // events handed in and not yet gathered
	ReadOnly             string // why no event is taken; empty: they are
	Release              string // SHA-256 of the one that decides
	Backfill             Backfill
}

// Status tells how the cell stands now.
func (c *Cell) Status() Status {
	s := Status{End: c.journal.End(), Durable: c.journal.Durable(), Watermark: risk.Time(c.watermark.Load()), Waiting: len(c.waiting), Backfill: c.Backfill()}
	if last, ok := c.store.Last(); ok {
		s.Stored = journal.Position(last.Position)
	}
	if c.guard != nil {
		if readOnly, reason := c.guard.ReadOnly(); readOnly {
			s.ReadOnly = reason
		}
	}
	if c.full.Load() {
		s.ReadOnly = "the journal has no room"
	}
	if b := c.bundle.Load(); b != nil {
		s.Release = b.SHA256
	}
	return s
}
