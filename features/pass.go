package features

import "github.com/sluice-risk/sluice/risk"

// A pass goes over all that is stored, beside everything else, for what no event
// touches any more: entities that no window reaches, and those that an earlier
// release has laid out. It finds them by BeginPass, then Passed for every stored
// row of a moment that has all checkpoints taken before; Reread brings what it has
// found to Sweep, and EndPass tells the owner that all of it was handed over.

// Found is a stored entity that a pass has found.
type Found fetched

// BeginPass may be called by any one goroutine. It reports false while the pass
// before has not ended.
func (st *State) BeginPass() bool { return st.stored.beginPass() }

// Passed takes note of a stored row and tells whether its entity should be swept.
// Any goroutine may call it.
func (st *State) Passed(key, value []byte) (id [16]byte, stale bool) {
	if len(key) != len(id)+1 {
		return id, false
	}
	id = [16]byte(key[:len(id)])
	if next := st.stored.next.Load(); next != nil {
		next.Add(id[4:])
	}
	d := &decoder{b: value}
	d.version(headVersion)
	l := (*st.known.Load())[d.number()]
	newest := risk.Time(d.varint())
	if d.err != nil || l.layout == nil {
		return id, false // who reads it for an event will say so
	}
	return id, !l.active || newest != 0 && newest <= risk.Time(st.edge.Load())-l.reach
}

// Reread reads an entity for Sweep. Any goroutine may call it; for r the rule of
// Prefetch holds.
func (st *State) Reread(r Reader, id [16]byte) (Found, error) {
	e, err := st.readEntity(r, (*entityID)(&id))
	return Found{id, e}, err
}

// Sweep drops of the entities what nothing reads any more. It is called between
// Evict and the first Observe of a batch, and changes no value.
func (st *State) Sweep(found []Found) {
	for _, f := range found {
		e := st.table.find(&f.id)
		if e == nil && f.entity != nil {
			e = f.entity
			st.adopt(e)
			e.used = false
		}
		if e == nil || e.leaving {
			continue
		}
		if e.layout.def == nil {
			now := st.layouts.of(e.layout.entity)
			if now == nil || !now.shares(e.layout) {
				st.remove(e)
				continue
			}
			st.current(e)
		}
		st.expired(e)
	}
}

// EndPass ends a pass: ids that are no longer stored are forgotten, and so are
// layouts that nothing stored has had since the pass before the last.
func (st *State) EndPass() {
	st.stored.endPass()
	for _, l := range st.layouts.all {
		if l.idle++; l.def != nil {
			l.idle = 0
		}
	}
	st.prune(3)
}
