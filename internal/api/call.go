package api

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-risk/sluice/internal/auth"
)

// call is one request and its answer. It is pooled: nothing of it may be kept.
type call struct {
	server  *Server
	route   *route
	w       http.ResponseWriter
	r       *http.Request
	who     auth.Principal
	started time.Time
	status  int // of the answer; 0: none yet
	trace   string
	in, out []byte // buffers of the request's and the answer's body
}

var calls = sync.Pool{New: func() any { return &call{in: make([]byte, 4<<10), out: make([]byte, 0, 4<<10)} }}

func (c *call) release() {
	clear(c.in) // a request holds what must not stay in memory
	*c = call{in: c.in, out: c.out[:0]}
	calls.Put(c)
}

// send writes the whole answer. That the caller has gone is no error of ours.
func (c *call) send(status int, contentType []string, body []byte) {
	h := c.w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.status = status
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// sendJSON is send for what is not asked often.
func (c *call) sendJSON(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types: cannot happen
	}
	c.send(status, jsonType, append(body, '\n'))
}

// takesJSON checks that the request has a body in JSON, as it stands.
func (c *call) takesJSON() bool {
	h := c.r.Header
	if e := h["Content-Encoding"]; len(e) > 1 || len(e) == 1 && !strings.EqualFold(e[0], "identity") {
		c.problem(unsupportedType, "the body must not be compressed")
		return false
	}
	t := h["Content-Type"]
	if len(t) == 1 {
		if t[0] == "application/json" {
			return true
		}
		if media, _, err := mime.ParseMediaType(t[0]); err == nil && media == "application/json" {
			return true
		}
	}
	c.w.Header().Set("Accept", "application/json")
	c.problem(unsupportedType, "send Content-Type: application/json")
	return false
}

// body reads the request's body, at most Limits.BodyBytes.
func (c *call) body() ([]byte, bool) {
	limit := c.server.opts.Limits.BodyBytes
	if c.r.ContentLength > int64(limit) {
		return nil, c.tooLarge(limit)
	}
	for n := 0; ; {
		if n == len(c.in) {
			c.in = append(c.in, make([]byte, min(len(c.in), limit+1-n))...)
		}
		k, err := c.r.Body.Read(c.in[n:])
		switch n += k; {
		case n > limit:
			return nil, c.tooLarge(limit)
		case err == io.EOF:
			return c.in[:n], true
		case err != nil:
			c.w.Header().Set("Connection", "close")
			if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
				c.problem(slowBody, "the body did not arrive in "+c.server.timeouts.request.String())
			} else {
				c.problem(incompleteBody, "the connection ended before the body did")
			}
			return nil, false
		}
	}
}

// tooLarge refuses without reading the rest, which the connection does not survive.
func (c *call) tooLarge(limit int) bool {
	c.w.Header().Set("Connection", "close")
	c.problem(tooLarge, "at most "+strconv.Itoa(limit)+" bytes are read")
	return false
}

const maxDeadline = 60_000 // ms

// deadline is what the caller set, 0 for nothing.
func (c *call) deadline() (time.Duration, bool) {
	values := c.r.Header["Sluice-Deadline-Ms"]
	if len(values) == 0 {
		return 0, true
	}
	ms, err := strconv.ParseUint(values[0], 10, 32)
	if err != nil || ms < 1 || ms > maxDeadline || len(values) > 1 {
		c.problem(invalidHeader, "Sluice-Deadline-Ms is one whole number of milliseconds, 1 to 60000")
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// strict reports whether the caller wants what is warned of to be refused
// (RFC 7240, handling=strict), and says so in the answer.
func (c *call) strict() bool {
	values := c.r.Header["Prefer"]
	for _, value := range values {
		for preference := range strings.SplitSeq(value, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, want, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "handling") {
				// The first one counts.
				if strings.EqualFold(strings.Trim(strings.TrimSpace(want), `"`), "strict") {
					c.w.Header().Set("Preference-Applied", "handling=strict")
					return true
				}
				return false
			}
		}
	}
	return false
}

// traceID is the caller's, from a W3C traceparent, else a random one.
func (c *call) traceID() string {
	if c.trace == "" {
		if t := c.r.Header["Traceparent"]; len(t) == 1 && validTrace(t[0]) {
			c.trace = strings.Clone(t[0][3:35])
		} else {
			c.trace = randomHex() + randomHex()
		}
	}
	return c.trace
}

// validTrace takes version-traceid-parentid-flags. Versions to come may be longer.
func validTrace(t string) bool {
	if len(t) < 55 || t[2] != '-' || t[35] != '-' || t[52] != '-' || t[:2] == "ff" || len(t) > 55 && (t[:2] == "00" || t[55] != '-') {
		return false
	}
	for _, c := range []byte(t[:2] + t[3:35] + t[36:52] + t[53:55]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return strings.Trim(t[3:35], "0") != "" && strings.Trim(t[36:52], "0") != ""
}

// randomHex need only be different from request to request.
func randomHex() string {
	var b [8]byte
	for i, v := 0, rand.Uint64(); i < len(b); i, v = i+1, v>>8 {
		b[i] = byte(v)
	}
	return hex.EncodeToString(b[:])
}
