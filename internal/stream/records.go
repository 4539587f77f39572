package stream

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Types of CloudEvents.
const (
	typeDecision   = "sluice.decision"
	typeAlert      = "sluice.alert"
	typeDeadLetter = "sluice.dead_letter"
)

// DeadLetter is what is told of a source's record that was not taken: never its
// content, but as only the holder of a private key can read it.
type DeadLetter struct {
	Reason   string           `json:"reason"`
	Detail   string           `json:"detail"`
	Tenant   string           `json:"tenant"`
	Source   risk.Source      `json:"source"`
	Position journal.Position `json:"position"`
	Digest   string           `json:"digest"`
	At       risk.Time        `json:"at"`
	Payload  []byte           `json:"payload,omitempty"` // see internal/seal
}

// Place names a record, and what was sealed for it.
func Place(s risk.Source) string { return fmt.Sprintf("%s/%d/%d", s.Topic, s.Partition, s.Offset) }

// published is the value of a record of PublishedTopic: how far a cell came, from
// which journal, and which entry that was.
type published struct {
	Cell     string           `json:"cell"`
	Position journal.Position `json:"position"`
	Journal  string           `json:"journal,omitempty"`
	Entry    string           `json:"entry,omitempty"`
}

// entryDigest tells two entries at the same position apart. What follows from the
// event and expires is left out.
func entryDigest(at journal.Position, r *engine.Result) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s\n%s\n%s\n%d\n%s\n%d\n%d",
		at, r.Tenant, r.Event, r.Type, r.Arrival, r.Source.Topic, r.Source.Partition, r.Source.Offset))
	return hex.EncodeToString(sum[:8])
}

// records appends what is published of one result. A duplicate is not: its
// decision is out, or comes with the first one.
func (s *Stream) records(dst []*kgo.Record, r *engine.Result) ([]*kgo.Record, error) {
	switch {
	case r.Refused != nil && s.opts.DeadLetter != "":
		value, err := json.Marshal(DeadLetter{
			Reason: r.Refused.Reason, Detail: r.Refused.Detail, Tenant: r.Refused.Tenant, Source: r.Refused.Source,
			Position: r.Position, Digest: r.Refused.Digest, At: r.Refused.At, Payload: r.Refused.Sealed,
		})
		if err != nil {
			return dst, fmt.Errorf("stream: position %d: dead letter: %w", r.Position, err)
		}
		return append(dst, s.record(s.opts.DeadLetter, r.Refused.Tenant, typeDeadLetter, Place(r.Refused.Source), r.Refused.At, value)), nil
	case r.Verdict != engine.Decided:
		return dst, nil
	}
	// Payments without a subject need no order among themselves, only a place.
	key := cmp.Or(r.Subject, r.Event)
	if s.opts.Decisions != "" {
		value := risk.AppendAnswer(make([]byte, 0, len(r.Body)+192), r.Body, risk.Envelope{Position: uint64(r.Position), Supersedes: r.Answered})
		if value == nil {
			return dst, fmt.Errorf("stream: position %d: %d bytes that are no decision body", r.Position, len(r.Body))
		}
		dst = append(dst, s.record(s.opts.Decisions, key, typeDecision, r.Key.DecisionID(), r.Arrival, value))
	}
	if s.opts.Alerts == "" || r.Action == risk.Allow {
		return dst, nil
	}
	var d struct { // of a body of some kilobytes, what an alert repeats
		Scenario string        `json:"scenario"`
		Reasons  []risk.Reason `json:"reasons"`
		Versions risk.Versions `json:"versions"`
	}
	if err := jsonv2.Unmarshal(r.Body, &d); err != nil {
		return dst, fmt.Errorf("stream: position %d: decision body: %w", r.Position, err)
	}
	a := risk.Alert{
		ID: r.Key.AlertID(), Kind: "rule", Event: r.Event, Decision: r.Key.DecisionID(), Subject: r.Subject, Scenario: d.Scenario,
		Action: r.Action, Reasons: d.Reasons, Versions: d.Versions,
	}
	return append(dst, s.record(s.opts.Alerts, key, typeAlert, a.ID, r.Arrival, a.Append(nil))), nil
}

// record is a CloudEvent in binary mode: attributes as headers, the value plain.
func (s *Stream) record(topic, key, kind, id string, at risk.Time, value []byte) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: value, Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_id", Value: []byte(id)},
		{Key: "ce_type", Value: []byte(kind)},
		{Key: "ce_source", Value: []byte("/sluice/cells/" + s.opts.Cell)},
		{Key: "ce_time", Value: []byte(at.String())},
		{Key: "content-type", Value: []byte("application/json")},
	}}
}

// record is the one that ends a transaction.
func (p *published) record() *kgo.Record {
	value, err := json.Marshal(p)
	if err != nil {
		panic("stream: position " + strconv.FormatUint(uint64(p.Position), 10) + " does not marshal: " + err.Error())
	}
	return &kgo.Record{Topic: PublishedTopic, Key: []byte(p.Cell), Value: value}
}
