package engine

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// A release whose features are new decides at once, without them. Meanwhile a second
// walk over the same journal learns their past; when it has caught up, a cutover entry
// makes its state the one that counts. docs/adr/0010-a-second-walk-learns-the-past.md
// has the reasons.

// goal is what the ordering goroutine wants of the backfill's.
type goal struct {
	activation journal.Position
	bundle     *Bundle
	names      []string // of the features that wait
	formulas   []string // that read one of them
	space      store.Space
	cutovers   uint32
	marks      []mark
}

// backfill is what others see of the second walk.
type backfill struct {
	goal   atomic.Pointer[goal] // nil: nothing waits
	wake   chan struct{}        // the goal has changed
	walk   atomic.Pointer[secondWalk]
	stored *secondState // found at Open; nil: none

	from, position atomic.Uint64
	began          atomic.Int64 // of this process's share, nanoseconds since 1970
	first          atomic.Uint64
	rested         atomic.Int64 // nanoseconds, in all
}

// aim tells the backfill what the walk waits for now.
func (c *Cell) aim() {
	w, g := c.walk, c.backfill.goal.Load()
	switch {
	case w.awaited == 0 && g == nil, g != nil && g.activation == w.awaited:
		return
	case w.awaited == 0:
		c.backfill.goal.Store(nil)
	default:
		names := w.state.Await()
		c.backfill.goal.Store(&goal{w.awaited, w.bundle, names, w.bundle.Rules.Features.Formulas(names), c.space, w.ledger.generation, append([]mark(nil), c.progress.marks...)})
	}
	select {
	case c.backfill.wake <- struct{}{}:
	default:
	}
}

// runBackfill serves one goal after the other.
func (c *Cell) runBackfill(ctx context.Context) error {
	for {
		g := c.backfill.goal.Load()
		if g != nil {
			resumed := c.aside.state.Load() == asideTaken // by the process before
			if resumed || c.aside.state.CompareAndSwap(asideFree, asideTaken) {
				if err := c.learn(ctx, g); err != nil {
					return ignore(err, context.Canceled)
				}
				continue
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.backfill.wake:
		case <-c.aside.free:
		}
	}
}

// A second walk goes on in pieces, so that it never holds a core for long; it is
// stored now and then; and it asks for the cutover when so little is left that the
// cell can wait for it.
const (
	backfillPiece = 16 // entries
	backfillNear  = 256
	backfillEvery = 5 * time.Second
)

// learn takes a second walk through the journal, until a cutover has taken it, or
// something else is wanted, or the cell ends. Its error ends the cell.
func (c *Cell) learn(ctx context.Context, g *goal) error {
	p := pacer{cell: c}
	state := c.secondFor(g)
	c.backfill.from.Store(uint64(state.From))
	c.backfill.position.Store(uint64(max(state.Position, state.From-1)))
	s, err := c.newSecond(ctx, g.bundle, other(g.space), state, func() { p.rest(ctx) })
	if err != nil {
		return err
	}
	c.log.Info("backfill begins: new features are missing until it is complete", "features", g.names, "activation", g.activation,
		"from", s.walk.next, "to", c.journal.Durable())
	c.backfill.first.Store(uint64(s.walk.next))
	c.backfill.began.Store(time.Now().UnixNano())
	c.backfill.walk.Store(s)
	c.opts.step("backfill begun")
	asked, saved := false, time.Now()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if now := c.backfill.goal.Load(); now == nil || now.activation != g.activation {
			c.giveUp(s)
			return nil
		}
		n, err := s.step(backfillPiece, 1<<63-1)
		if err != nil {
			return err
		}
		if n < 0 {
			return nil
		}
		next := journal.Position(c.backfill.position.Add(uint64(n)) + 1)
		if asked {
			if n == 0 {
				_ = sleep(ctx, time.Millisecond)
			}
			continue
		}
		p.rest(ctx)
		near := c.journal.Durable() < next+backfillNear
		if near || s.due() || time.Since(saved) >= backfillEvery {
			if err := s.checkpoint(); err != nil {
				return err
			}
			saved = time.Now()
			c.opts.step("backfill stored")
		}
		if near {
			if asked = c.askCutover(s, g); !asked {
				_ = sleep(ctx, 10*time.Millisecond)
			}
			c.opts.step("cutover asked")
		}
	}
}

// secondFor is where a second walk begins: where one left off, or at the journal's
// first position, which is kept from now on.
func (c *Cell) secondFor(g *goal) secondState {
	if st := c.backfill.stored; st != nil && st.Activation == g.activation {
		c.backfill.stored = nil
		return *st
	}
	c.retaining.Lock()
	defer c.retaining.Unlock()
	st := secondState{Activation: g.activation, From: max(c.journal.First(), 1), Cutovers: g.cutovers + 1}
	c.hold.Store(uint64(st.From))
	if st.From > 1 {
		st.Since = risk.Time(c.watermark.Load())
		for _, m := range g.marks {
			if m.Position >= st.From {
				st.Since = m.At
				break
			}
		}
	}
	return st
}

// askCutover hands the cell the entry at which the second walk takes over. From then
// on the walk stores nothing: what it learns since is in its memory.
func (c *Cell) askCutover(s *secondWalk, g *goal) bool {
	return c.Submit(&Item{Entry: risk.Entry{Cutover: &risk.Cutover{
		Activation: uint64(s.Activation),
		Features:   g.bundle.Rules.Features.Digest(),
		From:       uint64(s.From),
		Since:      s.Since,
		At:         risk.At(c.opts.Now()),
	}}}) == nil
}

// giveUp ends a second walk that nobody waits for. What it stored is removed with the
// next checkpoints.
func (c *Cell) giveUp(s *secondWalk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.walk == nil {
		return
	}
	s.walk = nil
	s.reader.Close()
	c.backfill.walk.Store(nil)
	c.hold.Store(0)
	c.aside.state.Store(asideDirty)
	c.log.Info("backfill given up: another release wants other features", "activation", s.Activation)
	c.opts.step("backfill given up")
}

// succeed gives the second walk that a cutover names, taken up to its position: the
// one that asked for it, or after a restart what is stored of it and the journal
// behind that.
func (c *Cell) succeed(x risk.Cutover, before journal.Position) (*Walk, error) {
	s := c.backfill.walk.Load()
	if s == nil || uint64(s.Activation) != x.Activation {
		st := c.backfill.stored
		if c.backfill.stored = nil; st == nil || uint64(st.Activation) != x.Activation {
			if err := c.clearNow(); err != nil {
				return nil, err
			}
			st = &secondState{Activation: journal.Position(x.Activation), From: journal.Position(x.From), Since: x.Since, Cutovers: c.walk.ledger.generation + 1}
		}
		var err error
		if s, err = c.newSecond(context.Background(), c.walk.bundle, other(c.space), *st, func() {}); err != nil {
			return nil, err
		}
	}
	w, err := s.take(before)
	if err != nil {
		return nil, err
	}
	c.backfill.walk.Store(nil)
	c.space = s.space
	w.state.Limit(c.opts.StateMemory)
	c.state.Store(&resident{w.state, s.space})
	c.aside.state.Store(asideHanded)
	c.opts.step("cutover applied")
	return w, nil
}

// pacer makes a second walk rest. It may work for a share of one core, and stands
// back while events wait for the live walk, but never for good.
type pacer struct {
	cell *Cell
	from time.Time     // of the work not yet rested for
	owed time.Duration // too little to sleep for
}

func (p *pacer) rest(ctx context.Context) {
	c, now := p.cell, time.Now()
	if p.from.IsZero() {
		p.from = now
	}
	const longest = 20 * time.Millisecond
	share := c.opts.BackfillShare
	p.owed += time.Duration(float64(min(now.Sub(p.from), 10*longest)) * (1 - share) / share)
	if p.owed >= time.Millisecond || len(c.waiting) > 0 {
		_ = sleep(ctx, max(p.owed, time.Millisecond))
		for waited := time.Duration(0); len(c.waiting) > 0 && waited < longest; waited += time.Millisecond {
			_ = sleep(ctx, time.Millisecond)
		}
		rested := time.Since(now)
		p.owed = max(p.owed-rested, -longest) // a sleep is often longer than asked for
		c.backfill.rested.Add(int64(rested))
	}
	p.from = time.Now()
}

// Backfill is how far the features of the active release that have no past yet are.
type Backfill struct {
	Features   []string         // that are missing until it is complete; empty: none
	Formulas   []string         // that read one of them
	Activation journal.Position // of the release that brought them
	From       journal.Position // where the journal, and so their past, begins
	Position   journal.Position // up to which it is learned
	Of         journal.Position // the journal's end
	Rate       float64          // entries a second
	Left       time.Duration    // at that rate; 0 when it cannot be told yet
	Waits      bool             // for the remains of an earlier one to be removed
	Rested     time.Duration    // that it gave to the live walk, since the process began
}

// Lag is the number of entries that are yet to be read.
func (b Backfill) Lag() uint64 {
	if len(b.Features) == 0 {
		return 0
	}
	return uint64(max(b.Of, b.Position) - b.Position)
}

// Progress is the share that has been read, 1 when no feature waits.
func (b Backfill) Progress() float64 {
	if len(b.Features) == 0 {
		return 1
	}
	if b.Waits || b.Of < b.From {
		return 0
	}
	return min(1, float64(b.Position+1-b.From)/float64(b.Of+1-b.From))
}

// Backfill tells how the backfill stands.
func (c *Cell) Backfill() Backfill {
	f := &c.backfill
	b := Backfill{Rested: time.Duration(f.rested.Load())}
	g := f.goal.Load()
	if g == nil {
		return b
	}
	b.Features, b.Formulas, b.Activation, b.Of = g.names, g.formulas, g.activation, c.journal.Durable()
	s := f.walk.Load()
	if b.Waits = s == nil || s.Activation != g.activation; b.Waits {
		b.From = max(c.journal.First(), 1)
		b.Position = b.From - 1
		return b
	}
	b.From, b.Position = journal.Position(f.from.Load()), journal.Position(f.position.Load())
	if took := time.Since(time.Unix(0, f.began.Load())); took > time.Second/2 {
		b.Rate = float64(b.Position+1-journal.Position(f.first.Load())) / took.Seconds()
		if b.Rate > 0 {
			b.Left = time.Duration(float64(b.Lag()) / b.Rate * float64(time.Second)).Round(time.Second)
		}
	}
	return b
}
