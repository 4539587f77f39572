package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// pending is a checkpoint on its way to the store: all that changed up to its
// position, encoded behind a batch and written when that batch is durable.
type pending struct {
	checkpoint store.Checkpoint
	generation uint64
	rows       []*memory // keys only: the walk still owns what is in them
	answers    []*answered
	blocks     blocks           // the decisions, packed when they are stored
	expiry     expiry           // when the rows and blocks may go
	wanted     journal.Position // the oldest position that is to be kept
	needed     journal.Position // the oldest that must be, however large the journal
	taken      time.Time

	space    store.Space // of the entities
	cutovers uint32
	flip     bool // the first one behind a cutover
	clear    bool // may carry removals from aside
}

// progress is what the ordering goroutine keeps beside the walk.
type progress struct {
	offsets map[string]map[int32]int64 // topic -> partition -> last offset in the journal
	marks   []mark                     // where in event time the journal stands, by day
	events  int                        // entries since the last checkpoint
	bytes   int                        // their bodies and rows, estimated
	taken   uint64                     // checkpoints taken
	at      time.Time                  // of the last one
	changed bool                       // entries or a release since then
	filter  *filter                    // of the events whose rows are stored
}

// mark says that before this position the watermark had not reached At.
type mark struct {
	Position journal.Position `json:"position"`
	At       risk.Time        `json:"at"`
}

// cellState is what a checkpoint keeps of the walk itself.
type cellState struct {
	Genesis     risk.Genesis               `json:"genesis"`
	Activation  risk.Activation            `json:"activation"`
	ActivatedAt journal.Position           `json:"activated_at"`
	Offsets     map[string]map[int32]int64 `json:"offsets"`
	Marks       []mark                     `json:"marks"`
	Features    []byte                     `json:"features"`
	Space       string                     `json:"space"`    // of the entities; empty: the first
	Awaited     journal.Position           `json:"awaited"`  // see Walk
	Cutovers    uint32                     `json:"cutovers"` // so far
}

// note keeps account of an ordered batch and takes a checkpoint behind it when
// one is due: by number, by size (what one transaction of the store holds), or by
// time. Only scheduling looks at the clock.
func (c *Cell) note(b *Batch) {
	p := &c.progress
	for _, it := range b.Items {
		p.see(it.source())
		if it.Entry.Event != nil {
			p.bytes += len(it.body)/packing + 256
		}
		p.changed = true
	}
	p.events += len(b.Items)
	p.changed = p.changed || c.walk.dirty() > 0 // a pass over the store drops entities
	if w := c.walk.watermark(); w != 0 {
		c.watermark.Store(int64(w))
		if n := len(p.marks); n == 0 || w/day > p.marks[n-1].At/day {
			p.marks = append(p.marks, mark{b.First, w})
			p.filter.forget(w, time.Duration(c.dedup.Load()))
		}
	}
	if b.bundle != nil {
		c.dedup.Store(int64(b.bundle.Rules.Features.Limits().Dedup))
	}
	c.aim()
	p.changed = p.changed || c.aside.state.Load() == asideDirty && c.walk.next > 1
	due := b.final || p.events >= c.opts.CheckpointEvents ||
		p.bytes+c.walk.dirty() >= c.store.Room()*3/4 ||
		time.Since(p.at) >= c.opts.CheckpointEvery
	if !p.changed || !due {
		return
	}
	if !c.saving.CompareAndSwap(false, true) {
		c.owed.Store(true) // save asks for a batch to carry it, unless it ended just now
		if !c.saving.CompareAndSwap(false, true) {
			return
		}
	}
	c.owed.Store(false)
	b.checkpoint = c.take(b)
}

func (p *progress) see(s risk.Source) {
	if !s.InOrder() { // one read again is behind the offset to go on at
		return
	}
	if p.offsets[s.Topic] == nil {
		p.offsets[s.Topic] = map[int32]int64{}
	}
	p.offsets[s.Topic][s.Partition] = s.Offset // in order, but for a topic that was made anew
}

const slabBytes = 256 << 10

// take encodes all that has changed since the last checkpoint.
func (c *Cell) take(b *Batch) *pending {
	p := &c.progress
	p.taken++
	p.events, p.bytes, p.at, p.changed = 0, 0, time.Now(), false
	w := c.walk
	out := &pending{generation: p.taken, taken: p.at, space: c.space, cutovers: w.ledger.generation}
	state := c.aside.state.Load()
	out.flip = state == asideHanded
	out.clear = state == asideDirty && b.generation >= c.aside.flipped.Load()
	out.rows, out.answers = w.ledger.take(p.taken)
	cp := &out.checkpoint
	cp.Position = uint64(w.next - 1)
	cp.Digest = w.digest
	var slab []byte // of which small slices are cut, so that growing copies none
	keep := func(b []byte) []byte {
		if cap(slab)-len(slab) < len(b) {
			slab = make([]byte, 0, max(slabBytes, len(b)))
		}
		slab = append(slab, b...)
		return slab[len(slab)-len(b) : len(slab) : len(slab)]
	}
	put := func(space store.Space, key, value []byte) {
		cp.Puts = append(cp.Puts, store.Put{Space: space, Key: key, Value: value})
	}
	cell := cellState{Genesis: w.origin, Activation: w.active, ActivatedAt: w.activeAt, Offsets: p.offsets, Marks: p.marks,
		Space: string(byte(c.space)), Awaited: w.awaited, Cutovers: w.ledger.generation}
	if w.state != nil {
		cell.Features = w.state.Checkpoint(p.taken, func(key, value []byte, replaces uint64) (sum uint64) {
			p := store.Put{Space: c.space, Key: keep(key), Replaces: replaces}
			if value != nil {
				p.Value = keep(value)
				sum = store.Sum(c.space, key, value)
			}
			cp.Puts = append(cp.Puts, p)
			return sum
		})
	}
	var row []byte
	for _, m := range out.rows {
		if m.body != nil { // stored once; a later label changes the row alone
			m.block = out.blocks.add(m.position, m.body)
			m.body = nil
		}
		if !m.stored {
			out.expiry.add(m)
			m.stored = true
		}
		p.filter.add(m.key, m.at)
		row = m.row.append(row[:0])
		put(store.Events, m.key[:], keep(row))
	}
	if out.flip {
		for key, r := range w.ledger.learned {
			row = r.append(row[:0])
			put(store.Learned, keep(key[:]), keep(row))
			if r.position == 0 { // the event itself may still come
				p.filter.add(key, r.at)
			}
		}
		w.ledger.storedBy = p.taken
	}
	for _, a := range out.answers {
		put(store.Decisions, answerKey(a.key), mustJSON(a.Answered))
	}
	out.wanted, out.needed = p.keep(w, c.opts.RetainJournal)
	if cell.Marks = p.marks; len(p.marks) > 0 {
		c.oldest.Store(int64(p.marks[0].At))
	}
	cp.State = mustJSON(cell)
	return out
}

// keep gives the oldest position to keep by age, and the oldest that a window,
// dedup, a label or lateness may still need, and forgets the marks before both.
func (p *progress) keep(w *Walk, retain time.Duration) (wanted, needed journal.Position) {
	if w.bundle == nil || len(p.marks) == 0 {
		return 1, 1
	}
	need := w.bundle.Needs()
	before := func(horizon time.Duration) (i int) {
		for edge := w.watermark().Add(-horizon); i+1 < len(p.marks) && p.marks[i+1].At < edge; {
			i++
		}
		return i
	}
	oldest := before(max(need, retain))
	needed = p.marks[before(need)].Position
	p.marks = p.marks[oldest:]
	return p.marks[0].Position, needed
}

// retain releases journal segments that are older than wanted, and more of them
// while the journal is too large, but never what is needed or not yet stored.
func (c *Cell) retain(p *pending) error {
	c.retaining.Lock()
	defer c.retaining.Unlock()
	keep := p.wanted
	if c.journal.Bytes() > c.opts.RetainBytes {
		keep = p.needed
	}
	keep = min(keep, journal.Position(p.checkpoint.Position))
	if hold := journal.Position(c.hold.Load()); hold != 0 { // a second walk has yet to read it, or to read it again
		keep = min(keep, hold)
	}
	freed, err := c.journal.Retain(keep)
	if freed > 0 {
		c.log.Info("journal segments released", "bytes", freed, "before", keep)
	}
	if left := c.journal.Bytes(); err == nil && left > c.opts.RetainBytes && !c.oversize {
		c.log.Warn("the journal is larger than it should be: windows, labels or duplicates still need all of it", "bytes", left, "limit", c.opts.RetainBytes)
		c.oversize = true
	}
	return err
}

// save stores a checkpoint and lets go of what only it kept alive.
func (c *Cell) save(p *pending) error {
	defer func() {
		c.saving.Store(false)
		if c.owed.Load() {
			select {
			case c.nudge <- struct{}{}:
			default: // one is on its way
			}
		}
	}()
	expired, err := c.expired(risk.Time(c.watermark.Load()))
	if err != nil {
		return err
	}
	var cleared []store.Put
	last := false
	switch {
	case p.clear:
		if cleared, last, err = c.clear(p, expired); err != nil {
			return err
		}
	case p.flip:
		if cleared, err = c.forgetSecond(); err != nil {
			return err
		}
	}
	p.checkpoint.Puts = slices.Concat(p.checkpoint.Puts, p.blocks.puts(), p.expiry.puts(p.checkpoint.Position), expired, cleared)
	if err := c.store.Commit(&p.checkpoint); err != nil {
		return fmt.Errorf("engine: checkpoint at position %d: %w", p.checkpoint.Position, err)
	}
	c.generation.Store(p.generation)
	c.memory.drop(p)
	c.cleared(p, last)
	if err := c.retain(p); err != nil {
		return err
	}
	c.metrics.checkpoint(time.Since(p.taken), c.journal.Bytes())
	return nil
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("engine: %T does not marshal: %v", v, err))
	}
	return b
}

// Offsets gives the last offset in the journal of each partition of a topic: a
// source goes on behind it. Valid until Run is called.
func (c *Cell) Offsets(topic string) map[int32]int64 { return maps.Clone(c.progress.offsets[topic]) }
