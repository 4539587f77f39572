package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/internal/doctor"
)

func doctorCommand() *cobra.Command {
	var f struct {
		output, server, key, ca string
		whole                   bool
	}
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look at data directory, disk, clock, ruleset, tables, brokers and server",
		Long: `Look at data directory, disk, clock, ruleset, tables, brokers and server.

Each line says ok, warning or problem, and what to do. Without a server the journal
and the store are opened and compared; with one, it is asked. Exit code 1 when there
is a problem.`,
		Args: cobra.NoArgs,
	}
	load := configured(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if f.output != "text" && f.output != "json" {
			return &exitError{exitUsage, fmt.Errorf("--output %s: want text or json", f.output)}
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		o := doctor.Options{Config: cfg, Tables: tableFiles(cfg), Server: f.server, Whole: f.whole}
		if f.key != "" {
			b, err := os.ReadFile(f.key)
			if err != nil {
				return err
			}
			o.Key = strings.TrimSpace(string(b))
		}
		if f.ca != "" {
			if o.CA, err = os.ReadFile(f.ca); err != nil {
				return err
			}
		}
		findings := doctor.Examine(c.Context(), o)
		if f.output == "json" {
			err = examinedJSON(c.OutOrStdout(), findings)
		} else {
			examined(c.OutOrStdout(), findings)
		}
		if n := counted(findings)[doctor.Problem]; err == nil && n > 0 {
			err = &exitError{exitFailed, fmt.Errorf("doctor: %d to mend", n)}
		}
		return err
	}
	flags := c.Flags()
	flags.StringVar(&f.output, "output", "text", "text or json")
	flags.BoolVar(&f.whole, "whole", false, "read every byte of the journal, which takes its time")
	flags.StringVar(&f.server, "server", "", "address of the server (default: listen of the configuration)")
	flags.StringVar(&f.key, "api-key-file", "", "API key of scope admin, to read the server's metrics")
	flags.StringVar(&f.ca, "server-ca", "", "certificate authorities of the server, PEM (default: those of the system)")
	return c
}

func counted(findings []doctor.Finding) (n [4]int) {
	for _, f := range findings {
		n[f.Level]++
	}
	return n
}

func examined(w io.Writer, findings []doctor.Finding) {
	for _, f := range findings {
		level, check := f.Level.String(), f.Check
		for line := range strings.Lines(f.Detail) { // of a table each fault is one
			fmt.Fprintf(w, "%-7s  %-18s  %s\n", level, check, strings.TrimSuffix(line, "\n"))
			level, check = "", ""
		}
		if f.Do != "" {
			fmt.Fprintf(w, "%-7s  %-18s  -> %s\n", "", "", f.Do)
		}
	}
	n := counted(findings)
	fmt.Fprintf(w, "%d ok, %d to watch, %d to mend\n", n[doctor.OK], n[doctor.Warning], n[doctor.Problem])
}

func examinedJSON(w io.Writer, findings []doctor.Finding) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		OK       bool             `json:"ok"`
		Findings []doctor.Finding `json:"findings"`
	}{counted(findings)[doctor.Problem] == 0, findings})
}
