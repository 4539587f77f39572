package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/store/journal"
)

const (
	mostResults = 512  // a transaction
	mostSilent  = 4096 // positions without a record before the position alone is published

	// The brokers abort a transaction that is open for so long and fence its
	// producer. Ours give up well before.
	transactionTimeout  = time.Minute
	transactionPatience = 20 * time.Second
)

// publish publishes until ctx is done, with one transactional producer after the
// other: after any failure a new one asks the brokers how far the last one came.
func (s *Stream) publish(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		before := s.position.Load()
		err := s.publishSession(ctx)
		var own *faultError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrFenced), errors.Is(err, ErrAhead):
			return err
		case errors.As(err, &own):
			return own.error
		}
		s.metrics.failures.Inc()
		if s.publishing.bad(err) {
			s.log.Warn("kafka: cannot publish, trying again", "err", err, "published", s.position.Load())
		}
		if s.position.Load() > before {
			attempt = 0
		}
		pause(ctx, s.retry(attempt))
	}
}

// faultError is one of ours, not of the brokers: trying again does not help.
type faultError struct{ error }

// Claim asks how far this cell's results are published, before anything new is
// accepted, and gives ErrAhead when that is more than the journal holds: what came
// in first would take the positions of what is missing, and hide it. Brokers that
// cannot be reached soon are no error; Run asks again.
func (s *Stream) Claim(ctx context.Context) (err error) {
	if s.publishing.off {
		return nil
	}
	const soon = 5 * time.Second
	asking, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	if s.admin, err = s.client(); err != nil {
		return err
	}
	defer s.admin.Close()
	cl, _, err := s.claim(asking)
	var own *faultError
	switch {
	case err == nil:
		cl.Close()
	case errors.Is(err, ErrAhead):
		return err
	case errors.As(err, &own):
		return own.error
	default:
		s.log.Warn("kafka: cannot ask how far results are published; going on without", "err", err)
	}
	return nil
}

// claim takes the transactional id over and reads how far its last holder came.
func (s *Stream) claim(ctx context.Context) (*kgo.Client, journal.Position, error) {
	if err := s.ensure(ctx); err != nil {
		return nil, 0, err
	}
	cl, err := s.client(
		kgo.TransactionalID("sluice-"+s.opts.Cell),
		kgo.TransactionTimeout(transactionTimeout),
	)
	if err != nil {
		return nil, 0, &faultError{err}
	}
	at, err := s.readClaimed(ctx, cl)
	if err != nil {
		cl.Close()
		return nil, 0, err
	}
	return cl, at, nil
}

func (s *Stream) readClaimed(ctx context.Context, cl *kgo.Client) (journal.Position, error) {
	starting, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	// From here on no earlier producer can commit, and what it had open is over.
	if _, _, err := cl.ProducerID(starting); err != nil {
		return 0, fmt.Errorf("producer id: %w", err)
	}
	at, err := s.readPublished(ctx)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", PublishedTopic, err)
	}
	// The first time, what counts is what the journal held when it was opened.
	end := s.opened
	if s.claimed {
		end = s.cell.Status().End
	}
	if at > end {
		return 0, fmt.Errorf("%w: position %d of cell %s is published, the journal ends at %d: "+
			"entries are missing from the journal, or it belongs to another cell", ErrAhead, at, s.opts.Cell, end)
	}
	s.claimed = true
	return at, nil
}

// publishSession owns the transactional id until something fails.
func (s *Stream) publishSession(ctx context.Context) error {
	cl, at, err := s.claim(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	s.publishing.good()
	s.log.Info("kafka: publishing", "from", at+1)
	p := &producer{Stream: s, cl: cl, written: at}
	s.reached(at)

	box := make(chan *chunk, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.collect(ctx, at+1, box) })
	group.Go(func() error {
		for {
			select {
			case c := <-box:
				if err := p.publish(ctx, c); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return group.Wait()
}

// reached notes that everything up to a position is published.
func (s *Stream) reached(at journal.Position) {
	s.position.Store(uint64(at))
	s.metrics.position.Set(float64(at))
	select {
	case s.moved <- struct{}{}:
	default:
	}
}

// chunk is what goes out in one transaction.
type chunk struct {
	records []*kgo.Record
	results int
	last    journal.Position
}

// collect follows the cell and makes records while the transaction before is on
// its way. What waits in the box grows up to a full transaction.
func (s *Stream) collect(ctx context.Context, from journal.Position, box chan *chunk) error {
	next := from
	err := s.cell.Follow(ctx, from, func(results []engine.Result) error {
		// A duplicate may name the position of the first answer, so positions are
		// counted here; every other result must agree.
		for i := range results {
			if r := &results[i]; r.Verdict != engine.Duplicate && r.Position != next {
				return &faultError{fmt.Errorf("stream: the cell gave position %d after %d", r.Position, next-1)}
			}
			next++
		}
		c := &chunk{}
		select {
		case waiting := <-box:
			if waiting.results+len(results) <= mostResults {
				c = waiting
			} else {
				box <- waiting // nobody else puts anything in
			}
		default:
		}
		var err error
		for i := range results {
			if c.records, err = s.records(c.records, &results[i]); err != nil {
				return &faultError{err}
			}
		}
		c.results += len(results)
		c.last = next - 1
		select {
		case box <- c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if own := (*faultError)(nil); errors.As(err, &own) || ctx.Err() != nil {
		return err
	}
	// The journal itself cannot be followed: positions that are gone, damage.
	return &faultError{fmt.Errorf("stream: follow the journal from position %d: %w", from, err)}
}

// producer is one holder of the transactional id.
type producer struct {
	*Stream
	cl      *kgo.Client
	written journal.Position // in PublishedTopic
}

// publish sends a chunk in a transaction. A chunk without records only moves the
// position, which need not be written each time: following it again gives nothing.
func (p *producer) publish(ctx context.Context, c *chunk) error {
	if len(c.records) == 0 && c.last-p.written < mostSilent {
		p.reached(c.last)
		return nil
	}
	began := time.Now()
	err := p.transact(ctx, append(c.records, p.marker(c.last)))
	if err == nil {
		for _, r := range c.records {
			p.metrics.published.WithLabelValues(r.Topic).Inc()
		}
		p.written = c.last
		p.publishing.good()
		p.reached(c.last)
		return nil
	}
	// A producer is also fenced when its transaction lasted too long. That is no
	// other process, and the next session goes on.
	if fenced(err) && time.Since(began) < transactionTimeout {
		return fmt.Errorf("%w: %s was taken over (%w)", ErrFenced, p.opts.Cell, err)
	}
	if ctx.Err() != nil && !fenced(err) {
		p.abort(ctx) // nobody comes after us who would
	}
	return err
}

func fenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
}

func (p *producer) transact(ctx context.Context, records []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, transactionPatience)
	defer cancel()
	if err := p.cl.BeginTransaction(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	var (
		mu    sync.Mutex
		first error
	)
	for _, r := range records {
		p.cl.Produce(ctx, r, func(r *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = fmt.Errorf("produce to %s: %w", r.Topic, err)
			}
		})
	}
	flushed := p.cl.Flush(ctx)
	mu.Lock()
	defer mu.Unlock()
	if err := errors.Join(first, flushed); err != nil {
		return err
	}
	if err := p.cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// abort ends a transaction that is left open, so that readers need not wait until
// it times out.
func (p *producer) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	settle, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if p.cl.AbortBufferedRecords(settle) != nil {
		p.cl.UnsafeAbortBufferedRecords() // this producer sends nothing more
	}
	if err := p.cl.EndTransaction(ctx, kgo.TryAbort); err != nil {
		p.log.Warn("kafka: a transaction was left open, it ends by itself", "after", transactionTimeout, "err", err)
	}
}
