package api

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// kind is one type of problem. Its name and status are part of the interface.
type kind struct {
	name, title string
	status      int
	retry       string // seconds after which the same request may succeed; empty: it will not
}

var (
	incompleteBody   = &kind{name: "incomplete-body", title: "The request's body is incomplete", status: 400}
	invalidHeader    = &kind{name: "invalid-header", title: "A header of the request is not valid", status: 400}
	invalidID        = &kind{name: "invalid-id", title: "Not a decision id", status: 400}
	invalidEvent     = &kind{name: "invalid-event", title: "The event cannot be taken", status: 400}
	invalidOutcome   = &kind{name: "invalid-outcome", title: "The outcome cannot be taken", status: 400}
	invalidReplay    = &kind{name: "invalid-replay", title: "The records to read again are not named as they must be", status: 400}
	unauthenticated  = &kind{name: "unauthenticated", title: "No valid API key", status: 401}
	forbidden        = &kind{name: "forbidden", title: "The API key may not do this", status: 403}
	notFound         = &kind{name: "not-found", title: "Not found", status: 404}
	methodNotAllowed = &kind{name: "method-not-allowed", title: "The path does not take this method", status: 405}
	slowBody         = &kind{name: "slow-body", title: "The request's body came too slowly", status: 408, retry: "1"}
	conflicting      = &kind{name: "conflict", title: "The event id is taken", status: 409}
	observedOnly     = &kind{name: "observed-only", title: "The event was sent before to be observed only", status: 409}
	tooLarge         = &kind{name: "too-large", title: "The request's body is too large", status: 413}
	unsupportedType  = &kind{name: "unsupported-media-type", title: "The request's body is not plain JSON", status: 415}
	noScenario       = &kind{name: "no-scenario", title: "No scenario judges events of this type", status: 422}
	rateLimited      = &kind{name: "rate-limited", title: "The API key's limit is reached", status: 429, retry: "1"}
	crowded          = &kind{name: "crowded", title: "Too many viewers", status: 503, retry: "30"}
	overloaded       = &kind{name: "overloaded", title: "Too many events wait", status: 429, retry: "1"}
	internal         = &kind{name: "internal", title: "Something failed on our side", status: 500}
	noRelease        = &kind{name: "no-release", title: "No ruleset is active yet", status: 503, retry: "5"}
	shuttingDown     = &kind{name: "shutting-down", title: "The server takes no more events", status: 503, retry: "1"}
	storageFull      = &kind{name: "storage", title: "The event could not be kept", status: 503, retry: "5"}
	unconfirmed      = &kind{name: "unconfirmed", title: "The event was taken and is not yet durable", status: 503, retry: "1"}
)

// kinds are all there are, by status.
var kinds = []*kind{incompleteBody, invalidHeader, invalidID, invalidEvent, invalidOutcome, invalidReplay, unauthenticated, forbidden,
	notFound, methodNotAllowed, slowBody, conflicting, observedOnly, tooLarge, unsupportedType, noScenario, rateLimited,
	overloaded, internal, noRelease, shuttingDown, storageFull, unconfirmed, crowded}

// uri names the kind for programs. It is no address: docs/api.md lists them.
func (k *kind) uri() string { return "urn:sluice:problem:" + k.name }

// problem is a document of RFC 9457.
type problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail,omitempty"`
	Instance string         `json:"instance"`
	Errors   []risk.Problem `json:"errors,omitempty"`
	TraceID  string         `json:"trace_id"`
}

// problem answers with a problem. Neither detail nor errors may repeat a value
// that was sent: it could be somebody's name.
func (c *call) problem(k *kind, detail string, errors ...risk.Problem) {
	p := problem{Type: k.uri(), Title: k.title, Status: k.status, Detail: detail, Errors: errors,
		Instance: "urn:sluice:request:" + randomHex(), TraceID: c.traceID()}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and a number: cannot happen
	}
	h := c.w.Header()
	if k.retry != "" && h.Get("Retry-After") == "" {
		h.Set("Retry-After", k.retry)
	}
	if k.status == 429 {
		h.Set("RateLimit", fmt.Sprintf("%q;r=0;t=%s", k.name, h.Get("Retry-After")))
	}
	if c.route.page && !c.route.stream || c.lost() {
		c.problemPage(k, detail)
		return
	}
	c.send(k.status, problemType, append(body, '\n'))
}

// refused answers with why an event was not taken.
func (c *call) refused(k *kind, e *risk.DecodeError) {
	if len(e.Problems) == 1 && e.Problems[0].Code == risk.CodeTooLarge {
		k = tooLarge
	}
	detail := strconv.Itoa(len(e.Problems)) + " problems"
	if len(e.Problems) == 1 {
		detail = e.Problems[0].Detail
	}
	if e.Offset >= 0 {
		detail += fmt.Sprintf(", reading stopped at byte %d", e.Offset)
	}
	c.problem(k, detail, e.Problems...)
}

// refuseWarnings refuses, under strict handling, what would be warned of.
func (c *call) refuseWarnings(k *kind, warnings []risk.Warning) {
	errors := make([]risk.Problem, len(warnings))
	for i, w := range warnings {
		errors[i] = risk.Problem{Pointer: w.Pointer, Code: w.Code, Detail: w.Detail}
	}
	errors[0].Hint = "without Prefer: handling=strict this is a warning"
	c.problem(k, "strict handling was asked for, and something cannot be used as sent", errors...)
}
