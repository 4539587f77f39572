package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
)

// accepted answers for an event that asks for no decision.
type accepted struct {
	Event    string         `json:"event"`
	Position uint64         `json:"position,omitempty"`
	Verdict  string         `json:"verdict"` // observed, duplicate
	Warnings []risk.Warning `json:"warnings"`
}

// observe answers POST /v1/events.
func (c *call) observe() {
	if it := new(engine.Item); c.event(it) {
		if r, ok := c.hand(it); ok {
			if r.Verdict == engine.Conflict {
				c.conflict()
				return
			}
			c.accept(it, r)
		}
	}
}

// hand gives an event to the cell, to be observed only, and waits until it is
// durable.
func (c *call) hand(it *engine.Item) (engine.Result, bool) {
	it.Entry.Event.ObserveOnly = true
	done := make(chan engine.Result, 1)
	it.Reply = func(r engine.Result) { done <- r }
	if err := c.server.cell.Submit(it); err != nil {
		c.failed(err)
		return engine.Result{}, false
	}
	wait, cancel := context.WithTimeout(c.r.Context(), c.server.timeouts.durable)
	defer cancel()
	select {
	case r := <-done:
		// An event that was only observed has no decision to be found.
		if r.Err != nil && !(errors.Is(r.Err, engine.ErrNotFound) && r.Verdict == engine.Duplicate) {
			c.failed(r.Err)
			return r, false
		}
		return r, true
	case <-wait.Done():
		if c.r.Context().Err() == nil {
			c.problem(unconfirmed, "send the event again: it counts once")
		}
		return engine.Result{}, false
	}
}

func (c *call) accept(it *engine.Item, r engine.Result) {
	a := accepted{Event: r.Event, Position: uint64(r.Position), Verdict: r.Verdict.String(), Warnings: it.Entry.Event.Warnings}
	if a.Warnings == nil {
		a.Warnings = []risk.Warning{}
	}
	if r.Verdict == engine.Duplicate {
		c.w.Header()["Idempotent-Replayed"] = isTrue
	}
	c.sendJSON(202, a)
}

// outcome is what a caller tells of the issuer's answer.
type outcome struct {
	ID          string `json:"id"`   // of the event; by default it follows from all else here
	Time        string `json:"time"` // of the issuer's answer; by default now
	Status      string `json:"status"`
	DeclineCode string `json:"decline_code"`
	AVSResult   string `json:"avs_result"`
	CVCResult   string `json:"cvc_result"`
	ThreeDS     string `json:"three_ds"`
	PaymentID   string `json:"payment_id"`

	Unknown map[string]jsontext.Value `json:",embed"`
}

// outcomeEvent is the payment.outcome that it becomes. The label group names the
// event that was decided, as a label does.
type outcomeEvent struct {
	Event struct {
		ID   string `json:"id"`
		Type string `json:"type"`
		Time string `json:"time"`
	} `json:"event"`
	Payment struct {
		ID          string `json:"id,omitempty"`
		Status      string `json:"status"`
		DeclineCode string `json:"decline_code,omitempty"`
		AVSResult   string `json:"avs_result,omitempty"`
		CVCResult   string `json:"cvc_result,omitempty"`
		ThreeDS     string `json:"three_ds,omitempty"`
	} `json:"payment"`
	Label struct {
		Event string `json:"event"`
	} `json:"label"`
}

// outcome answers POST /v1/decisions/{id}/outcomes.
func (c *call) outcome() {
	if !c.takesJSON() {
		return
	}
	body, ok := c.body()
	if !ok {
		return
	}
	var o outcome
	if err := jsonv2.Unmarshal(body, &o); err != nil {
		c.problem(invalidOutcome, "not an outcome", outcomeProblem(err))
		return
	}
	if faults := o.faults(c.strict()); len(faults) > 0 {
		c.problem(invalidOutcome, faults[0].Detail, faults...)
		return
	}
	_, d, ok := c.find()
	if !ok {
		return
	}
	it := new(engine.Item)
	if !c.intake(it, o.event(d, c.started), invalidOutcome) {
		return
	}
	for _, name := range o.unknown() {
		it.Entry.Event.Warnings = append(it.Entry.Event.Warnings, risk.Warning{Pointer: pointerTo(name), Code: risk.CodeUnknownField,
			Detail: "no such field: its value is not kept"})
	}
	r, ok := c.hand(it)
	switch {
	case !ok:
	case r.Verdict == engine.Conflict && o.ID == "":
		// The id says that all but the time is the same, and the time is ours.
		c.accept(it, engine.Result{Event: it.Entry.Event.Event.ID, Verdict: engine.Duplicate})
	case r.Verdict == engine.Conflict:
		c.conflict()
	default:
		c.accept(it, r)
	}
}

func (o *outcome) unknown() []string { return slices.Sorted(maps.Keys(o.Unknown)) }

func (o *outcome) faults(strict bool) (faults []risk.Problem) {
	if o.Status == "" {
		faults = append(faults, risk.Problem{Pointer: "/status", Code: risk.CodeRequired, Detail: "every outcome has one", Hint: "such as captured, declined or expired"})
	}
	if o.ID != "" && o.Time == "" {
		faults = append(faults, risk.Problem{Pointer: "/time", Code: risk.CodeRequired, Detail: "an outcome with an id of its own needs its time",
			Hint: "else sending it again would be another event under the same id"})
	}
	if strict {
		for _, name := range o.unknown() {
			faults = append(faults, risk.Problem{Pointer: pointerTo(name), Code: risk.CodeUnknownField, Detail: "no such field",
				Hint: "without Prefer: handling=strict this is a warning"})
		}
	}
	return faults
}

// event gives the outcome of a decision as an event. Without an id of the
// caller's it gets one that sending it again gives again.
func (o *outcome) event(d *risk.Decision, now time.Time) []byte {
	var e outcomeEvent
	e.Event.ID, e.Event.Type, e.Event.Time = o.ID, "payment.outcome", o.Time
	e.Payment.ID, e.Payment.Status, e.Payment.DeclineCode = o.PaymentID, o.Status, o.DeclineCode
	e.Payment.AVSResult, e.Payment.CVCResult, e.Payment.ThreeDS = o.AVSResult, o.CVCResult, o.ThreeDS
	e.Label.Event = d.Event
	if o.ID == "" {
		sum := sha256.Sum256(e.encode())
		e.Event.ID = "out_" + strings.TrimPrefix(d.ID, "dec_") + "_" + hex.EncodeToString(sum[:8])
	}
	if o.Time == "" {
		e.Event.Time = risk.At(now).String()
	}
	return e.encode()
}

func (e *outcomeEvent) encode() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings: cannot happen
	}
	return b
}

// outcomeProblem says where a body is no outcome, and not what stands there.
func outcomeProblem(err error) risk.Problem {
	if e, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return risk.Problem{Pointer: string(e.JSONPointer), Code: risk.CodeInputInvalid, Detail: "not a string", Hint: "an outcome is an object of strings"}
	}
	p := risk.Problem{Code: risk.CodeInvalidJSON, Detail: "not JSON"}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		p.Pointer, p.Detail = string(e.JSONPointer), fmt.Sprintf("not JSON from byte %d on", e.ByteOffset)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			p.Code, p.Detail = risk.CodeDuplicateKey, "the key stands twice in one object"
		}
	}
	return p
}

// pointerTo a member of the body, RFC 6901, cut where a name is too long to repeat.
func pointerTo(name string) string {
	const most = 64
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
