package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/risk"
)

// judged are the event types of rulesets/payments that have a scenario.
var judged = map[string]bool{"payment.authorization": true, "payment.payout": true, "transfer": true, "escrow.release": true, "payment.refund": true}

// sent is an event under way, and what the outside knows of it.
type sent struct {
	id        string
	raw       []byte
	judged    bool
	impatient bool    // it was asked for with a deadline of 1 ms at first
	kafka     bool    // also, or only, produced
	http      *answer // acknowledged: the first whole answer, 200 or 202
}

func (e *sent) decision() string { return risk.KeyOf("default", e.id).DecisionID() }

func (e *sent) path() string {
	if e.judged {
		return "/v1/decisions"
	}
	return "/v1/events"
}

// address is where the server of the moment is. Ports come again, so servers are
// numbered.
type address struct {
	mu      sync.Mutex
	base    string
	number  int
	changed chan struct{}
}

func (a *address) set(base string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.base = base
	a.number++
	close(a.changed)
	a.changed = make(chan struct{})
}

// after gives the first server there is after the one that failed.
func (a *address) after(ctx context.Context, failed int) (base string, number int, err error) {
	for {
		a.mu.Lock()
		base, number, changed := a.base, a.number, a.changed
		a.mu.Unlock()
		if number > failed {
			return base, number, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", 0, ctx.Err()
		}
	}
}

// traffic sends simulated events by HTTP over several connections, and to Kafka,
// until it is stopped, and through every outage.
type traffic struct {
	t      *testing.T
	server *server
	broker *broker
	at     address
	events []*sent // all that were sent, in the order of the world

	end     sync.Once
	stop    chan struct{}
	made    chan struct{} // closed when no more events are begun
	workers sync.WaitGroup
}

func startTraffic(t *testing.T, s *server, b *broker, seed uint64) *traffic {
	l := &traffic{t: t, server: s, broker: b, stop: make(chan struct{}), made: make(chan struct{})}
	l.at.changed = make(chan struct{})
	s.onBase = l.at.set
	queue := make(chan *sent, 32)
	for range 6 {
		l.workers.Go(func() {
			for e := range queue {
				l.acknowledge(e)
			}
		})
	}
	t.Cleanup(l.halt)
	world := simulate.New(simulate.Options{Seed: seed, People: 300, Gap: 5 * time.Second})
	go func() {
		defer close(l.made)
		defer close(queue)
		pace := time.NewTicker(2 * time.Millisecond)
		defer pace.Stop()
		for i := 0; ; i++ {
			e := world.Next()
			var head struct{ Event struct{ Type string } }
			if err := json.Unmarshal(e.Body, &head); err != nil {
				t.Error(err)
				return
			}
			s := &sent{id: e.ID, raw: e.Body, judged: judged[head.Event.Type]}
			s.impatient = s.judged && i%13 == 0
			s.kafka = i%2 == 0 || i%11 == 0 // some come both ways
			l.events = append(l.events, s)
			if s.kafka {
				b.send("payments", s.raw)
			}
			if i%2 == 1 {
				select {
				case queue <- s:
				case <-l.stop: // it may stay unsent
					return
				}
			}
			select {
			case <-pace.C:
			case <-l.stop:
				return
			}
		}
	}()
	return l
}

// acknowledge sends an event until it has its decision, or is counted. A fallback
// is no acknowledgement: it does not wait for the disk.
func (l *traffic) acknowledge(e *sent) {
	header := patient
	if e.impatient {
		header = []string{"Sluice-Deadline-Ms", "1"}
	}
	base, number, err := l.at.after(l.t.Context(), 0)
	var since time.Time // of the first refusal in a row
	for err == nil {
		a, failed := l.server.ask(base, "POST", e.path(), e.raw, header...)
		switch {
		case failed != nil: // killed: what came back before is all that counts
			base, number, err = l.at.after(l.t.Context(), number)
			since = time.Time{}
		case a.status == 429 || a.status == 503:
			if since.IsZero() {
				since = time.Now()
			} else if time.Since(since) > 20*time.Second {
				l.t.Errorf("event %s is refused for 20 s: %s\n%s", e.id, a, l.server.stacks())
				return
			}
			time.Sleep(5 * time.Millisecond) // as Retry-After asks, only sooner
		case a.status == 200 && a.degraded() == "deadline" && e.impatient:
			header = patient
		case (a.status == 200 || a.status == 202) && a.degraded() == "":
			e.http = a
			return
		default:
			l.t.Errorf("event %s = %s", e.id, a)
			return
		}
	}
}

// finish ends the load and waits until everything begun is answered.
func (l *traffic) finish() {
	l.halt()
	l.broker.flush()
}

func (l *traffic) halt() {
	l.end.Do(func() { close(l.stop) })
	<-l.made
	l.workers.Wait()
}

// The server is killed at any moment, also while it starts, under load from HTTP
// and Kafka. Then: everything acknowledged is there, with the bytes that were
// answered; every record of the topic is decided once; the decisions topic holds
// every decision once, in order; the feature log has every row once; and the journal
// replays to the same bytes.
func TestKill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a minute")
	}
	random := seeded(t, 7)
	b := newBroker(t)
	features := filepath.Join(t.TempDir(), "features")
	s := newServer(t, append(b.config(), "feature_log.dir="+features, "feature_log.format=csv", "feature_log.bytes=64KiB", "feature_log.every=1s")...)
	l := startTraffic(t, s, b, random.Uint64())
	starting := 0
	began := time.Now()
	for cycle := range torture(50, 500) {
		if cycle%4 == 3 {
			s.launch()
			limit := time.NewTimer(time.Duration(random.IntN(450)) * time.Millisecond)
			select {
			case <-limit.C:
			case <-s.ended:
			}
			select {
			case <-s.ready:
			default:
				starting++
			}
		} else {
			s.start()
			time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		}
		if s.kill(); t.Failed() {
			t.Fatalf("cycle %d", cycle)
		}
	}
	killed := time.Since(began)
	s.start()
	l.finish()
	l.verify(filepath.Join(s.dir, "journal"))
	verifyFeatureLog(t, features, filepath.Join(s.dir, "journal"))
	t.Logf("%d kills, %d of them while starting, in %s; %d events", torture(50, 500), starting, killed.Round(time.Second), len(l.events))
}

// verify holds what the server, the topics and a replay say against what was
// acknowledged. It stops the server.
func (l *traffic) verify(journal string) {
	t, s := l.t, l.server
	expected := map[string]*sent{} // every event that must have a decision
	asked := map[string][]byte{}   // what the server says of it
	for _, e := range l.events {
		if e.http == nil && !e.kafka {
			continue // the one that was not sent at the end
		}
		if e.judged {
			expected[e.id] = e
		}
	}
	if len(expected) < 20 {
		t.Fatalf("%d decisions: too few to mean anything", len(expected))
	}
	for id, e := range expected {
		var a *answer
		await(t, "a decision of "+id, func() bool { // of Kafka's, which nobody waited for
			a = s.get("/v1/decisions/" + e.decision())
			return a.status == 200 || e.http != nil
		})
		if a.status != 200 {
			t.Fatalf("acknowledged decision of %s = %s", id, a)
		}
		asked[id] = a.body
	}
	acknowledged := 0
	for _, e := range l.events {
		if e.http == nil {
			continue
		}
		acknowledged++
		again := s.post(e.path(), e.raw, patient...)
		if again.status != e.http.status || again.header.Get("Idempotent-Replayed") != "true" {
			t.Fatalf("%s again = %s, %s; the first answer was %s", e.id, again, again.header, e.http)
		}
		switch {
		case !e.judged:
			var first, now struct{ Position uint64 }
			if json.Unmarshal(e.http.body, &first) != nil || json.Unmarshal(again.body, &now) != nil || first.Position != now.Position && now.Position != 0 && first.Position != 0 {
				t.Fatalf("%s again = %s, the first answer was %s", e.id, again, e.http)
			}
		case e.impatient: // what it supersedes may have become durable after it
			if bodyOf(t, again.body) != bodyOf(t, e.http.body) || bodyOf(t, asked[e.id]) != bodyOf(t, e.http.body) {
				t.Fatalf("%s again = %s\nread = %s\nfirst = %s", e.id, again, asked[e.id], e.http)
			}
		case !bytes.Equal(again.body, e.http.body) || !bytes.Equal(asked[e.id], e.http.body):
			t.Fatalf("%s again = %s\nread = %s\nfirst = %s", e.id, again, asked[e.id], e.http)
		}
	}
	s.stop()

	published := map[string]bool{}
	var order []string
	last := uint64(0)
	for _, value := range l.broker.committed("decisions") {
		var d struct {
			Event    string
			Position uint64
		}
		if err := json.Unmarshal(value, &d); err != nil {
			t.Fatal(err)
		}
		if published[d.Event] {
			t.Fatalf("the decision of %s is published twice", d.Event)
		}
		if d.Position <= last {
			t.Fatalf("position %d is published after %d", d.Position, last)
		}
		published[d.Event], last = true, d.Position
		order = append(order, bodyOf(t, value))
		if asked[d.Event] == nil || bodyOf(t, value) != bodyOf(t, asked[d.Event]) {
			t.Fatalf("published %s, the store says %s", value, asked[d.Event])
		}
	}
	if len(published) != len(expected) {
		t.Errorf("%d decisions are published, want %d", len(published), len(expected))
	}
	if letters := l.broker.committed("dead-letter"); len(letters) > 0 {
		t.Errorf("%d dead letters, the first is %s", len(letters), letters[0])
	}

	out := filepath.Join(t.TempDir(), "decisions.jsonl")
	_, talk := sluice(t, "replay", "--journal", journal, "--decisions", out)
	replayed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(replayed, []byte("\n")), []byte("\n"))
	if len(lines) != len(order) {
		t.Fatalf("replay gives %d decisions, %d were published", len(lines), len(order))
	}
	for i, line := range lines {
		if string(line) != order[i] {
			t.Fatalf("decision %d: replay gives %s, published is %s", i, line, order[i])
		}
	}
	t.Logf("%d acknowledged by HTTP, %d decided; replay: %s", acknowledged, len(expected), talk)
}

// verifyFeatureLog holds the files of a feature log against what a replay writes:
// the same rows in the same order, whatever was killed.
func verifyFeatureLog(t *testing.T, dir, journal string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "features.csv")
	sluice(t, "replay", "--journal", journal, "--features", out)
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "features-*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	head, want, _ := bytes.Cut(want, []byte("\n"))
	var got []byte
	for _, name := range names { // in order: positions have as many digits
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		first, rows, _ := bytes.Cut(text, []byte("\n"))
		if !bytes.Equal(first, head) {
			t.Fatalf("%s has the columns %s, want %s", name, first, head)
		}
		got = append(got, rows...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d files have %d rows that differ from the %d of a replay", len(names), bytes.Count(got, []byte("\n")), bytes.Count(want, []byte("\n")))
	}
	t.Logf("feature log: %d rows in %d files", bytes.Count(got, []byte("\n")), len(names))
}
