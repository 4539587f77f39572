package api

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/web"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store/journal"
)

// Follow gives nothing: tests of pages put results into the hub themselves.
// At gives what was shown.
func (f *fake) At(at journal.Position) (engine.Result, error) {
	r, ok := f.past[at]
	if !ok {
		return r, engine.ErrNotFound
	}
	return r, nil
}

func (f *fake) Follow(ctx context.Context, _ journal.Position, _ func([]engine.Result) error) error {
	<-ctx.Done()
	return ctx.Err()
}

const hostile = `"><script>alert(1)</script>'&<!--`

// hostileDecision has what a page must not believe in every text it can have.
func hostileDecision() *risk.Decision {
	key := risk.KeyOf("default", hostile)
	return &risk.Decision{ID: key.DecisionID(), Event: hostile, Tenant: "default", Scenario: hostile, Action: risk.Block,
		Score: risk.Number{Value: 0.71, Set: true}, Reasons: []risk.Reason{{Code: hostile, Text: hostile}},
		Rules: []risk.Fired{
			{ID: "large_amount", Stage: "review", Mode: "live", At: hostile, Because: []risk.Because{
				{Left: hostile, Value: risk.Scalar{Kind: risk.Text, Text: hostile}, Op: "==", Limit: risk.Scalar{Kind: risk.Text, Text: hostile}, Window: hostile},
				{Left: "b" + hostile, Value: risk.Scalar{Kind: risk.Bool}, Op: "has"}}},
			{ID: hostile, Stage: hostile, Mode: "shadow", At: hostile, Points: 3},
			{ID: "gone", Stage: "points", Mode: "live", Points: 40, At: "rules/x.yaml:1"},
			{ID: "absent", Stage: "review", Mode: "live", Result: "missing(" + hostile + ")", At: "rules/x.yaml:2"}},
		Features: risk.Values{Names: []string{"amount_sum", "own_sum"}, Value: []float64{math.NaN(), 1234.5}},
		Partial:  []risk.Partial{{Since: arrival, Features: []string{hostile}}}, Approximate: []string{hostile},
		Advice: risk.Advice{Challenge: true}, Hold: risk.Hold{ID: key.HoldID(), Expires: arrival},
		Versions: risk.Versions{Engine: hostile, Ruleset: hostile, Features: hostile, Lists: hostile, Model: hostile, Screening: hostile, Facts: hostile},
		Warnings: []risk.Warning{{Pointer: hostile, Code: hostile, Detail: hostile}}}
}

func resultOf(d *risk.Decision, p journal.Position) engine.Result {
	return engine.Result{Position: p, Verdict: engine.Decided, Key: risk.KeyOf(d.Tenant, d.Event), Tenant: d.Tenant, Event: d.Event, Type: "payment.authorization",
		Arrival: arrival, Body: d.AppendBody(nil, true), Action: d.Action, Scenario: d.Scenario, Subject: "u_1",
		Amount: risk.Money{Minor: 1234567, Currency: "USD"}, Base: risk.Money{Minor: 1234567, Currency: "USD"}, Took: 3 * time.Millisecond}
}

// show lets the fake know a decision and the hub see it.
func show(t testing.TB, s *Server, f *fake, r engine.Result) {
	t.Helper()
	f.mu.Lock()
	f.seen[r.Key] = &kept{position: r.Position, body: r.Body, answered: r.Answered}
	if f.past == nil {
		f.past = map[journal.Position]engine.Result{}
	}
	f.past[r.Position] = r
	f.mu.Unlock()
	if err := s.hub.take([]engine.Result{r}); err != nil {
		t.Fatal(err)
	}
}

func browse(s *Server, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func newTestPages(t testing.TB, o Options) (*Server, *fake) {
	t.Helper()
	f := newFake()
	s, err := newServer(f, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, f
}

// wellFormed reads HTML as strict XML with HTML's void elements, and gives all
// text and attributes found in it.
func wellFormed(t testing.TB, page []byte) (text string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(page))
	d.Entity = xml.HTMLEntity
	d.AutoClose = []string{"meta", "link", "input", "img", "col"}
	d.Strict = true
	// HTML has attributes without a value and void elements without an end.
	fixed := regexp.MustCompile(`<(meta|link|input|img|col)\b([^>]*[^/])?>`).ReplaceAll(page, []byte("<$1$2/>"))
	fixed = regexp.MustCompile(`(<[a-z][^<>]*?) (hidden|required|defer|checked|data-clock)(=""|)([ />])`).ReplaceAll(fixed, []byte(`$1 $2=""$4`))
	fixed = bytes.Replace(fixed, []byte("<!doctype html>"), nil, 1)
	d = xml.NewDecoder(bytes.NewReader(fixed))
	d.Entity = xml.HTMLEntity
	var b strings.Builder
	ids := map[string]bool{}
	inTemplate := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatalf("not well formed: %v near %.200s", err, fixed[max(0, d.InputOffset()-100):])
		}
		switch v := token.(type) {
		case xml.StartElement:
			if v.Name.Local == "template" {
				inTemplate++
			}
			for _, a := range v.Attr {
				name := a.Name.Local
				if name == "style" || strings.HasPrefix(name, "on") || strings.HasPrefix(strings.ToLower(a.Value), "javascript:") {
					t.Errorf("<%s %s=%q> is inline", v.Name.Local, name, a.Value)
				}
				if name == "id" && inTemplate == 0 {
					if ids[a.Value] {
						t.Errorf("id %q stands twice", a.Value)
					}
					ids[a.Value] = true
				}
				b.WriteString(a.Value + "\n")
			}
			if v.Name.Local == "script" && len(v.Attr) == 0 {
				t.Error("a script without an address")
			}
		case xml.EndElement:
			if v.Name.Local == "template" {
				inTemplate--
			}
		case xml.CharData:
			b.WriteString(string(v) + "\n")
		case xml.Comment:
			t.Errorf("a comment: %s", v)
		}
	}
}

func TestPagesEscape(t *testing.T) {
	s, f := newTestPages(t, Options{Release: func() Release {
		return Release{Name: hostile, SHA256: hostile, Dir: hostile, Problem: hostile + "\nsecond line", Checked: time.Now()}
	}})
	f.status.ReadOnly = hostile
	d := hostileDecision()
	r := resultOf(d, 11)
	r.Subject, r.Type, r.Answered = hostile, hostile, &risk.Answered{Action: risk.Review, Degraded: []string{hostile}}
	show(t, s, f, r)
	for _, path := range []string{"/", "/?show=block", "/?rule=large_amount", "/?rule=" + "%22%3E%3Cscript%3E", "/rules", "/decisions/" + d.ID,
		"/decisions?q=%22%3E%3Cscript%3Ealert(1)", "/decisions/dec_nonsense", "/decisions/dec_" + strings.Repeat("a", 24)} {
		w := browse(s, path, "Host", hostile)
		h := w.Header()
		if h.Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; style-src 'self';") ||
			strings.Contains(h.Get("Content-Security-Policy"), "unsafe") || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
		if bytes.Contains(w.Body.Bytes(), []byte("<script>")) {
			t.Errorf("%s lets markup through", path)
		}
		text := wellFormed(t, w.Body.Bytes())
		if strings.Contains(path, d.ID) || path == "/?show=block" {
			if !strings.Contains(text, hostile) {
				t.Errorf("%s does not show the event: %s", path, w.Body)
			}
		}
	}
}

func TestDecisionPage(t *testing.T) {
	s, f := newTestPages(t, Options{})
	d := hostileDecision()
	r := resultOf(d, 11)
	show(t, s, f, r)
	text := wellFormed(t, browse(s, "/decisions/"+d.ID).Body.Bytes())
	for _, want := range []string{"12,345.67 USD", "u_1", "0.71", "missing(", "1,234.5", "curl 'http://example.com/v1/decisions/" + d.ID + "'",
		string(r.Body), "In shadow: recorded, never acted on", "complete from", "Ask the payer to authenticate", "40 points", "not in the active release"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	// Beyond what is remembered the page says what it does not know.
	other := *d
	other.Event = "old"
	o := resultOf(&other, 5)
	other.ID = o.Key.DecisionID()
	o.Body = other.AppendBody(nil, true)
	f.seen[o.Key] = &kept{position: 5, body: o.Body}
	text = wellFormed(t, browse(s, "/decisions/"+other.ID).Body.Bytes())
	if strings.Contains(text, "12,345.67") || !strings.Contains(text, "not part of the stored evidence") {
		t.Error("an old decision must say that its amount is not at hand")
	}
}

func TestCause(t *testing.T) {
	f := newFake()
	versions := f.bundle.Rules.Versions()
	sc := f.bundle.Rules.Scenarios()[0]
	info := f.bundle.Rules.Rules()[0]
	s, _ := newTestPages(t, Options{})
	check := func(d risk.Decision, want string) {
		t.Helper()
		d.Tenant, d.Scenario, d.Versions = "default", sc.Name, versions
		r := resultOf(&d, 1)
		e := evidence{Decision: &d, result: &r, scenario: sc, same: true, rules: s.hub.infos, lang: web.English}
		if got := e.page().Cause; got != want {
			t.Errorf("cause %q, want %q", got, want)
		}
	}
	s.hub.look()
	stage := info.Stage
	action := asks(stage)
	if action == 0 {
		t.Fatalf("the first rule of the test ruleset has stage %s", stage)
	}
	reason := []risk.Reason{{Code: info.Reason}}
	hit := risk.Fired{ID: info.ID, Stage: stage, Mode: "live"}
	missing := hit
	missing.Result = "missing(x)"
	check(risk.Decision{Event: "a", Action: action, Reasons: reason, Rules: []risk.Fired{hit}}, "Because of “"+title(&info, web.English)+"”.")
	check(risk.Decision{Event: "a", Action: action, Reasons: reason, Rules: []risk.Fired{missing}}, "Because “"+title(&info, web.English)+"” could not be evaluated.")
	check(risk.Decision{Event: "a", Action: risk.Allow}, "No rule objected.")
	hit.Mode = "shadow"
	check(risk.Decision{Event: "a", Action: action, Rules: []risk.Fired{hit}}, "")
	if sc.Score.Scorer != "" {
		check(risk.Decision{Event: "a", Action: risk.Block, Score: risk.Number{Value: 1, Set: true}}, "The score 1 lies in the band of block.")
	}
}

func TestPagesNeedAKey(t *testing.T) {
	keys, tokens := keyring(t, "default decide", "default evidence", "other evidence")
	s, f := newTestPages(t, Options{Keys: keys})
	d := decisionOn(risk.KeyOf("default", "pay_1"), &risk.Record{Tenant: "default", Event: risk.Event{ID: "pay_1", Amount: risk.Money{Minor: 90_000, Currency: "USD"}}}, "card_payment")
	show(t, s, f, resultOf(d, 11))
	seen := map[string]bool{}
	for _, r := range s.routes() {
		if !r.page || r.path == "/assets/{file}" {
			continue
		}
		seen[r.path] = true
		path := strings.NewReplacer("{$}", "", "{id}", d.ID).Replace(r.path)
		for token, want := range map[string]int{"": 401, "default decide": 403} {
			var h []string
			if token != "" {
				h = []string{"Authorization", "Bearer " + tokens[token].Reveal()}
			}
			w := browse(s, path, h...)
			if w.Code != want {
				t.Errorf("%s with %q: %d, want %d", path, token, w.Code, want)
			}
			if r.stream {
				continue
			}
			if !strings.Contains(w.Body.String(), "needs an API key with the scope evidence") {
				t.Errorf("%s with %q does not say what is needed: %s", path, token, w.Body)
			}
			wellFormed(t, w.Body.Bytes())
		}
	}
	if len(seen) != 5 {
		t.Errorf("pages: %v", seen)
	}
	own, other := "Bearer "+tokens["default evidence"].Reveal(), "Bearer "+tokens["other evidence"].Reveal()
	if w := browse(s, "/", "Authorization", own); w.Code != 200 || !strings.Contains(w.Body.String(), "pay_1") {
		t.Errorf("own page: %d", w.Code)
	}
	for path, want := range map[string]int{"/": 200, "/?rule=large_amount": 200, "/rules": 200, "/decisions/" + d.ID: 404, "/decisions?q=pay_1": 404, "/decisions?q=" + d.ID: 404} {
		w := browse(s, path, "Authorization", other)
		if w.Code != want || strings.Contains(w.Body.String(), "12,345.67") || path == "/" && !strings.Contains(w.Body.String(), `id="total">0 decisions`) {
			t.Errorf("another tenant's %s: %d", path, w.Code)
		}
	}
}

func TestSearch(t *testing.T) {
	s, f := newTestPages(t, Options{})
	d := hostileDecision()
	show(t, s, f, resultOf(d, 11))
	for _, q := range []string{d.ID, "%22%3E%3Cscript%3Ealert(1)%3C/script%3E'%26%3C!--", "%20" + d.ID + "%20"} {
		if w := browse(s, "/decisions?q="+q); w.Code != 303 || w.Header().Get("Location") != "/decisions/"+d.ID {
			t.Errorf("q=%s: %d %s", q, w.Code, w.Header().Get("Location"))
		}
	}
	if w := browse(s, "/decisions?q=nothing"); w.Code != 404 || !strings.Contains(w.Body.String(), "No decision found") || !strings.Contains(w.Body.String(), `value="nothing"`) {
		t.Errorf("unknown: %d %s", w.Code, w.Body)
	}
}

// A reader's language and theme come from the address, else from cookies, else
// from the browser; the address is remembered.
func TestView(t *testing.T) {
	s, f := newTestPages(t, Options{})
	d := hostileDecision()
	show(t, s, f, resultOf(d, 11))
	get := func(path string, want []string, header ...string) http.Header {
		t.Helper()
		w := browse(s, path, header...)
		page := w.Body.String()
		for _, part := range append(want, `hreflang=`) {
			if !strings.Contains(page, part) {
				t.Errorf("%s %q: no %s in %.300s", path, header, part, page)
			}
		}
		wellFormed(t, w.Body.Bytes())
		return w.Header()
	}
	zh, en := `<html lang="zh-CN" data-theme="`, `<html lang="en" data-theme="`
	for _, path := range []string{"/", "/rules", "/decisions/" + d.ID, "/decisions?q=nothing", "/decisions/none"} {
		get(path, []string{zh + "auto"}, "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.5")
		get(path, []string{en + "auto", `content="light dark"`}, "Accept-Language", "de")
		get(path, []string{zh + "dark", `content="dark"`}, "Cookie", "sluice_lang=zh-CN; sluice_theme=dark", "Accept-Language", "en")
		get(path, []string{en + "auto"}, "Cookie", "sluice_lang=tlh; sluice_theme=\"><b>")
	}
	get("/decisions/"+d.ID, []string{"拦截", "USD 12,345.67"}, "Accept-Language", "zh")
	get("/nowhere", []string{zh + "auto", "没有这个页面"}, "Accept-Language", "zh", "Accept", "text/html,*/*")
	if w := browse(s, "/nowhere"); w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("a program gets %s", w.Header().Get("Content-Type"))
	}

	h := get("/?show=block&lang=zh-CN&theme=light", []string{zh + "light", `href="?lang=en&amp;show=block"`, `href="?show=block&amp;theme=dark"`}, "Cookie", "sluice_lang=en")
	if got := strings.Join(h["Set-Cookie"], "\n"); !strings.Contains(got, "sluice_lang=zh-CN; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax") ||
		!strings.Contains(got, "sluice_theme=light;") || h.Get("Content-Language") != "zh-CN" {
		t.Errorf("cookies %q, language %s", got, h.Get("Content-Language"))
	}
	if h = get("/?lang=tlh&theme=none", []string{en + "auto"}); len(h["Set-Cookie"]) > 0 {
		t.Errorf("cookies %q", h["Set-Cookie"])
	}
}

// Viewers of one tenant are told the same in their languages.
func TestLiveLanguages(t *testing.T) {
	s, f := newTestPages(t, Options{})
	en, zh := s.hub.watch("default", web.English), s.hub.watch("default", web.Chinese)
	defer s.hub.leave(en)
	defer s.hub.leave(zh)
	show(t, s, f, resultOf(hostileDecision(), 11))
	s.hub.update()
	for v, want := range map[*viewer][3]string{en: {"Block", "12,345.67 USD", "1 decisions since"}, zh: {"拦截", "USD 12,345.67", "共 1 个决策，起始于"}} {
		var u web.Update
		decode(t, bytes.TrimPrefix(<-v.updates, []byte("data: ")), &u)
		if len(u.Rows) != 1 || u.Rows[0].Word != want[0] || u.Rows[0].Amount != want[1] || u.Text["total"] != want[2] {
			t.Errorf("%s: %+v, total %q", v.lang.Tag, u.Rows, u.Text["total"])
		}
		if len(u.Stops) != 1 || u.Stops[0].ID != "large_amount" || u.Stops[0].Amount != want[1] || u.Stops[0].Newest == "" {
			t.Errorf("%s: stops %+v", v.lang.Tag, u.Stops)
		}
	}
}

func TestAssets(t *testing.T) {
	s, _ := newTestPages(t, Options{})
	links := regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(browse(s, "/").Body.String(), -1)
	if len(links) < 3 {
		t.Fatalf("links %v", links)
	}
	for _, l := range links {
		w := browse(s, l[1])
		tag := w.Header().Get("ETag")
		if w.Code != 200 || tag == "" || w.Body.Len() == 0 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", l[1], w.Code, w.Header())
		}
		if w = browse(s, l[1], "If-None-Match", tag); w.Code != 304 || w.Body.Len() > 0 {
			t.Errorf("%s again: %d", l[1], w.Code)
		}
	}
	if w := browse(s, "/assets/style.css"); w.Code != 404 {
		t.Errorf("an address without its digest: %d", w.Code)
	}
}

// stream reads the live stream of a running server.
func stream(t *testing.T, url string) (next func() web.Update, stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	r, _ := http.NewRequestWithContext(ctx, "GET", url+"/live", nil)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream: %d %v", answer.StatusCode, answer.Header)
	}
	var rest []byte
	return func() (u web.Update) {
			t.Helper()
			for {
				if i := bytes.Index(rest, []byte("\n\n")); i >= 0 {
					line, ok := bytes.CutPrefix(rest[:i], []byte("data: "))
					if !ok || bytes.Contains(line, []byte("\n")) {
						t.Fatalf("not one line of data: %q", rest[:i])
					}
					decode(t, line, &u)
					rest = rest[i+2:]
					return u
				}
				buf := make([]byte, 8<<10)
				n, err := answer.Body.Read(buf)
				if rest = append(rest, buf[:n]...); err != nil && n == 0 {
					t.Fatalf("stream ended: %v", err)
				}
			}
		}, func() {
			cancel()
			answer.Body.Close()
		}
}

// A real cell behind a real connection: what is decided reaches the stream, and
// nothing runs on when the server has stopped.
func TestLive(t *testing.T) {
	cell := openCell(t, engine.Options{})
	cell.run()
	before := runtime.NumGoroutine()
	s := newTestServer(t, cell.Cell, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	url := "http://" + l.Addr().String()

	next, stop := stream(t, url)
	next()
	client := &client{t: t, server: s, document: parseDocument(t, s.document), header: http.Header{}}
	client.do("POST", decisions, payment("pay_1", "323.21")).status(200)
	client.do("POST", decisions, payment("pay_2", "5.00")).status(200)
	rows := map[string]web.Row{}
	for len(rows) < 2 {
		for _, r := range next().Rows {
			rows[r.Event] = r
		}
	}
	if r := rows["pay_1"]; r.Action != "review" || r.Amount != "323.21 USD" || r.Word != "Review" || r.Reason == "" || len(r.Fired) == 0 || r.At == 0 {
		t.Errorf("row %+v", r)
	}
	u := next()
	for len(u.Stops) == 0 {
		u = next()
	}
	if u.Text["review"] != "1" || u.Text["allow"] != "1" || u.Stops[0].Minute != "1" || u.Text["p50"] == "–" || len(u.Line) != 2 || u.Show["unruled"] {
		t.Errorf("update %+v", u)
	}
	stop()
	for viewersOf(s.hub) > 0 {
		time.Sleep(time.Millisecond)
	}

	next, stop = stream(t, url) // still open when the server stops
	if u := next(); len(u.Rows) != 2 || u.Rows[0].At > u.Rows[1].At {
		t.Errorf("a new stream begins with %+v", u.Rows)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	stop()
	http.DefaultClient.CloseIdleConnections()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

func viewersOf(h *hub) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.viewers)
}

// At most 64 viewers, and one that does not read holds nobody up.
func TestSlowViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := newTestPages(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.hub.run(ctx) })
		slow, quick := s.hub.watch("default", web.English), s.hub.watch("default", web.English)
		var got []web.Row
		for i := range 20 {
			d := decisionOn(risk.KeyOf("default", fmt.Sprint(i)), &risk.Record{Tenant: "default", Event: risk.Event{ID: fmt.Sprint(i), Amount: risk.Money{Minor: 90_000, Currency: "USD"}}}, "x")
			show(t, s, f, resultOf(d, journal.Position(100+i)))
			m := <-quick.updates
			var u web.Update
			decode(t, bytes.TrimPrefix(m, []byte("data: ")), &u)
			got = append(got, u.Rows...)
		}
		if len(got) != 20 {
			t.Errorf("the quick viewer has %d rows of 20", len(got))
		}
		if n := len(slow.updates); n != cap(slow.updates) {
			t.Errorf("the slow viewer has %d updates waiting", n)
		}
		viewers := []*viewer{slow, quick}
		for v := s.hub.watch("default", web.English); v != nil; v = s.hub.watch("default", web.English) {
			viewers = append(viewers, v)
		}
		if len(viewers) != mostPeople {
			t.Errorf("%d viewers", len(viewers))
		}
		if w := browse(s, "/live"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("one too many: %d", w.Code)
		}
		for _, v := range viewers {
			s.hub.leave(v)
		}
		cancel()
		wg.Wait()
	})
}

// At a high rate reviews and blocks are chosen first, and the page says that the
// rest is a sample.
func TestSample(t *testing.T) {
	s, f := newTestPages(t, Options{})
	v := s.hub.watch("default", web.English)
	defer s.hub.leave(v)
	send := func(from, n, every int) {
		for i := range n {
			minor := int64(100)
			if every > 0 && i%every == 0 {
				minor = 90_000
			}
			id := fmt.Sprint(from + i)
			d := decisionOn(risk.KeyOf("default", id), &risk.Record{Tenant: "default", Event: risk.Event{ID: id, Amount: risk.Money{Minor: minor, Currency: "USD"}}}, "x")
			show(t, s, f, resultOf(d, journal.Position(from+i)))
		}
	}
	read := func() (u web.Update, reviews int) {
		s.hub.update()
		decode(t, bytes.TrimPrefix(<-v.updates, []byte("data: ")), &u)
		for i, r := range u.Rows {
			if r.Action != "allow" {
				reviews++
			}
			if i > 0 && r.At <= u.Rows[i-1].At {
				t.Errorf("rows out of order: %d after %d", r.At, u.Rows[i-1].At)
			}
		}
		return u, reviews
	}
	send(1000, 3, 0)
	if u, _ := read(); len(u.Rows) != 3 || u.Text["sample"] != web.English.Say("rows.all") {
		t.Errorf("3 at once: %d rows, %q", len(u.Rows), u.Text["sample"])
	}
	send(2000, 400, 40)
	if u, reviews := read(); reviews != 10 || len(u.Rows) != 11 || u.Text["sample"] != web.English.Say("rows.sample") {
		t.Errorf("400 with 10 reviews: %d rows, %d reviews, %q", len(u.Rows), reviews, u.Text["sample"])
	}
	send(3000, 400, 1)
	if u, reviews := read(); reviews != perTick || u.Text["sample"] != web.English.Say("rows.sample.all") {
		t.Errorf("400 reviews: %d shown, %q", reviews, u.Text["sample"])
	}
	if u, _ := read(); len(u.Rows) != 0 {
		t.Errorf("nothing new: %d rows", len(u.Rows))
	}
	if rows := s.hub.list("default", 0, listed); len(rows) != listed {
		t.Errorf("%d listed", len(rows))
	}
}

// Counts of the tables are what the bodies say, whatever is in their texts.
func TestEachFiring(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "a", hostile, `"rules":[{"id":"x","stage":"s","mode":"live"}],"screening":[`, `{"id":"`, `\`, `\"`, "],", "\u2028"})
	rapid.Check(t, func(t *rapid.T) {
		d := hostileDecision()
		d.Event, d.Scenario = text.Draw(t, "event"), text.Draw(t, "scenario")
		d.Reasons = []risk.Reason{{Code: text.Draw(t, "code"), Text: text.Draw(t, "reason")}}
		d.Rules = d.Rules[:0]
		for i := range rapid.IntRange(0, 5).Draw(t, "rules") {
			f := risk.Fired{ID: fmt.Sprint("rule_", i), Stage: "review", Mode: rapid.SampledFrom([]string{"live", "shadow"}).Draw(t, "mode"),
				At: text.Draw(t, "at"), Result: text.Draw(t, "result")}
			if rapid.Bool().Draw(t, "points") {
				f.Points = 3
			}
			for range rapid.IntRange(0, 2).Draw(t, "because") {
				f.Because = append(f.Because, risk.Because{Left: text.Draw(t, "left"), Op: "==", Value: risk.Scalar{Kind: risk.Text, Text: text.Draw(t, "value")}})
			}
			d.Rules = append(d.Rules, f)
		}
		var got, want []string
		eachFiring(d.AppendBody(nil, true), func(f firing) { got = append(got, fmt.Sprint(string(f.id), f.shadow, f.fault)) })
		for _, f := range d.Rules {
			want = append(want, fmt.Sprint(f.ID, f.Mode == "shadow", f.Result != ""))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("scanned %v, the body has %v", got, want)
		}
	})
	eachFiring([]byte(`{"rules":[{"id":"a`), func(firing) { t.Error("a torn body") })
}

func TestCounts(t *testing.T) {
	var p perSecond
	for s := int64(1000); s < 1200; s++ {
		for range s % 3 {
			p.add(s)
		}
	}
	if got := p.sum(1199, 59); got != 60 {
		t.Errorf("sum of a minute = %d, want 60", got)
	}
	if got := p.past(1199, 3); !slices.Equal(got, []float64{2, 0, 1}) {
		t.Errorf("past = %v", got)
	}
	p.add(1100) // the clock was set back
	if got := p.sum(1199, 0); got != 3 {
		t.Errorf("newest second = %d", got)
	}
	if got := p.sum(5000, 59); got != 0 {
		t.Errorf("after an hour = %d", got)
	}
	last := -1
	for _, d := range []time.Duration{0, 1, 7, 8, 15, 16, 17, 31, 32, 1000, 4321, 1e6, 66e6, 1e9} {
		d *= time.Microsecond
		b := bucket(d)
		if b < last || b >= buckets {
			t.Errorf("bucket(%s) = %d after %d", d, b, last)
		}
		if last = b; d < time.Minute && math.Abs(float64(middle(b)-d)) > 0.07*float64(d)+1000 {
			t.Errorf("bucket(%s) stands for %s", d, middle(b))
		}
	}
	var l latencies
	for i := range 1000 {
		l.add(100+int64(i%50), time.Duration(i+1)*time.Millisecond)
	}
	p50, p99 := l.quantiles(150)
	if math.Abs(p50.Seconds()-0.5) > 0.04 || math.Abs(p99.Seconds()-0.99) > 0.07 {
		t.Errorf("p50 %s p99 %s", p50, p99)
	}
	if p50, p99 = l.quantiles(1000); p50 != 0 || p99 != 0 {
		t.Errorf("later: p50 %s p99 %s", p50, p99)
	}
}

// What a hub holds for tenants is bounded, and what goes by uncounted is said.
func TestManyTenants(t *testing.T) {
	s, f := newTestPages(t, Options{})
	for i := range mostBoards + 5 {
		d := hostileDecision()
		d.Tenant = fmt.Sprint("t", i)
		show(t, s, f, resultOf(d, journal.Position(100+i)))
	}
	if len(s.hub.boards) != mostBoards || s.hub.missed != 5 {
		t.Errorf("%d boards, %d missed", len(s.hub.boards), s.hub.missed)
	}
	if w := browse(s, "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "5 events passed uncounted") {
		t.Errorf("the page of a tenant beyond: %d", w.Code)
	}
}

// Every text that is used exists, and every one that exists is used.
func TestTexts(t *testing.T) {
	var source []byte
	for _, pattern := range []string{"page*.go", "../web/templates/*.html", "../web/*.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatal(pattern, err)
		}
		for _, n := range names {
			if strings.HasSuffix(n, "_test.go") || strings.Contains(n, "/text_") {
				continue
			}
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			source = append(source, b...)
		}
	}
	keys := web.Keys()
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:Say\(|\bt )"([a-z0-9.]+)"`).FindAllSubmatch(source, -1) {
		key := string(m[1])
		if used[key] = true; !slices.Contains(keys, key) {
			t.Errorf("there is no text %q", key)
		}
	}
	for _, k := range keys {
		group, _, _ := strings.Cut(k, ".")
		if !used[k] && !slices.Contains([]string{"script", "action", "stage", "mode", "version", "theme", "problem", "why", "reason", "aggregate", "unit"}, group) {
			t.Errorf("text %q is not used", k)
		}
	}
}

func BenchmarkHub(b *testing.B) {
	s, _ := newTestPages(b, Options{})
	s.hub.look()
	d := decisionOn(risk.KeyOf("default", "pay_1"), &risk.Record{Tenant: "default", Event: risk.Event{ID: "pay_1", Amount: risk.Money{Minor: 90_000, Currency: "USD"}}}, "card_payment")
	d.Rules = d.Rules[:0]
	for _, info := range testRules().Rules() {
		d.Rules = append(d.Rules, risk.Fired{ID: info.ID, Stage: info.Stage, Mode: "live", At: "rules/card.yaml:4", Because: []risk.Because{
			{Left: "amount.base", Value: risk.Scalar{Kind: risk.Decimal, Number: 900}, Op: ">", Limit: risk.Scalar{Kind: risk.Decimal, Number: 100}}}})
	}
	for i := range 40 {
		d.Features.Names = append(d.Features.Names, fmt.Sprintf("feature_%d_24h", i))
		d.Features.Value = append(d.Features.Value, float64(i)*1.25)
	}
	results := make([]engine.Result, 256)
	for i := range results {
		results[i] = resultOf(d, journal.Position(i+1))
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.hub.take(results); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(results)), "ns/result")
}
