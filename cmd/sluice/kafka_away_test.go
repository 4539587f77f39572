package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/kafkatest"
	"github.com/sluice-risk/sluice/internal/simulate"
)

// Brokers that are away, at the start and later, keep no HTTP caller from a
// decision; /readyz tells, and everything is published when they are back.
func TestKafkaAway(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Start(t, kafkatest.Options{})
	topics(t, c)
	f := newFeed(t, c, 3)
	if err := f.send(t.Context(), 3000); err != nil {
		t.Fatal(err)
	}
	if err := f.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var figures []string
	asked, empty := 0, uint64(0)
	ask := func(s *server, n int) {
		t.Helper()
		for range n {
			id := fmt.Sprintf("http-%d", asked)
			asked++
			// In the time of the feed: weeks later, a record that its producer wrote again
			// when its broker died would be beyond dedup, and another payment.
			if a := s.post("/v1/decisions", paymentAt(id, "20.00", simulate.Start.Add(time.Hour)), patient...); a.status != 200 || a.degraded() != "" {
				t.Fatalf("%s = %s", id, a)
			}
			f.events[id] = true
			f.judged++
		}
	}
	away := func(s *server, when string) {
		t.Helper()
		began, told := time.Now(), time.Duration(0)
		for { // until a transaction was given up, too
			ask(s, 5)
			a := s.get("/readyz")
			if a.status != 200 {
				t.Fatalf("%s: /readyz = %s, want 200: HTTP callers get their answers", when, a)
			}
			if told == 0 && strings.Contains(string(a.body), `"kafka":{"ok":false`) {
				told = time.Since(began)
			}
			if told > 0 && strings.Contains(string(a.body), "publishing: ") {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: /readyz does not tell of brokers that are away: %s", when, a)
			}
		}
		ask(s, 100)
		if err := c.Restart(1); err != nil {
			t.Fatal(err)
		}
		if err := c.InSync(t.Context()); err != nil {
			t.Fatal(err)
		}
		back := time.Now()
		published(t, s, empty+uint64(len(f.events)))
		await(t, "/readyz that is content", func() bool { return strings.Contains(string(s.get("/readyz").body), `"kafka":{"ok":true`) })
		figures = append(figures, fmt.Sprintf("%s: told after %s, all published %s after they came back", when,
			told.Round(100*time.Millisecond), time.Since(back).Round(100*time.Millisecond)))
	}

	c.Kill(1)
	s := newServer(t, against(c)...)
	s.start()
	empty = durable(t, s)
	away(s, "at the start")
	if err := f.send(t.Context(), 3000); err != nil {
		t.Fatal(err)
	}
	c.Kill(1)
	away(s, "later")
	if err := f.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	published(t, s, empty+uint64(len(f.events)))
	s.stop()
	x := readAll(t, c)
	x.complete(f)
	t.Logf("figures: %s; %d decisions by HTTP without a broker, %d in all, 0 lost, 0 twice", strings.Join(figures, "; "), asked, len(x.decisions))
}

// A second process under the name of one that runs is refused, whether it finds
// the brokers at its start or later, and takes nothing from the first.
func TestKafkaTwoOfOneName(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Start(t, kafkatest.Options{})
	topics(t, c)
	first := newServer(t, against(c)...)
	first.start()
	empty := durable(t, first)
	f := newFeed(t, c, 5)
	if err := f.send(t.Context(), 2000); err != nil {
		t.Fatal(err)
	}
	published(t, first, empty+uint64(len(f.events)))

	began := time.Now()
	log := newServer(t, against(c)...).refused()
	took := time.Since(began)
	const says = "two engines need two names"
	if !strings.Contains(log, says) {
		t.Errorf("the second was refused with\n%s\nwant it to say %q", log, says)
	}
	if err := f.send(t.Context(), 2000); err != nil {
		t.Fatal(err)
	}
	published(t, first, empty+uint64(len(f.events)))
	if log := first.logged(); strings.Contains(log, "trying again") || strings.Count(log, "kafka: publishing") != 1 {
		t.Errorf("the first was disturbed:\n%s", log)
	}

	// The third decides by HTTP until it can ask.
	c.Kill(1)
	third := newServer(t, against(c)...)
	third.start()
	if a := third.post("/v1/decisions", payment("third", "20.00"), patient...); a.status != 200 {
		t.Error(a)
	}
	if err := c.Restart(1); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the third", func() bool {
		select {
		case <-third.ended:
			return true
		default:
			return false
		}
	})
	if code := third.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(third.logged(), says) {
		t.Errorf("the third ended with %d and\n%s", code, third.logged())
	}
	third.cmd = nil
	if err := f.send(t.Context(), 2000); err != nil {
		t.Fatal(err)
	}
	if err := f.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	published(t, first, empty+uint64(len(f.events)))
	first.stop()
	x := readAll(t, c)
	x.complete(f)
	t.Logf("figures: the second refused after %s; %d decisions of the first, 0 lost, 0 twice, none of another", took.Round(100*time.Millisecond), len(x.decisions))
}
