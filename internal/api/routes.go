package api

import (
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/internal/auth"
)

// route is one method of one path. The OpenAPI document shows all but pages.
type route struct {
	method, path string
	scope        auth.Scope // that the caller's key needs; empty: no key is asked for
	serve        func(*call)

	id, summary string
	request     string // schema of the body; empty: none
	answers     []answer
	problems    []*kind // beside those that follow from scope and request

	page   bool // for a browser: gets a content security policy
	stream bool // may answer for as long as the caller listens, until Server.closing
}

type answer struct {
	status int
	schema string
	about  string
}

// routes is all that is served.
func (s *Server) routes() []route {
	all := []route{{
		method: "POST", path: "/v1/decisions", scope: auth.Decide, serve: (*call).decide,
		id: "decide", summary: "Judge an event: allow, review or block.", request: "Event",
		answers:  []answer{{200, "Decision", "The decision, or with `degraded` the scenario's fallback."}},
		problems: []*kind{invalidHeader, invalidEvent, noScenario, conflicting, observedOnly, overloaded, noRelease, shuttingDown},
	}, {
		method: "GET", path: "/v1/decisions/{id}", scope: auth.Decide, serve: (*call).decision,
		id: "decision", summary: "Read a decision again.",
		answers:  []answer{{200, "Decision", "The decision as it was first made."}},
		problems: []*kind{invalidID, notFound},
	}, {
		method: "POST", path: "/v1/decisions/{id}/outcomes", scope: auth.Decide, serve: (*call).outcome,
		id: "outcome", summary: "Tell what the issuer answered to the payment of a decision.", request: "Outcome",
		answers:  []answer{{202, "Accepted", "The outcome is counted, once."}},
		problems: []*kind{invalidID, notFound, invalidHeader, invalidOutcome, conflicting, overloaded, storageFull, noRelease, shuttingDown, unconfirmed},
	}, {
		method: "POST", path: "/v1/events", scope: auth.Decide, serve: (*call).observe,
		id: "observe", summary: "Feed an event to the features, without a decision.", request: "Event",
		answers:  []answer{{202, "Accepted", "The event is counted, once."}},
		problems: []*kind{invalidHeader, invalidEvent, conflicting, overloaded, storageFull, noRelease, shuttingDown, unconfirmed},
	}, {
		method: "POST", path: "/v1/dead-letters/replays", scope: auth.Admin, serve: (*call).replay,
		id: "replay", summary: "Read records that were refused again, at their places in the source topics.", request: "Replay",
		answers:  []answer{{200, "Replayed", "What became of each. Asking again changes nothing."}},
		problems: []*kind{invalidReplay, notFound, noRelease},
	}, {
		method: "GET", path: "/v1/backfill", scope: auth.Admin, serve: (*call).backfill,
		id: "backfill", summary: "How far the past of new features is computed.",
		answers: []answer{{200, "Backfill", "The one that runs; without `features` none does."}},
	}, {
		method: "GET", path: "/healthz", serve: (*call).health,
		id: "health", summary: "Whether the process answers.",
		answers: []answer{{200, "Health", "It does."}},
	}, {
		method: "GET", path: "/readyz", serve: (*call).ready,
		id: "ready", summary: "Whether events should be sent here.",
		answers: []answer{{200, "Readiness", "Every check is ok."}, {503, "Readiness", "At least one check is not."}},
	}, {
		method: "GET", path: "/version", serve: (*call).version,
		id: "version", summary: "What is running.",
		answers: []answer{{200, "Version", "Program, engine and active release."}},
	}, {
		method: "GET", path: "/openapi.json", serve: (*call).openapi,
		id: "openapi", summary: "This document.",
		answers: []answer{{200, "", "An OpenAPI 3.1 document."}},
	}}
	if s.opts.Gatherer != nil && !s.opts.MetricsApart {
		// Counts by rule tell an attacker which rule was met, so beside
		// callers' routes they need a key as soon as there are keys.
		all = append(all, route{
			method: "GET", path: "/metrics", scope: auth.Admin, serve: s.serveMetrics(),
			id: "metrics", summary: "Counters and durations in the text format of Prometheus.",
			answers: []answer{{200, "", "Text in the exposition format."}},
		})
	}
	// The first page's path is "/{$}", for "/" would take every path there is.
	return append(all, s.pages()...)
}

// mux serves the routes, and a problem document for everything else.
func (s *Server) mux(routes []route) http.Handler {
	mux := http.NewServeMux()
	allow := map[string][]string{}
	for i := range routes {
		r := &routes[i]
		mux.Handle(r.method+" "+r.path, s.endpoint(r))
		if allow[r.path] = append(allow[r.path], r.method); r.method == "GET" {
			allow[r.path] = append(allow[r.path], "HEAD")
		}
	}
	for path, methods := range allow {
		slices.Sort(methods)
		allowed := strings.Join(methods, ", ")
		mux.Handle(path, s.endpoint(&route{path: "other", serve: func(c *call) {
			c.w.Header().Set("Allow", allowed)
			c.problem(methodNotAllowed, "this path takes "+allowed)
		}}))
	}
	unknown := s.endpoint(&route{path: "other", serve: func(c *call) { c.problem(notFound, "no such path; /openapi.json lists all") }})
	if allow["/"] == nil {
		mux.Handle("/", unknown)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would redirect a path that is not clean, and tell so in HTML.
		if p := r.URL.Path; p == "" || p[0] != '/' || !clean(p) || r.Method == http.MethodConnect {
			unknown.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// clean reports whether a path is as short as it can be; a slash at its end is kept.
func clean(p string) bool {
	if len(p) > 1 {
		p = strings.TrimSuffix(p, "/")
	}
	return path.Clean(p) == p
}

// endpoint is a route as the mux calls it: who calls, the answer, its count.
type endpoint struct {
	server *Server
	route  *route
	counts *counts
}

func (s *Server) endpoint(r *route) http.Handler {
	return &endpoint{server: s, route: r, counts: s.metrics.route(r)}
}

var (
	jsonType    = []string{"application/json"}
	problemType = []string{"application/problem+json"}
	nosniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
	pagePolicy  = []string{"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"}
	noReferrer = []string{"no-referrer"}
)

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := calls.Get().(*call)
	c.server, c.route, c.w, c.r, c.started = e.server, e.route, w, r, time.Now()
	defer e.finish(c)
	h := w.Header()
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	if e.route.page {
		h["Content-Security-Policy"] = pagePolicy
		h["Referrer-Policy"] = noReferrer
	}
	if e.route.stream {
		// A connection that cannot do without a deadline keeps it.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
	}
	if c.authorised() {
		e.route.serve(c)
	}
}

// finish counts the call. A panic ends the request only; whoever sent it learns
// nothing but where to look for it in the log.
func (e *endpoint) finish(c *call) {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler {
		e.server.log.Error("request failed", "route", e.route.path, "trace_id", c.traceID(), "panic", fault, "stack", string(debug.Stack()))
		if c.status == 0 {
			c.problem(internal, "")
			fault = nil
		} else {
			fault = http.ErrAbortHandler // half an answer must not look like one
		}
	}
	e.counts.add(c.status, time.Since(c.started))
	c.release()
	if fault != nil {
		panic(fault)
	}
}
