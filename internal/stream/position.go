package stream

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// readPublished gives how far this cell's results are published, position 0 when
// nothing is. To be sure, it reads to the very end of the topic, committed records
// only: another cell's open transaction before our last record would hide it from
// who reads up to what is stable now.
func (s *Stream) readPublished(ctx context.Context, upTo isolation) (*published, error) {
	// An open transaction of another cell lasts no longer than this.
	ctx, cancel := context.WithTimeout(ctx, transactionTimeout+s.patience)
	defer cancel()
	found, _, err := s.survey(ctx, upTo, PublishedTopic)
	if err != nil {
		return nil, err
	}
	topic := found[PublishedTopic]
	if topic == nil {
		return nil, kerr.UnknownTopicOrPartition
	}
	last := &published{Cell: s.opts.Cell}
	for id, held := range topic.partitions {
		here := &published{Cell: s.opts.Cell} // as compaction has it: the last record counts
		for at := held.first; at < held.end; {
			records, next, err := s.fetch(ctx, PublishedTopic, topic, id, at)
			if err != nil {
				return nil, err
			}
			for _, r := range records {
				if string(r.Key) != s.opts.Cell {
					continue
				}
				p := &published{Cell: s.opts.Cell} // of a tombstone: publish from the start
				if r.Value != nil {
					if err := json.Unmarshal(r.Value, p); err != nil || p.Cell != s.opts.Cell {
						return nil, fmt.Errorf("partition %d offset %d is not a position of cell %s: %.100q", id, r.Offset, s.opts.Cell, r.Value)
					}
				}
				here = p
			}
			at = next
		}
		if here.Position > last.Position || last.Journal == "" {
			last = here
		}
	}
	return last, nil
}

// fetch reads committed records of one partition and tells where to go on: also
// past what is not given out, markers and records of aborted transactions.
func (s *Stream) fetch(ctx context.Context, name string, t *extent, id int32, at int64) ([]*kgo.Record, int64, error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = id, at, 1<<20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = name, t.id
	topic.Partitions = append(topic.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, 1<<20
	req.IsolationLevel, req.SessionEpoch = 1, -1
	req.Topics = append(req.Topics, topic)
	answer, err := s.admin.Broker(int(t.leaders[id])).RetriableRequest(ctx, req)
	if err != nil {
		return nil, 0, err
	}
	resp := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, 0, fmt.Errorf("fetch of partition %d answered without it", id)
	}
	options := kgo.ProcessFetchPartitionOpts{Offset: at, IsolationLevel: kgo.ReadCommitted(), Topic: name, Partition: id}
	got, next := kgo.ProcessFetchPartition(options, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return got.Records, next, got.Err
}
