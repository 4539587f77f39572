package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/featurelog"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Options say what a replay decides with and what it writes.
type Options struct {
	Bundle  *engine.Bundle // decides throughout; nil: the releases the journal activated
	Blobs   engine.Blobs   // where those lie
	Tables  *enrich.Tables
	Decoder *risk.Decoder
	Tenant  string

	From, To  Bound            // what is written; the walk starts at the beginning all the same
	Decisions io.Writer        // one body a line
	Features  *featurelog.File // one row per event that has a scenario
	Refused   func(line int, err error)
	Batch     int // entries a batch, 512; changes no result
}

// Bound is a position or an instant of event time. The zero Bound bounds nothing.
type Bound struct {
	Position journal.Position
	Time     risk.Time
}

// ParseBound reads a position ("4711") or an RFC 3339 time.
func ParseBound(s string) (Bound, error) {
	if s == "" {
		return Bound{}, nil
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return Bound{Position: journal.Position(n)}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return Bound{}, fmt.Errorf("replay: %q is neither a position nor an RFC 3339 time", s)
	}
	return Bound{Time: risk.At(t)}, nil
}

// Summary counts what a replay saw.
type Summary struct {
	Events, Decisions, Refused, Duplicates, Conflicts int
	Actions                                           map[risk.Action]int
	First, Last                                       journal.Position
	Took                                              time.Duration
	Digest                                            risk.Digest // rolling digest of all decisions
}

// Replay is one run.
type Replay struct {
	o       Options
	walk    *engine.Offline
	sum     Summary
	schema  *featurelog.Schema
	of      *engine.Bundle // whose schema it is
	started time.Time
}

// New prepares a run.
func New(o Options) *Replay {
	if o.Batch == 0 {
		o.Batch = 512
	}
	r := &Replay{o: o, sum: Summary{Actions: map[risk.Action]int{}}, started: time.Now()}
	r.walk = engine.NewOffline(o.Decoder, o.Tables, func(a risk.Activation) (*engine.Bundle, error) {
		return o.Blobs.Load(a.SHA256, o.Tables)
	})
	if o.Bundle != nil {
		r.walk.Pin(o.Bundle)
	}
	return r
}

// Events replays JSON lines, plain, gzip or zstd. A line may begin with
// {"arrival":"<RFC 3339>", before the event's own members; else it arrived at its
// event time. A line that is no event is counted, reported and skipped.
func (r *Replay) Events(ctx context.Context, in io.Reader) (Summary, error) {
	if r.o.Bundle == nil {
		return r.sum, errors.New("replay: events need the rules to decide them with")
	}
	in, err := decompress(in)
	if err != nil {
		return r.sum, err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 1<<16), 1<<20)
	number, numbers := 0, map[*engine.Item]int{}
	for more := true; more && ctx.Err() == nil; {
		b := &engine.Batch{}
		clear(numbers)
		for len(b.Items) < r.o.Batch {
			if more = lines.Scan(); !more {
				break
			}
			number++
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			line, arrival, err := cutArrival(bytes.Clone(line))
			if err != nil {
				r.refuse(number, err)
				continue
			}
			it := engine.NewItem(line, r.o.Tenant)
			it.Arrival = arrival
			numbers[it] = number
			b.Items = append(b.Items, it)
		}
		r.walk.Decode(b, func(it *engine.Item, err error) { r.refuse(numbers[it], err) })
		if err := r.apply(b); err != nil {
			return r.sum, err
		}
		b.Release()
	}
	if err := lines.Err(); err != nil {
		return r.sum, fmt.Errorf("replay: line %d: %w", number+1, err)
	}
	return r.finish(ctx)
}

// Journal replays a journal. Without a bundle of its own it also proves that the
// decisions are those made at the time: a difference is an engine.DivergedError.
func (r *Replay) Journal(ctx context.Context, log *journal.Log) (Summary, error) {
	from := log.First()
	if from == 0 {
		return r.sum, errors.New("replay: the journal is empty")
	}
	if from > 1 && r.o.Bundle == nil {
		return r.sum, fmt.Errorf("replay: the journal begins at position %d, and what was active there is not known: give the rules to replay under", from)
	}
	in, err := log.Read(from)
	if err != nil {
		return r.sum, err
	}
	defer in.Close()
	r.walk.Begin(from)
	r.walk.Past(log.Read)
	for ctx.Err() == nil {
		frame, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return r.sum, err
		}
		if r.o.Bundle == nil && from == 1 {
			if err := r.walk.Check(frame); err != nil {
				return r.sum, err
			}
		}
		b, err := engine.DecodeBatch(frame)
		if err != nil {
			return r.sum, err
		}
		for _, part := range split(b, r.o.Batch) {
			if err := r.apply(part); err != nil {
				return r.sum, err
			}
		}
		if to := r.o.To.Position; to != 0 && r.walk.Next() > to {
			break
		}
	}
	return r.finish(ctx)
}

func split(b *engine.Batch, most int) (parts []*engine.Batch) {
	for i := 0; i < len(b.Items); i += most {
		parts = append(parts, &engine.Batch{First: b.First + journal.Position(i), Items: b.Items[i:min(i+most, len(b.Items))]})
	}
	return parts
}

func (r *Replay) refuse(line int, err error) {
	r.sum.Refused++
	if r.o.Refused != nil {
		r.o.Refused(line, err)
	}
}

func (r *Replay) apply(b *engine.Batch) error {
	if len(b.Items) == 0 {
		return nil
	}
	if err := r.walk.Apply(b); err != nil {
		return err
	}
	if r.sum.First == 0 {
		r.sum.First = b.First
	}
	r.sum.Last = b.Last()
	for i, res := range b.Results() {
		rec := b.Items[i].Entry.Event
		if rec == nil {
			continue
		}
		r.sum.Events++
		switch res.Verdict {
		case engine.Duplicate:
			r.sum.Duplicates++
		case engine.Conflict:
			r.sum.Conflicts++
		}
		if res.Verdict != engine.Decided || !r.within(res.Position, rec.Event.Time) {
			continue
		}
		r.sum.Decisions++
		r.sum.Actions[res.Action]++
		if r.o.Decisions != nil {
			if _, err := r.o.Decisions.Write(append(res.Body, '\n')); err != nil {
				return err
			}
		}
		if r.o.Features != nil {
			if err := r.writeFeatures(b.Items[i], &res); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Replay) within(p journal.Position, t risk.Time) bool {
	o := r.o
	return p >= o.From.Position && (o.To.Position == 0 || p <= o.To.Position) &&
		(o.From.Time == 0 || t >= o.From.Time) && (o.To.Time == 0 || t <= o.To.Time)
}

func (r *Replay) finish(ctx context.Context) (Summary, error) {
	r.sum.Took = time.Since(r.started)
	if b := r.walk.Bundle(); r.o.Features != nil && b != nil && ctx.Err() == nil {
		if err := r.o.Features.Close(featurelog.SchemaOf(b)); err != nil {
			return r.sum, err
		}
	}
	r.sum.Digest = r.walk.Digest()
	return r.sum, ctx.Err()
}

// writeFeatures adds a row with the values that the event was judged by.
func (r *Replay) writeFeatures(it *engine.Item, res *engine.Result) error {
	b := r.walk.Bundle()
	if b != r.of {
		r.of, r.schema = b, featurelog.SchemaOf(b)
	}
	err := r.o.Features.Write(r.schema, &featurelog.Row{
		Event: res.Event, Tenant: res.Tenant, Type: res.Type, Scenario: res.Scenario, Action: res.Action, At: it.At(), Position: res.Position,
		Partial: featurelog.PartialNames(it.Partial()), Approximate: strings.Join(it.Approximate(b), " "), Values: it.Vector(),
		Versions: featurelog.Versions{Engine: engine.Version, Ruleset: b.Rules.Versions().Ruleset, Features: r.schema.Digest},
	})
	if changed, ok := errors.AsType[*featurelog.ChangedError](err); ok {
		return fmt.Errorf("%w: write what is before it with --to %d, the rest with --from %d", err, changed.Position-1, changed.Position)
	}
	return err
}

// cutArrival takes a leading arrival member off an event line.
func cutArrival(line []byte) ([]byte, risk.Time, error) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"arrival":"`))
	if !ok {
		return line, 0, nil
	}
	text, rest, ok := bytes.Cut(rest, []byte(`",`))
	if !ok {
		return nil, 0, errors.New(`replay: {"arrival":"…" is not followed by the event`)
	}
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return nil, 0, fmt.Errorf("replay: arrival: %w", err)
	}
	return append([]byte("{"), rest...), risk.At(t), nil
}

// decompress looks at the first bytes: gzip, zstd, or plain.
func decompress(in io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(in, 1<<16)
	switch head, _ := b.Peek(4); {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return b, nil
}
