package web

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
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
	f(Share(0, 10), "0.0 %")
	f(Share(1, 1_000_000), "<0.1 %")
	f(Share(999_999, 1_000_000), ">99.9 %")
	f(Share(10, 10), "100 %")
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
	f(utc("2026-11-02T09:06:21.250Z"), "2026-11-02 09:06:21 UTC")
	f(utc("never"), "never")
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

// The pages are told to be small.
func TestSizes(t *testing.T) {
	for name, most := range map[string]int{"style.css": 12 << 10, "script.js": 10 << 10, "mark.svg": 1 << 10} {
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
	if _, err := T("no.such.text"); err == nil {
		t.Error("a text that is not there was given")
	}
	if got := Word("stage", "own <name>"); got != "own <name>" {
		t.Errorf("Word = %q", got)
	}
}
