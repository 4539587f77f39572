package main

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is a stand-in for Kafka in the test's process, so that it outlives the
// servers.
type broker struct {
	t       *testing.T
	addrs   []string
	produce *kgo.Client
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(2, "payments"), kfake.SeedTopics(1, "decisions", "alerts", "dead-letter"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := &broker{t: t, addrs: cluster.ListenAddrs()}
	if b.produce, err = kgo.NewClient(kgo.SeedBrokers(b.addrs...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.produce.Close)
	return b
}

// config is what a server needs to know.
func (b *broker) config() []string {
	return []string{"kafka.brokers=" + strings.Join(b.addrs, ","), "sources=[{topic: payments}]"}
}

// send produces without waiting; flush waits for all.
func (b *broker) send(topic string, value []byte) { b.sendKeyed(topic, nil, value) }

// sendKeyed keeps records of one key in order: they go to one partition.
func (b *broker) sendKeyed(topic string, key, value []byte) {
	b.produce.Produce(context.Background(), &kgo.Record{Topic: topic, Key: key, Value: value}, func(_ *kgo.Record, err error) {
		if err != nil {
			b.t.Errorf("produce to %s: %v", topic, err)
		}
	})
}

func (b *broker) flush() {
	if err := b.produce.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// committed reads a topic of one partition to its end, what is committed only.
// Whoever writes to it must have stopped: the end is a record of our own.
func (b *broker) committed(topic string) (values [][]byte) {
	b.t.Helper()
	const end = "end of what is read"
	b.send(topic, []byte(end))
	b.flush()
	b.follow(topic, func(value []byte) bool {
		if string(value) == end {
			return false
		}
		values = append(values, value)
		return true
	})
	return values
}

// follow reads committed values from the first one on while more says so.
func (b *broker) follow(topic string, more func([]byte) bool) {
	b.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(b.t.Context())
		if err := fetches.Err(); err != nil {
			b.t.Fatalf("read %s: %v", topic, err)
		}
		for _, r := range fetches.Records() {
			if !more(r.Value) {
				return
			}
		}
	}
}
