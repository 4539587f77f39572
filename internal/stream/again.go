package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Outcome says what became of a record that was to be read again.
type Outcome string

const (
	Taken     Outcome = "taken"        // is an event now; its decision, if it has one, is published
	Duplicate Outcome = "duplicate"    // was taken before, then or by an earlier reading
	Skipped   Outcome = "skipped"      // the source's mapping leaves it out
	Refused   Outcome = "refused"      // still cannot be taken
	Gone      Outcome = "gone"         // the brokers no longer have it
	NoSource  Outcome = "not_a_source" // this stream does not read that topic for that tenant
	NotRead   Outcome = "not_read_yet" // it comes by itself, in its order
	Failed    Outcome = "failed"       // not known: asking again is safe
)

// Reread is one record that was to be read again.
type Reread struct {
	Place    risk.Source
	Outcome  Outcome
	Event    string           // id of the event it is
	Decision string           // of Taken and Duplicate, where there is one
	Position journal.Position // the same
	Reason   string           // of Refused
	Detail   string           // of Refused and Failed
}

// rereadWindow is how many records are held at once.
const rereadWindow = 64

// Reread reads records of source topics again, by place, and gives them to the cell
// as what they are: records of that source, for a tenant ("": any). It tells what
// became of each. A record that was taken is not taken twice, however often this is
// asked for; one that is still refused leaves no trace. Where the stream reads on
// is not changed.
//
// Of those at hand at once, 64, the older are given first. Safe for concurrent use,
// beside Run.
func (s *Stream) Reread(ctx context.Context, tenant string, places []risk.Source) []Reread {
	out := make([]Reread, len(places))
	for i := range out {
		out[i].Place = places[i]
	}
	for window := range slices.Chunk(out, rereadWindow) {
		if err := s.rereadSome(ctx, tenant, window); err != nil {
			err = s.explain(err)
			for i := range window {
				if r := &window[i]; r.Outcome == "" {
					r.Outcome, r.Detail = Failed, err.Error()
				}
			}
		}
	}
	for i := range out {
		s.metrics.again.WithLabelValues(string(out[i].Outcome)).Inc()
	}
	return out
}

// rereadSome settles the outcome of each, or gives an error for those it did not.
func (s *Stream) rereadSome(ctx context.Context, tenant string, some []Reread) error {
	if s.cell.Status().Release == "" {
		return errors.New("no ruleset is active yet")
	}
	sources := map[string]Source{}
	for i := range some {
		r := &some[i]
		src, known := s.sourceOf(tenant, r.Place.Topic)
		switch next, reading := s.nextOf(r.Place); {
		case !known:
			r.Outcome = NoSource
		case !reading || r.Place.Offset >= next:
			r.Outcome = NotRead
		default:
			sources[src.Topic] = src
		}
	}
	if len(sources) == 0 {
		return nil
	}
	cl, err := s.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	records, err := s.collectPlaces(ctx, cl, some)
	if err != nil {
		return err
	}

	// By time, as reading merges partitions: what is decided first counts for the rest.
	var order []int
	for i, r := range records {
		if r != nil {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return records[a].Timestamp.Compare(records[b].Timestamp) })
	type answer struct {
		i int
		r engine.Result
	}
	answers := make(chan answer, len(order)) // whoever gives up here blocks nobody there
	waiting := 0
	for _, i := range order {
		it := sources[records[i].Topic].item(records[i])
		it.Source.Again = true
		it.Reply = func(r engine.Result) { answers <- answer{i, r} }
		if err = s.cell.SubmitWait(ctx, it); err != nil {
			break
		}
		waiting++
	}
	for ; waiting > 0; waiting-- {
		select {
		case a := <-answers:
			some[a.i].settle(a.r)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// settle says what the cell made of a record.
func (r *Reread) settle(res engine.Result) {
	r.Event, r.Position = res.Event, res.Position
	if len(res.Body) > 0 {
		r.Decision = res.Key.DecisionID()
	}
	switch res.Verdict {
	case engine.Decided, engine.Observed:
		r.Outcome = Taken
	case engine.Duplicate: // an observed one has no decision to be found, which is no error
		r.Outcome = Duplicate
		return
	case engine.Conflict:
		r.Outcome, r.Reason, r.Position = Refused, "conflict", 0
		r.Detail = "event " + res.Event + " was sent before with other content"
	case engine.Refused:
		r.Outcome, r.Reason, r.Detail, r.Position = Refused, res.Refused.Reason, res.Refused.Detail, 0
	case engine.Skipped:
		r.Outcome = Skipped
	}
	if res.Err != nil {
		r.Outcome, r.Detail = Failed, res.Err.Error()
	}
}

// sourceOf finds the source of a topic, if a tenant may ask for it.
func (s *Stream) sourceOf(tenant, topic string) (Source, bool) {
	i := slices.IndexFunc(s.opts.Sources, func(src Source) bool {
		return src.Topic == topic && (tenant == "" || src.Tenant == tenant)
	})
	if i < 0 {
		return Source{}, false
	}
	return s.opts.Sources[i], true
}

// nextOf is the offset at which the place's partition is read on.
func (s *Stream) nextOf(place risk.Source) (next int64, reading bool) {
	s.known.Lock()
	defer s.known.Unlock()
	p := s.partitions[partitionKey{place.Topic, place.Partition}]
	if p == nil {
		return 0, false
	}
	return p.next.Load(), true
}

// collectPlaces reads the records of the places that have no outcome yet, by index. What the
// brokers no longer have gets its outcome.
func (s *Stream) collectPlaces(ctx context.Context, cl *kgo.Client, some []Reread) ([]*kgo.Record, error) {
	look := s.brokers.look(cl, s.log)
	var topics []string
	open := map[partitionKey][]int{} // by partition, places in the order of offsets
	for i := range some {
		if r := &some[i]; r.Outcome == "" {
			key := partitionKey{r.Place.Topic, r.Place.Partition}
			open[key] = append(open[key], i)
			topics = append(topics, r.Place.Topic)
		}
	}
	slices.Sort(topics)
	found, _, err := look.survey(ctx, stable, slices.Compact(topics)...)
	if err != nil {
		return nil, err
	}
	records := make([]*kgo.Record, len(some))
	for key, places := range open {
		slices.SortFunc(places, func(a, b int) int { return cmp.Compare(some[a].Place.Offset, some[b].Place.Offset) })
		topic := found[key.topic]
		for len(places) > 0 {
			at := some[places[0]].Place.Offset
			var got []*kgo.Record
			if topic != nil && at >= topic.partitions[key.id].first && at < topic.partitions[key.id].end {
				if got, _, err = look.fetch(ctx, key.topic, topic, key.id, at); err != nil && !errors.Is(err, kerr.OffsetOutOfRange) {
					return nil, &topicError{key.topic, fmt.Errorf("partition %d: %w", key.id, err)}
				}
			}
			// One fetch may give the records of several places.
			held := map[int64]*kgo.Record{}
			last := at
			for _, r := range got {
				held[r.Offset] = r
				last = r.Offset
			}
			for len(places) > 0 && some[places[0]].Place.Offset <= last {
				i := places[0]
				places = places[1:]
				if records[i] = held[some[i].Place.Offset]; records[i] == nil {
					some[i].Outcome = Gone
				}
			}
		}
	}
	return records, nil
}

// look is a stream for questions alone, by a client of its own.
func (b *Brokers) look(cl *kgo.Client, log *slog.Logger) *Stream {
	return &Stream{admin: cl, brokers: b, log: log, patience: 15 * time.Second}
}

// Read gives each committed record of a topic, partition after partition, from an
// offset on, as far as the topic reaches now.
func (b *Brokers) Read(ctx context.Context, topic string, from int64, each func(*kgo.Record) error) error {
	cl, err := b.Client()
	if err != nil {
		return err
	}
	defer cl.Close()
	look := b.look(cl, b.log)
	found, missing, err := look.survey(ctx, stable, topic)
	if err != nil {
		return b.Explain(err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("stream: topic %s does not exist", topic)
	}
	t := found[topic]
	ids := make([]int32, 0, len(t.partitions))
	for id := range t.partitions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		held := t.partitions[id]
		for at := max(held.first, from); at < held.end; {
			records, next, err := look.fetch(ctx, topic, t, id, at)
			if err != nil {
				return b.Explain(&topicError{topic, err})
			}
			for _, r := range records {
				if r.Offset >= held.end {
					break
				}
				if err := each(r); err != nil {
					return err
				}
			}
			at = next
		}
	}
	return nil
}
