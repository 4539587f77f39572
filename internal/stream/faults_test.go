package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// refusals are the answers of brokers that are tried: what a broker may say to a
// request of ours, and what it may not but might. DUPLICATE_SEQUENCE_NUMBER is not
// among them: who says it without having the records lies, and no client notices.
var refusals = map[kmsg.Key][]*kerr.Error{
	kmsg.ApiVersions: {kerr.UnknownServerError, kerr.UnsupportedVersion, kerr.InvalidRequest, kerr.ClusterAuthorizationFailed, kerr.RequestTimedOut,
		kerr.RebootstrapRequired},
	kmsg.SASLHandshake:    {kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState, kerr.UnknownServerError, kerr.RequestTimedOut},
	kmsg.SASLAuthenticate: {kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnknownServerError},
	kmsg.Metadata: {kerr.UnknownServerError, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.ReplicaNotAvailable, kerr.ListenerNotFound,
		kerr.TopicAuthorizationFailed, kerr.InvalidTopicException, kerr.RequestTimedOut, kerr.UnknownTopicID, kerr.KafkaStorageError, kerr.RebootstrapRequired},
	kmsg.ListOffsets: {kerr.UnknownServerError, kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.ReplicaNotAvailable,
		kerr.KafkaStorageError, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.OffsetNotAvailable, kerr.TopicAuthorizationFailed,
		kerr.UnsupportedForMessageFormat, kerr.RequestTimedOut, kerr.InvalidRequest},
	kmsg.OffsetForLeaderEpoch: {kerr.UnknownServerError, kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch,
		kerr.UnknownLeaderEpoch, kerr.KafkaStorageError, kerr.TopicAuthorizationFailed, kerr.OffsetNotAvailable, kerr.LeaderNotAvailable},
	kmsg.Fetch: {kerr.UnknownServerError, kerr.OffsetOutOfRange, kerr.CorruptMessage, kerr.UnknownTopicOrPartition, kerr.NotLeaderForPartition,
		kerr.ReplicaNotAvailable, kerr.TopicAuthorizationFailed, kerr.KafkaStorageError, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch,
		kerr.OffsetNotAvailable, kerr.UnsupportedCompressionType, kerr.UnknownTopicID, kerr.InconsistentTopicID, kerr.FetchSessionIDNotFound,
		kerr.InvalidFetchSessionEpoch, kerr.FetchSessionTopicIDError, kerr.OffsetMovedToTieredStorage},
	kmsg.FindCoordinator: {kerr.UnknownServerError, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.TransactionalIDAuthorizationFailed,
		kerr.InvalidRequest, kerr.RequestTimedOut, kerr.TransactionAbortable, kerr.ClusterAuthorizationFailed},
	kmsg.InitProducerID: {kerr.UnknownServerError, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
		kerr.TransactionalIDAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.InvalidTransactionTimeout, kerr.ConcurrentTransactions,
		kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidRequest, kerr.InvalidTxnState, kerr.InvalidProducerIDMapping,
		kerr.TransactionAbortable, kerr.RequestTimedOut},
	kmsg.AddPartitionsToTxn: {kerr.UnknownServerError, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
		kerr.InvalidProducerIDMapping, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidTxnState, kerr.ConcurrentTransactions,
		kerr.TransactionalIDAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.OperationNotAttempted,
		kerr.TransactionAbortable, kerr.RequestTimedOut},
	kmsg.Produce: {kerr.UnknownServerError, kerr.CorruptMessage, kerr.UnknownTopicOrPartition, kerr.LeaderNotAvailable, kerr.NotLeaderForPartition,
		kerr.RequestTimedOut, kerr.NetworkException, kerr.MessageTooLarge, kerr.InvalidTopicException, kerr.RecordListTooLarge, kerr.NotEnoughReplicas,
		kerr.NotEnoughReplicasAfterAppend, kerr.InvalidRequiredAcks, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.InvalidTimestamp,
		kerr.UnsupportedForMessageFormat, kerr.KafkaStorageError, kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerEpoch, kerr.ProducerFenced,
		kerr.InvalidTxnState, kerr.InvalidProducerIDMapping, kerr.ConcurrentTransactions, kerr.TransactionalIDAuthorizationFailed, kerr.UnknownProducerID,
		kerr.UnsupportedCompressionType, kerr.InvalidRecord, kerr.PolicyViolation, kerr.UnknownTopicID, kerr.TransactionAbortable,
		kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress},
	kmsg.EndTxn: {kerr.UnknownServerError, kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.RequestTimedOut,
		kerr.NetworkException, kerr.InvalidProducerIDMapping, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidTxnState,
		kerr.ConcurrentTransactions, kerr.TransactionalIDAuthorizationFailed, kerr.TransactionAbortable, kerr.UnknownProducerID},
	kmsg.CreateTopics: {kerr.UnknownServerError, kerr.RequestTimedOut, kerr.InvalidTopicException, kerr.TopicAuthorizationFailed, kerr.TopicAlreadyExists,
		kerr.InvalidPartitions, kerr.InvalidReplicationFactor, kerr.InvalidConfig, kerr.NotController, kerr.PolicyViolation,
		kerr.ClusterAuthorizationFailed, kerr.ThrottlingQuotaExceeded},
	kmsg.DescribeConfigs: {kerr.UnknownServerError, kerr.TopicAuthorizationFailed, kerr.InvalidRequest, kerr.UnknownTopicOrPartition,
		kerr.ClusterAuthorizationFailed, kerr.RequestTimedOut},
}

// refusal is one of them.
type refusal struct {
	key kmsg.Key
	err *kerr.Error
}

// allRefusals in a fixed order.
func allRefusals() (list []refusal) {
	for _, key := range slices.Sorted(maps.Keys(refusals)) {
		for _, err := range refusals[key] {
			list = append(list, refusal{key, err})
		}
	}
	return list
}

func (r refusal) fences() bool { return fenced(r.err) }

// passes tells of answers that a broker gives no longer than until it is asked with
// a new session or newer metadata. If it went on, the client would ask without a
// pause.
func (r refusal) passes() bool {
	switch r.err {
	case kerr.FetchSessionIDNotFound, kerr.InvalidFetchSessionEpoch, kerr.FetchSessionTopicIDError, kerr.FencedLeaderEpoch:
		return r.key == kmsg.Fetch
	}
	return false
}

// Whatever the brokers answer and whatever breaks, readers of committed records see
// each decision, alert and dead letter once, with the same bytes as if nothing had
// happened. One seed alone: SLUICE_TEST_SEED=17. So many, all of them:
// SLUICE_TEST_FAULTS=300.
func TestFaultsGiveEverythingOnce(t *testing.T) {
	from, seeds, demanded := 0, 30, os.Getenv("SLUICE_TEST_FAULTS")
	switch {
	case demanded != "":
		n, err := strconv.Atoi(demanded)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	case os.Getenv("SLUICE_TEST_SEED") != "":
		n, err := strconv.Atoi(os.Getenv("SLUICE_TEST_SEED"))
		if err != nil {
			t.Fatal(err)
		}
		from, seeds = n, 1
	case os.Getenv("SLUICE_TORTURE") != "":
		seeds = 3000
	case testing.Short():
		seeds = 5
	}
	warm(t)
	var mu sync.Mutex
	answered := map[refusal]int{} // how often each was given
	var sum tally
	var ran atomic.Int32
	t.Run("seeds", func(t *testing.T) {
		for seed := from; seed < from+seeds; seed++ {
			t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
				t.Parallel()
				if end, ok := t.Deadline(); ok && time.Until(end) < time.Minute {
					t.Skip("no time left: the machine is busy, or -timeout is short")
				}
				ran.Add(1)
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, uint64(seed))
					w.live()
					mu.Lock()
					defer mu.Unlock()
					for r, n := range w.hits() {
						answered[r] += n
					}
					sum.add(w.tally)
				})
			})
		}
	})
	var never []string
	for _, r := range allRefusals() {
		if answered[r] == 0 {
			never = append(never, r.key.Name()+" "+r.err.Message)
		}
	}
	t.Logf("%d of %d seeds, %+v; %d of %d answers given", ran.Load(), seeds, sum, len(allRefusals())-len(never), len(allRefusals()))
	if len(never) > 0 {
		t.Logf("never given: %s", strings.Join(never, ", "))
	}
	if demanded != "" && int(ran.Load()) < seeds {
		t.Errorf("%d of %d seeds ran in time", ran.Load(), seeds)
	}
	if ran.Load() >= 300 && len(never) > len(allRefusals())/10 {
		t.Errorf("%d of %d answers were never given", len(never), len(allRefusals()))
	}
}

// tally is what happened in worlds.
type tally struct {
	records, decisions, letters, refused, cuts, moves, restarts, kills, widened, fenced, failures, requests, most int

	hours float64
}

func (a *tally) add(b tally) {
	a.records += b.records
	a.decisions += b.decisions
	a.letters += b.letters
	a.refused += b.refused
	a.cuts += b.cuts
	a.moves += b.moves
	a.restarts += b.restarts
	a.kills += b.kills
	a.fenced += b.fenced
	a.failures += b.failures
	a.requests += b.requests
	a.most = max(a.most, b.most)
	a.hours += b.hours
	a.widened += b.widened
}

// warm makes what all cells share, the packers above all: made in a world it would
// belong to that one.
func warm(t *testing.T) {
	k := brokers(t, kfake.SeedTopics(1, "payments"))
	var in []string
	for i := range 400 {
		in = append(in, event(fmt.Sprintf("e%d", i), 10*i))
	}
	produce(t, k, "payments", in...)
	dir := t.TempDir()
	for range 2 {
		c := open(t, dir, options(k))
		c.stream.published(400)
		if all := results(t, c.Cell); len(all) < 400 {
			t.Fatalf("%d results, want 400 payments'", len(all))
		} else if _, err := c.At(all[len(all)-1].Position); err != nil {
			t.Fatal(err)
		} else if _, err := c.Find(all[100].Key); err != nil {
			t.Fatal(err)
		}
		c.close()
	}
}

// judge compares what readers see with what was written.
func (w *world) judge() {
	t := w.t
	bodies, letters := w.undisturbed()
	w.end()
	w.hours = time.Since(w.born).Hours()
	for _, n := range w.hits() {
		w.refused += n
	}
	w.records = len(w.sent)

	want := map[string]int{} // by what it is, how often
	for _, s := range w.sent {
		switch s.kind {
		case payment:
			key := risk.KeyOf("default", s.id)
			want["decision "+key.DecisionID()]++
			w.decisions++
			if s.amount > 1000 {
				want["alert "+key.AlertID()]++
			}
		case conflict, poison, nothing:
			want[fmt.Sprintf("letter %s/%d/%d", s.source.Topic, s.source.Partition, s.source.Offset)]++
			w.letters++
		}
	}
	got := map[string]int{}
	for _, r := range w.readers("decisions") {
		got["decision "+header(r, "ce_id")]++
		var d struct {
			Event    string
			Position journal.Position
		}
		if err := json.Unmarshal(r.Value, &d); err != nil {
			t.Fatal(err)
		}
		if body := strings.TrimSuffix(string(r.Value), fmt.Sprintf(`,"position":%d}`, d.Position)) + "}"; body != bodies[d.Event] {
			t.Errorf("decision of %s:\n%s\nundisturbed:\n%s", d.Event, body, bodies[d.Event])
		}
	}
	for _, r := range w.readers("alerts") {
		got["alert "+header(r, "ce_id")]++
	}
	for _, r := range w.readers("dead-letter") {
		got["letter "+header(r, "ce_id")]++
		var d DeadLetter
		if err := json.Unmarshal(r.Value, &d); err != nil {
			t.Fatal(err)
		}
		if told := d.Reason + " " + d.Digest; told != letters[d.Source] {
			t.Errorf("dead letter %v: %s, undisturbed: %s", d.Source, told, letters[d.Source])
		}
	}
	for what, n := range want {
		if got[what] != n {
			t.Errorf("%s: published %d times, want %d", what, got[what], n)
		}
	}
	for what, n := range got {
		if want[what] == 0 {
			t.Errorf("%s: published %d times and never asked for", what, n)
		}
	}
	w.forward()
	if w.most > mostRequests {
		t.Errorf("%d requests in %s, want at most %d; by kind: %v", w.most, window, mostRequests, w.busy)
	}
}

// mostRequests of one process in a window, whatever its brokers answer. A loop without
// a pause makes 20,000 on each connection.
const mostRequests = 5000

// forward checks that positions go forward, and name one journal.
func (w *world) forward() {
	for partition := range w.partitions("decisions") {
		last := journal.Position(0)
		for _, r := range w.readers("decisions") {
			if r.Partition != partition {
				continue
			}
			at := positions(w.t, []*kgo.Record{r})[0]
			if at <= last {
				w.t.Errorf("decision at position %d behind %d", at, last)
			}
			last = at
		}
	}
	var last published
	for _, r := range w.readers(PublishedTopic) {
		var p published
		if err := json.Unmarshal(r.Value, &p); err != nil {
			w.t.Fatal(err)
		}
		if p.Position < last.Position || p.Journal != w.journal || p.Cell != "cell-0" {
			w.t.Errorf("published %+v after %+v", p, last)
		}
		last = p
	}
}

// undisturbed gives the decisions and dead letters of a cell that is fed the same
// records in the order of the journal. On the way it checks that order: each
// record once, each partition in its own order.
func (w *world) undisturbed() (bodies map[string]string, letters map[risk.Source]string) {
	values := map[risk.Source]*sent{}
	for _, s := range w.sent {
		values[s.source] = s
	}
	w.journal = w.engine.Journal()
	cell, err := engine.Open(w.t.TempDir(), w.cell)
	if err != nil {
		w.t.Fatal(err)
	}
	defer cell.Close()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cell.Run(ctx) }()
	defer func() { stop(); <-done }()
	if err := cell.Begin(ctx, release(), "test"); err != nil {
		w.t.Fatal(err)
	}
	type partition struct {
		topic string
		id    int32
	}
	last := map[partition]int64{}
	answers := sync.WaitGroup{}
	for _, r := range results(w.t, w.engine.Cell) {
		at := r.Source
		if at.IsZero() && r.Refused != nil {
			at = r.Refused.Source
		}
		if at.IsZero() {
			continue
		}
		s, key := values[at], partition{at.Topic, at.Partition}
		if s == nil {
			w.t.Fatalf("position %d is of %v, which nobody wrote", r.Position, at)
		}
		if before, ok := last[key]; ok && at.Offset <= before {
			w.t.Errorf("position %d is of offset %d, after %d", r.Position, at.Offset, before)
		}
		last[key] = at.Offset
		it := Source{Topic: at.Topic, Tenant: "default"}.item(&kgo.Record{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset, Value: s.value})
		answers.Add(1)
		it.Reply = func(engine.Result) { answers.Done() }
		if err := cell.SubmitWait(ctx, it); err != nil {
			w.t.Fatal(err)
		}
	}
	answers.Wait()
	bodies, letters = map[string]string{}, map[risk.Source]string{}
	for _, r := range results(w.t, cell) {
		if r.Verdict == engine.Decided {
			bodies[r.Event] = string(r.Body)
		}
		if r.Refused != nil {
			letters[r.Refused.Source] = r.Refused.Reason + " " + r.Refused.Digest
		}
	}
	return bodies, letters
}

// results are all that a cell holds.
func results(t testing.TB, c *engine.Cell) (all []engine.Result) {
	durable, at := c.Status().Durable, journal.Position(0)
	enough := errors.New("enough")
	err := c.Follow(t.Context(), 1, func(batch []engine.Result) error {
		all = append(all, batch...)
		if at += journal.Position(len(batch)); at >= durable {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return all
}

// partitions gives where each partition of a topic ends, as its broker knows.
func (w *world) partitions(topic string) map[int32]int64 {
	ends := map[int32]int64{}
	for _, p := range w.k.PartitionInfos(topic) {
		if ends[p.Partition] = p.HighWatermark; p.LastStableOffset != p.HighWatermark {
			w.t.Errorf("a transaction is open in %s: it is stable up to %d of %d", topic, p.LastStableOffset, p.HighWatermark)
		}
	}
	return ends
}

// readers gives the records of a topic that a reader of committed ones sees.
func (w *world) readers(topic string) (out []*kgo.Record) {
	ends, from := w.partitions(topic), map[int32]kgo.Offset{}
	for id, end := range ends {
		if end > 0 {
			from[id] = kgo.NewOffset().AtStart()
		}
	}
	if len(from) == 0 {
		return nil
	}
	cl := w.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for left := len(from); left > 0; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatalf("read %s: %v after %d records", topic, err, len(out))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
			if r.Offset == ends[r.Partition]-1 {
				left--
			}
		})
	}
	return out
}
