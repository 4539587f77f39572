package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/featurelog"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/replay"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// tables, release and decoder are made once: they are immutable.
var tables = sync.OnceValue(func() *enrich.Tables {
	t, err := enrich.New(enrich.Options{})
	if err != nil {
		panic(err)
	}
	return t
})

var release = sync.OnceValue(func() *engine.Bundle {
	files, err := diag.ReadDir("../rulesets/payments")
	if err == nil {
		var b *engine.Bundle
		if b, err = engine.Build(files, tables()); err == nil {
			return b
		}
	}
	panic(err)
})

func decoder() *risk.Decoder { return &risk.Decoder{Secrets: risk.NewSecrets([32]byte{1})} }

// world gives the first n simulated events.
func world(seed uint64, n int) (events [][]byte) {
	w := simulate.New(simulate.Options{Seed: seed, People: 300, Gap: 20 * time.Second, Prefix: fmt.Sprint("w", seed, "-")})
	for range n {
		events = append(events, w.Next().Body)
	}
	return events
}

// clock is an arrival clock that tests move; event times lie around its value.
func clock() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func options() engine.Options {
	return engine.Options{
		Tables: tables(), Decoder: decoder(), Tenant: "default", DiskReserve: -1, Now: clock,
		CheckpointEvery: 50 * time.Millisecond, CheckpointEvents: 500,
		Journal: journal.Options{SegmentBytes: 4 << 20},
		Store:   store.Options{MemTable: 4 << 20},
		Log:     slog.New(slog.DiscardHandler),
	}
}

// running is a cell with its walk.
type running struct {
	*engine.Cell
	t    testing.TB
	stop context.CancelFunc
	done chan error
}

func start(t testing.TB, dir string, o engine.Options) *running {
	t.Helper()
	c, err := engine.Open(dir, o)
	if err != nil {
		t.Fatalf("Open(%s) = %v", dir, err)
	}
	return run(t, c, release())
}

func run(t testing.TB, c *engine.Cell, b *engine.Bundle) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{c, t, stop, make(chan error, 1)}
	go func() {
		err := c.Run(ctx)
		if err != nil { // what waits for an answer would wait for good
			panic(fmt.Sprintf("%s: Run() = %v", t.Name(), err))
		}
		r.done <- err
	}()
	if err := c.Begin(t.Context(), b, "test"); err != nil {
		t.Fatalf("Begin() = %v", err)
	}
	t.Cleanup(r.close)
	return r
}

// close drains the cell and closes its files; a second call does nothing.
func (r *running) close() {
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	if err := <-r.done; err != nil {
		r.t.Errorf("Run() = %v", err)
	}
	if err := r.Close(); err != nil {
		r.t.Errorf("Close() = %v", err)
	}
}

// feed submits events as a source does, and every third as HTTP does, and gives
// the results by index.
func (r *running) feed(events [][]byte, topicOffset int) []engine.Result {
	r.t.Helper()
	results := make([]engine.Result, len(events))
	var pending sync.WaitGroup
	for i, raw := range events {
		it := engine.NewItem(raw, "default")
		if i%3 == 0 {
			if err := r.Intake(it); err != nil {
				r.t.Fatalf("Intake(%s) = %v", raw, err)
			}
		} else {
			it.Source = risk.Source{Topic: "payments", Offset: int64(topicOffset + i)}
		}
		pending.Add(1)
		it.Reply = func(res engine.Result) { results[i] = res; pending.Done() }
		if err := r.SubmitWait(r.t.Context(), it); err != nil {
			r.t.Fatalf("SubmitWait() = %v", err)
		}
	}
	pending.Wait()
	return results
}

// replayed decides a journal again under the releases it activated.
func replayed(t testing.TB, dir string, batch int) (replay.Summary, []byte) {
	t.Helper()
	log, err := journal.OpenReadOnly(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var bodies bytes.Buffer
	sum, err := replay.New(replay.Options{
		Tables: tables(), Decoder: decoder(), Blobs: engine.Blobs(filepath.Join(dir, "blobs")),
		Decisions: &bodies, Batch: batch,
	}).Journal(t.Context(), log)
	if err != nil {
		t.Fatalf("replay of the journal = %v", err)
	}
	return sum, bodies.Bytes()
}

// decideFile decides events from a file under the release.
func decideFile(t testing.TB, events [][]byte, batch int) (decisions, features []byte) {
	t.Helper()
	var d, f bytes.Buffer
	_, err := replay.New(replay.Options{
		Bundle: release(), Tables: tables(), Decoder: decoder(), Tenant: "default",
		Decisions: &d, Features: featurelog.NewFile(&f, featurelog.CSV, "test"), Batch: batch,
	}).Events(t.Context(), bytes.NewReader(bytes.Join(events, []byte("\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return d.Bytes(), f.Bytes()
}

func bodies(results []engine.Result) []byte {
	var b bytes.Buffer
	for _, r := range results {
		if r.Verdict == engine.Decided {
			b.Write(r.Body)
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			t.Fatalf("%s: decision %d differs:\n got %s\nwant %s", what, i, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d decisions, want %d", what, len(g), len(w))
}

func TestSameBitsWhateverTheBatchAndTheCores(t *testing.T) {
	events := world(1, torture(3000, 3000))
	decisions, features := decideFile(t, events, 512)
	if n := bytes.Count(decisions, []byte("\n")); n < len(events)/6 {
		t.Fatalf("%d decisions from %d events: too few to mean anything", n, len(events))
	}
	for _, cores := range []int{1, 2, 4} {
		for _, batch := range []int{1, 7, 512} {
			old := runtime.GOMAXPROCS(cores)
			d, f := decideFile(t, events, batch)
			runtime.GOMAXPROCS(old)
			same(t, "decisions", d, decisions)
			same(t, "features", f, features)
		}
	}
}

func TestReplayGivesWhatWasDecidedLive(t *testing.T) {
	dir := t.TempDir()
	events := world(2, torture(2000, 2000))
	before := len(events) * 3 / 4
	c := start(t, dir, options())
	live := bodies(c.feed(events[:before], 0))
	c.close()

	sum, first := replayed(t, dir, 512)
	same(t, "replay", first, live)
	_, again := replayed(t, dir, 1)
	same(t, "replay in batches of one", again, live)

	c = start(t, dir, options()) // after a restart the rest is judged as if nothing had been
	live = append(live, bodies(c.feed(events[before:], before))...)
	c.close()
	sum2, all := replayed(t, dir, 512)
	same(t, "replay over a restart", all, live)
	if sum2.Decisions <= sum.Decisions {
		t.Fatalf("%d decisions after the restart, %d before", sum2.Decisions, sum.Decisions)
	}

	undisturbed := start(t, t.TempDir(), options())
	same(t, "a run without the restart", live, bodies(undisturbed.feed(events, 0)))
}

// A payment that was sent to be counted only is not decided by a replay, or when the
// journal is applied at the next start.
func TestWhatWasOnlyObservedStaysSo(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir, options())
	observe := func(raw []byte) engine.Result {
		it := engine.NewItem(raw, "default")
		if err := c.Intake(it); err != nil {
			t.Fatal(err)
		}
		it.Entry.Event.ObserveOnly = true
		done := make(chan engine.Result, 1)
		it.Reply = func(r engine.Result) { done <- r }
		if err := c.SubmitWait(t.Context(), it); err != nil {
			t.Fatal(err)
		}
		return <-done
	}
	live := bodies(c.feed([][]byte{paymentAt("first", 20, "10.00")}, 0))
	counted := paymentAt("counted", 20, "10.00")
	if r := observe(counted); r.Verdict != engine.Observed {
		t.Fatalf("verdict = %s, want observed", r.Verdict)
	}
	live = append(live, bodies(c.feed([][]byte{paymentAt("last", 20, "10.00")}, 1))...)
	c.close()

	sum, again := replayed(t, dir, 512)
	same(t, "replay", again, live)
	if sum.Decisions != 2 {
		t.Errorf("%d decisions, want 2", sum.Decisions)
	}
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	c = start(t, dir, options()) // from the journal alone
	if r := c.feed([][]byte{counted}, 2)[0]; r.Verdict != engine.Duplicate || r.Body != nil {
		t.Errorf("sent again after a restart: %s with the decision %q, want a duplicate without one", r.Verdict, r.Body)
	}
}

func TestTheSameEventAgain(t *testing.T) {
	dir := t.TempDir()
	events := world(3, 300)
	c := start(t, dir, options())
	first := c.feed(events, 0)
	end := c.Status().End
	again := c.feed(events, 1000)
	for i := range first {
		if again[i].Verdict != engine.Duplicate || !bytes.Equal(again[i].Body, first[i].Body) || again[i].Body != nil && again[i].Position != first[i].Position {
			t.Fatalf("event %d again = %s at %d, want duplicate of %d with the same bytes", i, again[i].Verdict, again[i].Position, first[i].Position)
		}
	}
	if got := c.Status().End; got != end {
		t.Errorf("the journal grew from %d to %d by duplicates that were durable", end, got)
	}
	c.close()
	c = start(t, dir, options())
	for i, r := range c.feed(events, 2000) {
		if r.Verdict != engine.Duplicate || !bytes.Equal(r.Body, first[i].Body) {
			t.Fatalf("event %d after a restart = %s, want duplicate with the same bytes", i, r.Verdict)
		}
	}
	// Both in one batch: the walk itself tells them apart.
	twice := world(4, 40)
	r := c.feed(append(append([][]byte{}, twice...), twice...), 3000)
	for i := range twice {
		if r[i].Verdict == engine.Duplicate || r[40+i].Verdict != engine.Duplicate || !bytes.Equal(r[i].Body, r[40+i].Body) {
			t.Fatalf("sent twice at once: %s then %s", r[i].Verdict, r[40+i].Verdict)
		}
	}
}

// What is remembered ages from its acceptance on, not from its own time.
func TestAnOldEventIsKnownAgain(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir, options())
	old := paymentAt("old", 60, "10.00")
	expect := func(raw []byte, want engine.Verdict) {
		t.Helper()
		if got := c.feed([][]byte{raw}, 0)[0].Verdict; got != want {
			t.Errorf("verdict = %s, want %s", got, want)
		}
	}
	expect(paymentAt("first", 20, "10.00"), engine.Decided)
	expect(old, engine.Decided)
	expect(old, engine.Duplicate)
	c.close()
	c = start(t, dir, options())
	expect(old, engine.Duplicate)
	expect(paymentAt("six days later", 14, "10.00"), engine.Decided)
	expect(old, engine.Duplicate)
	expect(paymentAt("eight days later", 12, "10.00"), engine.Decided)
	expect(old, engine.Decided)
	expect(old, engine.Duplicate)
}

func TestOtherContentUnderAnIDIsAConflict(t *testing.T) {
	c := start(t, t.TempDir(), options())
	raw := `{"event":{"id":"e1","type":"payment.authorization","time":"2026-11-21T11:59:00Z"},"amount":{"value":"10.00","currency":"USD"},"customer":{"id":"u1"},"card":{"token":"c1"}}`
	other := bytes.Replace([]byte(raw), []byte("10.00"), []byte("11.00"), 1)
	first := c.feed([][]byte{[]byte(raw)}, 0)[0]
	if first.Verdict != engine.Decided {
		t.Fatalf("first = %s, %v", first.Verdict, first.Err)
	}
	if r := c.feed([][]byte{other}, 0)[0]; r.Verdict != engine.Conflict || r.Body != nil {
		t.Errorf("over HTTP = %s with a body of %d bytes, want conflict without", r.Verdict, len(r.Body))
	}
	it := &engine.Item{Raw: other, Tenant: "default", Source: risk.Source{Topic: "payments", Offset: 7}}
	done := make(chan engine.Result, 1)
	it.Reply = func(r engine.Result) { done <- r }
	if err := c.Submit(it); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.Verdict != engine.Refused || r.Refused.Reason != "conflict" || r.Refused.Source.Offset != 7 {
		t.Errorf("from a source = %s %+v, want refused as a conflict at offset 7", r.Verdict, r.Refused)
	}
	again, err := c.Find(first.Key)
	if err != nil || !bytes.Equal(again.Body, first.Body) {
		t.Errorf("the stored decision changed: %v", err)
	}
	if _, err := c.Find(risk.KeyOf("default", "nobody")); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("Find(unknown) = %v, want ErrNotFound", err)
	}
}

func TestFollowersSeeEveryPositionOnce(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir, options())
	c.feed(world(5, 400), 0)
	c.close()
	c = start(t, dir, options()) // what is followed now comes from the journal first
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	want := c.Status().End + 200
	var got []engine.Result
	done := make(chan error, 1)
	go func() {
		done <- c.Follow(ctx, 1, func(r []engine.Result) error {
			if got = append(got, r...); got[len(got)-1].Position >= want {
				return io.EOF
			}
			return nil
		})
	}()
	live := c.feed(world(6, 200), 400)
	if err := <-done; err != io.EOF {
		t.Fatal(err)
	}
	for i, r := range got {
		if r.Position != journal.Position(i+1) {
			t.Fatalf("result %d is at position %d", i, r.Position)
		}
	}
	same(t, "followed", bodies(got[len(got)-200:]), bodies(live))
	c.close()
	_, all := replayed(t, dir, 512)
	same(t, "followed from the start", bodies(got), all)
}

func TestTheBaseCurrencyStays(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir, options())
	files := maps.Clone(release().Files)
	files["ruleset.yaml"] = bytes.Replace(files["ruleset.yaml"], []byte("base_currency: USD"), []byte("base_currency: EUR"), 1)
	files["rates.csv"] = []byte("date,currency,rate\n2026-11-01,USD,0.9\n")
	euro, err := engine.Build(files, tables())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Activate(t.Context(), euro, "test"); !errors.Is(err, engine.ErrCurrency) {
		t.Errorf("Activate(EUR) on a USD journal = %v, want ErrCurrency", err)
	}
	c.close()
	c = start(t, dir, options())
	if _, err := c.Activate(t.Context(), euro, "test"); !errors.Is(err, engine.ErrCurrency) {
		t.Errorf("Activate(EUR) after a restart = %v, want ErrCurrency", err)
	}
}

func TestACellKeepsItsName(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir, options())
	name := c.Journal()
	c.close()
	c = start(t, dir, options())
	if got := c.Journal(); got != name || got == "" {
		t.Errorf("Journal() = %q after a restart, want %q", got, name)
	}
	c.close()
	o := options()
	o.Cell = "other"
	if _, err := engine.Open(dir, o); err == nil || !strings.Contains(err.Error(), "that of cell cell-0, not of other") {
		t.Errorf("Open() under another cell name = %v", err)
	}
}
