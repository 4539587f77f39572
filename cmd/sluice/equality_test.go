package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/risk"
)

// awkward gives simulated events and, among them, what makes order and time
// matter: late and too late ones, ones from the future, repetitions, labels and
// chargebacks for events before, and for unknown ones.
func awkward(n int) (events [][]byte) {
	world := simulate.New(simulate.Options{Seed: 51, People: 200, Start: time.Now().Add(-2 * time.Hour)})
	shifted := func(e simulate.Event, by time.Duration) []byte {
		at := risk.At(e.At.Add(by)).String()
		head := `"time":"`
		i := bytes.Index(e.Body, []byte(head)) + len(head)
		return append(append(append([]byte{}, e.Body[:i]...), at...), e.Body[i+bytes.IndexByte(e.Body[i:], '"'):]...)
	}
	for i := range n {
		e := world.Next()
		switch i % 40 {
		case 7:
			events = append(events, shifted(e, -3*time.Hour))
		case 17:
			events = append(events, shifted(e, -40*time.Hour))
		case 27:
			events = append(events, shifted(e, 48*time.Hour)) // a future one: counted five minutes ahead of its arrival
		default:
			events = append(events, e.Body)
		}
		about := e.ID
		if i%3 == 0 {
			about = "nobody-" + e.ID
		}
		switch i % 25 {
		case 3:
			events = append(events, fmt.Appendf(nil, `{"event":{"id":"l%d","type":"label","time":%q},"label":{"event":%q,"kind":"fraud"}}`, i, risk.At(e.At.Add(time.Second)).String(), about))
		case 13:
			events = append(events, fmt.Appendf(nil, `{"event":{"id":"cb%d","type":"chargeback","time":%q},"label":{"event":%q,"reason":"stolen"},"customer":{"id":"c%d"}}`, i, risk.At(e.At.Add(time.Second)).String(), about, i))
		case 20:
			events = append(events, e.Body)
		}
	}
	return events
}

// Live, by HTTP and from Kafka, on one core and on two, over a restart: a replay
// gives the same bytes, whatever its batches and cores, in processes of their own.
func TestSameBitsInEveryProcess(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	s := newServer(t, b.config()...)
	type way struct{ cores, batch int }
	n, replays := 900, []way{{1, 1}, {1, 512}, {2, 1}, {2, 7}, {2, 512}}
	if raced { // in one process the race detector hears what goes on beside what; more of it says no more
		n, replays = 450, replays[3:]
	}
	events := awkward(n)
	half := len(events) / 2
	answers := map[string][]byte{}
	for part, list := range [][][]byte{events[:half], events[half:]} {
		s.env = []string{fmt.Sprint("GOMAXPROCS=", part+1)}
		s.start()
		var produced []string // decisions to wait for
		for i, raw := range list {
			if i%3 != 0 {
				b.send("payments", raw)
				var e struct{ Event struct{ ID, Type string } }
				if err := json.Unmarshal(raw, &e); err != nil {
					t.Fatal(err)
				}
				if judged[e.Event.Type] {
					produced = append(produced, risk.KeyOf("default", e.Event.ID).DecisionID())
				}
				continue
			}
			a := s.post("/v1/decisions", raw, patient...)
			if a.status == 422 {
				if a = s.post("/v1/events", raw); a.status != 202 {
					t.Fatal(a)
				}
				continue
			}
			var d struct{ Event string }
			if a.status != 200 || json.Unmarshal(a.body, &d) != nil {
				t.Fatal(a)
			}
			answers[d.Event] = a.body
		}
		b.flush()
		for _, id := range produced {
			await(t, "all that was produced", func() bool { return s.get("/v1/decisions/"+id).status == 200 })
		}
		s.stop()
	}
	var live bytes.Buffer
	kinds := map[string]int{}
	for _, value := range b.committed("decisions") {
		var d struct {
			Event    string
			Warnings []risk.Warning
		}
		if err := json.Unmarshal(value, &d); err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Warnings {
			kinds[w.Code]++
		}
		body := bodyOf(t, value)
		if a := answers[d.Event]; a != nil && bodyOf(t, a) != body {
			t.Fatalf("published %s, answered %s", body, a)
		}
		live.WriteString(body + "\n")
	}
	if kinds["future"] < n/300 || kinds["too_late"] < n/300 {
		t.Fatalf("warnings %v: too few to mean anything", kinds)
	}

	var features []byte
	for _, run := range replays {
		dir := t.TempDir()
		decisions, vectors := filepath.Join(dir, "d.jsonl"), filepath.Join(dir, "f.csv")
		cmd := program([]string{fmt.Sprint("GOMAXPROCS=", run.cores)}, "replay", "--journal", s.dir,
			"--batch", fmt.Sprint(run.batch), "--decisions", decisions, "--features", vectors)
		talk, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("replay on %d cores in batches of %d = %v\n%s", run.cores, run.batch, err, talk)
		}
		d, err := os.ReadFile(decisions)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.ReadFile(vectors)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(d, live.Bytes()) {
			t.Errorf("replay on %d cores in batches of %d gives other decisions than were published: %s", run.cores, run.batch, firstDifference(d, live.Bytes()))
		}
		if features == nil {
			features = f
			t.Logf("%d events, %d of them decided, warnings %v; %s", len(events), bytes.Count(d, []byte("\n")), kinds, talk)
		} else if !bytes.Equal(f, features) {
			t.Errorf("replay on %d cores in batches of %d gives other features: %s", run.cores, run.batch, firstDifference(f, features))
		}
	}
	if rows, decided := bytes.Count(features, []byte("\n")), bytes.Count(live.Bytes(), []byte("\n")); rows != decided+1 {
		t.Errorf("%d rows of features for %d decisions", rows, decided)
	}
}

func firstDifference(got, want []byte) string {
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			return fmt.Sprintf("line %d: %s, want %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
