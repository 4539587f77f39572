package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/auth"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/rules"
	"github.com/sluice-risk/sluice/store/journal"
)

// fake is a cell in a map: the first of an event is decided by its amount.
type fake struct {
	mu      sync.Mutex
	decoder *risk.Decoder
	bundle  *engine.Bundle
	status  engine.Status
	seen    map[risk.EventKey]*kept
	last    journal.Position

	ask    func(context.Context, *engine.Item, time.Duration) (engine.Answer, error) // instead of Ask
	submit func(*engine.Item) error                                                  // instead of Submit
	find   error
	past   map[journal.Position]engine.Result // what At gives
}

type kept struct {
	content  risk.Digest
	position journal.Position
	body     []byte
	answered *risk.Answered
}

var (
	testDecoder = &risk.Decoder{Secrets: risk.NewSecrets([32]byte{7})}
	arrival     = risk.At(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
)

var testRules = sync.OnceValue(func() *rules.Ruleset {
	files, err := diag.ReadDir(filepath.Join("testdata", "ruleset"))
	if err != nil {
		panic(err)
	}
	set, faults := rules.Load(files)
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return set
})

func newFake() *fake {
	return &fake{decoder: testDecoder, bundle: &engine.Bundle{Rules: testRules(), SHA256: strings.Repeat("ab", 32)},
		seen: map[risk.EventKey]*kept{}, last: 10, status: engine.Status{End: 10, Durable: 10, Release: strings.Repeat("ab", 32)}}
}

func (f *fake) Intake(it *engine.Item) error {
	rec := &risk.Record{Tenant: it.Tenant, Arrival: arrival}
	if err := f.decoder.Decode(it.Raw, rec); err != nil {
		return err
	}
	it.Entry.Event, it.Key = rec, risk.KeyOf(it.Tenant, rec.Event.ID)
	return nil
}

func (f *fake) Ask(ctx context.Context, it *engine.Item, deadline time.Duration) (engine.Answer, error) {
	if f.ask != nil {
		return f.ask(ctx, it, deadline)
	}
	return engine.Answer{Result: f.take(it)}, nil
}

func (f *fake) Submit(it *engine.Item) error {
	if f.submit != nil {
		return f.submit(it)
	}
	it.Reply(f.take(it))
	return nil
}

func (f *fake) take(it *engine.Item) engine.Result {
	f.mu.Lock()
	defer f.mu.Unlock()
	rec := it.Entry.Event
	r := engine.Result{Key: it.Key, Tenant: rec.Tenant, Event: rec.Event.ID, Type: rec.Event.Type, Took: 1250 * time.Microsecond}
	if k := f.seen[it.Key]; k != nil {
		if r.Verdict = engine.Conflict; k.content == rec.Content {
			r.Verdict, r.Position, r.Body, r.Answered = engine.Duplicate, k.position, k.body, k.answered
		}
		return r
	}
	f.last++
	k := &kept{content: rec.Content, position: f.last}
	f.seen[it.Key] = k
	r.Verdict, r.Position = engine.Observed, f.last
	if sc := f.bundle.Rules.Scenario(rec.Event.Type); sc != nil && !rec.ObserveOnly {
		d := decisionOn(it.Key, rec, sc.Name)
		k.body = d.AppendBody(nil, true)
		r.Verdict, r.Body, r.Action, r.Scenario = engine.Decided, k.body, d.Action, sc.Name
		if it.Redact {
			r.Public = d.AppendBody(nil, false)
		}
	}
	return r
}

func decisionOn(key risk.EventKey, rec *risk.Record, scenario string) *risk.Decision {
	d := &risk.Decision{ID: key.DecisionID(), Event: rec.Event.ID, Tenant: rec.Tenant, Scenario: scenario, Action: risk.Allow,
		Score: risk.Number{Value: 0.05, Set: true}, Features: risk.Values{Names: []string{"card_attempts_10m"}, Value: []float64{1}},
		Versions: risk.Versions{Engine: "1", Ruleset: "sha256:01", Features: "sha256:02", Lists: "sha256:03", Model: "points", Screening: "none", Facts: "none"},
		Warnings: rec.Warnings}
	if rec.Event.Amount.Minor > 10_000 {
		d.Action, d.Score.Value = risk.Review, 0.71
		d.Reasons = []risk.Reason{{Code: "R210", Text: "Unusual amount"}}
		d.Rules = []risk.Fired{{ID: "large_amount", Stage: "review", Mode: "live", At: "rules/card.yaml:4", Because: []risk.Because{{
			Left: "amount.base", Value: risk.Scalar{Kind: risk.Decimal, Number: 323.21}, Op: ">", Limit: risk.Scalar{Kind: risk.Decimal, Number: 100}}}}}
		d.Hold = risk.Hold{ID: key.HoldID(), Expires: rec.Arrival.Add(48 * time.Hour)}
	}
	return d
}

func (f *fake) Find(key risk.EventKey) (engine.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := engine.Result{Key: key, Verdict: engine.Duplicate}
	k := f.seen[key]
	if f.find != nil {
		return r, f.find
	}
	if k == nil || k.body == nil {
		return r, engine.ErrNotFound
	}
	r.Position, r.Body, r.Answered = k.position, k.body, k.answered
	return r, nil
}

func (f *fake) Status() engine.Status  { return f.status }
func (f *fake) Bundle() *engine.Bundle { return f.bundle }

// client calls a server, and holds every answer against the OpenAPI document.
type client struct {
	t        testing.TB
	server   *Server
	document *document
	header   http.Header // of every request
}

func newClient(t testing.TB, cell decider, o Options) *client {
	t.Helper()
	s, err := newServer(cell, o)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, server: s, document: parseDocument(t, s.document), header: http.Header{}}
}

// with gives the client of another key.
func (c *client) with(token auth.Token) *client {
	d := *c
	d.header = maps.Clone(c.header)
	d.header.Set("Authorization", "Bearer "+token.Reveal())
	return &d
}

type reply struct {
	*httptest.ResponseRecorder
	t testing.TB
}

// do sends a request; header are pairs of name and value.
func (c *client) do(method, path, body string, header ...string) *reply {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(r.Header, c.header)
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Add(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	c.server.Handler().ServeHTTP(w, r)
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" {
		c.t.Errorf("%s %s: headers %v lack nosniff or no-store", method, path, w.Header())
	}
	c.document.check(c.t, method, path, w)
	return &reply{w, c.t}
}

func (r *reply) status(want int) *reply {
	r.t.Helper()
	if r.Code != want {
		r.t.Fatalf("status %d, want %d: %s", r.Code, want, r.Body)
	}
	return r
}

func (r *reply) has(name, want string) *reply {
	r.t.Helper()
	if got := r.Result().Header.Get(name); got != want {
		r.t.Errorf("header %s = %q, want %q", name, got, want)
	}
	return r
}

// problem checks the kind and gives the document.
func (r *reply) problem(want *kind) problem {
	r.t.Helper()
	r.status(want.status).has("Content-Type", "application/problem+json")
	var p problem
	decode(r.t, r.Body.Bytes(), &p)
	if p.Type != want.uri() || p.Status != r.Code || p.Title != want.title || p.TraceID == "" || p.Instance == "" {
		r.t.Fatalf("problem %s, want a %s", r.Body, want.name)
	}
	if want.retry != "" {
		r.has("Retry-After", want.retry)
	}
	return p
}

func (r *reply) json() map[string]any {
	r.t.Helper()
	var m map[string]any
	decode(r.t, r.Body.Bytes(), &m)
	return m
}

func decode(t testing.TB, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
}

// payment is an event; amounts above 100 go to review.
func payment(id, amount string) string {
	return fmt.Sprintf(`{"event":{"id":%q,"type":"payment.authorization","time":"2026-11-21T12:00:00Z"},"amount":{"value":%q,"currency":"USD"},"customer":{"id":"u1"}}`, id, amount)
}

// keyring is a file of keys, by name "tenant scope scope".
func keyring(t testing.TB, names ...string) (*auth.Keys, map[string]auth.Token) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.yaml")
	tokens := map[string]auth.Token{}
	for _, name := range names {
		words := strings.Fields(name)
		spec := auth.Spec{Tenant: words[0]}
		for _, w := range words[1:] {
			spec.Scopes = append(spec.Scopes, auth.Scope(w))
		}
		token, _, err := auth.Create(path, spec)
		if err != nil {
			t.Fatal(err)
		}
		tokens[name] = token
	}
	keys, err := auth.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return keys, tokens
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (UPDATE=1 rewrites it):\n%s", path, got)
	}
}
