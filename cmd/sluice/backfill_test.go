package main

import (
	"strings"
	"testing"

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
	f(api.Backfill{Features: []string{"a"}, Activation: 7, Waits: true}, "missing: a (release at position 7)\nbegins when the remains of the one before are removed",
		"["+strings.Repeat(".", 30)+"]   0.0 %  0 of 0")
}
