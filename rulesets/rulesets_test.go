package rulesets_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"testing"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/replay"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/rulesets"
)

// embedded builds a shipped ruleset from the binary's own copy.
func embedded(t *testing.T, name string) (*engine.Bundle, *enrich.Tables) {
	t.Helper()
	sub, err := fs.Sub(rulesets.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	files := diag.Files{}
	err = fs.WalkDir(sub, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[path], err = fs.ReadFile(sub, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.Build(files, tables)
	if err != nil {
		var text bytes.Buffer
		if list, ok := err.(diag.List); ok {
			diag.Render(&text, list, files)
		}
		t.Fatalf("%s: %v\n%s", name, err, text.Bytes())
	}
	return b, tables
}

func decoder() *risk.Decoder { return &risk.Decoder{Secrets: risk.NewSecrets([32]byte{})} }

func TestPaymentsPassesItsOwnTests(t *testing.T) {
	b, tables := embedded(t, "payments")
	results, err := replay.Test(b, decoder(), tables)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) < len(b.Rules.Rules()) {
		t.Errorf("%d tests for %d rules", len(results), len(b.Rules.Rules()))
	}
	for _, r := range results {
		for _, f := range r.Faults {
			t.Errorf("%s: %s", r.Name, f)
		}
	}
}

// In the simulated world every rule fires, planted fraud is mostly stopped and
// its lawful look-alikes are mostly not. The bounds are those of the demo; rules
// and world were tuned together, so this holds the two to each other and says
// nothing about real traffic. Other seeds: SLUICE_TEST_SEEDS=5.
func TestPaymentsInTheSimulatedWorld(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 events, one after the other")
	}
	seeds, _ := strconv.ParseUint(os.Getenv("SLUICE_TEST_SEEDS"), 10, 8)
	for seed := range max(seeds, 1) {
		t.Run(fmt.Sprint("seed=", seed+1), func(t *testing.T) { inTheWorld(t, seed+1) })
	}
}

func inTheWorld(t *testing.T, seed uint64) {
	const events = 20_000
	b, tables := embedded(t, "payments")
	walk := engine.NewOffline(decoder(), tables, nil)
	walk.Pin(b)
	world := simulate.New(simulate.Options{Seed: seed})
	var tally simulate.Tally
	fired := map[string]int{}
	for seen := 0; seen < events; {
		batch := &engine.Batch{}
		var truth []simulate.Truth
		for range 500 {
			e := world.Next()
			it := engine.NewItem(e.Body, "default")
			it.Arrival = risk.At(e.At)
			batch.Items = append(batch.Items, it)
			truth = append(truth, e.Truth)
		}
		seen += len(truth)
		walk.Decode(batch, func(_ *engine.Item, err error) { t.Fatal(err) })
		if err := walk.Apply(batch); err != nil {
			t.Fatal(err)
		}
		for i, r := range batch.Results() {
			tally.Add(truth[i], r.Action)
			if r.Verdict != engine.Decided {
				continue
			}
			d, err := risk.ParseBody(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range d.Rules {
				if f.Result == "" {
					fired[f.ID]++
				}
			}
		}
		batch.Release()
	}
	for _, r := range b.Rules.Rules() {
		// A rule that waits for something rare, such as a payer under age, may find none
		// in a world that is not the demo's.
		if r.Mode != "off" && fired[r.ID] == 0 && seed == 1 {
			t.Errorf("rule %s never fired in %d events", r.ID, events)
		}
	}
	for i, pattern := range simulate.Frauds {
		fraud, lawful := tally.Frauds[i], tally.LookAlikes[i]
		t.Logf("%-18s %2d of %2d stopped   %-15s %2d of %2d", pattern, fraud.Stopped, fraud.Cases, simulate.LookAlikes[i], lawful.Stopped, lawful.Cases)
		if fraud.Cases < 3 || 100*fraud.Stopped < 75*fraud.Cases {
			t.Errorf("%s: %d of %d cases stopped, want at least 3 cases and 75 %%", pattern, fraud.Stopped, fraud.Cases)
		}
	}
	fraud, lawful, o := tally.Fraud(), tally.Lawful(), tally.Ordinary
	t.Logf("fraud %d of %d, look-alikes %d of %d, ordinary %+v", fraud.Stopped, fraud.Cases, lawful.Stopped, lawful.Cases, o)
	if fraud.Cases < 30 || 100*fraud.Stopped < 90*fraud.Cases {
		t.Errorf("%d of %d planted cases stopped, want at least 90 %%", fraud.Stopped, fraud.Cases)
	}
	if lawful.Cases < 80 || 100*lawful.Stopped > 3*lawful.Cases {
		t.Errorf("%d of %d lawful look-alikes stopped, want at most 3 %%", lawful.Stopped, lawful.Cases)
	}
	if 100*(o.Review+o.Block) > o.Total() {
		t.Errorf("ordinary payments: %d reviewed and %d blocked of %d, want at most 1 %%", o.Review, o.Block, o.Total())
	}
}
