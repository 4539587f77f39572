package engine

import (
	"cmp"

	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Offline runs the walk over entries that no cell is writing: a file of events, a
// copy of a journal, a ruleset's tests. It keeps everything in memory and writes
// nothing.
type Offline struct {
	*Walk
	decoder  *risk.Decoder
	tables   *enrich.Tables
	intakers pool
}

// NewOffline returns a walk before the first entry. load gives the bundle of an
// activation found in a journal; nil when one is pinned.
func NewOffline(decoder *risk.Decoder, tables *enrich.Tables, load func(risk.Activation) (*Bundle, error)) *Offline {
	return &Offline{Walk: NewWalk(load, nil), decoder: decoder, tables: tables, intakers: newPool()}
}

// Past says how the journal is read again from a position on: for the second walk
// whose state a cutover goes on with.
func (o *Offline) Past(read func(from journal.Position) (*journal.Reader, error)) {
	o.second = func(c risk.Cutover, before journal.Position) (*Walk, error) {
		s := newSecondWalk(o.bundle, journal.Position(c.From), o.ledger.generation+1)
		r, err := read(s.next)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return s, s.learn(r, before)
	}
}

// Pin makes b decide throughout, with its rates.
func (o *Offline) Pin(b *Bundle) {
	o.Walk.Pin(b)
	o.tables = b.tables
}

// Decode decodes and enriches a batch of raw items in parallel. An item that is
// no event is left out of the batch and handed to refused.
func (o *Offline) Decode(b *Batch, refused func(*Item, error)) {
	o.intakers.each(b, func(_ *Batch, it *Item, _ *worker) {
		if it.err = o.decoder.Decode(it.Raw, &it.record); it.err != nil {
			return
		}
		rec := &it.record
		rec.Tenant, rec.Arrival, it.Entry.Event = it.Tenant, cmp.Or(it.Arrival, rec.Event.Time), rec
		o.tables.Fill(rec)
	})
	keep := b.Items[:0]
	for _, it := range b.Items {
		if it.err != nil {
			refused(it, it.err)
			continue
		}
		keep = append(keep, it)
	}
	clear(b.Items[len(keep):])
	b.Items = keep
	b.First = o.Next()
}

// Release gives the items of an applied batch back, to be used again.
func (b *Batch) Release() {
	for _, it := range b.Items {
		it.release()
	}
	b.Items = b.Items[:0]
}

// Results tells what became of each item of an applied batch, in order.
func (b *Batch) Results() []Result {
	results := make([]Result, len(b.Items))
	for i, it := range b.Items {
		results[i] = it.result(b.First + journal.Position(i))
	}
	return results
}

// Vector gives the feature values an event was judged by, in the order of its
// release's features; NaN is missing. Valid until the item is used again.
func (it *Item) Vector() []float64 { return it.vector.Values }

// Partial gives the features of Vector that do not know their whole window yet.
func (it *Item) Partial() []risk.Partial { return it.vector.Partial }

// Approximate names those of Vector that were read through tiles, of the features of b.
func (it *Item) Approximate(b *Bundle) []string { return b.Rules.Features.Approximate(&it.vector) }

// At is when the event happened, as it is counted.
func (it *Item) At() risk.Time { return it.timing.At }

// Begin positions a walk that does not start at the journal's first entry. What
// lies before is not known to it.
func (o *Offline) Begin(at journal.Position) { o.next = at }

// Check compares the digest written with a frame with the walk's own: the
// decisions before the frame are the same, bit for bit, or it says that not.
func (o *Offline) Check(frame journal.Batch) error {
	if frame.Decided == frame.First-1 && frame.First == o.next && frame.Digest != o.digest {
		return &DivergedError{Position: frame.First, Want: frame.Digest, Got: o.digest}
	}
	return nil
}
