package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

// At the deadline the scenario's fallback is answered, and says so. The decision
// comes, says what it supersedes, and stays so over a kill.
func TestDeadline(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start()
	var fallback struct {
		ID, Action string
		Degraded   []string
	}
	var pay []byte
	for i := 0; len(fallback.Degraded) == 0; i++ {
		if i == 2000 {
			t.Skip("this disk is never slower than a millisecond")
		}
		pay = payment(fmt.Sprint("p", i), "20.00")
		a := s.post("/v1/decisions", pay, "Sluice-Deadline-Ms", "1")
		if a.status != 200 {
			t.Fatal(a)
		}
		if err := json.Unmarshal(a.body, &fallback); err != nil {
			t.Fatal(err)
		}
	}
	if fallback.Action != "allow" || fmt.Sprint(fallback.Degraded) != "[deadline]" || fallback.ID == "" {
		t.Fatalf("fallback %+v, want allow, as ruleset.yaml says for amounts under 50", fallback)
	}
	type superseding struct {
		Action     string
		Position   int
		Degraded   []string
		Supersedes *struct {
			Action   string
			Degraded []string
		}
	}
	var d superseding
	var a *answer
	await(t, "the decision", func() bool {
		d = superseding{}
		a = s.get("/v1/decisions/" + fallback.ID)
		return a.status == 200 && json.Unmarshal(a.body, &d) == nil && d.Supersedes != nil
	})
	if d.Action == "" || d.Position == 0 || len(d.Degraded) > 0 || d.Supersedes.Action != "allow" || fmt.Sprint(d.Supersedes.Degraded) != "[deadline]" {
		t.Errorf("decision %s", a)
	}
	if again := s.post("/v1/decisions", pay, patient...); !bytes.Equal(again.body, a.body) {
		t.Errorf("again %s, want %s", again, a)
	}
	s.kill()
	s.start()
	if again := s.get("/v1/decisions/" + fallback.ID); !bytes.Equal(again.body, a.body) {
		t.Errorf("after a kill %s, want %s", again, a)
	}
	if again := s.post("/v1/decisions", pay, patient...); !bytes.Equal(again.body, a.body) {
		t.Errorf("again after a kill %s, want %s", again, a)
	}
	s.stop()
}

// Under the disk's reserve nothing is kept and nothing is lost: HTTP gets the
// fallback without an id, the source waits, and both go on when there is room.
func TestDiskReserve(t *testing.T) {
	alone(t)
	t.Parallel()
	b := newBroker(t)
	s := newServer(t, b.config()...)
	s.start()
	early := payment("early", "20.00")
	first := s.post("/v1/decisions", early, patient...)
	if first.status != 200 {
		t.Fatal(first)
	}
	s.stop()

	room := s.set
	s.set = append(append([]string{}, room...), "disk.reserve=1000TiB")
	s.start()
	if ready := s.get("/readyz"); ready.status != 503 || !bytes.Contains(ready.body, []byte("under the reserve")) {
		t.Errorf("/readyz = %s", ready)
	}
	path := func(id string) string { return "/v1/decisions/" + risk.KeyOf("default", id).DecisionID() }
	if a := s.get(path("early")); !bytes.Equal(a.body, first.body) {
		t.Errorf("what was decided before = %s, want %s", a, first)
	}
	for amount, action := range map[string]string{"20.00": "allow", "2000.00": "review"} {
		a := s.post("/v1/decisions", payment("short"+amount, amount), patient...)
		var f struct {
			ID       *string
			Position *int
			Action   string
			Degraded []string
		}
		if err := json.Unmarshal(a.body, &f); err != nil || a.status != 200 || f.ID != nil || f.Position != nil || f.Action != action ||
			fmt.Sprint(f.Degraded) != "[storage]" || a.header.Get("Retry-After") == "" {
			t.Errorf("amount %s without room = %s, want %s, degraded by storage, without an id", amount, a, action)
		}
	}
	if a := s.post("/v1/events", payment("seen", "20.00")); a.status != 503 {
		t.Errorf("an event without room = %s, want 503: it is not kept", a)
	}
	b.send("payments", payment("from_kafka", "20.00"))
	b.flush()
	if a := s.get(path("short20.00")); a.status != 404 {
		t.Errorf("what was not kept = %s", a)
	}
	s.stop()

	s.set = room
	s.start()
	await(t, "the record of the topic", func() bool { return s.get(path("from_kafka")).status == 200 })
	if a := s.post("/v1/decisions", payment("short20.00", "20.00"), patient...); a.status != 200 || a.degraded() != "" || a.header.Get("Idempotent-Replayed") != "" {
		t.Errorf("sent again with room = %s", a)
	}
	s.stop()
}
