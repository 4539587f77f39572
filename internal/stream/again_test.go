package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/seal"
	"github.com/sluice-risk/sluice/risk"
)

func at(offsets ...int64) (places []risk.Source) {
	for _, o := range offsets {
		places = append(places, risk.Source{Topic: "payments", Offset: o})
	}
	return places
}

func outcomes(all []Reread) string {
	var b strings.Builder
	for _, r := range all {
		fmt.Fprintln(&b, strings.Join(strings.Fields(fmt.Sprint(r.Place.Offset, " ", r.Outcome, " ", r.Event, " ", r.Reason)), " "))
	}
	return b.String()
}

// deadLetters are those in the topic.
func deadLetters(t testing.TB, k *kfake.Cluster) (all []DeadLetter) {
	t.Helper()
	for _, r := range committed(t, k, "dead-letter") {
		var d DeadLetter
		if err := json.Unmarshal(r.Value, &d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// deleteBefore drops a partition's records as retention does.
func deleteBefore(t testing.TB, k *kfake.Cluster, topic string, offset int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 1000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Offset = offset
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), client(t, k))
	if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("delete records: %v %+v", err, resp)
	}
}

// The producer spelt a field wrong. The source learns to read that, and what was
// refused is brought in: once, by place, without touching where reading goes on.
func TestReread(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments", "decisions", "alerts", "dead-letter"))
	keys, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	sealing := func(o *engine.Options) {
		o.Seal = func(s risk.Source, b []byte) []byte {
			sealed, err := keys.Public().Seal(Place(s), b)
			if err != nil {
				panic(err)
			}
			return sealed
		}
	}
	misspelt := func(id string, amount int) string {
		return strings.Replace(event(id, amount), `"event"`, `"evnet"`, 1)
	}
	dir := t.TempDir()
	c := open(t, dir, options(k), sealing)
	produce(t, k, "payments", event("e0", 10), misspelt("m1", 20), event("e2", 30), misspelt("m3", 6000), "poison", event("e5", 10), misspelt("e5", 11))
	c.stream.published(9)
	want := "0 duplicate e0\n1 refused invalid_event\n9 not_read_yet\n"
	if got := outcomes(c.stream.Reread(t.Context(), "default", at(0, 1, 9))); got != want {
		t.Errorf("before it is mended:\n%s\nwant\n%s", got, want)
	}
	c.close()
	letters := deadLetters(t, k)
	if len(letters) != 4 {
		t.Fatalf("%d dead letters, want 4", len(letters))
	}
	for i, payload := range []string{misspelt("m1", 20), misspelt("m3", 6000), "poison", misspelt("e5", 11)} {
		if got, err := keys.Open(Place(letters[i].Source), letters[i].Payload); err != nil || string(got) != payload {
			t.Errorf("payload of %s = %q, %v, want %q", Place(letters[i].Source), got, err, payload)
		}
	}

	o := options(k)
	o.Sources = append(o.Sources, Source{Topic: "other", Tenant: "another"})
	o.Sources[0].Translate = func(dst []byte, r *kgo.Record) ([]byte, error) {
		if string(r.Value) == "poison" {
			return nil, fmt.Errorf("no event in it")
		}
		return append(dst, bytes.Replace(r.Value, []byte("evnet"), []byte("event"), 1)...), nil
	}
	c = open(t, dir, o, sealing)
	places := append(at(3, 1, 4, 6, 0, 77), risk.Source{Topic: "unknown"}, risk.Source{Topic: "other"}, risk.Source{Topic: "payments", Partition: 5})
	want = "3 taken m3\n1 taken m1\n4 refused unmapped\n6 refused e5 conflict\n0 duplicate e0\n77 not_read_yet\n0 not_a_source\n0 not_a_source\n0 not_read_yet\n"
	first := c.stream.Reread(t.Context(), "default", places)
	if got := outcomes(first); got != want {
		t.Errorf("first:\n%s\nwant\n%s", got, want)
	}
	if first[0].Decision != risk.KeyOf("default", "m3").DecisionID() || first[1].Position == 0 {
		t.Errorf("taken: %+v", first[:2])
	}
	end := c.Status().End
	for _, when := range []string{"second", "after a restart"} {
		if when == "after a restart" {
			c.close()
			c = open(t, dir, o, sealing)
		}
		second := c.stream.Reread(t.Context(), "default", places)
		if got, want := outcomes(second), strings.ReplaceAll(want, "taken", "duplicate"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", when, got, want)
		}
		if second[0].Decision != first[0].Decision || second[0].Position != first[0].Position {
			t.Errorf("%s: %+v, first %+v", when, second[0], first[0])
		}
		if got := c.Status().End; got != end {
			t.Errorf("%s: the journal grew from %d to %d", when, end, got)
		}
	}
	if n := value(c.stream.metrics.again); n != float64(len(places)) {
		t.Errorf("%v records counted, want %d", n, len(places))
	}
	produce(t, k, "payments", event("e7", 10)) // reading goes on where it was
	c.stream.published(end + 1)
	deleteBefore(t, k, "payments", 4)
	if got, want := outcomes(c.stream.Reread(t.Context(), "", at(1, 3, 5))), "1 gone\n3 gone\n5 duplicate e5\n"; got != want {
		t.Errorf("after retention:\n%s\nwant\n%s", got, want)
	}
	c.close()
	if got := deadLetters(t, k); len(got) != 4 {
		t.Errorf("%d dead letters, want those 4: a record read again gets no other", len(got))
	}
	decided := map[string]int{}
	for _, r := range committed(t, k, "decisions") {
		decided[header(r, "ce_id")]++
	}
	for _, id := range []string{"e0", "m1", "e2", "m3", "e5", "e7"} {
		if n := decided[risk.KeyOf("default", id).DecisionID()]; n != 1 {
			t.Errorf("%d decisions of %s, want 1", n, id)
		}
	}
	if len(decided) != 6 {
		t.Errorf("%d decisions, want 6", len(decided))
	}
}

// Many records, of several windows and batches of the topic.
func TestRereadMany(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments", "decisions", "alerts", "dead-letter"))
	const n = 3*rereadWindow + 5
	var values []string
	var places []risk.Source
	for i := range n {
		values = append(values, "x"+event(fmt.Sprint("e", i), 10))
		places = append(places, at(int64(n-1-i))...)
	}
	dir := t.TempDir()
	c := open(t, dir, options(k))
	produce(t, k, "payments", values...)
	c.stream.published(n + 2)
	c.close()
	o := options(k)
	o.Sources[0].Translate = func(dst []byte, r *kgo.Record) ([]byte, error) { return append(dst, r.Value[1:]...), nil }
	c = open(t, dir, o)
	for i, r := range c.stream.Reread(t.Context(), "", places) {
		if r.Outcome != Taken || r.Event != fmt.Sprint("e", n-1-i) {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	var letters int
	b, err := Reach(config.Kafka{Brokers: k.ListenAddrs()}, "reader", c.stream.Stream.log)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Read(t.Context(), "dead-letter", 0, func(*kgo.Record) error { letters++; return nil }); err != nil || letters != n {
		t.Errorf("Read() gave %d dead letters, %v, want %d", letters, err, n)
	}
	if err := b.Read(t.Context(), "nowhere", 0, nil); err == nil {
		t.Error("Read() of a topic that does not exist = no error")
	}
}

// Brokers that are away, and callers that go, leave it open; nothing hangs.
func TestRereadFails(t *testing.T) {
	f := newFake(1)
	f.offsets = map[string]map[int32]int64{"payments": {0: 10}}
	r := prepare(t, f, Options{Cell: "c", Brokers: []string{"127.0.0.1:1"}, Sources: []Source{{Topic: "payments", Tenant: "default"}}})
	if got := r.Reread(t.Context(), "", at(1)); got[0].Outcome != Failed || !strings.Contains(got[0].Detail, "no ruleset") {
		t.Errorf("without a release: %+v", got)
	}
	f.release = "r"
	got := r.Reread(t.Context(), "", at(1, 99))
	if got[0].Outcome != Failed || !strings.Contains(got[0].Detail, "no broker can be reached") || got[1].Outcome != NotRead {
		t.Errorf("without brokers: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := r.Reread(ctx, "", at(1)); got[0].Outcome != Failed {
		t.Errorf("without a caller: %+v", got)
	}
}
