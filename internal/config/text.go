package config

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written 64KiB, 200GiB, 5GB or 4096.
type Size int64

type sizeUnit struct {
	name  string
	bytes int64
}

var sizeUnits = []sizeUnit{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads a whole number and an optional unit.
func ParseSize(text string) (Size, error) {
	digits := strings.TrimRight(text, "TGMKkiB ")
	unit, factor := strings.TrimSpace(text[len(digits):]), int64(1)
	if unit != "" {
		i := slices.IndexFunc(sizeUnits, func(u sizeUnit) bool { return u.name == unit })
		if i < 0 {
			return 0, fmt.Errorf("%q is not a size: write 64KiB, 200GiB or a number of bytes", text)
		}
		factor = sizeUnits[i].bytes
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write 64KiB, 200GiB or a number of bytes", text)
	}
	if int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("size %q is beyond %d bytes", text, int64(math.MaxInt64))
	}
	return Size(int64(n) * factor), nil
}

// String writes the largest binary unit that loses nothing.
func (s Size) String() string {
	for _, u := range sizeUnits[:4] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

const day = 24 * time.Hour

// ParseDuration is time.ParseDuration with leading days (400d, 1d12h) and
// without a sign: nothing here is negative. A day is 24 hours.
func ParseDuration(text string) (time.Duration, error) {
	fault := fmt.Errorf("%q is not a duration: write 80ms, 10s, 12h or 400d", text)
	if strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") {
		return 0, fault
	}
	days, rest, found := strings.Cut(text, "d")
	if !found {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, fault
		}
		return d, nil
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil {
		return 0, fault
	}
	if n > uint64(math.MaxInt64/int64(day)) {
		return 0, fmt.Errorf("duration %q is beyond %d days", text, math.MaxInt64/int64(day))
	}
	sum := time.Duration(n) * day
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 {
			return 0, fault
		}
		if sum+d < sum {
			return 0, fmt.Errorf("duration %q is beyond %d days", text, math.MaxInt64/int64(day))
		}
		sum += d
	}
	return sum, nil
}

// FormatDuration writes what ParseDuration reads: 400d, 1d12h, 1m30s.
func FormatDuration(d time.Duration) string {
	if d <= 0 {
		return d.String()
	}
	var b strings.Builder
	if days := d / day; days > 0 {
		fmt.Fprintf(&b, "%dd", days)
		d %= day
	}
	if d > 0 {
		s := d.String()
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		b.WriteString(s)
	}
	return b.String()
}

var (
	// RFC 7628: a name of letters; no separator, and no comma for the list in a variable.
	extensionForm = regexp.MustCompile(`^[a-zA-Z]{1,64}=[!-+\x2d-~]{1,1000}$`)

	topicForm = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)
	hostForm  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$`)
	nameForm  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)
)

// checks are the named tests a field can ask for; name? also takes "".
var checks = map[string]func(string) error{
	"path": func(s string) error {
		if s == "" {
			return fmt.Errorf("must not be empty")
		}
		return nil
	},
	"address": func(s string) error { return checkAddress(s, true) },
	"broker":  func(s string) error { return checkAddress(s, false) },
	"topic": func(s string) error {
		if !topicForm.MatchString(s) || s == "." || s == ".." {
			return fmt.Errorf("%q is not a topic name: 1 to 249 of a-z A-Z 0-9 . _ -", s)
		}
		return nil
	},
	"host": func(s string) error {
		if len(s) > 253 || !hostForm.MatchString(s) {
			return fmt.Errorf("%.100q is not a host name", s)
		}
		return nil
	},
	"token_url": checkTokenURL,
	"extension": func(s string) error {
		if !extensionForm.MatchString(s) {
			return fmt.Errorf("%.100q is not name=value with a name of letters", s)
		}
		return nil
	},
	"name": func(s string) error {
		if !nameForm.MatchString(s) {
			return fmt.Errorf("%q is not a tenant name: 1 to 64 of a-z A-Z 0-9 . _ -, first a letter or digit", s)
		}
		return nil
	},
}

// checkTokenURL takes https, and http on this machine: a client secret goes there.
func checkTokenURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("is not a URL https://host/path") // not repeated: what it holds is not known
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("must have no user, password, query or fragment: the client's secret stands in a file")
	case u.Scheme == "http" && !loopback(u.Host):
		return fmt.Errorf("must be https: a secret is sent to %s", u.Host)
	}
	return nil
}

// checkAddress takes host:port. A listener may leave the host out and may use
// port 0; a broker may not.
func checkAddress(s string, listener bool) error {
	if strings.Contains(s, "@") {
		// Most likely a URL with a password in it, so it is not repeated.
		return fmt.Errorf("is not host:port: user and password do not belong in an address")
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, "/ \t") {
		return fmt.Errorf("%q is not host:port", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("%q has no port between 0 and 65535", s)
	}
	if !listener && (host == "" || n == 0) {
		return fmt.Errorf("%q needs a host and a port", s)
	}
	return nil
}
