package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/store/journal"
)

// PublishedTopic keeps, by cell, the journal position up to which results are
// published. It must be compacted.
const PublishedTopic = "sluice.published"

// Source is a topic that is read.
type Source struct {
	Topic, Tenant string
	// Translate makes the canonical event of a record and appends it to dst; nil:
	// values are canonical events. It is called by any goroutine. An error that
	// wraps engine.ErrSkip leaves the record out, any other makes a dead letter.
	Translate func(dst []byte, r *kgo.Record) ([]byte, error)
}

// Options say where the brokers are and which topics are read and written.
type Options struct {
	Cell    string // names the transactional id sluice-<cell>
	Brokers []string
	TLS     config.KafkaTLS
	SASL    config.SASL
	Client  []kgo.Opt // more of how to reach the brokers
	Sources []Source
	// Topics that are written; "" is not published. Missing ones are made with
	// one partition and the brokers' defaults.
	Decisions, Alerts, DeadLetter string

	// MaxSkew is how far in time a partition may be read ahead of one that is empty;
	// see merge. 0: partitions are not merged.
	MaxSkew  time.Duration
	MaxLag   int64 // records behind which Check says no; 0: any number
	Log      *slog.Logger
	Register prometheus.Registerer
}

func (o Options) validate() error {
	var errs []error
	if o.Cell == "" {
		errs = append(errs, errors.New("no cell name"))
	}
	if len(o.Brokers) == 0 {
		errs = append(errs, errors.New("no brokers"))
	}
	used := map[string]string{PublishedTopic: "the position of each cell"}
	use := func(topic, what string) {
		if other, ok := used[topic]; ok && topic != "" {
			errs = append(errs, fmt.Errorf("topic %q of %s is already that of %s", topic, what, other))
		}
		used[topic] = what
	}
	for i, s := range o.Sources {
		if s.Topic == "" || s.Tenant == "" {
			errs = append(errs, fmt.Errorf("source %d (topic %q, tenant %q) needs a topic and a tenant", i+1, s.Topic, s.Tenant))
		}
		use(s.Topic, "a source")
	}
	use(o.Decisions, "decisions")
	use(o.Alerts, "alerts")
	use(o.DeadLetter, "dead letters")
	return errors.Join(errs...)
}

// outputs are the topics of results.
func (o Options) outputs() (topics []string) {
	for _, t := range []string{o.Decisions, o.Alerts, o.DeadLetter} {
		if t != "" {
			topics = append(topics, t)
		}
	}
	return topics
}

// Decider is what a stream needs of a cell: *engine.Cell.
type Decider interface {
	SubmitWait(context.Context, *engine.Item) error
	Follow(ctx context.Context, from journal.Position, each func([]engine.Result) error) error
	Offsets(topic string) map[int32]int64
	Status() engine.Status
	At(journal.Position) (engine.Result, error)
	Journal() string
}

// Stream moves records between Kafka and one cell.
type Stream struct {
	cell    Decider
	opts    Options
	log     *slog.Logger
	metrics *metrics
	brokers *Brokers
	said    said
	admin   *kgo.Client // metadata, offsets, new topics; while Run runs

	opened  journal.Position // end of the journal before anything was accepted
	claimed bool             // the publishing goroutine has held that against what is published

	known      sync.Mutex                  // held to add to partitions, and to look there from outside
	partitions map[partitionKey]*partition // the reading goroutine's, but for atomics
	flight     flight
	reading    health
	publishing health
	position   atomic.Uint64 // everything up to here is published
	moved      chan struct{} // tells the one that drains

	// Set before Run; tests are less patient.
	every, patience, drain time.Duration
	retry                  func(attempt int) time.Duration
}

// New prepares a stream. It asks the cell for its offsets and its end, so the cell
// must not run yet; it connects to nothing.
func New(cell Decider, o Options) (*Stream, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	way, err := Reach(config.Kafka{Brokers: o.Brokers, TLS: o.TLS, SASL: o.SASL}, "sluice-"+o.Cell, o.Log, o.Client...)
	if err != nil {
		return nil, err
	}
	s := &Stream{
		cell: cell, opts: o, log: o.Log, metrics: newMetrics(o.Register), brokers: way,
		opened:     cell.Status().End,
		partitions: map[partitionKey]*partition{},
		flight:     flight{idle: make(chan struct{}, 1)},
		reading:    health{off: len(o.Sources) == 0},
		publishing: health{off: len(o.outputs()) == 0},
		moved:      make(chan struct{}, 1),
		every:      5 * time.Second, patience: 15 * time.Second, drain: 5 * time.Second,
		retry: func(attempt int) time.Duration { return min(100*time.Millisecond<<min(attempt, 6), 5*time.Second) },
	}
	for _, src := range o.Sources {
		for id, last := range cell.Offsets(src.Topic) {
			s.partition(src, id).next.Store(last + 1)
		}
	}
	return s, nil
}

// Run reads and publishes until ctx is done. Then it stops reading at once,
// waits for what the cell was given, and publishes what is durable, all of it for
// at most five seconds; a transaction that is open then is aborted. The cell must
// not be closed before Run returns.
//
// Brokers that are away are waited for. The error is ErrFenced, ErrAhead, ErrTaken, that of
// a cell that takes or shows nothing more, or that of options no client can be
// made from.
func (s *Stream) Run(ctx context.Context) error {
	var err error
	if s.admin, err = s.client(); err != nil {
		return err
	}
	defer s.admin.Close()
	group, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	read, stopReading := context.WithCancel(failed)
	defer stopReading()
	defer context.AfterFunc(ctx, stopReading)()
	publish, stopPublishing := context.WithCancel(failed)

	var readers sync.WaitGroup
	if !s.reading.off {
		readers.Add(1)
		group.Go(func() error { defer readers.Done(); return s.read(read) })
	}
	if !s.publishing.off {
		group.Go(func() error { return s.publish(publish) })
	}
	group.Go(func() error {
		defer stopPublishing()
		<-read.Done()
		readers.Wait()
		return s.finish(failed)
	})
	return group.Wait()
}

// finish waits until what was read is durable and what is durable is published.
func (s *Stream) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.drain)
	defer cancel()
	if s.flight.wait(ctx) != nil {
		s.log.Warn("kafka: stopped before the cell answered everything that was read")
	}
	if s.publishing.off {
		return nil
	}
	durable := uint64(s.cell.Status().Durable)
	for s.position.Load() < durable {
		select {
		case <-s.moved:
		case <-ctx.Done():
			s.log.Warn("kafka: stopped before everything durable was published; the next start goes on there",
				"published", s.position.Load(), "durable", durable)
			return nil
		}
	}
	return nil
}

// Check tells whether the brokers can be reached and how far behind the stream
// is. A source topic that does not exist yet is told and not held against it.
func (s *Stream) Check() (ok bool, detail string) {
	var parts []string
	ok = true
	say := func(good bool, format string, args ...any) {
		ok = ok && good
		parts = append(parts, fmt.Sprintf(format, args...))
	}
	if !s.reading.off {
		if err := s.reading.err(); err != nil {
			say(false, "reading: %v", err)
		}
		lag := s.reading.lag.Load()
		say(s.opts.MaxLag == 0 || lag <= s.opts.MaxLag, "lag %d records", lag)
		if missing := s.reading.missing(); len(missing) > 0 {
			say(true, "waiting for topic %s", strings.Join(missing, ", "))
		}
	}
	if !s.publishing.off {
		if err := s.publishing.err(); err != nil {
			say(false, "publishing: %v", err)
		}
		say(true, "published %d of %d", s.position.Load(), s.cell.Status().Durable)
	}
	return ok, strings.Join(parts, "; ")
}

var errNotYet = errors.New("not connected yet")

// health is how one direction stands.
type health struct {
	off bool
	lag atomic.Int64

	mu     sync.Mutex
	well   bool
	last   error
	absent []string
}

func (h *health) err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.well && h.last == nil {
		return errNotYet
	}
	return h.last
}

func (h *health) missing() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.absent
}

// good notes success.
func (h *health) good() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.well, h.last = true, nil
}

// bad notes a failure.
func (h *health) bad(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = err
}

// pause waits before the next attempt.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// found notes which topics are missing and gives those that were not before.
func (h *health) found(missing []string) (fresh []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range missing {
		if !slices.Contains(h.absent, topic) {
			fresh = append(fresh, topic)
		}
	}
	h.well, h.last, h.absent = true, nil, missing
	return fresh
}
