// Command sluice decides payments: allow, review or block, with evidence.
//
// This package is wiring: flags, files, exit codes, and the order in which the
// parts start and stop. [run] is the program; main only hands it the process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/internal/lists"
	"github.com/sluice-risk/sluice/internal/mapping"
	"github.com/sluice-risk/sluice/replay"
	"github.com/sluice-risk/sluice/rules"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300) // a small live heap and much garbage: memory for a sixth of the CPU time
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitInvalidRules = 3
	exitTestsFailed  = 4
)

// exitError carries an exit code. Its message, when there is one, has not been
// printed yet.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// invalid is what a ruleset with mistakes ends in: they are shown where they
// stand, and the exit code says so.
func invalid(w io.Writer, files diag.Files, err error) error {
	if list, ok := errors.AsType[diag.List](err); ok {
		diag.Render(w, list, files)
		n := 0
		for _, d := range list {
			if !d.Warning {
				n++
			}
		}
		count := "1 mistake"
		if n != 1 {
			count = fmt.Sprintf("%d mistakes", n)
		}
		return &exitError{code: exitInvalidRules, err: fmt.Errorf("%s in the ruleset", count)}
	}
	return &exitError{code: exitInvalidRules, err: err}
}

func run(ctx context.Context, args []string, in io.Reader, out, talk io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(talk)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
	} else if strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		code = exitUsage
	}
	fmt.Fprintln(talk, "sluice:", err)
	return code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "sluice",
		Short:         "Real-time fraud and AML risk control",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	root.AddCommand(serveCommand(), demoCommand(), checkCommand(), testCommand(), explainCommand(), replayCommand(), doctorCommand(),
		deadLetterCommand(), backfillCommand(), simulateCommand(), keysCommand(), configCommand(), versionCommand())
	group(root)
	usage(root)
	root.InitDefaultHelpCmd()
	explainCodes(root)
	return root
}

// group makes a command that is only a name for others refuse one that it has not.
func group(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "; did you mean " + near[0] + "?"
		}
		return fmt.Errorf("unknown command %q for %q%s", args[0], c.CommandPath(), hint)
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

// explainCodes lets `sluice help E012` explain the code of a mistake.
func explainCodes(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		topic := c.Run
		c.Run = func(c *cobra.Command, args []string) {
			if len(args) == 1 {
				for _, codes := range [][]diag.Code{diag.Codes, expression.Codes, features.Codes, rules.Codes, lists.Codes, mapping.Codes, replay.Codes} {
					for _, code := range codes {
						if strings.EqualFold(code.ID, args[0]) {
							fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", code.ID, code.Explain)
							return
						}
					}
				}
			}
			topic(c, args)
		}
	}
}

// usage makes wrong arguments a usage error.
func usage(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return &exitError{exitUsage, err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usage(sub)
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "sluice", version) },
	}
}
