package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

// Intake decodes bytes into the item's record: strictly, with card numbers
// replaced and free text masked. The error is a *risk.DecodeError or what Translate
// gave; nothing of a refused event is kept but, for a source, that it was refused.
func (c *Cell) Intake(it *Item) error {
	decoder := *c.opts.Decoder
	decoder.Strict = it.Strict
	raw := it.Raw
	if it.Translate != nil {
		var err error
		if it.canonic, err = it.Translate(it.canonic[:0]); err != nil {
			return err
		}
		raw = it.canonic
	}
	if err := decoder.Decode(raw, &it.record); err != nil {
		return err
	}
	it.record.ObserveOnly = false
	it.record.Tenant = it.Tenant
	it.record.Source = it.Source
	it.record.Arrival = risk.At(c.opts.Now())
	it.Entry.Event = &it.record
	it.Key = risk.KeyOf(it.Tenant, it.record.Event.ID)
	return nil
}

// intake is Intake for what was submitted as bytes. A source's record that is no
// event becomes an entry that says so, and keeps its place in the order.
func (c *Cell) intake(_ *Batch, it *Item, _ *worker) {
	if it.Raw == nil || it.Entry.Event != nil {
		return
	}
	if err := c.Intake(it); errors.Is(err, ErrSkip) {
		it.verdict = Skipped
	} else if err != nil {
		reason := "unmapped"
		if _, ok := errors.AsType[*risk.DecodeError](err); ok {
			reason = "invalid_event"
		}
		it.Entry = risk.Entry{Refused: &risk.Refused{
			Tenant: it.Tenant,
			Source: it.Source,
			Reason: reason,
			Detail: err.Error(),
			Digest: c.payloadDigest(it.Raw),
			At:     risk.At(c.opts.Now()),
			Sealed: c.seal(it),
		}}
	}
}

func (c *Cell) payloadDigest(raw []byte) string {
	d := c.opts.Decoder.Secrets.Content(raw)
	return hex.EncodeToString(d[:])
}

// seal closes the payload of a record that is refused, for its dead letter.
func (c *Cell) seal(it *Item) []byte {
	if c.opts.Seal == nil || !it.Source.InOrder() { // one read again gets no other dead letter
		return nil
	}
	return c.opts.Seal(it.Source, it.Raw)
}

// conflict is what a source is told of an event whose id is taken.
func conflict(rec *risk.Record) *risk.Refused {
	return &risk.Refused{
		Tenant: rec.Tenant,
		Source: rec.Source,
		Reason: "conflict",
		Detail: "event " + rec.Event.ID + " was sent before with other content",
		Digest: hex.EncodeToString(rec.Content[:]),
		At:     rec.Arrival,
	}
}

// enrich looks up what the serial step must not wait for: facts, and whether the
// event, or the one it labels, is known to the store. Then the entry is complete
// and gets its journal form.
func (c *Cell) enrich(_ *Batch, it *Item, s *worker) {
	if it.verdict == Skipped {
		return
	}
	if rec := it.Entry.Event; rec != nil {
		c.tables().Fill(rec)
		if c.lookUp(it); it.err == nil {
			c.want(it, c.bundle.Load(), s)
		}
	}
	rand.Read(it.salt[:])
	it.encoded = risk.AppendEntry(it.encoded[:0], &it.Entry, it.salt)
}

// lookUp finds what the store knows of the event and of the one it labels.
func (c *Cell) lookUp(it *Item) {
	rec := it.Entry.Event
	// Memory first: what a checkpoint takes out of it in between is in the store.
	it.recent, _ = c.memory.find(it.Key)
	it.known, it.named = found{}, found{}
	if rec.Source.Again || c.progress.filter.mayHold(it.Key) { // the filter knows no more than dedup asks for
		it.known, it.err = c.found(it.Key)
	}
	if it.err == nil && namesAnother(&rec.Event) {
		it.named, it.err = c.found(risk.KeyOf(rec.Tenant, rec.Event.Label.Event))
	}
}

// found gives all that the store holds of an event. What a second walk has learned is
// read first: the checkpoint that puts it into the row removes it.
func (c *Cell) found(key risk.EventKey) (f found, err error) {
	if c.aside.used() {
		f.learned, err = c.storedIn(store.Learned, key)
	}
	if err == nil {
		f.row, err = c.stored(key)
	}
	return f, err
}

// tables are the look-ups with the active release's rates.
func (c *Cell) tables() *enrich.Tables {
	if b := c.bundle.Load(); b != nil {
		return b.tables
	}
	return c.opts.Tables
}

// stored finds an event's row in the store, nil when it is not there. A damaged
// row is an error: it must not pass for a new event.
func (c *Cell) stored(key risk.EventKey) (*row, error) { return c.storedIn(store.Events, key) }

func (c *Cell) storedIn(space store.Space, key risk.EventKey) (*row, error) {
	switch value, err := c.store.Get(space, key[:]); {
	case err == nil:
		return parseRow(value)
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	default:
		return nil, err
	}
}

// fillFilter makes the filter complete: what was stored before this process began.
// Until then every event is looked up.
func (c *Cell) fillFilter(ctx context.Context) error {
	edge := risk.Time(c.watermark.Load()).Add(-time.Duration(c.dedup.Load()))
	for _, space := range [...]store.Space{store.Events, store.Learned} {
		err := c.store.Scan(space, nil, func(key, value []byte, _ uint64) error {
			r, err := parseRow(value)
			if err != nil {
				return err
			}
			if r.at >= edge && (space == store.Events || r.position == 0) {
				c.progress.filter.add(risk.EventKey(key), r.at)
			}
			return ctx.Err()
		})
		if err != nil {
			return ignore(err, context.Canceled)
		}
	}
	c.progress.filter.ready.Store(true)
	return nil
}

// settle answers at once what is known and durable already: a retry costs no
// place in the journal. What is still on its way is told apart by the walk.
func (c *Cell) settle(b *Batch) error {
	keep := b.Items[:0]
	for _, it := range b.Items {
		if it.err != nil {
			return it.err
		}
		if c.settled(it) {
			it.release()
			continue
		}
		keep = append(keep, it)
	}
	clear(b.Items[len(keep):])
	b.Items = keep
	return nil
}

func (c *Cell) settled(it *Item) bool {
	if it.verdict == Skipped {
		r := Result{Verdict: Skipped, Tenant: it.Tenant, Source: it.Source}
		c.metrics.count(&r)
		it.reply(r)
		return true
	}
	if it.Entry.Refused != nil && it.Entry.Refused.Source.Again {
		// Its dead letter is out: it gets no other, and no place.
		r := it.result(0)
		r.Verdict = Refused
		c.metrics.count(&r)
		it.reply(r)
		return true
	}
	rec := it.Entry.Event
	if rec == nil {
		return false
	}
	content, at := risk.Digest{}, risk.Time(0)
	if m := it.recent; m != nil {
		content, at = m.content, m.at
	} else if r := it.known.row; r != nil && r.position != 0 {
		content, at = r.content, r.at
	} else {
		return false
	}
	horizon := time.Duration(c.dedup.Load())
	if b := c.bundle.Load(); rec.Source.Again && b != nil {
		horizon = remembered(b.Rules.Features.Limits(), rec.Source)
	}
	if risk.Time(c.watermark.Load()).Sub(at) > horizon {
		return false
	}
	if content == rec.Content {
		it.verdict = Duplicate
	} else if !rec.Source.InOrder() {
		it.verdict = Conflict
	} else { // keeps its place, so that the dead letter is sent exactly once
		refused := conflict(rec)
		refused.Sealed = c.seal(it)
		it.Entry = risk.Entry{Refused: refused}
		it.encoded = risk.AppendEntry(it.encoded[:0], &it.Entry, it.salt)
		return false
	}
	r := it.result(0)
	if r.Verdict == Duplicate {
		c.recall(&r)
	}
	c.metrics.count(&r)
	it.reply(r)
	return true
}
