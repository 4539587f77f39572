package doctor

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

const restoreJournal = "do not start a server on it; restore the file that is named from a copy (docs: When things go wrong)"

// state looks at journal and store, and tells whether a server holds them.
func (e *examination) state() (running bool) {
	cfg := e.cfg
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "state")); errors.Is(err, fs.ErrNotExist) && empty(cfg.Journal.Dir) {
		return false // nothing has run here yet; files has said so
	}
	log, err := engine.InspectJournal(e.ctx, cfg.Journal.Dir, e.Whole)
	known := false
	switch {
	case errors.Is(err, journal.ErrLocked):
		e.ok("journal", "in use by a server")
		return true
	case err != nil:
		e.problem("journal", restoreJournal, "%v", err)
	case log.End == 0:
		e.ok("journal", "empty")
	default:
		known = true
		read := ""
		if e.Whole {
			read = ", every checksum right"
		}
		e.ok("journal", "positions %d to %d in %d segments, %s; events of %s to %s (%s)%s", log.First, log.End, log.Segments, size(log.Bytes),
			log.Oldest, log.Newest, span(log.Span()), read)
		if log.Torn > 0 {
			e.ok("journal", "a torn write of %d bytes at the end, from a crash: the next start cuts it, nothing answered is lost", log.Torn)
		}
		if ahead := log.Arrived.Time().Sub(e.Now()); ahead > time.Minute {
			e.problem("clock", "set the clock right before a server starts: arrivals would go back", "the newest event in the journal arrived %s from now", span(ahead))
		}
		if limit := int64(cfg.Journal.RetainBytes); log.Bytes > limit {
			e.warn("journal", "more room, a larger journal.retain_bytes, or shorter windows: what windows, labels and duplicates need is kept", "%s, journal.retain_bytes is %s", size(log.Bytes), size(limit))
		}
	}

	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		e.problem("store", "this program is damaged: install it again", "%v", err)
		return false
	}
	st, err := engine.InspectStore(filepath.Join(cfg.DataDir, "state"), e.blobs(), tables, store.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	switch {
	case errors.Is(err, store.ErrLocked):
		e.ok("store", "in use by a server")
		return true
	case errors.Is(err, store.ErrNoSpace):
		e.problem("store", "free space: a start is refused too", "%v", err)
		return false
	case err != nil && known && log.First == 1:
		e.problem("store", "move "+filepath.Join(cfg.DataDir, "state")+" away and start: it is computed again from the journal", "%v", err)
		return false
	case err != nil:
		e.problem("store", "restore state/ from a copy: the journal no longer begins at position 1", "%v", err)
		return false
	}
	e.ok("store", "checkpoint at position %d; %d values of entities, %s, every sum right", st.Position, st.Keys, size(st.Bytes))
	if known {
		switch {
		case st.Position > log.End:
			e.problem("store", restoreJournal, "the store has applied position %d, the journal ends at %d: entries are missing", st.Position, log.End)
		case st.Position+1 < log.First:
			e.problem("store", "restore state/ from a copy that has applied more", "the store has applied position %d, the journal begins at %d: entries between them are missing", st.Position, log.First)
		}
		if st.Genesis.Cell != "" && st.Genesis.Cell != cfg.Cell {
			e.problem("cell", "put cell back", "the journal is that of cell %s, the configuration says %s", st.Genesis.Cell, cfg.Cell)
		}
	}
	switch {
	case st.Active.SHA256 == "":
		e.warn("release", "mend the ruleset; the next start activates it", "none is active")
	case st.Blob != nil:
		e.problem("release", "restore blobs/"+st.Active.SHA256+" from a copy", "%v", st.Blob)
	default:
		e.ok("release", "%s %.12s, active since %s", st.Active.Name, st.Active.SHA256, st.Active.At)
		e.reach(st.Bundle, log, known)
	}
	return false
}

// reach compares how long the journal is kept with what the release asks for.
func (e *examination) reach(b *engine.Bundle, log engine.JournalState, known bool) {
	need, retain := b.Needs(), e.cfg.Journal.Retain
	switch {
	case retain < need:
		e.warn("windows", "journal.retain: "+span(need+24*time.Hour)+" or more, so that a feature that is added knows its whole window",
			"windows, labels and duplicates reach back %s, journal.retain is %s", span(need), span(retain))
	case known && log.First > 1 && log.Span() < need:
		e.warn("windows", "wait, or raise journal.retain_bytes: a feature that is added now does not know its whole window",
			"windows, labels and duplicates reach back %s, the journal %s", span(need), span(log.Span()))
	default:
		e.ok("windows", "windows, labels and duplicates reach back %s, journal.retain is %s", span(need), span(retain))
	}
}

// old is when a table is told to be old: providers bring out a new one each week
// or month.
const old = 90 * 24 * time.Hour

// tables looks at the files that facts are looked up in.
func (e *examination) tables() {
	for _, o := range e.cfg.Origins() {
		section, _, _ := strings.Cut(o.Key, ".")
		if o.Value == "" || section != "geo" && section != "tables" {
			continue
		}
		info, err := os.Stat(o.Value)
		if err != nil {
			e.problem(o.Key, "put the file there, or change the key", "%v", err)
			continue
		}
		made, what := info.ModTime(), "was written"
		if strings.HasSuffix(o.Key, "_mmdb") {
			r, err := maxminddb.Open(o.Value)
			if err != nil {
				e.problem(o.Key, "put a MaxMind DB there, or change the key", "%s: %v", o.Value, err)
				continue
			}
			made, what = r.Metadata.BuildTime(), "("+r.Metadata.DatabaseType+") was built"
			r.Close()
		}
		if age := e.Now().Sub(made); age > old {
			e.warn(o.Key, "fetch a newer one", "%s %s %s ago", o.Value, what, span(age))
		} else {
			e.ok(o.Key, "%s %s %s ago", o.Value, what, span(age))
		}
	}
	if _, err := enrich.New(enrich.Options{Files: e.Tables}); err != nil {
		e.problem("tables", "mend the file that is named", "%v", err)
	}
}

// ruleset looks at the directory that the next release comes from.
func (e *examination) ruleset() {
	dir := e.cfg.Rulesets
	files, err := diag.ReadDir(dir)
	if err != nil {
		e.problem("ruleset", "put a ruleset there, or change rulesets", "%v", err)
		return
	}
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		return // state says so
	}
	b, err := engine.Build(files, tables)
	if list, ok := errors.AsType[diag.List](err); ok {
		e.problem("ruleset", "sluice check "+dir+" shows them; until then the release before goes on", "%s has %d mistakes, the first: %v", dir, len(list), list[0])
		return
	} else if err != nil {
		e.problem("ruleset", "sluice check "+dir, "%s: %v", dir, err)
		return
	}
	e.ok("ruleset", "%s: %s, %d features", dir, b.Rules.Name, len(b.Rules.Features.Names()))
	newest := lastRate(files["rates.csv"])
	if newest.IsZero() {
		return
	}
	if age := e.Now().Sub(newest); age > 7*24*time.Hour {
		e.warn("rates", "add newer rows to rates.csv: amount.base is computed with these", "the newest rate is of %s", newest.Format(time.DateOnly))
	} else {
		e.ok("rates", "the newest rate is of %s", newest.Format(time.DateOnly))
	}
}

// lastRate gives the newest date of rates.csv.
func lastRate(csv []byte) (newest time.Time) {
	for line := range strings.Lines(string(csv)) {
		date, _, _ := strings.Cut(line, ",")
		if t, err := time.Parse(time.DateOnly, date); err == nil && t.After(newest) {
			newest = t
		}
	}
	return newest
}
