package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/seal"
	"github.com/sluice-risk/sluice/internal/stream"
	"github.com/sluice-risk/sluice/risk"
)

// mostSealed is the largest payload that a dead letter carries: with what it grows
// by, it stays below what brokers take by default, and the journal.
const mostSealed = 256 << 10

// sealer closes payloads of refused records as the configuration says; nil: they
// are not kept.
func sealer(d config.DeadLetter, log *slog.Logger) (func(risk.Source, []byte) []byte, error) {
	if d.Payload != "encrypted" {
		return nil, nil
	}
	text, err := config.ReadSecret(d.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("dead_letter.key_file: %w", err)
	}
	key, err := seal.ParsePublic(text.Reveal())
	if err != nil {
		return nil, fmt.Errorf("dead_letter.key_file %s: %w", d.KeyFile, err)
	}
	return func(s risk.Source, payload []byte) []byte {
		if len(payload) > mostSealed {
			log.Warn("the dead letter goes without its payload, which is too large", "place", stream.Place(s), "bytes", len(payload), "most", mostSealed)
			return nil
		}
		sealed, err := key.Seal(stream.Place(s), payload)
		if err != nil {
			log.Error("the dead letter goes without its payload, which cannot be sealed", "place", stream.Place(s), "err", err)
			return nil
		}
		return sealed
	}, nil
}

// letter is one dead letter where it lies.
type letter struct {
	stream.DeadLetter
	offset int64
}

// letterFilter picks dead letters.
type letterFilter struct {
	reason, topic, since string
	from                 int64
	limit                int

	after time.Time
}

func (f *letterFilter) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.reason, "reason", "", "only dead letters of this reason, such as invalid_event, unmapped, conflict")
	flags.StringVar(&f.topic, "topic", "", "only records of this source topic")
	flags.StringVar(&f.since, "since", "", "only those refused since a time (RFC 3339), or for so long, such as 24h or 7d")
	flags.Int64Var(&f.from, "from-offset", 0, "first offset in the topic of dead letters, in each partition")
	flags.IntVar(&f.limit, "limit", 0, "at most so many; 0: all")
}

func (f *letterFilter) parse(now time.Time) error {
	if f.since != "" {
		if d, err := config.ParseDuration(f.since); err == nil {
			f.after = now.Add(-d)
		} else if f.after, err = time.Parse(time.RFC3339, f.since); err != nil {
			return &exitError{exitUsage, fmt.Errorf("--since %s: neither an RFC 3339 time nor a duration", f.since)}
		}
	}
	if f.from < 0 || f.limit < 0 {
		return &exitError{exitUsage, errors.New("--from-offset and --limit must not be negative")}
	}
	return nil
}

// errEnough ends reading early.
var errEnough = errors.New("enough")

// read gives the dead letters that pass, in the order of their topic.
func (f *letterFilter) read(ctx context.Context, cfg *config.Config, log *slog.Logger, each func(letter) error) error {
	if !cfg.Kafka.Enabled() || cfg.Outputs.DeadLetter == "" {
		return &exitError{exitUsage, errors.New("kafka.brokers and outputs.dead_letter say where dead letters are: give --config FILE")}
	}
	brokers, err := stream.Reach(cfg.Kafka, "sluice-cli", log)
	if err != nil {
		return err
	}
	n := 0
	err = brokers.Read(ctx, cfg.Outputs.DeadLetter, f.from, func(r *kgo.Record) error {
		l := letter{offset: r.Offset}
		if err := json.Unmarshal(r.Value, &l.DeadLetter); err != nil || l.Source.IsZero() {
			log.Warn("no dead letter: left out", "topic", r.Topic, "partition", r.Partition, "offset", r.Offset)
			return nil
		}
		if f.reason != "" && l.Reason != f.reason || f.topic != "" && l.Source.Topic != f.topic || l.At.Time().Before(f.after) {
			return nil
		}
		if err := each(l); err != nil {
			return err
		}
		if n++; n == f.limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func deadLetterCommand() *cobra.Command {
	c := &cobra.Command{Use: "dead-letter", Short: "List dead letters, and open what is sealed in them"}
	c.AddCommand(listLetters(), openLetter(), generateKeys())
	group(c)
	return c
}

func listLetters() *cobra.Command {
	var f letterFilter
	var asJSON bool
	c := &cobra.Command{Use: "list", Short: "List records that could not be taken", Args: cobra.NoArgs}
	load := configured(c)
	f.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line, as it lies in the topic")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load()
		if err == nil {
			err = f.parse(time.Now())
		}
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		if !asJSON {
			fmt.Fprintln(w, "PLACE\tREASON\tREFUSED\tTENANT\tPAYLOAD\tDETAIL")
		}
		err = f.read(c.Context(), cfg, cfg.Log.Logger(c.ErrOrStderr()), func(l letter) error {
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(l.DeadLetter)
			}
			payload := "none"
			if len(l.Payload) > 0 {
				payload = "sealed"
			}
			_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", stream.Place(l.Source), l.Reason, l.At, l.Tenant, payload, l.Detail)
			return err
		})
		return errors.Join(err, w.Flush())
	}
	return c
}

func openLetter() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "open TOPIC/PARTITION/OFFSET",
		Short: "Write the sealed payload of a dead letter to standard output",
		Args:  cobra.ExactArgs(1),
	}
	load := configured(c)
	c.Flags().StringVar(&key, "key", "", "file of the private key")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if key == "" {
			return &exitError{exitUsage, errors.New("--key FILE: name the file of the private key")}
		}
		text, err := config.ReadSecret(key)
		if err != nil {
			return err
		}
		private, err := seal.ParsePrivate(text.Reveal())
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		var found *letter
		err = new(letterFilter).read(c.Context(), cfg, cfg.Log.Logger(c.ErrOrStderr()), func(l letter) error {
			if stream.Place(l.Source) == args[0] {
				found = &l
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case found == nil:
			return fmt.Errorf("no dead letter of %s", args[0])
		case len(found.Payload) == 0:
			return fmt.Errorf("the dead letter of %s carries no payload", args[0])
		}
		payload, err := private.Open(args[0], found.Payload)
		if err != nil {
			return err
		}
		_, err = c.OutOrStdout().Write(payload)
		return err
	}
	return c
}

func generateKeys() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen PRIVATE",
		Short: "Make the pair of keys for dead_letter.payload: encrypted",
		Long: `Make the pair of keys for dead_letter.payload: encrypted. The private key goes into
the new file PRIVATE, which only its owner can read and which the server does not need;
the public one, for dead_letter.key_file, to standard output.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			private, err := seal.Generate()
			if err != nil {
				return err
			}
			text, err := private.Reveal()
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = f.WriteString(text + "\n")
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), private.Public())
			fmt.Fprintf(c.ErrOrStderr(), "the private key is in %s: whoever has it reads the payloads, and without it nobody does\n", args[0])
			return nil
		},
	}
}
