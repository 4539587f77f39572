package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// world is brokers, those who write to them, and one engine that lives and dies.
type world struct {
	t    *testing.T
	dice *rand.Rand
	net  *kfake.VirtualNetwork
	k    *kfake.Cluster
	dir  string
	born time.Time
	opts Options
	more []kgo.Opt // of every client
	cell engine.Options

	topics  map[string]int32 // partitions of sources
	outside wire             // of everybody but the engine; it holds
	writer  *kgo.Client
	held    []*transaction
	sent    []*sent
	serial  int
	down    int32 // the node that is away, -1 none
	quiet   atomic.Bool
	plan    []refusal
	faults  []fault
	log     *lines
	engine  *process
	journal string
	busy    map[kmsg.Key]int // requests in the busiest seconds of any process
	tally
}

type fault struct {
	refusal
	*kfake.FaultHandle
}

// sent is a record that is committed in a source, and what it is.
type sent struct {
	source risk.Source
	value  []byte
	id     string // of the event; "" when it is none
	amount int
	kind   kind
}

type kind int8

const (
	payment  kind = iota
	login         // no scenario judges it
	again         // the same event once more
	conflict      // other content under a known id
	poison        // no event
	nothing       // no value
)

// transaction is one of another writer, open.
type transaction struct {
	*kgo.Client
	id      string
	records []*sent
}

// process is the engine from its start to its end.
type process struct {
	*engine.Cell
	stream *Stream
	wire   *wire
	log    *lines
	stop   context.CancelFunc
	halt   context.CancelFunc
	ran    chan error
	walked chan error
}

const perWorld = 8 // refusals

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, dice: rand.New(rand.NewPCG(seed, 7)), net: &kfake.VirtualNetwork{}, dir: t.TempDir(), born: time.Now(), down: -1,
		topics: map[string]int32{}, log: &lines{}}
	all := allRefusals()
	wanted := map[kmsg.Key]bool{}
	for i := range uint64(perWorld) { // in turn, so that none is left out
		r := all[(seed*perWorld+i)*61%uint64(len(all))]
		wanted[r.key] = true
		w.plan = append(w.plan, r)
	}
	w.outside.dial = w.net.DialContext
	opts := []kfake.Opt{kfake.Ports(9092, 9093, 9094), kfake.ListenFn(w.net.Listen)}
	if w.chance(3) || wanted[kmsg.AddPartitionsToTxn] { // before transactions of the second kind
		opts = append(opts, kfake.MaxVersions([]*kversion.Versions{kversion.V2_8_0(), kversion.V3_5_0(), kversion.V3_9_0()}[w.dice.IntN(3)]))
	}
	if w.chance(8) || wanted[kmsg.SASLHandshake] || wanted[kmsg.SASLAuthenticate] {
		opts = append(opts, kfake.EnableSASL(), kfake.Superuser("PLAIN", "sluice", "secret"))
		w.more = append(w.more, kgo.SASL(plain.Auth{User: "sluice", Pass: "secret"}.AsMechanism()))
	}
	w.topics["payments"] = 3 + w.dice.Int32N(2)
	opts = append(opts, kfake.SeedTopics(w.topics["payments"], "payments"))
	if w.chance(2) && !wanted[kmsg.CreateTopics] {
		opts = append(opts, kfake.SeedTopics(1+w.dice.Int32N(2), "decisions", "alerts"))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("SLUICE_TEST_SEED=%d, log:\n%s", seed, w.log)
		}
	})
	var err error
	if w.k, err = kfake.NewCluster(opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.k.Close)
	w.opts = Options{Cell: "cell-0", Brokers: w.k.ListenAddrs(), Decisions: "decisions", Alerts: "alerts", DeadLetter: "dead-letter",
		Sources: []Source{{Topic: "payments", Tenant: "default"}}}
	if w.chance(3) { // comes late, or never
		w.opts.Sources = append(w.opts.Sources, Source{Topic: "transfers", Tenant: "default"})
	}
	if w.chance(2) {
		w.opts.MaxSkew = time.Second
	}
	w.cell = engine.Options{
		Tables: tables(), Decoder: &risk.Decoder{Secrets: risk.NewSecrets([32]byte{1})}, Tenant: "default", DiskReserve: -1,
		Now:             func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) },
		BatchEvents:     []int{3, 16, 512}[w.dice.IntN(3)],
		CheckpointEvery: []time.Duration{50 * time.Millisecond, time.Second, time.Hour}[w.dice.IntN(3)],
		Journal:         journal.Options{SegmentBytes: 4 << 20}, Store: store.Options{MemTable: 4 << 20},
	}
	t.Cleanup(w.end)
	w.writer = w.writes()
	return w
}

// chance is one in n.
func (w *world) chance(n int) bool { return w.dice.IntN(n) == 0 }

// client is one of somebody else, whose wire holds.
func (w *world) client(more ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	opts := append([]kgo.Opt{kgo.SeedBrokers(w.opts.Brokers...), kgo.Dialer(w.outside.Dial), kgo.MetadataMinAge(50 * time.Millisecond)}, w.more...)
	if w.opts.Brokers == nil {
		opts = append(opts, kgo.SeedBrokers(w.k.ListenAddrs()...))
	}
	cl, err := kgo.NewClient(append(opts, more...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

// writes gives a client that writes where it is told, and is ready to.
func (w *world) writes(more ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	w.quiet.Store(true)
	defer w.quiet.Store(false)
	cl := w.client(append(more, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	for range 100 { // a broker may be away
		if _, _, err := cl.ProducerID(w.t.Context()); err == nil {
			return cl
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.t.Fatal("another's producer does not start")
	return nil
}

// live is the whole story.
func (w *world) live() {
	w.write()
	for _, r := range w.plan[:perWorld/2] {
		w.refuse(r)
	}
	w.start()
	rest := w.plan[perWorld/2:]
	for steps := 10 + w.dice.IntN(8); steps > 0; steps-- {
		w.watch()
		switch n := w.dice.IntN(20); {
		case n < 6:
			w.write()
		case n < 10 && len(rest) > 0:
			w.refuse(rest[0])
			rest = rest[1:]
			if w.chance(2) {
				w.restart()
			}
			w.write()
		case n < 13:
			w.sever()
			w.write()
		case n < 15:
			w.move()
		case n < 17:
			w.restart()
		case n < 19:
			w.transact()
		default:
			w.widen()
		}
		time.Sleep([]time.Duration{0, 10 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 12 * time.Second}[w.dice.IntN(5)])
	}
	for _, r := range rest {
		w.refuse(r)
	}
	w.write()
	time.Sleep(time.Second)
	w.heal()
	if w.chance(2) { // nothing comes after it that would make good
		w.doubt()
		w.write()
	}
	w.settle()
	w.judge()
}

// refuse has a broker answer so, once or for a while, at some point from now on.
func (w *world) refuse(r refusal) {
	skip, count, lasting := w.dice.IntN(5), 1+w.dice.IntN(3), w.chance(4) && !r.passes()
	if lasting {
		skip, count = 0, -1
	}
	w.say("refuse", "key", r.key.Name(), "err", r.err.Message, "skip", skip, "count", count)
	h := w.k.Fault(kfake.Fault{Keys: []kmsg.Key{r.key}, Err: r.err, Count: count, TopLevel: w.chance(4), When: func(kmsg.Request) bool {
		if w.quiet.Load() { // it is another's
			return false
		}
		skip--
		return skip < 0
	}})
	w.faults = append(w.faults, fault{r, h})
	if lasting && w.engine != nil {
		if w.chance(2) {
			w.restart()
		}
		w.write()
		time.Sleep(time.Duration(1+w.dice.IntN(30)) * time.Second)
		h.Remove()
	}
}

func (w *world) hits() map[refusal]int {
	n := map[refusal]int{}
	for _, f := range w.faults {
		n[f.refusal] += f.Hits()
	}
	return n
}

// write has others write some records.
func (w *world) write() {
	var made []*sent
	for range 1 + w.dice.IntN(20) {
		made = append(made, w.compose(w.place()))
	}
	w.produce(w.writer, made)
	w.sent = append(w.sent, made...)
}

// ofTopics are answers to a question for metadata that fail what is to be produced.
var ofTopics = []error{kerr.InvalidTopicException, kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID}

func (w *world) produce(cl *kgo.Client, made []*sent) {
	w.t.Helper()
	w.quiet.Store(true)
	defer w.quiet.Store(false)
	var records []*kgo.Record
	for _, s := range made {
		w.serial++
		at := noon.Add(time.Duration(w.serial*37+w.dice.IntN(1000)) * time.Millisecond)
		records = append(records, &kgo.Record{Topic: s.source.Topic, Partition: s.source.Partition, Value: s.value, Timestamp: at})
	}
	for left, tries := records, 0; len(left) > 0; tries++ {
		results := cl.ProduceSync(w.t.Context(), left...)
		left = nil
		for _, r := range results {
			// What the brokers say of a topic is meant for the engine: nothing was sent.
			misled := slices.ContainsFunc(ofTopics, func(e error) bool { return errors.Is(r.Err, e) })
			if r.Err != nil && (!misled || tries == 50) {
				w.t.Fatalf("produce: %v", r.Err)
			}
			if r.Err != nil {
				left = append(left, r.Record)
			}
		}
		if len(left) > 0 {
			time.Sleep(200 * time.Millisecond)
		}
	}
	for i, r := range records {
		made[i].source.Offset = r.Offset
	}
}

// place is where a record goes.
func (w *world) place() risk.Source {
	names := slices.Sorted(maps.Keys(w.topics))
	name := names[w.dice.IntN(len(names))]
	return risk.Source{Topic: name, Partition: w.dice.Int32N(w.topics[name])}
}

// compose makes a record for a place.
func (w *world) compose(at risk.Source) *sent {
	w.serial++
	s := &sent{source: at, id: fmt.Sprintf("e%d", w.serial), amount: []int{10, 700, 2000, 9000}[w.dice.IntN(4)]}
	known := func(here bool) *sent { // a payment that is committed
		var list []*sent
		for _, old := range w.sent {
			if old.kind == payment && (!here || old.source.Topic == at.Topic && old.source.Partition == at.Partition) {
				list = append(list, old)
			}
		}
		if len(list) == 0 {
			return nil
		}
		return list[w.dice.IntN(len(list))]
	}
	switch w.dice.IntN(16) {
	case 0:
		s.kind, s.value = login, fmt.Appendf(nil, `{"event":{"id":%q,"type":"account.login","time":"2026-11-21T11:30:00Z"},"customer":{"id":"u1"}}`, s.id)
		return s
	case 1:
		s.kind, s.id, s.value = poison, "", fmt.Appendf(nil, `{"event":%d`, w.serial)
		return s
	case 2:
		s.kind, s.id = nothing, ""
		return s
	case 3, 4:
		if old := known(false); old != nil {
			s.kind, s.id, s.value = again, old.id, old.value
			return s
		}
	case 5:
		if old := known(true); old != nil { // the same partition says which one was first
			s.kind, s.id, s.amount = conflict, old.id, old.amount+1
		}
	}
	s.value = fmt.Appendf(nil, `{"event":{"id":%q,"type":"payment.authorization","time":"2026-11-21T11:%02d:%02dZ"},"amount":{"value":"%d.00","currency":"USD"},`+
		`"customer":{"id":"u%d"},"card":{"token":"c%d"}}`, s.id, w.serial/60%60, w.serial%60, s.amount, w.serial%7, w.serial%5)
	return s
}

// transact begins a transaction of another writer in a source, or ends one.
func (w *world) transact() {
	w.quiet.Store(true)
	defer w.quiet.Store(false)
	if len(w.held) > 0 && !w.chance(3) {
		w.conclude()
		return
	}
	tx := &transaction{id: fmt.Sprintf("writer-%d", w.serial)}
	tx.Client = w.writes(kgo.TransactionalID(tx.id), kgo.TransactionTimeout(10*time.Minute))
	if err := tx.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	at := w.place()
	for range 1 + w.dice.IntN(6) {
		tx.records = append(tx.records, w.compose(at))
	}
	w.produce(tx.Client, tx.records)
	w.held = append(w.held, tx)
	w.say("transaction begun", "topic", at.Topic, "partition", at.Partition)
}

func (w *world) conclude() {
	tx := w.held[0]
	w.held = w.held[1:]
	commit := !w.chance(3)
	if err := tx.EndTransaction(w.t.Context(), kgo.TransactionEndTry(commit)); err != nil {
		// A broker is away. The client would say yes if it were asked again, and do
		// nothing: its successor ends what is open, and the log tells how it ended.
		w.writes(kgo.TransactionalID(tx.id)).Close()
		commit = w.fate(tx)
	}
	tx.Close()
	if commit {
		w.sent = append(w.sent, tx.records...)
	}
	w.say("transaction ended", "commit", commit)
}

// fate tells whether the transaction that a record is of was committed.
func (w *world) fate(tx *transaction) bool {
	at := tx.records[0].source
	cl := w.client(kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		at.Topic: {at.Partition: kgo.NewOffset().At(at.Offset)}}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Minute)
	defer cancel()
	producer, commit, ended := int64(-1), false, false
	for !ended {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("the transaction of %v does not end", at)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			switch {
			case r.Offset == at.Offset:
				producer = r.ProducerID
			case !ended && r.Attrs.IsControl() && r.ProducerID == producer:
				ended, commit = true, binary.BigEndian.Uint16(r.Key[2:]) == 1
			}
		})
	}
	return commit
}

// sever breaks connections of the engine.
func (w *world) sever() {
	w.cuts++
	switch w.dice.IntN(5) {
	case 0:
		w.engine.wire.cut(w.port(w.dice.Int32N(3)))
		return
	case 1, 2:
		w.doubt()
		return
	}
	keys := append(slices.Sorted(maps.Keys(refusals)), kmsg.EndTxn, kmsg.EndTxn, kmsg.EndTxn, kmsg.Produce, kmsg.Produce)
	p := planned{keys[w.dice.IntN(len(keys))], w.dice.IntN(4), cut(1 + w.dice.IntN(4))}
	w.engine.wire.plan(p)
	w.say("cut", "key", p.key.Name(), "skip", p.skip, "how", p.how)
}

// doubt leaves the engine without a word of whether its next commit was carried
// out: its answer is lost and who asks again is refused, or it is refused at once.
func (w *world) doubt() {
	r := refusal{kmsg.EndTxn, []*kerr.Error{kerr.UnknownServerError, kerr.InvalidTxnState, kerr.TransactionAbortable, kerr.InvalidProducerIDMapping}[w.dice.IntN(4)]}
	skip, applied := 0, w.chance(2)
	if applied {
		skip = 1
		w.engine.wire.plan(planned{kmsg.EndTxn, 0, unanswered})
	}
	w.say("doubt", "applied", applied, "err", r.err.Message)
	w.faults = append(w.faults, fault{r, w.k.Fault(kfake.Fault{Keys: []kmsg.Key{r.key}, Err: r.err, When: func(kmsg.Request) bool {
		if w.quiet.Load() {
			return false
		}
		skip--
		return skip < 0
	}})})
}

func (w *world) port(node int32) string { return fmt.Sprintf(":%d", 9092+node) }

// move changes who is where.
func (w *world) move() {
	w.moves++
	n := w.dice.IntN(7)
	w.say("move", "how", n)
	switch n {
	case 0:
		w.k.ShufflePartitionLeaders()
	case 1:
		w.k.RehashCoordinators()
	case 2:
		at := w.place()
		_ = w.k.MoveTopicPartition(at.Topic, at.Partition, w.dice.Int32N(3)) // or it is away
	case 3:
		_ = w.k.MoveTopicPartition([]string{PublishedTopic, "decisions", "alerts"}[w.dice.IntN(3)], 0, w.dice.Int32N(3)) // or is not there yet
	case 4:
		w.k.Compact()
	default:
		w.node()
	}
}

// node takes a broker away, or brings it back.
func (w *world) node() {
	if w.down >= 0 {
		if _, _, err := w.k.AddNode(w.down, 9092+int(w.down)); err != nil {
			w.t.Fatal(err)
		}
		w.down = -1
		return
	}
	w.down = w.dice.Int32N(2) // the third is the controller, for ever
	if err := w.k.RemoveNode(w.down); err != nil {
		w.t.Fatal(err)
	}
	w.engine.wire.cut(w.port(w.down))
	w.outside.cut(w.port(w.down))
}

// widen makes the topic that comes late, or adds a partition.
func (w *world) widen() {
	w.widened++
	w.quiet.Store(true)
	defer w.quiet.Store(false)
	if len(w.opts.Sources) > len(w.topics) {
		if err := w.k.CreateTopic("transfers", 1, nil); err != nil {
			w.t.Fatal(err)
		}
		w.topics["transfers"] = 1
		return
	}
	at := w.place()
	req := kmsg.NewPtrCreatePartitionsRequest()
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = at.Topic, w.topics[at.Topic]+1
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(w.t.Context(), w.writer)
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		w.t.Fatalf("add a partition to %s: %v, %+v", at.Topic, err, resp)
	}
	w.topics[at.Topic]++
	w.writer = w.writes() // it knows of the new one at once
	w.say("widened", "topic", at.Topic)
}

// start opens the cell and runs it with its stream, as the server does.
func (w *world) start() {
	w.t.Helper()
	cell, err := engine.Open(w.dir, w.cell)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{Cell: cell, wire: &wire{dial: w.net.DialContext}, log: w.log, ran: make(chan error, 1), walked: make(chan error, 1)}
	o := w.opts
	o.Log = slog.New(slog.NewTextHandler(w.log, nil))
	o.Client = append([]kgo.Opt{kgo.Dialer(p.wire.Dial)}, w.more...)
	if p.stream, err = New(cell, o); err != nil {
		w.t.Fatal(err)
	}
	if w.chance(3) {
		p.stream.drain = 0
	}
	if err := p.stream.Claim(w.t.Context()); err != nil {
		w.t.Fatalf("Claim() = %v", err)
	}
	walk, halt := context.WithCancel(context.Background())
	run, stop := context.WithCancel(context.Background())
	p.halt, p.stop = halt, stop
	w.engine = p
	go func() { p.walked <- cell.Run(walk) }()
	if err := cell.Begin(w.t.Context(), release(), "test"); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.ran <- p.stream.Run(run) }()
}

// end stops the engine, if it runs.
func (w *world) end() {
	p := w.engine
	if p == nil {
		return
	}
	w.engine = nil
	p.stop()
	if err := <-p.ran; err != nil {
		w.ended(err)
	}
	p.halt()
	if err := <-p.walked; err != nil {
		w.t.Errorf("cell: Run() = %v", err)
	}
	if err := p.Close(); err != nil {
		w.t.Errorf("cell: Close() = %v", err)
	}
	w.failures += int(value(p.stream.metrics.failures))
	w.requests += p.wire.total
	if n := count(p.wire.busy); n > w.most {
		w.most, w.busy = n, p.wire.busy
	}
}

// ended judges what ended Run: only being told that another has taken over may.
func (w *world) ended(err error) {
	w.fenced++
	told := 0
	for r, n := range w.hits() {
		if r.fences() {
			told += n
		}
	}
	if !errors.Is(err, ErrFenced) || w.fenced > told {
		w.t.Errorf("Run() = %v after %d answers that fence", err, told)
	}
	w.say("fenced", "err", err)
}

func (w *world) restart() {
	if w.restarts++; w.chance(3) {
		w.kills++
		w.engine.wire.cut("")
	}
	w.say("restart", "dead", w.engine.wire.dead)
	w.end()
	w.start()
}

// watch starts the engine again where it ended by itself.
func (w *world) watch() {
	select {
	case err := <-w.engine.ran:
		w.engine.ran <- err
		w.end()
		w.start()
	default:
	}
}

// heal makes everything whole.
func (w *world) heal() {
	for _, f := range w.faults {
		f.Remove()
	}
	w.watch()
	w.engine.wire.heal()
	if w.down >= 0 {
		w.node()
	}
	for len(w.held) > 0 {
		w.conclude()
	}
	w.say("healed")
}

func (w *world) say(what string, args ...any) {
	slog.New(slog.NewTextHandler(w.log, nil)).Info("== "+what, args...)
}

// settle waits until the engine says that everything is read and published.
func (w *world) settle() {
	s := w.engine.stream
	time.Sleep(20 * time.Second)
	for range 600 {
		ok, detail := s.Check()
		if ok && strings.Contains(detail, "lag 0 records") && s.position.Load() == uint64(w.engine.Status().Durable) {
			return
		}
		w.watch()
		s = w.engine.stream
		time.Sleep(time.Second)
	}
	_, detail := s.Check()
	w.t.Fatalf("not settled after 10 minutes: %s", detail)
}
