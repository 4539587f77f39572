package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
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
under --rules meanwhile and see them reload. Ctrl-C ends it with a summary.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return demo(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the page; loopback only")
	c.Flags().StringVar(&o.rules, "rules", "", "ruleset directory (default: rulesets/payments here, else the built-in one)")
	c.Flags().StringVar(&o.data, "data", "", "data directory to keep (default: a temporary one)")
	c.Flags().IntVar(&o.rate, "rate", 200, "events a second; 0 as fast as they are taken")
	c.Flags().IntVar(&o.events, "events", 0, "stop after so many; 0 goes on until Ctrl-C")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "seed of the simulated world")
	return c
}

type demoOptions struct {
	listen, rules, data string
	rate, events        int
	seed                uint64
}

func demo(ctx context.Context, o demoOptions, out, talk io.Writer) (err error) {
	if host, _, _ := strings.Cut(o.listen, ":"); host != "127.0.0.1" && host != "localhost" {
		return &exitError{exitUsage, fmt.Errorf("--listen %s: the demo asks for no API key and listens on loopback only", o.listen)}
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
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "payments", "decisions", "alerts", "dead-letter"),
		kfake.BrokerConfigs(map[string]string{"log.retention.bytes": strconv.Itoa(64 << 20)}))
	if err != nil {
		return fmt.Errorf("stand-in broker: %w", err)
	}
	defer broker.Close()
	cfg, err := config.Load(config.Input{Flags: map[string]string{
		"data_dir": o.data, "listen": o.listen, "rulesets": o.rules,
		"kafka.brokers": strings.Join(broker.ListenAddrs(), ","), "sources": "[{topic: payments}]",
		"disk.reserve": "64MiB", "disk.ballast": "0",
	}})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(talk, &slog.HandlerOptions{Level: slog.LevelWarn}))
	// The world runs faster than the clock, so that windows of a day and labels that
	// come after days are seen within minutes; the engine lives in the world's time.
	show := &demoShow{truth: map[string]simulate.Truth{}, world: simulate.New(simulate.Options{Seed: o.seed})}
	show.now.Store(simulate.Start.UnixMilli())
	n, err := open(cfg, nil, log, func() time.Time { return time.UnixMilli(show.now.Load()) })
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var parts sync.WaitGroup
	err = n.run(running, func() {
		page := url.URL{Scheme: "http", Host: n.listener.Addr().String(), Path: "/"}
		rate := "Events as fast as they are taken"
		if o.rate > 0 {
			rate = fmt.Sprintf("%d events a second", o.rate)
		}
		fmt.Fprintf(out, "\n  Sluice demo: open %s\n\n  %s, through an embedded stand-in for Kafka (topic payments).\n  Rules: %s (edit them; they reload). Ctrl-C ends with a summary.\n\n", page.String(), rate, o.rules)
		parts.Go(func() {
			if err := show.produce(running, broker.ListenAddrs(), o); err != nil && running.Err() == nil {
				log.Error("the simulator stopped", "err", err)
			}
		})
		parts.Go(func() { // the stand-in keeps its topics in memory, and tidies up when told
			for pause(running, 10*time.Second) == nil {
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
	show.summary(out)
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
	world    *simulate.World
	now      atomic.Int64 // the world's time, milliseconds since 1970
	mu       sync.Mutex
	truth    map[string]simulate.Truth // of events that are on their way
	tally    simulate.Tally
	events   int
	verdicts [8]int
	took     []time.Duration // of the first million decisions
}

// produce sends the simulated world to the payments topic at its rate.
func (d *demoShow) produce(ctx context.Context, brokers []string, o demoOptions) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("payments"))
	if err != nil {
		return err
	}
	defer client.Close()
	started := time.Now()
	for i := 0; o.events == 0 || i < o.events; i++ {
		if o.rate > 0 {
			due := started.Add(time.Duration(i) * time.Second / time.Duration(o.rate))
			if err := pause(ctx, time.Until(due)); err != nil {
				return err
			}
		}
		for d.waiting() > 5000 { // no faster than the answers: everything here is in memory
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return err
			}
		}
		e := d.world.Next()
		d.now.Store(e.At.UnixMilli())
		d.expect(e.ID, e.Truth)
		client.Produce(ctx, &kgo.Record{Value: e.Body}, nil)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return client.Flush(ctx)
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
			if r.Verdict == engine.Control {
				continue
			}
			d.events++
			d.verdicts[r.Verdict]++
			d.tally.Add(d.truth[r.Event], r.Action)
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
