package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func small() Options { return Options{MemTable: smallestMemTable, Logger: quiet, CheckReplaces: true} }

func open(t testing.TB, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func commit(t testing.TB, s *Store, c *Checkpoint) {
	t.Helper()
	if err := s.Commit(c); err != nil {
		t.Fatal(err)
	}
}

// copyDir copies a directory that may be open: what a crash would leave. It
// starts again if a flush or compaction came in between, for no crash leaves a
// mixture of two moments.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	fingerprint := func() string {
		names, _ := filepath.Glob(filepath.Join(from, "*"))
		manifest, _ := os.ReadFile(filepath.Join(from, "MANIFEST"))
		format, _ := os.ReadFile(filepath.Join(from, formatFile))
		return strings.Join(names, "\n") + string(manifest) + string(format)
	}
	for {
		to := t.TempDir()
		before := fingerprint()
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(from, e.Name()))
			if errors.Is(err, os.ErrNotExist) {
				break
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(to, e.Name()), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if fingerprint() == before {
			return to
		}
		os.RemoveAll(to)
	}
}

// contents reads everything of the given spaces, with the full verification.
func contents(s *Store, spaces ...Space) (map[string]string, error) {
	got := make(map[string]string)
	for _, space := range spaces {
		err := s.Scan(space, nil, func(key, value []byte, sum uint64) error {
			if sum != Sum(space, key, value) {
				return fmt.Errorf("Scan gave sum %x for %q", sum, key)
			}
			got[string(byte(space))+string(key)] = string(value)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return got, nil
}

// oracle is the plain model of a store's contents.
type oracle map[string]string

func (o oracle) put(space Space, key, value string) Put {
	full := string(byte(space)) + key
	p := Put{Space: space, Key: []byte(key), Value: []byte(value)}
	if old, ok := o[full]; ok && space.summed() {
		p.Replaces = Sum(space, []byte(key), []byte(old))
	}
	o[full] = value
	return p
}

func (o oracle) delete(space Space, key string) Put {
	p := o.put(space, key, "")
	p.Value = nil
	delete(o, string(byte(space))+key)
	return p
}

func (o oracle) same(t *testing.T, s *Store) {
	t.Helper()
	got, err := contents(s, Entities, Entities2, Events, Learned, Decisions, Expiry, Meta)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, o) {
		t.Fatalf("store holds %d keys, want %d, or their values differ", len(got), len(o))
	}
}

func TestCommitAndRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	if _, ok := s.Last(); ok {
		t.Error("Last of a new store is true")
	}
	if err := s.VerifyState(); err != nil {
		t.Error(err)
	}
	o := oracle{}
	c := &Checkpoint{Position: 7, Digest: [32]byte{1, 2}, State: []byte("mark")}
	c.Puts = append(c.Puts, o.put(Entities, "card/1", "one"), o.put(Entities, "card/2", ""), o.put(Decisions, "d1", "body"), o.put(Meta, "m", "x"))
	commit(t, s, c)
	commit(t, s, &Checkpoint{Position: 7, Digest: [32]byte{9}, State: []byte("next"), Puts: []Put{
		o.put(Entities, "card/1", "two"), o.delete(Entities, "card/2"), o.put(Entities, "card/3", "three"), o.delete(Decisions, "none"),
	}})
	check := func(s *Store) {
		t.Helper()
		o.same(t, s)
		last, ok := s.Last()
		if !ok || last.Position != 7 || last.Digest != [32]byte{9} || string(last.State) != "next" || last.Puts != nil {
			t.Errorf("Last() = %+v, %v", last, ok)
		}
		if v, err := s.Get(Entities, []byte("card/1")); err != nil || string(v) != "two" {
			t.Errorf("Get = %q, %v", v, err)
		}
		if v, err := s.Get(Entities, []byte("card/2")); v != nil || err != ErrNotFound {
			t.Errorf("Get of a deleted key = %q, %v", v, err)
		}
		if err := s.Scrub(); err != nil {
			t.Error(err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, small())
	check(s)

	n := 0
	err := s.Scan(Entities, []byte("card/3"), func(key, value []byte, _ uint64) error { n++; return nil })
	if err != nil || n != 1 {
		t.Errorf("Scan of one prefix = %d keys, %v", n, err)
	}
	stop := errors.New("stop")
	if err := s.Scan(Entities, nil, func(_, _ []byte, _ uint64) error { return stop }); err != stop {
		t.Errorf("Scan = %v, want the callback's error", err)
	}
	func() {
		defer func() {
			if r := recover(); r != "mine" {
				t.Errorf("panic of the callback became %v", r)
			}
		}()
		s.Scan(Entities, nil, func(_, _ []byte, _ uint64) error { panic("mine") })
	}()
}

func TestRefusedCheckpoints(t *testing.T) {
	s := open(t, t.TempDir(), small())
	o := oracle{}
	commit(t, s, &Checkpoint{Position: 5, Puts: []Put{o.put(Entities, "a", "1")}})
	secret := strings.Repeat("4111111111111111", 5000)
	f := func(want string, c Checkpoint) {
		t.Helper()
		c.Position = max(c.Position, 5)
		err := s.Commit(&c)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "4111") || len(err.Error()) > 300 {
			t.Errorf("Commit = %.300v, want %q", err, want)
		}
	}
	f("at most 65536", Checkpoint{Puts: []Put{{Space: Events, Key: []byte("k"), Value: []byte(secret)}}})
	f("at most 1024", Checkpoint{Puts: []Put{{Space: Events, Key: []byte(secret)}}})
	f("at most 131072", Checkpoint{State: make([]byte, MaxState+1)})
	f("unknown space", Checkpoint{Puts: []Put{{Space: spaceSequence, Key: []byte("k")}}})
	f("empty key", Checkpoint{Puts: []Put{{Space: Events}}})
	f("the live one", Checkpoint{Puts: []Put{{Space: Entities, Key: []byte("a"), Value: []byte("2")}}})
	f("the live one", Checkpoint{Puts: []Put{{Space: Entities, Key: []byte("b"), Value: []byte("2"), Replaces: 3}}})
	f("occurs twice", Checkpoint{Puts: []Put{{Space: Events, Key: []byte("a")}, {Space: Events, Key: []byte("a")}}})
	if err := s.Commit(&Checkpoint{Position: 4}); err == nil || !strings.Contains(err.Error(), "position 4 after one at 5") {
		t.Errorf("Commit of an older position = %v", err)
	}
	o.same(t, s)
	commit(t, s, &Checkpoint{Position: 5, State: make([]byte, MaxState), Puts: []Put{o.put(Events, "k", strings.Repeat("x", MaxValue))}})
	o.same(t, s)
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, small())
	commit(t, s, &Checkpoint{Position: 1, Puts: []Put{oracle{}.put(Entities, "a", "1")}})
	f := func(dir string, o Options, want string) error {
		t.Helper()
		s, err := Open(dir, o)
		if err == nil {
			s.Close()
			t.Errorf("Open gave no error, want %q", want)
			return nil
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, want %q", err, want)
		}
		return err
	}
	if err := f(dir, small(), "in use"); !errors.Is(err, ErrLocked) {
		t.Errorf("Open of a directory in use = %v", err)
	}
	s.Close()
	o := small()
	o.freeSpace = func(string) (int64, error) { return 3 << 20, nil }
	if err := f(dir, o, "has 3 MiB free, opening needs 4 MiB"); !errors.Is(err, ErrNoSpace) {
		t.Errorf("Open of a full disk = %v", err)
	}
	o = small()
	o.MemTable = 2 << 20
	f(dir, o, "memory table of 1048576 bytes, not 2097152")
	o.MemTable = 1
	f(dir, o, "must be between")

	edit := func(name string, change func([]byte) []byte) string {
		dir := copyDir(t, dir)
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(path)
		if data = change(data); data != nil {
			os.WriteFile(path, data, 0o600)
		}
		return dir
	}
	corrupt := func(dir, want string) {
		t.Helper()
		err := f(dir, small(), want)
		if c, ok := errors.AsType[*CorruptError](err); !ok || c.Dir != dir || !strings.Contains(err.Error(), "must be rebuilt from the journal") {
			t.Errorf("Open = %v, want a CorruptError of the directory", err)
		}
	}
	remove := func([]byte) []byte { return nil }
	corrupt(edit("MANIFEST", remove), "MANIFEST is missing")
	corrupt(edit("FORMAT", remove), "FORMAT is missing")
	corrupt(edit("FORMAT", func(b []byte) []byte { return bytes.Replace(b, []byte("1048576"), []byte("2048576"), 1) }), "FORMAT is damaged")
	f(edit("FORMAT", func([]byte) []byte { return []byte(format{version: 1, memTable: smallestMemTable}.line()) }), small(), "format 1, this program knows 2")
	corrupt(edit("MANIFEST", func(b []byte) []byte { return b[:len(b)-9] }), "are missing, they were in synced tables")
	tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
	name := filepath.Base(tables[0])
	corrupt(edit(name, remove), "table "+name)
	corrupt(edit(name, func(b []byte) []byte { return b[:len(b)-20] }), "table "+name)
	corrupt(edit(name, func(b []byte) []byte { b[10] ^= 4; return b }), "table "+name)
	corrupt(edit(name, func(b []byte) []byte { b[len(b)-2] ^= 64; return b }), "table "+name)

	// What a kill leaves is no damage.
	left := copyDir(t, dir)
	for _, name := range []string{"00077.mem", "000099.vlog"} {
		os.WriteFile(filepath.Join(left, name), nil, 0o600)
	}
	if err := open(t, left, small()).VerifyState(); err != nil {
		t.Error(err)
	}
}

// A value that is not what was written is an error of Get and of Scan.
func TestSealedValues(t *testing.T) {
	s := open(t, t.TempDir(), small())
	commit(t, s, &Checkpoint{Position: 1, Puts: []Put{oracle{}.put(Events, "alice@example.com", "first"), oracle{}.put(Events, "b", "second")}})
	raw := func(key string, stored []byte) {
		t.Helper()
		txn := s.db.NewTransaction(true)
		if err := errors.Join(txn.Set([]byte(key), stored), txn.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	good := appendSealed(nil, []byte("valice@example.com"), []byte("first"))
	for name, stored := range map[string][]byte{
		"bit":       func() []byte { b := bytes.Clone(good); b[7] ^= 1; return b }(),
		"seal":      func() []byte { b := bytes.Clone(good); b[2] ^= 1; return b }(),
		"format":    func() []byte { b := bytes.Clone(good); b[0] = 2; return b }(),
		"short":     good[:3],
		"other key": appendSealed(nil, []byte("vb"), []byte("second")),
	} {
		raw("valice@example.com", stored)
		_, err := s.Get(Events, []byte("alice@example.com"))
		if _, ok := errors.AsType[*CorruptError](err); !ok || strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: Get = %v, want a CorruptError without the key", name, err)
		}
		err = s.Scan(Events, []byte("a"), func(_, _ []byte, _ uint64) error { return nil })
		if _, ok := errors.AsType[*CorruptError](err); !ok {
			t.Errorf("%s: Scan = %v, want a CorruptError", name, err)
		}
	}
}

// Lost, stale and resurrected keys of Entities are found by the sum.
func TestEntitiesVerified(t *testing.T) {
	s := open(t, t.TempDir(), small())
	o := oracle{}
	commit(t, s, &Checkpoint{Position: 1, Puts: []Put{o.put(Entities, "a", "1"), o.put(Entities, "b", "2"), o.put(Entities, "gone", "3")}})
	commit(t, s, &Checkpoint{Position: 2, Puts: []Put{o.put(Entities, "a", "9"), o.delete(Entities, "gone")}})
	raw := func(key string, value *string) {
		t.Helper()
		txn := s.db.NewTransaction(true)
		full := []byte("e" + key)
		err := txn.Delete(full)
		if value != nil {
			err = txn.Set(full, appendSealed(nil, full, []byte(*value)))
		}
		if err := errors.Join(err, txn.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]func() func(){
		"lost":        func() func() { raw("b", nil); return func() { raw("b", new("2")) } },
		"stale":       func() func() { raw("a", new("1")); return func() { raw("a", new("9")) } },
		"resurrected": func() func() { raw("gone", new("3")); return func() { raw("gone", nil) } },
	} {
		back := f()
		_, ok := errors.AsType[*CorruptError](s.VerifyState())
		if !ok {
			t.Errorf("%s key: VerifyState = nil", name)
		}
		back()
		if err := s.VerifyState(); err != nil {
			t.Errorf("%s key, repaired: VerifyState = %v", name, err)
		}
	}
}

func TestSumTellsApart(t *testing.T) {
	sums := []uint64{
		Sum(Entities, []byte("ab"), []byte("c")), Sum(Entities, []byte("a"), []byte("bc")),
		Sum(Events, []byte("ab"), []byte("c")), Sum(Entities, []byte("ab"), nil), Sum(Entities, nil, []byte("ab")),
	}
	if slices.Contains(sums, 0) || len(slices.Compact(slices.Sorted(slices.Values(sums)))) != len(sums) {
		t.Errorf("sums %x are not all different and not 0", sums)
	}
	// Sums are stored: a new value here makes every existing store unreadable.
	if got, want := sums[0], uint64(0xaf74ade71be9eb04); got != want {
		t.Errorf("Sum = %#x, want %#x", got, want)
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	r := sequence{1, 2, kindApply, 4, 5, 6, 7}
	var r2 sequence
	if err := r2.decode(r.encode()); err != nil || r2 != r {
		t.Errorf("sequence %+v came back as %+v, %v", r, r2, err)
	}
	m := marker{1, 2, 3, header{4, 5, [32]byte{6}, tally{7, 8}, []byte("state")}}
	var m2 marker
	if err := m2.decode(m.encode()); err != nil || !bytes.Equal(m2.encode(), m.encode()) {
		t.Errorf("marker %+v came back as %+v, %v", m, m2, err)
	}
	puts := []Put{{Space: Entities, Key: []byte("k"), Value: []byte{}}, {Space: Meta, Key: []byte("d")}, {Space: Events, Key: []byte("x"), Value: []byte("y")}}
	part, n := encodePart(puts)
	back, err := decodePuts(nil, part)
	if err != nil || n != 3 || fmt.Sprint(back) != fmt.Sprint(puts) || back[0].Value == nil || back[1].Value != nil {
		t.Errorf("puts %v came back as %v, %v", puts, back, err)
	}
	for cut := range part {
		if got, err := decodePuts(nil, part[:cut]); err == nil && len(got) == 3 {
			t.Errorf("decodePuts of %d of %d bytes gave all puts", cut, len(part))
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir(), small())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Get(Meta, []byte("k"))
	for _, err := range []error{err, s.Commit(&Checkpoint{}), s.VerifyState(), s.Scrub()} {
		if err != ErrClosed {
			t.Errorf("after Close = %v, want ErrClosed", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v", err)
	}
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	m, err := NewMetrics(r)
	if err != nil {
		t.Fatal(err)
	}
	o := small()
	o.Metrics = m
	s := open(t, t.TempDir(), o)
	commit(t, s, &Checkpoint{Position: 42, Puts: []Put{oracle{}.put(Meta, "k", "v")}})
	got := map[string]float64{}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		got[f.GetName()] = f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue() + float64(f.Metric[0].GetHistogram().GetSampleCount())
	}
	for name, want := range map[string]float64{"sluice_store_position": 42, "sluice_store_puts_total": 1, "sluice_store_checkpoint_bytes_total": 2, "sluice_store_checkpoint_seconds": 1} {
		if got[name] != want {
			t.Errorf("metric %s = %v, want %v", name, got[name], want)
		}
	}
}
