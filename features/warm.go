package features

// WarmEvents is how many events Warm is best given: so many that their waits for
// memory overlap, so few that what it brings is still there when they are observed.
const WarmEvents = 8

// near is an entity in memory that one of the next events touches.
type near struct {
	p      *Prepared
	entity *entity
}

// Warm brings into the processor's caches what the next events will touch. Their
// entities lie anywhere in memory, behind three or four pointers each, and an event
// by itself waits for memory most of its time. Here all entities take each step
// together, so that the waits overlap. It changes nothing.
func (st *State) Warm(next []*Prepared) {
	x := uint64(0) // of what is loaded, so that it is
	for _, p := range next {
		for k := range p.ids {
			tag := p.ids[k].tag()
			if cells := st.table.shard(tag).load(); cells != nil {
				x ^= cells[int(tag)&(len(cells)-1)].tag.Load()
			}
		}
	}
	st.near = st.near[:0]
	for _, p := range next {
		for k := range p.ids {
			if e := st.table.near(p.ids[k].tag()); e != nil {
				st.near = append(st.near, near{p, e})
			}
		}
	}
	for _, n := range st.near {
		x ^= uint64(n.entity.oldest)
	}
	for _, n := range st.near {
		x ^= uint64(n.entity.turn)
		if k := len(n.entity.chunks); k > 0 {
			x ^= uint64(n.entity.chunks[k-1].n)
		}
	}
	for _, n := range st.near {
		if k := len(n.entity.chunks); k > 0 && n.entity.chunks[k-1].n > 0 {
			c := &n.entity.chunks[k-1]
			next := c.n * int(c.stride)
			x ^= c.data[next-1] ^ c.data[min(next+7, len(c.data)-1)] // the newest entry ends where the next begins
		}
		for bit := range n.entity.run {
			x ^= uint64(n.entity.run[bit].hi)
		}
	}
	for _, n := range st.near {
		for bit := range n.entity.run {
			r := &n.entity.run[bit]
			if r.tally.held != nil {
				x ^= uint64(r.tally.keys.used)
			}
			if r.beside != nil {
				x ^= uint64(r.first)
			}
		}
	}
	for _, n := range st.near {
		def := n.entity.layout.def
		if def == nil {
			continue
		}
		for bit := range n.entity.run {
			r := &n.entity.run[bit]
			if r.tally.held != nil && r.tally.keys.used > 0 { // where the event's own value stands
				keys, col := &r.tally.keys, &def.columns[def.slots[bit].col]
				x ^= keys.slots[keys.home(n.p.values[col.from])].key
			}
		}
	}
	clear(st.near)
	st.warm ^= x
}
