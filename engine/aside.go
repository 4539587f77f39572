package engine

import (
	"sync/atomic"

	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

// aside is the part of the store that the walk's checkpoints do not describe: the
// entities of the generation that is not in use, and Learned. A second walk gets it
// empty and fills it beside the checkpoints. With the first checkpoint behind a
// cutover the generations change places; from then on what the second walk has
// learned of an event is put into the event's row, and the old generation is removed,
// a piece with each checkpoint. What a second walk that was given up has left is
// removed in the same way.
type aside struct {
	state atomic.Int32
	free  chan struct{} // told when it has become free

	// What follows belongs to save.
	entities, learned []byte // keys from which on there is more to remove
	flipped           atomic.Uint64
}

const (
	asideDirty  int32 = iota // holds what is to be removed, or nobody has looked yet
	asideFree                // is empty
	asideTaken               // belongs to a second walk
	asideHanded              // a cutover has made it the walk's, which no checkpoint says yet
)

// used tells whether Learned may hold a row.
func (a *aside) used() bool { return a.state.Load() != asideFree }

// other is the generation of entities that is not space.
func other(space store.Space) store.Space {
	if space == store.Entities {
		return store.Entities2
	}
	return store.Entities
}

// clearAtOnce bounds the rows that one checkpoint removes. Tests make it smaller.
var clearAtOnce = 8192

// clear gives the next piece to remove or put in its place, beside the puts of a
// checkpoint, and tells whether it is the last.
func (c *Cell) clear(p *pending, expired []store.Put) (puts []store.Put, last bool, err error) {
	written := map[string]bool{} // a key occurs once in a checkpoint
	for _, list := range [][]store.Put{p.checkpoint.Puts, expired} {
		for i := range list {
			if list[i].Space == store.Events {
				written[string(list[i].Key)] = true
			}
		}
	}
	if puts, err = c.forgetSecond(); err != nil {
		return nil, false, err
	}
	a, space, room := &c.aside, other(p.space), clearAtOnce
	err = c.store.ScanFrom(space, a.entities, func(key, _ []byte, sum uint64) error {
		key = append([]byte(nil), key...)
		if a.entities = key; room == 0 {
			return errEnough
		}
		room--
		puts = append(puts, store.Put{Space: space, Key: key, Replaces: sum})
		return nil
	})
	if err != nil {
		return puts, false, ignore(err, errEnough)
	}
	err = c.store.ScanFrom(store.Learned, a.learned, func(key, value []byte, _ uint64) error {
		key = append([]byte(nil), key...)
		if a.learned = key; room == 0 {
			return errEnough
		}
		room--
		over, err := parseRow(value)
		if err != nil {
			return err
		}
		puts = append(puts, store.Put{Space: store.Learned, Key: key})
		if over.generation > p.cutovers || written[string(key)] {
			return nil // of a walk that was given up; or the row is newer
		}
		r, err := c.stored(risk.EventKey(key))
		if err != nil {
			return err
		}
		if merged := r.learn(over); merged != r {
			puts = append(puts, store.Put{Space: store.Events, Key: key, Value: merged.append(nil)})
			if r == nil {
				p.expiry.add(&memory{row: *merged, key: risk.EventKey(key)})
			}
		}
		return nil
	})
	return puts, err == nil, ignore(err, errEnough)
}

// cleared takes note of a checkpoint that has been stored.
func (c *Cell) cleared(p *pending, last bool) {
	a := &c.aside
	switch {
	case p.flip:
		a.entities, a.learned = nil, nil
		a.flipped.Store(p.generation)
		c.hold.Store(0)
		a.state.Store(asideDirty)
		c.opts.step("cutover stored")
	case p.clear && !last:
		c.opts.step("piece cleared")
	case last:
		a.entities, a.learned = nil, nil
		a.state.Store(asideFree)
		c.opts.step("all cleared")
		select {
		case a.free <- struct{}{}:
		default:
		}
	}
}

// clearNow removes all at once, where nothing else is going on.
func (c *Cell) clearNow() error {
	p := &pending{space: c.space, cutovers: c.walk.ledger.generation}
	if last, ok := c.store.Last(); ok {
		p.checkpoint.Position = last.Position
	}
	for {
		puts, last, err := c.clear(p, nil)
		if err != nil {
			return err
		}
		if len(puts) > 0 {
			if err := c.store.Amend(puts); err != nil {
				return err
			}
		}
		if last {
			c.cleared(p, true)
			return nil
		}
	}
}
