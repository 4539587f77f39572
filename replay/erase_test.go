package replay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
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

func tables(t *testing.T) *enrich.Tables {
	t.Helper()
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func release(t *testing.T, tables *enrich.Tables) *engine.Bundle {
	t.Helper()
	files, err := diag.ReadDir("../rulesets/payments")
	if err != nil {
		t.Fatal(err)
	}
	files["features.yaml"] = append(files["features.yaml"], `
  by_the_buyer: {count: {by: escrow, where: customer.id == escrow.buyer}}
  by_another:   {expr: "has(escrow.buyer) and customer.id != escrow.buyer ? 1 : 0"}
`...)
	b, err := engine.Build(files, tables)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decoder() *risk.Decoder { return &risk.Decoder{Secrets: risk.NewSecrets([32]byte{1})} }

// record makes a data directory of simulated events.
func record(t *testing.T, tables *enrich.Tables, b *engine.Bundle, events int) string {
	t.Helper()
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	c, err := engine.Open(dir, engine.Options{Tables: tables, Decoder: decoder(), Tenant: "default", DiskReserve: -1, Log: quiet,
		Journal: journal.Options{SegmentBytes: 4 << 20, Logger: quiet}, Store: store.Options{MemTable: 4 << 20, Logger: quiet}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	if err := c.Begin(ctx, b, "test"); err != nil {
		t.Fatal(err)
	}
	world := simulate.New(simulate.Options{Seed: 61, People: 300, Gap: 20 * time.Second})
	var pending sync.WaitGroup
	for i := range events {
		pending.Add(1)
		it := &engine.Item{Raw: world.Next().Body, Tenant: "default", Source: risk.Source{Topic: "payments", Offset: int64(i)},
			Reply: func(engine.Result) { pending.Done() }}
		if err := c.SubmitWait(ctx, it); err != nil {
			t.Fatal(err)
		}
	}
	pending.Wait()
	stop()
	if err := errors.Join(<-ran, c.Close()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// rewrite copies a journal through change, record by record. Its frames promise no
// digest of decisions: those that read what was erased are others.
func rewrite(t *testing.T, from, to string, change func([]byte) []byte) {
	t.Helper()
	in, err := journal.OpenReadOnly(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := journal.Open(to, journal.Options{SegmentBytes: 4 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := in.Read(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b := journal.Batch{}
		for _, rec := range frame.Records {
			b.Records = append(b.Records, change(rec))
		}
		if _, err := out.Append(&b); err != nil {
			t.Fatal(err)
		}
		if err := out.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func replayed(t *testing.T, tables *enrich.Tables, dir, blobs string) (sum replay.Summary, decisions, features []byte) {
	t.Helper()
	log, err := journal.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var d, f bytes.Buffer
	sum, err = replay.New(replay.Options{Tables: tables, Decoder: decoder(), Blobs: engine.Blobs(blobs), Decisions: &d, Features: featurelog.NewFile(&f, featurelog.CSV, "test")}).
		Journal(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	return sum, d.Bytes(), f.Bytes()
}

// A journal whose personal parts are erased gives the same features, event by
// event: they are computed from pseudonyms, amounts, times and facts.
func TestFeaturesOfAnErasedJournal(t *testing.T) {
	tables := tables(t)
	dir := record(t, tables, release(t, tables), 1500)
	whole, blobs, erased := filepath.Join(dir, "journal"), filepath.Join(dir, "blobs"), filepath.Join(t.TempDir(), "journal")
	shorter := 0
	rewrite(t, whole, erased, func(rec []byte) []byte {
		out := risk.EraseEntry(rec)
		var e risk.Entry
		if err := risk.DecodeEntry(out, &e); err != nil {
			t.Fatal(err)
		}
		if e.Event == nil {
			return out
		}
		if len(out) < len(rec) {
			shorter++
		}
		ev := &e.Event.Event
		if personal := risk.AppendPersonal(nil, ev); !e.Event.Erased || len(personal) > 2 {
			t.Fatalf("erased: %v, left: %s", e.Event.Erased, personal)
		}
		return out
	})
	if shorter < 1000 {
		t.Fatalf("%d of 1500 records had something to erase: too few to mean anything", shorter)
	}
	sum, decisions, features := replayed(t, tables, whole, blobs)
	again, without, same := replayed(t, tables, erased, blobs)
	if again.Events != sum.Events || again.Decisions != sum.Decisions || sum.Decisions < 300 {
		t.Errorf("erased: %d events, %d decisions; whole: %d, %d", again.Events, again.Decisions, sum.Events, sum.Decisions)
	}
	g, w := bytes.Split(same, []byte("\n")), bytes.Split(features, []byte("\n"))
	if len(g) != len(w) {
		t.Fatalf("%d rows, want %d", len(g), len(w))
	}
	action := regexp.MustCompile(`^((?:[^,]*,){6})[a-z]+,`) // decisions may read what was erased
	for i := range w {
		g[i], w[i] = action.ReplaceAll(g[i], []byte("$1,")), action.ReplaceAll(w[i], []byte("$1,"))
		if !bytes.Equal(g[i], w[i]) {
			t.Fatalf("row %d is %s, before erasing %s", i, g[i], w[i])
		}
	}
	column := slices.Index(strings.Split(string(w[0]), ","), "by_another")
	seen := map[string]bool{}
	for _, row := range w[1 : len(w)-1] {
		seen[strings.Split(string(row), ",")[column]] = true
	}
	if !seen["0"] || !seen["1"] {
		t.Errorf("who pays for an escrow was compared with its buyer: %v", seen)
	}
	different := 0
	d, e := bytes.Split(decisions, []byte("\n")), bytes.Split(without, []byte("\n"))
	for i := range min(len(d), len(e)) {
		if !bytes.Equal(d[i], e[i]) {
			different++
		}
	}
	t.Logf("%d of %d decisions read what was erased", different, sum.Decisions)
}
