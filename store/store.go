package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
	"golang.org/x/sync/errgroup"
)

// Put sets a key, or deletes it when Value is nil.
type Put struct {
	Space      Space
	Key, Value []byte
	// Replaces is the Sum of the live value this one replaces or deletes, 0 if
	// there is none. Only used in the summed spaces; a wrong one is found at the
	// next full Scan, see Options.CheckReplaces.
	Replaces uint64
}

// Checkpoint is one step of the stored state. A key occurs in it at most once.
type Checkpoint struct {
	Position uint64   // last journal position applied; never decreases
	Digest   [32]byte // rolling digest of decision bodies up to Position
	State    []byte   // the cell's own small state, opaque here, at most MaxState
	Puts     []Put
}

// Options of a store. The zero value works.
type Options struct {
	Logger  *slog.Logger // default slog.Default()
	Metrics *Metrics     // default: counted, exported nowhere
	// Guard, if set, is asked before every Commit.
	Guard *Guard
	// Reserve is the free space in bytes without which Open does not let Badger
	// begin; default four memory tables.
	Reserve int64
	// MemTable is the size of a memory table in bytes, default 64 MiB. It can not
	// be changed for a directory. A Txn, and so an unstaged checkpoint, takes 15 %.
	MemTable int64
	// CheckReplaces makes Commit read the value that each Put of a summed space
	// replaces, and refuse a wrong Replaces and a key that occurs twice. For tests.
	CheckReplaces bool

	freeSpace func(dir string) (int64, error)
	step      func(name string) error // called between the steps of a commit, by tests
}

func (o *Options) complete() error {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = newMetrics()
	}
	if o.MemTable == 0 {
		o.MemTable = defaultMemTable
	}
	if o.Reserve == 0 {
		o.Reserve = 4 * o.MemTable
	}
	if o.freeSpace == nil {
		o.freeSpace = freeSpace
	}
	if o.step == nil {
		o.step = func(string) error { return nil }
	}
	var errs []error
	if o.MemTable < smallestMemTable || o.MemTable > 1<<30 {
		errs = append(errs, fmt.Errorf("store: memory table (%d bytes) must be between %d and %d", o.MemTable, smallestMemTable, 1<<30))
	}
	if o.Reserve < 0 {
		errs = append(errs, fmt.Errorf("store: reserve (%d bytes) must not be negative", o.Reserve))
	}
	return errors.Join(errs...)
}

// Store is an open store.
type Store struct {
	dir  string
	o    Options
	lock *os.File
	db   *badger.DB

	// using is held for reading by every call and for writing by Close: Badger
	// unmaps its files, and a late reader would kill the process.
	using  sync.RWMutex
	closed bool

	// applying is held for writing while a staged checkpoint is copied to its
	// place, and for reading by a Scan that verifies.
	applying sync.RWMutex

	mu     sync.Mutex // one commit at a time; guards what follows
	failed error
	seq    sequence  // of the newest transaction
	kept   []written // sequence records on disk, ascending
	last   header
	format format
	// durable is the highest version known to be in a table; see prunable.
	durable uint64
}

// written is a transaction and a Badger version not below its own.
type written struct{ number, version uint64 }

// Last is the last committed checkpoint without its puts; false if there is none.
func (s *Store) Last() (Checkpoint, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Checkpoint{
		Position: s.last.position,
		Digest:   s.last.digest,
		State:    bytes.Clone(s.last.state),
	}, s.last.number > 0
}

// Count is the number of keys in Entities and Entities2.
func (s *Store) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.last.entities.keys)
}

// Get returns the value of a key, ErrNotFound, or a *CorruptError. Beside a
// Commit it may see either value.
func (s *Store) Get(space Space, key []byte) ([]byte, error) {
	if err := checkKey(space, key); err != nil {
		return nil, err
	}
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	return s.get(space, key)
}

func (s *Store) get(space Space, key []byte) ([]byte, error) {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return s.read(txn, space, key)
}

func (s *Store) read(txn *badger.Txn, space Space, key []byte) (value []byte, err error) {
	defer s.caught(space, key, &err)
	full := append([]byte{byte(space)}, key...)
	item, err := txn.Get(full)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, s.corrupt(space, key, "badger: "+plain(err))
	}
	err = item.Value(func(stored []byte) error {
		opened, err := unseal(full, stored)
		if err != nil {
			return s.corrupt(space, key, err.Error())
		}
		value = append(make([]byte, 0, len(opened)), opened...) // never nil: an empty value is one
		return nil
	})
	return value, err
}

// Scan calls f for every key with the prefix, in order; sum is the value's Sum,
// for Put.Replaces. Key and value are valid during the call only. An error of f
// ends the scan and is returned. f must not call Commit.
//
// A Scan of all of Entities or Entities2 is a ScanEntities of which f is given the
// one space.
func (s *Store) Scan(space Space, prefix []byte, f func(key, value []byte, sum uint64) error) error {
	if err := checkKey(space, prefix); err != nil {
		return err
	}
	if space.summed() && len(prefix) == 0 {
		return s.ScanEntities(func(in Space, key, value []byte, sum uint64) error {
			if in != space {
				return nil
			}
			return f(key, value, sum)
		})
	}
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return ErrClosed
	}
	return s.scan(space, prefix, func(key, value []byte, _ uint64) error {
		return f(key, value, Sum(space, key, value))
	})
}

// ScanFrom is Scan of a space's keys from one on, which need not be there. It
// verifies nothing but each value.
func (s *Store) ScanFrom(space Space, from []byte, f func(key, value []byte, sum uint64) error) error {
	if err := checkKey(space, from); err != nil {
		return err
	}
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return ErrClosed
	}
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return s.scanIn(txn, space, nil, from, func(key, value []byte, _ uint64) error {
		return f(key, value, Sum(space, key, value))
	})
}

// ScanEntities calls f for every key of Entities, then of Entities2, as Scan does,
// and verifies that no key is lost, stale or back from the dead: it returns a
// *CorruptError if one is. What f was given must not be used until ScanEntities has
// returned nil.
func (s *Store) ScanEntities(f func(space Space, key, value []byte, sum uint64) error) error {
	return s.prove(func(txn *badger.Txn, got *tally) error {
		for _, space := range [...]Space{Entities, Entities2} {
			if err := s.tallied(txn, space, nil, got, f); err != nil {
				return err
			}
		}
		return nil
	})
}

// ProveEntities verifies what ScanEntities does, on all cores. It calls f with the
// keys, some at a time, in no order, and by several goroutines; they are valid
// during the call only.
func (s *Store) ProveEntities(f func(space Space, keys [][]byte) error) error {
	began := time.Now()
	return s.prove(func(txn *badger.Txn, got *tally) error {
		const parts = 256 // by the first byte of a key
		tallies := make([]tally, 2*parts)
		var g errgroup.Group
		g.SetLimit(runtime.GOMAXPROCS(0))
		for i := range tallies {
			space := Entities
			if i >= parts {
				space = Entities2
			}
			g.Go(func() error {
				var some gathered
				err := s.tallied(txn, space, []byte{byte(i)}, &tallies[i], func(_ Space, key, _ []byte, _ uint64) error {
					if some.add(key); len(some.keys) < cap(some.keys) {
						return nil
					}
					return some.give(space, f)
				})
				return errors.Join(err, some.give(space, f))
			})
		}
		err := g.Wait()
		for _, t := range tallies {
			got.keys += t.keys
			got.sum += t.sum
		}
		s.o.Logger.Info("entities verified", "rows", got.keys, "dur", time.Since(began))
		return err
	})
}

// gathered are copies of keys.
type gathered struct {
	keys  [][]byte
	bytes []byte
}

func (g *gathered) add(key []byte) {
	if g.keys == nil {
		g.keys = make([][]byte, 0, 64)
	}
	from := len(g.bytes)
	g.bytes = append(g.bytes, key...)
	g.keys = append(g.keys, g.bytes[from:])
}

func (g *gathered) give(space Space, f func(space Space, keys [][]byte) error) error {
	if len(g.keys) == 0 {
		return nil
	}
	err := f(space, g.keys)
	g.keys, g.bytes = g.keys[:0], g.bytes[:0]
	return err
}

// tallied visits the keys of a space with a prefix, and adds them up.
func (s *Store) tallied(txn *badger.Txn, space Space, prefix []byte, got *tally, f func(space Space, key, value []byte, sum uint64) error) error {
	return s.scanIn(txn, space, prefix, nil, func(key, value []byte, _ uint64) error {
		sum := Sum(space, key, value)
		got.keys++
		got.sum += sum
		return f(space, key, value, sum)
	})
}

// prove compares what scan adds up with what the last checkpoint has left.
func (s *Store) prove(scan func(txn *badger.Txn, got *tally) error) error {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return ErrClosed
	}
	s.applying.RLock()
	defer s.applying.RUnlock()
	txn := s.db.NewTransaction(false) // checkpoint and keys of one moment
	defer txn.Discard()
	var want header
	stored, err := s.read(txn, spaceCheckpoint, nil)
	if err == nil {
		err = want.decode(stored)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	var got tally
	if err := scan(txn, &got); err != nil {
		return err
	}
	if got != want.entities {
		return s.corrupt(0, nil, fmt.Sprintf("entities hold %d keys with sum %016x, the checkpoint at position %d left %d with sum %016x",
			got.keys, got.sum, want.position, want.entities.keys, want.entities.sum))
	}
	return nil
}

// VerifyState reads and verifies all entities, as ScanEntities does.
func (s *Store) VerifyState() error {
	return s.ProveEntities(func(Space, [][]byte) error { return nil })
}

// Scrub reads every table from disk and checks its checksums, which reads do
// not; for use now and then beside normal work.
func (s *Store) Scrub() error {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return ErrClosed
	}
	before, err := manifestTables(s.dir, s.o.Logger)
	if err != nil {
		return s.counted(err)
	}
	for _, id := range before {
		err := verifyTable(table.NewFilename(id, s.dir))
		if err == nil {
			continue
		}
		// A compaction may have replaced the table in the meantime.
		now, nowErr := manifestTables(s.dir, s.o.Logger)
		if nowErr != nil {
			return s.counted(nowErr)
		}
		if slices.Contains(now, id) {
			return s.corrupt(0, nil, fmt.Sprintf("table %s: %s", table.IDToFilename(id), plain(err)))
		}
	}
	return nil
}

func (s *Store) scan(space Space, prefix []byte, f func(key, value []byte, version uint64) error) error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return s.scanIn(txn, space, prefix, nil, f)
}

// scanIn visits the keys with the prefix, from one on.
func (s *Store) scanIn(txn *badger.Txn, space Space, prefix, from []byte, f func(key, value []byte, version uint64) error) (err error) {
	calling := false // a panic of f is not Badger's
	defer func() {
		if !calling {
			s.caughtValue(recover(), space, prefix, &err)
		}
	}()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: slices.Concat([]byte{byte(space)}, prefix)})
	defer it.Close()
	for it.Seek(slices.Concat([]byte{byte(space)}, prefix, from)); it.Valid(); it.Next() {
		item := it.Item()
		full := item.Key()
		err := item.Value(func(stored []byte) error {
			value, err := unseal(full, stored)
			if err != nil {
				return s.corrupt(space, full[1:], err.Error())
			}
			calling = true
			err = f(full[1:], value, item.Version())
			calling = false
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Close writes out what Badger holds and releases the directory.
func (s *Store) Close() error {
	s.using.Lock()
	defer s.using.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.closeBadger(); err != nil {
		return errors.Join(err, s.lock.Close())
	}
	// Badger has made tables of all it held.
	return errors.Join(s.reach(s.seq.number), s.lock.Close())
}

func (s *Store) closeBadger() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("store: close: panic: " + plain(r))
		}
	}()
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			return errors.New("store: close: " + plain(err))
		}
	}
	return nil
}

func (s *Store) corrupt(space Space, key []byte, what string) error {
	return s.counted(&CorruptError{Dir: s.dir, Space: space, Key: bytes.Clone(key), What: what})
}

func (s *Store) counted(err error) error {
	if c, ok := errors.AsType[*CorruptError](err); ok {
		c.Dir = s.dir
		s.o.Metrics.corrupt.Inc()
	}
	return err
}

// caught turns a panic of Badger, which is how it meets some damaged blocks,
// into an error. To be deferred.
func (s *Store) caught(space Space, key []byte, err *error) {
	s.caughtValue(recover(), space, key, err)
}

func (s *Store) caughtValue(r any, space Space, key []byte, err *error) {
	if r != nil {
		*err = s.corrupt(space, key, "badger: panic: "+plain(r))
	}
}

func checkKey(space Space, key []byte) error {
	if !space.public() {
		return fmt.Errorf("store: unknown space %q", byte(space))
	}
	if len(key) > MaxKey {
		return fmt.Errorf("store: key of %d bytes in space %q, at most %d", len(key), byte(space), MaxKey)
	}
	return nil
}
