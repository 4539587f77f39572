package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/doctor"
	"github.com/sluice-risk/sluice/internal/simulate"
)

// examination is what sluice doctor says in JSON.
type examination struct {
	OK       bool
	Findings []struct{ Check, Level, Detail, Do string }
	exit     int
}

// says tells whether there is a finding of a check, at a level, with these words.
func (e *examination) says(check, level, words string) bool {
	for _, f := range e.Findings {
		if f.Check == check && f.Level == level && strings.Contains(f.Detail, words) {
			return true
		}
	}
	return false
}

func (s *server) doctor(args ...string) (e examination) {
	s.t.Helper()
	args = append([]string{"doctor", "--output", "json"}, args...)
	for _, kv := range s.set {
		args = append(args, "--set", kv)
	}
	var out, talk bytes.Buffer
	e.exit = run(s.t.Context(), args, strings.NewReader(""), &out, &talk)
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		s.t.Fatalf("sluice %q = exit %d, %v:\n%s%s", args, e.exit, err, out.Bytes(), talk.Bytes())
	}
	for _, f := range e.Findings {
		if f.Detail == "" || (f.Level == "ok") != (f.Do == "") {
			s.t.Errorf("finding %+v: want what it is, and what to do unless it is well", f)
		}
	}
	if want := map[bool]int{true: exitOK, false: exitFailed}[e.OK]; e.exit != want {
		s.t.Errorf("sluice doctor = exit %d with ok: %v", e.exit, e.OK)
	}
	return e
}

// Well before the first start, while it serves and after; and each thing that can
// be wrong is told as that.
func TestDoctor(t *testing.T) {
	alone(t)
	t.Parallel()
	b := newBroker(t)
	key := filepath.Join(t.TempDir(), "key")
	s := newServer(t, append(b.config(), "journal.retain=400d")...)
	if err := os.WriteFile(key, []byte(s.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := func(e examination, check, level, words string) {
		t.Helper()
		if !e.says(check, level, words) {
			t.Errorf("doctor says nothing of %q at %s with %q:\n%+v", check, level, words, e.Findings)
		}
	}

	e := s.doctor()
	if !e.OK {
		t.Errorf("before the first start: %+v", e.Findings)
	}
	want(e, "secret.key", "ok", "is made at the first start")
	want(e, "topic payments", "ok", "source")
	want(e, "server", "ok", "none answers")

	s.start()
	w := simulate.New(simulate.Options{Seed: 5, Start: time.Now().Add(-time.Hour)})
	for range 50 {
		if a := s.post("/v1/events", w.Next().Body); a.status != 202 {
			t.Fatal(a)
		}
	}
	e = s.doctor("--server", s.base, "--api-key-file", key)
	if !e.OK {
		t.Errorf("while it serves: %+v", e.Findings)
	}
	want(e, "journal", "ok", "in use by a server")
	want(e, "server", "ok", "is ready")
	want(e, "server release", "ok", "decides")
	want(e, "positions", "ok", "52 durable")
	want(e, "kafka", "ok", "0 records not yet given")
	want(e, "entities", "ok", "of look-ups were hot, 0.00 % waited for the disk")
	want(e, "windows", "ok", "the longest window reaches back 366d, the journal ")
	want(s.doctor("--server", s.base), "metrics", "warning", "asks for a key")
	want(s.doctor("--server", "http://127.0.0.1:1"), "server", "problem", "does not answer")
	s.stop()

	e = s.doctor("--whole")
	if !e.OK {
		t.Errorf("after it: %+v", e.Findings)
	}
	want(e, "journal", "ok", "positions 1 to 52 in 1 segments")
	want(e, "journal", "ok", "every checksum right")
	want(e, "store", "ok", "checkpoint at position 52")
	want(e, "release", "ok", "payments")
	want(e, "windows", "ok", "journal.retain is 400d")

	set := s.set
	with := func(more ...string) examination {
		t.Helper()
		s.set = append(set[:len(set):len(set)], more...)
		defer func() { s.set = set }()
		return s.doctor()
	}
	want(with("journal.retain=30d"), "windows", "warning", "journal.retain is 30d")
	want(with("disk.reserve=1000TiB"), "disk", "problem", "disk.reserve is")
	want(with("cell=other"), "cell", "problem", "the journal is that of cell cell-0")
	want(with("rulesets="+t.TempDir()), "ruleset", "problem", "")
	want(with("geo.city_mmdb=testdata/order.py"), "geo.city_mmdb", "problem", "order.py")
	want(with("tables.bin_csv=testdata/order.py"), "tables", "problem", "order.py")
	want(with("sources=[{topic: nowhere}]"), "topic nowhere", "problem", "is not there")
	want(with("kafka.brokers=127.0.0.1:1"), "brokers", "problem", "no broker can be reached")
	want(with("kafka.tls.ca_file=nowhere.pem"), "kafka.tls.ca_file", "problem", "nowhere.pem")

	// A copy of the directory, with one thing wrong in each.
	damaged := func(damage func(dir string) error) examination {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{".", "secret.key", "keys.yaml"} { // CopyFS gives its own
			info, err := os.Stat(filepath.Join(s.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, name), info.Mode().Perm()); err != nil {
				t.Fatal(err)
			}
		}
		if err := damage(dir); err != nil {
			t.Fatal(err)
		}
		return with("data_dir=" + dir)
	}
	flip := func(pattern string, at float64) func(string) error {
		return func(dir string) error {
			names, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil || len(names) == 0 {
				t.Fatalf("%s: %q, %v", pattern, names, err)
			}
			text, err := os.ReadFile(names[0])
			if err != nil {
				return err
			}
			text[int(at*float64(len(text)))] ^= 1
			return os.WriteFile(names[0], text, 0o600)
		}
	}
	if e := damaged(func(string) error { return nil }); !e.OK {
		t.Errorf("a copy: %+v", e.Findings)
	}
	want(damaged(func(dir string) error { return os.Chmod(filepath.Join(dir, "secret.key"), 0o644) }), "secret.key", "problem", "every user can read")
	want(damaged(func(dir string) error { return os.Chmod(filepath.Join(dir, "keys.yaml"), 0o640) }), "keys_file", "warning", "a group can read")
	want(damaged(func(dir string) error { return os.Chmod(dir, 0o777) }), "data_dir", "problem", "every user can write")
	want(damaged(func(dir string) error { return os.Remove(filepath.Join(dir, "secret.key")) }), "secret.key", "problem", "is missing, and there is state")
	want(damaged(flip("journal/*.seg", 0)), "journal", "problem", "corrupt")
	want(damaged(flip("blobs/*", 0.5)), "release", "problem", "do not match their name")
	want(damaged(func(dir string) error { return os.RemoveAll(filepath.Join(dir, "journal")) }), "journal", "problem", "")
	want(damaged(func(dir string) error { return os.Remove(filepath.Join(dir, "state", "MANIFEST")) }), "store", "problem", "")
	want(damaged(func(dir string) error {
		ahead := time.Now().Add(time.Hour)
		return os.Chtimes(filepath.Join(dir, "state", "MANIFEST"), ahead, ahead)
	}), "clock", "problem", "were written 60m from now")
}

// Each fault of a table has a line under the one before.
func TestDoctorText(t *testing.T) {
	var b bytes.Buffer
	examined(&b, []doctor.Finding{{Check: "tables", Level: doctor.Problem, Detail: "a.csv:1: one\na.csv:2: two", Do: "mend it"}, {Check: "disk", Level: doctor.OK, Detail: "free"}})
	const want = "problem  tables              a.csv:1: one\n" +
		"                             a.csv:2: two\n" +
		"                             -> mend it\n" +
		"ok       disk                free\n" +
		"1 ok, 0 to watch, 1 to mend\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
