package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-risk/sluice/internal/auth"
	"github.com/sluice-risk/sluice/risk"
)

func counterValue(t testing.TB, s *Server, route, code string) float64 {
	t.Helper()
	return valueOf(t, s.metrics.requests.WithLabelValues(route, code))
}

func valueOf(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// Every route with every set of scopes, of the decision's tenant and another one.
func TestAccess(t *testing.T) {
	sets := []string{"", "decide", "evidence", "admin", "decide evidence", "decide evidence admin"}
	var names []string
	for _, tenant := range []string{"own", "other"} {
		for _, set := range sets[1:] {
			names = append(names, tenant+" "+set)
		}
	}
	keys, tokens := keyring(t, names...)
	f := newFake()
	c := newClient(t, f, Options{Keys: keys, Gatherer: prometheus.NewRegistry(), Replay: func(context.Context, string, []risk.Source) []Replayed { return []Replayed{} }})
	id := c.with(tokens["own decide"]).do("POST", decisions, payment("pay_1", "5.00")).status(200).json()["id"].(string)

	// The scope that each route asks for. A new route must be entered here.
	want := map[string]auth.Scope{
		"POST /v1/decisions": auth.Decide, "GET /v1/decisions/{id}": auth.Decide, "POST /v1/decisions/{id}/outcomes": auth.Decide, "POST /v1/events": auth.Decide,
		"POST /v1/dead-letters/replays": auth.Admin, "GET /metrics": auth.Admin, "GET /v1/backfill": auth.Admin, "GET /healthz": "", "GET /readyz": "", "GET /version": "", "GET /openapi.json": "",
	}
	n := 0
	for _, r := range c.server.routes() {
		if r.page {
			continue
		}
		scope, ok := want[r.method+" "+r.path]
		if !ok {
			t.Errorf("%s %s: nobody said who may call it", r.method, r.path)
		}
		for _, tenant := range []string{"own", "other"} {
			for _, set := range sets {
				caller, name := c, tenant+" "+set
				if set != "" {
					caller = c.with(tokens[name])
				}
				body, code := "", 200
				if r.method == "POST" {
					n++
					body = payment(fmt.Sprint("matrix_", n), "5.00")
				}
				if r.path != decisions && r.method == "POST" {
					code = 202
				}
				if strings.HasSuffix(r.path, "/outcomes") {
					body = fmt.Sprintf(`{"status":"declined","decline_code":"%d"}`, n)
				}
				if r.path == replays {
					body, code = `{"records":[{"topic":"payments","offsets":[1]}]}`, 200
				}
				switch {
				case scope == "":
				case set == "":
					code = 401
				case !strings.Contains(set, string(scope)):
					code = 403
				case tenant == "other" && strings.Contains(r.path, "{id}"):
					code = 404
				}
				if got := caller.do(r.method, strings.Replace(r.path, "{id}", id, 1), body); got.Code != code {
					t.Errorf("%s %s by %q: status %d, want %d: %s", r.method, r.path, name, got.Code, code, got.Body)
				}
			}
		}
	}

	// The same event id in two tenants are two events.
	a := c.with(tokens["own decide"]).do("POST", decisions, payment("shared", "5.00")).status(200).has("Idempotent-Replayed", "").json()
	b := c.with(tokens["other decide"]).do("POST", decisions, payment("shared", "6.00")).status(200).has("Idempotent-Replayed", "").json()
	if a["id"] == b["id"] || a["tenant"] != "own" || b["tenant"] != "other" {
		t.Errorf("one event id in two tenants: %v and %v", a, b)
	}
	for key := range f.seen {
		if key == risk.KeyOf("default", "pay_1") {
			t.Error("an event of a key went to the tenant of callers without one")
		}
	}
}

func TestPresentedKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	good, _, err := auth.Create(path, auth.Spec{Tenant: "shop", Scopes: []auth.Scope{auth.Decide}})
	if err != nil {
		t.Fatal(err)
	}
	revoked, key, err := auth.Create(path, auth.Spec{Tenant: "shop", Scopes: []auth.Scope{auth.Decide}})
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.Revoke(path, key.ID); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := newClient(t, newFake(), Options{Keys: keys, Log: slog.New(slog.NewTextHandler(&log, nil))})
	token := good.Reveal()
	for header, want := range map[string]string{
		"Bearer " + token:                   "",
		"bearer " + token:                   "",
		"Bearer  " + token + " ":            "",
		token:                               "malformed",
		"Basic " + token:                    "malformed",
		"Bearer":                            "malformed",
		"Bearer ":                           "unknown",
		"Bearer " + token + "x":             "unknown",
		"Bearer " + token[:len(token)-1]:    "unknown",
		"Bearer " + strings.ToUpper(token):  "unknown",
		"Bearer " + revoked.Reveal():        "revoked",
		"Bearer " + strings.Repeat("x", 72): "unknown",
	} {
		r := c.do("POST", decisions, payment("pay_1", "5.00"), "Authorization", header)
		if want == "" {
			r.status(200)
			continue
		}
		r.has("WWW-Authenticate", `Bearer realm="sluice", error="invalid_token"`).problem(unauthenticated)
		if n := valueOf(t, c.server.metrics.denied.WithLabelValues(want)); n == 0 {
			t.Errorf("%q is not counted as %s", header, want)
		}
	}
	c.do("POST", decisions, payment("pay_1", "5.00")).has("WWW-Authenticate", `Bearer realm="sluice"`).problem(unauthenticated)
	c.do("POST", decisions, payment("pay_1", "5.00"), "Authorization", "Bearer "+token, "Authorization", "Bearer "+token).problem(unauthenticated)
	if strings.Contains(log.String(), token[13:]) || !strings.Contains(log.String(), "reason=revoked") {
		t.Errorf("log %s", log.String())
	}
}

func TestRateLimit(t *testing.T) {
	keys, tokens := keyring(t, "shop decide", "shop decide evidence")
	c := newClient(t, newFake(), Options{Keys: keys, Limits: Limits{PerKey: 0.001, Burst: 3}})
	one, two := c.with(tokens["shop decide"]), c.with(tokens["shop decide evidence"])
	for range 3 {
		one.do("POST", decisions, payment("pay_1", "5.00")).status(200)
	}
	one.do("POST", decisions, payment("pay_1", "5.00")).has("RateLimit", `"rate-limited";r=0;t=1000`).has("RateLimit-Policy", `"rate-limited";q=3;w=3000`).
		has("Retry-After", "1000").status(429)
	two.do("POST", decisions, payment("pay_1", "5.00")).status(200) // has its own
	one.do("GET", "/healthz", "").status(200)                       // asks for no key

	c = newClient(t, newFake(), Options{Limits: Limits{PerKey: 0.5}})
	c.do("POST", decisions, payment("pay_1", "5.00")).status(200)
	c.do("POST", decisions, payment("pay_1", "5.00")).has("Retry-After", "2").status(429)
}
