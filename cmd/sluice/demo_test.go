package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/internal/kafkatest"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/internal/stream"
)

// The demo on brokers that are somebody's: it makes its topics, sends the world
// with its keys and its time, and leaves what it was told to leave.
func TestDemoOnBrokers(t *testing.T) {
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "payments", "taken-decisions"))
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	demoOn(t, broker.ListenAddrs())
}

func TestKafkaDemo(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{})
	c.Create("payments", 1)
	c.Create("taken-decisions", 1)
	demoOn(t, c.Brokers())
}

func demoOn(t *testing.T, brokers []string) {
	const events = 400
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics := func() (names []string) {
		req := kmsg.NewPtrMetadataRequest()
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range resp.Topics {
			if !topic.IsInternal {
				names = append(names, *topic.Topic)
			}
		}
		slices.Sort(names)
		return names
	}
	run := func(prefix string, keep bool) (string, error) {
		var out bytes.Buffer
		err := demo(ctx, demoOptions{listen: "127.0.0.1:0", rules: "../../rulesets/payments", events: events, seed: 3,
			kafka: strings.Join(brokers, ","), prefix: prefix, keep: keep}, &out, &out)
		return out.String(), err
	}

	out, err := run("shown-", true)
	if err != nil || !strings.Contains(out, "shown-payments (4 partitions)") || !strings.Contains(out, "\n400 events: ") {
		t.Fatalf("demo = %v, said\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > 81 && !strings.Contains(line, "127.0.0.1") {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	want := []string{"payments", "shown-alerts", "shown-dead-letter", "shown-decisions", "shown-payments", stream.PublishedTopic, "taken-decisions"}
	if got := topics(); !slices.Equal(got, want) {
		t.Errorf("topics = %q, want %q", got, want)
	}

	// Every record is the world's, at its time, a customer's all in one partition.
	world, at := simulate.New(simulate.Options{Seed: 3}), map[string]simulate.Event{}
	for range events {
		e := world.Next()
		at[string(e.Body)] = e
	}
	client.AddConsumeTopics("shown-payments", stream.PublishedTopic)
	partition, used := map[string]int32{}, map[int32]bool{}
	var position *kgo.Record
	for seen := 0; seen < events || position == nil || position.Value != nil; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d records: %v", seen, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Topic == stream.PublishedTopic {
				position = r
				return
			}
			seen++
			e, ok := at[string(r.Value)]
			if !ok || !r.Timestamp.Equal(e.At.Truncate(time.Millisecond)) || string(r.Key) != e.Key || e.Key == "" {
				t.Errorf("record %s at %s is not event %s of key %q at %s", r.Key, r.Timestamp, e.ID, e.Key, e.At)
			}
			var body struct{ Customer struct{ ID string } }
			if err := json.Unmarshal(r.Value, &body); err != nil {
				t.Fatal(err)
			}
			used[r.Partition] = true
			if id := body.Customer.ID; id != "" {
				if p, ok := partition[id]; ok && p != r.Partition {
					t.Errorf("customer %s is in partitions %d and %d", id, p, r.Partition)
				}
				partition[id] = r.Partition
			}
		})
	}
	if len(used) != paymentsPartitions {
		t.Errorf("records are in partitions %v, want %d of them", used, paymentsPartitions)
	}
	if !strings.HasPrefix(string(position.Key), "demo-") {
		t.Errorf("the last position is deleted for cell %s, want the demo's own", position.Key)
	}

	before := topics()
	for _, prefix := range []string{"", "taken-", "shown-"} {
		if out, err := run(prefix, false); err == nil || !strings.Contains(err.Error(), "exists already") {
			t.Errorf("with prefix %q: %v, said %s", prefix, err, out)
		}
	}
	if out, err := run("gone-", false); err != nil || !strings.Contains(out, "Topics deleted: gone-payments, ") {
		t.Errorf("demo = %v, said\n%s", err, out)
	}
	after := topics()
	for ; !slices.Equal(after, before) && ctx.Err() == nil; after = topics() {
		time.Sleep(20 * time.Millisecond) // brokers delete in their own time
	}
	if ctx.Err() != nil {
		t.Errorf("topics after it = %q, want those before it: %q", after, before)
	}
}
