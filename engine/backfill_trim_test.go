package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/replay"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// shortRelease looks back a day, and forever, so that its journal may be released.
func shortRelease(t testing.TB, features ...string) *engine.Bundle {
	t.Helper()
	files, err := diag.ReadDir("../internal/api/testdata/ruleset")
	if err != nil {
		t.Fatal(err)
	}
	files = maps.Clone(files)
	files["features.yaml"] = []byte(`apiVersion: features/v1
limits: {allowed_lateness: 1h, label_horizon: 1d, dedup: 1h}
entities:
  customer: {key: customer.id}
  card: {key: card.token}
features:
  attempts_10m: {count: {by: customer, window: 10m, events: [payment.authorization]}}
  events_24h: {count: {by: customer, window: 24h}}
  ever: {count: {by: customer}}
  ` + strings.Join(features, "\n  ") + "\n")
	b, err := engine.Build(files, tables())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// When the journal no longer begins at its beginning, a backfill gives what an engine
// would know that had begun there, and says what is not complete; the activation says
// what old features lose by it.
func TestBackfillOfAReleasedJournal(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	o := options()
	o.RetainJournal, o.RetainBytes = time.Hour, 1
	o.CheckpointEvents, o.BatchEvents = 100, 20
	o.Journal = journal.Options{SegmentBytes: 64 << 10}
	random := seeded(t, 7)
	events := dense(random, 3000)
	c := startWith(t, dir, o, shortRelease(t))
	c.feed(events[:2000], 0)
	c.close()

	read, err := journal.OpenReadOnly(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	first := read.First()
	read.Close()
	if first < 100 {
		t.Fatalf("the journal begins at %d still: nothing to test", first)
	}
	o.RetainJournal, o.RetainBytes = 0, 0
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	next := shortRelease(t, "card_2d: {sum: {by: card, of: amount.base, window: 2d}}", "card_ever: {distinct: {by: card, of: amount.value}}")
	c = startWith(t, dir, o, next)
	a, err := c.Activate(t.Context(), next, "test")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Missing, []string{"card_2d", "card_ever"}) || !slices.Equal(a.Forgets, []string{"ever"}) {
		t.Errorf("Activate() = %+v, want card_2d and card_ever missing, ever forgetting", a)
	}
	c.learned()
	live := bodies(c.feed(events[2000:], 2000))
	c.close()
	if !strings.Contains(log.String(), "will forget what lies before") || !strings.Contains(log.String(), "backfill complete") {
		t.Errorf("the log says\n%s", log.String())
	}

	read, err = journal.OpenReadOnly(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if got := read.First(); got != first {
		t.Fatalf("the journal begins at %d, before the backfill at %d", got, first)
	}
	var oracle bytes.Buffer
	if _, err := replay.New(replay.Options{Bundle: next, Tables: tables(), Decoder: decoder(), Decisions: &oracle}).Journal(t.Context(), read); err != nil {
		t.Fatal(err)
	}
	want := bytes.Split(oracle.Bytes(), []byte("\n"))
	got := bytes.Split(live, []byte("\n"))
	want = want[len(want)-len(got):]
	partial := 0
	for i := range got {
		if len(got[i]) == 0 {
			continue
		}
		g, listed := withoutPartial(t, got[i])
		w, _ := withoutPartial(t, want[i])
		if g != w {
			t.Fatalf("decision %d:\n got %s\nwant %s", i, g, w)
		}
		if !slices.Contains(listed, "ever") || !slices.Contains(listed, "card_ever") || slices.Contains(listed, "attempts_10m") {
			t.Fatalf("decision %d lists %v as partial", i, listed)
		}
		if slices.Contains(listed, "card_2d") {
			partial++
		}
	}
	if partial == len(got) {
		t.Error("a window of two days is never complete")
	}
}

// withoutPartial gives a body without the list of partial features, and their names.
func withoutPartial(t testing.TB, body []byte) (string, []string) {
	t.Helper()
	var m map[string]json.RawMessage
	var list []risk.Partial
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if p := m["partial_since"]; p != nil {
		if err := json.Unmarshal(p, &list); err != nil {
			t.Fatal(err)
		}
	}
	delete(m, "partial_since")
	var names []string
	for _, p := range list {
		names = append(names, p.Features...)
	}
	var rest strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&rest, "%s: %s\n", k, m[k])
	}
	return rest.String(), names
}
