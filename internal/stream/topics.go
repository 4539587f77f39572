package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// span is what a partition holds: offsets from first on, before end.
type span struct{ first, end int64 }

// extent is a topic as it stands now.
type extent struct {
	id         [16]byte
	leaders    map[int32]int32
	partitions map[int32]span
}

// isolation says where a partition ends.
type isolation int8

const (
	all    isolation = iota // behind the last record, committed or not
	stable                  // before the first that belongs to an open transaction
)

// survey asks for the partitions of topics and what they hold. Topics that do not
// exist are missing.
func (s *Stream) survey(ctx context.Context, upTo isolation, topics ...string) (found map[string]*extent, missing []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if found, missing, err = s.metadata(ctx, topics); err != nil || len(found) == 0 {
		return found, missing, err
	}
	const earliest, latest = -2, -1
	for _, at := range []int64{earliest, latest} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID, req.IsolationLevel = -1, int8(upTo)
		for name, t := range found {
			topic := kmsg.NewListOffsetsRequestTopic()
			topic.Topic = name
			for id := range t.leaders {
				p := kmsg.NewListOffsetsRequestTopicPartition()
				p.Partition, p.Timestamp = id, at
				topic.Partitions = append(topic.Partitions, p)
			}
			req.Topics = append(req.Topics, topic)
		}
		resp, err := req.RequestWith(ctx, s.admin)
		if err != nil {
			return nil, nil, fmt.Errorf("offsets: %w", err)
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, nil, fmt.Errorf("offsets of partition %d: %w", p.Partition, &topicError{topic.Topic, err})
				}
				held := found[topic.Topic].partitions[p.Partition]
				if at == earliest {
					held.first = p.Offset
				} else {
					held.end = p.Offset
				}
				found[topic.Topic].partitions[p.Partition] = held
			}
		}
	}
	return found, missing, nil
}

func (s *Stream) metadata(ctx context.Context, topics []string) (found map[string]*extent, missing []string, err error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, topic)
	}
	resp, err := req.RequestWith(ctx, s.admin)
	if err != nil {
		return nil, nil, fmt.Errorf("metadata: %w", err)
	}
	found = map[string]*extent{}
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == kerr.UnknownTopicOrPartition:
			missing = append(missing, *t.Topic)
			continue
		case err != nil:
			return nil, nil, &topicError{*t.Topic, err}
		}
		e := &extent{id: t.TopicID, leaders: map[int32]int32{}, partitions: map[int32]span{}}
		for _, p := range t.Partitions {
			e.leaders[p.Partition] = p.Leader
		}
		found[*t.Topic] = e
	}
	slices.Sort(missing)
	return found, missing, nil
}

// ensure makes the topics that are written and do not exist.
func (s *Stream) ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	found, missing, err := s.metadata(ctx, append(s.opts.outputs(), PublishedTopic))
	if err != nil {
		return err
	}
	if found[PublishedTopic] != nil {
		s.checkCompacted(ctx)
	}
	if len(missing) == 0 {
		return nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	for _, name := range missing {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, -1
		if name == PublishedTopic {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = "cleanup.policy", kmsg.StringPtr("compact")
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, s.admin)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var errs []error
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == nil:
			level := slog.LevelWarn
			if t.Topic == PublishedTopic { // ours, and missing at every first start
				level = slog.LevelInfo
			}
			s.log.Log(ctx, level, "kafka: made a missing topic with one partition and the brokers' defaults", "topic", t.Topic)
		case !errors.Is(err, kerr.TopicAlreadyExists):
			errs = append(errs, fmt.Errorf("create: %w", &topicError{t.Topic, err}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for { // brokers learn of a new topic one after the other
		found, missing, err := s.metadata(ctx, missing)
		if err == nil && len(missing) == 0 && led(found) {
			return nil
		}
		if pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("wait for new topics: %w", cmp.Or(err, ctx.Err()))
		}
	}
}

func led(topics map[string]*extent) bool {
	for _, t := range topics {
		for _, leader := range t.leaders {
			if leader < 0 {
				return false
			}
		}
	}
	return true
}

// checkCompacted warns of a topic of positions that forgets them: then everything
// would be published a second time. Not being allowed to ask is no reason to stop.
func (s *Stream) checkCompacted(ctx context.Context) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, PublishedTopic, []string{"cleanup.policy"}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, s.admin)
	if err != nil {
		return
	}
	for _, r := range resp.Resources {
		for _, c := range r.Configs {
			if c.Name == "cleanup.policy" && c.Value != nil && !strings.Contains(*c.Value, "compact") {
				s.log.Error("kafka: the topic of published positions is not compacted: when it forgets them, results are published twice",
					"topic", PublishedTopic, "cleanup.policy", *c.Value)
			}
		}
	}
}
