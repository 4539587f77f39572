package featurelog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/atomicfile"
	"github.com/sluice-risk/sluice/store/journal"
)

// Options say where a log is kept and when a new file begins.
type Options struct {
	Dir      string
	Format   Format
	Bytes    int64         // a file has about this size at most, 256 MiB
	Every    time.Duration // and is this old at most, an hour
	Program  string        // what made it
	Log      *slog.Logger
	Register prometheus.Registerer
}

// Cell is what a log follows.
type Cell interface {
	Journal() string
	First() journal.Position
	Follow(ctx context.Context, from journal.Position, each func([]engine.Result) error) error
	Status() engine.Status
	// Release finds the release with these features, among those that have decided.
	Release(features string) (*engine.Bundle, error)
}

// Log is a directory of files. Each says in its name for which positions it is
// complete; the next begins behind the last. What is not complete is a hidden file,
// which a start removes: its rows are read from the journal again.
type Log struct {
	o       Options
	cell    Cell
	metrics *metrics

	mu      sync.Mutex // one of following and ticking at a time
	schemas map[string]*Schema
	schema  *Schema
	from    journal.Position // first that no complete file holds
	next    journal.Position // first that has not been seen
	part    *part            // nil: no row since from
	row     Row
	failed  string                  // why nothing is written; empty: it is
	again   context.CancelCauseFunc // makes follow begin again
}

// part is a file that is being written.
type part struct {
	file  *os.File
	out   *bufio.Writer
	rows  *File
	began time.Time
}

// state is kept beside the files, so that they may be moved away.
type state struct {
	Journal string           `json:"journal"`
	Next    journal.Position `json:"next"`
}

const stateName = ".position"

// New prepares a log; Run does the rest.
func New(cell Cell, o Options) *Log {
	if o.Bytes == 0 {
		o.Bytes = 256 << 20
	}
	if o.Every == 0 {
		o.Every = time.Hour
	}
	return &Log{o: o, cell: cell, metrics: newMetrics(o.Register), schemas: map[string]*Schema{}}
}

// Check tells how the log stands, for /readyz.
func (l *Log) Check() (ok bool, detail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != "" {
		return false, l.failed
	}
	return true, fmt.Sprintf("position %d", max(l.from, 1)-1)
}

// Run follows the cell until ctx is done, then completes the file under way. What
// cannot be written is said and tried again; decisions do not wait for it. An error
// is a directory that belongs to another journal.
func (l *Log) Run(ctx context.Context) error {
	if err := l.open(); err != nil {
		return err
	}
	ticking, stop := context.WithCancel(ctx)
	var ticks sync.WaitGroup
	ticks.Go(func() { l.tick(ticking) })
	defer func() { stop(); ticks.Wait() }()
	for ctx.Err() == nil {
		err := l.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		l.fail(err)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.complete(); err != nil {
		l.o.Log.Error("feature log: the last file is not complete, its rows are written after the next start", "dir", l.o.Dir, "err", err)
	}
	return nil
}

// open finds out where the files end.
func (l *Log) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.MkdirAll(l.o.Dir, 0o700); err != nil {
		return fmt.Errorf("featurelog: %w", err)
	}
	var s state
	b, err := os.ReadFile(filepath.Join(l.o.Dir, stateName))
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("featurelog: %s: %w", filepath.Join(l.o.Dir, stateName), err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("featurelog: %w", err)
	}
	if s.Journal != "" && s.Journal != l.cell.Journal() {
		return fmt.Errorf("featurelog: %s holds features of journal %s, this one is %s: give each journal a directory of its own", l.o.Dir, s.Journal, l.cell.Journal())
	}
	entries, err := os.ReadDir(l.o.Dir)
	if err != nil {
		return fmt.Errorf("featurelog: %w", err)
	}
	l.from = max(s.Next, 1)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), atomicfile.Unfinished) || orphan(l.o.Dir, e.Name()) {
			if err := os.Remove(filepath.Join(l.o.Dir, e.Name())); err != nil {
				return fmt.Errorf("featurelog: %w", err)
			}
		}
		if _, last, ok := Positions(e.Name()); ok {
			if s.Journal == "" {
				return fmt.Errorf("featurelog: %s holds files and no %s, which says of which journal they are: restore it, or give another directory", l.o.Dir, stateName)
			}
			l.from = max(l.from, last+1) // completed, and the state not yet written
		}
	}
	return l.save()
}

// orphan is what was to lie beside a CSV file that never came.
func orphan(dir, name string) bool {
	base, ok := strings.CutSuffix(name, ".json")
	if !ok || !strings.HasPrefix(name, "features-") {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, base+".csv"))
	return errors.Is(err, fs.ErrNotExist)
}

// Positions reads the name of a complete file: what it is complete for.
func Positions(name string) (first, last journal.Position, ok bool) {
	rest, ok := strings.CutPrefix(name, "features-")
	base, kind, dot := strings.Cut(rest, ".")
	a, b, dash := strings.Cut(base, "-")
	f, err1 := strconv.ParseUint(a, 10, 64)
	t, err2 := strconv.ParseUint(b, 10, 64)
	if !ok || !dot || !dash || err1 != nil || err2 != nil || kind != "csv" && kind != "parquet" || t < f {
		return 0, 0, false
	}
	return journal.Position(f), journal.Position(t), true
}

func (l *Log) save() error {
	b, err := json.Marshal(state{l.cell.Journal(), l.from})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(l.o.Dir, stateName), append(b, '\n'))
}

// follow writes what comes. It ends with the first error.
func (l *Log) follow(ctx context.Context) error {
	ctx, again := context.WithCancelCause(ctx)
	defer again(nil)
	l.mu.Lock()
	l.drop()
	if first := l.cell.First(); first > l.from {
		l.o.Log.Warn("feature log: the journal begins later; decisions before are not written", "from", l.from, "first", first)
		l.from, l.next = first, first
	}
	from := l.from
	l.again = again
	l.mu.Unlock()
	err := l.cell.Follow(ctx, from, func(results []engine.Result) error {
		began := time.Now()
		if err := l.take(results); err != nil {
			return err
		}
		// Far behind, as on the first start, half of the time belongs to the others.
		if last := results[len(results)-1].Position; l.cell.Status().Durable > last+catchUp {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Since(began)):
			}
		}
		return nil
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

const catchUp = 1 << 16

func (l *Log) take(results []engine.Result) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range results {
		r := &results[i]
		if r.Position != l.next {
			return fmt.Errorf("featurelog: position %d follows %d", r.Position, l.next-1)
		}
		if r.Verdict == engine.Decided {
			if err := l.write(r); err != nil {
				return err
			}
		}
		l.next++
	}
	l.failed = ""
	l.metrics.seen.Set(float64(l.next - 1))
	if l.part == nil {
		return nil
	}
	if l.part.rows.Bytes() >= l.o.Bytes {
		return l.complete()
	}
	return nil
}

// write adds a row, to a new file where the features or the engine have changed.
func (l *Log) write(r *engine.Result) error {
	versions, err := VersionsOf(r.Body)
	if err != nil {
		return fmt.Errorf("%w, position %d", err, r.Position)
	}
	if l.schema == nil || l.schema.Digest != versions.Features {
		if l.schema, err = l.schemaOf(versions.Features); err != nil {
			return fmt.Errorf("%w, position %d", err, r.Position)
		}
	}
	at, _ := features.Clamp(r.Time, r.Arrival)
	row := &l.row
	*row = Row{Event: r.Event, Tenant: r.Tenant, Type: r.Type, Scenario: r.Scenario, Action: r.Action, At: at, Position: r.Position, Versions: versions, Values: row.Values}
	if err := l.schema.Values(r.Body, row); err != nil {
		return fmt.Errorf("%w, position %d", err, r.Position)
	}
	if l.part == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	err = l.part.rows.Write(l.schema, row)
	if _, changed := errors.AsType[*ChangedError](err); changed {
		if err = l.complete(); err != nil {
			return err
		}
		if err = l.begin(); err != nil {
			return err
		}
		err = l.part.rows.Write(l.schema, row)
	}
	return err
}

func (l *Log) schemaOf(digest string) (*Schema, error) {
	if s := l.schemas[digest]; s != nil {
		return s, nil
	}
	b, err := l.cell.Release(digest)
	if err != nil {
		return nil, fmt.Errorf("featurelog: %w", err)
	}
	l.schemas[digest] = SchemaOf(b)
	return l.schemas[digest], nil
}

func (l *Log) begin() error {
	f, err := os.CreateTemp(l.o.Dir, atomicfile.Unfinished+"*")
	if err != nil {
		return fmt.Errorf("featurelog: %w", err)
	}
	out := bufio.NewWriterSize(f, 1<<16)
	l.part = &part{file: f, out: out, rows: NewFile(out, l.o.Format, l.o.Program), began: time.Now()}
	return nil
}

// complete makes the file under way one of those that stay: whole on the disk,
// then under its name, then behind it in the state. A crash in between leaves the
// name, and the name says where to go on.
func (l *Log) complete() error {
	p := l.part
	if p == nil {
		return nil
	}
	last := l.next - 1
	p.rows.Covers(l.from, last)
	path := filepath.Join(l.o.Dir, fmt.Sprintf("features-%012d-%012d.", l.from, last))
	err := errors.Join(p.rows.Close(l.schema), p.out.Flush(), p.file.Sync())
	if err == nil && l.o.Format == CSV {
		var companion []byte
		if companion, err = p.rows.Companion(); err == nil {
			err = atomicfile.Write(path+"json", companion)
		}
	}
	if err != nil {
		return fmt.Errorf("featurelog: %w", err)
	}
	name := path + "csv"
	if l.o.Format == Parquet {
		name = path + "parquet"
	}
	if err := errors.Join(os.Rename(p.file.Name(), name), atomicfile.SyncDir(l.o.Dir)); err != nil {
		return fmt.Errorf("featurelog: %w", err)
	}
	p.file.Close()
	l.metrics.completed(p.rows.Rows(), last)
	l.part, l.from = nil, l.next
	return l.save()
}

// drop gives up the file under way; its rows are read again.
func (l *Log) drop() {
	if l.part != nil {
		l.part.file.Close()
		os.Remove(l.part.file.Name())
		l.part = nil
	}
	l.next = l.from
}

// tick completes files that are old enough though nothing comes.
func (l *Log) tick(ctx context.Context) {
	t := time.NewTicker(min(l.o.Every, time.Second))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		l.mu.Lock()
		if l.part != nil && time.Since(l.part.began) >= l.o.Every {
			if err := l.complete(); err != nil {
				l.again(err)
			}
		}
		l.mu.Unlock()
	}
}

func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err.Error()
	l.metrics.failures.Inc()
	l.o.Log.Error("feature log: cannot write, trying again", "dir", l.o.Dir, "err", err)
}
