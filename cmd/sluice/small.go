package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/internal/auth"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/simulate"
)

func simulateCommand() *cobra.Command {
	var (
		o      simulate.Options
		events int
		out    string
	)
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Write simulated payments, with fraud planted among them",
		Long: `Write simulated payments, with fraud planted among them, as JSON lines. The same
seed gives the same bytes. What each event really is goes into FILE.truth.jsonl.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if out == "-" {
				return simulate.Write(c.OutOrStdout(), nil, o, events)
			}
			file, err := os.Create(out)
			if err != nil {
				return err
			}
			defer file.Close()
			truth, err := os.Create(out + ".truth.jsonl")
			if err != nil {
				return err
			}
			defer truth.Close()
			return errors.Join(simulate.Write(file, truth, o, events), file.Close(), truth.Close())
		},
	}
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "seed of the world")
	c.Flags().DurationVar(&o.Gap, "gap", 2*time.Second, "mean event time between two events")
	c.Flags().IntVar(&events, "events", 100_000, "how many")
	c.Flags().StringVar(&out, "out", "events.jsonl", "file to write; - is standard output, without the truth")
	return c
}

// configured adds the flags that every command with a configuration has.
func configured(c *cobra.Command) func() (*config.Config, error) {
	var file string
	var set []string
	c.Flags().StringVar(&file, "config", "", "configuration file (default: $"+config.EnvFile+", else none)")
	c.Flags().StringArrayVar(&set, "set", nil, "key=value of the configuration, over file and environment")
	return func() (*config.Config, error) {
		flags, err := settings(set)
		if err != nil {
			return nil, err
		}
		cfg, err := config.Load(config.Input{File: file, Env: os.Environ(), Flags: flags})
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		return cfg, nil
	}
}

// settings takes --set flags apart.
func settings(set []string) (map[string]string, error) {
	flags := map[string]string{}
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, &exitError{exitUsage, fmt.Errorf("--set %s: want key=value", s)}
		}
		flags[key] = value
	}
	return flags, nil
}

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show each value of the configuration and where it came from",
		Args:  cobra.NoArgs,
	}
	load := configured(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		for _, o := range cfg.Origins() {
			fmt.Fprintf(w, "%s\t%s\t%s\n", o.Key, o.Value, o.Place)
		}
		return w.Flush()
	}
	return c
}

func keysCommand() *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "Create, list and revoke API keys"}

	create := &cobra.Command{Use: "create", Short: "Create a key and print it, once", Args: cobra.NoArgs}
	load := configured(create)
	var tenant, scopes, note string
	var expires time.Duration
	create.Flags().StringVar(&tenant, "tenant", "", "tenant the key speaks for (default: the configured one)")
	create.Flags().StringVar(&scopes, "scopes", "decide", "comma-separated: decide, evidence, admin")
	create.Flags().StringVar(&note, "note", "", "who uses it")
	create.Flags().DurationVar(&expires, "expires", 0, "lifetime; 0 never expires")
	create.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if expires < 0 {
			return &exitError{exitUsage, fmt.Errorf("--expires %s: must not be negative", expires)}
		}
		spec := auth.Spec{Tenant: tenant, Note: note}
		if spec.Tenant == "" {
			spec.Tenant = cfg.Tenant
		}
		if spec.Scopes, err = auth.ParseScopes(scopes); err != nil {
			return &exitError{exitUsage, err}
		}
		if expires > 0 {
			spec.Expires = time.Now().Add(expires)
		}
		token, key, err := auth.Create(cfg.KeysFile, spec)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.OutOrStdout(), token.Reveal())
		fmt.Fprintf(c.ErrOrStderr(), "key %s of tenant %s; it is shown only this once\n", key.ID, key.Tenant)
		return nil
	}

	revoke := &cobra.Command{Use: "revoke ID", Short: "Revoke a key", Args: cobra.ExactArgs(1)}
	loadRevoke := configured(revoke)
	revoke.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := loadRevoke()
		if err != nil {
			return err
		}
		return auth.Revoke(cfg.KeysFile, args[0])
	}

	list := &cobra.Command{Use: "list", Short: "List keys", Args: cobra.NoArgs}
	loadList := configured(list)
	list.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadList()
		if err != nil {
			return err
		}
		all, err := auth.List(cfg.KeysFile)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tTENANT\tSCOPES\tSTATUS\tCREATED\tNOTE")
		for _, k := range all {
			fmt.Fprintf(w, "%s\t%s\t%v\t%s\t%s\t%s\n", k.ID, k.Tenant, k.Scopes, k.Status(time.Now()), k.Created.Format(time.DateOnly), k.Note)
		}
		return w.Flush()
	}
	keys.AddCommand(create, revoke, list)
	group(keys)
	return keys
}
