package features

import "github.com/sluice-risk/sluice/risk"

// A feature that a release adds to a state that has seen events knows nothing of
// the past. Either it counts from then on, and says that it is partial; or it is
// awaited: missing and not counted, until another State that has seen the past with
// it takes this one's place. The owner decides, by Await.

// Await makes the features that the last Activate has added wait, and gives the
// names of all that do.
func (st *State) Await() []string {
	for i := range st.numbers {
		if t := &st.numbers[i]; t.fresh {
			t.fresh, t.awaited = false, true
		}
	}
	st.settle()
	var names []string
	for _, f := range st.awaited {
		names = append(names, st.set.names[f])
	}
	return names
}

// Awaits tells whether a feature waits for its past.
func (st *State) Awaits() bool { return len(st.awaited) > 0 }

// Since says that the events this state has not seen reach up to an instant: its
// first one was not a journal's first.
func (st *State) Since(t risk.Time) {
	for i := range st.numbers {
		n := &st.numbers[i]
		n.since, n.genesis = max(n.since, t), false
	}
	st.settle()
}

// settle works out what follows from the slots' tenures.
func (st *State) settle() {
	st.partial = partials{}
	if st.started {
		st.partial = partialsOf(st.set, st.numbers)
	}
	st.awaited, st.unawaited = st.awaited[:0], nil
	for i := range st.set.features {
		if s := st.set.features[i].slot; s >= 0 && st.numbers[s].awaited {
			st.awaited = append(st.awaited, i)
		}
	}
	st.awaiting = st.set.withReaders(st.awaited)
	if len(st.awaited) == 0 {
		return
	}
	st.unawaited = make([]uint64, st.set.words)
	for i := range st.unawaited {
		st.unawaited[i] = ^uint64(0)
	}
	for i := range st.set.slots {
		if st.numbers[i].awaited {
			s := &st.set.slots[i]
			st.unawaited[st.set.entities[s.entity].word+s.bit>>6] &^= 1 << (s.bit & 63)
		}
	}
}

// Added gives the features of the set that another one has no definition of, so
// that they know no past when it was active before.
func (s *Set) Added(before *Set) (names []string) {
	had := before.definitions()
	for i := range s.features {
		if f := &s.features[i]; f.slot >= 0 && !had[s.slots[f.slot].def] {
			names = append(names, s.names[i])
		}
	}
	return names
}

// Unbounded gives the features of the set that look back to the beginning and that
// another one defines too.
func (s *Set) Unbounded(before *Set) (names []string) {
	had := before.definitions()
	for i := range s.features {
		if f := &s.features[i]; f.slot >= 0 && s.slots[f.slot].window == 0 && had[s.slots[f.slot].def] {
			names = append(names, s.names[i])
		}
	}
	return names
}

func (s *Set) definitions() map[digest]bool {
	defs := map[digest]bool{}
	for i := range s.slots {
		defs[s.slots[i].def] = true
	}
	return defs
}
