package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/web"
	"github.com/sluice-risk/sluice/risk"
)

// viewer is one open live stream.
type viewer struct {
	board   *board
	updates chan []byte // never closed; what does not fit is left out
}

// watch adds a viewer, nil when there are too many.
func (h *hub) watch(tenant string) *viewer {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.board(tenant)
	if b == nil || len(h.viewers) >= mostPeople {
		return nil
	}
	v := &viewer{board: b, updates: make(chan []byte, 2)}
	h.viewers[v] = true
	if !b.hasViewer {
		b.hasViewer, b.arrived = true, [4]int{}
		for a := range b.newest {
			for r := range b.newest[a].newest {
				b.sent = max(b.sent, r.Position)
				break
			}
		}
	}
	return v
}

func (h *hub) leave(v *viewer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.viewers, v)
	v.board.hasViewer = false
	for o := range h.viewers {
		v.board.hasViewer = v.board.hasViewer || o.board == v.board
	}
}

// ticks sends updates until ctx is done.
func (h *hub) ticks(ctx context.Context) {
	every := time.NewTicker(tick)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			h.update()
		}
	}
}

// update makes one message for each tenant that has viewers, outside the lock
// where it takes time, and offers it to them.
func (h *hub) update() {
	sc := h.scene()
	h.mu.Lock()
	var watched []*board
	for v := range h.viewers {
		if !slices.Contains(watched, v.board) {
			watched = append(watched, v.board)
		}
	}
	updates := make([]web.Update, len(watched))
	fresh := make([][]engine.Result, len(watched))
	for i, b := range watched {
		fresh[i] = b.fresh(sc.now)
		updates[i] = web.Update{Stats: h.stats(b, sc), Rules: h.ruleRows(b, sc.now)}
	}
	h.mu.Unlock()

	for i, b := range watched {
		updates[i].Rows = h.rows(fresh[i])
		slices.Reverse(updates[i].Rows)
		h.offer(b, message(&updates[i]))
	}
}

func (h *hub) offer(b *board, m []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range h.viewers {
		if v.board != b {
			continue
		}
		select {
		case v.updates <- m:
		default: // it has not read the one before the last
		}
	}
}

// message is an event of the stream: one line of JSON.
func message(u *web.Update) []byte {
	body, err := json.Marshal(u)
	if err != nil {
		panic(err) // texts and numbers: cannot happen
	}
	return append(append([]byte("data: "), body...), '\n', '\n')
}

// fresh chooses, newest first, among the decisions since the last tick: reviews
// and blocks, then as many of those allowed as leave the list readable.
func (b *board) fresh(now time.Time) []engine.Result {
	others := b.after(b.sent, 0, 3*listed)
	allows := slices.DeleteFunc(slices.Clone(others), func(r engine.Result) bool { return r.Action != risk.Allow })
	others = slices.DeleteFunc(others, func(r engine.Result) bool { return r.Action == risk.Allow })
	others = others[:min(len(others), perTick)]
	allows = allows[:min(len(allows), max(allowed-len(others), 1))]
	if len(allows) < b.arrived[risk.Allow] {
		b.left[0] = now
	}
	if len(others) < b.arrived[risk.Review]+b.arrived[risk.Block] {
		b.left[1] = now
	}
	b.arrived = [4]int{}
	for a := range b.newest {
		for r := range b.newest[a].newest {
			b.sent = max(b.sent, r.Position)
			break
		}
	}
	out := append(others, allows...)
	slices.SortFunc(out, newestFirst)
	return out
}

// rows are the lines of results; one that cannot be read is left out and logged.
func (h *hub) rows(results []engine.Result) []web.Row {
	h.mu.Lock()
	infos := h.infos // replaced as a whole
	h.mu.Unlock()
	rows := make([]web.Row, 0, len(results))
	for i := range results {
		r, err := row(&results[i], infos)
		if err != nil {
			h.log.Error("decision cannot be shown", "position", results[i].Position, "err", err)
			continue
		}
		rows = append(rows, r)
	}
	return rows
}

// snapshot is how the pages of a tenant stand now.
func (h *hub) snapshot(tenant string) (web.Stats, []web.RuleRow) {
	sc := h.scene()
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.board(tenant)
	if b == nil {
		b = &board{} // beyond the bound: shown as empty, and missed says so
	}
	return h.stats(b, sc), h.ruleRows(b, sc.now)
}

// livePage answers GET /.
func (c *call) livePage() {
	h, q := c.server.hub, c.r.URL.Query()
	p := &web.Live{Frame: web.Frame{Title: web.Say("live.title"), Here: "live"}, Show: "all"}
	only, err := risk.ParseAction(q.Get("show"))
	if err == nil {
		p.Show = only.String()
	}
	p.Stats, p.Rules = h.snapshot(c.who.Tenant)
	if b := c.server.cell.Bundle(); b != nil {
		p.Ruleset, p.Count = b.Rules.Name, len(b.Rules.Rules())
	}
	if p.Rule = q.Get("rule"); p.Rule != "" {
		p.Rows = c.rowsOf(p.Rule)
	} else {
		p.Rows = h.rows(h.list(c.who.Tenant, only, listed))
	}
	c.sendPage(http.StatusOK, p)
}

// rowsOf reads again the newest decisions in which a rule fired.
func (c *call) rowsOf(rule string) (rows []web.Row) {
	h := c.server.hub
	for _, m := range h.mentions(c.who.Tenant, rule) {
		r, err := c.server.cell.Find(m.key)
		if err != nil {
			continue // past its retention
		}
		r.Position, r.Arrival = m.position, m.arrival
		if g, ok := h.glimpse(m.key, m.position); ok {
			r.Type, r.Amount, r.Subject = g.kind, g.amount, g.subject
		}
		rows = append(rows, h.rows([]engine.Result{r})...)
	}
	return rows
}

var eventStream = []string{"text/event-stream"}

// live answers GET /live with updates for as long as the viewer listens.
func (c *call) live() {
	const patience = 5 * time.Second // for a viewer that takes nothing
	h := c.server.hub
	v := h.watch(c.who.Tenant)
	if v == nil {
		c.problem(crowded, web.Say("fault.full"))
		return
	}
	defer h.leave(v)
	header := c.w.Header()
	header["Content-Type"] = eventStream
	header.Set("X-Accel-Buffering", "no") // a proxy must not collect events
	c.status = http.StatusOK
	c.w.WriteHeader(c.status)
	if c.r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(c.w)
	// The time to send a request is over; a connection without deadlines is a test's.
	_ = out.SetReadDeadline(time.Time{})
	// What came while no stream was open; the page knows what it has.
	first := web.Update{Rows: h.rows(h.list(c.who.Tenant, 0, perTick))}
	slices.Reverse(first.Rows)
	first.Stats, first.Rules = h.snapshot(c.who.Tenant)
	for m := message(&first); ; {
		_ = out.SetWriteDeadline(time.Now().Add(patience))
		if _, err := c.w.Write(m); err != nil || out.Flush() != nil {
			return
		}
		select {
		case m = <-v.updates:
		case <-c.r.Context().Done():
			return
		case <-c.server.closing:
			return
		}
	}
}
