package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docs/cli.md names every command and every flag.
func TestCommandsAreDocumented(t *testing.T) {
	text := page(t, "docs/cli.md")
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Runnable() && !strings.Contains(text, "`"+c.CommandPath()) {
			t.Errorf("docs/cli.md lacks %s", c.CommandPath())
		}
		for _, m := range regexp.MustCompile(`(?m)^ .*?--([a-z-]+)`).FindAllStringSubmatch(c.LocalFlags().FlagUsages(), -1) {
			if !regexp.MustCompile("`--" + m[1] + "[` ]").MatchString(text) {
				t.Errorf("docs/cli.md lacks --%s of %s", m[1], c.CommandPath())
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand())
}

// The ruleset of docs/rules.md passes the tests that stand there.
func TestRulesPage(t *testing.T) {
	dir := t.TempDir()
	blocks := regexp.MustCompile("(?s)```yaml\n(# (\\S+)\n.*?)```").FindAllStringSubmatch(page(t, "docs/rules.md"), -1)
	for _, m := range append(blocks, []string{"", "value,note\nKP,\n", "lists/embargoed.csv"}) {
		path := filepath.Join(dir, m[2])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(m[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, talk bytes.Buffer
	if code := run(t.Context(), []string{"test", dir}, nil, &out, &talk); code != exitOK || !strings.HasPrefix(out.String(), "2 passed") {
		t.Errorf("exit %d: %s%s", code, &out, &talk)
	}
}

// The ruleset of README.md passes its test, and its typo is shown as printed there.
func TestReadmeRuleset(t *testing.T) {
	text := page(t, "README.md")
	dir := t.TempDir()
	files := regexp.MustCompile("(?s)```yaml\n# (\\S+)\n.*?```").FindAllStringSubmatch(text, -1)
	for _, m := range files {
		content := strings.TrimSuffix(strings.TrimPrefix(m[0], "```yaml\n"), "```")
		path := filepath.Join(dir, m[1])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sluice := func(want int, args ...string) (out, talk string) {
		t.Helper()
		var o, e bytes.Buffer
		if got := run(t.Context(), args, nil, &o, &e); got != want {
			t.Fatalf("sluice %v = exit %d, want %d: %s%s", args, got, want, &o, &e)
		}
		return o.String(), e.String()
	}
	checked, _ := sluice(exitOK, "check", dir)
	tested, _ := sluice(exitOK, "test", dir)
	for _, line := range []string{checked[:strings.LastIndex(checked, ", ")], strings.TrimSpace(tested)} {
		if !strings.Contains(text, "# "+line) {
			t.Errorf("README.md does not show %q", line)
		}
	}

	rules := filepath.Join(dir, "rules", "card.yaml")
	good, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rules, bytes.ReplaceAll(good, []byte("amount.base"), []byte("amout.base")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, shown := sluice(exitInvalidRules, "check", dir)
	fault, _, _ := strings.Cut(shown, "sluice:")
	if fault == "" || !strings.Contains(text, "```\n"+fault+"```") {
		t.Errorf("README.md shows another error than\n%s", fault)
	}
}
