package engine_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/replay"
)

// cpu gives the process's CPU time so far, over all cores.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perEvent reports CPU time an event, which wall time on a shared machine hides.
func perEvent(b *testing.B, events int, run func()) {
	runtime.GC()
	begin := cpu()
	run()
	b.ReportMetric(float64(cpu()-begin)/float64(events)/1e3, "cpu-us/event")
	b.ReportMetric(0, "ns/op")
}

func benchWorld(n int) (events [][]byte) {
	w := simulate.New(simulate.Options{Seed: 1})
	for range n {
		events = append(events, w.Next().Body)
	}
	return events
}

const benchEvents = 100_000

// BenchmarkDecode is the yardstick: encoding/json into generic values of the same
// events' own struct is what a hand-written consumer begins with.
func BenchmarkDecode(b *testing.B) {
	events := benchWorld(benchEvents)
	b.ResetTimer()
	perEvent(b, len(events), func() {
		for _, raw := range events {
			var e yardstick
			if err := json.Unmarshal(raw, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory decides the same events in memory: JSON in, body out.
func BenchmarkMemory(b *testing.B) {
	events := bytes.Join(benchWorld(benchEvents), []byte("\n"))
	b.ResetTimer()
	perEvent(b, benchEvents, func() {
		var count countWriter
		r := replay.New(replay.Options{Bundle: release(), Tables: tables(), Decoder: decoder(), Tenant: "default", Decisions: &count})
		if _, err := r.Events(b.Context(), bytes.NewReader(events)); err != nil {
			b.Fatal(err)
		}
	})
}

type countWriter int

func (c *countWriter) Write(p []byte) (int, error) { *c += countWriter(len(p)); return len(p), nil }

// BenchmarkDurable decides them through a cell: journal and checkpoints on disk.
func BenchmarkDurable(b *testing.B) {
	events := benchWorld(benchEvents)
	o := options()
	o.CheckpointEvents, o.CheckpointEvery = 10_000, time.Second
	o.Journal.SegmentBytes, o.Store.MemTable = 0, 0
	registry := prometheus.NewRegistry()
	o.Register = registry
	c := start(b, b.TempDir(), o)
	b.ResetTimer()
	perEvent(b, len(events), func() {
		done := make(chan struct{})
		for i, raw := range events {
			it := engine.NewItem(raw, "default")
			if i == len(events)-1 {
				it.Reply = func(engine.Result) { close(done) }
			}
			if err := c.SubmitWait(b.Context(), it); err != nil {
				b.Fatal(err)
			}
		}
		<-done
		c.close()
	})
	b.ReportMetric(counted(b, registry, "sluice_store_puts_total")/benchEvents, "puts/event")
	b.ReportMetric(counted(b, registry, "sluice_store_checkpoint_bytes_total")/benchEvents, "stored-B/event")
}

// counted reads a counter without labels.
func counted(b *testing.B, g prometheus.Gatherer, name string) float64 {
	families, err := g.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	b.Fatalf("no metric %s", name)
	return 0
}
