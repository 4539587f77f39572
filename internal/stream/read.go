package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

type partitionKey struct {
	topic string
	id    int32
}

// partition is one that is read.
type partition struct {
	Source
	id   int32
	next atomic.Int64 // the offset to take next; below zero: the first there is
	end  atomic.Int64 // committed records end here, as far as is known
}

func (s *Stream) partition(src Source, id int32) *partition {
	key := partitionKey{src.Topic, id}
	p := s.partitions[key]
	if p == nil {
		p = &partition{Source: src, id: id}
		p.next.Store(-1)
		s.known.Lock()
		defer s.known.Unlock()
		s.partitions[key] = p
	}
	return p
}

// read gives the cell every record of the sources until ctx is done.
func (s *Stream) read(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		started := time.Now()
		err := s.readPartitions(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, engine.ErrClosed):
			return fmt.Errorf("stream: %w", err)
		case errors.Is(err, errChanged):
		default:
			s.failed(&s.reading, "cannot read the sources, trying again", err)
		}
		if time.Since(started) > s.patience {
			attempt = 0
		}
		pause(ctx, s.retry(attempt))
	}
}

// readPartitions reads all partitions that there are now, until there are others
// or an offset has to be looked up again. Offsets are always ours: the client may
// not choose one.
func (s *Stream) readPartitions(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := s.again(ctx); err != nil {
		return err
	}
	found, err := s.lookAtSources(ctx)
	if err != nil {
		return err
	}
	starts := map[string]map[int32]kgo.Offset{}
	var lanes []*lane
	for _, src := range s.opts.Sources {
		t := found[src.Topic]
		if t == nil {
			continue
		}
		starts[src.Topic] = map[int32]kgo.Offset{}
		for id, held := range t.partitions {
			p := s.partition(src, id)
			s.begin(p, held)
			starts[src.Topic][id] = kgo.NewOffset().At(p.next.Load())
			lanes = append(lanes, &lane{partition: p, active: time.Now()})
		}
	}
	slices.SortFunc(lanes, func(a, b *lane) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.id, b.id)) })
	s.measure(found)

	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer cancel(nil)
	watcher.Go(func() { s.watch(ctx, cancel, starts) })
	if len(starts) == 0 {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	cl, err := s.client(
		kgo.ConsumePartitions(starts),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they too move the offset, and count for the lag
		kgo.FetchMaxWait(fetchPatience),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	s.flight.onRefusal(func() { cancel(errRefused) })
	return s.handIn(ctx, cl, newMerge(s.opts.MaxSkew, lanes))
}

// handIn gives the cell the records, merged, until ctx is done or something is wrong
// with a partition. What was fetched and not handed in is then fetched again.
func (s *Stream) handIn(ctx context.Context, cl *kgo.Client, m *merge) error {
	const (
		mostOfRun  = 512 // records of one partition before the others are looked at
		mostOfPoll = 4096
		seldom     = 64 // runs between looks at empty partitions while there is work
	)
	fetch := func(ctx context.Context) error { // nil: only what is there
		err := s.sort(m, cl.PollRecords(ctx, mostOfPoll))
		if pause, resume := m.fill(time.Now()); pause != nil || resume != nil {
			cl.PauseFetchPartitions(pause)
			cl.ResumeFetchPartitions(resume)
		}
		return err
	}
	for runs := 0; ; runs++ {
		now := time.Now()
		from, until, wait := m.ready(now)
		var err error
		switch {
		case from == nil:
			err = s.await(ctx, wait, fetch)
			for _, l := range m.stalled(time.Now()) {
				s.log.Error("kafka: a partition holds records and gives none; the others go on without it",
					"topic", l.Topic, "partition", l.id, "next", l.next.Load(), "end", l.end.Load())
			}
		case runs%seldom == 0: // and then look again: an older head may have come
			err = fetch(nil)
		default:
			for n := 0; err == nil && ctx.Err() == nil && n < mostOfRun && len(from.queue) > 0 && from.head() <= until; n++ {
				if err = s.submit(ctx, letter{partition: from.partition, record: from.queue[0]}); err == nil {
					from.take(now)
					s.metrics.consumed.WithLabelValues(from.Topic).Inc()
				}
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// await blocks until something is fetched, or for as long as the merge waits for
// the partition that keeps the others back.
func (s *Stream) await(ctx context.Context, wait time.Duration, fetch func(context.Context) error) error {
	if wait == 0 {
		return fetch(ctx)
	}
	began := time.Now()
	defer func() { s.metrics.held.Add(time.Since(began).Seconds()) }()
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return fetch(waiting)
}

// sort puts what was fetched to the partitions it is of.
func (s *Stream) sort(m *merge, fetches kgo.Fetches) error {
	var errs []error
	now := time.Now()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		i := slices.IndexFunc(m.lanes, func(l *lane) bool { return l.id == f.Partition && l.Topic == f.Topic })
		if i < 0 { // of the client as a whole
			if !errors.Is(f.Err, context.DeadlineExceeded) { // the wait was over
				errs = append(errs, f.Err)
			}
			return
		}
		l := m.lanes[i]
		l.end.Store(max(l.end.Load(), f.LastStableOffset))
		l.add(f.Records, now)
		if f.Err != nil {
			errs = append(errs, s.fault(l.partition, f.Err))
		}
	})
	return errors.Join(errs...)
}

// begin settles where a partition is read from. What is no longer there cannot be
// had: that is said loudly, and reading goes on with the oldest record. An offset
// beyond the end means that the topic was made anew or lost its tail: then too,
// since the journal recognises by its id what it has seen.
func (s *Stream) begin(p *partition, held span) {
	next := p.next.Load()
	switch {
	case next < 0:
	case next < held.first:
		s.log.Error("kafka: records were deleted before they were read; going on with the oldest",
			"topic", p.Topic, "partition", p.id, "wanted", next, "oldest", held.first, "lost", held.first-next)
		s.metrics.lost.WithLabelValues(p.Topic).Inc()
	case next > held.end:
		s.log.Error("kafka: the topic ends before the offset that was read last; reading it again from the oldest record",
			"topic", p.Topic, "partition", p.id, "wanted", next, "end", held.end, "oldest", held.first)
		s.metrics.lost.WithLabelValues(p.Topic).Inc()
	default:
		p.end.Store(held.end)
		return
	}
	p.next.Store(held.first)
	p.end.Store(held.end)
}

// fault notes what a failed fetch says about the partition. Whatever it was, the
// partitions are looked at again before the next fetch.
func (s *Stream) fault(p *partition, err error) error {
	if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
		s.log.Error("kafka: the brokers lost records that had been read; reading from there again",
			"topic", p.Topic, "partition", p.id, "read", loss.ConsumedTo, "from", loss.ResetTo)
		s.metrics.lost.WithLabelValues(p.Topic).Inc()
		p.next.Store(min(p.next.Load(), max(loss.ResetTo, -1)))
		return errChanged
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return errChanged
	}
	return &topicError{p.Topic, err}
}

// watch looks at the sources now and then: for the lag, for whether the brokers
// are there, and for partitions that are not read yet.
func (s *Stream) watch(ctx context.Context, end context.CancelCauseFunc, read map[string]map[int32]kgo.Offset) {
	for {
		pause(ctx, s.every)
		found, err := s.lookAtSources(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.failed(&s.reading, "cannot read the sources, trying again", err)
			continue
		}
		s.measure(found)
		for topic, t := range found {
			for id := range t.partitions {
				if _, ok := read[topic][id]; !ok {
					s.log.Info("kafka: new source partition", "topic", topic, "partition", id)
					end(errChanged)
					return
				}
			}
		}
	}
}

func (s *Stream) lookAtSources(ctx context.Context) (map[string]*extent, error) {
	var topics []string
	for _, src := range s.opts.Sources {
		topics = append(topics, src.Topic)
	}
	found, missing, err := s.survey(ctx, stable, topics...)
	if err != nil {
		return nil, err
	}
	for _, topic := range s.reading.found(missing) {
		s.log.Warn("kafka: waiting for a source topic that does not exist", "topic", topic)
	}
	return found, nil
}

// measure sets the lag of the partitions that are read.
func (s *Stream) measure(found map[string]*extent) {
	total := int64(0)
	for topic, t := range found {
		for id, held := range t.partitions {
			behind := held.end - held.first
			if p := s.partitions[partitionKey{topic, id}]; p != nil && p.next.Load() >= 0 {
				behind = max(held.end-p.next.Load(), 0)
			}
			s.metrics.lag.WithLabelValues(topic, strconv.Itoa(int(id))).Set(float64(behind))
			total += behind
		}
	}
	s.reading.lag.Store(total)
}

// letter is a record on its way to the cell.
type letter struct {
	*partition
	record *kgo.Record
	turn   uint64 // order of hand-in
}

// flight is what the cell was given and has not answered.
type flight struct {
	mu      sync.Mutex
	out     int
	turn    uint64
	refused []letter // came back: the journal had no room
	refusal func()
	idle    chan struct{} // told when nothing is out any more
}

func (f *flight) onRefusal(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusal = do
}

func (f *flight) answered(l letter, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, engine.ErrStorage) {
		f.refused = append(f.refused, l)
		if f.refusal != nil {
			f.refusal()
		}
	}
	if f.out--; f.out == 0 {
		select {
		case f.idle <- struct{}{}:
		default:
		}
	}
}

// wait returns when everything is answered.
func (f *flight) wait(ctx context.Context) error {
	for {
		f.mu.Lock()
		out := f.out
		f.mu.Unlock()
		if out == 0 {
			return nil
		}
		select {
		case <-f.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// submit hands one record in and waits while the cell is full.
func (s *Stream) submit(ctx context.Context, l letter) error {
	f := &s.flight
	f.mu.Lock()
	f.out++
	if l.turn == 0 {
		f.turn++
		l.turn = f.turn
	}
	f.mu.Unlock()
	it := l.item(l.record)
	it.Reply = func(r engine.Result) {
		if r.Verdict == engine.Skipped {
			s.metrics.skipped.WithLabelValues(l.Topic).Inc()
		}
		f.answered(l, r.Err)
	}
	err := s.cell.SubmitWait(ctx, it)
	if err != nil {
		f.answered(l, nil)
	}
	return err
}

// item makes the entry of a record. One without a value is no event, and not one
// that is decoded already.
func (src Source) item(r *kgo.Record) *engine.Item {
	value := r.Value
	if value == nil {
		value = []byte{}
	}
	it := engine.NewItem(value, src.Tenant)
	it.Source = risk.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	if src.Translate != nil {
		it.Translate = func(dst []byte) ([]byte, error) { return src.Translate(dst, r) }
	}
	return it
}

// again hands in what the cell gave back, in order and before anything newer.
func (s *Stream) again(ctx context.Context) error {
	for {
		if err := s.flight.wait(ctx); err != nil {
			return err
		}
		s.flight.mu.Lock()
		letters := s.flight.refused
		s.flight.refused = nil
		s.flight.mu.Unlock()
		if len(letters) == 0 {
			return nil
		}
		slices.SortFunc(letters, func(a, b letter) int { return cmp.Compare(a.turn, b.turn) })
		pause(ctx, s.retry(0))
		for i, l := range letters {
			if err := s.submit(ctx, l); err != nil {
				s.flight.mu.Lock()
				s.flight.refused = append(s.flight.refused, letters[i:]...)
				s.flight.mu.Unlock()
				return err
			}
		}
	}
}
