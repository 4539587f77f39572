package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/api"
	"github.com/sluice-risk/sluice/internal/atomicfile"
	"github.com/sluice-risk/sluice/internal/auth"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/featurelog"
	"github.com/sluice-risk/sluice/internal/stream"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Decide payments from Kafka and HTTP until stopped",
		Args:  cobra.NoArgs,
	}
	load := configured(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		log := cfg.Log.Logger(c.ErrOrStderr())
		keys, err := auth.Open(cfg.KeysFile, log)
		if err != nil {
			return err
		}
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(memoryLimit(cfg))
		}
		n, err := open(cfg, keys, log, time.Now)
		if err != nil {
			return err
		}
		return n.run(c.Context(), nil)
	}
	return c
}

// memoryLimit is what the heap may grow to before garbage is collected sooner: the
// collector waits until it is four times what is alive, which for two gigabytes of
// entities are eight.
func memoryLimit(cfg *config.Config) int64 { return 2*int64(cfg.State.Memory) + 1<<30 }

// node is one running engine with its transports.
type node struct {
	cfg      *config.Config
	log      *slog.Logger
	keys     *auth.Keys // nil: the listener asks for none
	registry *prometheus.Registry
	tables   *enrich.Tables
	cell     *engine.Cell
	releases *releases
	stream   *stream.Stream  // nil without Kafka
	features *featurelog.Log // nil without a directory for it
	server   *api.Server
	listener net.Listener
}

// open opens everything that can fail before anything is served. now tells when
// events arrive.
func open(cfg *config.Config, keys *auth.Keys, log *slog.Logger, now func() time.Time) (_ *node, err error) {
	n := &node{cfg: cfg, log: log, keys: keys, registry: prometheus.NewRegistry()}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	sources, err := sourcesOf(cfg)
	if err != nil {
		return n, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return n, err
	}
	decoder, err := newDecoder(cfg)
	if err != nil {
		return n, err
	}
	if n.tables, err = enrich.New(enrich.Options{Files: tableFiles(cfg)}); err != nil {
		return n, err
	}
	n.registry.MustRegister(n.tables)
	sealed, err := sealer(cfg.DeadLetter, log)
	if err != nil {
		return n, err
	}
	n.cell, err = engine.Open(cfg.DataDir, engine.Options{
		Tables: n.tables, Decoder: decoder, Tenant: cfg.Tenant, Cell: cfg.Cell,
		BatchEvents: cfg.Limits.BatchEvents, Inflight: cfg.Limits.InFlight,
		CheckpointEvery: cfg.Checkpoint.Every, CheckpointEvents: cfg.Checkpoint.Events,
		LockWait:    5 * time.Second,
		StateMemory: int64(cfg.State.Memory), BackfillShare: float64(cfg.Backfill.CPUPercent) / 100,
		RetainDecisions: cfg.Decisions.Retain, RetainJournal: cfg.Journal.Retain, RetainBytes: int64(cfg.Journal.RetainBytes),
		JournalDir: cfg.Journal.Dir, DiskReserve: int64(cfg.Disk.Reserve), DiskBallast: int64(cmp.Or(cfg.Disk.Ballast, -1)), // 0: none
		Store: store.Options{Logger: log}, Log: log, Register: n.registry, Now: now, Seal: sealed,
	})
	if err != nil {
		return n, err
	}
	n.releases = newReleases(cfg, n.cell, n.tables, log, n.registry)
	if cfg.Kafka.Enabled() {
		if n.stream, err = newStream(cfg, sources, n.cell, log, n.registry); err != nil {
			return n, err
		}
	}
	checks := []api.Check{{Name: "ruleset", Ask: n.releases.check, Told: true}, {Name: "checkpoint", Ask: n.storage}}
	if n.stream != nil {
		checks = append(checks, api.Check{Name: "kafka", Ask: n.stream.Check, Told: true})
	}
	if f := cfg.FeatureLog; f.Dir != "" {
		n.features = featurelog.New(n.cell, featurelog.Options{Dir: f.Dir, Format: featurelog.FormatOf("." + f.Format), Bytes: int64(f.Bytes), Every: f.Every,
			Program: version, Log: log, Register: n.registry})
		checks = append(checks, api.Check{Name: "feature_log", Ask: n.features.Check, Told: true})
	}
	o := api.Options{Keys: keys, Tenant: cfg.Tenant, Limits: api.Limits{BodyBytes: int(cfg.Limits.BodyBytes), Drain: cfg.Limits.Drain},
		Checks: checks, Release: n.releases.State, Register: n.registry, Gatherer: n.registry, MetricsApart: cfg.MetricsListen != "", Version: version, Log: log}
	if n.stream != nil && len(cfg.Sources) > 0 {
		o.Replay = reread(n.stream)
	}
	if n.server, err = api.New(n.cell, o); err != nil {
		return n, err
	}
	n.listener, err = listen(cfg)
	return n, err
}

// listen opens the HTTP listener, with TLS where a certificate is configured.
func listen(cfg *config.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil || cfg.TLS.CertFile == "" {
		return l, err
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLS.CertFile, cfg.TLS.KeyFile)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tls: %w", err), l.Close())
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}), nil
}

// run serves until ctx is done, then drains: no new requests and records, what is
// in flight is answered, what is durable is published and stored. ready is called
// when a release is active.
func (n *node) run(ctx context.Context, ready func()) error {
	if n.stream != nil { // before anything is accepted: see Claim
		if err := n.stream.Claim(ctx); err != nil {
			return errors.Join(err, n.close())
		}
	}
	cell, stopCell := context.WithCancel(context.WithoutCancel(ctx))
	defer stopCell()
	walk := make(chan error, 1)
	go func() { walk <- n.cell.Run(cell) }()

	outside, ctx := errgroup.WithContext(ctx)
	outside.Go(func() error { // a cell that fails takes the process with it
		select {
		case err := <-walk:
			walk <- err
			return errors.Join(errors.New("the engine stopped"), err)
		case <-ctx.Done():
			return nil
		}
	})
	outside.Go(func() error {
		if err := n.releases.load(ctx); err != nil {
			if n.cell.Bundle() == nil {
				return invalid(os.Stderr, nil, fmt.Errorf("no release to begin with: %s", n.releases.State().Problem))
			}
			n.log.Error("ruleset not loaded; the release before it goes on", "dir", n.cfg.Rulesets, "err", err)
		}
		n.log.Info("serving", "listen", n.listener.Addr().String(), "data", n.cfg.DataDir)
		if ready != nil {
			ready()
		}
		if n.stream != nil {
			outside.Go(func() error { return n.stream.Run(ctx) })
		}
		if n.features != nil {
			outside.Go(func() error { return n.features.Run(ctx) })
		}
		return n.releases.watch(ctx)
	})
	outside.Go(func() error { return n.server.Serve(ctx, n.listener) })
	outside.Go(func() error { watchTables(ctx, n.tables, n.log); return nil })
	if n.keys != nil {
		outside.Go(func() error { n.keys.Watch(ctx); return nil })
	}
	if n.cfg.MetricsListen != "" {
		outside.Go(func() error {
			l, err := net.Listen("tcp", n.cfg.MetricsListen)
			if err != nil {
				return err
			}
			return n.server.ServeMetrics(ctx, l)
		})
	}
	err := outside.Wait()
	stopCell()
	return errors.Join(err, <-walk, n.close())
}

func (n *node) close() error {
	if n.cell == nil {
		return nil
	}
	return n.cell.Close()
}

func (n *node) storage() (bool, string) {
	s := n.cell.Status()
	if s.ReadOnly != "" {
		return false, s.ReadOnly
	}
	return true, fmt.Sprintf("position %d durable, %d stored", s.Durable, s.Stored)
}

// newDecoder reads the keys under which identifiers and card numbers are replaced.
func newDecoder(cfg *config.Config) (*risk.Decoder, error) {
	master, err := masterKey(cfg)
	if err != nil {
		return nil, err
	}
	d := &risk.Decoder{Secrets: risk.NewSecrets(master), MaxBytes: int(cfg.Limits.BodyBytes)}
	return d, takeCards(d, cfg)
}

// takeCards has the decoder replace card numbers, if the configuration says so.
func takeCards(d *risk.Decoder, cfg *config.Config) error {
	if cfg.PAN.Mode != "hmac" {
		return nil
	}
	key, err := config.ReadSecret(cfg.PAN.KeyFile)
	if err != nil {
		return err
	}
	d.PAN = risk.PANToken
	d.Secrets = d.Secrets.WithCardKey([]byte(key.Reveal()))
	return nil
}

// masterKey reads the cell's 32 secret bytes, and makes them at the first start.
// Whoever backs the journal up needs this file too: under another key no event,
// card or person of the journal would be known again.
func masterKey(cfg *config.Config) (key [32]byte, err error) {
	path := filepath.Join(cfg.DataDir, "secret.key")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		for _, dir := range []string{cmp.Or(cfg.Journal.Dir, filepath.Join(cfg.DataDir, "journal")), filepath.Join(cfg.DataDir, "state")} {
			if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
				return key, fmt.Errorf("%s is missing and %s is not empty: restore the key file that belongs to it; under a new one nothing in it would be known again", path, dir)
			}
		}
		rand.Read(key[:])
		return key, atomicfile.Write(path, key[:])
	}
	if err == nil && len(b) != len(key) {
		err = fmt.Errorf("%s holds %d bytes, not %d: restore it", path, len(b), len(key))
	}
	copy(key[:], b)
	return key, err
}
