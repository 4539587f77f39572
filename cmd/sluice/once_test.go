package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

// The same event by HTTP, again, from Kafka, and after a kill: one decision, the
// same bytes. Other content under its id: 409, or one dead letter a record.
func TestTheSameEventEverywhere(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newServer(t, b.config()...)
	s.start()
	one, two, other := payment("one", "20.00"), payment("two", "30.00"), payment("one", "21.00")
	path := func(id string) string { return "/v1/decisions/" + risk.KeyOf("default", id).DecisionID() }

	first := s.post("/v1/decisions", one, patient...)
	if first.status != 200 || first.header.Get("Idempotent-Replayed") != "" {
		t.Fatal(first, first.header)
	}
	b.send("payments", two)
	b.flush()
	var second *answer
	await(t, "the decision of Kafka's event", func() bool { second = s.get(path("two")); return second.status == 200 })

	letters := 0
	check := func(when string) {
		t.Helper()
		for id, want := range map[string]*answer{"one": first, "two": second} {
			again := s.post("/v1/decisions", map[string][]byte{"one": one, "two": two}[id], patient...)
			if again.status != 200 || !bytes.Equal(again.body, want.body) || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("%s, %s again: %s, want %s", when, id, again, want)
			}
			if read := s.get(path(id)); !bytes.Equal(read.body, want.body) {
				t.Errorf("%s, %s read: %s, want %s", when, id, read, want)
			}
		}
		if a := s.post("/v1/decisions", other, patient...); a.status != 409 {
			t.Errorf("%s, other content: %s, want 409", when, a)
		}
		for _, value := range [][]byte{one, two, other, payment(when, "1.00")} {
			b.sendKeyed("payments", []byte("in order"), value)
		}
		b.flush()
		letters++
		await(t, "the last record "+when, func() bool { return s.get(path(when)).status == 200 })
	}
	check("at_once")
	await(t, "a checkpoint", func() bool {
		var ready struct {
			Checks map[string]struct{ Detail string }
		}
		json.Unmarshal(s.get("/readyz").body, &ready)
		var durable, stored int
		n, _ := fmt.Sscanf(ready.Checks["checkpoint"].Detail, "position %d durable, %d stored", &durable, &stored)
		return n == 2 && durable == stored
	})
	check("from_the_store")
	s.kill()
	s.start()
	check("after_a_kill")
	s.stop()

	count := map[string]int{}
	for _, value := range b.committed("decisions") {
		var d struct{ Event string }
		if err := json.Unmarshal(value, &d); err != nil {
			t.Fatal(err)
		}
		count[d.Event]++
	}
	for _, id := range []string{"one", "two", "at_once", "from_the_store", "after_a_kill"} {
		if count[id] != 1 {
			t.Errorf("%s is published %d times", id, count[id])
		}
		delete(count, id)
	}
	if len(count) > 0 {
		t.Errorf("published besides: %v", count)
	}
	seen := map[risk.Source]bool{}
	for _, value := range b.committed("dead-letter") {
		var l struct {
			Reason string
			Source risk.Source
		}
		if err := json.Unmarshal(value, &l); err != nil || l.Reason != "conflict" {
			t.Errorf("dead letter %s, %v", value, err)
		}
		if seen[l.Source] {
			t.Errorf("two dead letters of %v", l.Source)
		}
		seen[l.Source] = true
		if bytes.Contains(value, []byte("21.00")) {
			t.Errorf("a dead letter shows what was sent: %s", value)
		}
	}
	if len(seen) != letters {
		t.Errorf("%d dead letters, want %d", len(seen), letters)
	}
}
