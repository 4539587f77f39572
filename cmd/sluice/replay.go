package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/featurelog"
	"github.com/sluice-risk/sluice/replay"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

func replayCommand() *cobra.Command {
	var f struct {
		rules, events, journal, blobs, from, to, decisions, features, tenant string
		batch                                                                int
	}
	var letters letterReplay
	var load func() (*config.Config, error)
	c := &cobra.Command{
		Use:   "replay (--rules DIR --events FILE|- | --journal DIR [--rules DIR] | --dead-letter)",
		Short: "Run past events through the live code, or have refused records read again",
		Long: `Run past events through the live code, or have refused records read again.

With --events, JSON lines (plain, gzip or zstd) are decided under --rules. With
--journal, a journal is decided again: under the releases it activated, which also
proves that the decisions are the ones made then, or under --rules throughout.

With --dead-letter, the running server is asked to read the records of dead letters
again at their places in the source topics. What was taken before stays as it is.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, name := range letterFlags {
				if !letters.on && c.Flags().Changed(name) {
					return &exitError{exitUsage, fmt.Errorf("--%s needs --dead-letter", name)}
				}
			}
			if letters.on {
				for _, name := range pastFlags {
					if c.Flags().Changed(name) {
						return &exitError{exitUsage, fmt.Errorf("--%s does not go with --dead-letter", name)}
					}
				}
				cfg, err := load()
				if err != nil {
					return err
				}
				return letters.run(c, cfg)
			}
			switch {
			case (f.events == "") == (f.journal == ""):
				return &exitError{exitUsage, errors.New("give --events, --journal or --dead-letter, one of them")}
			case f.events != "" && f.rules == "":
				return &exitError{exitUsage, errors.New("--events needs --rules")}
			case f.journal != "" && (c.Flags().Changed("config") || c.Flags().Changed("set")):
				return &exitError{exitUsage, errors.New("--config and --set do not go with --journal, which has the facts of its events")}
			case f.decisions != "" && f.decisions == f.features:
				return &exitError{exitUsage, fmt.Errorf("--decisions and --features both write to %s", f.features)}
			case f.batch < 1:
				return &exitError{exitUsage, fmt.Errorf("--batch %d: must be 1 or more", f.batch)}
			}
			o := replay.Options{Tenant: f.tenant, Batch: f.batch, Decoder: plainDecoder()}
			var err error
			if o.From, err = replay.ParseBound(f.from); err != nil {
				return &exitError{exitUsage, err}
			}
			if o.To, err = replay.ParseBound(f.to); err != nil {
				return &exitError{exitUsage, err}
			}
			if to := o.To; to.Position != 0 && to.Position < o.From.Position || to.Time != 0 && to.Time < o.From.Time {
				return &exitError{exitUsage, fmt.Errorf("--to %s is before --from %s", f.to, f.from)}
			}
			var files enrich.Files // a journal has the facts of its events
			if f.events != "" {
				cfg, err := load()
				if err != nil {
					return err
				}
				files = tableFiles(cfg)
				if err := takeCards(o.Decoder, cfg); err != nil {
					return err
				}
			}
			if o.Tables, err = enrich.New(enrich.Options{Files: files}); err != nil {
				return err
			}
			if f.rules != "" {
				if o.Bundle, err = readRelease(f.rules, c.ErrOrStderr()); err != nil {
					return err
				}
				if o.Bundle, err = o.Bundle.With(o.Tables); err != nil {
					return err
				}
			}
			o.Refused = func(line int, err error) {
				fmt.Fprintf(c.ErrOrStderr(), "line %d refused: %v\n", line, err)
			}
			var outputs outputs
			o.Decisions = outputs.create(f.decisions, c.OutOrStdout())
			if w := outputs.create(f.features, c.OutOrStdout()); w != nil {
				o.Features = featurelog.NewFile(w, featurelog.FormatOf(f.features), version)
			}
			if outputs.err != nil {
				return outputs.err
			}
			sum, err := runReplay(c, o, f.events, f.journal, f.blobs)
			if err = errors.Join(err, outputs.close()); err != nil {
				return err
			}
			if f.features != "" && f.features != "-" && featurelog.FormatOf(f.features) == featurelog.CSV {
				beside, err := o.Features.Companion()
				if err = errors.Join(err, os.WriteFile(f.features+".json", beside, 0o644)); err != nil {
					return err
				}
			}
			report(c.ErrOrStderr(), sum)
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.rules, "rules", "", "ruleset directory that decides throughout")
	flags.StringVar(&f.events, "events", "", "events as JSON lines; - is standard input")
	flags.StringVar(&f.journal, "journal", "", "journal directory, or a data directory that holds one")
	flags.StringVar(&f.blobs, "blobs", "", "releases of the journal (default: blobs beside it)")
	flags.StringVar(&f.from, "from", "", "first position or RFC 3339 time that is written")
	flags.StringVar(&f.to, "to", "", "last position or time that is written")
	flags.StringVar(&f.decisions, "decisions", "", "write decision bodies, one a line; - is standard output")
	flags.StringVar(&f.features, "features", "", "write feature values, as Parquet to FILE.parquet, else as CSV; - is standard output")
	flags.StringVar(&f.tenant, "tenant", "default", "tenant of --events")
	flags.IntVar(&f.batch, "batch", 512, "events a batch; changes no result")
	load = configured(c)
	letters.flags(c)
	return c
}

// A flag belongs to one of the two things that replay does; the configuration's to both.
var (
	pastFlags   = []string{"rules", "events", "journal", "blobs", "from", "to", "decisions", "features", "tenant", "batch"}
	letterFlags = []string{"reason", "topic", "since", "from-offset", "limit", "dry-run", "server", "api-key-file", "server-ca"}
)

func runReplay(c *cobra.Command, o replay.Options, events, dir, blobs string) (replay.Summary, error) {
	if events != "" {
		in := c.InOrStdin()
		if events != "-" {
			file, err := os.Open(events)
			if err != nil {
				return replay.Summary{}, err
			}
			defer file.Close()
			in = file
		}
		return replay.New(o).Events(c.Context(), in)
	}
	if sub := filepath.Join(dir, "journal"); isDir(sub) {
		dir = sub
	}
	o.Blobs = engine.Blobs(cmp.Or(blobs, filepath.Join(filepath.Dir(dir), "blobs")))
	log, err := journal.OpenReadOnly(dir)
	if err != nil {
		return replay.Summary{}, err
	}
	defer log.Close()
	return replay.New(o).Journal(c.Context(), log)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func report(w io.Writer, s replay.Summary) {
	fmt.Fprintf(w, "%d events, %d decisions: %d allow, %d review, %d block; %d refused, %d duplicates, %d conflicts; %s, %.0f events/s; digest %x\n",
		s.Events, s.Decisions, s.Actions[risk.Allow], s.Actions[risk.Review], s.Actions[risk.Block],
		s.Refused, s.Duplicates, s.Conflicts, s.Took.Round(1e6), float64(s.Events)/s.Took.Seconds(), s.Digest[:8])
}

// outputs are the files a command writes; "-" is standard output.
type outputs struct {
	files   []*os.File
	buffers []*bufio.Writer
	err     error
}

func (o *outputs) create(name string, std io.Writer) io.Writer {
	if name == "" || o.err != nil {
		return nil
	}
	w := std
	if name != "-" {
		var file *os.File
		if file, o.err = os.Create(name); o.err != nil {
			return nil
		}
		o.files = append(o.files, file)
		w = file
	}
	b := bufio.NewWriterSize(w, 1<<16)
	o.buffers = append(o.buffers, b)
	return b
}

func (o *outputs) close() (err error) {
	for _, b := range o.buffers {
		err = errors.Join(err, b.Flush())
	}
	for _, f := range o.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
