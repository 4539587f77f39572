package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/internal/stream"
	"github.com/sluice-risk/sluice/rulesets"
)

func demoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch simulated payments being decided, live in a browser",
		Long: `Watch simulated payments being decided, live in a browser.

One process: a stand-in for Kafka, a simulator that produces payments with fraud
planted among them, the engine that consumes them, and its page. Edit the rules
under --rules meanwhile and see them reload. Ctrl-C ends it with a summary.

With --kafka it runs on your brokers instead. It makes four topics, named after
--topics-prefix, and refuses where one of them exists. At the end it deletes them
again, or leaves them with --keep-topics. Nothing else is written but one record
of its position in sluice.published. TLS and SASL are set as for a server:
--set kafka.tls.ca_file=ca.pem, --set kafka.sasl.user_file=user and so on.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.kafka == "" && (c.Flags().Changed("topics-prefix") || o.keep || len(o.set) > 0) {
				return &exitError{exitUsage, errors.New("--topics-prefix, --keep-topics and --set belong to --kafka")}
			}
			return demo(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the page; loopback only")
	c.Flags().StringVar(&o.rules, "rules", "", "ruleset directory (default: rulesets/payments here, else the built-in one)")
	c.Flags().StringVar(&o.data, "data", "", "data directory to keep (default: a temporary one)")
	c.Flags().IntVar(&o.rate, "rate", 200, "events a second; 0 as fast as they are taken")
	c.Flags().IntVar(&o.events, "events", 0, "stop after so many; 0 goes on until Ctrl-C")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the simulated world")
	c.Flags().StringVar(&o.kafka, "kafka", "", "brokers host:port,… to run on (default: the embedded stand-in)")
	c.Flags().StringVar(&o.prefix, "topics-prefix", "sluice-demo-", "what the names of its topics begin with on --kafka")
	c.Flags().BoolVar(&o.keep, "keep-topics", false, "leave its topics on --kafka at the end")
	c.Flags().StringArrayVar(&o.set, "set", nil, "key=value of the configuration, for TLS and SASL of --kafka")
	return c
}

type demoOptions struct {
	listen, rules, data string
	rate, events        int
	seed                uint64
	kafka, prefix       string
	keep                bool
	set                 []string
}

func demo(ctx context.Context, o demoOptions, out, talk io.Writer) (err error) {
	if host, _, _ := strings.Cut(o.listen, ":"); host != "127.0.0.1" && host != "localhost" {
		return &exitError{exitUsage, fmt.Errorf("--listen %s: the demo asks for no API key and listens on loopback only", o.listen)}
	}
	if o.kafka != "" && o.data != "" {
		// The journal names the offsets of topics that are made anew each time.
		return &exitError{exitUsage, errors.New("--data and --kafka exclude each other: a kept journal belongs to topics that are not kept")}
	}
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "sluice-demo-*"); err != nil {
			return err
		}
		defer os.RemoveAll(o.data)
	}
	if o.rules == "" {
		if o.rules, err = demoRules(o.data); err != nil {
			return err
		}
	}
	flags, err := settings(o.set)
	if err != nil {
		return err
	}
	maps.Copy(flags, map[string]string{"data_dir": o.data, "listen": o.listen, "rulesets": o.rules, "disk.reserve": "64MiB", "disk.ballast": "0"})
	var broker *kfake.Cluster // nil: a real one
	if o.kafka == "" {
		broker, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"log.retention.bytes": strconv.Itoa(64 << 20)}))
		if err != nil {
			return fmt.Errorf("stand-in broker: %w", err)
		}
		defer broker.Close()
		flags["kafka.brokers"], o.prefix = strings.Join(broker.ListenAddrs(), ","), ""
	} else {
		// Results are published under the cell's name: no other engine on these brokers may have it.
		flags["kafka.brokers"], flags["cell"] = o.kafka, "demo-"+strings.ToLower(rand.Text()[:8])
	}
	flags["sources"] = "[{topic: " + o.prefix + "payments}]"
	for _, name := range []string{"decisions", "alerts", "dead-letter"} {
		flags["outputs."+strings.ReplaceAll(name, "-", "_")] = o.prefix + name
	}
	cfg, err := config.Load(config.Input{Flags: flags})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	log := slog.New(slog.NewTextHandler(talk, &slog.HandlerOptions{Level: slog.LevelWarn}))
	brokers, err := stream.Reach(cfg.Kafka, "sluice-demo", log)
	if err != nil {
		return err
	}
	topics, err := makeTopics(ctx, brokers, cfg)
	if err != nil {
		return err
	}
	defer topics.client.Close()
	if o.kafka != "" {
		defer func() { err = errors.Join(err, topics.leave(out, o.keep)) }()
	}
	// The world runs faster than the clock, so that windows of a day and labels that
	// come after days are seen within minutes; the engine lives in the world's time.
	show := &demoShow{truth: map[string]simulate.Truth{}, world: simulate.New(simulate.Options{Seed: o.seed})}
	show.now.Store(simulate.Start.UnixMilli())
	debug.SetMemoryLimit(1 << 30) // a guest on this machine: rather more garbage collection than memory
	n, err := open(cfg, nil, log, func() time.Time { return time.UnixMilli(show.now.Load()) })
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	err = n.run(running, func() {
		show.page = (&url.URL{Scheme: "http", Host: n.listener.Addr().String(), Path: "/"}).String()
		show.greet(out, o, topics)
		parts.Go(func() {
			if err := show.produce(running, topics.client, o); err != nil && running.Err() == nil {
				log.Error("the simulator stopped", "err", brokers.Explain(err))
				stop()
			}
		})
		parts.Go(func() { // the stand-in keeps its topics in memory, and tidies up when told
			for broker != nil && pause(running, 10*time.Second) == nil {
				broker.ApplyRetention()
			}
		})
		parts.Go(func() {
			show.follow(running, n.cell, o.events)
			stop()
		})
	})
	stop()
	parts.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	show.summary(out, o)
	return err
}

// demoRules is the ruleset at hand: this checkout's, or the built-in one, written
// out so that it can be edited.
func demoRules(data string) (string, error) {
	if isDir("rulesets/payments") {
		return "rulesets/payments", nil
	}
	dir := filepath.Join(data, "rulesets")
	return filepath.Join(dir, "payments"), os.CopyFS(dir, rulesets.FS)
}

// demoShow knows what the simulator planted and counts what became of it.
type demoShow struct {
	page     string // its address
	world    *simulate.World
	now      atomic.Int64 // the world's time, milliseconds since 1970
	mu       sync.Mutex
	truth    map[string]simulate.Truth // of events that are on their way
	tally    simulate.Tally
	events   int
	verdicts [8]int
	took     []time.Duration // of the first million decisions

	first, last time.Time // answers
}

// produce sends the simulated world to the payments topic at its rate. A record's
// time is when the world sent it, and its key keeps a customer in one partition:
// merged by time, the partitions give the world's own order again.
func (d *demoShow) produce(ctx context.Context, client *kgo.Client, o demoOptions) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	started := time.Now()
	for i := 0; o.events == 0 || i < o.events; i++ {
		if o.rate > 0 {
			due := started.Add(time.Duration(i) * time.Second / time.Duration(o.rate))
			if pause(ctx, time.Until(due)) != nil {
				return context.Cause(ctx)
			}
		}
		for d.waiting() > 5000 { // no faster than the answers: everything here is in memory
			if pause(ctx, 5*time.Millisecond) != nil {
				return context.Cause(ctx)
			}
		}
		e := d.world.Next()
		d.now.Store(e.At.UnixMilli())
		d.expect(e.ID, e.Truth)
		client.Produce(ctx, &kgo.Record{Key: []byte(e.Key), Value: e.Body, Timestamp: e.At}, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(fmt.Errorf("event %s: %w", e.ID, err))
			}
		})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := client.Flush(ctx); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// waiting is how many events have no answer yet.
func (d *demoShow) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.truth)
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demoShow) expect(id string, truth simulate.Truth) {
	d.mu.Lock()
	d.truth[id] = truth
	d.mu.Unlock()
}

// follow counts answers until ctx is done or all events have one.
func (d *demoShow) follow(ctx context.Context, cell *engine.Cell, events int) {
	done := errors.New("all events are answered")
	cell.Follow(ctx, 1, func(results []engine.Result) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, r := range results {
			truth, ours := d.truth[r.Event] // others may ask over HTTP meanwhile
			if r.Verdict == engine.Control || !ours {
				continue
			}
			d.events++
			if d.last = time.Now(); d.first.IsZero() {
				d.first = d.last
			}
			d.verdicts[r.Verdict]++
			d.tally.Add(truth, r.Action)
			delete(d.truth, r.Event)
			if r.Verdict == engine.Decided && len(d.took) < 1_000_000 {
				d.took = append(d.took, r.Took)
			}
		}
		if events > 0 && d.events >= events {
			return done
		}
		return nil
	})
}
