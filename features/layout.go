package features

import (
	"slices"

	"github.com/sluice-risk/sluice/risk"
)

// layout says what the mask bits and value columns of an entity's log mean. A
// release that changes them makes a new layout; entities move to it one by one,
// when an event touches them.
type layout struct {
	number   uint32
	entity   uint64      // hash of the entity's name
	slots    []uint32    // numbers of the slots, by mask bit
	columns  []columnTag // by value column
	entities int         // in memory that have this layout
	idle     int         // passes over the store for which it has been an earlier release's

	def   *entityDef // what the slots are; nil when this layout is an earlier release's
	reach risk.Time  // how far behind the floor an entry can matter
}

type columnTag struct {
	key  uint64 // hash of the definition
	kind columnKind
}

func (l *layout) words() int  { return (len(l.slots) + 63) / 64 }
func (l *layout) stride() int { return 1 + l.words() + len(l.columns) }

func (l *layout) same(m *layout) bool {
	return l.entity == m.entity && slices.Equal(l.slots, m.slots) && slices.Equal(l.columns, m.columns)
}

func (l *layout) shares(m *layout) bool {
	return slices.ContainsFunc(l.slots, func(n uint32) bool { return slices.Contains(m.slots, n) })
}

// layouts are all that an entity in memory or in the store may have.
type layouts struct {
	all        map[uint32]*layout
	now        []*layout // of the active set, by entity
	nextLayout uint32
	nextSlot   uint32
}

func (ls *layouts) of(entity uint64) *layout {
	for _, l := range ls.now {
		if l.entity == entity {
			return l
		}
	}
	return nil
}

// Activate makes set the one that counts. A feature whose definition is the same
// as in the set before keeps its past, under whatever name; any other counts from
// the watermark on, unless it is made to wait.
func (st *State) Activate(set *Set) {
	if set == st.set {
		return
	}
	was := map[digest]tenure{}
	if st.set != nil {
		for i := range st.set.slots {
			was[st.set.slots[i].def] = st.numbers[i]
		}
	}
	st.set = set
	st.bind(was, false)
	if st.started {
		st.floor = max(st.floor, st.watermark.Add(-set.limits.AllowedLateness))
	}
	st.settle()
}

// bind numbers the slots of the set and lays out its entities.
func (st *State) bind(was map[digest]tenure, restored bool) {
	set, ls := st.set, &st.layouts
	st.numbers = make([]tenure, len(set.slots))
	for i := range set.slots {
		c, ok := was[set.slots[i].def]
		if !ok {
			ls.nextSlot++
			c = tenure{number: ls.nextSlot, since: st.watermark, genesis: !st.started, fresh: st.started}
		}
		st.numbers[i] = c
	}
	if ls.all == nil {
		ls.all = map[uint32]*layout{}
	}
	// The folds of an entity have their seats by the definition that was active when
	// it was restored. So a layout that comes back is another one.
	var usable []*layout
	for _, l := range ls.all {
		if l.def != nil || restored || st.table.used == 0 {
			usable = append(usable, l)
		}
		l.def = nil
	}
	slices.SortFunc(usable, func(a, b *layout) int { return int(a.number) - int(b.number) })
	ls.now = make([]*layout, len(set.entities))
	for i := range set.entities {
		def := &set.entities[i]
		l := &layout{entity: def.hash}
		for s := range def.slots {
			l.slots = append(l.slots, st.numbers[def.slot+s].number)
		}
		for c := range def.columns {
			l.columns = append(l.columns, columnTag{def.columns[c].key, def.columns[c].kind})
		}
		for _, old := range usable {
			if old.same(l) {
				l = old
			}
		}
		if l.number == 0 {
			ls.nextLayout++
			l.number = ls.nextLayout
			ls.all[l.number] = l
		}
		l.def, l.reach, l.idle = def, def.reach, 0
		ls.now[i] = l
	}
	if st.view == nil && !restored {
		st.prune(0)
	}
	st.publish()
}

// prune forgets the layouts that no entity has any more, and that have been out of
// use for so many passes over the store.
func (st *State) prune(passes int) {
	for n, l := range st.layouts.all {
		if l.entities == 0 && l.def == nil && l.idle >= passes {
			delete(st.layouts.all, n)
		}
	}
	st.publish()
}

// current moves an entity to the layout of the active set. Entries that no
// feature counts any more are dropped.
func (st *State) current(e *entity) {
	if e.layout.def != nil {
		return
	}
	from, to := e.layout, st.layouts.of(e.layout.entity)
	slotFrom := make([]int, len(to.slots))
	for i, n := range to.slots {
		slotFrom[i] = slices.Index(from.slots, n)
	}
	columnFrom := make([]int, len(to.columns))
	for i, c := range to.columns {
		columnFrom[i] = slices.Index(from.columns, c)
	}
	old := e.chunks
	for i := range old {
		st.forget(e, &old[i])
	}
	e.chunks, e.run, e.oldest, e.words, e.entries = nil, nil, 0, 0, 0
	st.movePast(e, from, to)
	e.layout = to
	from.entities--
	to.entities++
	st.list(e)

	folds := e.folds
	e.folds = nil
	for life, bit := range to.def.life {
		i := slices.IndexFunc(folds, func(f *fold) bool { return f != nil && f.slot == to.slots[bit] })
		if i < 0 {
			continue
		}
		if e.folds == nil {
			e.folds = make([]*fold, len(to.def.life))
		}
		e.folds[life], folds[i] = folds[i], nil
	}
	for _, f := range folds {
		if f != nil {
			st.forgetParts(e, f)
		}
	}

	words := from.words()
	mask, values := make([]uint64, to.words()), make([]uint64, len(to.columns))
	for k := range old {
		c := &old[k]
		for i := range c.n {
			entry := c.entry(i)
			clear(mask)
			any := false
			for bit, f := range slotFrom {
				if f >= 0 && entry[1+f>>6]>>(uint(f)&63)&1 != 0 {
					mask[bit>>6] |= 1 << (uint(bit) & 63)
					any = true
				}
			}
			if !any {
				continue
			}
			for v, f := range columnFrom {
				if values[v] = 0; f >= 0 {
					values[v] = entry[1+words+f]
				}
			}
			e.insert(risk.Time(entry[0]), mask, values, st)
		}
	}
	kept := risk.Time(0)
	for bit, n := range to.slots {
		if slices.Contains(from.slots, n) {
			kept = max(kept, to.def.slots[bit].reach())
		}
	}
	st.trim(e, st.floor-kept)
}

// trim drops the entries that no kept feature of an earlier release can reach any
// more, to the last one: the new one may reach further, and what is in the log must
// not depend on when expired entries were dropped from it.
func (st *State) trim(e *entity, bound risk.Time) {
	for len(e.chunks) > 0 && e.chunks[0].first() <= bound {
		c := &e.chunks[0]
		n := c.after(bound)
		st.fold(e, c, n)
		e.entries -= n
		if n < c.n {
			c.cut(n)
			return
		}
		e.words -= len(c.data)
		e.chunks = slices.Delete(e.chunks, 0, 1)
	}
}
