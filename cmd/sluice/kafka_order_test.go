package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/internal/kafkatest"
	"github.com/sluice-risk/sluice/risk"
)

// oraclePython is an interpreter that has what internal/kafkatest/requirements.txt
// names: DuckDB, and a Kafka client.
func oraclePython(t *testing.T) string {
	t.Helper()
	const variable = "SLUICE_TEST_PYTHON"
	if os.Getenv(variable) == "" {
		t.Skipf("needs a Python of the tests' own: %s is not set; `make test-kafka` and `make test-oracle` make one and set it", variable)
	}
	return os.Getenv(variable)
}

// backlog produces n payments of 48 hours to four partitions of uneven size, by
// customer, and writes what an oracle has to know of them. Cards, devices and
// merchants appear in all partitions. No two payments are at the same millisecond:
// among those, the order of partitions decides, which an oracle cannot know.
func backlog(t *testing.T, c *kafkatest.Cluster, topic string, n int, events string) {
	t.Helper()
	r := seeded(t, 20261121)
	const span = 48 * time.Hour
	start := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC).UnixMilli()
	file, err := os.Create(events)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	fmt.Fprintln(w, "id,t,card,device,merchant,cents")
	cl := c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(50_000))
	var failed error
	at := start
	for i := range n {
		// Whole milliseconds from 1 on, with a mean that fills the span.
		at += 1 + r.Int64N(2*span.Milliseconds()/int64(n)-1)
		customer, card, device, merchant, cents := r.IntN(5000), r.IntN(9000), r.IntN(3000), r.IntN(300), 100+r.IntN(20_000)
		partition := [...]int32{0, 1, 1, 2, 2, 2, 3, 3, 3, 3}[customer%10]
		id := "e" + strconv.Itoa(i)
		fmt.Fprintf(w, "%s,%d,c%d,d%d,m%d,%d\n", id, at, card, device, merchant, cents)
		value := fmt.Appendf(nil, `{"event":{"id":%q,"type":"payment.authorization","time":%q},"amount":{"value":"%d.%02d","currency":"USD"},`+
			`"customer":{"id":"u%d"},"card":{"token":"c%d"},"device":{"id":"d%d"},"merchant":{"id":"m%d"}}`,
			id, risk.Time(at).String(), cents/100, cents%100, customer, card, device, merchant)
		cl.Produce(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Timestamp: time.UnixMilli(at), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil || failed != nil {
		t.Fatalf("produce: %v, %v", err, failed)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// drained reads a backlog in a process and gives the features it was judged by.
func drained(t *testing.T, c *kafkatest.Cluster, n int, features string, more ...string) (took time.Duration) {
	t.Helper()
	s := newServer(t, append([]string{"kafka.brokers=" + strings.Join(c.Brokers(), ","), "rulesets=testdata/order", "outputs.decisions=", "outputs.alerts=",
		"checkpoint.every=1s", "checkpoint.events=10000"}, more...)...)
	began := time.Now()
	s.start()
	want := `sluice_entries_total{verdict="decided"} ` + strconv.FormatFloat(float64(n), 'g', -1, 64)
	for end := time.Now().Add(5 * time.Minute); !strings.Contains(string(s.get("/metrics").body), want+"\n"); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the backlog is not read: no %q", want)
		}
	}
	took = time.Since(began)
	s.stop()
	sluice(t, "replay", "--journal", s.dir, "--features", features)
	return took
}

// A backlog in four partitions is judged in the order in which it happened: each
// feature of each payment is what DuckDB computes. Without merging, it is not.
func TestKafkaOrder(t *testing.T) {
	python := oraclePython(t)
	c := kafkatest.Start(t, kafkatest.Options{})
	n := 500_000
	if testing.Short() {
		n = 50_000
	}
	dir := t.TempDir()
	events, features := filepath.Join(dir, "events.csv"), filepath.Join(dir, "features.csv")
	c.Create("dead-letter", 1)
	for _, run := range []struct {
		skew string
		n    int
	}{{"1s", n}, {"0s", n / 5}} {
		skew, n, topic := run.skew, run.n, "backlog-"+run.skew
		c.Create(topic, 4)
		backlog(t, c, topic, n, events)
		took := drained(t, c, n, features, "sources=[{topic: "+topic+"}]", "cell=skew-"+skew, "kafka.max_skew="+skew)
		out, err := exec.Command(python, "testdata/order.py", events, features).CombinedOutput()
		if err != nil {
			t.Fatalf("order.py: %v\n%s", err, out)
		}
		wrong := map[string]int{}
		for line := range strings.Lines(string(out)) {
			name, count, _ := strings.Cut(strings.TrimSpace(line), ",")
			if wrong[name], err = strconv.Atoi(count); err != nil {
				t.Fatalf("order.py: %q", line)
			}
		}
		t.Logf("max_skew %s: %d of %d payments with a wrong feature; read in %s, %.0f a second\n%s",
			skew, wrong["rows"], wrong["events"], took.Round(time.Second), float64(n)/took.Seconds(), out)
		if wrong["events"] != n {
			t.Errorf("max_skew %s: compared %d payments, want %d", skew, wrong["events"], n)
		}
		if merged := skew != "0s"; merged != (wrong["rows"] == 0) {
			t.Errorf("max_skew %s: %d payments have a wrong feature", skew, wrong["rows"])
		}
	}
}
