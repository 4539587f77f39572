package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/stream"
)

// paymentsPartitions is how many the demo's payments have, so that it shows what
// several are like.
const paymentsPartitions = 4

// demoTopics are the topics of one demo. It writes into none that it has not made
// itself: on somebody's cluster a topic of that name may be anything.
type demoTopics struct {
	brokers *stream.Brokers
	client  *kgo.Client
	cell    string
	names   []string // payments, decisions, alerts, dead letters
	made    []string
}

// makeTopics makes the topics of a configuration, or none of them.
func makeTopics(ctx context.Context, brokers *stream.Brokers, cfg *config.Config) (_ *demoTopics, err error) {
	d := &demoTopics{brokers: brokers, cell: cfg.Cell,
		names: []string{cfg.Sources[0].Topic, cfg.Outputs.Decisions, cfg.Outputs.Alerts, cfg.Outputs.DeadLetter}}
	if d.client, err = brokers.Client(kgo.DefaultProduceTopic(d.names[0])); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("demo: %s: %w", strings.Join(cfg.Kafka.Brokers, ","), d.brokers.Explain(err))
			if len(d.made) > 0 {
				err = errors.Join(err, d.remove())
			}
			d.client.Close()
		}
	}()
	if _, existing, err := d.look(ctx); err != nil {
		return nil, err
	} else if len(existing) > 0 {
		return nil, fmt.Errorf("topic %s exists already, and the demo writes into no topic that it has not made: delete it if it was left by a demo, or name another --topics-prefix", strings.Join(existing, ", "))
	}
	err = d.create(ctx, true)
	if errors.Is(err, kerr.InvalidConfig) { // brokers before 3.6 have no such bound
		err = d.create(ctx, false)
	}
	for err == nil { // brokers learn of a new topic one after the other
		var led []string
		if led, _, err = d.look(ctx); len(led) == len(d.names) {
			return d, nil
		}
		if err == nil {
			err = pause(ctx, 50*time.Millisecond)
		}
	}
	return nil, err
}

// look tells which topics exist, and which of them can be used already.
func (d *demoTopics) look(ctx context.Context) (led, there []string, err error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, name := range d.names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, d.client)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == kerr.UnknownTopicOrPartition:
			continue
		case err != nil && err != kerr.LeaderNotAvailable:
			return nil, nil, fmt.Errorf("topic %s: %w", *t.Topic, err)
		}
		there = append(there, *t.Topic)
		ready := len(t.Partitions) > 0
		for _, p := range t.Partitions {
			ready = ready && p.Leader >= 0
		}
		if ready {
			led = append(led, *t.Topic)
		}
	}
	return led, there, nil
}

// create asks for the topics. Records carry the time of the simulated world, which
// lies in the past or, after an hour, in the future of the brokers' clocks: neither
// may take them away.
func (d *demoTopics) create(ctx context.Context, bound bool) error {
	settings := map[string]string{"cleanup.policy": "delete", "message.timestamp.type": "CreateTime", "retention.ms": "-1", "retention.bytes": "67108864"}
	if bound {
		settings["message.timestamp.after.max.ms"] = "9223372036854775807"
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	for i, name := range d.names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, -1
		if i == 0 {
			t.NumPartitions = paymentsPartitions
		}
		for key, value := range settings {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = key, kmsg.StringPtr(value)
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, d.client)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var errs []error
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			errs = append(errs, fmt.Errorf("create topic %s: %w", t.Topic, err))
		} else {
			d.made = append(d.made, t.Topic)
		}
	}
	return errors.Join(errs...)
}

// leave tidies up on somebody's cluster, and says what is left there.
func (d *demoTopics) leave(out io.Writer, keep bool) error {
	err := d.forget()
	if keep {
		fmt.Fprintf(out, "\nTopics left: %s\n", strings.Join(d.made, ", "))
		return err
	}
	if err = errors.Join(err, d.remove()); err == nil {
		fmt.Fprintf(out, "\nTopics deleted: %s\n", strings.Join(d.made, ", "))
	}
	return err
}

// remove deletes what makeTopics has made.
func (d *demoTopics) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	req.TopicNames = d.made
	for _, name := range d.made {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, d.client)
	if err != nil {
		return fmt.Errorf("demo: topics %s are left: %w", strings.Join(d.made, ", "), d.brokers.Explain(err))
	}
	var errs []error
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			errs = append(errs, fmt.Errorf("demo: topic %s is left: %w", *t.Topic, err))
		}
	}
	return errors.Join(errs...)
}

// forget deletes the position of a cell that will not come back.
func (d *demoTopics) forget() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := d.client.ProduceSync(ctx, &kgo.Record{Topic: stream.PublishedTopic, Key: []byte(d.cell)}).FirstErr()
	if err != nil {
		return fmt.Errorf("demo: the position of cell %s is left in %s: %w", d.cell, stream.PublishedTopic, d.brokers.Explain(err))
	}
	return nil
}
