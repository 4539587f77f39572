package features

import (
	"cmp"
	"math"
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// partials knows which features are not complete yet. A window that reaches back
// before its feature was counted is complete from `until` on. A feature without a
// window that was added later never is; it is listed with the instant since which
// it is counted, which lies in the past.
type partials struct {
	groups []risk.Partial // by rising until
	until  []risk.Time
}

const never = risk.Time(math.MaxInt64)

// at gives the features that are partial when read at t.
func (p *partials) at(t risk.Time) []risk.Partial {
	for i, u := range p.until {
		if t < u {
			return p.groups[i:]
		}
	}
	return nil
}

func partialsOf(set *Set, tenures []tenure) partials {
	type state struct{ until, since risk.Time }
	of := make([]state, len(set.features))
	later := func(a, b state) state {
		if c := cmp.Or(cmp.Compare(a.until, b.until), cmp.Compare(a.since, b.since)); c < 0 {
			return b
		}
		return a
	}
	for i := range set.features {
		f := &set.features[i]
		if f.slot < 0 {
			continue
		}
		s, t := &set.slots[f.slot], tenures[f.slot]
		if t.awaited { // missing altogether
			continue
		}
		switch whole := t.since + s.window + s.delay; {
		case s.window != 0:
			of[i] = state{whole, whole}
		case !t.genesis:
			of[i] = state{never, t.since}
		}
	}
	for _, i := range set.order { // a formula is as complete as what it reads
		for _, r := range set.features[i].reads {
			of[i] = later(of[i], of[r])
		}
	}
	byState := map[state][]string{}
	for i, s := range of {
		if s.until != 0 {
			byState[s] = append(byState[s], set.names[i])
		}
	}
	var states []state
	for s := range byState {
		states = append(states, s)
	}
	slices.SortFunc(states, func(a, b state) int {
		return cmp.Or(cmp.Compare(a.until, b.until), cmp.Compare(a.since, b.since))
	})
	var p partials
	for _, s := range states {
		p.groups = append(p.groups, risk.Partial{Since: s.since, Features: byState[s]})
		p.until = append(p.until, s.until)
	}
	return p
}
