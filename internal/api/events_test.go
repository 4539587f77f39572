package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

const events = "/v1/events"

func TestObserve(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	login := `{"event":{"id":"l1","type":"account.login","time":"2026-11-21T12:00:00Z"},"customer":{"id":"u1"},"shoe_size":44}`
	first := `{"event":"l1","position":11,"verdict":"observed","warnings":[{"pointer":"/shoe_size","code":"unknown_field","detail":"no such field: its value is not kept"}]}` + "\n"
	if r := c.do("POST", events, login).status(202); r.Body.String() != first {
		t.Errorf("observed: %s, want %s", r.Body, first)
	}
	again := strings.Replace(first, "observed", "duplicate", 1)
	if r := c.do("POST", events, login).status(202).has("Idempotent-Replayed", "true"); r.Body.String() != again {
		t.Errorf("sent again: %s, want %s", r.Body, again)
	}
	c.do("POST", events, strings.Replace(login, "u1", "u2", 1)).problem(conflicting)
	c.do("POST", events, login, "Prefer", "handling=strict").problem(invalidEvent)

	// A type with a scenario is only observed too, and then has no decision.
	c.do("POST", events, payment("pay_1", "5.00")).status(202)
	c.do("POST", decisions, payment("pay_1", "5.00")).problem(observedOnly)
	c.do("POST", decisions, payment("pay_1", "6.00")).problem(conflicting)
	c.do("GET", decisions+"/"+risk.KeyOf("default", "pay_1").DecisionID(), "").problem(notFound)

	// What was decided is a duplicate here, and keeps its decision.
	c.do("POST", decisions, payment("pay_2", "5.00")).status(200)
	if v := c.do("POST", events, payment("pay_2", "5.00")).status(202).json()["verdict"]; v != "duplicate" {
		t.Errorf("verdict %v, want duplicate", v)
	}
}

// An event that does not become durable is not said to be taken.
func TestObserveUnconfirmed(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	c.server.timeouts.durable = time.Millisecond
	f.submit = func(*engine.Item) error { return nil }
	c.do("POST", events, payment("pay_1", "5.00")).problem(unconfirmed)
	for err, want := range map[error]*kind{engine.ErrStorage: storageFull, engine.ErrClosed: shuttingDown, errors.New("boom"): internal} {
		f.submit = func(it *engine.Item) error { it.Reply(engine.Result{Err: err}); return nil }
		c.do("POST", events, payment("pay_1", "5.00")).problem(want)
	}
}

func TestOutcome(t *testing.T) {
	f := newFake()
	c := newClient(t, f, Options{})
	var sent *engine.Item
	f.submit = func(it *engine.Item) error { sent = it; it.Reply(f.take(it)); return nil }
	id := c.do("POST", decisions, payment("pay_1", "5.00")).status(200).json()["id"].(string)
	path := decisions + "/" + id + "/outcomes"

	m := c.do("POST", path, `{"status":"declined","decline_code":"51","avs_result":"N"}`).status(202).json()
	e := &sent.Entry.Event.Event
	if !sent.Entry.Event.ObserveOnly || e.Type != "payment.outcome" || e.Label.Event != "pay_1" || e.Payment.Status != "declined" ||
		e.Payment.DeclineCode != "51" || e.Payment.AVSResult != "N" || e.Payment.CVCResult != "" || m["event"] != e.ID || m["verdict"] != "observed" {
		t.Errorf("event %+v, answer %v", e, m)
	}
	if d := time.Since(e.Time.Time()); d < -time.Second || d > time.Minute {
		t.Errorf("time %s is not now", e.Time)
	}
	// Later, the time has changed: still the same outcome.
	first := e.ID
	f.seen[risk.KeyOf("default", first)].content[0]++
	m = c.do("POST", path, `{"decline_code":"51","status":"declined","avs_result":"N"}`).status(202).has("Idempotent-Replayed", "true").json()
	if m["event"] != first || m["verdict"] != "duplicate" {
		t.Errorf("sent again: %v, want %s", m, first)
	}
	for _, other := range []string{`{"status":"captured"}`, `{"status":"declined","decline_code":"05","avs_result":"N"}`, `{"status":"declined","decline_code":"51","cvc_result":"N"}`} {
		if m := c.do("POST", path, other).status(202).json(); m["event"] == first || m["verdict"] != "observed" {
			t.Errorf("%s: %v, want another event than %s", other, m, first)
		}
	}
	// The same outcome of another decision is another event.
	other := c.do("POST", decisions, payment("pay_2", "5.00")).status(200).json()["id"].(string)
	if m := c.do("POST", decisions+"/"+other+"/outcomes", `{"status":"declined","decline_code":"51","avs_result":"N"}`).status(202).json(); m["event"] == first {
		t.Errorf("two decisions share the outcome %s", first)
	}

	// With an id of the caller's.
	own := `{"id":"o1","time":"2026-11-21T12:00:04Z","status":"captured","payment_id":"p_1","three_ds":"authenticated"}`
	if m := c.do("POST", path, own).status(202).json(); m["event"] != "o1" || sent.Entry.Event.Event.Payment.ID != "p_1" || sent.Entry.Event.Event.Time.String() != "2026-11-21T12:00:04Z" {
		t.Errorf("answer %v, event %+v", m, sent.Entry.Event.Event)
	}
	c.do("POST", path, own).status(202).has("Idempotent-Replayed", "true")
	c.do("POST", path, strings.Replace(own, "captured", "declined", 1)).problem(conflicting)

	if w := c.do("POST", path, `{"status":"captured","colour":"Maria","a/b~c":1}`).status(202).json()["warnings"]; fmt.Sprint(w) !=
		"[map[code:unknown_field detail:no such field: its value is not kept pointer:/a~1b~0c] map[code:unknown_field detail:no such field: its value is not kept pointer:/colour]]" {
		t.Errorf("warnings %v", w)
	}
}

func TestOutcomeRefused(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	id := c.do("POST", decisions, payment("pay_1", "5.00")).status(200).json()["id"].(string)
	path := decisions + "/" + id + "/outcomes"
	for body, want := range map[string]string{
		``:                                  " invalid_json",
		`null`:                              "/status required",
		`[]`:                                " input_invalid",
		`"declined"`:                        " input_invalid",
		`{}`:                                "/status required",
		`{"status":""}`:                     "/status required",
		`{"status":5}`:                      "/status input_invalid",
		`{"status":{"a":1}}`:                "/status input_invalid",
		`{"status":"a","status":"b"}`:       "/status duplicate_key",
		`{"status":"a"} {}`:                 " invalid_json",
		`{"status":"a",}`:                   " invalid_json",
		`{"status":"a","id":"o1"}`:          "/time required",
		`{"status":"a","time":"yesterday"}`: "/event/time input_invalid",
		`{"status":"a","id":"\u0000","time":"2026-11-21T12:00:00Z"}`: "/event/id input_invalid",
		"{\"status\":\"\xff\"}": "/status invalid_json",
	} {
		p := c.do("POST", path, body, "Content-Type", "", "Content-Type", "application/json").problem(invalidOutcome)
		if len(p.Errors) == 0 || p.Errors[0].Pointer+" "+p.Errors[0].Code != want {
			t.Errorf("%s: errors %v, want %s", body, p.Errors, want)
		}
	}
	c.do("POST", path, `{"status":"a","colour":"red"}`, "Prefer", "handling=strict").problem(invalidOutcome)
	c.do("POST", path, `{"status":"a"}`, "Content-Type", "text/plain").problem(unsupportedType)
	c.do("POST", path, `{"status":"`+strings.Repeat("a", maxBody)+`"}`).problem(tooLarge)
	c.do("POST", decisions+"/dec_1/outcomes", `{"status":"a"}`).problem(invalidID)
	c.do("POST", decisions+"/"+risk.KeyOf("default", "none").DecisionID()+"/outcomes", `{"status":"a"}`).problem(notFound)
}
