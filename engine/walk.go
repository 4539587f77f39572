package engine

import (
	"crypto/sha256"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Walk is the part of the engine that is a function of the journal: entries at
// consecutive positions in, decisions out. It reads no clock but to measure,
// and does no I/O but to load an activated release. One goroutine calls Apply.
type Walk struct {
	bundle   *Bundle
	state    *features.State
	ledger   ledger
	digest   risk.Digest      // rolling digest of all decision bodies so far
	next     journal.Position // of the next entry
	active   risk.Activation
	activeAt journal.Position
	origin   risk.Genesis
	awaited  journal.Position // activation whose new features wait for a cutover; 0: none does

	load     func(risk.Activation) (*Bundle, error)
	second   func(c risk.Cutover, before journal.Position) (*Walk, error) // that a cutover goes on with
	attach   func(*features.State)                                        // a store to a new state; nil: all is in memory
	pinned   bool                                                         // the bundle was given from outside; activations change nothing
	learning bool                                                         // a second walk: it decides nothing
	stored   bool                                                         // a store takes over what the ledger remembers
	workers  pool
	metrics  *Metrics
	scores   map[string]prometheus.Observer // by scenario, of the bundle
	soon     []*features.Prepared           // see warm
}

// NewWalk returns a walk before the first entry. load gives the bundle of an
// activation that does not bring its own.
func NewWalk(load func(risk.Activation) (*Bundle, error), m *Metrics) *Walk {
	w := &Walk{load: load, next: 1, metrics: m.orNone()}
	w.ledger.entries = map[risk.EventKey]*memory{}
	w.workers = newPool()
	return w
}

// Pin makes b decide throughout, whatever the journal activates.
func (w *Walk) Pin(b *Bundle) {
	w.use(b, 0)
	w.pinned = true
}

// Apply takes a batch whose entries are complete (decoded, with their facts)
// through features and decide. Afterwards each item tells its Result.
func (w *Walk) Apply(b *Batch) error {
	if b.First != w.next {
		return fmt.Errorf("engine: batch at position %d, expected %d", b.First, w.next)
	}
	if err := w.control(b); err != nil {
		return err
	}
	b.bundle = w.bundle
	if b.bundle == nil && b.events() {
		return ErrNoRelease
	}
	w.workers.each(b, w.prepare)
	since := w.metrics.beginFeatures(b)
	if err := w.features(b); err != nil {
		return err
	}
	w.metrics.endFeatures(b, since)
	if !w.learning {
		w.workers.each(b, w.decide)
		w.conclude(b)
	}
	w.next += journal.Position(len(b.Items))
	if !w.stored {
		w.ledger.expire(w.watermark())
	}
	return nil
}

// control applies what is not an event. An entry that changes the bundle is
// alone in its batch, so every event of a batch sees the same one.
func (w *Walk) control(b *Batch) error {
	for i, it := range b.Items {
		switch e := it.Entry; {
		case e.Genesis != nil:
			w.origin = *e.Genesis
		case e.Activation != nil:
			if len(b.Items) > 1 && b.events() {
				return fmt.Errorf("engine: activation at position %d shares its batch with events", b.First+journal.Position(i))
			}
			if err := w.activate(it, b.First+journal.Position(i)); err != nil {
				return err
			}
		case e.Cutover != nil:
			if len(b.Items) > 1 && b.events() {
				return fmt.Errorf("engine: cutover at position %d shares its batch with events", b.First+journal.Position(i))
			}
			if err := w.cutover(*e.Cutover, b.First+journal.Position(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Walk) activate(it *Item, at journal.Position) error {
	w.active, w.activeAt = *it.Entry.Activation, at
	if w.pinned {
		return nil
	}
	next := it.Bundle
	if next == nil {
		var err error
		if next, err = w.load(w.active); err != nil {
			return &BlobError{Position: at, SHA256: w.active.SHA256, Err: err}
		}
	}
	w.use(next, at)
	return nil
}

// use makes b the release that decides, from its activation on. Features that it adds
// to a past wait for the cutover of a second walk; one that is under way goes on when
// the features are the same.
func (w *Walk) use(b *Bundle, at journal.Position) {
	was := w.bundle
	w.bundle = b
	w.scores = w.metrics.expect(b)
	if w.state == nil {
		w.state = features.NewState(b.Rules.Features)
		if w.attach != nil {
			w.attach(w.state)
		}
	} else {
		w.state.Activate(b.Rules.Features)
		w.state.Await()
	}
	if !w.state.Awaits() {
		w.awaited = 0
	} else if w.awaited == 0 || was.Rules.Features.Digest() != b.Rules.Features.Digest() {
		w.awaited = at
	}
	w.ledger.limits = b.Rules.Features.Limits()
}

// cutover goes on with the state of the second walk that a cutover names, as it
// stands before this position.
func (w *Walk) cutover(c risk.Cutover, at journal.Position) error {
	if w.pinned || w.awaited == 0 || journal.Position(c.Activation) != w.awaited {
		return nil // nobody waits for it, or no longer
	}
	s, err := w.second(c, at)
	if err != nil {
		return fmt.Errorf("engine: cutover at position %d: %w", at, err)
	}
	if s.next != at {
		return fmt.Errorf("engine: cutover at position %d: the second walk stands at %d", at, s.next)
	}
	if c.From > 1 {
		s.state.Since(c.Since)
	}
	w.state = s.state
	w.state.Activate(w.bundle.Rules.Features) // the same features, of a later release perhaps
	w.ledger.succeed(&s.ledger, w.stored)
	w.awaited = 0
	return nil
}

// prepare computes what features needs of one event and no state: parallel.
func (w *Walk) prepare(b *Batch, it *Item, s *worker) {
	rec := it.Entry.Event
	if rec == nil {
		return
	}
	it.Key = risk.KeyOf(rec.Tenant, rec.Event.ID)
	it.scenario = b.bundle.Rules.Scenario(rec.Event.Type)
	set := b.bundle.Rules.Features
	if it.preparedFor != set { // else enrich has done it; between the two may lie an activation
		s.scope = expression.Scope{Record: rec, At: rec.Event.Time}
		set.Prepare(rec, &s.scope, &it.prepared)
	}
	it.preparedFor = nil
}

// features observes each event, then reads the values it is judged by. It is the
// only step that owns changing state, one event after the other.
func (w *Walk) features(b *Batch) error {
	if w.state != nil {
		w.state.Evict(b.generation)
		w.sweep(b)
	}
	for i, it := range b.Items {
		if i%features.WarmEvents == 0 {
			w.warm(b.Items[i:min(i+features.WarmEvents, len(b.Items))])
		}
		position := b.First + journal.Position(i)
		rec := it.Entry.Event
		if rec == nil {
			w.ledger.note(it, position)
			continue
		}
		watermark := w.state.Watermark()
		if it.verdict = w.ledger.admit(it, rec, watermark); it.verdict == Duplicate || it.verdict == Conflict {
			continue
		}
		w.metrics.label(w.ledger.label(it, rec, watermark))
		it.timing = w.state.Observe(&it.prepared, rec.Event.Time, rec.Arrival, &it.vector)
		w.ledger.add(it, rec, position, w.state.Watermark())
	}
	if w.state == nil {
		return nil
	}
	return w.state.Err()
}

// warm loads what the next events of a batch will touch.
func (w *Walk) warm(next []*Item) {
	w.soon = w.soon[:0]
	for _, it := range next {
		if it.Entry.Event != nil {
			w.soon = append(w.soon, &it.prepared)
		}
	}
	if len(w.soon) > 0 {
		w.state.Warm(w.soon)
	}
}

// conclude extends the rolling digest over the batch's decisions, in order.
func (w *Walk) conclude(b *Batch) {
	for _, it := range b.Items {
		if it.verdict != Decided {
			continue
		}
		if w.stored {
			it.entry.body = it.body
		}
		var link [2 * sha256.Size]byte
		copy(link[:], w.digest[:])
		copy(link[sha256.Size:], it.bodySum[:])
		w.digest = sha256.Sum256(link[:])
	}
}

func (b *Batch) events() bool {
	for _, it := range b.Items {
		if it.Entry.Event != nil {
			return true
		}
	}
	return false
}

func (w *Walk) watermark() risk.Time {
	if w.state == nil {
		return 0
	}
	return w.state.Watermark()
}

// dirty estimates the bytes of entities that a checkpoint would write now.
func (w *Walk) dirty() int {
	if w.state == nil {
		return 0
	}
	return w.state.Dirty()
}

// Next is the position of the next entry.
func (w *Walk) Next() journal.Position { return w.next }

// Digest is the rolling digest of all decisions so far.
func (w *Walk) Digest() risk.Digest { return w.digest }

// Bundle is the release that decides, nil before the first activation.
func (w *Walk) Bundle() *Bundle { return w.bundle }
