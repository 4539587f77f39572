package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// JournalState is what the journal of a cell that is not running holds.
type JournalState struct {
	First, End     journal.Position
	Segments       int
	Bytes, Torn    int64
	Oldest, Newest risk.Time // of the events at its ends, zero without any
	Arrived        risk.Time // the newest arrival there
}

// Span is the event time between the ends of the journal.
func (s JournalState) Span() time.Duration { return s.Newest.Sub(s.Oldest) }

// InspectJournal looks at a journal and changes nothing. With whole, every byte is
// read and every checksum compared; else both ends.
func InspectJournal(ctx context.Context, dir string, whole bool) (s JournalState, err error) {
	log, err := journal.OpenReadOnly(dir)
	if err != nil {
		return s, err
	}
	defer log.Close()
	s.First, s.End, s.Segments, s.Bytes, s.Torn = log.First(), log.Durable(), len(log.Segments()), log.Bytes(), log.Torn()
	const few = 1000
	oldest, err := events(log, s.First, min(s.First+few, s.End), func(rec *risk.Record) {
		if s.Oldest == 0 || rec.Event.Time < s.Oldest {
			s.Oldest = rec.Event.Time
		}
	})
	if err != nil || oldest == 0 {
		return s, err
	}
	if _, err = events(log, max(s.First, s.End-min(s.End, few)), s.End, func(rec *risk.Record) {
		s.Newest, s.Arrived = max(s.Newest, rec.Event.Time), max(s.Arrived, rec.Arrival)
	}); err != nil {
		return s, err
	}
	if whole {
		err = log.Verify(ctx)
	}
	return s, err
}

// events calls each for the events between two positions.
func events(log *journal.Log, from, to journal.Position, each func(*risk.Record)) (n int, err error) {
	r, err := log.Read(from)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for from <= to {
		frame, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, err
		}
		b, err := DecodeBatch(frame)
		if err != nil {
			return n, err
		}
		for _, it := range b.Items {
			if rec := it.Entry.Event; rec != nil {
				each(rec)
				n++
			}
		}
		from = b.Last() + 1
	}
	return n, nil
}

// StoredState is what the store of a cell that is not running holds.
type StoredState struct {
	Position journal.Position // 0: no checkpoint yet
	Genesis  risk.Genesis
	Keys     int // of entities
	Bytes    int64
	Active   risk.Activation
	Bundle   *Bundle // that decides; nil: none, or Blob says why not
	Blob     error
}

// InspectStore opens the store as a start would, compares all sums of entities, and
// reads the release that was active at the last checkpoint.
func InspectStore(dir string, blobs Blobs, tables *enrich.Tables, o store.Options) (s StoredState, err error) {
	st, err := store.Open(dir, o)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.ScanEntities(func(_ store.Space, key, value []byte, _ uint64) error {
		s.Keys++
		s.Bytes += int64(len(key) + len(value))
		return nil
	}); err != nil {
		return s, err
	}
	last, ok := st.Last()
	if !ok {
		return s, nil
	}
	s.Position = journal.Position(last.Position)
	var cell cellState
	if err := json.Unmarshal(last.State, &cell); err != nil {
		return s, fmt.Errorf("engine: checkpoint at position %d: %w", s.Position, err)
	}
	s.Genesis, s.Active = cell.Genesis, cell.Activation
	if s.Active.SHA256 != "" {
		s.Bundle, s.Blob = blobs.Load(s.Active.SHA256, tables)
	}
	return s, nil
}
