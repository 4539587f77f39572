package kafkatest_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/internal/kafkatest"
)

// What the tests of others rely on: a killed node comes back with what was
// acknowledged, and records of an open transaction are not shown.
func TestKafkaCluster(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Options{Nodes: 3})
	// What exactly once rests on: epochs are checked with every transaction (KIP-890).
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "kafkatest", "1"
	features, err := versions.RequestWith(t.Context(), c.Client())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(features.FinalizedFeatures, func(f kmsg.ApiVersionsResponseFinalizedFeature) bool {
		return f.Name == "transaction.version" && f.MaxVersionLevel >= 2
	}) {
		t.Errorf("features of the brokers: %+v, want transaction.version 2", features.FinalizedFeatures)
	}
	c.Create("a", 2)
	cl := c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	send := func(partition int32, value string) {
		t.Helper()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Partition: partition, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	send(0, "first")
	leader, err := c.Leader(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.Kill(leader)
	killed, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if c.InSync(killed) == nil {
		t.Error("InSync() with a node killed = nil")
	}
	send(0, "while one is away")
	away := time.Since(began)
	if err := c.Restart(leader); err != nil {
		t.Fatal(err)
	}
	if err := c.InSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := time.Since(began)

	writer := c.Client(kgo.TransactionalID("w"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Partition: 1, Value: fmt.Appendf(nil, "commit=%t", bool(end))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := writer.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	c.Committed("a", func(r *kgo.Record) { got = append(got, fmt.Sprintf("%d %s", r.Partition, r.Value)) })
	slices.Sort(got)
	if want := []string{"0 first", "0 while one is away", "1 commit=true"}; !slices.Equal(got, want) {
		t.Errorf("Committed() = %q, want %q", got, want)
	}
	if n := c.Written("a"); n != 4 {
		t.Errorf("Written() = %d, want 4", n)
	}
	if c.CPU() == 0 || kafkatest.CPU(os.Getpid()) == 0 {
		t.Error("CPU() = 0")
	}
	t.Logf("a leader killed: written again after %s, all in sync again after %s", away.Round(10*time.Millisecond), back.Round(10*time.Millisecond))
}
