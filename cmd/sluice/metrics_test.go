package main

import (
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/internal/config"
)

// metric is one that the program registers.
type metric struct {
	name   string
	labels []string
}

var described = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// metrics gives all metrics of a server with HTTP and Kafka, also those that
// nothing has been counted in yet.
func metrics(t *testing.T) map[string]metric {
	t.Helper()
	cfg, err := config.Load(config.Input{Flags: map[string]string{
		"data_dir": t.TempDir(), "listen": "127.0.0.1:0", "rulesets": paymentRules, "disk.reserve": "64MiB", "disk.ballast": "0",
		"kafka.brokers": "127.0.0.1:1", "sources": "[{topic: payments}]", "feature_log.dir": t.TempDir(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := open(cfg, nil, slog.New(slog.NewTextHandler(io.Discard, nil)), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.listener.Close(); err != nil {
			t.Error(err)
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}()
	all := map[string]metric{}
	descs := make(chan *prometheus.Desc)
	go func() { n.registry.Describe(descs); close(descs) }()
	for d := range descs {
		m := described.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		all[m[1]] = metric{m[1], strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })}
	}
	return all
}

// The table of docs/operations.md has every metric of ours with its labels, and
// no other.
func TestMetricsAreDocumented(t *testing.T) {
	text := page(t, "docs/operations.md")
	shown := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(sluice_[a-z_]+)(?:\\{([a-z_,]*)\\})?` \\|").FindAllStringSubmatch(text, -1) {
		if _, twice := shown[m[1]]; twice {
			t.Errorf("docs/operations.md has %s twice", m[1])
		}
		shown[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
	}
	for name, m := range metrics(t) {
		if !strings.HasPrefix(name, "sluice_") {
			continue // those of Go and the process
		}
		labels, ok := shown[name]
		if !ok {
			t.Errorf("docs/operations.md lacks %s{%s}", name, strings.Join(m.labels, ","))
		} else if !slices.Equal(labels, m.labels) {
			t.Errorf("docs/operations.md has %s with labels %v, it has %v", name, labels, m.labels)
		}
		delete(shown, name)
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		t.Errorf("docs/operations.md has %s, which nothing registers", name)
	}
}

// What decides is named, and a list that is written again is young again.
func TestReleaseMetrics(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "rules")
	if err := os.CopyFS(rules, os.DirFS(paymentRules)); err != nil {
		t.Fatal(err)
	}
	lists, err := filepath.Glob(filepath.Join(rules, "lists", "*"))
	if err != nil || len(lists) == 0 {
		t.Fatalf("no lists in %s: %v", rules, err)
	}
	date := func(at time.Time) {
		t.Helper()
		for _, name := range lists {
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	date(time.Now().Add(-48 * time.Hour))
	s := newServer(t, "rulesets="+rules)
	s.start()
	ages := regexp.MustCompile(`(?m)^sluice_list_age_seconds\{list="[a-z_]+"\} (\S+)$`)
	age := func() (n int, all string) {
		t.Helper()
		text := string(s.get("/metrics").body)
		for _, m := range ages.FindAllStringSubmatch(text, -1) {
			n++
			all += m[1] + " "
		}
		return n, all
	}
	text := string(s.get("/metrics").body)
	for _, want := range []string{`\nsluice_ruleset_info\{ruleset="payments",version="[0-9a-f]{12}"\} 1\n`, `\nsluice_ready 1\n`, `\nsluice_scenario_deadline_seconds\{scenario="card_payment"\} 0\.\d+\n`, `\nsluice_check_ok\{check="ruleset"\} 1\n`,
		`\nsluice_journal_durable_position [1-9]`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s among %d bytes of metrics", want, len(text))
		}
	}
	if n, all := age(); n == 0 || n != strings.Count(all, "1728") {
		t.Errorf("ages of lists of two days: %s", all)
	}
	s.post("/v1/decisions", []byte(`{"event": {"id": "pay_1", "type": "payment.authorization", "time": "2026-11-21T12:00:00Z"}, "amount": {"value": "5.00", "currency": "USD"}, "customer": {"id": "u_1"}}`))
	text = string(s.get("/metrics").body)
	for _, want := range []string{`\nsluice_decisions_total\{action="allow",mode="live",scenario="card_payment"\} 1\n`, `\nsluice_decisions_total\{action="block",mode="live",scenario="card_payment"\} 0\n`,
		`\nsluice_model_score_count\{scenario="card_payment"\} 1\n`, `\nsluice_feature_duration_seconds_count 1\n`, `\nsluice_degraded_total\{cause="deadline"\} 0\n`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("after one payment no %s among %d bytes of metrics", want, len(text))
		}
	}
	date(time.Now().Add(-time.Hour))
	if n, all := age(); n == 0 || n != strings.Count(all, "360") {
		t.Errorf("ages of lists of an hour: %s", all)
	}
}
