package stream

import (
	"cmp"
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
	mostResults = 2048 // a transaction: while one is on its way, the next grows
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
		case errors.Is(err, ErrFenced), errors.Is(err, ErrAhead), errors.Is(err, ErrTaken):
			return err
		case errors.As(err, &own):
			return own.error
		}
		s.metrics.failures.Inc()
		s.failed(&s.publishing, "cannot publish, trying again", err)
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
// in first would take the positions of what is missing, and hide it. ErrTaken is
// given when they were published from another journal; then nothing is taken from
// the process that publishes it. Brokers that cannot be reached soon are no error;
// Run asks again.
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
	case errors.Is(err, ErrAhead), errors.Is(err, ErrTaken):
		return err
	case errors.As(err, &own):
		return own.error
	default:
		s.failed(&s.publishing, "cannot ask how far results are published; going on without", err)
	}
	return nil
}

// claim takes the transactional id over and reads how far its last holder came.
func (s *Stream) claim(ctx context.Context) (*kgo.Client, *published, error) {
	if err := s.ensure(ctx); err != nil {
		return nil, nil, err
	}
	// Whoever must not publish fences nobody off: what is committed now tells most.
	if now, err := s.readPublished(ctx, stable); err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", PublishedTopic, err)
	} else if err := s.mayFollow(now); err != nil {
		return nil, nil, err
	}
	cl, err := s.client(
		kgo.TransactionalID("sluice-"+s.opts.Cell),
		kgo.TransactionTimeout(transactionTimeout),
	)
	if err != nil {
		return nil, nil, &faultError{err}
	}
	last, err := s.readClaimed(ctx, cl)
	if err != nil {
		cl.Close()
		return nil, nil, err
	}
	return cl, last, nil
}

func (s *Stream) readClaimed(ctx context.Context, cl *kgo.Client) (*published, error) {
	starting, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	// From here on no earlier producer can commit, and what it had open is over.
	if _, _, err := cl.ProducerID(starting); err != nil {
		return nil, fmt.Errorf("producer id: %w", err)
	}
	last, err := s.readPublished(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", PublishedTopic, err)
	}
	if err := s.mayFollow(last); err != nil {
		return nil, err
	}
	s.claimed = true
	return last, nil
}

// mayFollow tells whether this journal is the one that goes on behind what is
// published: the same journal, not shorter, with the same entry there.
func (s *Stream) mayFollow(last *published) error {
	if journal := s.cell.Journal(); last.Journal != "" && last.Journal != journal {
		return fmt.Errorf("%w: position %d of cell %s is published from journal %s, this one is %s: "+
			"two engines need two names (cell), an engine that moved needs its data directory",
			ErrTaken, last.Position, s.opts.Cell, last.Journal, cmp.Or(journal, "new"))
	}
	// The first time, what counts is what the journal held when it was opened.
	end := s.opened
	if s.claimed {
		end = s.cell.Status().End
	}
	if last.Position > end {
		return fmt.Errorf("%w: position %d of cell %s is published, the journal ends at %d: "+
			"entries are missing from the journal, or it belongs to another cell", ErrAhead, last.Position, s.opts.Cell, end)
	}
	if last.Entry == "" {
		return nil
	}
	switch r, err := s.cell.At(last.Position); {
	case errors.Is(err, journal.ErrGone): // nothing to compare with
	case err != nil:
		return &faultError{fmt.Errorf("stream: position %d: %w", last.Position, err)}
	case entryDigest(last.Position, &r) != last.Entry:
		return fmt.Errorf("%w: position %d of cell %s is published as another entry than the journal holds there: "+
			"the journal lost its end and went on without it", ErrAhead, last.Position, s.opts.Cell)
	}
	return nil
}

// publishSession owns the transactional id until something fails.
func (s *Stream) publishSession(ctx context.Context) error {
	cl, last, err := s.claim(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	p := &producer{Stream: s, cl: cl, last: *last}
	if last.Journal == "" { // from now on the cell's name is this journal's
		if err := p.commit(ctx, &chunk{published: *last}); err != nil {
			return err
		}
	}
	s.publishing.good()
	at := last.Position
	s.log.Info("kafka: publishing", "from", at+1)
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
	published
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
		c.Position, c.Entry = next-1, entryDigest(next-1, &results[len(results)-1])
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
	cl   *kgo.Client
	last published // in PublishedTopic
}

// publish sends a chunk in a transaction. A chunk without records only moves the
// position, which need not be written each time: following it again gives nothing.
func (p *producer) publish(ctx context.Context, c *chunk) error {
	if len(c.records) == 0 && c.Position-p.last.Position < mostSilent {
		p.reached(c.Position)
		return nil
	}
	if err := p.commit(ctx, c); err != nil {
		return err
	}
	p.publishing.good()
	p.reached(c.Position)
	return nil
}

// commit sends a chunk and the position it goes up to.
func (p *producer) commit(ctx context.Context, c *chunk) error {
	c.Cell, c.Journal = p.opts.Cell, p.cell.Journal()
	began := time.Now()
	err := p.transact(ctx, append(c.records, c.record()))
	if err == nil {
		for _, r := range c.records {
			p.metrics.published.WithLabelValues(r.Topic).Inc()
		}
		p.last = c.published
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
				first = fmt.Errorf("produce: %w", &topicError{r.Topic, err})
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
