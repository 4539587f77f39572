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
	lang    *web.Language
	board   *board
	updates chan []byte // never closed; what does not fit is left out
}

// watch adds a viewer, nil when there are too many.
func (h *hub) watch(tenant string, lang *web.Language) *viewer {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.board(tenant)
	if b == nil || len(h.viewers) >= mostPeople {
		return nil
	}
	v := &viewer{lang: lang, board: b, updates: make(chan []byte, 2)}
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

// audience are the viewers that get the same message.
type audience struct {
	board *board
	lang  *web.Language
}

// update makes one message for each tenant and language that has viewers, outside
// the lock where it takes time, and offers it to them.
func (h *hub) update() {
	sc := h.scene()
	h.mu.Lock()
	fresh := map[*board][]engine.Result{}
	updates := map[audience]*web.Update{}
	for v := range h.viewers {
		if _, ok := fresh[v.board]; !ok {
			fresh[v.board] = v.board.fresh(sc.now)
		}
		to := audience{v.board, v.lang}
		if updates[to] == nil {
			u := &web.Update{Stats: h.stats(v.board, sc, v.lang)}
			u.Stops, u.Rules = h.ruleRows(v.board, sc.now, v.lang)
			updates[to] = u
		}
	}
	h.mu.Unlock()

	for to, u := range updates {
		u.Rows = h.rows(fresh[to.board], to.lang)
		slices.Reverse(u.Rows)
		h.offer(to, message(u))
	}
}

func (h *hub) offer(to audience, m []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for v := range h.viewers {
		if v.board != to.board || v.lang != to.lang {
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
func (h *hub) rows(results []engine.Result, lang *web.Language) []web.Row {
	h.mu.Lock()
	infos, reasons := h.infos, h.reasons // replaced as a whole
	h.mu.Unlock()
	rows := make([]web.Row, 0, len(results))
	for i := range results {
		r, err := row(&results[i], infos, reasons, lang)
		if err != nil {
			h.log.Error("decision cannot be shown", "position", results[i].Position, "err", err)
			continue
		}
		rows = append(rows, r)
	}
	return rows
}

// snapshot is how the pages of a tenant stand now.
func (h *hub) snapshot(tenant string, lang *web.Language) (u web.Update) {
	sc := h.scene()
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.board(tenant)
	if b == nil {
		b = &board{} // beyond the bound: shown as empty, and missed says so
	}
	u.Stats = h.stats(b, sc, lang)
	u.Stops, u.Rules = h.ruleRows(b, sc.now, lang)
	return u
}

// livePage answers GET /.
func (c *call) livePage() {
	h, q := c.server.hub, c.r.URL.Query()
	p := &web.Live{Frame: c.frame("", "live"), Show: "all"}
	lang := p.Lang
	p.Title = lang.Say("live.title")
	only, err := risk.ParseAction(q.Get("show"))
	if err == nil {
		p.Show = only.String()
	}
	u := h.snapshot(c.who.Tenant, lang)
	p.Stats, p.Stops, p.Rules = u.Stats, u.Stops, u.Rules
	p.Rule = q.Get("rule")
	p.Named = p.Rule
	if b := c.server.cell.Bundle(); b != nil {
		all := b.Rules.Rules()
		p.Ruleset, p.Count = b.Rules.Name, len(all)
		for i := range all {
			if all[i].ID == p.Rule {
				p.Named = title(&all[i], lang)
			}
		}
	}
	if p.Rule != "" {
		p.Rows = c.rowsOf(p.Rule, lang)
	} else {
		p.Rows = h.rows(h.list(c.who.Tenant, only, listed), lang)
	}
	c.sendPage(http.StatusOK, p)
}

// rowsOf reads again the newest decisions in which a rule fired.
func (c *call) rowsOf(rule string, lang *web.Language) (rows []web.Row) {
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
		rows = append(rows, h.rows([]engine.Result{r}, lang)...)
	}
	return rows
}

var eventStream = []string{"text/event-stream"}

// live answers GET /live with updates for as long as the viewer listens.
func (c *call) live() {
	const patience = 5 * time.Second // for a viewer that takes nothing
	h := c.server.hub
	lang := c.view().Lang
	v := h.watch(c.who.Tenant, lang)
	if v == nil {
		c.problem(crowded, lang.Say("fault.full"))
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
	first := h.snapshot(c.who.Tenant, lang)
	first.Rows = h.rows(h.list(c.who.Tenant, 0, perTick), lang)
	slices.Reverse(first.Rows)
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
