package simulate

import "github.com/sluice-risk/sluice/risk"

// Tally compares what was planted with what was answered. The zero Tally is
// ready; it belongs to one goroutine. It keeps two bits a case.
type Tally struct {
	Ordinary Actions // answers about ordinary events
	Patterns [8]Count
	seen     set
	stopped  set
}

// Count is about one of Patterns, at the same index.
type Count struct {
	Actions
	Cases   int // with at least one answer
	Stopped int // with at least one answer that is review or block
}

// Actions counts answers.
type Actions struct{ Allow, Review, Block int }

func (a *Actions) add(action risk.Action) {
	switch action {
	case risk.Allow:
		a.Allow++
	case risk.Review:
		a.Review++
	case risk.Block:
		a.Block++
	}
}

// Total is how many answers there were.
func (a Actions) Total() int { return a.Allow + a.Review + a.Block }

// Add counts the answer to one event. An event that is only observed has none:
// its action is zero and it counts nowhere. A case that is still under way counts
// as not stopped until it is.
func (t *Tally) Add(truth Truth, action risk.Action) {
	if !action.Valid() {
		return
	}
	if truth.Case == 0 {
		t.Ordinary.add(action)
		return
	}
	for i, pattern := range Patterns {
		if pattern != truth.Pattern {
			continue
		}
		c := &t.Patterns[i]
		c.add(action)
		if t.seen.add(truth.Case) {
			c.Cases++
		}
		if action.Stricter(risk.Allow) && t.stopped.add(truth.Case) {
			c.Stopped++
		}
	}
}

// Of gives the count of a pattern.
func (t *Tally) Of(pattern string) Count {
	for i, p := range Patterns {
		if p == pattern {
			return t.Patterns[i]
		}
	}
	return Count{}
}

// Fraud sums the four fraud patterns.
func (t *Tally) Fraud() Count { return sum(t.Patterns[:4]) }

// Lawful sums the four look-alikes; each of their stopped cases is a mistake.
func (t *Tally) Lawful() Count { return sum(t.Patterns[4:]) }

func sum(counts []Count) (s Count) {
	for _, c := range counts {
		s.Allow += c.Allow
		s.Review += c.Review
		s.Block += c.Block
		s.Cases += c.Cases
		s.Stopped += c.Stopped
	}
	return s
}

// set is a growing set of small numbers.
type set []uint64

// add adds n and reports whether it is new.
func (b *set) add(n int) bool {
	for n/64 >= len(*b) {
		*b = append(*b, 0)
	}
	word, bit := &(*b)[n/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}
