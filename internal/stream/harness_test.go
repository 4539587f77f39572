package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

const bound = 15 * time.Second // of every wait; reached only when a test fails

// until waits for a condition that a counter, gauge or broker shows.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about within %s", what, bound)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// value sums what a metric has in all its labels.
func value(c prometheus.Collector) (sum float64) {
	ch := make(chan prometheus.Metric)
	go func() { c.Collect(ch); close(ch) }()
	for m := range ch {
		var d dto.Metric
		if err := m.Write(&d); err != nil {
			panic(err)
		}
		sum += d.GetCounter().GetValue() + d.GetGauge().GetValue()
	}
	return sum
}

func brokers(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func client(t testing.TB, c *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func produce(t testing.TB, c *kfake.Cluster, topic string, values ...string) {
	t.Helper()
	cl := client(t, c, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("payment")}}})
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("produce to %s: %v", topic, err)
	}
}

// committed gives what a reader of committed records sees of one partition.
func committed(t testing.TB, c *kfake.Cluster, topic string) []*kgo.Record {
	t.Helper()
	s := &Stream{admin: client(t, c), patience: bound, opts: Options{Cell: "reader"}}
	defer s.admin.Close()
	found, _, err := s.survey(t.Context(), all, topic)
	if err != nil || found[topic] == nil {
		t.Fatalf("topic %s: %v", topic, err)
	}
	end := found[topic].partitions[0].end
	if end == 0 {
		return nil
	}
	cl := client(t, c, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	var out []*kgo.Record
	for {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v after %d records", topic, err, len(out))
		}
		last := int64(-1)
		fetches.EachRecord(func(r *kgo.Record) {
			if last = r.Offset; !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
		if last >= end-1 {
			return out
		}
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// lines collects what is logged.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// stream is one that runs.
type running struct {
	*Stream
	t    testing.TB
	log  *lines
	stop context.CancelFunc
	done chan error
}

func options(c *kfake.Cluster) Options {
	return Options{Cell: "cell-0", Brokers: c.ListenAddrs(), Sources: []Source{{Topic: "payments", Tenant: "default"}},
		Decisions: "decisions", Alerts: "alerts", DeadLetter: "dead-letter"}
}

// prepare makes a stream with little patience.
func prepare(t testing.TB, cell Decider, o Options) *running {
	t.Helper()
	log := &lines{}
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	o.Register = prometheus.NewRegistry()
	s, err := New(cell, o)
	if err != nil {
		t.Fatal(err)
	}
	s.every = 20 * time.Millisecond
	s.retry = func(int) time.Duration { return 5 * time.Millisecond }
	return &running{Stream: s, t: t, log: log}
}

func (r *running) start() *running {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.done = stop, make(chan error, 1)
	go func() { r.done <- r.Run(ctx) }()
	r.t.Cleanup(func() {
		stop()
		if r.t.Failed() {
			r.t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

// end gives Run's error, without stopping it first.
func (r *running) end() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(bound):
		r.t.Fatal("Run did not return")
		return nil
	}
}

func (r *running) close() {
	r.t.Helper()
	r.stop()
	if err := r.end(); err != nil {
		r.t.Fatalf("Run() = %v", err)
	}
}

func (r *running) published(at journal.Position) {
	r.t.Helper()
	until(r.t, fmt.Sprintf("position %d published (now %d)", at, r.position.Load()), func() bool { return r.position.Load() >= uint64(at) })
}

func (r *running) failures() float64 { return value(r.metrics.failures) }

// fake is a cell that decides nothing: its results are given.
type fake struct {
	journal string
	mu      sync.Mutex
	results []engine.Result
	changed chan struct{}
	taken   []string
	offsets map[string]map[int32]int64
	answer  func(n int, it *engine.Item) error // of the n-th submission; nil takes it
	tries   int
	release string // that decides
}

func newFake(n int) *fake {
	f := &fake{journal: "j1", changed: make(chan struct{})}
	f.add(n)
	return f
}

// add makes n more results: mostly decisions, every fifth one a review, and
// every seventh nothing to publish.
func (f *fake) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		p := journal.Position(len(f.results) + 1)
		id := fmt.Sprintf("e%d", p)
		key := risk.KeyOf("default", id)
		r := engine.Result{Position: p, Verdict: engine.Decided, Key: key, Tenant: "default", Event: id, Action: risk.Allow,
			Scenario: "card_payment", Subject: "u" + id, Arrival: risk.Time(1_700_000_000_000 + p)}
		if p%5 == 0 {
			r.Action = risk.Review
		}
		if p%7 == 0 {
			r.Verdict, r.Action = engine.Observed, 0
		} else {
			d := risk.Decision{ID: key.DecisionID(), Event: id, Tenant: "default", Scenario: "card_payment", Action: r.Action}
			r.Body = d.AppendBody(nil, true)
		}
		f.results = append(f.results, r)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// decisions are the positions with one.
func (f *fake) decisions() (at []journal.Position) {
	for _, r := range f.results {
		if r.Verdict == engine.Decided {
			at = append(at, r.Position)
		}
	}
	return at
}

func (f *fake) Follow(ctx context.Context, from journal.Position, each func([]engine.Result) error) error {
	for {
		f.mu.Lock()
		rest, changed := f.results[min(int(from)-1, len(f.results)):], f.changed
		f.mu.Unlock()
		if rest = rest[:min(len(rest), 16)]; len(rest) > 0 { // small frames: many transactions
			if err := each(rest); err != nil {
				return err
			}
			from += journal.Position(len(rest))
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fake) Journal() string { return f.journal }

func (f *fake) At(p journal.Position) (engine.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p == 0 || int(p) > len(f.results) {
		return engine.Result{}, journal.ErrBeyond
	}
	return f.results[p-1], nil
}

func (f *fake) SubmitWait(ctx context.Context, it *engine.Item) error {
	f.mu.Lock()
	f.tries++
	n := f.tries
	f.mu.Unlock()
	var err error
	if f.answer != nil {
		err = f.answer(n, it)
	}
	if err == nil {
		f.mu.Lock()
		f.taken = append(f.taken, string(it.Raw))
		f.mu.Unlock()
	}
	it.Reply(engine.Result{Err: err})
	return nil
}

func (f *fake) given() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.taken...)
}

func (f *fake) Offsets(topic string) map[int32]int64 { return f.offsets[topic] }

func (f *fake) Status() engine.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	end := journal.Position(len(f.results))
	return engine.Status{Release: f.release, End: end, Durable: end}
}

// positions gives the positions of published decisions, in the topic's order.
func positions(t testing.TB, records []*kgo.Record) (at []journal.Position) {
	t.Helper()
	for _, r := range records {
		var v struct {
			Position journal.Position `json:"position"`
		}
		if err := json.Unmarshal(r.Value, &v); err != nil || v.Position == 0 {
			t.Fatalf("decision %.200s: %v", r.Value, err)
		}
		at = append(at, v.Position)
	}
	return at
}

// A real cell with three rules.

var tables = sync.OnceValue(func() *enrich.Tables {
	t, err := enrich.New(enrich.Options{})
	if err != nil {
		panic(err)
	}
	return t
})

var release = sync.OnceValue(func() *engine.Bundle {
	b, err := engine.Build(diag.Files{
		"ruleset.yaml": []byte(`apiVersion: ruleset/v1
ruleset: small
base_currency: USD
scenarios:
  card_payment:
    events: [payment.authorization]
    subject: customer.id
    deadline: 80ms
    order: [block, allow, review]
    timeout: {then: review}
    missing_feature: review
`),
		"features.yaml": []byte(`apiVersion: features/v1
entities:
  card: {key: card.token}
features:
  card_count_1h: {count: {by: card, window: 1h}}
`),
		"rules/card.yaml": []byte(`apiVersion: rules/v1
scenario: card_payment
rules:
  - {id: huge, title: {en: Huge}, stage: block, when: amount.base > 5000, reason: R1, why: Test., owner: test}
  - {id: large, title: {en: Large}, stage: review, when: amount.base > 1000, reason: R1, why: Test., owner: test}
`),
		"reasons.yaml": []byte(`apiVersion: reasons/v1
reasons:
  R1: {public: {en: Amount is unusual}, internal: {en: Large amount}}
`),
	}, tables())
	if err != nil {
		panic(err)
	}
	return b
})

func event(id string, amount int) string {
	return fmt.Sprintf(`{"event":{"id":%q,"type":"payment.authorization","time":"2026-11-21T12:00:00Z"},"amount":{"value":"%d.00","currency":"USD"},`+
		`"customer":{"id":"u%d"},"card":{"token":"c%d"}}`, id, amount, amount%7, amount%5)
}

// cell is a real one with the stream that belongs to it.
type cell struct {
	*engine.Cell
	stream *running
	t      testing.TB
	stop   context.CancelFunc
	done   chan error
}

func open(t testing.TB, dir string, o Options, change ...func(*engine.Options)) *cell {
	t.Helper()
	opts := engine.Options{
		Tables: tables(), Decoder: &risk.Decoder{Secrets: risk.NewSecrets([32]byte{1})}, Tenant: "default", DiskReserve: -1,
		Now:             func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) },
		CheckpointEvery: 50 * time.Millisecond,
		Journal:         journal.Options{SegmentBytes: 4 << 20}, Store: store.Options{MemTable: 4 << 20},
	}
	for _, f := range change {
		f(&opts)
	}
	c, err := engine.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &cell{Cell: c, stream: prepare(t, c, o), t: t, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- c.Run(ctx) }()
	if err := c.Begin(t.Context(), release(), "test"); err != nil {
		t.Fatal(err)
	}
	r.stream.start()
	t.Cleanup(r.close)
	return r
}

func (c *cell) close() {
	if c.stop == nil {
		return
	}
	stop := c.stop
	c.stop = nil
	c.stream.stop()
	if err := c.stream.end(); err != nil {
		c.t.Errorf("stream: Run() = %v", err)
	}
	stop()
	if err := <-c.done; err != nil {
		c.t.Errorf("cell: Run() = %v", err)
	}
	if err := c.Close(); err != nil {
		c.t.Errorf("cell: Close() = %v", err)
	}
}
