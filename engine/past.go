package engine

import (
	"errors"
	"fmt"

	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// past reads results back from the journal and the stored decisions, for a
// follower that is behind what the feed keeps.
type past struct {
	cell   *Cell
	reader *journal.Reader
	next   journal.Position
}

// read gives the results of one journal frame, from a position on.
func (p *past) read(from journal.Position) ([]Result, error) {
	if p.reader == nil || p.next != from {
		p.close()
		var err error
		if p.reader, err = p.cell.journal.Read(from); err != nil {
			return nil, err
		}
	}
	frame, err := p.reader.Next()
	if err != nil {
		return nil, err
	}
	b, err := DecodeBatch(frame)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(b.Items))
	for i, it := range b.Items {
		if results[i], err = p.cell.readResult(it, b.First+journal.Position(i)); err != nil {
			return nil, err
		}
	}
	p.next = b.Last() + 1
	return results, nil
}

// At gives the result at a position, as far back as the journal is kept: beside
// the decision what the event said of amount, subject and arrival.
func (c *Cell) At(position journal.Position) (Result, error) {
	p := past{cell: c}
	defer p.close()
	results, err := p.read(position)
	if err != nil {
		return Result{}, err
	}
	return results[0], nil
}

// First is the oldest position that the journal holds.
func (c *Cell) First() journal.Position { return c.journal.First() }

func (p *past) close() {
	if p.reader != nil {
		p.reader.Close()
		p.reader = nil
	}
}

// readResult tells what became of a journal entry.
func (c *Cell) readResult(it *Item, position journal.Position) (Result, error) {
	rec := it.Entry.Event
	if rec == nil {
		it.verdict = Control
		if it.Entry.Refused != nil {
			it.verdict = Refused
		}
		return it.result(position), nil
	}
	if b := c.bundle.Load(); b != nil {
		it.scenario = b.Rules.Scenario(rec.Event.Type)
	}
	first := Result{Key: it.Key}
	err := c.recall(&first)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Result{}, err
	}
	content, at, err := c.accepted(it.Key)
	if err != nil {
		return Result{}, err
	}
	switch {
	case at == 0: // past its retention: nothing is known of it any more
		it.verdict = Observed
	case at != position && content == rec.Content:
		it.verdict = Duplicate
	case at != position:
		it.verdict = Conflict
	case first.Body == nil:
		it.verdict = Observed
	default:
		it.verdict = Decided
		d, err := risk.ParseBody(first.Body)
		if err != nil {
			return Result{}, fmt.Errorf("engine: decision at position %d: %w", position, err)
		}
		it.body, it.action = first.Body, d.Action
		if it.scenario != nil {
			it.subject = it.scenario.SubjectOf(rec)
		}
	}
	r := it.result(position)
	r.Answered, r.Took = first.Answered, 0
	if r.Verdict == Conflict && r.Source.InOrder() {
		r.Refused = conflict(rec)
	}
	return r, nil
}

// accepted gives the content and position under which an event was accepted.
func (c *Cell) accepted(key risk.EventKey) (risk.Digest, journal.Position, error) {
	if s, ok := c.memory.find(key); ok {
		return s.content, s.position, nil
	}
	value, err := c.store.Get(store.Events, key[:])
	if errors.Is(err, store.ErrNotFound) {
		return risk.Digest{}, 0, nil
	}
	if err != nil {
		return risk.Digest{}, 0, err
	}
	r, err := parseRow(value)
	if err != nil {
		return risk.Digest{}, 0, err
	}
	return r.content, r.position, nil
}
