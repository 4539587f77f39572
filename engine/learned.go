package engine

import "github.com/sluice-risk/sluice/risk"

// A second walk remembers the same events as the walk whose place it takes, but with
// the entities and labels that another release's features ask for. After the cutover
// an event's row is made of both: whether it is known again, and its decision, stay
// what they were; what a label about it needs is what the second walk has learned.

// since is the instant from which a label's horizon is counted.
func (r *row) since() risk.Time {
	if r.heard != 0 {
		return r.heard
	}
	return r.at
}

// newest is the later of both instants: the row may go by it.
func (r *row) newest() risk.Time { return max(r.at, r.since()) }

// learn puts what a second walk knows of an event over a row, which may be nil.
// Neither is changed.
func (r *row) learn(over *row) *row {
	switch {
	case r == nil && over.position == 0: // named by a label that only the new features count
		return over
	case r == nil: // past its retention
		return nil
	case r.generation >= over.generation: // changed since
		return r
	case r.position == 0 && over.position == 0:
		return over
	case r.position == 0 || over.position == 0: // older than the second walk's beginning
		return r
	}
	out := *r
	out.labels, out.touches, out.generation = over.labels, over.touches, over.generation
	if out.heard = over.since(); out.heard == out.at {
		out.heard = 0
	}
	return &out
}

// succeed takes over what a second walk's ledger has learned. Of what a store holds
// of it, see found.
func (l *ledger) succeed(second *ledger, stored bool) {
	l.generation = second.generation
	l.learned = map[risk.EventKey]*row{}
	for key, s := range second.entries {
		m := l.entries[key]
		switch {
		case m != nil:
			if r := m.row.learn(&s.row); r != &m.row {
				m.row = *r
				l.change(m)
			}
		case stored: // the row itself is found later
			l.learned[key] = &s.row
		case s.position == 0:
			l.entries[key] = s
			l.change(s)
		}
	}
}
