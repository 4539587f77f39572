package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A topic of webhooks is read as it is: what is mapped is decided, what is none of
// ours leaves no trace but a count, what cannot be mapped is a dead letter that
// names no value.
func TestMappedSource(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newServer(t, append(b.config(), "sources=[{topic: payments, map: stripe}]")...)
	s.start()
	for _, sample := range []string{"stripe-charge-succeeded", "stripe-test-mode", "stripe-other"} {
		value, err := os.ReadFile("../../internal/mapping/testdata/ready/" + sample + ".json")
		if err != nil {
			t.Fatal(err)
		}
		b.sendKeyed("payments", []byte("k"), value)
	}
	b.sendKeyed("payments", []byte("k"), []byte(`{"type":"charge.failed","created":"4111111111111111","data":{"object":{"id":"ch_2"}}}`))
	b.sendKeyed("payments", []byte("k"), nil)
	b.flush()
	letters := 0
	b.follow("dead-letter", func([]byte) bool { letters++; return letters < 2 })
	s.stop()

	var decision struct {
		Event  string
		Action string
	}
	decisions := b.committed("decisions")
	if len(decisions) != 1 {
		t.Fatalf("%d decisions: %q", len(decisions), decisions)
	}
	if err := json.Unmarshal(decisions[0], &decision); err != nil || decision.Event != "ch_3Qx9aB" || decision.Action == "" {
		t.Errorf("decision %s: %v", decisions[0], err)
	}
	dead := b.committed("dead-letter")
	if len(dead) != 2 {
		t.Fatalf("%d dead letters: %q", len(dead), dead)
	}
	for i, want := range []string{"event.time from $.created: ", "the record has no value"} {
		if text := string(dead[i]); !strings.Contains(text, `"unmapped"`) || !strings.Contains(text, want) || strings.Contains(text, "411111111111") {
			t.Errorf("dead letter %s, want unmapped, %q", text, want)
		}
	}
}
