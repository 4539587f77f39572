package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/internal/api"
)

func backfillCommand() *cobra.Command {
	var server remote
	var wait bool
	c := &cobra.Command{
		Use:   "backfill",
		Short: "Show how far the past of new features is computed",
		Long: "Show how far the running server has come in computing the past of features that a release added\n" +
			"or changed. Until it has, they are missing.",
		Args: cobra.NoArgs,
	}
	server.flags(c)
	c.Flags().BoolVar(&wait, "wait", false, "go on until it is complete")
	load := configured(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if err := server.reach(cfg); err != nil {
			return err
		}
		var bar io.Writer
		if f, ok := c.ErrOrStderr().(*os.File); ok && terminal(f) {
			bar = f
		}
		for {
			b, err := askBackfill(c, &server)
			if err != nil {
				return err
			}
			running := wait && len(b.Features) > 0
			if bar != nil && wait {
				fmt.Fprintf(bar, "\r\x1b[K%s", progressBar(b))
			}
			if !running {
				if bar != nil && wait {
					fmt.Fprint(bar, "\r\x1b[K")
				}
				_, err := fmt.Fprintln(c.OutOrStdout(), sayBackfill(b))
				return err
			}
			select {
			case <-c.Context().Done():
				return c.Context().Err()
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
	return c
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func askBackfill(c *cobra.Command, server *remote) (b api.Backfill, err error) {
	resp, err := server.ask(c.Context(), http.MethodGet, "/v1/backfill", nil)
	if err != nil {
		return b, fmt.Errorf("the server cannot be asked: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return b, err
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		return b, errors.New(server.server + " answered " + resp.Status + ": --api-key-file FILE names a key of scope admin")
	case resp.StatusCode != http.StatusOK:
		return b, errors.New(server.server + " answered " + resp.Status)
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return b, fmt.Errorf("%s: what it answered cannot be read: %w", server.server, err)
	}
	return b, nil
}

// sayBackfill tells in lines how a backfill stands.
func sayBackfill(b api.Backfill) string {
	if len(b.Features) == 0 {
		return "no backfill: every feature has its past"
	}
	lines := []string{fmt.Sprintf("missing: %s (release at position %d)", strings.Join(b.Features, ", "), b.Activation)}
	if len(b.Formulas) > 0 {
		lines = append(lines, "read by: "+strings.Join(b.Formulas, ", "))
	}
	if b.Waits {
		return strings.Join(append(lines, "begins when the remains of the one before are removed"), "\n")
	}
	lines = append(lines, fmt.Sprintf("position %d of %d, from %d: %.1f %%", b.Position, b.Of, b.From, 100*b.Progress))
	if b.Rate > 0 {
		lines = append(lines, fmt.Sprintf("%.0f entries a second, %s left", b.Rate, time.Duration(b.SecondsLeft)*time.Second))
	}
	return strings.Join(lines, "\n")
}

// progressBar is the same in one line for a terminal.
func progressBar(b api.Backfill) string {
	const width = 30
	done := int(b.Progress * width)
	text := fmt.Sprintf("[%s%s] %5.1f %%  %d of %d", strings.Repeat("#", done), strings.Repeat(".", width-done), 100*b.Progress, b.Position, b.Of)
	if b.Rate > 0 {
		text += fmt.Sprintf("  %.0f/s  %s left", b.Rate, time.Duration(b.SecondsLeft)*time.Second)
	}
	return text
}
