package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// activated is a release that a journal activates.
type activated struct {
	at      journal.Position
	version string // as decisions name it
}

// activations reads them from the data directory of a server that has ended.
func activations(t *testing.T, dir string) (out []activated) {
	t.Helper()
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		t.Fatal(err)
	}
	log, err := journal.OpenReadOnly(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	in, err := log.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for frame, err := in.Next(); err == nil; frame, err = in.Next() {
		for i, record := range frame.Records {
			var e risk.Entry
			if err := risk.DecodeEntry(record, &e); err != nil {
				t.Fatal(err)
			}
			if e.Activation == nil {
				continue
			}
			b, err := engine.Blobs(filepath.Join(dir, "blobs")).Load(e.Activation.SHA256, tables)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, activated{frame.First + journal.Position(i), b.Rules.Versions().Ruleset})
		}
	}
	return out
}

// callers send events over several connections, one after the other, until they
// are stopped. Nothing may fail.
type callers struct {
	stop    func()
	mu      sync.Mutex
	answers map[string][]byte // by event
}

func startCallers(t *testing.T, s *server, seed uint64) *callers {
	c := &callers{answers: map[string][]byte{}}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for k := range 4 {
		world := simulate.New(simulate.Options{Seed: seed + uint64(k), People: 300, Prefix: fmt.Sprintf("c%d-", k)})
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				e := world.Next()
				a, err := s.ask(s.base, "POST", "/v1/decisions", e.Body, patient...)
				switch {
				case err != nil:
					t.Errorf("event %s: %v", e.ID, err)
					return
				case a.status == 422: // a type without a scenario
				case a.status != 200 || a.degraded() != "":
					t.Errorf("event %s = %s", e.ID, a)
					return
				default:
					c.mu.Lock()
					c.answers[e.ID] = a.body
					c.mu.Unlock()
				}
			}
		})
	}
	c.stop = sync.OnceFunc(func() { close(stop); running.Wait() })
	t.Cleanup(c.stop)
	return c
}

func (c *callers) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.answers)
}

// more waits until some more have been answered.
func (c *callers) more(t *testing.T, n int) {
	t.Helper()
	want := c.count() + n
	await(t, "more answers", func() bool { return c.count() >= want })
}

// release is the digest of the one that decides.
func (s *server) release() string {
	s.t.Helper()
	var v struct{ Release string }
	if err := json.Unmarshal(s.get("/version").body, &v); err != nil {
		s.t.Fatal(err)
	}
	return v.Release
}

// Good, broken, good under load. Every decision is made by the release that the
// journal says was active at its position, and by that one alone.
func TestReload(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "rules")
	if err := os.CopyFS(rules, os.DirFS(paymentRules)); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "rulesets="+rules)
	s.start()
	c := startCallers(t, s, 41)
	c.more(t, 20)

	path := filepath.Join(rules, "ruleset.yaml")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(good, []byte("expires: 48h")) {
		t.Fatal("ruleset.yaml has changed: this test edits the length of a hold")
	}
	write := func(path string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hangup := func() { s.cmd.Process.Signal(syscall.SIGHUP) }
	loaded := func() bool {
		return bytes.Contains(s.get("/metrics").body, []byte("\nsluice_ruleset_last_load_successful 1\n"))
	}
	versions := 1
	change := func(hours int) {
		t.Helper()
		before := s.release()
		write(path, bytes.Replace(good, []byte("expires: 48h"), fmt.Appendf(nil, "expires: %dh", hours), 1))
		if versions++; versions%2 == 0 { // else it is found without being told
			hangup()
		}
		await(t, "the new release", func() bool { return s.release() != before })
	}

	change(47)
	c.more(t, 20)

	card := filepath.Join(rules, "rules", "card.yaml")
	whole, err := os.ReadFile(card)
	if err != nil {
		t.Fatal(err)
	}
	before := s.release()
	write(card, bytes.Replace(whole, []byte("amount.base < 5"), []byte("amout.base < 5"), 1))
	hangup()
	await(t, "the broken directory to be noticed", func() bool { return !loaded() })
	c.more(t, 20)
	if got := s.release(); got != before {
		t.Errorf("the broken directory made %s decide, want %s to go on", got, before)
	}
	ready := s.get("/readyz")
	if ready.status != 503 && ready.status != 200 || !bytes.Contains(ready.body, []byte("the directory is broken")) || !bytes.Contains(ready.body, []byte("card.yaml:")) {
		t.Errorf("/readyz = %s, want what is broken", ready)
	}
	if log := s.logged(); !regexp.MustCompile(`rules/card\.yaml:\d+:\d+`).MatchString(log) || !strings.Contains(log, "amout") {
		t.Errorf("the log does not say file, line and column:\n%s", log)
	}
	write(card, whole)
	hangup()
	await(t, "the mended directory to be noticed", loaded)
	if got := s.release(); got != before {
		t.Errorf("the mended directory is %s, want %s", got, before)
	}
	if ready := s.get("/readyz"); ready.status != 200 {
		t.Errorf("/readyz = %s", ready)
	}
	for i := range torture(3, 300) {
		change(40 - i%30)
		c.more(t, 5)
	}
	c.stop()
	s.stop()

	history := activations(t, s.dir)
	if len(history) != versions {
		t.Errorf("%d activations, want %d", len(history), versions)
	}
	used := map[string]int{}
	for id, body := range c.answers {
		var d struct {
			Position journal.Position
			Versions risk.Versions
		}
		if err := json.Unmarshal(body, &d); err != nil {
			t.Fatal(err)
		}
		want := ""
		for _, a := range history {
			if a.at < d.Position {
				want = a.version
			}
		}
		if d.Versions.Ruleset != want {
			t.Errorf("event %s at position %d names ruleset %s, active was %s", id, d.Position, d.Versions.Ruleset, want)
		}
		used[want]++
	}
	if len(used) < min(versions, 5) {
		t.Errorf("%d versions decided, %d were activated", len(used), versions)
	}

	out, talk := sluice(t, "replay", "--journal", s.dir, "--decisions", "-")
	replayed := 0
	for line := range strings.Lines(out) {
		var d struct{ Event string }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		if body := c.answers[d.Event]; body != nil {
			if replayed++; bodyOf(t, body) != strings.TrimSuffix(line, "\n") {
				t.Fatalf("replay gives %s, the answer was %s", line, body)
			}
		}
	}
	if replayed != len(c.answers) {
		t.Errorf("replay gives %d of %d decisions", replayed, len(c.answers))
	}
	t.Logf("%d answers under %d activations; %s", len(c.answers), len(history), talk)
}
