package simulate

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// Tally compares what was planted with what was answered. The zero Tally is
// ready; it belongs to one goroutine. It keeps two bits a case.
type Tally struct {
	Ordinary   Actions            // answers about ordinary events
	Frauds     [len(Frauds)]Count // in the order of the patterns
	LookAlikes [len(LookAlikes)]Count
	seen       set
	stopped    set
}

// Count is about the cases of one pattern.
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
	c := t.of(truth.Pattern)
	if c == nil {
		return
	}
	c.add(action)
	if t.seen.add(truth.Case) {
		c.Cases++
	}
	if action.Stricter(risk.Allow) && t.stopped.add(truth.Case) {
		c.Stopped++
	}
}

func (t *Tally) of(pattern string) *Count {
	if i := slices.Index(Frauds[:], pattern); i >= 0 {
		return &t.Frauds[i]
	}
	if i := slices.Index(LookAlikes[:], pattern); i >= 0 {
		return &t.LookAlikes[i]
	}
	return nil
}

// Of gives the count of a pattern.
func (t *Tally) Of(pattern string) Count {
	if c := t.of(pattern); c != nil {
		return *c
	}
	return Count{}
}

// Fraud sums the fraud patterns.
func (t *Tally) Fraud() Count { return sum(t.Frauds[:]) }

// Lawful sums the look-alikes; each of their stopped cases is a mistake.
func (t *Tally) Lawful() Count { return sum(t.LookAlikes[:]) }

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
