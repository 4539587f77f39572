package features

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/sluice-risk/sluice/internal/bloom"
	"github.com/sluice-risk/sluice/risk"
)

// Reader reads one moment of the store that holds what Checkpoint has put. Slices
// are valid during the call of f only.
type Reader interface {
	// Get calls f with the value of a key, or not when there is none.
	Get(key []byte, f func(value []byte, sum uint64) error) error
	// Scan calls f for all keys that begin with prefix, in order.
	Scan(prefix []byte, f func(key, value []byte, sum uint64) error) error
}

// resident is what a State with a store keeps in memory, and how it comes and
// goes.
//
// An entity is hot (in memory), cold (its stored rows are all of it) or unknown.
// One leaves memory only when the checkpoint that holds its last change is
// durable for whoever reads the store for this and any later batch. So rows that
// were read for a batch are right if the entity is not in memory when the batch
// is observed, and are of no interest if it is: Prefetch may read them early,
// beside everything else.
type resident struct {
	view   func(func(Reader) error) error // nil: all is in memory
	budget int
	bytes  int
	stored stored
	known  atomic.Pointer[map[uint32]seenLayout] // layouts.all, for readers beside
	edge   atomic.Int64                          // the floor, for them

	dial       hand // of the clock that evicts
	pace       int  // its steps for each entity touched: fewer while all must wait for a checkpoint
	generation uint64
	turn       uint32

	touched []*entity // by this batch
	leaving []*entity // empty: until their rows are seen to be gone
	err     error
	figures figures
}

// stored is what is known of the store without reading it.
type stored struct {
	count atomic.Int64 // heads
	ids   atomic.Pointer[bloom.Set]
	next  atomic.Pointer[bloom.Set] // being built by a pass over the store
}

func (s *stored) add(ids ...[]byte) {
	s.count.Add(int64(len(ids)))
	for i, id := range ids {
		ids[i] = id[4:]
	}
	if all := s.ids.Load(); all != nil {
		all.Add(ids...)
	}
	if next := s.next.Load(); next != nil {
		next.Add(ids...)
	}
}

func (s *stored) beginPass() bool {
	return s.next.CompareAndSwap(nil, bloom.New(int(s.count.Load())))
}

func (s *stored) endPass() {
	if next := s.next.Load(); next != nil {
		s.ids.Store(next)
		s.next.Store(nil)
	}
}

func (s *stored) mayHold(id *entityID) bool { return s.ids.Load().MayHold(id[4:]) }

// Figures are counts of a State's memory.
type Figures struct {
	Hot, Stored   int64 // entities in memory, and in the store
	Bytes, Budget int64 // of the entities in memory; Budget 0: no limit
	Filter        int64 // bytes of the filter over stored ids

	// Look-ups of entities by events, by how they were answered.
	Hits       int64 // in memory
	Prefetched int64 // read by Prefetch
	Read       int64 // read while everything waited
	New        int64 // never stored

	Prefetches int64 // entities that Prefetch read, used or not
	Evictions  int64
}

// HitRate is the part of the look-ups of known entities that memory answered.
func (f *Figures) HitRate() float64 {
	known := f.Hits + f.Prefetched + f.Read
	if known == 0 {
		return 1
	}
	return float64(f.Hits) / float64(known)
}

type figures struct {
	hits, prefetched, read, fresh, evictions int64 // the owner's
	prefetches                               atomic.Int64
	shown                                    atomic.Pointer[Figures]
}

// Attach makes the State read entities that are not in memory from a store, and
// keep no more than about budget bytes of them in memory; 0 is no limit. What the
// store holds already must then be told by Known, and the State be restored,
// before the first event.
func (st *State) Attach(budget int64, view func(func(Reader) error) error) {
	st.budget, st.view = int(budget), view
	st.stored.ids.Store(&bloom.Set{})
	st.show()
}

// Limit changes the budget.
func (st *State) Limit(budget int64) { st.budget = int(budget) }

// Expect says, before the first Known, that about so many rows are stored.
func (st *State) Expect(rows int) { st.stored.ids.Store(bloom.New(rows)) }

// Known takes note of stored rows, best of some tens at a time. Any goroutine may
// call it.
func (st *State) Known(keys ...[]byte) {
	heads := make([][]byte, 0, len(keys))
	for _, key := range keys {
		if len(key) == len(entityID{})+1 {
			heads = append(heads, key[:len(entityID{})])
		}
	}
	st.stored.add(heads...)
}

// Figures may be asked for by any goroutine. They are those of the last batch.
func (st *State) Figures() Figures {
	f := Figures{}
	if shown := st.figures.shown.Load(); shown != nil {
		f = *shown
	}
	f.Prefetches = st.figures.prefetches.Load()
	return f
}

func (st *State) show() {
	s, f := &st.stored, &st.figures
	shown := Figures{Hot: int64(st.table.used), Stored: s.count.Load(), Bytes: int64(st.bytes), Budget: int64(st.budget),
		Hits: f.hits, Prefetched: f.prefetched, Read: f.read, New: f.fresh, Evictions: f.evictions}
	shown.Filter = int64(s.ids.Load().Bytes())
	if next := s.next.Load(); next != nil {
		shown.Filter += int64(next.Bytes())
	}
	f.shown.Store(&shown)
}

// Err is the first failure to read a stored entity. What was observed since
// then is wrong.
func (st *State) Err() error { return st.err }

// fetched is an entity as Prefetch has found it in the store.
type fetched struct {
	id     entityID
	entity *entity // nil: not stored
}

// Wanted gathers the entities that prepared events touch, for Prefetch. It may be
// used again.
type Wanted struct {
	events []*Prepared
	ids    []wanted
}

type wanted struct {
	id    entityID
	event int
}

// Add takes note of the entities of an event, and of those of the one that it
// names.
func (w *Wanted) Add(p *Prepared, named []Touch) {
	p.Forget()
	for i := range p.ids {
		if p.ids[i] != (entityID{}) {
			w.ids = append(w.ids, wanted{p.ids[i], len(w.events)})
		}
	}
	for i := range named {
		w.ids = append(w.ids, wanted{named[i].ID, len(w.events)})
	}
	w.events = append(w.events, p)
}

// Empty tells whether nothing was added.
func (w *Wanted) Empty() bool { return len(w.events) == 0 }

// Prefetch reads those of the wanted entities that are stored and not in memory:
// each once, for the first event that touches it, and in the order of their keys,
// in which a store finds them sooner. Any goroutine may call it beside Observe,
// each with its own r and w, which is empty afterwards. r must be newer than the
// checkpoint that the next Evict names. A row that cannot be read is left for
// Observe to fail on.
func (st *State) Prefetch(r Reader, w *Wanted) {
	for _, p := range w.events {
		p.from = st
	}
	cold := w.ids[:0]
	for i := range w.ids {
		if id := &w.ids[i].id; !st.table.has(id) && st.stored.mayHold(id) {
			cold = append(cold, w.ids[i])
		}
	}
	slices.SortFunc(cold, func(a, b wanted) int {
		return cmp.Or(bytes.Compare(a.id[:], b.id[:]), cmp.Compare(a.event, b.event))
	})
	for i := range cold {
		if i > 0 && cold[i].id == cold[i-1].id {
			continue
		}
		e, err := st.readEntity(r, &cold[i].id)
		if err != nil {
			continue
		}
		st.figures.prefetches.Add(1)
		p := w.events[cold[i].event]
		p.fetched = append(p.fetched, fetched{cold[i].id, e})
	}
	clear(w.events)
	w.events, w.ids = w.events[:0], w.ids[:0]
}

// Forget lets go of what Prefetch has found.
func (p *Prepared) Forget() {
	clear(p.fetched)
	p.fetched, p.from = p.fetched[:0], nil
}

// readEntity reads the rows of an entity, nil when there are none. It is safe
// beside the owner.
func (st *State) readEntity(r Reader, id *entityID) (e *entity, err error) {
	more := false
	var buf [len(entityID{}) + 1]byte
	key := append(append(buf[:0], id[:]...), headKey)
	err = r.Get(key, func(value []byte, sum uint64) (err error) {
		e, more, err = restoreHead(*st.known.Load(), row{key, value, sum})
		return err
	})
	if err == nil && more {
		err = r.Scan(id[:], func(key, value []byte, sum uint64) error {
			if len(key) == len(buf) {
				return nil
			}
			return e.restoreRow(row{key, value, sum})
		})
	}
	if err == nil && e != nil {
		err = e.end()
	}
	if err != nil {
		return nil, fmt.Errorf("features: stored entity %x: %w", id[:], err)
	}
	return e, nil
}

// reside brings an entity that an event touches into memory.
func (st *State) reside(p *Prepared, h *hit) {
	f := &st.figures
	if h.entity != nil {
		f.hits++
		st.use(h.entity)
		return
	}
	if p.from == st {
		for i := range p.fetched {
			if p.fetched[i].id == h.id {
				if h.entity = p.fetched[i].entity; h.entity == nil {
					f.fresh++
					return
				}
				p.fetched[i].entity = nil
				f.prefetched++
				st.seat(h)
				return
			}
		}
	}
	if !st.stored.mayHold(&h.id) {
		f.fresh++
		return
	}
	if h.entity = st.readNow(&h.id); h.entity != nil {
		f.read++
		st.seat(h)
	} else {
		f.fresh++
	}
}

// readNow reads an entity while everything waits.
func (st *State) readNow(id *entityID) (e *entity) {
	err := st.view(func(r Reader) (err error) {
		e, err = st.readEntity(r, id)
		return err
	})
	if err != nil && st.err == nil {
		st.err = err
	}
	return e
}

// seat adopts the entity that was read for an event, unless its layout is that of
// another kind of entity. An id is a hash of the kind, too, so that is damage.
func (st *State) seat(h *hit) {
	e := h.entity
	if e.layout.entity == st.set.entities[h.def].hash {
		st.adopt(e)
		return
	}
	if h.entity = nil; st.err == nil {
		st.err = fmt.Errorf("features: stored entity %x: layout %d is of another entity", e.id, e.layout.number)
	}
}

// adopt takes an entity that was read into memory.
func (st *State) adopt(e *entity) {
	if l := e.layout; l.def != nil && e.folds != nil {
		// The folds of an earlier release's layout keep the order they came in, until
		// the entity moves on; those of the active one have their seats.
		seated := make([]*fold, len(l.def.life))
		for life, bit := range l.def.life {
			if i := slices.IndexFunc(e.folds, func(f *fold) bool { return f.slot == l.slots[bit] }); i >= 0 {
				if seated[life] = e.folds[i]; !e.folds[i].fits(&l.def.slots[bit]) {
					seated[life] = nil
					if st.err == nil {
						st.err = fmt.Errorf("features: entity %x: what is stored of slot %d is not of a %s", e.id, l.slots[bit], l.def.slots[bit].agg.name)
					}
				}
			}
		}
		e.folds = seated
	}
	e.kept = true
	st.add(e)
}

// use notes that the batch touches an entity.
func (st *State) use(e *entity) {
	if st.view == nil || e.used && e.turn == st.turn {
		return
	}
	e.used, e.turn = true, st.turn
	st.touched = append(st.touched, e)
}

const mostPace = 16

// Evict begins a batch. It takes entities out of memory until their bytes are
// within the budget, those that have not been touched for longest first, and only
// such as a checkpoint of at most the given generation holds: one that is in the
// store for every Prefetch of this batch and those to come. It changes no value.
func (st *State) Evict(generation uint64) {
	if st.view == nil {
		return
	}
	for i, e := range st.touched {
		if !e.removed {
			st.weigh(e)
		}
		st.touched[i] = nil
	}
	n := 0
	for ; n < len(st.leaving) && st.leaving[n].saved <= generation && !(st.leaving[n].listed && st.leaving[n].empty()); n++ {
		e := st.leaving[n]
		if e.leaving = false; e.empty() && !e.removed {
			st.drop(e)
		}
		st.leaving[n] = nil
	}
	st.leaving = st.leaving[n:]
	if generation != st.generation { // what the checkpoint has saved may go
		st.generation, st.pace = generation, mostPace
	}
	steps := 64 + st.pace*len(st.touched)
	st.touched = st.touched[:0]
	before := st.figures.evictions
	for ; st.budget > 0 && st.bytes > st.budget && steps > 0; steps-- {
		e := st.table.next(&st.dial)
		switch {
		case e == nil:
		case e.used:
			e.used = false
		case !e.listed && e.saved <= generation:
			st.drop(e)
			st.figures.evictions++
		}
	}
	if st.figures.evictions > before {
		st.pace = mostPace
	} else {
		st.pace = max(st.pace/2, 1)
	}
	st.turn++
	st.edge.Store(int64(st.floor))
	st.show()
}

// weigh counts the bytes of an entity again.
func (st *State) weigh(e *entity) {
	n := e.weight()
	st.bytes += n - e.size
	e.size = n
}

const wordBytes = int(unsafe.Sizeof(uint64(0)))

// weight is what an entity takes in memory, but for what the allocator adds.
func (e *entity) weight() int {
	n := int(unsafe.Sizeof(*e)) + cellBytes + cap(e.chunks)*int(unsafe.Sizeof(chunk{})) + e.words*wordBytes +
		cap(e.folds)*wordBytes + cap(e.run)*int(unsafe.Sizeof(running{}))
	for _, f := range e.folds {
		if f != nil {
			n += f.weight()
		}
	}
	for bit := range e.run {
		n += e.run[bit].weight()
	}
	return n + e.past.weight()
}

func (f *fold) weight() int {
	n := int(unsafe.Sizeof(*f))
	if f.best.text != nil {
		n += textSize
	}
	if f.more != nil {
		n += int(unsafe.Sizeof(*f.more))
	}
	if k := f.keys; k != nil {
		n += int(unsafe.Sizeof(*k)) + (cap(k.list)+cap(k.sums))*wordBytes + cap(k.stale) + k.index.weight()
	}
	if f.recent != nil {
		n += int(unsafe.Sizeof(*f.recent)) + f.recent.weight()
	}
	return n
}

// weight is what r takes beside its own bytes.
func (r *running) weight() (n int) {
	if a := r.tally.held; a != nil {
		n += int(unsafe.Sizeof(*a)) + a.keys.weight() + (cap(a.list)+cap(a.own))*wordBytes + 4*cap(a.most.keys) +
			len(a.order.blocks)*(2*blockKeys*int(unsafe.Sizeof(counted{}))+3*wordBytes)/2
		if a.more != nil {
			n += int(unsafe.Sizeof(*a.more))
		}
	}
	if b := r.beside; b != nil {
		n += int(unsafe.Sizeof(*b)) + cap(b.queue)*int(unsafe.Sizeof(pick{})) + b.recent.weight()
		if k := b.sketch; k != nil {
			n += int(unsafe.Sizeof(*k)) + cap(k.steps)*int(unsafe.Sizeof(step{}))
		}
	}
	return n
}

func (q *recent) weight() int { return (cap(q.times) + cap(q.values)) * wordBytes }

func (c *counts) weight() int { return cap(c.slots) * int(unsafe.Sizeof(counted{})) }

// seenLayout is a layout as readers beside the owner may see it: of the pointer
// only what never changes.
type seenLayout struct {
	*layout
	active bool
	reach  risk.Time
}

// publish shows readers beside the owner the layouts that stored rows may have.
func (st *State) publish() {
	known := make(map[uint32]seenLayout, len(st.layouts.all))
	for n, l := range st.layouts.all {
		known[n] = seenLayout{l, l.def != nil, l.reach}
	}
	st.known.Store(&known)
}
