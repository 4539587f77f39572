package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

func TestEndToEnd(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments"))
	var in []string
	for i := range 100 {
		in = append(in, event(fmt.Sprintf("e%d", i), 10*i+10))
	}
	in = append(in, event("large", 2000), event("huge", 9000))
	in = append(in, `{"event":{"id":"l1","type":"account.login","time":"2026-11-21T12:00:00Z"},"customer":{"id":"u1"}}`)
	in = append(in, `{"event":`, "", event("e5", 51)) // poison, nothing, and other content under a known id
	in = append(in, in[2])                            // the same again, in one batch with the first
	produce(t, k, "payments", in...)
	c := open(t, t.TempDir(), options(k))
	c.stream.published(106)
	again := []string{in[3], in[100], event("after the poison", 20)} // seen before, and the partition goes on
	produce(t, k, "payments", again...)
	in = append(in, again...)
	until(t, "everything read", func() bool { return value(c.stream.metrics.consumed) == float64(len(in)) })
	until(t, "everything published", func() bool {
		return value(c.stream.metrics.published.WithLabelValues("decisions")) == 103 &&
			value(c.stream.metrics.published.WithLabelValues("dead-letter")) == 3
	})
	until(t, "no lag", func() bool { ok, detail := c.stream.Check(); return ok && strings.Contains(detail, "lag 0 records") })
	c.close()

	decisions := committed(t, k, "decisions")
	if len(decisions) != 103 {
		t.Errorf("%d decisions, want 103", len(decisions))
	}
	bodies := map[string]*kgo.Record{}
	for _, r := range decisions {
		var d struct {
			ID, Event string
			Position  uint64
			Features  map[string]any
		}
		if err := json.Unmarshal(r.Value, &d); err != nil {
			t.Fatal(err)
		}
		if bodies[d.Event] != nil {
			t.Errorf("two decisions of %s", d.Event)
		}
		bodies[d.Event] = r
		tail := fmt.Sprintf(`,"position":%d}`, d.Position)
		body, ok := bytes.CutSuffix(r.Value, []byte(tail))
		if p, err := risk.ParseBody(append(slices.Clone(body), '}')); !ok || err != nil || p.ID != d.ID || len(d.Features) != 1 {
			t.Errorf("decision %s is no body with evidence and position: %v", r.Value, err)
		}
		if header(r, "ce_id") != d.ID {
			t.Errorf("ce_id of %s = %s", d.ID, header(r, "ce_id"))
		}
	}
	e5 := bodies["e5"]
	for key, want := range map[string]string{"ce_specversion": "1.0", "ce_type": "sluice.decision", "ce_source": "/sluice/cells/cell-0",
		"ce_time": "2026-11-21T12:00:00Z", "content-type": "application/json"} {
		if got := header(e5, key); got != want {
			t.Errorf("header %s = %q, want %q", key, got, want)
		}
	}
	if string(e5.Key) != "u4" { // customer.id of event("e5", 60)
		t.Errorf("key = %q, want the subject u4", e5.Key)
	}

	var alerts []string
	for _, r := range committed(t, k, "alerts") {
		var a risk.Alert
		if err := json.Unmarshal(r.Value, &a); err != nil {
			t.Fatal(err)
		}
		alerts = append(alerts, a.Event+" "+a.Action.String())
		if a.ID != header(r, "ce_id") || a.Decision != header(bodies[a.Event], "ce_id") || a.Subject != string(r.Key) || a.Reasons[0].Code != "R1" {
			t.Errorf("alert %s with key %s and id %s", r.Value, r.Key, header(r, "ce_id"))
		}
	}
	if want := []string{"large review", "huge block"}; !slices.Equal(alerts, want) {
		t.Errorf("alerts %v, want %v", alerts, want)
	}

	var dead []string
	for _, r := range committed(t, k, "dead-letter") {
		var d DeadLetter
		if err := json.Unmarshal(r.Value, &d); err != nil {
			t.Fatal(err)
		}
		dead = append(dead, d.Reason+" "+strconv.FormatInt(d.Source.Offset, 10))
		if len(d.Digest) != 64 || d.Position == 0 || d.Source.Topic != "payments" || string(r.Key) != "default" {
			t.Errorf("dead letter %s, key %s", r.Value, r.Key)
		}
	}
	if want := []string{"invalid_event 103", "invalid_event 104", "conflict 105"}; !slices.Equal(dead, want) {
		t.Errorf("dead letters %v, want %v", dead, want)
	}
	for _, want := range []string{"made a missing topic"} {
		if !c.stream.log.has(want) {
			t.Errorf("log does not say %q", want)
		}
	}
}

// Whatever moment a process stops at, the next one goes on, and a reader of
// committed records sees every decision once.
func TestRestartsInTheMiddle(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments"))
	dir := t.TempDir()
	const rounds, each = 6, 150
	events := 0
	for round := range rounds {
		var in []string
		for range each {
			in = append(in, event(fmt.Sprintf("e%d", events), 10+events%2000))
			events++
		}
		in = append(in, "poison "+strconv.Itoa(round), in[0])
		produce(t, k, "payments", in...)
		c := open(t, dir, options(k))
		if round%2 == 0 {
			c.stream.drain = time.Millisecond // and so leaves decisions behind
		}
		before := c.stream.position.Load()
		until(t, "some progress", func() bool { return c.stream.position.Load() > before+uint64(10*round) })
		c.close()
	}
	c := open(t, dir, options(k))
	until(t, "everything published", func() bool {
		c.stream.mustBeWell(t)
		return value(c.stream.metrics.lag) == 0 && c.stream.reading.err() == nil &&
			c.stream.position.Load() == uint64(c.Status().Durable) && len(committed(t, k, "decisions")) >= rounds*each
	})
	c.close()
	seen := map[string]int{}
	for _, r := range committed(t, k, "decisions") {
		seen[header(r, "ce_id")]++
	}
	if len(seen) != events {
		t.Errorf("%d events have decisions, want %d", len(seen), events)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was published %d times", id, n)
		}
	}
	at := positions(t, committed(t, k, "decisions"))
	if !slices.IsSorted(at) {
		t.Errorf("decisions are not in the order of their positions: %v", at)
	}
	dead := map[string]int{}
	for _, r := range committed(t, k, "dead-letter") {
		dead[header(r, "ce_id")]++
	}
	if len(dead) != rounds {
		t.Errorf("dead letters %v, want one of each of %d poison records", dead, rounds)
	}
	for id, n := range dead {
		if n != 1 {
			t.Errorf("dead letter %s was published %d times", id, n)
		}
	}
}

func (r *running) mustBeWell(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.done:
		t.Fatalf("Run() = %v", err)
	default:
	}
}

func TestGoesOnBehindTheJournal(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(2, "payments"))
	cl := client(t, k, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for i := range int32(10) {
		r := &kgo.Record{Topic: "payments", Partition: i % 2, Value: fmt.Appendf(nil, "%d", i)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake(0)
	f.offsets = map[string]map[int32]int64{"payments": {0: 2}} // 0, 2 and 4 are in the journal
	r := prepare(t, f, options(k)).start()
	until(t, "the rest", func() bool { return len(f.given()) == 7 })
	r.close()
	got := f.given()
	slices.Sort(got)
	if want := []string{"1", "3", "5", "6", "7", "8", "9"}; !slices.Equal(got, want) {
		t.Errorf("the cell was given %v, want %v", got, want)
	}
}

// What a source's writer takes back is not read, and its markers are no records.
func TestSourceWrittenInTransactions(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments"))
	cl := client(t, k, kgo.TransactionalID("writer"))
	for i, how := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "payments", Value: fmt.Appendf(nil, "%d", i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
	f := newFake(0)
	r := prepare(t, f, options(k)).start()
	until(t, "no lag", func() bool {
		ok, detail := r.Check()
		return ok && len(f.given()) > 0 && strings.Contains(detail, "lag 0 records")
	})
	r.close()
	if got, want := f.given(), []string{"0", "2"}; !slices.Equal(got, want) {
		t.Errorf("the cell was given %v, want %v", got, want)
	}
}

func TestBrokersAwayAtTheStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	f := newFake(20)
	o := Options{Cell: "cell-0", Brokers: []string{l.Addr().String()}, Sources: []Source{{Topic: "payments", Tenant: "default"}}, Decisions: "decisions"}
	r := prepare(t, f, o)
	r.patience = 100 * time.Millisecond
	if ok, detail := r.Check(); ok || !strings.Contains(detail, "not connected yet") {
		t.Errorf("Check() before Run = %v, %s", ok, detail)
	}
	r.start()
	until(t, "attempts", func() bool { return r.failures() >= 2 && r.reading.err() != errNotYet })
	if ok, detail := r.Check(); ok || !strings.Contains(detail, "reading: ") || !strings.Contains(detail, "publishing: ") {
		t.Errorf("Check() without brokers = %v, %s", ok, detail)
	}
	k := brokers(t, kfake.Ports(port), kfake.SeedTopics(1, "payments"))
	produce(t, k, "payments", "a", "b")
	r.published(20)
	until(t, "both records", func() bool { return len(f.given()) == 2 })
	until(t, "readiness", func() bool { ok, _ := r.Check(); return ok })
	r.close()
	if got, want := positions(t, committed(t, k, "decisions")), f.decisions(); !slices.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

func TestStopsInTimeWithoutBrokers(t *testing.T) {
	f := newFake(5)
	r := prepare(t, f, Options{Cell: "c", Brokers: []string{"127.0.0.1:1"}, Decisions: "decisions"})
	r.drain = 50 * time.Millisecond
	r.start()
	until(t, "an attempt", func() bool { return r.publishing.err() != nil })
	began := time.Now()
	r.close()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Run took %s to return", took)
	}
	if !r.log.has("published=0 durable=5") {
		t.Error("the log does not say what is not published")
	}
}

func TestSourceTopicThatComesLaterAndGrows(t *testing.T) {
	k := brokers(t)
	f := newFake(0)
	o := options(k)
	o.Decisions, o.Alerts, o.DeadLetter = "", "", ""
	r := prepare(t, f, o).start()
	until(t, "the warning", func() bool { return r.log.has("waiting for a source topic") })
	if ok, detail := r.Check(); !ok || !strings.Contains(detail, "waiting for topic payments") {
		t.Errorf("Check() = %v, %s", ok, detail)
	}
	cl := client(t, k, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "payments", 1, 1
	create.Topics = append(create.Topics, topic)
	if _, err := create.RequestWith(t.Context(), cl); err != nil {
		t.Fatal(err)
	}
	produce(t, k, "payments", "first")
	until(t, "the first record", func() bool { return len(f.given()) == 1 })

	more := kmsg.NewPtrCreatePartitionsRequest()
	wider := kmsg.NewCreatePartitionsRequestTopic()
	wider.Topic, wider.Count = "payments", 2
	more.Topics = append(more.Topics, wider)
	if _, err := more.RequestWith(t.Context(), cl); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "payments", Partition: 1, Value: []byte("second")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	until(t, "the second partition", func() bool { return len(f.given()) == 2 })
	produce(t, k, "payments", "third")
	until(t, "the first partition again", func() bool { return len(f.given()) == 3 })
	r.close()
	if got, want := f.given(), []string{"first", "second", "third"}; !slices.Equal(got, want) {
		t.Errorf("the cell was given %v, want %v", got, want)
	}
}

func TestRecordsDeletedBeforeTheyWereRead(t *testing.T) {
	for _, tt := range []struct {
		name           string
		last, deleteTo int64
		want           []string
		says           string
	}{
		{"below", 1, 5, []string{"5", "6", "7"}, "deleted before they were read"},
		{"beyond", 40, 6, []string{"6", "7"}, "ends before the offset"},
		{"exactly", 4, 5, []string{"5", "6", "7"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := brokers(t, kfake.SeedTopics(1, "payments"))
			produce(t, k, "payments", "0", "1", "2", "3", "4", "5", "6", "7")
			deleteTo(t, k, tt.deleteTo)
			f := newFake(0)
			f.offsets = map[string]map[int32]int64{"payments": {0: tt.last}}
			r := prepare(t, f, options(k)).start()
			until(t, "the rest", func() bool { return len(f.given()) >= len(tt.want) })
			r.close()
			if got := f.given(); !slices.Equal(got, tt.want) {
				t.Errorf("the cell was given %v, want %v", got, tt.want)
			}
			gaps := value(r.metrics.lost.WithLabelValues("payments"))
			if told := tt.says != ""; told != (gaps == 1) || told && !r.log.has(tt.says) {
				t.Errorf("%v gaps; log:\n%s", gaps, r.log)
			}
		})
	}
}

// While the reader waits for the cell, the topic is cut below it.
func TestRecordsDeletedUnderTheReader(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments"))
	produce(t, k, "payments", "0")
	f := newFake(0)
	r := prepare(t, f, options(k)).start()
	until(t, "the first record", func() bool { return len(f.given()) == 1 })
	fetches := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "payments", Count: -1}) // keeps the rest from it
	produce(t, k, "payments", "1", "2", "3")
	deleteTo(t, k, 3)
	fetches.Remove()
	until(t, "the rest", func() bool { return len(f.given()) == 2 })
	r.close()
	if got, want := f.given(), []string{"0", "3"}; !slices.Equal(got, want) {
		t.Errorf("the cell was given %v, want %v", got, want)
	}
	if !r.log.has("lost=2") {
		t.Errorf("the log does not say what was lost:\n%s", r.log)
	}
}

func deleteTo(t *testing.T, k *kfake.Cluster, offset int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	topic := kmsg.NewDeleteRecordsRequestTopic()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	topic.Topic, p.Offset = "payments", offset
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), client(t, k))
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("delete records: %v, %+v", err, resp)
	}
}

// A cell without room answers records it had taken: they come again, in order.
func TestRecordsThatComeBack(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments"))
	var want []string
	for i := range 40 {
		want = append(want, strconv.Itoa(i))
	}
	produce(t, k, "payments", want...)
	f := newFake(0)
	f.answer = func(n int, _ *engine.Item) error {
		if n >= 10 && n < 14 {
			return engine.ErrStorage
		}
		return nil
	}
	r := prepare(t, f, options(k)).start()
	until(t, "all records", func() bool { return len(f.given()) == len(want) })
	r.close()
	if got := f.given(); !slices.Equal(got, want) {
		t.Errorf("the cell was given %v, want %v", got, want)
	}
}

func TestAClosedCellEndsRun(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments"))
	produce(t, k, "payments", event("e1", 1))
	c := open(t, t.TempDir(), options(k))
	until(t, "the first decision", func() bool { return value(c.stream.metrics.consumed) == 1 })
	stop := c.stop
	c.stop = nil
	stop()
	<-c.done
	produce(t, k, "payments", event("e2", 1))
	if err := c.stream.end(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Run() = %v, want engine.ErrClosed", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	_, err := New(newFake(0), Options{Sources: []Source{{Topic: "a", Tenant: "t"}, {}}, Decisions: "a", Alerts: "x", DeadLetter: "x"})
	for _, want := range []string{"no cell name", "no brokers", `source 2 (topic "", tenant "")`,
		`topic "a" of decisions is already that of a source`, `topic "x" of dead letters is already that of alerts`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New() = %v, want %q in it", err, want)
		}
	}
	if _, err := New(newFake(0), Options{Cell: "c", Brokers: []string{"b:1"}, DeadLetter: PublishedTopic}); err == nil {
		t.Error("New() took the topic of positions for dead letters")
	}
}

func TestSupersedes(t *testing.T) {
	s := prepare(t, newFake(0), Options{Cell: "c", Brokers: []string{"b:1"}, Decisions: "decisions"})
	f := newFake(1)
	f.results[0].Answered = &risk.Answered{Action: risk.Review, Degraded: []string{"deadline"}, At: 1_700_000_000_000}
	records, err := s.records(nil, &f.results[0])
	if err != nil || len(records) != 1 {
		t.Fatalf("records() = %d, %v", len(records), err)
	}
	want := `,"position":1,"supersedes":{"action":"review","degraded":["deadline"],"at":"2023-11-14T22:13:20Z"}}`
	if !strings.HasSuffix(string(records[0].Value), want) {
		t.Errorf("value %s, want it to end in %s", records[0].Value, want)
	}
	f.results[0].Body = []byte("no body")
	s.opts.Alerts, f.results[0].Action = "alerts", risk.Block
	if _, err := s.records(nil, &f.results[0]); err == nil {
		t.Error("records() of a damaged body = no error")
	}
}
