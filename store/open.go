package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2/z"
	"golang.org/x/sync/errgroup"
)

// Open opens the store in dir, which it creates if need be. It refuses with
// ErrLocked, ErrNoSpace or a [*CorruptError], and finishes or discards a
// checkpoint that was interrupted.
func Open(dir string, o Options) (_ *Store, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "store.lock"))
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, o: o, lock: lock}
	defer func() {
		if err != nil {
			s.closeBadger()
			lock.Close()
			if c, ok := errors.AsType[*CorruptError](err); ok {
				c.Dir = dir
			}
		}
	}()

	if err := removeEmpty(dir, o.Logger); err != nil {
		return nil, err
	}
	free, err := o.freeSpace(dir)
	if err != nil {
		return nil, fmt.Errorf("store: free space: %w", err)
	}
	if free < o.Reserve {
		return nil, fmt.Errorf("%w: %s has %d MiB free, opening needs %d MiB", ErrNoSpace, dir, free>>20, o.Reserve>>20)
	}
	if s.format, err = readFormat(dir, o.MemTable); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := verifyTables(dir, o.Logger); err != nil {
		return nil, err
	}
	verified := time.Now()
	if s.db, err = openBadger(badgerOptions(dir, o.MemTable, o.Logger)); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, err
	}
	s.measure()
	s.o.Metrics.position.Set(float64(s.last.position))
	o.Logger.Info("store opened", "position", s.last.position, "verified_in", verified.Sub(began), "opened_in", time.Since(verified))
	return s, nil
}

// removeEmpty deletes what a kill between creating a log and giving it a size
// leaves behind; Badger can not open such a directory. Only under our lock.
func removeEmpty(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if info.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		log.Info("removed an empty log left by a kill", "file", e.Name())
	}
	return nil
}

const (
	formatFile    = "FORMAT"
	formatVersion = 2
)

// format is what the FORMAT file says of a directory.
type format struct {
	version  int
	memTable int64
	// reached is a transaction that is in a synced table, so that it can not be
	// lost by a crash. A manifest that lost its end makes Badger delete the tables
	// it no longer names and show an older state; this tells.
	reached uint64
}

// line ends in its own checksum, so that no flipped digit is believed.
func (f format) line() string {
	text := fmt.Sprintf("sluice-store %d memtable %d reached %d", f.version, f.memTable, f.reached)
	return fmt.Sprintf("%s crc32c %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

// readFormat compares the directory's format with ours, or writes it if the
// directory is new. It also refuses a directory whose MANIFEST is gone: Badger
// would take it for a new one and delete every table.
func readFormat(dir string, memTable int64) (f format, err error) {
	path := filepath.Join(dir, formatFile)
	data, err := os.ReadFile(path)
	entries, dirErr := os.ReadDir(dir)
	if dirErr != nil {
		return f, fmt.Errorf("store: %w", dirErr)
	}
	var manifest, content bool
	for _, e := range entries {
		switch ext := filepath.Ext(e.Name()); {
		case e.Name() == badger.ManifestFilename:
			manifest = true
		case ext == ".sst" || ext == ".mem":
			content = true
		}
	}
	if content && !manifest {
		return f, &CorruptError{What: "MANIFEST is missing beside tables or logs"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if manifest {
			return f, &CorruptError{What: "FORMAT is missing beside MANIFEST"}
		}
		f = format{version: formatVersion, memTable: memTable}
		return f, writeSynced(path, f.line())
	}
	if err != nil {
		return f, fmt.Errorf("store: %w", err)
	}
	var crc uint32
	_, err = fmt.Sscanf(string(data), "sluice-store %d memtable %d reached %d crc32c %x\n", &f.version, &f.memTable, &f.reached, &crc)
	if err != nil || string(data) != f.line() {
		return f, &CorruptError{What: "FORMAT is damaged"}
	}
	if f.version != formatVersion {
		return f, fmt.Errorf("store: %s has format %d, this program knows %d; move it away, and it is computed again from the journal", dir, f.version, formatVersion)
	}
	if f.memTable != memTable {
		return f, fmt.Errorf("store: %s was made with a memory table of %d bytes, not %d", dir, f.memTable, memTable)
	}
	return f, nil
}

// reach notes in FORMAT that a transaction can not be lost any more.
func (s *Store) reach(number uint64) error {
	if number <= s.format.reached {
		return nil
	}
	next := s.format
	next.reached = number
	if err := writeSynced(filepath.Join(s.dir, formatFile), next.line()); err != nil {
		return err
	}
	s.format = next
	return nil
}

// writeSynced creates a file whole or not at all.
func writeSynced(path, text string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("store: %w", err)
		}
	}()
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// verifyTables reads every block of every table that the manifest names, and
// checks its checksum. Badger's own check of a damaged table ends the process
// (a panic in its goroutine, or log.Fatal), so it must not meet one.
func verifyTables(dir string, log *slog.Logger) error {
	tables, err := manifestTables(dir, log)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(3)
	for _, id := range tables {
		g.Go(func() error {
			name := table.IDToFilename(id)
			if err := verifyTable(filepath.Join(dir, name)); err != nil {
				return &CorruptError{What: fmt.Sprintf("table %s: %s", name, plain(err))}
			}
			return nil
		})
	}
	return g.Wait()
}

func manifestTables(dir string, log *slog.Logger) (ids []uint64, err error) {
	f, err := os.Open(filepath.Join(dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a new store
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	defer func() {
		if r := recover(); r != nil {
			err = &CorruptError{What: "MANIFEST: " + plain(r)}
		}
	}()
	o := badger.DefaultOptions(dir)
	o.Logger = badgerLog{log}
	m, _, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return nil, &CorruptError{What: "MANIFEST: " + plain(err)}
	}
	for id, t := range m.Tables {
		if t.Compression != compression {
			return nil, &CorruptError{What: fmt.Sprintf("MANIFEST: table %d has compression %d, want %d", id, t.Compression, compression)}
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

func verifyTable(path string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if err := verifyFooter(path); err != nil {
		return err
	}
	f, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	t, err := table.OpenTable(f, table.Options{
		ReadOnly:    true,
		BlockSize:   blockSize,
		Compression: compression,
		ChkMode:     options.OnTableRead,
	})
	if err != nil {
		return err
	}
	return t.Close(-1)
}

// verifyFooter checks the lengths at the end of a table (blocks, index, index
// length, checksum, checksum length): with a wrong one Badger ends the process.
func verifyFooter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	for _, part := range []string{"checksum", "index"} {
		var length [4]byte
		if end -= 4; end < 0 {
			return fmt.Errorf("no room for the length of its %s", part)
		}
		if _, err := f.ReadAt(length[:], end); err != nil {
			return err
		}
		n := int64(binary.BigEndian.Uint32(length[:]))
		if end -= n; end < 0 || n == 0 {
			return fmt.Errorf("length %d of its %s is wrong", n, part)
		}
	}
	return nil
}

func openBadger(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			db, err = nil, &CorruptError{What: "badger: panic: " + plain(r)}
		}
	}()
	db, err = badger.Open(o)
	if err == nil {
		return db, nil
	}
	// Badger drops the error's type. What the machine lacks is not corruption.
	text := plain(err)
	for _, machine := range []string{"permission denied", "too many open files", "no space left", "cannot allocate memory", "read-only file system"} {
		if strings.Contains(text, machine) {
			return nil, fmt.Errorf("store: badger: %s", text)
		}
	}
	return nil, &CorruptError{What: "badger: " + text}
}

// recover reads the sequence and the last checkpoint, and ends what a crash
// interrupted.
func (s *Store) recover() error {
	if err := s.readSequence(); err != nil {
		return err
	}
	if err := s.readCheckpoint(); err != nil {
		return err
	}
	return s.finishStaged()
}

// readSequence loads the records of transactions and refuses a gap. A tail that
// is missing altogether can not be seen: that is an older, whole state.
func (s *Store) readSequence() error {
	var first, missing uint64
	var newest sequence
	err := s.scan(spaceSequence, nil, func(key, value []byte, version uint64) error {
		var r sequence
		if err := r.decode(value); err != nil || len(key) != 8 || binary.BigEndian.Uint64(key) != r.number {
			return &CorruptError{Space: spaceSequence, Key: bytes.Clone(key), What: "sequence record can not be read"}
		}
		if first == 0 {
			first = r.number
		} else {
			missing += r.number - newest.number - 1
		}
		newest = r
		s.kept = append(s.kept, written{r.number, version})
		return nil
	})
	if err != nil {
		return err
	}
	if newest.number < s.format.reached {
		return &CorruptError{What: fmt.Sprintf("transactions %d to %d are missing, they were in synced tables: the manifest or a table was lost",
			newest.number+1, s.format.reached)}
	}
	if newest.number == 0 {
		return s.mustBeEmpty()
	}
	if first > newest.oldest {
		missing += first - newest.oldest
	}
	if missing > 0 {
		return &CorruptError{What: fmt.Sprintf("%d of the transactions %d to %d (position %d) are missing: a log lost its end while a newer one survived",
			missing, newest.oldest, newest.number, newest.position)}
	}
	if first < newest.oldest {
		return &CorruptError{What: fmt.Sprintf("transaction record %d is back, records before %d were deleted", first, newest.oldest)}
	}
	s.seq = newest
	return nil
}

func (s *Store) mustBeEmpty() error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	if it.Rewind(); it.Valid() {
		return &CorruptError{What: "there are keys but no transaction records"}
	}
	return nil
}

func (s *Store) readCheckpoint() error {
	var h header
	value, err := s.get(spaceCheckpoint, nil)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	default:
		if err := h.decode(value); err != nil {
			return &CorruptError{Space: spaceCheckpoint, What: "checkpoint: " + err.Error()}
		}
	}
	if h.number != s.seq.checkpoint || h.position != s.seq.position {
		return &CorruptError{What: fmt.Sprintf("checkpoint is of transaction %d (position %d), the sequence says %d (position %d)",
			h.number, h.position, s.seq.checkpoint, s.seq.position)}
	}
	s.last = h
	return nil
}
