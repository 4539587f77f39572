package web

import (
	"bytes"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestFormats(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(Count(0), "0")
	f(Count(999), "999")
	f(Count(1000), "1,000")
	f(Count(int64(-1234567)), "-1,234,567")
	f(Rate(0), "0")
	f(Rate(0.04), "0.0")
	f(Rate(9.94), "9.9")
	f(Rate(12345.6), "12,346")
	f(Share(0, 0), "–")
	f(Share(0, 10), "0.0%")
	f(Share(1, 1_000_000), "<0.1%")
	f(Share(999_999, 1_000_000), ">99.9%")
	f(Share(10, 10), "100%")
	f(Latency(0), "–")
	f(Latency(420*time.Microsecond), "0.42 ms")
	f(Latency(3123*time.Microsecond), "3.1 ms")
	f(Latency(254*time.Millisecond), "254 ms")
	f(Latency(61*time.Second), "61.0 s")
	f(Number(1830.4), "1,830.4")
	f(Number(0.1+0.2), "0.3")
	f(Number(-5), "-5")
	f(Number(1e-9), "1e-09")
	f(Number(1e300), "1e+300")
	f(Decimal("12345678.90"), "12,345,678.90")
	f(Decimal("-0.50"), "-0.50")
	f(Decimal("0.5"), "0.5")
	f(English.utc("2026-11-02T09:06:21.250Z"), "2026-11-02 09:06:21 UTC")
	f(English.utc("never"), "never")
	f(Chinese.utc("2026-11-02T09:06:21.250Z"), "2026年11月2日 09:06:21 UTC")
	f(English.Clock(time.Date(2020, 3, 4, 5, 6, 7, 0, time.UTC)), "04 Mar 05:06")
	f(Chinese.Clock(time.Date(2020, 3, 4, 5, 6, 7, 0, time.UTC)), "3月4日 05:06")
	f(English.Span("90d"), "90d")
	f(Chinese.Span("90d"), "90 天")
	f(Chinese.Span("last 3"), "last 3")
	f(Chinese.Span("life"), "有记录以来")
	f(Chinese.Span("d"), "d")
	f(English.Money("12345.60", "AED"), "12,345.60 AED")
	f(Chinese.Money("12345.60", "AED"), "AED 12,345.60")
	f(Line([]float64{0, 5, 10}, 3, 10), "0,100 50,52 100,4")
	f(Line([]float64{10, 10}, 5, 10), "75,4 100,4")
	f(Line([]float64{0, 0}, 2, 0), "0,100 100,100")
	f(Line(nil, 60, 0), "")
	for _, v := range []float64{math.NaN(), -1, 0} {
		if got := Percent(v, 10); got != 0 {
			t.Errorf("Percent(%g) = %g", v, got)
		}
	}
	if got := Percent(20, 10); got != 100 {
		t.Errorf("Percent(20, 10) = %g", got)
	}
}

// The pages are told to be small. The stylesheet has two themes and lays every
// table out twice, for wide windows and for phones.
func TestSizes(t *testing.T) {
	for name, most := range map[string]int{"style.css": 14 << 10, "script.js": 10 << 10, "mark.svg": 1 << 10} {
		address, err := Address(name)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := Asset(strings.TrimPrefix(address, "/assets/"))
		if !ok || len(f.Body) > most || f.Type == "" {
			t.Errorf("%s: %v, %d bytes of type %q", name, ok, len(f.Body), f.Type)
		}
	}
	if _, err := Address("none.css"); err == nil {
		t.Error("an asset that is not there has an address")
	}
}

// Text must be readable in both themes: WCAG 2.2 AA asks for 4.5 to 1, and for
// 3 to 1 where colour shows a control or a shape.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	colours := map[string][2]float64{}
	for _, m := range regexp.MustCompile(`--(\w+): light-dark\(#(\w+), #(\w+)\)`).FindAllSubmatch(css, -1) {
		colours[string(m[1])] = [2]float64{luminance(t, string(m[2])), luminance(t, string(m[3]))}
	}
	for _, ground := range []string{"ground", "panel", "hover", "alarm"} {
		for name, least := range map[string]float64{"ink": 4.5, "dim": 4.5, "link": 4.5, "allow": 4.5, "review": 4.5, "block": 4.5, "field": 3} {
			for i, theme := range []string{"light", "dark"} {
				a, b := colours[ground], colours[name]
				if a == b {
					t.Fatalf("%s or %s is not there", ground, name)
				}
				if ratio := (max(a[i], b[i]) + 0.05) / (min(a[i], b[i]) + 0.05); ratio < least {
					t.Errorf("%s: %s on %s is %.2f to 1, want %.1f", theme, name, ground, ratio, least)
				}
			}
		}
	}
}

func luminance(t *testing.T, hex string) (l float64) {
	t.Helper()
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}

func TestRender(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("before")
	for _, p := range []Page{&Live{}, &Decision{}, &Rules{}, &Fault{}} {
		if err := Render(&b, p); err != nil {
			t.Error(err)
		}
	}
	if !strings.HasPrefix(b.String(), "before<!doctype html>") || strings.Count(b.String(), "</html>") != 4 {
		t.Error("pages are not whole")
	}
	if _, err := English.T("no.such.text"); err == nil {
		t.Error("a text that is not there was given")
	}
	if got := Chinese.Word("stage", "own <name>"); got != "own <name>" {
		t.Errorf("Word = %q", got)
	}
}

var placeholder = regexp.MustCompile(`%(\[\d\])?.`)

// Every language says everything, with the same things filled in.
func TestLanguages(t *testing.T) {
	fills := func(text string) (out []string) {
		for i, p := range placeholder.FindAllString(strings.ReplaceAll(text, "99%", ""), -1) {
			if !strings.HasPrefix(p, "%[") {
				p = "%[" + strconv.Itoa(i+1) + "]" + p[1:]
			}
			out = append(out, p)
		}
		slices.Sort(out)
		return out
	}
	keys, seen := Keys(), map[string]bool{}
	for _, l := range Languages() {
		if seen[l.Tag] || l.Name == "" || Chosen(l.Tag) != l || Chosen(l.Key) != l || Accepted(l.Tag) != l {
			t.Errorf("language %q (%s) cannot be chosen", l.Tag, l.Name)
		}
		seen[l.Tag] = true
		for _, k := range keys {
			own, ok := l.texts[k]
			if !ok || strings.TrimSpace(own) == "" {
				t.Errorf("%s: no text %q", l.Tag, k)
			} else if got, want := fills(own), fills(english[k]); !slices.Equal(got, want) {
				t.Errorf("%s: %q fills in %q, in English %q", l.Tag, k, got, want)
			}
		}
		for k := range l.texts {
			if !slices.Contains(keys, k) {
				t.Errorf("%s: text %q is of no use", l.Tag, k)
			}
		}
	}
	for k, text := range chinese {
		if !strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) }) && k != "quoted" && k != "comma" {
			t.Errorf("zh-CN: %q is not Chinese: %s", k, text)
		}
		if strings.ContainsAny(text, ",;!?") || strings.HasSuffix(text, ".") {
			t.Errorf("zh-CN: %q has Western punctuation: %s", k, text)
		}
	}
	for header, want := range map[string]*Language{"": English, "de": English, "zh": Chinese, "zh-Hans-SG;q=0.9, en;q=0.1": Chinese,
		"en-GB,zh;q=0.5": English, "fr, zh-TW;q=0.8": Chinese, "\x00;;": English, "*": English} {
		if got := Accepted(header); got != want {
			t.Errorf("Accepted(%q) = %s, want %s", header, got.Tag, want.Tag)
		}
	}
	for _, tag := range []string{"", "de", "zh-cn", "<script>"} {
		if got := Chosen(tag); got != nil {
			t.Errorf("Chosen(%q) = %s", tag, got.Tag)
		}
	}
}

func TestView(t *testing.T) {
	v := View{Query: url.Values{"show": {"block"}, "q": {"a&b"}}}
	if got := v.With("theme", v.Next()); got != "?q=a%26b&show=block&theme=light" {
		t.Errorf("With = %s", got)
	}
	for theme, want := range map[string][2]string{"": {"light", "light dark"}, "auto": {"light", "light dark"}, "light": {"dark", "light"},
		"dark": {"auto", "dark"}, "none": {"auto", "none"}} {
		v := View{Theme: theme}
		if v.Next() != want[0] || v.Scheme() != want[1] {
			t.Errorf("theme %q: next %s, scheme %s", theme, v.Next(), v.Scheme())
		}
	}
}

// What a page says stands in the catalogue, never in a template.
func TestTemplatesHaveNoTexts(t *testing.T) {
	names, err := files.ReadDir("templates")
	if err != nil || len(names) == 0 {
		t.Fatal(err)
	}
	markup := regexp.MustCompile(`(?s)\{\{.*?\}\}|<kbd>.*?</kbd>|<[^<>]*>`)
	for _, n := range names {
		text, err := files.ReadFile("templates/" + n.Name())
		if err != nil {
			t.Fatal(err)
		}
		// Actions within tags go first, or their quotes would end a tag.
		left := regexp.MustCompile(`(?s)\{\{.*?\}\}`).ReplaceAll(text, nil)
		for _, word := range regexp.MustCompile(`[\pL]+`).FindAllString(string(markup.ReplaceAll(left, nil)), -1) {
			if word != "Sluice" {
				t.Errorf("%s says %q itself", n.Name(), word)
			}
		}
	}
}
