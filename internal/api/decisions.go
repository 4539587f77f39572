package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/auth"
	"github.com/sluice-risk/sluice/risk"
)

// decide answers POST /v1/decisions.
func (c *call) decide() {
	deadline, ok := c.deadline()
	if !ok {
		return
	}
	it := engine.NewItem(nil, "")
	if !c.event(it) {
		return
	}
	b := c.server.cell.Bundle()
	if b == nil {
		c.failed(engine.ErrNoRelease)
		return
	}
	eventType := it.Entry.Event.Event.Type
	if b.Rules.Scenario(eventType) == nil {
		c.noScenario(eventType, b)
		return
	}
	if deadline > 0 {
		// The caller's clock has been running since the request was sent.
		deadline = max(deadline-time.Since(c.started), time.Microsecond)
	}
	a, err := c.server.cell.Ask(c.r.Context(), it, deadline)
	switch {
	case errors.Is(err, engine.ErrNotFound) && a.Verdict == engine.Duplicate:
		c.problem(observedOnly, "send the payment to be judged under an event id of its own")
	case err != nil:
		c.failed(err)
	case len(a.Degraded) > 0:
		c.sendFallback(&a)
	default:
		c.sendResult(eventType, b, &a.Result)
	}
}

// sendResult answers with what became of an event.
func (c *call) sendResult(eventType string, b *engine.Bundle, r *engine.Result) {
	switch {
	case r.Verdict == engine.Conflict:
		c.conflict()
	case r.Verdict == engine.Observed: // a release without its scenario became active meanwhile
		c.noScenario(eventType, b)
	case r.Verdict == engine.Duplicate && r.Body == nil:
		c.problem(observedOnly, "send the payment to be judged under an event id of its own")
	case r.Verdict == engine.Duplicate:
		c.server.metrics.replayed.Inc()
		c.w.Header()["Idempotent-Replayed"] = isTrue
		c.sendDecision(r)
	case r.Verdict == engine.Decided:
		c.sendDecision(r)
	default:
		c.broken(fmt.Errorf("api: event with verdict %s", r.Verdict))
	}
}

var isTrue = []string{"true"}

// sendDecision answers with a decision's body, or the part of it that the caller
// may see, and what is said beside it.
func (c *call) sendDecision(r *engine.Result) {
	body := r.Body
	if !c.who.Has(auth.Evidence) {
		if body = r.Public; body == nil {
			d, err := risk.ParseBody(r.Body)
			if err != nil { // rather nothing than evidence
				c.broken(err)
				return
			}
			body = d.AppendBody(nil, false)
		}
	}
	if c.out = risk.AppendAnswer(c.out[:0], body, risk.Envelope{Position: uint64(r.Position), Supersedes: r.Answered}); c.out == nil {
		c.broken(risk.ErrNoAction)
		return
	}
	if r.Took > 0 {
		c.timing(r.Took)
	}
	c.send(200, jsonType, c.out)
}

// fallback is an answer before there is a decision. Without an ID there will be
// none: the event was not kept.
type fallback struct {
	ID       string      `json:"id,omitempty"`
	Event    string      `json:"event"`
	Tenant   string      `json:"tenant"`
	Scenario string      `json:"scenario"`
	Action   risk.Action `json:"action"`
	Degraded []string    `json:"degraded"`
}

func (c *call) sendFallback(a *engine.Answer) {
	if !a.Action.Valid() {
		c.broken(risk.ErrNoAction)
		return
	}
	f := fallback{Event: a.Event, Tenant: a.Tenant, Scenario: a.Scenario, Action: a.Action, Degraded: a.Degraded}
	if slices.Contains(a.Degraded, engine.CauseStorage) {
		c.w.Header().Set("Retry-After", storageFull.retry)
	} else {
		f.ID = a.Key.DecisionID()
	}
	c.timing(time.Since(c.started))
	c.sendJSON(200, f)
}

// timing tells how long the engine took (Server-Timing, milliseconds).
func (c *call) timing(took time.Duration) {
	var buf [32]byte
	b := strconv.AppendFloat(append(buf[:0], "engine;dur="...), float64(took.Microseconds())/1000, 'f', -1, 64)
	c.w.Header()["Server-Timing"] = []string{string(b)}
}

// event reads the body as an event of the caller's tenant.
func (c *call) event(it *engine.Item) bool {
	if !c.takesJSON() {
		return false
	}
	body, ok := c.body()
	return ok && c.intake(it, body, invalidEvent)
}

// blank stands for the bytes of an event that has been decoded: the cell still
// bounds its batches by their length, while the buffer they were in is reused.
var blank [maxBody]byte

func (c *call) intake(it *engine.Item, raw []byte, refusal *kind) bool {
	strict := c.strict()
	it.Raw, it.Tenant, it.Redact = raw, c.who.Tenant, !c.who.Has(auth.Evidence)
	if err := c.server.cell.Intake(it); err != nil {
		refused, ok := errors.AsType[*risk.DecodeError](err)
		if !ok {
			c.broken(err)
			return false
		}
		c.refused(refusal, refused)
		return false
	}
	it.Raw = blank[:min(len(raw), len(blank))]
	if w := it.Entry.Event.Warnings; strict && len(w) > 0 {
		c.refuseWarnings(refusal, w)
		return false
	}
	return true
}

// noScenario names the type, if it looks like one: what else was put there is
// not repeated.
func (c *call) noScenario(eventType string, b *engine.Bundle) {
	var known []string
	for _, sc := range b.Rules.Scenarios() {
		known = append(known, sc.Events...)
	}
	slices.Sort(known)
	name := "this type"
	if typeName(eventType) {
		name = eventType
	}
	detail := "no scenario judges " + name
	c.problem(noScenario, detail, risk.Problem{Pointer: "/event/type", Code: "no_scenario", Detail: detail,
		Hint: "judged are " + strings.Join(known, ", ") + "; send others to /v1/events"})
}

func typeName(t string) bool {
	for _, c := range []byte(t) {
		if (c < 'a' || c > 'z') && c != '.' && c != '_' {
			return false
		}
	}
	return len(t) <= 48
}

func (c *call) conflict() {
	c.problem(conflicting, "an event with this id and other content was sent before", risk.Problem{Pointer: "/event/id", Code: "conflict",
		Detail: "taken by an event with other content", Hint: "send the first event again as it was, or this one under an id of its own"})
}

// failed answers for an event that the cell did not take.
func (c *call) failed(err error) {
	switch {
	case c.r.Context().Err() != nil:
		// The caller has gone. If the event was taken, asking again gives its decision.
	case errors.Is(err, engine.ErrOverloaded):
		c.problem(overloaded, "nothing was kept: send the event again")
	case errors.Is(err, engine.ErrStorage):
		c.problem(storageFull, "nothing was kept: send the event again")
	case errors.Is(err, engine.ErrClosed):
		c.w.Header().Set("Connection", "close")
		c.problem(shuttingDown, "send the event again, to another server if there is one")
	case errors.Is(err, engine.ErrNoRelease):
		c.problem(noRelease, "nothing was kept: send the event again")
	default:
		c.broken(err)
	}
}

// broken answers for what is our fault. The caller learns where to look for it.
func (c *call) broken(err error) {
	c.server.log.Error("request failed", "route", c.route.path, "trace_id", c.traceID(), "err", err)
	c.problem(internal, "")
}

// decision answers GET /v1/decisions/{id}.
func (c *call) decision() {
	if r, _, ok := c.find(); ok {
		c.sendDecision(r)
	}
}

// find gives the decision that the path names, if it is the caller's tenant's.
func (c *call) find() (*engine.Result, *risk.Decision, bool) {
	key, ok := risk.ParseDecisionID(c.r.PathValue("id"))
	if !ok {
		c.problem(invalidID, "a decision id is dec_ and 24 letters and digits")
		return nil, nil, false
	}
	r, err := c.server.cell.Find(key)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		c.noDecision()
		return nil, nil, false
	case err != nil:
		c.broken(err)
		return nil, nil, false
	}
	d, err := risk.ParseBody(r.Body)
	if err != nil {
		c.broken(err)
		return nil, nil, false
	}
	if d.Tenant != c.who.Tenant { // as if it did not exist
		c.noDecision()
		return nil, nil, false
	}
	r.Public = d.AppendBody(nil, false)
	return &r, d, true
}

func (c *call) noDecision() {
	c.problem(notFound, "no decision has this id: it was never made, or is past its retention")
}
