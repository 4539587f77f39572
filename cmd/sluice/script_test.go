package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The program from outside: what it prints where, and its exit codes.
func TestScripts(t *testing.T) {
	alone(t)
	rules, err := filepath.Abs(paymentRules)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("RULES", rules)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"replace":  replace,
			"gzip":     compress,
			"concat":   concat,
			"cut":      cut,
			"lines":    lines,
			"secretof": secretOf,
			"copytree": copyAll,
		},
	})
}

// exits N command…: the command ends with exit code N.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want || neg {
		ts.Fatalf("%s = exit %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// replace file old new: the first occurrence, which must be there.
func replace(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	text := ts.ReadFile(path)
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, []byte(strings.Replace(text, args[1], args[2], 1)), 0o600))
}

// gzip from to
func compress(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(errors.Join(err, w.Close(), os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o600)))
}

// concat to from…
func concat(ts *testscript.TestScript, _ bool, args []string) {
	var b strings.Builder
	for _, name := range args[1:] {
		b.WriteString(ts.ReadFile(name))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// cut to from N: the first N bytes.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[1])[:n]), 0o600))
}

// lines to from…: how many there are in all.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for _, name := range args[1:] {
		n += strings.Count(ts.ReadFile(name), "\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strconv.Itoa(n)), 0o600))
}

var token = regexp.MustCompile(`^slc_([a-z0-9]+)_([a-z2-7]+)\n$`)

// secretof stdout SECRET ID: the parts of an API key become variables.
func secretOf(ts *testscript.TestScript, _ bool, args []string) {
	m := token.FindStringSubmatch(ts.ReadFile(args[0]))
	if m == nil {
		ts.Fatalf("%q is no key", ts.ReadFile(args[0]))
	}
	ts.Setenv(args[1], m[2])
	ts.Setenv(args[2], m[1])
}

// copyAll: copytree from to
func copyAll(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: copytree from to")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}
