package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/internal/kafkatest"
)

// TestKafkaThroughput measures payments a second from topic to topic, `sluice
// serve` with the shipped ruleset against a loop that only consumes, decodes with
// encoding/json into maps, and produces; alternating, on one broker, in one run. The loop runs
// plain, and in transactions of 512, which is what Sluice promises its readers.
// make bench-kafka
func TestKafkaThroughput(t *testing.T) {
	if os.Getenv("SLUICE_TEST_BENCH") == "" {
		t.Skip("a measurement of minutes: make bench-kafka")
	}
	n, rounds := 100_000, 5
	if s := os.Getenv("SLUICE_TEST_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	c := kafkatest.Start(t, kafkatest.Options{Fast: true})
	c.Create("payments", 4)
	cl := c.Client()
	size := 0
	for i, body := range payments(n) {
		size += len(body)
		cl.Produce(t.Context(), &kgo.Record{Topic: "payments", Value: body, Key: fmt.Append(nil, i), Timestamp: eventTime(t, body)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	runs := map[string][]pace{}
	ways := []string{"loop", "loop in transactions", "sluice", wide}
	for round := range rounds + 1 { // the first warms the brokers up
		for k := range ways {
			way := ways[(round+k)%len(ways)]
			out := fmt.Sprintf("out-%d-%d", round, k)
			c.Create(out, 4)
			var r pace
			if way == "sluice" || way == wide {
				r = measureSluice(t, c, out, n, way, round == rounds)
			} else {
				r = measureLoop(t, c, out, n, way != "loop")
			}
			if round > 0 {
				runs[way] = append(runs[way], r)
			}
			t.Logf("round %d: %-20s %6.0f events/s, %5.1f µs CPU an event, brokers %5.1f µs", round, way, r.rate, r.cpu, r.brokers)
		}
	}
	t.Logf("%d payments of %d bytes, 4 partitions, 1 broker; medians of %d rounds", n, size/n, rounds)
	t.Logf("| | events/s | CPU µs an event | brokers' CPU µs an event |")
	t.Logf("|---|---|---|---|")
	for _, way := range ways {
		of := func(f func(pace) float64) float64 {
			var all []float64
			for _, r := range runs[way] {
				all = append(all, f(r))
			}
			return median(all)
		}
		t.Logf("| %s | %.0f | %.1f | %.1f |", way, of(func(r pace) float64 { return r.rate }), of(func(r pace) float64 { return r.cpu }), of(func(r pace) float64 { return r.brokers }))
	}
	for _, way := range ways[2:] {
		var ratios, equal []float64
		for i := range rounds {
			ratios = append(ratios, 100*runs[way][i].rate/runs["loop"][i].rate)
			equal = append(equal, 100*runs[way][i].rate/runs["loop in transactions"][i].rate)
		}
		t.Logf("figures: Kafka to Kafka, %s: %.0f %% of the loop (%.0f to %.0f), %.0f %% of the loop in transactions",
			way, median(ratios), slices.Min(ratios), slices.Max(ratios), median(equal))
	}
}

// pace is one run: events a second, and microseconds of CPU an event.
type pace struct{ rate, cpu, brokers float64 }

func median(of []float64) float64 {
	s := slices.Sorted(slices.Values(of))
	return s[len(s)/2]
}

func eventTime(t *testing.T, body []byte) time.Time {
	var head struct{ Event struct{ Time time.Time } }
	if err := json.Unmarshal(body, &head); err != nil {
		t.Fatal(err)
	}
	return head.Event.Time
}

// sample is how far a run is.
type sample struct {
	at           time.Time
	written      int64
	cpu, brokers time.Duration
}

// watch samples a run until done says that all is written, and gives what it did
// between a tenth of the way and the end: the start of a process is not counted.
func watch(t *testing.T, c *kafkatest.Cluster, out string, pid, n int, done func() bool) pace {
	t.Helper()
	var all []sample
	take := func() {
		s := sample{at: time.Now(), cpu: kafkatest.CPU(pid), brokers: c.CPU()}
		for _, end := range c.Ends(out) {
			s.written += end
		}
		all = append(all, s)
	}
	for end := time.Now().Add(5 * time.Minute); !done(); take() {
		if time.Now().After(end) {
			t.Fatal("a run of more than 5 minutes")
		}
		time.Sleep(50 * time.Millisecond)
	}
	take()
	whole := all[len(all)-1].written // transactions have markers, so more than n
	from := all[slices.IndexFunc(all, func(s sample) bool { return s.written >= whole/10 })]
	to := all[slices.IndexFunc(all, func(s sample) bool { return s.written >= whole })]
	events := float64(n) * float64(to.written-from.written) / float64(whole)
	return pace{events / to.at.Sub(from.at).Seconds(),
		float64((to.cpu - from.cpu).Microseconds()) / events, float64((to.brokers - from.brokers).Microseconds()) / events}
}

// wide is sluice with limits.batch_events for throughput.
const wide = "sluice, batches of 2048"

func measureSluice(t *testing.T, c *kafkatest.Cluster, out string, n int, way string, profile bool) pace {
	t.Helper()
	settings := against(c, "cell="+out, "outputs.decisions="+out, "outputs.alerts=alerts-"+out, "outputs.dead_letter=dead-"+out,
		"checkpoint.every=1s", "checkpoint.events=10000")
	if way == wide {
		settings = append(settings, "limits.batch_events=2048")
	}
	s := newServer(t, settings...)
	if path := os.Getenv("SLUICE_TEST_PROFILE"); path != "" && !profile {
		s.env = []string{"SLUICE_TEST_PROFILE="} // of the last round only
	}
	s.start()
	r := watch(t, c, out, s.cmd.Process.Pid, n, func() bool {
		m := publishedOf.FindStringSubmatch(string(s.get("/readyz").body))
		if m == nil || m[1] != m[2] {
			return false
		}
		at, err := strconv.Atoi(m[1])
		return err == nil && at > n // the release has a position too
	})
	s.stop()
	if err := os.RemoveAll(filepath.Dir(s.dir)); err != nil {
		t.Fatal(err)
	}
	return r
}

// loopVariable makes this binary the loop.
const loopVariable = "SLUICE_TEST_LOOP"

func measureLoop(t *testing.T, c *kafkatest.Cluster, out string, n int, transactions bool) pace {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s payments %s %d %t", loopVariable, strings.Join(c.Brokers(), ","), out, n, transactions))
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan error, 1)
	go func() { _, err := said.Read(make([]byte, 1)); ready <- err }()
	var failed error
	r := watch(t, c, out, cmd.Process.Pid, n, func() bool {
		select {
		case failed = <-ready:
			return true
		default:
			return false
		}
	})
	hold.Close()
	if err := cmd.Wait(); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return r
}

// loop is the yardstick: consume, decode with encoding/json, produce what came. It
// tells when all is written, and waits to be looked at.
func loop(arguments string) error {
	debug.SetGCPercent(300) // as main has it
	var brokers, in, out string
	var n int
	var transactions bool
	if _, err := fmt.Sscan(arguments, &brokers, &in, &out, &n, &transactions); err != nil {
		return err
	}
	starts := map[int32]kgo.Offset{}
	for p := range int32(4) {
		starts[p] = kgo.NewOffset().AtStart()
	}
	opts := []kgo.Opt{kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{in: starts})}
	if transactions {
		opts = append(opts, kgo.TransactionalID("loop-"+out))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx := context.Background()
	var failed error
	for done := 0; done < n; {
		fetches := cl.PollRecords(ctx, 512)
		if err := fetches.Err(); err != nil {
			return err
		}
		if transactions {
			if err := cl.BeginTransaction(); err != nil {
				return err
			}
		}
		for _, r := range fetches.Records() {
			var event map[string]any
			if err := json.Unmarshal(r.Value, &event); err != nil {
				return err
			}
			cl.Produce(ctx, &kgo.Record{Topic: out, Key: r.Key, Value: r.Value}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed = err // read behind a flush only
				}
			})
			done++
		}
		if transactions {
			if err := cl.Flush(ctx); err != nil {
				return err
			}
			if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
				return err
			}
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	os.Stdout.Write([]byte("."))
	io.Copy(io.Discard, os.Stdin)
	return nil
}

// profiled is main with a CPU profile of the whole run.
func profiled(path string) (code int) {
	f, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	defer f.Close()
	defer pprof.StopCPUProfile()
	debug.SetGCPercent(300)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
