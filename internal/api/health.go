package api

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/store/journal"
)

func (c *call) health() { c.sendJSON(200, map[string]string{"status": "ok"}) }

type versions struct {
	Version string `json:"version"`
	Engine  string `json:"engine"`
	Release string `json:"release"` // SHA-256 of the one that decides; empty before the first
	Go      string `json:"go"`
}

func (c *call) version() {
	s := c.server
	c.sendJSON(200, versions{Version: s.opts.Version, Engine: engine.Version, Release: s.cell.Status().Release, Go: runtime.Version()})
}

func (c *call) openapi() { c.send(200, jsonType, c.server.document) }

type readiness struct {
	Ready  bool             `json:"ready"`
	Checks map[string]state `json:"checks"`
}

type state struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	told   bool
}

// ready answers GET /readyz: 200 when every check is ok that answering needs, else 503.
func (c *call) ready() {
	r, status := c.server.readiness(c.started), 200
	if !r.Ready {
		status = 503
	}
	c.sendJSON(status, r)
}

func (s *Server) readiness(now time.Time) readiness {
	cell := s.cell.Status()
	checks := map[string]state{
		"release": said(cell.Release != "", "release "+short(cell.Release)+" decides", "no release is active"),
		"storage": said(cell.ReadOnly == "", "events are taken", cell.ReadOnly),
		"serving": said(!s.draining.Load(), "connections are taken", "the server is stopping"),
	}
	ok, detail := s.flow.moves(cell.End, cell.Durable, now)
	checks["journal"] = state{OK: ok, Detail: detail}
	for _, check := range s.opts.Checks {
		ok, detail := check.Ask()
		checks[check.Name] = state{ok, detail, check.Told}
	}
	r := readiness{Ready: true, Checks: checks}
	for _, check := range checks {
		if !check.OK && !check.told {
			r.Ready = false
		}
	}
	return r
}

func said(ok bool, yes, no string) state {
	if ok {
		return state{OK: true, Detail: yes}
	}
	return state{Detail: no}
}

func short(sum string) string { return sum[:min(len(sum), 12)] }

// journalFlow tells a journal that waits for its disk from one that is busy: what
// is appended must become durable.
type journalFlow struct {
	mu      sync.Mutex
	durable journal.Position
	since   time.Time // of the first probe that saw something wait behind durable; zero: nothing does
}

// stuck is how long nothing may become durable while something waits.
const stuck = 5 * time.Second

func (f *journalFlow) moves(end, durable journal.Position, now time.Time) (ok bool, detail string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case end <= durable:
		f.since = time.Time{}
	case f.since.IsZero() || durable != f.durable:
		f.since = now
	}
	f.durable = durable
	if !f.since.IsZero() && now.Sub(f.since) >= stuck {
		return false, fmt.Sprintf("position %d waits for the disk since %s", durable+1, now.Sub(f.since).Round(time.Second))
	}
	return true, fmt.Sprintf("durable to position %d", durable)
}
