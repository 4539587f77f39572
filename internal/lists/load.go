package lists

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gaissmai/bart"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// MaxInline bounds the items written in the YAML file itself; more belong in a
// CSV file, which people can sort and compare.
const MaxInline = 1000

// Codes are the kinds of mistakes that this package reports.
var Codes = []diag.Code{
	{ID: codeHeader, Explain: "The head of a list is wrong: its apiVersion, name, type, managed or review_by."},
	{ID: codeLater, Explain: "A list that changes while the engine runs (`managed: live`) is not supported yet."},
	{ID: codeSource, Explain: "A list has either `items` or a `source`: a CSV file beside it with the header value,note,by,added,expires."},
	{ID: codeItem, Explain: "An item is no value of the list's type."},
	{ID: codeDuplicate, Explain: "The same item stands twice in one list, perhaps spelled differently."},
	{ID: codeDates, Explain: "The dates of an item cannot be read, or it expires before it was added."},
}

const (
	codeHeader    = "E301"
	codeLater     = "E302"
	codeSource    = "E303"
	codeItem      = "E304"
	codeDuplicate = "E305"
	codeDates     = "E306"
)

// spec is a list file as its owner wrote it.
type spec struct {
	APIVersion diag.Text  `yaml:"apiVersion,required"`
	List       diag.Text  `yaml:"list,required"`
	Managed    diag.Text  `yaml:"managed"`
	Type       diag.Text  `yaml:"type,required"`
	Owner      diag.Text  `yaml:"owner"`
	ReviewBy   diag.Text  `yaml:"review_by"`
	Items      []itemSpec `yaml:"items"`
	Source     diag.Text  `yaml:"source"`
}

type itemSpec struct {
	Value   diag.Text `yaml:"value,required"`
	Note    diag.Text `yaml:"note"`
	By      diag.Text `yaml:"by"`
	Added   diag.Text `yaml:"added"`
	Expires diag.Text `yaml:"expires"`
}

// loader builds one list and gathers its mistakes.
type loader struct {
	list  *List
	diags diag.List
	first map[string]diag.Span // where an item's normal form first stood
	wide  []network            // of ip and cidr lists, until all are known
}

type network struct {
	prefix netip.Prefix
	until  risk.Time
}

// Load compiles the list in file, whose bytes are src; a CSV file that it names
// is taken from files. With any diagnostic the list is a stand-in of that name and
// type, so that what reads it can still be checked; it must not be used.
func Load(file string, src []byte, files diag.Files) (*List, diag.List) {
	var s spec
	l := &loader{list: &List{}, first: map[string]diag.Span{}}
	l.diags = diag.Decode(file, src, &s)
	l.list.name, l.list.at, l.list.kind = s.List.Value, s.List.Span, s.Type.Value
	l.list.sources = []string{file}
	l.header(&s)
	if known(l.list.kind) {
		l.content(file, &s, files)
		l.close()
	} else {
		l.list.kind, l.list.untyped = "id", true
	}
	l.list.digest = files.Digest(l.list.sources...)
	return l.list, l.diags
}

func (l *loader) header(s *spec) {
	if v := s.APIVersion.Value; v != "" && v != "lists/v1" {
		l.fault(codeHeader, s.APIVersion, fmt.Sprintf("apiVersion `%s` is not that of a list", s.APIVersion.Value), "", "write `apiVersion: lists/v1`")
	}
	if s.List.Value != "" && !isName(s.List.Value) {
		l.fault(codeHeader, s.List, fmt.Sprintf("`%s` is not a name", s.List.Value), "", "a name has lower-case letters, digits and _, and begins with a letter")
	}
	switch s.Managed.Value {
	case "", "file":
	case "live":
		l.fault(codeLater, s.Managed, "lists with `managed: live` are not supported yet", "", "write `managed: file`: the list then changes with a release")
	default:
		l.fault(codeHeader, s.Managed, fmt.Sprintf("`managed: %s` is unknown", s.Managed.Value), "", "write `managed: file`")
	}
	if s.Type.Value != "" && !known(s.Type.Value) {
		help := "one of " + strings.Join(Types, ", ")
		if near, ok := diag.Nearest(s.Type.Value, Types); ok {
			help = fmt.Sprintf("did you mean `%s`?", near)
		}
		l.fault(codeHeader, s.Type, fmt.Sprintf("unknown list type `%s`", s.Type.Value), "", help)
	}
	l.list.owner = s.Owner.Value
	if s.ReviewBy.Value != "" {
		at, ok := parseDate(s.ReviewBy.Value)
		if !ok {
			l.fault(codeHeader, s.ReviewBy, fmt.Sprintf("`%s` is not a date", s.ReviewBy.Value), "", "write it as 2027-03-31")
		}
		l.list.reviewBy = at
	}
}

// content adds the items, inline or from the CSV file.
func (l *loader) content(file string, s *spec, files diag.Files) {
	switch l.list.kind {
	case "number":
		l.list.numbers = map[float64]risk.Time{}
	case "ip", "cidr":
	default:
		l.list.texts = map[string]risk.Time{}
	}
	decoded := len(l.diags) == 0
	switch {
	case s.Source.Value != "" && s.Items != nil:
		l.fault(codeSource, s.Source, "a list has either `items` or a `source`", "", "move the items into the CSV file")
	case s.Source.Value != "":
		name := s.Source.Value
		csv := path.Join(path.Dir(file), name)
		src, ok := files[csv]
		switch {
		case path.Base(name) != name || path.Ext(name) != ".csv":
			l.fault(codeSource, s.Source, fmt.Sprintf("source `%s` is not a CSV file beside the list", name), "", "write the name of a .csv file in lists/, without a folder")
		case !ok:
			l.fault(codeSource, s.Source, fmt.Sprintf("there is no file %s", csv), "", nearestFile(name, csv, files))
		default:
			l.list.sources = append(l.list.sources, csv)
			l.readCSV(csv, src)
		}
	case s.Items == nil && !decoded: // may be among the mistakes
	case s.Items == nil:
		l.fault(codeSource, s.List, fmt.Sprintf("list `%s` has neither `items` nor a `source`", s.List.Value), "", "write `items: []` for a list that is empty for now")
	case len(s.Items) > MaxInline:
		l.fault(codeSource, s.Items[MaxInline].Value, fmt.Sprintf("list `%s` has %d items, %d may stand in the file itself", s.List.Value, len(s.Items), MaxInline),
			"", "move them to a CSV file and write `source: "+s.List.Value+".csv`")
	default:
		for i := range s.Items {
			if it := &s.Items[i]; it.Value.Value != "" { // else reported
				l.add(it.Value.Value, it.Value.Span, it.Added, it.Expires)
			}
		}
	}
}

func nearestFile(name, csv string, files diag.Files) string {
	var beside []string
	for f := range files {
		if path.Dir(f) == path.Dir(csv) && path.Ext(f) == ".csv" {
			beside = append(beside, path.Base(f))
		}
	}
	if near, ok := diag.Nearest(name, beside); ok {
		return fmt.Sprintf("did you mean `%s`?", near)
	}
	return "put the file beside the list"
}

// add takes one item: its value as written, where that stands, and its dates.
func (l *loader) add(value string, at diag.Span, added, expires diag.Text) {
	until := l.dates(added, expires)
	value = strings.TrimSpace(value)
	key, why := l.normal(value)
	if why != "" {
		help := helpFor(l.list.kind)
		if l.list.kind == "card" && isCardNumber(value) {
			// Without a line the number is not printed.
			at, why = diag.Span{File: at.File}, fmt.Sprintf("line %d: %s", at.Line, why)
		}
		l.diags.Add(diag.Diagnostic{Code: codeItem, Span: at, Message: why, Help: help})
		return
	}
	if before, ok := l.first[key]; ok {
		l.diags.Add(diag.Diagnostic{Code: codeDuplicate, Span: at,
			Message: fmt.Sprintf("`%s` is on list `%s` already", value, l.list.name),
			Help:    fmt.Sprintf("first at %s:%d; keep one of them", before.File, before.Line)})
		return
	}
	l.first[key] = at
	l.list.items++
	switch l.list.kind {
	case "number":
		n, _ := strconv.ParseFloat(key, 64) // normal has parsed it
		l.list.numbers[n] = until
	case "ip", "cidr":
		l.wide = append(l.wide, network{netip.MustParsePrefix(key), until})
	default:
		l.list.texts[key] = until
	}
}

func (l *loader) dates(added, expires diag.Text) (until risk.Time) {
	from, ok := risk.Time(0), true
	if added.Value != "" {
		if from, ok = parseDate(added.Value); !ok {
			l.fault(codeDates, added, fmt.Sprintf("`%s` is not a date", added.Value), "", "write it as 2027-03-31")
		}
	}
	if expires.Value == "" {
		return never
	}
	until, ok = parseDate(expires.Value)
	switch {
	case !ok:
		l.fault(codeDates, expires, fmt.Sprintf("`%s` is not a date", expires.Value), "", "write it as 2027-03-31, or as a time with a zone")
	case from != 0 && until <= from:
		l.fault(codeDates, expires, "the item expires before it was added", "", "it counts for events before `expires`")
	}
	return until
}

// close builds the table of networks. An address counts while any network that
// covers it does, so each network gets the latest expiry among itself and those
// that cover it: then the most specific one, which the table finds, is enough.
func (l *loader) close() {
	if l.list.kind != "ip" && l.list.kind != "cidr" {
		return
	}
	l.list.nets = new(bart.Table[risk.Time])
	for bits := 0; bits <= 128; bits++ {
		for _, n := range l.wide {
			if n.prefix.Bits() != bits {
				continue
			}
			if covering, ok := l.list.nets.LookupPrefix(n.prefix); ok {
				n.until = max(n.until, covering)
			}
			l.list.nets.Insert(n.prefix, n.until)
		}
	}
}

func (l *loader) fault(code string, at diag.Text, message, label, help string) {
	l.diags.Add(diag.Diagnostic{Code: code, Message: message, Label: label, Help: help, Span: at.Span})
}

func known(kind string) bool { return slices.Contains(Types, kind) }

// isName reports whether s can follow `list.` in an expression.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || i > 0 && ('0' <= c && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// normal gives the form of an item under which it is looked up, or what is wrong
// with it.
func (l *loader) normal(value string) (key, why string) {
	kind := l.list.kind
	if value == "" {
		return "", "the item is empty"
	}
	if len(value) > risk.MaxText {
		return "", fmt.Sprintf("the item has %d bytes, no value of an event has more than %d", len(value), risk.MaxText)
	}
	ok := true
	switch kind {
	case "country":
		key = strings.ToUpper(value)
		ok = risk.CountryCode(key) != ""
	case "ip":
		var addr netip.Addr
		addr, err := netip.ParseAddr(value)
		if ok = err == nil && addr.Zone() == ""; ok {
			addr = addr.Unmap()
			key = netip.PrefixFrom(addr, addr.BitLen()).String()
		}
	case "cidr":
		return normalNetwork(value)
	case "email":
		key = risk.Email(value)
		ok = key != ""
	case "email_domain":
		key = strings.TrimSuffix(strings.ToLower(value), ".")
		ok = risk.Domain("a@"+value) == key && !strings.ContainsAny(value, "@/")
	case "phone":
		key = risk.Phone(value, "")
		ok = key != ""
	case "name":
		key = risk.Name(value)
		ok = key != ""
	case "number":
		return normalNumber(value)
	case "card":
		if key = value; isCardNumber(value) {
			// The number itself must not be repeated here.
			return "", "this is a card number; a list holds card tokens"
		}
	default: // id, device
		key = value
	}
	if !ok {
		return "", fmt.Sprintf("`%s` is not %s", value, article(kind))
	}
	return key, ""
}

func normalNetwork(value string) (key, why string) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		addr, err := netip.ParseAddr(value)
		if err != nil || addr.Zone() != "" {
			return "", fmt.Sprintf("`%s` is not a network", value)
		}
		addr = addr.Unmap()
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() {
		// Look-ups see a mapped address as the IPv4 address that it is.
		if prefix.Bits() < 96 {
			return "", fmt.Sprintf("`%s` is wider than the addresses mapped from IPv4", value)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if masked := prefix.Masked(); masked != prefix {
		return "", fmt.Sprintf("`%s` names an address within a network; the network is `%s`", value, masked)
	}
	return prefix.String(), ""
}

func normalNumber(value string) (key, why string) {
	digits := strings.TrimPrefix(value, "-")
	if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "0123456789") == "" {
		return "", fmt.Sprintf("`%s` has a leading zero, which a number does not keep", value)
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) || strings.Trim(value, "0123456789.+-eE") != "" {
		return "", fmt.Sprintf("`%s` is not a number", value)
	}
	return strconv.FormatFloat(n+0, 'g', -1, 64), "" // n+0: there is one zero
}

// isCardNumber reports whether s can be a card number: 13 to 19 digits whose
// check digit is right.
func isCardNumber(s string) bool {
	sum, n := 0, 0
	for i := len(s) - 1; i >= 0; i-- {
		c := s[i]
		if c == ' ' || c == '-' {
			continue
		}
		if c < '0' || c > '9' {
			return false
		}
		d := int(c - '0')
		if n%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		n++
	}
	return n >= 13 && n <= 19 && sum%10 == 0
}

func article(kind string) string {
	switch kind {
	case "country":
		return "a country"
	case "ip":
		return "an IP address"
	case "email":
		return "an e-mail address"
	case "email_domain":
		return "a domain"
	case "phone":
		return "a phone number"
	}
	return "a " + kind
}

func helpFor(kind string) string {
	switch kind {
	case "country":
		return "a country is its ISO 3166-1 code of two letters"
	case "ip":
		return "an item is one address; for networks use `type: cidr`"
	case "cidr":
		return "a network is written 203.0.113.0/24 or 2001:db8::/32"
	case "email":
		return "whole addresses stand here; for domains use `type: email_domain`"
	case "email_domain":
		return "a domain is written example.com"
	case "phone":
		return "write it internationally: +44 20 7946 0958"
	case "card":
		return "write the token that events carry as card.token; remove the number from this file and its history"
	case "number":
		return "for codes use `type: id`, which keeps values as written"
	case "name":
		return "a name has letters or digits"
	}
	return ""
}

// parseDate reads a day, which means its midnight in UTC, or an RFC 3339 time.
func parseDate(s string) (risk.Time, bool) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return risk.At(t), true
		}
	}
	return 0, false
}
