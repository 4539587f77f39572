package enrich

import (
	"bytes"
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// agent is what a user agent says of itself. It is easily forged: a rule finds in it
// what does not fit, not what is true.
//
// The libraries that were weighed match hundreds of regular expressions (uap-go:
// some 20 us and a table of 300 KB) or have not been kept (mileusna/useragent: since
// 2024); a decision takes 20 us in all, and asks for the family, not the model.
type agent struct {
	browser, os, device string
	version             uint32 // of the browser, the first part
	bot, headless       bool
}

// agentVersion is part of the version of facts: it changes with what parseAgent gives.
const agentVersion = "ua-1"

// browsers, the first of which stands in the text is meant: those that also name the
// browser they are made from come before it.
var browsers = []struct{ mark, name string }{
	{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"Edge/", "Edge"},
	{"OPR/", "Opera"}, {"OPiOS/", "Opera"}, {"OPT/", "Opera"}, {"Opera Mini/", "Opera Mini"},
	{"SamsungBrowser/", "Samsung Internet"}, {"YaBrowser/", "Yandex Browser"}, {"Vivaldi/", "Vivaldi"}, {"UCBrowser/", "UC Browser"},
	{"MicroMessenger/", "WeChat"}, {"AlipayClient/", "Alipay"}, {"MQQBrowser/", "QQ Browser"}, {"MiuiBrowser/", "Mi Browser"},
	{"HuaweiBrowser/", "Huawei Browser"}, {"HeyTapBrowser/", "HeyTap Browser"}, {"DuckDuckGo/", "DuckDuckGo"}, {"Whale/", "Whale"},
	{"FBAV/", "Facebook"}, {"Instagram ", "Instagram"}, {"BytedanceWebview/", "TikTok"}, {"Line/", "Line"}, {"Silk/", "Silk"},
	{"FxiOS/", "Firefox"}, {"Focus/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"GSA/", "Google App"},
	{"HeadlessChrome/", "Chrome"}, {"Chromium/", "Chromium"}, {"Chrome/", "Chrome"},
	{"PhantomJS/", "PhantomJS"}, {"Opera/", "Opera"}, {"MSIE ", "Internet Explorer"}, {"Trident/", "Internet Explorer"},
}

// programs fetch pages without a person: libraries, and what says that it is a bot.
var programs = words(`bot crawl spider slurp curl/ wget/ python go-http-client java/ apache-httpclient libwww scrapy axios/ node-fetch
	postmanruntime httpie facebookexternalhit preview ruby perl undici guzzle`)

// remote are browsers driven by a program.
var remote = words("headless phantomjs puppeteer playwright selenium electron/ cypress webdriver")

func parseAgent(s string) (a agent) {
	if s == "" {
		return a
	}
	for i := range browsers {
		if at := strings.Index(s, browsers[i].mark); at >= 0 {
			a.browser = browsers[i].name
			a.version = leadingNumber(s[at+len(browsers[i].mark):])
			break
		}
	}
	switch a.browser {
	case "":
		if strings.Contains(s, "Safari/") {
			a.browser = "Safari"
			a.version = versionAfter(s, "Version/")
			if strings.Contains(s, "Android") { // its browser before Chrome
				a.browser = "Android Browser"
			}
		}
	case "Internet Explorer":
		if at := strings.Index(s, "rv:"); at >= 0 {
			a.version = leadingNumber(s[at+3:])
		}
	case "Opera": // 12 says 9.80 first
		if v := versionAfter(s, "Version/"); v > 0 && strings.HasPrefix(s, "Opera/") {
			a.version = v
		}
	}
	a.system(s)
	var room [maxAgent]byte
	low := room[:min(len(s), len(room))]
	for i := range low {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		low[i] = c
	}
	a.headless = anyOf(low, remote)
	a.bot = a.headless || anyOf(low, programs)
	switch {
	case a.bot && !a.headless:
		a.device = "bot"
	case a.device == "" && a.browser == "" && a.os == "":
		a.device = "other"
	}
	return a
}

// system finds the operating system and, from it, the kind of device.
func (a *agent) system(s string) {
	has := func(mark string) bool { return strings.Contains(s, mark) }
	switch {
	case has("Windows Phone"):
		a.os, a.device = "Windows Phone", "mobile"
	case has("Windows"):
		a.os, a.device = "Windows", "desktop"
	case has("iPad"):
		a.os, a.device = "iOS", "tablet"
	case has("iPhone") || has("iPod"):
		a.os, a.device = "iOS", "mobile"
	case has("Macintosh") || has("Mac OS X"):
		a.os, a.device = "macOS", "desktop"
	case has("HarmonyOS") || has("OpenHarmony"):
		a.os, a.device = "HarmonyOS", "mobile"
	case has("CrOS"):
		a.os, a.device = "ChromeOS", "desktop"
	case has("KAIOS"):
		a.os, a.device = "KaiOS", "mobile"
	case has("Tizen") || has("Web0S") || has("WebOS"):
		a.os, a.device = "Tizen", "tv"
		if !has("Tizen") {
			a.os = "webOS"
		}
		if has("Mobile") {
			a.device = "mobile"
		}
	case has("Android"):
		a.os, a.device = "Android", "tablet" // a phone says Mobile
		switch {
		case has("TV") || has("BRAVIA") || has("AFT"):
			a.device = "tv"
		case has("Mobile"):
			a.device = "mobile"
		}
	case has("X11") || has("Linux"):
		a.os, a.device = "Linux", "desktop"
	case has("PlayStation") || has("Xbox") || has("Nintendo"):
		a.device = "console"
	case has("okhttp/"):
		a.os, a.device = "Android", "mobile" // an app's own requests
	case has("CFNetwork/") || has("Darwin/"):
		a.os, a.device = "iOS", "mobile"
	}
	if has("Xbox") || has("PlayStation") {
		a.device = "console"
	}
}

func versionAfter(s, mark string) uint32 {
	if at := strings.Index(s, mark); at >= 0 {
		return leadingNumber(s[at+len(mark):])
	}
	return 0
}

func leadingNumber(s string) (n uint32) {
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < 100_000; i++ {
		n = 10*n + uint32(s[i]-'0')
	}
	return n
}

// anyOf reports whether one of the words stands in text, both in small letters.
func anyOf(text []byte, words [][]byte) bool {
	for _, w := range words {
		if bytes.Contains(text, w) {
			return true
		}
	}
	return false
}

// maxAgent is how much of a user agent is searched for programs.
const maxAgent = 512

// agents remembers user agents that were parsed: a few thousand make up nearly all
// traffic. Two that meet at one place push each other out. It is safe for concurrent
// use, and since an agent is a function of its text it changes no result.
type agents [4096]atomic.Pointer[knownAgent]

type knownAgent struct {
	text string
	agent
}

func (c *agents) parse(s string) agent {
	at := &c[xxhash.Sum64String(s)%uint64(len(c))]
	if known := at.Load(); known != nil && known.text == s {
		return known.agent
	}
	a := parseAgent(s)
	at.Store(&knownAgent{strings.Clone(s), a}) // s may be part of a large text
	return a
}

func words(list string) (all [][]byte) {
	for w := range strings.FieldsSeq(list) {
		all = append(all, []byte(w))
	}
	return all
}
