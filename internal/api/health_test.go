package api

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/store/journal"
)

func TestHealth(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{Version: "1.2.3"})
	if r := c.do("GET", "/healthz", "").status(200); r.Body.String() != `{"status":"ok"}`+"\n" {
		t.Errorf("healthz %s", r.Body)
	}
	m := c.do("GET", "/version", "").status(200).json()
	if m["version"] != "1.2.3" || m["engine"] != engine.Version || m["release"] != f.status.Release || m["go"] == "" {
		t.Errorf("version %v", m)
	}
}

func TestReady(t *testing.T) {
	f := newFake()
	lag, caughtUp := "4711 records behind", false
	c := newClient(t, f, Options{Checks: []Check{{Name: "sources", Ask: func() (bool, string) { return caughtUp, lag }},
		{Name: "ruleset", Ask: func() (bool, string) { return false, "the directory is broken" }, Told: true}}})
	failing := func() (names []string) {
		t.Helper()
		r := c.do("GET", "/readyz", "")
		m := r.json()
		if told := m["checks"].(map[string]any)["ruleset"].(map[string]any); told["ok"] != false || told["detail"] != "the directory is broken" {
			t.Errorf("what does not keep the server from answering is not told: %v", told)
		}
		for name, v := range m["checks"].(map[string]any) {
			if name == "ruleset" {
				continue
			}
			if v.(map[string]any)["ok"] != true {
				names = append(names, name)
			}
		}
		if ready := len(names) == 0; m["ready"] != ready || (r.Code == 200) != ready {
			t.Errorf("status %d: %s", r.Code, r.Body)
		}
		return names
	}
	expect := func(want string) {
		t.Helper()
		got := failing()
		if want == "" && len(got) == 0 || len(got) == 1 && got[0] == want {
			return
		}
		t.Errorf("failing checks %v, want %q", got, want)
	}
	expect("sources")
	caughtUp = true
	expect("")
	f.status.Release = ""
	expect("release")
	f.status.Release, f.status.ReadOnly = "abc", "2 MiB are free, 64 MiB are kept"
	expect("storage")
	f.status.ReadOnly = ""
	c.server.draining.Store(true)
	expect("serving")
}

// A journal is stuck when something waits and nothing becomes durable.
func TestJournalFlow(t *testing.T) {
	var f journalFlow
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for i, step := range []struct {
		after        time.Duration
		end, durable journal.Position
		want         bool
	}{
		{0, 0, 0, true}, {time.Hour, 10, 10, true}, {time.Second, 20, 10, true}, {4 * time.Second, 20, 10, true}, {time.Second, 20, 10, false},
		{time.Second, 30, 20, true},     // it moved, and more waits
		{4 * time.Second, 40, 30, true}, // again
		{5 * time.Second, 40, 30, false}, {0, 40, 40, true}, {time.Hour, 50, 40, true},
	} {
		now = now.Add(step.after)
		if ok, detail := f.moves(step.end, step.durable, now); ok != step.want {
			t.Errorf("step %d: %v (%s), want %v", i, ok, detail, step.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := newClient(t, newFake(), Options{Register: registry, Gatherer: registry,
		Checks: []Check{{Name: "rates", Ask: func() (bool, string) { return false, "too old" }}}})
	c.do("POST", decisions, payment("pay_1", "5.00")).status(200)
	c.do("POST", decisions, payment("pay_1", "5.00")).status(200)
	c.do("POST", decisions, payment("pay_1", "6.00")).status(409)
	c.do("GET", "/wp-login.php", "").status(404)
	body := c.do("GET", "/metrics", "").status(200).Body.String()
	for _, want := range []string{
		`sluice_http_requests_total{code="200",route="/v1/decisions"} 2`,
		`sluice_http_requests_total{code="409",route="/v1/decisions"} 1`,
		`sluice_http_requests_total{code="404",route="other"} 1`,
		`sluice_http_request_duration_seconds_count{route="/v1/decisions"} 3`,
		`sluice_http_replayed_total 1`,
		"sluice_ready 0", `sluice_check_ok{check="rates"} 0`, `sluice_check_ok{check="storage"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	newClient(t, newFake(), Options{Gatherer: registry, MetricsApart: true}).do("GET", "/metrics", "").status(404)
	newClient(t, newFake(), Options{}).do("GET", "/metrics", "").status(404)
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"body":  {Limits: Limits{BodyBytes: maxBody + 1}},
		"drain": {Limits: Limits{Drain: -1}},
		"key":   {Limits: Limits{PerKey: -1}},
		"check": {Checks: []Check{{Name: "x"}}},
	} {
		if _, err := newServer(newFake(), o); err == nil {
			t.Errorf("%s: options %+v are taken", name, o)
		}
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("a server without a cell is made")
	}
}
