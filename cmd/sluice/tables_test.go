package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

// Tables are replaced under load, by a rename and on SIGHUP. Every decision was made
// with one table or the other and says which; a broken file changes nothing but a
// metric and one line of the log; and the journal replays to the same bytes without
// any table.
func TestTablesAreReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bins := filepath.Join(dir, "bins.csv")
	put := func(text string) {
		t.Helper()
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, bins); err != nil {
			t.Fatal(err)
		}
	}
	const header = "from,to,country,brand,funding,issuer\n"
	put(header + "400000,599999,US,visa,credit,First\n")
	s := newServer(t, "tables.bin_csv="+bins)
	s.start()
	version := func() string {
		m := regexp.MustCompile(`\nsluice_table_info\{table="bin",version="(bin-[0-9a-f]+)"\} 1\n`).FindSubmatch(s.get("/metrics").body)
		if m == nil {
			t.Fatal("no metric tells the table in use")
		}
		return string(m[1])
	}
	good := func() bool {
		return bytes.Contains(s.get("/metrics").body, []byte("\nsluice_table_last_load_successful{table=\"bin\"} 1\n"))
	}
	c := startCallers(t, s, 83)
	c.more(t, 10)
	versions := map[string]int{version(): 0}

	put(header + "400000,599999,DE,visa,debit,Second\n") // found without being told
	await(t, "the second table", func() bool { return !hasKey(versions, version()) })
	versions[version()] = 0
	c.more(t, 10)

	put("not a table\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	await(t, "the broken table to be noticed", func() bool { return !good() })
	c.more(t, 10)
	if n := strings.Count(s.logged(), "table not loaded"); n != 1 {
		t.Errorf("the broken table is told of %d times", n)
	}
	put(header + "400000,599999,FR,visa,prepaid,Third\n")
	s.cmd.Process.Signal(syscall.SIGHUP)
	await(t, "the third table", good)
	versions[version()] = 0
	c.more(t, 10)
	c.stop()
	s.stop()

	for id, body := range c.answers {
		var d struct{ Versions risk.Versions }
		if err := json.Unmarshal(body, &d); err != nil {
			t.Fatal(err)
		}
		bin, _, _ := strings.Cut(d.Versions.Facts, " ")
		if _, known := versions[bin]; !known {
			t.Errorf("event %s was decided with %q, tables were %v", id, d.Versions.Facts, versions)
		}
		versions[bin]++
	}
	if len(versions) != 3 {
		t.Errorf("tables %v, want three", versions)
	}
	for v, n := range versions {
		if n == 0 {
			t.Errorf("nothing was decided with %s", v)
		}
	}
	if err := os.Remove(bins); err != nil {
		t.Fatal(err)
	}
	out, talk := sluice(t, "replay", "--journal", s.dir, "--decisions", "-")
	replayed := 0
	for line := range strings.Lines(out) {
		var d struct {
			Event    string
			Versions risk.Versions
		}
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatal(err)
		}
		if answer, ok := c.answers[d.Event]; ok {
			var was struct{ Versions risk.Versions }
			if err := json.Unmarshal(answer, &was); err != nil {
				t.Fatal(err)
			}
			if was.Versions != d.Versions {
				t.Errorf("event %s replays with %v, was decided with %v", d.Event, d.Versions, was.Versions)
			}
			replayed++
		}
	}
	if replayed < len(c.answers) {
		t.Errorf("%d of %d decisions are replayed\n%s", replayed, len(c.answers), talk)
	}
}

func hasKey(m map[string]int, key string) bool {
	_, ok := m[key]
	return ok
}

// What a ruleset reads and no table gives is told once, and where it is read.
func TestTablesThatAreNeeded(t *testing.T) {
	alone(t)
	rules := filepath.Join(t.TempDir(), "rules")
	if err := os.CopyFS(rules, os.DirFS(paymentRules)); err != nil {
		t.Fatal(err)
	}
	extra := `apiVersion: rules/v1
scenario: card_payment
rules:
  - {id: from_tor, stage: review, when: has(ip.is_tor) and ip.is_tor, reason: R101}
  - {id: prepaid, stage: review, when: has(card.bin_funding) and card.bin_funding == "prepaid", reason: R101}
`
	if err := os.WriteFile(filepath.Join(rules, "rules", "tables.yaml"), []byte(extra), 0o600); err != nil {
		t.Fatal(err)
	}
	_, talk := sluice(t, "check", rules)
	for _, want := range []string{
		"note: without geo.anonymous_mmdb these are always missing: ip.is_tor (rules/tables.yaml:4)",
		"note: without tables.bin_csv these are always missing: card.bin_funding (rules/tables.yaml:5)",
	} {
		if strings.Count(talk, want) != 1 {
			t.Errorf("check says\n%swant once: %s", talk, want)
		}
	}
	if _, talk = sluice(t, "check", rules, "--set", "tables.bin_csv=bins.csv", "--set", "geo.anonymous_mmdb=a.mmdb"); strings.Contains(talk, "note:") {
		t.Errorf("with the tables check says\n%s", talk)
	}
}
