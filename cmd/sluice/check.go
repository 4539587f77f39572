package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/replay"
	"github.com/sluice-risk/sluice/risk"
)

func checkCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check DIR",
		Short: "Read and type-check a ruleset; show every mistake",
		Args:  cobra.ExactArgs(1),
	}
	load := configured(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		b, err := readRelease(args[0], c.ErrOrStderr())
		if err != nil {
			return err
		}
		diag.Render(c.ErrOrStderr(), b.Rules.Warnings(), b.Files)
		tellNeeded(c.ErrOrStderr(), b.Rules, cfg)
		fmt.Fprintln(c.OutOrStdout(), summary(b))
		return nil
	}
	return c
}

func testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test DIR",
		Short: "Run a ruleset's own tests",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := readRelease(args[0], c.ErrOrStderr())
			if err != nil {
				return err
			}
			passed, failed, err := testRelease(b, c.ErrOrStderr())
			if err != nil {
				return invalid(c.ErrOrStderr(), b.Files, err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%d passed, %d failed\n", passed, failed)
			if failed > 0 {
				return &exitError{exitTestsFailed, fmt.Errorf("%d of %d tests failed", failed, passed+failed)}
			}
			return nil
		},
	}
}

// readRelease reads and builds a ruleset directory; mistakes are shown on talk.
func readRelease(dir string, talk io.Writer) (*engine.Bundle, error) {
	files, err := diag.ReadDir(dir)
	if err != nil {
		switch info, e := os.Stat(dir); {
		case errors.Is(e, fs.ErrNotExist):
			err = fmt.Errorf("there is no directory %s", dir)
		case e == nil && !info.IsDir():
			err = fmt.Errorf("%s is a file; a ruleset is a directory", dir)
		}
		return nil, &exitError{exitInvalidRules, err}
	}
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		return nil, err
	}
	b, err := engine.Build(files, tables)
	if err != nil {
		return nil, invalid(talk, files, err)
	}
	return b, nil
}

// testRelease runs a release's tests and shows what failed, with its place. What the
// operator's tables say today decides no test: they run without them.
func testRelease(b *engine.Bundle, talk io.Writer) (passed, failed int, err error) {
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		return 0, 0, err
	}
	if b, err = b.With(tables); err != nil {
		return 0, 0, err
	}
	results, err := replay.Test(b, plainDecoder(), tables)
	if err != nil {
		return 0, 0, err
	}
	for _, r := range results {
		if len(r.Faults) == 0 {
			passed++
			continue
		}
		failed++
		fmt.Fprintf(talk, "--- FAIL: %s\n", r.Name)
		diag.Render(talk, r.Faults, b.Files)
	}
	return passed, failed, nil
}

// plainDecoder decodes for replays and tests. Pseudonyms need only be consistent
// within one run there, so its key is no secret.
func plainDecoder() *risk.Decoder { return &risk.Decoder{Secrets: risk.NewSecrets([32]byte{})} }

func summary(b *engine.Bundle) string {
	return fmt.Sprintf("ruleset ok: %s, %d rules, %d features, %d scenarios, %.12s",
		b.Rules.Name, len(b.Rules.Rules()), len(b.Rules.Features.Names()), len(b.Rules.Scenarios()), b.SHA256)
}
