package enrich

import (
	"fmt"
	"strings"
	"testing"
)

// Written by hand after the forms that browsers document.
var agentSamples = map[string]string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36":                                                      "Chrome 139 Windows desktop",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 Edg/139.0.3405.86":                                    "Edge 139 Windows desktop",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 OPR/122.0.0.0":                                        "Opera 122 Windows desktop",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:142.0) Gecko/20100101 Firefox/142.0":                                                                                     "Firefox 142 Windows desktop",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15":                                                "Safari 18 macOS desktop",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1":                              "Safari 18 iOS mobile",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/139.0.7258.76 Mobile/15E148 Safari/604.1":                       "Chrome 139 iOS mobile",
	"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/142.0 Mobile/15E148 Safari/605.1.15":                            "Firefox 142 iOS mobile",
	"Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1":                                       "Safari 17 iOS tablet",
	"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36":                                                "Chrome 139 Android mobile",
	"Mozilla/5.0 (Linux; Android 14; SM-X810) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36":                                                       "Chrome 139 Android tablet",
	"Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36":                           "Samsung Internet 28 Android mobile",
	"Mozilla/5.0 (Linux; U; Android 4.4.2; de-de; GT-I9505) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30":                                       "Android Browser 4 Android mobile",
	"Mozilla/5.0 (Linux; Android 14; 23127PN0CC) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36 XWEB MicroMessenger/8.0.50.2701": "WeChat 8 Android mobile",
	"Mozilla/5.0 (Linux; Android 14; V2324A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120 Mobile Safari/537.36 AlipayClient/10.6.58":                                  "Alipay 10 Android mobile",
	"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0":                                                                                               "Firefox 128 Linux desktop",
	"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36":                                                       "Chrome 139 ChromeOS desktop",
	"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko":                                                                                                "Internet Explorer 11 Windows desktop",
	"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)":                                                                                                      "Internet Explorer 8 Windows desktop",
	"Opera/9.80 (Windows NT 6.1) Presto/2.12.388 Version/12.18":                                                                                                            "Opera 12 Windows desktop",
	"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/139.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/520.0.0.44.74;]":  "Facebook 520 Android mobile",
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/139.0.0.0 Safari/537.36":                                                        "Chrome 139 Linux desktop bot headless",
	"Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1":                                                               "PhantomJS 2 Linux desktop bot headless",
	"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                                                                             "- 0 - bot bot",
	"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139 Mobile Safari/537.36 (compatible; Googlebot/2.1)":                      "Chrome 139 Android bot bot",
	"curl/8.7.1":                              "- 0 - bot bot",
	"python-requests/2.32.3":                  "- 0 - bot bot",
	"Go-http-client/2.0":                      "- 0 - bot bot",
	"okhttp/4.12.0":                           "- 0 Android mobile",
	"MyBank/7.2 CFNetwork/1498 Darwin/23.6.0": "- 0 iOS mobile",
	"Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36":                                  "Safari 0 Tizen tv",
	"Mozilla/5.0 (PlayStation; PlayStation 5/6.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605.1.15":                                "Safari 15 - console",
	"Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile HuaweiBrowser/5.0": "Huawei Browser 5 HarmonyOS mobile",
	"nonsense": "- 0 - other",
	"":         "- 0 - -",
}

func TestParseAgent(t *testing.T) {
	var known agents
	for in, want := range agentSamples {
		a := parseAgent(in)
		if first, again := known.parse(in), known.parse(in); first != a || again != a {
			t.Errorf("%s: parsed %+v, then %+v and %+v", in, a, first, again)
		}
		got := fmt.Sprintf("%s %d %s %s", or(a.browser), a.version, or(a.os), or(a.device))
		if a.bot {
			got += " bot"
		}
		if a.headless {
			got += " headless"
		}
		if got != want {
			t.Errorf("%s\n     %s\nwant %s", in, got, want)
		}
	}
}

func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func FuzzParseAgent(f *testing.F) {
	for in := range agentSamples {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a := parseAgent(in)
		if a.headless && !a.bot {
			t.Errorf("%q is headless and no bot", in)
		}
		if strings.Contains(in, "HeadlessChrome/") && len(in) < 400 && !a.headless {
			t.Errorf("%q is not headless", in)
		}
	})
}

func BenchmarkParseAgent(b *testing.B) {
	const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36"
	b.ReportAllocs()
	for b.Loop() {
		parseAgent(chrome)
	}
}
