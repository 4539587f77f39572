package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/internal/kafkatest"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/risk"
)

// Tests called TestKafka… run against a real Apache Kafka: make test-kafka.

var topicLine = regexp.MustCompile(`(?m)^kafka-topics.sh .* --create --topic (\S+) +--partitions (\d+) (.*)$`)

// topics makes those of a server as docs/operations.md tells operators to; how many
// replicas there can be, the cluster knows.
func topics(t testing.TB, c *kafkatest.Cluster) {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := topicLine.FindAllStringSubmatch(string(page), -1)
	if len(lines) != 5 {
		t.Fatalf("docs/operations.md makes %d topics, want 5", len(lines))
	}
	for _, line := range lines {
		partitions, err := strconv.ParseInt(line[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		var settings []string
		for _, option := range strings.Fields(line[3]) {
			if key, value, ok := strings.Cut(option, "="); ok && key != "min.insync.replicas" {
				settings = append(settings, key, value)
			}
		}
		c.Create(line[1], int32(partitions), settings...)
	}
}

// against is the configuration of a server on the plain listener.
func against(c *kafkatest.Cluster, more ...string) []string {
	return append([]string{"kafka.brokers=" + strings.Join(c.Brokers(), ","), "sources=[{topic: payments}]"}, more...)
}

// feed produces simulated events, with the payment's time as the record's and the
// payer as the key, and keeps which of them must have a decision.
type feed struct {
	t      testing.TB
	cl     *kgo.Client
	world  *simulate.World
	events map[string]bool // id to whether it is judged
	judged int
	failed atomic.Pointer[error]
}

func newFeed(t testing.TB, c *kafkatest.Cluster, seed uint64) *feed {
	return &feed{t: t, cl: c.Client(kgo.MaxBufferedRecords(20_000), kgo.ProducerLinger(5*time.Millisecond)),
		world: simulate.New(simulate.Options{Seed: seed}), events: map[string]bool{}}
}

// send produces n more events and does not wait until they are acknowledged.
func (f *feed) send(ctx context.Context, n int) error {
	for range n {
		e := f.world.Next()
		var head struct {
			Event    struct{ Type, Time string }
			Customer struct{ ID string }
			Sender   struct{ Account string }
		}
		if err := json.Unmarshal(e.Body, &head); err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339Nano, head.Event.Time)
		if err != nil {
			return err
		}
		f.events[e.ID] = judged[head.Event.Type]
		if judged[head.Event.Type] {
			f.judged++
		}
		key := cmp.Or(head.Customer.ID, head.Sender.Account, e.ID)
		f.cl.Produce(ctx, &kgo.Record{Topic: "payments", Key: []byte(key), Value: e.Body, Timestamp: at}, func(_ *kgo.Record, err error) {
			if err != nil {
				f.failed.CompareAndSwap(nil, &err)
			}
		})
	}
	return ctx.Err()
}

// flush waits until all that was sent is acknowledged.
func (f *feed) flush(ctx context.Context) error {
	if err := f.cl.Flush(ctx); err != nil {
		return err
	}
	if err := f.failed.Load(); err != nil {
		return fmt.Errorf("produce: %w", *err)
	}
	return nil
}

var durableAt = regexp.MustCompile(`position (\d+) durable`)

// durable is the last position that is on the disk.
func durable(t *testing.T, s *server) uint64 {
	t.Helper()
	ready := string(s.get("/readyz").body)
	m := durableAt.FindStringSubmatch(ready)
	if m == nil {
		t.Fatalf("no durable position in %s", ready)
	}
	at, err := strconv.ParseUint(m[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

var publishedOf = regexp.MustCompile(`published (\d+) of (\d+)`)

// published waits until a server has published everything up to a position that it
// must reach, and tells where it is then.
func published(t *testing.T, s *server, want uint64) (at uint64) {
	t.Helper()
	last, moved := "", time.Now()
	for {
		ready := string(s.get("/readyz").body)
		m := publishedOf.FindStringSubmatch(ready)
		if m != nil && m[1] == m[2] {
			at, err := strconv.ParseUint(m[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if at >= want {
				return at
			}
		}
		if m != nil && m[0] != last {
			last, moved = m[0], time.Now()
		} else if time.Since(moved) > time.Minute {
			t.Fatalf("want position %d published, nothing moves: %s\n%s", want, ready, s.stacks())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// told is what a reader of committed records found.
type told struct {
	decisions []decided // by position
	events    map[string]int
	alerts    int
}

// of gives what was told of an event.
func (x *told) of(event string) (all []decided) {
	for _, d := range x.decisions {
		if d.event == event {
			all = append(all, d)
		}
	}
	return all
}

type decided struct {
	position uint64
	event    string
	body     [sha256.Size]byte
}

// readAll reads decisions and alerts to their ends and fails for whatever does not
// fit: a decision or an alert twice, positions of a partition that do not ascend,
// an alert without its decision or a decision without its alert, dead letters.
// Everybody who writes must have stopped.
func readAll(t *testing.T, c *kafkatest.Cluster) *told {
	t.Helper()
	x := &told{events: map[string]int{}}
	last := map[int32]uint64{}
	alarming := map[string]bool{} // decisions that must have an alert; true: it was seen
	c.Committed("decisions", func(r *kgo.Record) {
		var d struct {
			ID, Event, Action string
			Position          uint64
		}
		if err := json.Unmarshal(r.Value, &d); err != nil {
			t.Fatalf("decision %.300s: %v", r.Value, err)
		}
		if d.ID != risk.KeyOf("default", d.Event).DecisionID() {
			t.Fatalf("decision of %s has id %s", d.Event, d.ID)
		}
		if d.Position <= last[r.Partition] {
			t.Fatalf("partition %d: position %d is published after %d", r.Partition, d.Position, last[r.Partition])
		}
		last[r.Partition] = d.Position
		if x.events[d.Event]++; x.events[d.Event] > 1 {
			t.Errorf("the decision of %s is published twice, now at position %d, partition %d offset %d; before: %+v",
				d.Event, d.Position, r.Partition, r.Offset, x.of(d.Event))
		}
		if d.Action != risk.Allow.String() {
			alarming[d.ID] = false
		}
		x.decisions = append(x.decisions, decided{d.Position, d.Event, sha256.Sum256([]byte(bodyOf(t, r.Value)))})
	})
	c.Committed("alerts", func(r *kgo.Record) {
		var a struct{ ID, Decision, Event string }
		if err := json.Unmarshal(r.Value, &a); err != nil {
			t.Fatalf("alert %.300s: %v", r.Value, err)
		}
		seen, ok := alarming[a.Decision]
		if !ok || seen || a.ID != risk.KeyOf("default", a.Event).AlertID() {
			t.Errorf("alert %s of decision %s: it must have one: %v, it has one already: %v", a.ID, a.Decision, ok, seen)
		}
		alarming[a.Decision] = true
		x.alerts++
	})
	for id, seen := range alarming {
		if !seen {
			t.Errorf("decision %s has no alert", id)
		}
	}
	c.Committed("dead-letter", func(r *kgo.Record) { t.Errorf("dead letter %.300s", r.Value) })
	slices.SortFunc(x.decisions, func(a, b decided) int { return cmp.Compare(a.position, b.position) })
	for i := 1; i < len(x.decisions); i++ {
		if x.decisions[i].position == x.decisions[i-1].position {
			t.Errorf("position %d is published for %s and %s", x.decisions[i].position, x.decisions[i-1].event, x.decisions[i].event)
		}
	}
	return x
}

// complete holds what was found against what was sent.
func (x *told) complete(f *feed) {
	f.t.Helper()
	lost := 0
	for id, judged := range f.events {
		if judged && x.events[id] == 0 {
			lost++
		}
		if !judged && x.events[id] > 0 {
			f.t.Errorf("%s has a decision and no scenario", id)
		}
	}
	if lost > 0 || len(x.events) != f.judged {
		f.t.Errorf("%d decisions are lost; there are %d, want %d", lost, len(x.events), f.judged)
	}
}
