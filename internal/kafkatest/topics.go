package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const patience = 60 * time.Second // of every wait; reached only when something is wrong

func reachable(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// InSync waits until all nodes are there and every replica of every partition
// holds what its leader holds.
func (c *Cluster) InSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		for _, n := range c.nodes {
			if n.died() {
				return fmt.Errorf("node %d ended by itself", n.id)
			}
		}
		asking, stop := context.WithTimeout(ctx, 5*time.Second)
		why := c.missing(asking)
		stop()
		if why == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("not in sync within %s: %w", patience, why)
		}
	}
}

// missing tells what is missing.
func (c *Cluster) missing(ctx context.Context) error {
	for _, n := range c.nodes {
		if !reachable(n.address(plainPort)) {
			return fmt.Errorf("node %d is not reachable", n.id)
		}
	}
	resp, err := c.metadata(ctx)
	if err != nil {
		return err
	}
	if len(resp.Brokers) != len(c.nodes) {
		return fmt.Errorf("%d of %d brokers", len(resp.Brokers), len(c.nodes))
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.Leader < 0 || p.ErrorCode != 0 || len(p.ISR) < len(p.Replicas) {
				return fmt.Errorf("topic %s partition %d: leader %d, replicas %v, in sync %v", *t.Topic, p.Partition, p.Leader, p.Replicas, p.ISR)
			}
		}
	}
	return nil
}

// metadata of the topics named, or of all.
func (c *Cluster) metadata(ctx context.Context, topics ...string) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	return req.RequestWith(ctx, c.admin)
}

// Leader is the node that leads a partition now; an error when there is none.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int32) (node int, err error) {
	resp, err := c.metadata(ctx, topic)
	if err != nil {
		return 0, err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.Partition == partition && p.Leader > 0 {
				return int(p.Leader), nil
			}
		}
	}
	return 0, fmt.Errorf("topic %s partition %d has no leader", topic, partition)
}

// Create makes a topic with as many replicas as the brokers give by default.
// settings are its own: key, value, key, value.
func (c *Cluster) Create(topic string, partitions int32, settings ...string) {
	c.t.Helper()
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, -1
	for i := 0; i+1 < len(settings); i += 2 {
		s := kmsg.NewCreateTopicsRequestTopicConfig()
		s.Name, s.Value = settings[i], kmsg.StringPtr(settings[i+1])
		t.Configs = append(t.Configs, s)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = 10_000, append(req.Topics, t)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	resp, err := req.RequestWith(ctx, c.admin)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err == nil {
		err = c.led(ctx, topic, partitions)
	}
	if err != nil {
		c.t.Fatalf("create topic %s: %v", topic, err)
	}
}

// led waits until the brokers have learnt of a new topic.
func (c *Cluster) led(ctx context.Context, topic string, partitions int32) error {
	for ctx.Err() == nil {
		var missing error
		for p := range partitions {
			if _, err := c.Leader(ctx, topic, p); err != nil {
				missing = err
			}
		}
		if missing == nil {
			return c.InSync(ctx)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

// Ends are the offsets behind the last record of each partition, open
// transactions and their markers included.
func (c *Cluster) Ends(topic string) map[int32]int64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	ends := map[int32]int64{}
	resp, err := c.metadata(ctx, topic)
	if err == nil {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topic
		for _, p := range resp.Topics[0].Partitions {
			ask := kmsg.NewListOffsetsRequestTopicPartition()
			ask.Partition, ask.Timestamp = p.Partition, -1
			t.Partitions = append(t.Partitions, ask)
		}
		req.Topics = append(req.Topics, t)
		var got *kmsg.ListOffsetsResponse
		if got, err = req.RequestWith(ctx, c.admin); err == nil {
			for _, p := range got.Topics[0].Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
				ends[p.Partition] = p.Offset
			}
		}
	}
	if err != nil || len(ends) == 0 {
		c.t.Fatalf("ends of topic %s: %v", topic, err)
	}
	return ends
}

// Committed reads a topic to its end as a reader of committed records sees it,
// each partition in order. Whoever writes to it must have stopped, with no
// transaction open.
func (c *Cluster) Committed(topic string, each func(*kgo.Record)) {
	c.t.Helper()
	c.read(topic, kgo.ReadCommitted(), each)
}

// Written counts the records of a topic, those of transactions that were given up
// included: what a reader sees that does not ask for committed ones.
func (c *Cluster) Written(topic string) (n int) {
	c.t.Helper()
	c.read(topic, kgo.ReadUncommitted(), func(*kgo.Record) { n++ })
	return n
}

func (c *Cluster) read(topic string, level kgo.IsolationLevel, each func(*kgo.Record)) {
	c.t.Helper()
	ends, from := c.Ends(topic), map[int32]kgo.Offset{}
	for p, end := range ends {
		if end == 0 {
			delete(ends, p)
			continue
		}
		from[p] = kgo.NewOffset().AtStart()
	}
	if len(ends) == 0 {
		return
	}
	cl := c.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(level), kgo.KeepControlRecords())
	defer cl.Close()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for len(ends) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("read topic %s: %v; not at the end of %v", topic, err, ends)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				each(r)
			}
			if r.Offset >= ends[r.Partition]-1 {
				delete(ends, r.Partition)
			}
		})
	}
}

// Allow lets a user do operations on a resource, as `kafka-acls` would.
func (c *Cluster) Allow(user string, kind kmsg.ACLResourceType, name string, operations ...kmsg.ACLOperation) {
	c.t.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for _, op := range operations {
		acl := kmsg.NewCreateACLsRequestCreation()
		acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = kind, name, kmsg.ACLResourcePatternTypeLiteral
		acl.Principal, acl.Host, acl.Operation, acl.PermissionType = "User:"+user, "*", op, kmsg.ACLPermissionTypeAllow
		req.Creations = append(req.Creations, acl)
	}
	resp, err := req.RequestWith(c.t.Context(), c.admin)
	if err != nil {
		c.t.Fatalf("allow %s: %v", user, err)
	}
	for _, r := range resp.Results {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			c.t.Fatalf("allow %s: %v", user, err)
		}
	}
}
