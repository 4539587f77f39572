package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// recent holds what is durable in the journal and not yet in the store, for
// readers outside the walk.
type recent struct {
	mu       sync.RWMutex
	accepted map[risk.EventKey]*settled
	answered map[risk.EventKey]*risk.Answered
}

type settled struct {
	position journal.Position
	at       risk.Time
	content  risk.Digest
	body     []byte // nil: observed
}

func (r *recent) add(items []*Item, results []Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, it := range items {
		switch {
		case it.verdict == Decided || it.verdict == Observed:
			r.accepted[it.Key] = &settled{results[i].Position, it.since, it.Entry.Event.Content, it.body}
		case it.Entry.Answered != nil:
			a := it.Entry.Answered
			r.answered[risk.KeyOf(a.Tenant, a.Event)] = a
		}
	}
}

func (r *recent) find(key risk.EventKey) (*settled, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, ok := r.accepted[key]
	return s, ok
}

func (r *recent) fallback(key risk.EventKey) *risk.Answered {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.answered[key]
}

// drop forgets what a checkpoint up to a position has stored.
func (r *recent) drop(p *pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range p.rows {
		if s := r.accepted[m.key]; s != nil && s.position <= journal.Position(p.checkpoint.Position) {
			delete(r.accepted, m.key)
		}
	}
	for _, a := range p.answers {
		if r.answered[a.key] == a.Answered {
			delete(r.answered, a.key)
		}
	}
}

// Find gives the decision of an event: Body, Position and the fallback that it
// supersedes. ErrNotFound when there is none (the event may have been observed).
func (c *Cell) Find(key risk.EventKey) (Result, error) {
	r := Result{Key: key, Verdict: Duplicate}
	err := c.recall(&r)
	return r, err
}

// recall fills in what was answered the first time.
func (c *Cell) recall(r *Result) error {
	r.Answered = c.memory.fallback(r.Key)
	if s, ok := c.memory.find(r.Key); ok {
		r.Position, r.Body = s.position, s.body
	} else if err := c.readBack(r); err != nil {
		if !errors.Is(err, ErrNotFound) {
			r.Err = err
		}
		return err
	}
	if r.Body == nil {
		return ErrNotFound
	}
	return nil
}

// readBack reads a stored decision and, beside it, the fallback that preceded it.
func (c *Cell) readBack(r *Result) error {
	known, err := c.stored(r.Key)
	if err != nil {
		return err
	}
	if known == nil || known.position == 0 {
		return ErrNotFound
	}
	if r.Position = known.position; known.block == 0 {
		return ErrNotFound // observed
	}
	if r.Body, err = c.storedBody(known.block, known.position); err != nil {
		return err
	}
	if r.Answered != nil {
		return nil
	}
	value, err := c.store.Get(store.Decisions, answerKey(r.Key))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		r.Answered = new(risk.Answered)
		err = json.Unmarshal(value, r.Answered)
	}
	if err != nil {
		return fmt.Errorf("engine: fallback of %s: %w", r.Key.DecisionID(), err)
	}
	return nil
}
