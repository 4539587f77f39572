package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// webVariable is 1 where a browser must be there. These tests take longer than
// tests of every change may, so nothing else starts them.
const webVariable = "SLUICE_TEST_WEB"

const pictures = "../../dist/screenshots"

//go:embed testdata/page.js
var pageScript string

// demonstration is `sluice demo` as a process, with traffic of its own.
type demonstration struct {
	base, block string // address, and path of a decision that stops a payment
}

var openLine = regexp.MustCompile(`open (http://\S+?)/?\s`)

func startDemo(t *testing.T) *demonstration {
	t.Helper()
	// Unlike a shell's, this process has no configuration of somebody in its environment.
	cmd := program(nil, "demo", "--listen", "127.0.0.1:0", "--rate", "100")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	var said bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Fprintln(&said, lines.Text())
			if m := openLine.FindStringSubmatch(lines.Text() + " "); m != nil && len(address) == 0 {
				address <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		slow := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		<-read
		cmd.Wait()
		slow.Stop()
		if t.Failed() {
			t.Logf("the demo said:\n%s", said.Bytes())
		}
	})
	d := &demonstration{}
	select {
	case d.base = <-address:
	case <-read:
		t.Fatal("the demo ended")
	case <-time.After(30 * time.Second):
		t.Fatal("the demo does not start")
	}
	// A text that breaks nowhere, in everything a sender can name.
	long := strings.Repeat("W", 120)
	body := fmt.Sprintf(`{"event":{"id":%q,"type":"payment.authorization","time":%q},"amount":{"value":"123456789012.34","currency":"USD"},
		"payment":{"id":%q,"cvc_result":"N"},"customer":{"id":%q}}`, long, time.Now().UTC().Format(time.RFC3339), long, long)
	answer, err := http.Post(d.base+"/v1/decisions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	told, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Fatalf("a long event: %d %s", answer.StatusCode, told)
	}
	path := regexp.MustCompile(`/decisions/dec_\w+`)
	own := "/decisions/" + regexp.MustCompile(`dec_\w+`).FindString(string(told))
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the demo blocks nothing")
		}
		answer, err := http.Get(d.base + "/?show=block")
		if err != nil {
			t.Fatal(err)
		}
		page, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		for _, d.block = range path.FindAllString(string(page), -1) {
			if d.block != own { // one of the simulated world
				return d
			}
		}
	}
}

// startBrowser gives a context from which tabs are made.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	if os.Getenv(webVariable) != "1" {
		t.Skip("pages are looked at in a browser by make test-web")
	}
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatalf("%s=1 and no chromium is installed", webVariable)
	}
	profile, err := os.MkdirTemp("", "sluice-browser-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, end := context.WithTimeout(context.Background(), 3*time.Minute)
	ctx, stop := chromedp.NewExecAllocator(ctx, options...)
	ctx, leave := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		leave()
		stop()
		end()
		for range 50 { // its children write for a moment longer
			if os.RemoveAll(profile) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("%s stays", profile)
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("%s does not start: %v", path, err)
	}
	return ctx
}

// tab is one page of a browser with cookies of its own.
type tab struct {
	t    *testing.T
	ctx  context.Context
	demo *demonstration

	mu    sync.Mutex
	wrong []string // errors of the console, with breaches of the content policy
}

type look struct {
	lang, scheme string
	width        int64
}

func newTab(t *testing.T, browser context.Context, d *demonstration, l look) *tab {
	t.Helper()
	ctx, end := context.WithTimeout(browser, time.Minute)
	ctx, leave := chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(func() { leave(); end() })
	tb := &tab{t: t, ctx: ctx, demo: d}
	tb.do()
	if err := chromedp.Listen(ctx, tb.hear); err != nil {
		t.Fatal(err)
	}
	agent := tb.text(`navigator.userAgent`)
	call(tb, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: l.lang})
	call(tb, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	height := int64(900)
	if l.width < 500 {
		height = 800
	}
	tb.do(chromedp.EmulateViewport(l.width, height))
	return tb
}

func (tb *tab) hear(ev any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		// That a page answers 404 is said of the pages that should.
		if e := ev.Entry; e.Level != log.EntryLevelInfo && e.Level != log.EntryLevelVerbose && !strings.Contains(e.Text, "status of 40") {
			tb.wrong = append(tb.wrong, e.Text)
		}
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if o := ev.ExceptionDetails.Exception; o != nil {
			text += " " + o.Description
		}
		tb.wrong = append(tb.wrong, text)
	case *runtime.EventConsoleAPICalled:
		tb.wrong = append(tb.wrong, fmt.Sprintf("console.%s", ev.Type))
	}
}

// heard fails the test if the console said anything since the last call.
func (tb *tab) heard(where string) {
	tb.t.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, text := range tb.wrong {
		tb.t.Errorf("%s: the console says %s", where, text)
	}
	tb.wrong = nil
}

func (tb *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, steps...); err != nil {
		tb.t.Fatal(err)
	}
}

func call[P, R any](tb *tab, c cdp.Command[P, R], params P) {
	tb.t.Helper()
	if _, err := chromedp.Call(tb.ctx, c, params); err != nil {
		tb.t.Fatal(err)
	}
}

func eval[T any](tb *tab, script string) T {
	tb.t.Helper()
	v, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		tb.t.Fatalf("%s: %v", script, err)
	}
	return v
}

func (tb *tab) text(script string) string { tb.t.Helper(); return eval[string](tb, script) }

// run is eval for what gives nothing.
func (tb *tab) run(script string) { tb.t.Helper(); eval[bool](tb, script+"; true") }

func (tb *tab) open(path string) { tb.t.Helper(); tb.do(chromedp.Navigate(tb.demo.base + path)) }

func (tb *tab) press(keys string) { tb.t.Helper(); tb.do(chromedp.KeyEvent(keys)) }

// until waits for a condition of the page, over navigations.
func (tb *tab) until(script string) {
	tb.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool]("!!("+script+")"))
		if err == nil && ok {
			return
		}
		if time.Now().After(end) {
			tb.t.Fatalf("in vain: %s (%v) on %s", script, err, tb.text(`location.href + "\n" + document.body.innerText.slice(0, 600)`))
		}
	}
}

func (tb *tab) picture(name string) {
	tb.t.Helper()
	png, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(pictures, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644)
	}
	if err != nil {
		tb.t.Error(err)
	}
}

// lengthen makes every text half as long again, as other languages may be.
const lengthen = `(() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) if (walker.currentNode.data.trim() && !walker.currentNode.parentElement.closest("td, code, pre, time, script, template")) texts.push(walker.currentNode);
  for (const t of texts) t.data += " " + "mnemonisch".repeat(Math.ceil(t.data.trim().length / 20)).slice(0, Math.ceil(t.data.trim().length / 2));
  return document.documentElement.scrollWidth - innerWidth;
})()`

// The pages as a browser draws them, and what a reader does with them.
func TestPages(t *testing.T) {
	browser := startBrowser(t)
	d := startDemo(t)
	t.Run("drawn", func(t *testing.T) { drawn(t, browser, d) })
	t.Run("used", func(t *testing.T) { used(t, browser, d) })
}

// drawn checks every page in every language, theme and width.
func drawn(t *testing.T, browser context.Context, d *demonstration) {
	pages := []struct{ name, path string }{{"live", "/"}, {"blocks", "/?show=block"}, {"rule", "/?rule=wrong_security_code"}, {"decision", d.block},
		{"long", "/decisions?q=" + strings.Repeat("W", 120)}, {"rules", "/rules"}, {"fault", "/nowhere"}, {"search", "/decisions?q=nothing"}}
	for _, lang := range []string{"en", "zh-CN"} {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{1280, 360} {
				t.Run(fmt.Sprintf("%s/%s/%d", lang, scheme, width), func(t *testing.T) {
					tb := newTab(t, browser, d, look{lang, scheme, width})
					for _, p := range pages {
						tb.open(p.path)
						if p.name == "live" {
							tb.until(`document.querySelectorAll("#rows tr").length > 5 && document.querySelectorAll("#stops tr").length > 1`)
						}
						if got := tb.text(`document.documentElement.lang`); got != lang {
							t.Errorf("%s is in %s", p.name, got)
						}
						if dark := eval[bool](tb, `getComputedStyle(document.body).backgroundColor === "rgb(14, 19, 26)"`); dark != (scheme == "dark") {
							t.Errorf("%s is not %s", p.name, scheme)
						}
						for _, wrong := range eval[[]string](tb, pageScript) {
							t.Errorf("%s: %s", p.name, wrong)
						}
						tb.picture(fmt.Sprintf("%s-%s-%s-%d", p.name, lang, scheme, width))
						if width < 500 && scheme == "light" {
							tb.do(chromedp.EmulateViewport(320, 800)) // the narrowest that WCAG's reflow asks for
							if wide := eval[int](tb, lengthen); wide > 0 {
								t.Errorf("%s: texts half as long again are %d px wider than 320: %q", p.name, wide, eval[[]string](tb, pageScript))
							}
							tb.do(chromedp.EmulateViewport(width, 800))
						}
						tb.heard(p.name)
					}
				})
			}
		}
	}
}

// used walks the pages with live updates, with keys alone, and without scripts.
func used(t *testing.T, browser context.Context, d *demonstration) {
	desk := look{"en", "light", 1280}

	t.Run("live", func(t *testing.T) {
		tb := newTab(t, browser, d, desk)
		tb.open("/")
		tb.until(`document.querySelector("#state").textContent.startsWith("Live")`)
		total, first := tb.text(`document.querySelector("#total").textContent`), tb.text(`document.querySelector("#rows a").textContent`)
		tb.until(fmt.Sprintf(`document.querySelector("#total").textContent !== %q && document.querySelector("#rows a").textContent !== %q`, total, first))
		tb.press("p")
		tb.until(`document.querySelector("#state").textContent.startsWith("Paused")`)
		tb.press("3")
		tb.until(`location.search === "?show=block" && document.querySelectorAll("#rows tr").length > 0`)
		if n := eval[int](tb, `document.querySelectorAll("#rows .act:not(.block)").length`); n > 0 {
			t.Errorf("%d of the blocks are none", n)
		}
		tb.heard("live")
	})

	t.Run("keyboard", func(t *testing.T) {
		tb := newTab(t, browser, d, desk)
		tb.open("/")
		tb.until(`document.querySelector("#rows tr") && !document.querySelector("#keys").hidden`)
		tb.press("j")
		tb.press("j")
		tb.press("k")
		tb.until(`document.activeElement.closest("#rows") && document.querySelector("#state").className.includes("held")`)
		href := tb.text(`document.activeElement.pathname`)
		tb.press(kb.Enter)
		tb.until(fmt.Sprintf(`location.pathname === %q && document.querySelector("#why")`, href))
		tb.do(chromedp.NavigateBack())
		tb.until(`location.pathname === "/" && document.querySelector("#rows tr")`)

		// From why it was stopped to the evidence, with Tab alone.
		tb.run(`document.querySelector("#stops a").focus()`)
		tb.press(kb.Tab)
		tb.until(`document.activeElement.matches("#stops small a") && getComputedStyle(document.activeElement).outlineStyle === "solid"`)
		tb.press(kb.Enter)
		tb.until(`location.pathname.startsWith("/decisions/dec_") && document.querySelector(".verdict:not(.allow) .cause")`)

		tb.until(`!document.querySelector("#keys").hidden`) // the script is there
		tb.press("?")
		tb.until(`document.querySelector("#help").open`)
		tb.press(kb.Escape)
		tb.until(`!document.querySelector("#help").open`)
		tb.press("/")
		tb.until(`document.activeElement.id === "q"`)
		tb.run(`document.activeElement.value = ""`) // the tool sends the character apart from its key
		tb.press(strings.Repeat("W", 120) + kb.Enter)
		tb.until(`document.querySelector("h1").textContent.includes("WWWW")`)
		tb.heard("keyboard")
	})

	t.Run("tab", func(t *testing.T) {
		for _, path := range []string{"/?show=block", d.block, "/rules", "/nowhere"} {
			tb := newTab(t, browser, d, look{"zh-CN", "dark", 360})
			tb.open(path)
			tb.until(`document.readyState === "complete"`)
			if strings.HasPrefix(path, "/?") {
				tb.press("p")
				tb.until(`document.querySelector("#pause").getAttribute("aria-pressed") === "true"`)
			}
			const reach = `[...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")].filter((el) => el.checkVisibility() && el.tabIndex >= 0)`
			want := eval[int](tb, reach+`.length`)
			tb.run(`window.reached = new Set(); window.unseen = []; document.addEventListener("focusin", (e) => {
				reached.add(e.target);
				const s = getComputedStyle(e.target);
				if (s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2) unseen.push(e.target.outerHTML.slice(0, 80));
			})`)
			tb.press(strings.Repeat(kb.Tab, want))
			if missed := eval[[]string](tb, reach+`.filter((el) => !reached.has(el)).map((el) => el.outerHTML.slice(0, 90))`); len(missed) > 0 {
				t.Errorf("%s: %d of %d are not reached by Tab: %q", path, len(missed), want, missed)
			}
			if unseen := eval[[]string](tb, `unseen`); len(unseen) > 0 {
				t.Errorf("%s: the focus is not seen on %q", path, unseen)
			}
			tb.heard(path)
		}
	})

	t.Run("choices", func(t *testing.T) {
		tb := newTab(t, browser, d, desk)
		tb.open("/?show=block")
		tb.do(chromedp.Click(chromedp.ID("lang")))
		tb.until(`document.documentElement.lang === "zh-CN" && location.search === "?show=block"`)
		for _, theme := range []string{"light", "dark"} {
			tb.do(chromedp.Click(chromedp.ID("theme")))
			tb.until(fmt.Sprintf(`document.documentElement.dataset.theme === %q && location.search === "?show=block"`, theme))
		}
		for _, path := range []string{"/rules", d.block, "/nowhere", "/"} {
			tb.open(path)
			tb.until(`document.documentElement.lang === "zh-CN" && document.documentElement.dataset.theme === "dark" && getComputedStyle(document.body).backgroundColor === "rgb(14, 19, 26)"`)
		}
		total := tb.text(`document.querySelector("#total").textContent`)
		tb.until(fmt.Sprintf(`document.querySelector("#total").textContent !== %q`, total))
		if got := tb.text(`document.querySelector("#total").textContent`); !strings.HasPrefix(got, "共 ") {
			t.Errorf("an update says %q", got)
		}
		tb.do(chromedp.Click(chromedp.ID("lang")))
		tb.until(`document.documentElement.lang === "en"`)
		tb.heard("choices")
	})

	t.Run("noscript", func(t *testing.T) {
		tb := newTab(t, browser, d, desk)
		call(tb, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		tb.open("/")
		tb.do(chromedp.WaitVisible(chromedp.CSS("noscript .note")), chromedp.WaitVisible(chromedp.CSS("#rows tr")), chromedp.WaitVisible(chromedp.CSS("#stops tr")),
			chromedp.WaitNotVisible(chromedp.CSS("#pause")), chromedp.WaitNotVisible(chromedp.CSS("#keys")), chromedp.WaitNotVisible(chromedp.CSS("#state")))
		tb.do(chromedp.Click(chromedp.ID("lang")), chromedp.WaitVisible(chromedp.CSS("html[lang=zh-CN] #rows tr")),
			chromedp.Click(chromedp.CSS("#stops small a")), chromedp.WaitVisible(chromedp.CSS("html[lang=zh-CN] .verdict .cause")))
		tb.do(chromedp.Click(chromedp.ID("theme")), chromedp.WaitVisible(chromedp.CSS("html[data-theme=light] .verdict")))
		tb.heard("noscript")
	})
}
