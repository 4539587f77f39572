package engine

import (
	"crypto/sha256"

	"github.com/sluice-risk/sluice/risk"
)

// decide judges one event by its feature values: rules, score, policy. It reads
// the bundle, the record and the vector, and nothing that another event changes.
func (w *Walk) decide(b *Batch, it *Item, s *worker) {
	if it.verdict != Decided {
		return
	}
	rec, sc, set := it.Entry.Event, it.scenario, b.bundle.Rules.Features

	s.scope.Record, s.scope.At, s.scope.Features = rec, it.timing.At, it.vector.Values
	set.Derive(&s.scope)
	sc.Evaluate(&s.scope, &s.outcome)
	var score risk.Number
	if scorer := b.bundle.scorers[sc.Name]; scorer != nil {
		score = scorer.Score(s.outcome.Points, it.vector.Values)
		if score.Set && !it.Started.IsZero() { // as in fired: what is computed again is not kept twice
			w.scores[sc.Name].Observe(score.Value)
		}
	}
	action, reasons, challenge := sc.Conclude(&s.outcome, score)

	s.values = s.values[:0]
	for _, i := range b.bundle.order {
		s.values = append(s.values, it.vector.Values[i])
	}
	d := risk.Decision{
		ID:       it.Key.DecisionID(),
		Event:    rec.Event.ID,
		Tenant:   rec.Tenant,
		Scenario: sc.Name,
		Action:   action,
		Score:    score,
		Reasons:  reasons,
		Rules:    s.outcome.Fired,
		Features: risk.Values{Names: b.bundle.names, Value: s.values},
		Partial:  it.vector.Partial,

		Approximate: set.Approximate(&it.vector),
		Awaiting:    it.vector.Awaiting,

		Advice:   risk.Advice{Challenge: challenge},
		Versions: b.bundle.versions[sc.Name],
		Warnings: timingWarnings(rec.Warnings, it),
	}
	d.Versions.Facts = rec.Facts.Version
	if sc.Holds.For > 0 && action == sc.Holds.Action {
		d.Hold = risk.Hold{ID: it.Key.HoldID(), Expires: rec.Arrival.Add(sc.Holds.For)}
	}
	w.metrics.fired(it, s.outcome.Fired)
	it.body = d.AppendBody(make([]byte, 0, 2048), true)
	it.bodySum = sha256.Sum256(it.body)
	if it.Redact {
		it.public = d.AppendBody(make([]byte, 0, 1024), false)
	}
	it.action = d.Action
	it.subject = sc.SubjectOf(rec)
}

// timingWarnings adds what the engine found to what intake found.
func timingWarnings(intake []risk.Warning, it *Item) []risk.Warning {
	switch {
	case it.timing.Future:
		return append(intake[:len(intake):len(intake)], risk.Warning{Pointer: "/event/time", Code: "future",
			Detail: "more than 5 minutes ahead of its arrival; counted at " + it.timing.At.String()})
	case it.timing.TooLate:
		return append(intake[:len(intake):len(intake)], risk.Warning{Pointer: "/event/time", Code: "too_late",
			Detail: "older than the allowed lateness; decided, not counted"})
	}
	return intake
}
