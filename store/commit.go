package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const (
	// What an entry takes of a transaction beside key and value: keyspace, seal,
	// and what Badger counts (metadata, version).
	entryOverhead = 1 + sealSize + 2 + 10
	// Badger also limits the number of entries, at the size of a skip list node
	// each; an entry that costs at least this never meets that limit.
	entryFloor = 128

	keepRecords = 64 // of the newest transactions, however safely they are on disk
	pruneAtOnce = 64 // records deleted by one transaction
	ownEntries  = pruneAtOnce + 8
)

func entrySize(key, value int) int { return max(key+value+entryOverhead, entryFloor) }

// Size is what the put takes of a store's Room.
func (p *Put) Size() int { return entrySize(len(p.Key), len(p.Value)) }

// Size is what the checkpoint takes of a store's Room.
func (c *Checkpoint) Size() int {
	size := len(c.State)
	for i := range c.Puts {
		size += c.Puts[i].Size()
	}
	return size
}

// Room is the Size up to which a checkpoint fits one transaction. A bigger one
// is staged: as safe, but everything is written twice.
func (s *Store) Room() int {
	return 15*int(s.o.MemTable)/100 - ownEntries*entryFloor - headerSize
}

// Commit stores a checkpoint: synced, and whole or not at all after a crash at
// any moment. After an error of the disk the store accepts no further commit.
func (s *Store) Commit(c *Checkpoint) error {
	return s.locked(func() error { return s.commit(c) })
}

// Amend stores puts as safely as Commit does and leaves the last checkpoint what it
// is: its position, digest and state. It is for what is kept beside the state that
// the checkpoint describes. There must be a checkpoint.
func (s *Store) Amend(puts []Put) error {
	return s.locked(func() error {
		if s.last.number == 0 {
			return errors.New("store: no checkpoint to amend")
		}
		return s.commit(&Checkpoint{Position: s.last.position, Digest: s.last.digest, State: s.last.state, Puts: puts})
	})
}

// locked runs one commit at a time.
func (s *Store) locked(commit func() error) error {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return commit()
}

func (s *Store) commit(c *Checkpoint) error {
	if s.failed != nil {
		return fmt.Errorf("%w: %w", ErrFailed, s.failed)
	}
	m, bytes, err := s.plan(c)
	if err != nil {
		return err
	}
	if g := s.o.Guard; g != nil {
		if err := g.Check(); err != nil {
			return err
		}
	}
	start := time.Now()
	if c.Size() <= s.Room() {
		err = s.write(kindCheckpoint, &m.header, func(t *transaction) error { return t.putAll(c.Puts) })
	} else {
		s.o.Metrics.staged.Inc()
		err = s.commitStaged(m, c.Puts)
	}
	if err != nil {
		return err
	}
	s.last = m.header
	s.measure()
	s.o.Metrics.duration.Observe(time.Since(start).Seconds())
	s.o.Metrics.putsPer.Observe(float64(len(c.Puts)))
	s.o.Metrics.puts.Add(float64(len(c.Puts)))
	s.o.Metrics.bytes.Add(float64(bytes))
	s.o.Metrics.position.Set(float64(c.Position))
	return nil
}

// plan checks a checkpoint before anything is written (Badger prints keys and
// values into its own complaints) and works out what it leads to.
func (s *Store) plan(c *Checkpoint) (*marker, int, error) {
	if c.Position < s.last.position {
		return nil, 0, fmt.Errorf("store: checkpoint at position %d after one at %d", c.Position, s.last.position)
	}
	if len(c.State) > MaxState {
		return nil, 0, fmt.Errorf("store: checkpoint state of %d bytes, at most %d", len(c.State), MaxState)
	}
	m := &marker{puts: uint32(len(c.Puts)), header: header{
		position: c.Position, digest: c.Digest, entities: s.last.entities,
		state: append([]byte(nil), c.State...),
	}}
	bytes := len(c.State)
	for i := range c.Puts {
		p := &c.Puts[i]
		if err := checkKey(p.Space, p.Key); err != nil {
			return nil, 0, err
		}
		if len(p.Key) == 0 {
			return nil, 0, fmt.Errorf("store: empty key in space %q", byte(p.Space))
		}
		if len(p.Value) > MaxValue {
			return nil, 0, fmt.Errorf("store: value of %d bytes in space %q, at most %d", len(p.Value), byte(p.Space), MaxValue)
		}
		if p.Space.summed() {
			m.header.entities.add(p)
		}
		m.digest += change(p)
		bytes += len(p.Key) + len(p.Value)
	}
	if s.o.CheckReplaces {
		if err := s.checkReplaces(c.Puts); err != nil {
			return nil, 0, err
		}
	}
	return m, bytes, nil
}

func (s *Store) checkReplaces(puts []Put) error {
	seen := make(map[string]bool)
	for i := range puts {
		p := &puts[i]
		full := string(append([]byte{byte(p.Space)}, p.Key...))
		if seen[full] {
			return fmt.Errorf("store: put %d: its key occurs twice in one checkpoint (space %q)", i, byte(p.Space))
		}
		seen[full] = true
		if !p.Space.summed() {
			continue
		}
		var live uint64
		old, err := s.get(p.Space, p.Key)
		if err == nil {
			live = Sum(p.Space, p.Key, old)
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		if p.Replaces != live {
			return fmt.Errorf("store: put %d replaces a value with sum %016x, the live one has %016x", i, p.Replaces, live)
		}
	}
	return nil
}

// transaction gathers the entries of one Badger transaction.
type transaction struct {
	txn    *badger.Txn
	puts   uint32
	digest uint64
	buf    []byte // entries of the transaction are parts of it until it is committed
}

func (t *transaction) room(n int) {
	if cap(t.buf)-len(t.buf) < n {
		t.buf = make([]byte, 0, max(n, 256<<10))
	}
}

func (t *transaction) fullKey(space Space, key []byte) []byte {
	t.room(1 + len(key))
	from := len(t.buf)
	t.buf = append(append(t.buf, byte(space)), key...)
	return t.buf[from:len(t.buf):len(t.buf)]
}

func (t *transaction) set(space Space, key, value []byte) error {
	full := t.fullKey(space, key)
	t.room(sealSize + len(value))
	from := len(t.buf)
	t.buf = appendSealed(t.buf, full, value)
	return t.txn.Set(full, t.buf[from:len(t.buf):len(t.buf)])
}

func (t *transaction) delete(space Space, key []byte) error {
	return t.txn.Delete(t.fullKey(space, key))
}

func (t *transaction) put(p *Put) error {
	t.puts++
	t.digest += change(p)
	if p.Value == nil {
		return t.delete(p.Space, p.Key)
	}
	return t.set(p.Space, p.Key, p.Value)
}

func (t *transaction) putAll(puts []Put) error {
	for i := range puts {
		if err := t.put(&puts[i]); err != nil {
			return err
		}
	}
	return nil
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// write commits one transaction together with its sequence record. With done
// it completes that checkpoint. Any error leaves the store failed.
func (s *Store) write(k kind, done *header, fill func(*transaction) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("panic: " + plain(r))
		}
		if err != nil {
			err = errors.New("store: commit: " + plain(err))
			s.failed = err
		}
	}()
	t := &transaction{txn: s.db.NewTransaction(true)}
	defer t.txn.Discard()
	if err := fill(t); err != nil {
		return err
	}
	r := sequence{number: s.seq.number + 1, kind: k, checkpoint: s.seq.checkpoint, position: s.seq.position, puts: t.puts, digest: t.digest}
	if done != nil {
		done.number = r.number
		r.checkpoint, r.position = r.number, done.position
		if err := t.set(spaceCheckpoint, nil, done.append(nil)); err != nil {
			return err
		}
	}
	prune := s.prunable()
	for _, w := range s.kept[:prune] {
		if err := t.delete(spaceSequence, number(w.number)); err != nil {
			return err
		}
	}
	r.oldest = r.number
	if len(s.kept) > prune {
		r.oldest = s.kept[prune].number
	}
	if err := t.set(spaceSequence, number(r.number), r.encode()); err != nil {
		return err
	}
	if err := t.txn.Commit(); err != nil {
		return err
	}
	after := s.db.NewTransaction(false)
	s.kept = append(s.kept[prune:], written{r.number, after.ReadTs()})
	after.Discard()
	s.seq = r
	return s.o.step(k.String())
}

// prunable counts the sequence records that may go. A record is the only
// witness of its transaction, so it must not be deleted by one that could
// survive while the record's own log is lost. A table is synced before the
// manifest names it, and memory tables become tables in the order of their
// versions: a record whose version is not above the highest version in a table
// is itself in a table, and so is everything older.
func (s *Store) prunable() int {
	most := min(len(s.kept)-keepRecords, pruneAtOnce)
	n := 0
	for n < most && s.kept[n].version <= s.durable {
		n++
	}
	return n
}

// measure reads the tables' size and highest version. When that has risen, a
// memory table has become a table.
func (s *Store) measure() {
	var size float64
	before := s.durable
	for _, t := range s.db.Tables() {
		s.durable = max(s.durable, t.MaxVersion)
		size += float64(t.OnDiskSize)
	}
	s.o.Metrics.size.Set(size)
	if s.durable == before {
		return
	}
	n, _ := slices.BinarySearchFunc(s.kept, s.durable+1, func(w written, v uint64) int { return cmp.Compare(w.version, v) })
	if n == 0 {
		return
	}
	if err := s.reach(s.kept[n-1].number); err != nil {
		s.o.Logger.Warn("the reached transaction can not be noted", "err", err)
	}
}

func (k kind) String() string {
	switch k {
	case kindCheckpoint:
		return "checkpoint"
	case kindStage:
		return "stage"
	case kindMark:
		return "mark"
	case kindApply:
		return "apply"
	case kindClean:
		return "clean"
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}
