package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// newSecondWalk returns a walk that learns, from a position on, the past that the
// features of b have: it observes every event and decides none.
func newSecondWalk(b *Bundle, from journal.Position, generation uint32) *Walk {
	w := NewWalk(nil, nil)
	w.Pin(b)
	w.next, w.learning, w.ledger.generation = from, true, generation
	return w
}

// learn takes a second walk up to a position, from a reader that stands at its next
// one. What it remembers stays in memory.
func (w *Walk) learn(r *journal.Reader, before journal.Position) error {
	for w.next < before {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("engine: the journal ends before position %d", w.next)
		}
		if err != nil {
			return err
		}
		b, err := DecodeBatch(frame)
		if err != nil {
			return err
		}
		if err := w.Apply(b); err != nil {
			return err
		}
	}
	return nil
}

// secondWalk is the second walk of a cell, with what the store keeps of it.
type secondWalk struct {
	cell *Cell
	secondState

	mu     sync.Mutex // the backfill's goroutine steps the walk, the cell's takes it
	walk   *Walk      // nil once it was taken
	reader *journal.Reader
	frame  journal.Batch // what is left of the one at hand
	filter *filter       // of what is in Learned
	space  store.Space   // of its entities

	checkpoints uint64 // taken
	rows        int    // that the next one will hold, about
}

// secondGeneration is that of all checkpoints of a second walk, for its features:
// each one is durable before the walk goes on.
const secondGeneration = 1

// secondState is what the store keeps of a second walk beside its rows.
type secondState struct {
	Activation journal.Position `json:"activation"` // that it learns for
	From       journal.Position `json:"from"`
	Since      risk.Time        `json:"since"`
	Position   journal.Position `json:"position"` // last applied
	Cutovers   uint32           `json:"cutovers"`
	Parts      int              `json:"parts"` // of its features' small state
}

// What a second walk keeps of itself, in Meta: its state, and in parts the small
// state of its features.
var secondKey = []byte("second")

func secondPart(i int) []byte { return fmt.Appendf(nil, "%s.%d", secondKey, i) }

// forgetSecond gives the removal of both.
func (c *Cell) forgetSecond() (puts []store.Put, err error) {
	err = c.store.Scan(store.Meta, secondKey, func(key, _ []byte, _ uint64) error {
		puts = append(puts, store.Put{Space: store.Meta, Key: append([]byte(nil), key...)})
		return nil
	})
	return puts, err
}

// storedSecond reads what a second walk has stored of itself, nil when there is none.
func (c *Cell) storedSecond() (*secondState, error) {
	value, err := c.store.Get(store.Meta, secondKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	s := new(secondState)
	if err == nil {
		err = json.Unmarshal(value, s)
	}
	if err != nil {
		return nil, fmt.Errorf("engine: state of the second walk: %w", err)
	}
	return s, nil
}

// newSecond begins a second walk, or goes on with a stored one.
func (c *Cell) newSecond(ctx context.Context, b *Bundle, space store.Space, st secondState, pause func()) (*secondWalk, error) {
	s := &secondWalk{cell: c, secondState: st, space: space, filter: newFilter()}
	s.filter.ready.Store(true)
	s.walk = newSecondWalk(b, max(st.Position+1, st.From), st.Cutovers)
	s.walk.stored = true
	s.walk.state.Attach(c.opts.StateMemory/2, func(f func(features.Reader) error) error { return c.view(space, f) })
	if st.Position > 0 {
		if err := s.restore(ctx, pause); err != nil {
			return nil, fmt.Errorf("engine: second walk at position %d: %w", st.Position, err)
		}
	}
	var err error
	s.reader, err = c.journal.Read(s.walk.next)
	return s, err
}

func (s *secondWalk) restore(ctx context.Context, pause func()) error {
	c := s.cell
	var small []byte
	for i := range s.Parts {
		part, err := c.store.Get(store.Meta, secondPart(i))
		if err != nil {
			return err
		}
		small = append(small, part...)
	}
	if err := s.walk.state.Restore(small); err != nil {
		return err
	}
	step := func() error {
		if s.rows++; s.rows%256 == 0 {
			pause()
		}
		return ctx.Err()
	}
	err := c.store.ScanFrom(s.space, nil, func(key, _ []byte, _ uint64) error {
		s.walk.state.Known(key)
		return step()
	})
	if err != nil {
		return err
	}
	err = c.store.ScanFrom(store.Learned, nil, func(key, value []byte, _ uint64) error {
		r, err := parseRow(value)
		if err == nil {
			s.filter.add(risk.EventKey(key), r.at)
		}
		return errors.Join(err, step())
	})
	s.rows = 0
	return err
}

// step takes the walk a piece further, at most to the position before, and gives the
// number of entries: 0 at the durable end of the journal or at the cutover, -1 when
// the walk was taken.
func (s *secondWalk) step(most int, before journal.Position) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.walk == nil {
		return -1, nil
	}
	return s.advance(most, before)
}

func (s *secondWalk) advance(most int, before journal.Position) (int, error) {
	if len(s.frame.Records) == 0 {
		var err error
		if s.frame, err = s.reader.Next(); errors.Is(err, io.EOF) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
	}
	n := min(len(s.frame.Records), most)
	if s.frame.First >= before {
		return 0, nil
	}
	part := s.frame
	part.Records = part.Records[:n]
	b, err := DecodeBatch(part)
	if err != nil {
		return 0, err
	}
	for _, it := range b.Items {
		if x := it.Entry.Cutover; x != nil && journal.Position(x.Activation) == s.Activation {
			return 0, nil // this is where it is taken
		}
		if err := s.lookUp(it); err != nil {
			return 0, err
		}
	}
	b.generation = secondGeneration
	watermark := s.walk.watermark()
	if err := s.walk.Apply(b); err != nil {
		return 0, err
	}
	if w := s.walk.watermark(); w/day > watermark/day {
		s.filter.forget(w, s.walk.ledger.limits.Dedup)
	}
	s.frame.First += journal.Position(n)
	s.frame.Records = s.frame.Records[n:]
	s.rows += n
	return n, nil
}

// lookUp is the cell's lookUp over what this walk has stored.
func (s *secondWalk) lookUp(it *Item) (err error) {
	rec := it.Entry.Event
	if rec == nil {
		return nil
	}
	if rec.Source.Again || s.filter.mayHold(it.Key) {
		if it.known.row, err = s.cell.storedIn(store.Learned, it.Key); err != nil {
			return err
		}
	}
	if namesAnother(&rec.Event) {
		it.named.row, err = s.cell.storedIn(store.Learned, risk.KeyOf(rec.Tenant, rec.Event.Label.Event))
	}
	return err
}

// secondBytes is how much a second walk stores at once: little, so that the live
// walk's checkpoints and the disk are soon free again.
const secondBytes = 1 << 20

// due tells whether so much has changed that it should be stored.
func (s *secondWalk) due() bool {
	return s.walk.dirty()+s.rows*160 >= min(s.cell.store.Room()/2, secondBytes)
}

// checkpoint stores the walk as it stands, beside the cell's last checkpoint.
func (s *secondWalk) checkpoint() error {
	c, w := s.cell, s.walk
	if _, ok := c.store.Last(); !ok {
		return nil // the cell's own has to come first
	}
	s.checkpoints++
	var puts []store.Put
	small := w.state.Checkpoint(secondGeneration, func(key, value []byte, replaces uint64) (sum uint64) {
		p := store.Put{Space: s.space, Key: append([]byte(nil), key...), Replaces: replaces}
		if value != nil {
			p.Value = append(make([]byte, 0, len(value)), value...)
			sum = store.Sum(s.space, key, value)
		}
		puts = append(puts, p)
		return sum
	})
	rows, _ := w.ledger.take(s.checkpoints)
	for _, m := range rows {
		puts = append(puts, store.Put{Space: store.Learned, Key: m.key[:], Value: m.row.append(make([]byte, 0, 80+20*len(m.touches)))})
		s.filter.add(m.key, m.at)
		if m.position == 0 { // the event itself may still come, after the cutover
			c.progress.filter.add(m.key, m.at)
		}
	}
	s.Position, s.rows, s.Parts = w.next-1, 0, 0
	for ; len(small) > 0; s.Parts++ {
		n := min(len(small), valueBytes)
		puts = append(puts, store.Put{Space: store.Meta, Key: secondPart(s.Parts), Value: small[:n]})
		small = small[n:]
	}
	puts = append(puts, store.Put{Space: store.Meta, Key: secondKey, Value: mustJSON(s.secondState)})
	if err := c.store.Amend(puts); err != nil {
		return fmt.Errorf("engine: checkpoint of the second walk at position %d: %w", s.Position, err)
	}
	w.ledger.drop(s.checkpoints)
	c.hold.Store(uint64(s.Position + 1))
	return nil
}

// take gives the walk, taken up to a position, to whoever goes on with it.
func (s *secondWalk) take(before journal.Position) (*Walk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	started := time.Now()
	first := s.walk.next
	for s.walk.next < before {
		if n, err := s.advance(512, before); err != nil {
			return nil, err
		} else if n == 0 {
			return nil, fmt.Errorf("engine: the journal ends before position %d", s.walk.next)
		}
	}
	s.cell.log.Info("backfill complete: features have their past", "activation", s.Activation, "from", s.From,
		"position", before, "left", before-first, "dur", time.Since(started))
	w := s.walk
	s.walk = nil
	s.reader.Close()
	return w, nil
}
