package risk

import (
	"slices"
	"strings"
)

// Email gives an address in the form in which two spellings of one mailbox are
// equal; "" for what is no address. Everywhere letters become small, a final dot of
// the domain goes, and so does what follows a plus sign (RFC 5233). What else the
// spellings of a mailbox may differ in is for its provider to say; these say it:
//
//   - Gmail ignores dots, and googlemail.com is gmail.com
//     (support.google.com/mail/answer/7436150, …/answer/10313).
//   - Outlook.com, Hotmail, Live and MSN: plus only
//     (learn.microsoft.com, "Plus addressing in Exchange Online").
//   - Yahoo, and AOL, Rocketmail and Ymail with it: a disposable address is a base
//     name, a dash and a keyword (help.yahoo.com, "Disposable email addresses"), so
//     the dash cuts like a plus.
//   - Fastmail: tag@user.fastmail.com is user+tag@fastmail.com, at each of its
//     domains (fastmail.help/hc/en-us/articles/360060591053).
//   - Proton: dots, dashes and underscores of a name do not count, and one name is
//     one account at proton.me, protonmail.com, protonmail.ch and pm.me
//     (proton.me/support/addresses-and-aliases, …/creating-aliases).
//   - iCloud: icloud.com, me.com and mac.com are one mailbox
//     (support.apple.com/en-us/102540).
//   - Yandex: a dot and a dash in a name are the same, and a mailbox has the name at
//     ya.ru and at yandex in each country
//     (yandex.com/support/mail, "Login and aliases").
func Email(s string) string { return string(appendEmail(nil, s)) }

// Domain gives the lower-case domain of an e-mail address, "" without one.
func Domain(s string) string {
	_, domain, _ := cutEmail(s)
	return domain
}

// provider is how one provider reads the part before the @.
type provider struct {
	domain string // by which its mailboxes are called; "": as written
	ignore string // characters that do not count
	cut    string // what begins a tag, beside +
	swap   byte   // a dot is this
	users  bool   // a domain below its own is a user
}

var (
	google = provider{domain: "gmail.com", ignore: "."}
	yahoo  = provider{cut: "-"}
	proton = provider{domain: "proton.me", ignore: ".-_"}
	apple  = provider{domain: "icloud.com"}
	yandex = provider{domain: "yandex.ru", swap: '-'}
	fast   = provider{users: true}
)

// providers by domain. Yahoo and Yandex have a domain in many countries.
var providers = map[string]*provider{
	"gmail.com": &google, "googlemail.com": &google,
	"ymail.com": &yahoo, "rocketmail.com": &yahoo, "aol.com": &yahoo,
	"proton.me": &proton, "protonmail.com": &proton, "protonmail.ch": &proton, "pm.me": &proton,
	"icloud.com": &apple, "me.com": &apple, "mac.com": &apple,
	"ya.ru": &yandex, "fastmail.com": &fast, "fastmail.fm": &fast,
}

var yandexCountries = strings.Fields("ru com by kz ua uz com.tr com.am com.ge az co.il ee fr kg lt lv md tj tm")

// providerOf gives the rules of a domain, nil for none of its own.
func providerOf(domain string) *provider {
	if p := providers[domain]; p != nil {
		return p
	}
	if country, ok := strings.CutPrefix(domain, "yandex."); ok && slices.Contains(yandexCountries, country) {
		return &yandex
	}
	if country, ok := strings.CutPrefix(domain, "yahoo."); ok && len(country) <= len("com.xx") {
		return &yahoo
	}
	return nil
}

func appendEmail(dst []byte, s string) []byte {
	local, domain, ok := cutEmail(s)
	if !ok {
		return dst
	}
	p := providerOf(domain)
	if p == nil {
		if user, of, ok := strings.Cut(domain, "."); ok && user != "" {
			if above := providers[of]; above != nil && above.users {
				local, domain = user, of
			}
		}
		p = new(provider)
	}
	if p.domain != "" {
		domain = p.domain
	}
	// A quoted name may hold anything, and is then not what providers give out.
	quoted := local[0] == '"'
	start := len(dst)
	for i := range len(local) {
		c := local[i]
		if !quoted {
			if c == '+' || i > 0 && strings.IndexByte(p.cut, c) >= 0 {
				break
			}
			if strings.IndexByte(p.ignore, c) >= 0 {
				continue
			}
			if c == '.' && p.swap != 0 {
				c = p.swap
			}
		}
		dst = append(dst, c)
	}
	if len(dst) == start {
		return dst
	}
	return append(append(dst, '@'), domain...)
}

func appendDomain(dst []byte, s string) []byte {
	return append(dst, Domain(s)...)
}

func cutEmail(s string) (local, domain string, ok bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	at := strings.LastIndexByte(s, '@')
	if at < 1 || strings.ContainsAny(s, " \t\r\n") {
		return "", "", false
	}
	local, domain = s[:at], strings.TrimRight(s[at+1:], ".")
	if dot := strings.IndexByte(domain, '.'); dot < 1 || local[0] != '"' && strings.Contains(local, "@") {
		return "", "", false
	}
	return local, domain, true
}
