package featurelog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// release has features that no event ever filled: their values are made up here.
func release(t *testing.T, features ...string) *engine.Bundle {
	t.Helper()
	text := "apiVersion: features/v1\nentities:\n  card: {key: card.token}\nfeatures:\n"
	for _, name := range features {
		text += "  " + name + ": {count: {by: card, window: 1h}}\n"
	}
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.Build(diag.Files{
		"ruleset.yaml":  []byte("apiVersion: ruleset/v1\nruleset: r\nbase_currency: USD\nscenarios:\n  pay:\n    events: [transfer]\n    subject: customer.id\n    timeout: {then: review}\n    missing_feature: ignore\n"),
		"reasons.yaml":  []byte("apiVersion: reasons/v1\nreasons:\n  R1: {public: {en: one}}\n"),
		"features.yaml": []byte(text),
		"rules/r.yaml":  []byte("apiVersion: rules/v1\nscenario: pay\nrules:\n  - {id: r, stage: review, when: amount.base > 1, reason: R1}\n"),
	}, tables)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cell is a journal that is only results.
type cell struct {
	mu       sync.Mutex
	name     string
	first    journal.Position
	results  []engine.Result
	changed  chan struct{}
	releases []*engine.Bundle
}

func newCell(name string) *cell { return &cell{name: name, first: 1, changed: make(chan struct{})} }

func (c *cell) Journal() string         { return c.name }
func (c *cell) First() journal.Position { return c.first }
func (c *cell) Status() engine.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return engine.Status{Durable: journal.Position(len(c.results))}
}

func (c *cell) Release(features string) (*engine.Bundle, error) {
	for _, b := range c.releases {
		if b.Rules.Versions().Features == features {
			return b, nil
		}
	}
	return nil, errors.New("none")
}

func (c *cell) Follow(ctx context.Context, from journal.Position, each func([]engine.Result) error) error {
	for {
		c.mu.Lock()
		n, changed := len(c.results), c.changed
		part := slices.Clone(c.results[min(int(from)-1, n):min(int(from)+6, n)])
		c.mu.Unlock()
		if len(part) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			}
			continue
		}
		if err := each(part); err != nil {
			return err
		}
		from += journal.Position(len(part))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// decide adds a decision by a release, and now and then something that is none.
func (c *cell) decide(b *engine.Bundle, r *rand.Rand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	position := journal.Position(len(c.results) + 1)
	out := engine.Result{Position: position, Verdict: engine.Verdict(2 + r.IntN(4))}
	if r.IntN(4) > 0 {
		s := SchemaOf(b)
		d := risk.Decision{ID: "dec_x", Event: fmt.Sprintf("e\"%d,\"features\":{", position), Tenant: "shop", Scenario: "pay", Action: risk.Review, Versions: b.Rules.Versions(),
			Warnings: []risk.Warning{{Detail: `,"versions":{"engine":"x"`}}}
		d.Versions.Engine = engine.Version
		for _, i := range s.sorted {
			v := math.NaN()
			for r.IntN(5) > 0 && (math.IsNaN(v) || math.IsInf(v, 0)) {
				if v = math.Float64frombits(r.Uint64()); r.IntN(2) == 0 {
					v = float64(r.IntN(1000))
				}
			}
			if math.IsInf(v, 0) {
				v = math.NaN()
			}
			d.Features.Names, d.Features.Value = append(d.Features.Names, s.Names[i]), append(d.Features.Value, v)
		}
		if r.IntN(3) == 0 {
			d.Partial = []risk.Partial{{Since: 5, Features: s.Names[:1]}, {Since: 6, Features: s.Names[1:2]}}
		}
		if r.IntN(3) == 0 {
			d.Approximate = s.Names[:1+r.IntN(2)]
		}
		out = engine.Result{Position: position, Verdict: engine.Decided, Tenant: d.Tenant, Event: d.Event, Type: "transfer", Scenario: d.Scenario, Action: d.Action,
			Time: 1_793_000_000_000 + risk.Time(position), Arrival: 1_793_000_000_000, Body: d.AppendBody(nil, true)}
	}
	c.results = append(c.results, out)
	close(c.changed)
	c.changed = make(chan struct{})
}

// want is what all files together hold: one line for each decision, in order.
func (c *cell) want(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	for i := range c.results {
		r := &c.results[i]
		if r.Verdict != engine.Decided {
			continue
		}
		d, err := risk.ParseBody(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Release(d.Versions.Features)
		if err != nil {
			t.Fatal(err)
		}
		var one bytes.Buffer
		f := NewFile(&one, CSV, "test")
		row := Row{Event: r.Event, Tenant: r.Tenant, Type: r.Type, Scenario: r.Scenario, Action: r.Action, At: r.Time, Position: r.Position, Partial: PartialNames(d.Partial), Approximate: strings.Join(d.Approximate, " "),
			Versions: Versions{engine.Version, d.Versions.Ruleset, d.Versions.Features}}
		for _, name := range SchemaOf(b).Names {
			v := math.NaN()
			if i := slices.Index(d.Features.Names, name); i >= 0 {
				v = d.Features.Value[i]
			}
			row.Values = append(row.Values, v)
		}
		if err := f.Write(SchemaOf(b), &row); err != nil {
			t.Fatal(err)
		}
		_, line, _ := bytes.Cut(one.Bytes(), []byte("\n"))
		out.Write(line)
	}
	return out.String()
}

// read joins the files of a directory, and checks that they follow each other and
// say what they hold.
func read(t *testing.T, dir string) (rows string, files int, next journal.Position) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "features-*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	next = 1
	for _, name := range names {
		first, last, ok := Positions(filepath.Base(name))
		if !ok || first != next {
			t.Fatalf("%s follows position %d", name, next-1)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(text), "\n")
		rows += body
		var m Meta
		beside, err := os.ReadFile(strings.TrimSuffix(name, "csv") + "json")
		if err != nil || json.Unmarshal(beside, &m) != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if m.First != uint64(first) || m.Last != uint64(last) || m.Rows != int64(strings.Count(body, "\n")) || m.Rows == 0 || m.Engine != engine.Version || m.Features == "" || m.Definition == "" || len(m.Rulesets) == 0 {
			t.Errorf("%s has %d rows and says %+v", name, strings.Count(body, "\n"), m)
		}
		next = last + 1
	}
	return rows, len(names), next
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Whatever ends the process, at whatever moment, and whatever releases decide: each
// decision is in one file, in order, with its bits.
func TestEachRowOnce(t *testing.T) {
	a, b := release(t, "zeta", "alpha", "mid"), release(t, "alpha", "action", "mid")
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			c := newCell("j")
			c.releases = []*engine.Bundle{a, b}
			dir := t.TempDir()
			current := a
			for range 6 {
				l := New(c, Options{Dir: dir, Format: CSV, Bytes: int64(300 + r.IntN(2000)), Every: time.Duration(1+r.IntN(20)) * time.Second, Log: quiet()})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- l.Run(ctx) }()
				for range r.IntN(60) {
					if r.IntN(20) == 0 {
						current = c.releases[r.IntN(2)]
					}
					c.decide(current, r)
					time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
				}
				synctest.Wait()
				if r.IntN(2) == 0 { // killed: the directory as it is now is what the next one finds
					copied := t.TempDir()
					if err := os.CopyFS(filepath.Join(copied, "d"), os.DirFS(dir)); err != nil {
						t.Fatal(err)
					}
					stop()
					<-done
					dir = filepath.Join(copied, "d")
					if r.IntN(2) == 0 { // between the file's name and the state behind it
						if _, _, next := read(t, dir); next > 1 {
							b, _ := json.Marshal(state{"j", 1})
							if err := os.WriteFile(filepath.Join(dir, stateName), b, 0o600); err != nil {
								t.Fatal(err)
							}
						}
					}
					continue
				}
				stop()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			l := New(c, Options{Dir: dir, Format: CSV, Log: quiet()})
			ctx, stop := context.WithCancel(t.Context())
			go func() { time.Sleep(time.Second); stop() }()
			if err := l.Run(ctx); err != nil {
				t.Fatal(err)
			}
			rows, files, _ := read(t, dir)
			if want := c.want(t); rows != want {
				t.Fatalf("seed %d: %d files hold\n%swant\n%s", seed, files, rows, want)
			}
			if entries, _ := filepath.Glob(filepath.Join(dir, ".part-*")); len(entries) > 0 {
				t.Errorf("left behind: %q", entries)
			}
		})
	}
}

// A directory that cannot be written to holds nobody up, and is told; what it
// missed is written when it can be.
func TestTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell("j")
		c.releases = []*engine.Bundle{release(t, "a", "b", "c")}
		r := rand.New(rand.NewPCG(3, 3))
		dir := filepath.Join(t.TempDir(), "log")
		l := New(c, Options{Dir: dir, Format: CSV, Every: time.Second, Log: quiet()})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		if err := os.Rename(dir, dir+"-away"); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			c.decide(c.releases[0], r)
		}
		time.Sleep(7 * time.Second)
		if ok, detail := l.Check(); ok {
			t.Errorf("Check = ok, %s: want what is wrong", detail)
		}
		if err := os.Rename(dir+"-away", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second)
		if ok, detail := l.Check(); !ok || detail != "position 20" {
			t.Errorf("Check = %v, %s, want position 20", ok, detail)
		}
		stop()
		<-done
		if rows, _, _ := read(t, dir); rows != c.want(t) {
			t.Errorf("rows =\n%swant\n%s", rows, c.want(t))
		}
	})
}

// Files may be moved away; a directory of another journal is refused.
func TestDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell("j")
		c.releases = []*engine.Bundle{release(t, "a", "b")}
		dir := t.TempDir()
		run := func(c *cell) error {
			ctx, stop := context.WithCancel(t.Context())
			go func() { time.Sleep(time.Second); stop() }()
			return New(c, Options{Dir: dir, Format: CSV, Log: quiet()}).Run(ctx)
		}
		r := rand.New(rand.NewPCG(4, 4))
		for range 30 {
			c.decide(c.releases[0], r)
		}
		if err := run(c); err != nil {
			t.Fatal(err)
		}
		first, files, _ := read(t, dir)
		if files != 1 {
			t.Fatalf("%d files, want 1", files)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "features-*"))
		for _, name := range names {
			os.Remove(name)
		}
		for range 30 {
			c.decide(c.releases[0], r)
		}
		if err := run(c); err != nil {
			t.Fatal(err)
		}
		names, _ = filepath.Glob(filepath.Join(dir, "features-*.csv"))
		if len(names) != 1 || filepath.Base(names[0]) != "features-000000000031-000000000060.csv" {
			t.Fatalf("files %q, want that of positions 31 to 60", names)
		}
		text, _ := os.ReadFile(names[0])
		_, second, _ := strings.Cut(string(text), "\n")
		if first+second != c.want(t) {
			t.Error("the two files are not all rows")
		}
		if err := run(newCell("k")); err == nil || !strings.Contains(err.Error(), "holds features of journal j, this one is k") {
			t.Errorf("Run = %v, want a refusal", err)
		}
		os.Remove(filepath.Join(dir, stateName))
		if err := run(c); err == nil || !strings.Contains(err.Error(), "restore it") {
			t.Errorf("Run without the state = %v, want a refusal", err)
		}
		c.first = 50 // what was before has been released
		os.Remove(names[0])
		if err := run(c); err != nil {
			t.Fatal(err)
		}
		if names, _ := filepath.Glob(filepath.Join(dir, "features-*.csv")); len(names) != 1 || filepath.Base(names[0]) != "features-000000000050-000000000060.csv" {
			t.Errorf("files %q, want that of positions 50 to 60", names)
		}
	})
}

// A file holds one set of features, and an own column's name stays its own.
func TestFile(t *testing.T) {
	a, b := SchemaOf(release(t, "x", "position")), SchemaOf(release(t, "x"))
	var out bytes.Buffer
	f := NewFile(&out, CSV, "test")
	row := Row{Event: "e", Tenant: "t", Scenario: "s", Action: risk.Allow, Position: 7, Partial: "x", Approximate: "x position", Values: []float64{0.1, 1 << 60}, Versions: Versions{"1", "r", a.Digest}}
	if err := f.Write(a, &row); err != nil {
		t.Fatal(err)
	}
	want := "event_id,tenant,type,time,position,scenario,action,partial,approximate,x,feature.position\n" +
		"e,t,,1970-01-01T00:00:00Z,7,s,allow,x,x position,0.10000000000000001,1.152921504606847e+18\n"
	if out.String() != want {
		t.Errorf("file =\n%swant\n%s", out.String(), want)
	}
	row.Position, row.Values = 8, row.Values[:1]
	_, changed := errors.AsType[*ChangedError](f.Write(b, &row))
	if !changed {
		t.Error("Write of another set of features: want a ChangedError")
	}
	var empty bytes.Buffer
	if f := NewFile(&empty, CSV, "test"); f.Close(b) != nil || empty.String() != "event_id,tenant,type,time,position,scenario,action,partial,approximate,x\n" {
		t.Errorf("a file without rows = %q", empty.String())
	}
}
