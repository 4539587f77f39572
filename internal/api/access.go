package api

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"golang.org/x/time/rate"

	"github.com/sluice-risk/sluice/internal/auth"
)

// authorised finds out who calls and whether the route is theirs and now; if
// not, the call has been answered.
func (c *call) authorised() bool {
	s := c.server
	if c.route.scope == "" {
		return true
	}
	if s.opts.Keys == nil {
		c.who = auth.Principal{Tenant: s.opts.Tenant, Scopes: auth.Scopes}
		return c.withinLimit()
	}
	token, reason := bearer(c.r.Header["Authorization"])
	if reason == "" {
		who, err := s.opts.Keys.Authenticate(token)
		if err == nil {
			c.who = who
			if !who.Has(c.route.scope) {
				c.denied("scope")
				c.problem(forbidden, "this needs a key with scope "+string(c.route.scope))
				return false
			}
			return c.withinLimit()
		}
		reason = refusal(err)
	}
	c.denied(reason)
	challenge := `Bearer realm="sluice"`
	if reason != "missing" {
		challenge += `, error="invalid_token"`
	}
	c.w.Header().Set("WWW-Authenticate", challenge)
	// Whether it is unknown, expired or revoked is not told.
	c.problem(unauthenticated, "send Authorization: Bearer with an API key that is in force")
	return false
}

func bearer(header []string) (token, reason string) {
	if len(header) == 0 {
		return "", "missing"
	}
	scheme, token, ok := strings.Cut(header[0], " ")
	if len(header) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", "malformed"
	}
	return strings.Trim(token, " "), ""
}

func refusal(err error) string {
	switch {
	case errors.Is(err, auth.ErrExpired):
		return "expired"
	case errors.Is(err, auth.ErrRevoked):
		return "revoked"
	}
	return "unknown"
}

// denied counts a refused call, and logs some: a flood of them must not fill the log.
func (c *call) denied(reason string) {
	s := c.server
	s.metrics.denied.WithLabelValues(reason).Inc()
	s.denials.Do(func() {
		s.log.Warn("call refused", "reason", reason, "key", c.who.KeyID, "tenant", c.who.Tenant, "route", c.route.path,
			"remote", c.r.RemoteAddr, "trace_id", c.traceID())
	})
}

// withinLimit takes one token out of the key's bucket.
func (c *call) withinLimit() bool {
	l := c.server.opts.Limits
	if l.PerKey == 0 {
		return true
	}
	// Only keys that are taken get here, so there are as many buckets as keys.
	bucket, ok := c.server.limiters.Load(c.who.KeyID)
	if !ok {
		bucket, _ = c.server.limiters.LoadOrStore(c.who.KeyID, rate.NewLimiter(rate.Limit(l.PerKey), l.Burst))
	}
	if bucket.(*rate.Limiter).Allow() {
		return true
	}
	seconds := func(requests float64) string { return strconv.Itoa(int(math.Ceil(requests / l.PerKey))) }
	c.w.Header().Set("Retry-After", seconds(1))
	c.w.Header().Set("RateLimit-Policy", `"`+rateLimited.name+`";q=`+strconv.Itoa(l.Burst)+`;w=`+seconds(float64(l.Burst)))
	c.problem(rateLimited, "at most "+strconv.FormatFloat(l.PerKey, 'g', -1, 64)+" requests a second")
	return false
}
