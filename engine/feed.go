package engine

import (
	"context"
	"sync"

	"github.com/sluice-risk/sluice/store/journal"
)

// feed lets followers see results in position order without holding the walk up:
// it keeps the newest ones, and who falls behind reads the journal.
type feed struct {
	mu      sync.Mutex
	ring    []Result
	next    journal.Position // behind the newest result
	changed chan struct{}    // closed at each publish
}

const feedSize = 1 << 15

func (f *feed) init(next journal.Position) {
	f.next, f.changed = next, make(chan struct{})
	f.ring = make([]Result, feedSize)
}

func (f *feed) publish(results []Result) {
	f.mu.Lock()
	for _, r := range results {
		f.ring[r.Position%feedSize] = r
		f.next = r.Position + 1
	}
	close(f.changed)
	f.changed = make(chan struct{})
	f.mu.Unlock()
}

// since gives the results from a position on, at most most. ok is false when they
// are no longer, or were never, in memory.
func (f *feed) since(from journal.Position, most int) (out []Result, changed <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from >= f.next {
		return nil, f.changed, true
	}
	if f.next-from > feedSize || f.ring[from%feedSize].Position != from {
		return nil, nil, false
	}
	n := min(f.next-from, journal.Position(most))
	for p := from; p < from+n; p++ {
		out = append(out, f.ring[p%feedSize])
	}
	return out, nil, true
}

// Follow calls each with every result from a position on, in order and in
// batches, first from the journal, then as they become durable. It returns when
// ctx is done or each fails. Zero follows from now on.
func (c *Cell) Follow(ctx context.Context, from journal.Position, each func([]Result) error) error {
	const most = 512
	if from == 0 {
		from = c.journal.Durable() + 1
	}
	past := past{cell: c}
	defer past.close()
	for {
		results, changed, ok := c.feed.since(from, most)
		switch {
		case !ok:
			var err error
			if results, err = past.read(from); err != nil {
				return err
			}
		case len(results) == 0:
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := each(results); err != nil {
			return err
		}
		from = results[len(results)-1].Position + 1
	}
}
