package api

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/sluice-risk/sluice/internal/auth"
	"github.com/sluice-risk/sluice/internal/web"
	"github.com/sluice-risk/sluice/risk"
)

// pages are what a browser shows. All but the assets hold evidence, so they need
// a key with that scope as soon as keys are asked for.
func (s *Server) pages() []route {
	return []route{
		{method: "GET", path: "/{$}", scope: auth.Evidence, serve: (*call).livePage, page: true},
		{method: "GET", path: "/live", scope: auth.Evidence, serve: (*call).live, page: true, stream: true},
		{method: "GET", path: "/rules", scope: auth.Evidence, serve: (*call).rulesPage, page: true},
		{method: "GET", path: "/decisions", scope: auth.Evidence, serve: (*call).search, page: true},
		{method: "GET", path: "/decisions/{id}", scope: auth.Evidence, serve: (*call).decisionPage, page: true},
		{method: "GET", path: "/assets/{file}", serve: (*call).asset, page: true},
	}
}

var (
	htmlType = []string{"text/html; charset=utf-8"}
	// An asset's address changes with its content.
	forGood = []string{"public, max-age=31536000, immutable"}
)

// sendPage renders and sends a page.
func (c *call) sendPage(status int, p web.Page) {
	var buf bytes.Buffer
	if err := web.Render(&buf, p); err != nil {
		c.server.log.Error("page not rendered", "route", c.route.path, "err", err)
		c.send(http.StatusInternalServerError, htmlType, []byte("<!doctype html><title>Sluice</title><p>"+internal.title))
		return
	}
	c.send(status, htmlType, buf.Bytes())
}

// problemPage is problem for a browser.
func (c *call) problemPage(k *kind, detail string) {
	key := k == unauthenticated || k == forbidden
	if key {
		detail = ""
	}
	c.sendPage(k.status, &web.Fault{Frame: web.Frame{Title: k.title}, Status: k.status, Says: k.title, Detail: detail, Key: key})
}

func (c *call) asset() {
	f, ok := web.Asset(c.r.PathValue("file"))
	if !ok {
		c.problem(notFound, "")
		return
	}
	h := c.w.Header()
	h["Cache-Control"] = forGood
	h.Set("ETag", f.ETag)
	if strings.Contains(c.r.Header.Get("If-None-Match"), f.ETag) {
		c.status = http.StatusNotModified
		c.w.WriteHeader(c.status)
		return
	}
	c.send(http.StatusOK, []string{f.Type}, f.Body)
}

// search leads to the decision on an event, by the id of either.
func (c *call) search() {
	q := strings.TrimSpace(c.r.FormValue("q"))
	key, ok := risk.ParseDecisionID(q)
	if !ok {
		key = risk.KeyOf(c.who.Tenant, q)
	}
	if d := c.lookUp(key); d != nil {
		c.status = http.StatusSeeOther
		http.Redirect(c.w, c.r, "/decisions/"+d.ID, c.status)
		return
	}
	says := web.Say("search.none")
	c.sendPage(http.StatusNotFound, &web.Fault{Frame: web.Frame{Title: says, Query: q}, Status: http.StatusNotFound, Says: says, Detail: web.Say("search.none.why")})
}

// lookUp gives a decision of the caller's tenant, nil if there is none.
func (c *call) lookUp(key risk.EventKey) *risk.Decision {
	r, err := c.server.cell.Find(key)
	if err != nil {
		return nil
	}
	d, err := risk.ParseBody(r.Body)
	if err != nil || d.Tenant != c.who.Tenant {
		return nil
	}
	return d
}
