package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// payment is a card payment to be judged; what differs is its id and amount.
func payment(id, amount string) []byte { return paymentAt(id, amount, time.Now()) }

func paymentAt(id, amount string, at time.Time) []byte {
	return []byte(`{"event":{"id":"` + id + `","type":"payment.authorization","time":"` + at.UTC().Format(time.RFC3339) + `"},` +
		`"amount":{"value":"` + amount + `","currency":"USD"},"customer":{"id":"c1"},"card":{"token":"t1"},"merchant":{"id":"m1"}}`)
}

// What a data directory holds belongs together: a part that is missing is made
// again from the others, or named.
func TestPartsOfADataDirectory(t *testing.T) {
	alone(t)
	t.Parallel()
	s := newServer(t)
	s.start()
	if _, err := os.Stat(filepath.Join(s.dir, "BALLAST")); err == nil {
		t.Error("disk.ballast 0 made a ballast file")
	}
	pay := payment("p1", "20.00")
	first := s.post("/v1/decisions", pay, patient...)
	if first.status != 200 {
		t.Fatal(first)
	}
	// Before the first checkpoint nothing but the journal knows of the journal.
	await(t, "a checkpoint", func() bool {
		text := string(s.get("/readyz").body)
		return strings.Contains(text, " stored") && !strings.Contains(text, ", 0 stored")
	})
	s.kill()

	away := filepath.Join(t.TempDir(), "away")
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for part, says := range map[string]string{
		"secret.key": "secret.key is missing",
		"journal":    "the journal ends at 0",
		"blobs":      "activated at position",
	} {
		path := filepath.Join(s.dir, part)
		move(path, away)
		if text := s.refused(); !strings.Contains(text, says) {
			t.Errorf("without %s: %s, want %q", part, text, says)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		move(away, path)
	}
	key := filepath.Join(s.dir, "secret.key")
	move(key, away)
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if text := s.refused(); !strings.Contains(text, "secret.key holds 0 bytes, not 32") {
		t.Errorf("with an empty key: %s", text)
	}
	move(away, key)

	if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	s.start()
	if again := s.post("/v1/decisions", pay, patient...); !bytes.Equal(again.body, first.body) || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("after the state was built again: %s, want %s", again, first)
	}
	s.stop()
}

// A first start that is killed at any moment leaves a directory that starts.
func TestKillFirstStart(t *testing.T) {
	alone(t)
	t.Parallel()
	random := seeded(t, 3)
	for range torture(6, 100) {
		s := newServer(t)
		s.launch()
		limit := time.NewTimer(time.Duration(random.IntN(400)) * time.Millisecond)
		select {
		case <-limit.C:
		case <-s.ended:
		}
		s.kill()
		s.start()
		if a := s.post("/v1/decisions", payment("p1", "20.00"), patient...); a.status != 200 {
			t.Fatal(a)
		}
		s.stop()
	}
}
