package api

import (
	"bytes"
	"net/http"
	"slices"
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

// Cookies of the view, and how long a browser keeps them.
const (
	langCookie, themeCookie = "sluice_lang", "sluice_theme"
	yearInSeconds           = 365 * 24 * 3600
)

// view is how the reader wants pages: as the address says, else as was said
// before, else as the browser says.
func (c *call) view() web.View {
	v := web.View{Query: c.r.URL.Query()}
	if v.Lang = web.Chosen(v.Query.Get("lang")); v.Lang == nil {
		if v.Lang = web.Chosen(c.cookie(langCookie)); v.Lang == nil {
			v.Lang = web.Accepted(strings.Join(c.r.Header["Accept-Language"], ","))
		}
	}
	for _, theme := range []string{v.Query.Get("theme"), c.cookie(themeCookie)} {
		if v.Theme == "" && slices.Contains(web.Themes, theme) {
			v.Theme = theme
		}
	}
	v.Query.Del("lang")
	v.Query.Del("theme")
	return v
}

func (c *call) cookie(name string) string {
	if k, err := c.r.Cookie(name); err == nil {
		return k.Value
	}
	return ""
}

// remember keeps what the address says about the view for the pages to come.
// Another site can at most turn the lights on.
func (c *call) remember(v web.View) {
	q := c.r.URL.Query()
	for _, k := range []struct {
		name, value string
		said        bool
	}{{langCookie, v.Speaks().Tag, web.Chosen(q.Get("lang")) != nil}, {themeCookie, v.Looks(), slices.Contains(web.Themes, q.Get("theme"))}} {
		if k.said {
			http.SetCookie(c.w, &http.Cookie{Name: k.name, Value: k.value, Path: "/", MaxAge: yearInSeconds,
				HttpOnly: true, Secure: c.r.TLS != nil, SameSite: http.SameSiteLaxMode})
		}
	}
}

// frame is what is around a page of this reader.
func (c *call) frame(title, here string) web.Frame {
	return web.Frame{View: c.view(), Title: title, Here: here}
}

// sendPage renders and sends a page.
func (c *call) sendPage(status int, p web.Page) {
	var buf bytes.Buffer
	if err := web.Render(&buf, p); err != nil {
		c.server.log.Error("page not rendered", "route", c.route.path, "err", err)
		c.send(http.StatusInternalServerError, htmlType, []byte("<!doctype html><title>Sluice</title><p>"+internal.title))
		return
	}
	v := c.view()
	c.remember(v)
	c.w.Header().Set("Content-Language", v.Speaks().Tag)
	c.send(status, htmlType, buf.Bytes())
}

// lost reports whether a browser asks for a path that is not there.
func (c *call) lost() bool {
	return c.route.path == "other" && strings.Contains(c.r.Header.Get("Accept"), "text/html")
}

// problemPage is problem for a browser, in the reader's words where there are any.
func (c *call) problemPage(k *kind, detail string) {
	v := c.view()
	says := v.Lang.Word("problem", k.name)
	if says == k.name {
		says = k.title
	}
	why := "why." + k.name
	if k == notFound && !strings.HasPrefix(c.route.path, "/decisions") {
		why = "why.no-page"
	}
	if v.Lang.Has(why) {
		detail = v.Lang.Say(why)
	}
	key := k == unauthenticated || k == forbidden
	if key {
		detail = ""
	}
	h := c.w.Header()
	h["Content-Security-Policy"], h["Referrer-Policy"] = pagePolicy, noReferrer // also where no page is expected
	c.sendPage(k.status, &web.Fault{Frame: web.Frame{View: v, Title: says}, Status: k.status, Says: says, Detail: detail, Key: key})
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
	v := c.view()
	says := v.Lang.Say("search.none")
	c.sendPage(http.StatusNotFound, &web.Fault{Frame: web.Frame{View: v, Title: says, Search: q}, Status: http.StatusNotFound, Says: says,
		Detail: v.Lang.Say("search.none.why")})
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
