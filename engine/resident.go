package engine

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/store"
)

// entities is what features reads of a view of the store.
type entities struct {
	view  *store.View
	space store.Space
}

func (e entities) Get(key []byte, f func(value []byte, sum uint64) error) error {
	return e.view.Get(e.space, key, f)
}

func (e entities) Scan(prefix []byte, f func(key, value []byte, sum uint64) error) error {
	return e.view.Scan(e.space, prefix, f)
}

// resident is the state of the walk, for those beside it, and where it is stored.
type resident struct {
	*features.State
	space store.Space
}

// attach makes a state read its entities from a space of the store.
func (c *Cell) attach(state *features.State, space store.Space, budget int64) {
	state.Attach(budget, func(f func(features.Reader) error) error { return c.view(space, f) })
	c.state.Store(&resident{state, space})
}

// view reads the entities of one moment.
func (c *Cell) view(space store.Space, f func(features.Reader) error) error {
	v, err := c.store.View()
	if err != nil {
		return err
	}
	defer v.Close()
	return f(entities{v, space})
}

// reader gives the worker's view of the store, begun when a batch first needs it:
// behind the generation that the batch was told.
func (c *Cell) reader(s *worker, space store.Space) (features.Reader, error) {
	if s.view == nil {
		var err error
		if s.view, err = c.store.View(); err != nil {
			return nil, err
		}
	}
	return entities{s.view, space}, nil
}

func (p pool) closeViews() {
	for _, s := range p {
		if s.view != nil {
			s.view.Close()
			s.view = nil
		}
	}
}

// want prepares an event under the release that b brings, so that prefetch reads
// the cold entities that it, and the one that it names, will touch. When another
// release is active by then, the walk prepares the event again.
func (c *Cell) want(it *Item, b *Bundle, s *worker) {
	if b == nil || c.state.Load() == nil {
		return
	}
	rec, set := it.Entry.Event, b.Rules.Features
	s.scope = expression.Scope{Record: rec, At: rec.Event.Time}
	set.Prepare(rec, &s.scope, &it.prepared)
	it.preparedFor = set
	var named []features.Touch
	if it.named.row != nil {
		named = append(named, it.named.row.touches...)
	}
	if it.named.learned != nil {
		named = append(named, it.named.learned.touches...)
	}
	s.wanted.Add(&it.prepared, named)
}

// prefetch reads what the workers want, so that the features step finds it decoded.
func (c *Cell) prefetch() error {
	state := c.state.Load()
	var g errgroup.Group
	for _, s := range c.intakers {
		if s.wanted.Empty() {
			continue
		}
		g.Go(func() error {
			r, err := c.reader(s, state.space)
			if err == nil {
				state.Prefetch(r, &s.wanted)
			}
			return err
		})
	}
	return g.Wait()
}

// stale is a stored entity that nothing reads any more, or the end of a pass.
type stale struct {
	id  [16]byte
	end *features.State
}

// swept is what a batch brings of a pass over the store.
type swept struct {
	state    *features.State // that it was read for
	entities []features.Found
	end      *features.State // whose pass has come to its end
}

// reread brings some of what the pass has found along with a batch.
func (c *Cell) reread(b *Batch) error {
	defer c.intakers.closeViews()
	const most = 64
	s, state := c.intakers[0], c.state.Load()
	for range most {
		select {
		case next := <-c.stale:
			if next.end != nil {
				b.swept.end = next.end
				return nil
			}
			r, err := c.reader(s, state.space)
			if err != nil {
				return err
			}
			// One that cannot be read is said so by the event that touches it.
			if f, err := state.Reread(r, next.id); err == nil {
				b.swept.state = state.State
				b.swept.entities = append(b.swept.entities, f)
			}
		default:
			return nil
		}
	}
	return nil
}

// sweep drops what the pass has found, behind the batch before.
func (w *Walk) sweep(b *Batch) {
	if b.swept.state == w.state { // else a cutover lies between
		w.state.Sweep(b.swept.entities)
	}
	if b.swept.end == w.state {
		w.state.EndPass()
	}
}

// passes goes over the stored entities again and again, slowly, for those that no
// event touches and no window reaches any more. It ends with either context.
func (c *Cell) passes(failed, closing context.Context) error {
	ctx, cancel := context.WithCancel(failed)
	defer cancel()
	defer context.AfterFunc(closing, cancel)()
	for sleep(ctx, c.opts.SweepEvery) == nil {
		state := c.state.Load()
		taken := c.generation.Load() + 1
		if state == nil || !state.BeginPass() {
			continue
		}
		// What was taken before must be there to be seen.
		for c.saving.Load() && c.generation.Load() < taken {
			if sleep(ctx, 10*time.Millisecond) != nil {
				return nil
			}
		}
		if done, err := c.pass(ctx, state); err != nil || !done {
			return err
		}
	}
	return nil
}

// pass goes over the stored entities once, a small part at a time, and rests
// between parts: it takes at most a hundredth of a core, and SweepEvery at least.
func (c *Cell) pass(ctx context.Context, state *resident) (done bool, err error) {
	const small = 20_000 // entities that are gone over at once
	parts := 256
	if state.Figures().Stored < small {
		parts = 1
	}
	for part := range parts {
		began := time.Now()
		var all []stale
		var prefix []byte
		if parts > 1 {
			prefix = []byte{byte(part)}
		}
		err := c.view(state.space, func(r features.Reader) error {
			return r.Scan(prefix, func(key, value []byte, _ uint64) error {
				if id, is := state.Passed(key, value); is {
					all = append(all, stale{id: id})
				}
				return ctx.Err()
			})
		})
		if err != nil {
			return false, ignore(err, context.Canceled)
		}
		for _, s := range all {
			if !send(ctx, c.stale, s) {
				return false, nil
			}
		}
		if sleep(ctx, max(c.opts.SweepEvery/time.Duration(parts), 100*time.Since(began))) != nil {
			return false, nil
		}
	}
	return send(ctx, c.stale, stale{end: state.State}), nil
}
