package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The column approximate of a file of features names what the decision does.
func TestApproximateColumn(t *testing.T) {
	t.Parallel()
	rules, add := rulesCopy(t)
	path := filepath.Join(rules, "features.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const before = "exact_events: 4096"
	if !strings.Contains(string(text), before) {
		t.Fatalf("features.yaml lacks %q", before)
	}
	text = []byte(strings.NewReplacer(before, "exact_events: 256", "\nentities:\n", "\nentities:\n  house: {key: amount.currency}\n").Replace(string(text)))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	add("  house_sum: {sum: {by: house, of: amount.base, window: 9h, delay: 1d}}\n  house_twice: {expr: house_sum * 2}\n")

	dir := t.TempDir()
	events, decisions, features := filepath.Join(dir, "e.jsonl"), filepath.Join(dir, "d.jsonl"), filepath.Join(dir, "f.csv")
	sluice(t, "simulate", "--seed", "3", "--events", "3000", "--gap", "60s", "--out", events)
	sluice(t, "replay", "--rules", rules, "--events", events, "--decisions", decisions, "--features", features)
	file, err := os.Open(features)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	bodies, err := os.ReadFile(decisions)
	if err != nil {
		t.Fatal(err)
	}
	column, n, exact := slices.Index(rows[0], "approximate"), 0, 0
	for line := range strings.Lines(string(bodies)) {
		var d struct{ Approximate []string }
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		if n++; n >= len(rows) || rows[n][column] != strings.Join(d.Approximate, " ") {
			t.Fatalf("row %d of %d is %q, the decision names %q", n, len(rows), rows[n], d.Approximate)
		}
		if len(d.Approximate) == 0 {
			exact++
		}
	}
	if n != len(rows)-1 || exact == 0 || exact == n {
		t.Errorf("%d decisions, %d of them exact; %d rows", n, exact, len(rows)-1)
	}
}
