package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

const decisions = "/v1/decisions"

func TestDecide(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	r := c.do("POST", decisions, payment("pay_1", "323.21")).status(200).
		has("Content-Type", "application/json").has("Server-Timing", "engine;dur=1.25").has("Idempotent-Replayed", "")
	m := r.json()
	for name, want := range map[string]any{"event": "pay_1", "tenant": "default", "action": "review", "score": 0.71, "position": 11.0} {
		if m[name] != want {
			t.Errorf("%s = %v, want %v", name, m[name], want)
		}
	}
	again := c.do("POST", decisions, payment("pay_1", "323.21")).status(200).has("Idempotent-Replayed", "true")
	if again.Body.String() != r.Body.String() {
		t.Errorf("sent again: %s, want %s", again.Body, r.Body)
	}
	read := c.do("GET", decisions+"/"+m["id"].(string), "").status(200)
	if got := read.Body.String(); got != again.Body.String() {
		t.Errorf("read again: %s, want %s", got, again.Body)
	}
	if head := c.do("HEAD", decisions+"/"+m["id"].(string), "").status(200); head.Header().Get("Content-Length") != fmt.Sprint(read.Body.Len()) {
		t.Errorf("HEAD has length %s, want %d", head.Header().Get("Content-Length"), read.Body.Len())
	}
}

// What helps to probe the rules is in no answer to a key without scope evidence:
// not in the first, not in a repeated one, not when read again.
func TestEvidence(t *testing.T) {
	keys, tokens := keyring(t, "shop decide", "shop decide evidence")
	c := newClient(t, newFake(), Options{Keys: keys})
	plain, full := c.with(tokens["shop decide"]), c.with(tokens["shop decide evidence"])
	hidden := regexp.MustCompile(`"(score|because|partial_since|points)":|"features":\{`)

	first := plain.do("POST", decisions, payment("pay_1", "323.21")).status(200)
	body := first.Body.String()
	path := decisions + "/" + first.json()["id"].(string)
	for name, r := range map[string]*reply{"again": plain.do("POST", decisions, payment("pay_1", "323.21")), "read": plain.do("GET", path, "")} {
		if got := r.status(200).Body.String(); got != body {
			t.Errorf("%s: %s, want %s", name, got, body)
		}
	}
	if m := hidden.FindString(body); m != "" {
		t.Errorf("%s without evidence: %s", m, body)
	}
	evidence := full.do("POST", decisions, payment("pay_1", "323.21")).status(200).has("Idempotent-Replayed", "true").Body.String()
	if read := full.do("GET", path, "").status(200).Body.String(); read != evidence {
		t.Errorf("read with evidence: %s, want %s", read, evidence)
	}
	for _, name := range []string{"score", "features", "because", "partial_since"} {
		if !strings.Contains(evidence, `"`+name+`"`) {
			t.Errorf("no %s with evidence: %s", name, evidence)
		}
	}
}

func TestDegraded(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	fall := func(cause string) {
		f.ask = func(_ context.Context, it *engine.Item, _ time.Duration) (engine.Answer, error) {
			rec := it.Entry.Event
			return engine.Answer{Degraded: []string{cause}, Result: engine.Result{Key: it.Key, Tenant: rec.Tenant, Event: rec.Event.ID,
				Scenario: "card_payment", Action: risk.Review}}, nil
		}
	}
	id := risk.KeyOf("default", "pay_1").DecisionID()
	fall(engine.CauseDeadline)
	r := c.do("POST", decisions, payment("pay_1", "5.00")).status(200).has("Retry-After", "")
	want := `{"id":"` + id + `","event":"pay_1","tenant":"default","scenario":"card_payment","action":"review","degraded":["deadline"]}` + "\n"
	if r.Body.String() != want {
		t.Errorf("at the deadline: %s, want %s", r.Body, want)
	}
	fall(engine.CauseStorage)
	r = c.do("POST", decisions, payment("pay_1", "5.00")).status(200).has("Retry-After", "5")
	if want := `{"event":"pay_1","tenant":"default","scenario":"card_payment","action":"review","degraded":["storage"]}` + "\n"; r.Body.String() != want {
		t.Errorf("without storage: %s, want %s", r.Body, want)
	}

	// The decision that comes later says what it supersedes.
	f.ask = nil
	c.do("POST", decisions, payment("pay_1", "5.00")).status(200)
	f.seen[risk.KeyOf("default", "pay_1")].answered = &risk.Answered{Tenant: "default", Event: "pay_1", Action: risk.Review, Degraded: []string{"deadline"}, At: arrival}
	for _, r := range []*reply{c.do("POST", decisions, payment("pay_1", "5.00")), c.do("GET", decisions+"/"+id, "")} {
		if s, _ := r.status(200).json()["supersedes"].(map[string]any); s["action"] != "review" {
			t.Errorf("supersedes = %v in %s", s, r.Body)
		}
	}
}

// An answer without an action is never sent, whatever went wrong before it.
func TestNoActionIsNoAnswer(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	for name, a := range map[string]engine.Answer{
		"fallback":  {Degraded: []string{"deadline"}},
		"decided":   {Result: engine.Result{Verdict: engine.Decided}},
		"no member": {Result: engine.Result{Verdict: engine.Decided, Body: []byte("{}")}},
		"refused":   {Result: engine.Result{Verdict: engine.Refused}},
		"nothing":   {},
	} {
		f.ask = func(context.Context, *engine.Item, time.Duration) (engine.Answer, error) { return a, nil }
		if r := c.do("POST", decisions, payment("pay_1", "5.00")); r.Code != 500 {
			t.Errorf("%s: status %d, want 500: %s", name, r.Code, r.Body)
		}
	}
}

func TestDeadline(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	var got time.Duration
	f.ask = func(_ context.Context, it *engine.Item, d time.Duration) (engine.Answer, error) {
		got = d
		return engine.Answer{Result: f.take(it)}, nil
	}
	c.do("POST", decisions, payment("pay_1", "5.00")).status(200)
	if got != 0 {
		t.Errorf("deadline without a header is %s, want the scenario's", got)
	}
	c.do("POST", decisions, payment("pay_2", "5.00"), "Sluice-Deadline-Ms", "60000").status(200)
	if got <= 50*time.Second || got > time.Minute {
		t.Errorf("deadline of 60000 is %s", got)
	}
	c.do("POST", decisions, payment("pay_3", "5.00"), "Sluice-Deadline-Ms", "1").status(200)
	if got <= 0 || got > time.Millisecond {
		t.Errorf("deadline of 1 is %s", got)
	}
	for _, bad := range []string{"0", "60001", "-1", "80ms", "1.5", "", " ", "99999999999999999999", "0x10", "+80", "8_0"} {
		r := httptest.NewRequest("POST", decisions, strings.NewReader(payment("pay_4", "5.00")))
		r.Header["Content-Type"] = []string{"application/json"}
		r.Header["Sluice-Deadline-Ms"] = []string{bad}
		w := httptest.NewRecorder()
		c.server.Handler().ServeHTTP(w, r)
		if w.Code != 400 {
			t.Errorf("Sluice-Deadline-Ms %q: status %d, want 400", bad, w.Code)
		}
	}
	c.do("POST", decisions, payment("pay_5", "5.00"), "Sluice-Deadline-Ms", "80", "Sluice-Deadline-Ms", "90").problem(invalidHeader)
}

func TestStrict(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	body := strings.Replace(payment("pay_1", "5.00"), `"customer"`, `"shoe_size":44,"device":{"ip":"nowhere"},"customer"`, 1)
	p := c.do("POST", decisions, body, "Prefer", "respond-async, handling=strict; x=1").has("Preference-Applied", "handling=strict").problem(invalidEvent)
	if len(p.Errors) != 2 || p.Errors[0].Pointer != "/device/ip" || p.Errors[1].Pointer != "/shoe_size" {
		t.Errorf("errors %v", p.Errors)
	}
	for _, prefer := range []string{"", "handling=lenient", "handling=lenient, handling=strict", "strict", "handling"} {
		r := c.do("POST", decisions, body, "Prefer", prefer).status(200)
		if n := len(r.json()["warnings"].([]any)); n != 2 {
			t.Errorf("Prefer %q: %d warnings, want 2", prefer, n)
		}
	}
}

func TestContentType(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	for value, want := range map[string]int{"application/json": 200, "application/json; charset=utf-8": 200, "Application/JSON": 200,
		"": 415, "text/json": 415, "application/json+x": 415, "application/jsonx": 415, "text/plain; x=application/json": 415, "application/json;;": 415,
		"application/x-www-form-urlencoded": 415} {
		if r := c.do("POST", decisions, payment("pay_1", "5.00"), "Content-Type", "", "Content-Type", value); r.Code != want {
			t.Errorf("Content-Type %q: status %d, want %d", value, r.Code, want)
		}
	}
	c.do("POST", decisions, payment("pay_1", "5.00"), "Content-Type", "application/json").problem(unsupportedType) // twice
	c.do("POST", decisions, payment("pay_1", "5.00"), "Content-Encoding", "gzip").problem(unsupportedType)
	c.do("POST", decisions, payment("pay_1", "5.00"), "Content-Encoding", "identity").status(200)
}

func TestBodySize(t *testing.T) {
	pad := func(n int) string {
		body := payment("pay_1", "5.00")
		return body + strings.Repeat(" ", n-len(body))
	}
	c := newClient(t, newFake(), Options{})
	c.do("POST", decisions, pad(maxBody)).status(200)
	c.do("POST", decisions, pad(maxBody+1)).has("Connection", "close").problem(tooLarge)
	c = newClient(t, newFake(), Options{Limits: Limits{BodyBytes: 1000}})
	c.do("POST", decisions, pad(1000)).status(200)
	c.do("POST", decisions, pad(1001)).problem(tooLarge)

	// Of unknown length.
	for n, want := range map[int]int{1000: 200, 1001: 413, 100_000: 413} {
		r := httptest.NewRequest("POST", decisions, strings.NewReader(pad(n)))
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		c.server.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d bytes of unknown length: status %d, want %d", n, w.Code, want)
		}
	}
}

func TestEngineErrors(t *testing.T) {
	for _, test := range []struct {
		err  error
		want *kind
	}{
		{engine.ErrOverloaded, overloaded}, {engine.ErrClosed, shuttingDown}, {engine.ErrNoRelease, noRelease}, {errors.New("disk 4711 is gone"), internal},
		{fmt.Errorf("wrapped: %w", engine.ErrOverloaded), overloaded},
	} {
		f := newFake()
		c := newClient(t, f, Options{})
		f.ask = func(context.Context, *engine.Item, time.Duration) (engine.Answer, error) {
			return engine.Answer{}, test.err
		}
		f.submit = func(*engine.Item) error { return test.err }
		for _, path := range []string{decisions, "/v1/events"} {
			r := c.do("POST", path, payment("pay_1", "5.00"))
			r.problem(test.want)
			if strings.Contains(r.Body.String(), "4711") {
				t.Errorf("the error of the inside is told: %s", r.Body)
			}
			if got := r.Header().Get("RateLimit"); (got != "") != (test.want == overloaded) {
				t.Errorf("RateLimit %q with %s", got, test.want.name)
			}
		}
	}
	f := newFake()
	f.bundle = nil
	newClient(t, f, Options{}).do("POST", decisions, payment("pay_1", "5.00")).problem(noRelease)
}

// A caller that has gone gets nothing, and is counted apart.
func TestCallerGone(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	f.ask = func(ctx context.Context, _ *engine.Item, _ time.Duration) (engine.Answer, error) {
		cancel()
		return engine.Answer{}, ctx.Err()
	}
	r := httptest.NewRequest("POST", decisions, strings.NewReader(payment("pay_1", "5.00"))).WithContext(ctx)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	c.server.Handler().ServeHTTP(w, r)
	if w.Body.Len() > 0 {
		t.Errorf("answered %s", w.Body)
	}
	if n := counterValue(t, c.server, decisions, "499"); n != 1 {
		t.Errorf("%v requests counted as 499, want 1", n)
	}
}

func TestPanic(t *testing.T) {
	f := newFake()
	var log bytes.Buffer
	c := newClient(t, f, Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	f.ask = func(context.Context, *engine.Item, time.Duration) (engine.Answer, error) { panic("Maria Keller") }
	trace := "0af7651916cd43dd8448eb211c80319c"
	r := c.do("POST", decisions, payment("pay_1", "5.00"), "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	if p := r.problem(internal); p.TraceID != trace || strings.Contains(r.Body.String(), "Maria") {
		t.Errorf("problem %s", r.Body)
	}
	var line struct {
		Trace string `json:"trace_id"`
		Stack string
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Trace != trace || !strings.Contains(line.Stack, "(*call).decide") {
		t.Errorf("log %s: %v", log.Bytes(), err)
	}
	if n := counterValue(t, c.server, decisions, "500"); n != 1 {
		t.Errorf("%v requests counted as 500, want 1", n)
	}
	f.ask = nil
	c.do("POST", decisions, payment("pay_1", "5.00")).status(200)
}

func TestTraceparent(t *testing.T) {
	good := "0af7651916cd43dd8448eb211c80319c"
	for value, want := range map[string]bool{
		"00-" + good + "-b7ad6b7169203331-01":                    true,
		"01-" + good + "-b7ad6b7169203331-01-more":               true,
		"00-" + good + "-b7ad6b7169203331-01-more":               false,
		"01-" + good + "-b7ad6b7169203331-01more":                false,
		"ff-" + good + "-b7ad6b7169203331-01":                    false,
		"00-" + strings.ToUpper(good) + "-b7ad6b7169203331-01":   false,
		"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01": false,
		"00-" + good + "-0000000000000000-01":                    false,
		"00-" + good + "-b7ad6b7169203331":                       false,
		"00-Maria Keller, 12 Harbour Str.---b7ad6b7169203331-01": false,
		"": false,
	} {
		if got := validTrace(value); got != want {
			t.Errorf("validTrace(%q) = %v, want %v", value, got, want)
		}
	}
}

func TestReadDecision(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	for _, bad := range []string{"1", "dec_", "dec_AAAAAAAAAAAAAAAAAAAAAAAA", "dec_" + strings.Repeat("a", 25), strings.Repeat("a", 28), "dec_%00", "Maria%20Keller"} {
		p := c.do("GET", decisions+"/"+bad, "").problem(invalidID)
		if strings.Contains(p.Detail+p.Instance, "Maria") {
			t.Errorf("problem repeats the id: %+v", p)
		}
	}
	c.do("GET", decisions+"/"+risk.KeyOf("default", "other").DecisionID(), "").problem(notFound)
	f := newFake()
	f.find = errors.New("store: checksum of a value does not match")
	newClient(t, f, Options{}).do("GET", decisions+"/"+risk.KeyOf("default", "other").DecisionID(), "").problem(internal)
}

// Every problem document, as it is sent.
func TestProblems(t *testing.T) {
	keys, tokens := keyring(t, "shop decide", "shop evidence")
	f := newFake()
	c := newClient(t, f, Options{Keys: keys})
	plain := c.with(tokens["shop decide"])
	plain.do("POST", decisions, payment("taken", "5.00")).status(200)
	plain.do("POST", "/v1/events", payment("seen", "5.00")).status(202)

	var out bytes.Buffer
	show := func(name string, r *reply) {
		r.has("Content-Type", "application/problem+json")
		var indented bytes.Buffer
		if err := json.Indent(&indented, bytes.TrimSpace(r.Body.Bytes()), "", "  "); err != nil {
			t.Fatal(err)
		}
		random := regexp.MustCompile(`[0-9a-f]{16,32}`)
		fmt.Fprintf(&out, "# %s\n%s\n\n", name, random.ReplaceAllStringFunc(indented.String(), func(s string) string { return fmt.Sprintf("{%d}", len(s)) }))
	}
	post := func(body string, header ...string) *reply { return plain.do("POST", decisions, body, header...) }
	show("no key", c.do("POST", decisions, payment("x", "1.00")))
	show("scope", c.with(tokens["shop evidence"]).do("POST", decisions, payment("x", "1.00")))
	show("unknown path", plain.do("GET", "/v1/customers/maria.keller@example.com", ""))
	show("method", plain.do("DELETE", decisions, ""))
	show("no decision", plain.do("GET", decisions+"/"+risk.KeyOf("shop", "none").DecisionID(), ""))
	show("id", plain.do("GET", decisions+"/maria", ""))
	show("content type", post(payment("x", "1.00"), "Content-Type", "text/plain"))
	show("deadline", post(payment("x", "1.00"), "Sluice-Deadline-Ms", "0.5"))
	show("not JSON", post(`{"event":{"id":"x",}}`))
	show("not UTF-8", post("{\"event\":\"\xff\"}"))
	show("too large", post(strings.Repeat(" ", maxBody+1)))
	show("three problems", post(`{"event":{"id":"x","type":7},"amount":{"value":"1e3","currency":"USD"},"AMOUNT":1}`))
	show("card number", post(strings.Replace(payment("x", "1.00"), `"customer"`, `"card":{"number":"4111111111111111"},"customer"`, 1)))
	show("strict", post(strings.Replace(payment("x", "1.00"), `"customer"`, `"shoe_size":44,"customer"`, 1), "Prefer", "handling=strict"))
	show("no scenario", post(strings.Replace(payment("x", "1.00"), "payment.authorization", "payment.refund", 1)))
	show("no scenario, strange type", post(strings.Replace(payment("x", "1.00"), "payment.authorization", "Maria Keller", 1)))
	show("conflict", post(payment("taken", "6.00")))
	show("observed only", post(payment("seen", "5.00")))
	show("outcome", plain.do("POST", decisions+"/"+risk.KeyOf("shop", "taken").DecisionID()+"/outcomes", `{"id":"o1","decline_code":"51"}`))
	for _, failure := range []struct {
		name string
		err  error
	}{{"overloaded", engine.ErrOverloaded}, {"closed", engine.ErrClosed}, {"no release", engine.ErrNoRelease}, {"internal", errors.New("boom")}} {
		f.ask = func(context.Context, *engine.Item, time.Duration) (engine.Answer, error) {
			return engine.Answer{}, failure.err
		}
		show(failure.name, post(payment("x", "1.00")))
	}
	f.submit = func(*engine.Item) error { return engine.ErrStorage }
	show("storage", plain.do("POST", "/v1/events", payment("x", "1.00")))
	golden(t, "problems.txt", out.Bytes())
	if s := out.String(); strings.Contains(strings.ToLower(s), "maria") || strings.Contains(s, "4111") {
		t.Error("a problem repeats a value that was sent")
	}
}
