package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/api"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
)

// releases watches a ruleset directory. What changes is read whole, checked and
// tested; only then it is activated, through the journal. A directory that is
// broken changes nothing: the release before it goes on, and the log, a metric,
// the health check and the page say why.
type releases struct {
	dir    string
	cfg    *config.Config
	cell   *engine.Cell
	tables *enrich.Tables
	log    *slog.Logger
	loaded prometheus.Gauge

	mu    sync.Mutex
	state api.Release
	seen  diag.Files           // the directory as it was last judged
	dated map[string]time.Time // when a list's file was last written, by list
	lost  []string             // features that the release has made forget a part of their past
}

func newReleases(cfg *config.Config, cell *engine.Cell, tables *enrich.Tables, log *slog.Logger, r prometheus.Registerer) *releases {
	w := &releases{dir: cfg.Rulesets, cfg: cfg, cell: cell, tables: tables, log: log,
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{Name: "sluice_ruleset_last_load_successful",
			Help: "1 when the ruleset directory's present content is the active release, 0 when it is broken."})}
	r.MustRegister(w.loaded, releaseMetrics{w})
	return w
}

// State tells how the release and the directory stand.
func (w *releases) State() api.Release {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// load judges the directory as it is and activates it when it is good and new.
func (w *releases) load(ctx context.Context) error {
	files, err := diag.ReadDir(w.dir)
	if err == nil {
		err = w.judge(ctx, files)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = files
	w.state.Dir = w.dir
	w.state.Checked = time.Now()
	if b := w.cell.Bundle(); b != nil {
		w.state.Name, w.state.SHA256 = b.Rules.Name, b.SHA256
	}
	if w.state.Problem = ""; err != nil {
		w.state.Problem = err.Error()
		if list, ok := errors.AsType[diag.List](err); ok {
			var text bytes.Buffer
			diag.Render(&text, list, files)
			w.state.Problem = text.String()
		}
		w.loaded.Set(0)
		return err
	}
	w.loaded.Set(1)
	return nil
}

func (w *releases) judge(ctx context.Context, files diag.Files) error {
	b, err := engine.Build(files, w.tables)
	if err != nil {
		return err
	}
	if old := w.cell.Bundle(); old != nil && old.SHA256 == b.SHA256 {
		return nil
	}
	var shown bytes.Buffer
	_, failed, err := testRelease(b, &shown)
	if err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of the ruleset's own tests fail:\n%s", failed, shown.Bytes())
	}
	if err := w.cell.Begin(ctx, b, w.dir); err != nil {
		return err
	}
	var activated engine.Activated
	if old := w.cell.Bundle(); old == nil || old.SHA256 != b.SHA256 {
		if activated, err = w.cell.Activate(ctx, b, w.dir); err != nil {
			return err
		}
	}
	w.forgets(activated.Forgets)
	for _, d := range b.Rules.Warnings() {
		w.log.Warn("ruleset", "at", d.Span.String(), "warning", d.Message, "help", d.Help)
	}
	w.log.Info("release active", "ruleset", b.Rules.Name, "version", b.SHA256[:12], "rules", len(b.Rules.Rules()), "features", len(b.Rules.Features.Names()), "missing", len(activated.Missing))
	for keys, names := range needed(b.Rules, w.cfg) {
		w.log.Warn("the release reads facts whose table is not configured: they are missing", "key", keys, "names", strings.Join(names, ", "))
	}
	return nil
}

// watch looks at the directory every second, and at once on SIGHUP. A directory
// is judged when two looks find it the same, so a copy under way is left alone.
func (w *releases) watch(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last diag.Files
	for {
		forced := false
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			forced = true
		case <-tick.C:
		}
		files, err := diag.ReadDir(w.dir)
		if err != nil {
			files = nil
		}
		changed, settled := !same(files, w.seen), same(files, last)
		last = files
		if !forced && (!changed || !settled) {
			continue
		}
		if err := w.load(ctx); err != nil && ctx.Err() == nil {
			w.log.Error("ruleset not loaded; the release before it goes on", "dir", w.dir, "err", err)
		}
	}
}

// forgets keeps what the active release has lost, for the health check.
func (w *releases) forgets(features []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = features
}

func same(a, b diag.Files) bool {
	return (a == nil) == (b == nil) && maps.EqualFunc(a, b, slices.Equal[[]byte])
}

// check is the release's line of the health check.
func (w *releases) check() (bool, string) {
	s := w.State()
	if s.SHA256 == "" {
		return false, "no release is active"
	}
	if s.Problem != "" {
		return false, "release " + s.SHA256[:12] + " goes on; the directory is broken: " + s.Problem
	}
	detail := s.Name + " " + s.SHA256[:12]
	if b := w.cell.Backfill(); len(b.Features) > 0 {
		detail += fmt.Sprintf("; %d features are missing until their backfill is complete, %.0f %% done", len(b.Features), 100*b.Progress())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lost) > 0 {
		detail += "; no longer known from before the journal's first position: " + strings.Join(w.lost, ", ")
	}
	return true, detail
}
