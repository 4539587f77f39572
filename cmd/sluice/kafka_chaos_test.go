package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/kafkatest"
)

// Three brokers of which one that leads something we use is killed again and
// again, and a server that is killed as often, while payments come in. Then, for a
// reader of committed records: every payment with a scenario is decided once, in
// the order of positions, with its alert; and the journal, replayed without any
// trouble, gives the same bytes.
func TestKafkaChaos(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Start(t, kafkatest.Options{Nodes: 3})
	topics(t, c)
	random := seeded(t, 11)
	kills, events := torture(20, 60), torture(200_000, 600_000)
	f := newFeed(t, c, random.Uint64())
	s := newServer(t, against(c, "checkpoint.every=1s", "checkpoint.events=10000")...)
	s.start()
	empty := durable(t, s)

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	began := time.Now()
	var allowed atomic.Int64 // events that may be sent by now
	sending := make(chan error, 1)
	go func() { // over all the kills, whatever they take
		for sent := 0; sent < events; {
			n := min(40, int(allowed.Load())-sent)
			if n > 0 {
				if err := f.send(ctx, n); err != nil {
					sending <- err
					return
				}
				sent += n
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				sending <- ctx.Err()
				return
			}
		}
		sending <- f.flush(ctx)
	}()

	rounds, broken := make(chan int), make(chan error, 1)
	go func() {
		defer close(rounds)
		broken <- killLeaders(ctx, c, rand.New(rand.NewPCG(random.Uint64(), 2)), kills, rounds)
	}()
	early := 0 // kills of a server that did not serve yet
	for round := range rounds {
		allowed.Store(int64(events * (round + 1) / kills))
		time.Sleep(time.Duration(random.IntN(6000)) * time.Millisecond)
		if log := s.logged(); strings.Contains(log, "level=ERROR") {
			t.Errorf("round %d: an error in the log:\n%s", round, log)
		}
		select {
		case <-s.ready:
		default:
			early++
		}
		s.kill()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
		s.launch()
	}
	if err := <-broken; err != nil {
		t.Fatal(err)
	}
	killed := time.Since(began)
	if err := <-sending; err != nil {
		t.Fatal(err)
	}
	await(t, "a server that serves", func() bool {
		select {
		case <-s.ready:
			return true
		default:
			return false
		}
	})
	end := published(t, s, empty+uint64(len(f.events)))
	settled := time.Since(began)
	s.stop()

	x := readAll(t, c)
	x.complete(f)
	// No event has two positions, and no start leaves anything behind.
	if want := empty + uint64(len(f.events)); end != want {
		t.Errorf("the journal began at %d, took %d events and ends at %d, want %d", empty, len(f.events), end, want)
	}
	compareReplay(t, filepath.Join(s.dir, "journal"), x)
	t.Logf("figures: %d brokers killed and %d servers (%d before they served) in %s, all published after %s; %d events, %d decisions, %d alerts, 0 lost, 0 twice; "+
		"%d more decisions in transactions that were given up; with replay %s", kills, kills, early, killed.Round(time.Second), settled.Round(time.Second),
		len(f.events), len(x.decisions), x.alerts, c.Written("decisions")-len(x.decisions), time.Since(began).Round(time.Second))
}

// killLeaders kills the leader of some partition that is read or written, brings
// it back, and waits until nothing is missing, n times. A round is told when its
// broker is dead.
func killLeaders(ctx context.Context, c *kafkatest.Cluster, random *rand.Rand, n int, rounds chan<- int) error {
	for round := range n {
		topic, partitions := "payments", int32(4)
		switch random.IntN(8) {
		case 0:
			topic, partitions = "sluice.published", 1
		case 1:
			topic, partitions = "__transaction_state", 3
		case 2, 3, 4:
			topic = "decisions"
		}
		leader, err := c.Leader(ctx, topic, random.Int32N(partitions))
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		c.Kill(leader)
		select {
		case rounds <- round:
		case <-ctx.Done():
			return ctx.Err()
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		if err := c.Restart(leader); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := c.InSync(ctx); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// compareReplay replays a journal and holds its decisions against those that were
// published, byte for byte.
func compareReplay(t *testing.T, journal string, x *told) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "decisions.jsonl")
	sluice(t, "replay", "--journal", journal, "--decisions", out)
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, n := bufio.NewScanner(file), 0
	lines.Buffer(nil, 1<<20)
	for ; lines.Scan(); n++ {
		if n < len(x.decisions) && sha256.Sum256(lines.Bytes()) != x.decisions[n].body {
			t.Fatalf("decision %d: replay gives %.600s, published is another one of %s", n, lines.Bytes(), x.decisions[n].event)
		}
	}
	if lines.Err() != nil || n != len(x.decisions) {
		t.Errorf("replay gives %d decisions, %d were published; %v", n, len(x.decisions), lines.Err())
	}
}
