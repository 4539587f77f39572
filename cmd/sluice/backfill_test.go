package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/api"
)

func TestBackfillInWords(t *testing.T) {
	f := func(b api.Backfill, lines, bar string) {
		t.Helper()
		if got := sayBackfill(b); got != lines {
			t.Errorf("sayBackfill(%+v) = %q, want %q", b, got, lines)
		}
		if got := progressBar(b); got != bar {
			t.Errorf("progressBar(%+v) = %q, want %q", b, got, bar)
		}
	}
	f(api.Backfill{Progress: 1}, "no backfill: every feature has its past", "["+strings.Repeat("#", 30)+"] 100.0 %  0 of 0")
	f(api.Backfill{Features: []string{"a", "b"}, Activation: 7, From: 1, Position: 250, Of: 1000, Progress: 0.25, Rate: 500, SecondsLeft: 90},
		"missing: a, b (release at position 7)\nposition 250 of 1000, from 1: 25.0 %\n500 entries a second, 1m30s left",
		"["+strings.Repeat("#", 7)+strings.Repeat(".", 23)+"]  25.0 %  250 of 1000  500/s  1m30s left")
	f(api.Backfill{Features: []string{"a"}, Formulas: []string{"f", "g"}, Activation: 7, Waits: true}, "missing: a (release at position 7)\nread by: f, g\nbegins when the remains of the one before are removed",
		"["+strings.Repeat(".", 30)+"]   0.0 %  0 of 0")
}

// A backfill that may have a whole core does not rest while nothing else is to be
// done; one that may have a twentieth of it rests 19 times as long as it works.
func TestBackfillTakesItsPercent(t *testing.T) {
	alone(t)
	t.Parallel()
	rules, add := rulesCopy(t)
	for n, percent := range []int{100, 5} {
		s := newServer(t, "rulesets="+rules, fmt.Sprintf("backfill.cpu_percent=%d", percent))
		s.start()
		var callers sync.WaitGroup
		for k := range 12 {
			callers.Go(func() {
				for i := range 50 {
					if a, err := s.ask(s.base, "POST", "/v1/decisions", payment(fmt.Sprint("p", k, "-", i), "20.00"), patient...); err != nil || a.status != 200 {
						t.Error(a, err)
						return
					}
				}
			})
		}
		callers.Wait()
		before, began := s.release(), time.Now()
		add(strings.NewReplacer("new_", fmt.Sprintf("new%d_", n), "AT", fmt.Sprint(n+1)).Replace(newFeatures))
		await(t, "the release", func() bool { return s.release() != before })
		await(t, "the past of its features", func() bool { return len(s.backfill().Features) == 0 })
		took, rested := time.Since(began), 0.0
		_, text, _ := strings.Cut(string(s.get("/metrics").body), "\nsluice_backfill_rested_seconds_total ")
		if _, err := fmt.Sscan(text, &rested); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d %%: %s from the change of a file on, %.3f s of them at rest", percent, took.Round(time.Millisecond), rested)
		if percent == 100 && rested > 0 || percent == 5 && rested < 0.1 {
			t.Errorf("backfill.cpu_percent %d: rested %.3f s", percent, rested)
		}
		s.stop()
	}
}
