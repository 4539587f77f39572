package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/rules"
)

// tablesEvery is how often the files of look-up tables are looked at.
const tablesEvery = 2 * time.Second

// tableFiles are the configured tables.
func tableFiles(cfg *config.Config) enrich.Files {
	return enrich.Files{
		City: cfg.Geo.CityMMDB, Country: cfg.Geo.CountryMMDB, ASN: cfg.Geo.ASNMMDB, Anonymous: cfg.Geo.AnonymousMMDB,
		BINs: cfg.Tables.BINs, Disposable: cfg.Tables.Disposable, Free: cfg.Tables.Free,
	}
}

// watchTables takes up tables that are replaced, until ctx is done: soon after they
// are, and at once on SIGHUP. One that is broken leaves the table before it in use.
func watchTables(ctx context.Context, t *enrich.Tables, log *slog.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	tick := time.NewTicker(tablesEvery)
	defer tick.Stop()
	for {
		now := false
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			now = true
		case <-tick.C:
		}
		for _, c := range t.Refresh(now) {
			if c.Err != nil {
				log.Error("table not loaded; the one before it goes on", "table", c.Table, "file", c.Path, "version", c.Version, "err", c.Err)
			} else {
				log.Info("table in use", "table", c.Table, "file", c.Path, "version", c.Version)
			}
		}
	}
}

// needed gives what a configuration must have for facts that rules or features read
// and that will be missing without: by its keys, the names and where they are read.
func needed(set *rules.Ruleset, cfg *config.Config) map[string][]string {
	given := tableFiles(cfg)
	lacks := map[string][]string{}
	used := set.Used()
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if keys, ok := enrich.NeedsTable(name, given); !ok {
			at := used[name]
			lacks[keys] = append(lacks[keys], fmt.Sprintf("%s (%s:%d)", name, at.File, at.Line))
		}
	}
	return lacks
}

// tellNeeded says which tables a ruleset asks for and the configuration lacks.
func tellNeeded(out io.Writer, set *rules.Ruleset, cfg *config.Config) {
	lacks := needed(set, cfg)
	for _, keys := range slices.Sorted(maps.Keys(lacks)) {
		fmt.Fprintf(out, "note: without %s these are always missing: %s\n", keys, strings.Join(lacks[keys], ", "))
	}
}
