package expression

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// values are what text fields hold, as docs/rules.md lists it. Of a closed field
// they are all that there is; another takes any text, and these are the usual ones.
type values struct {
	closed bool
	texts  []string
}

var fieldValues = func() map[string]values {
	funding, level := strings.Fields("credit debit prepaid charge"), strings.Fields("basic standard full")
	brand := strings.Fields("visa mastercard maestro amex discover diners jcb unionpay")
	party := strings.Fields("individual business")
	return map[string]values{
		"label.kind":       {true, strings.Fields("fraud early_warning chargeback genuine other")},
		"email.class":      {true, strings.Fields("disposable free corporate")},
		"card.bin_funding": {true, funding},
		"ua.device":        {true, strings.Fields("desktop mobile tablet tv console bot other")},

		"event.type":             {false, risk.EventTypes},
		"payment.method":         {false, strings.Fields("card account wallet cash")},
		"payment.rail":           {false, strings.Fields("ecommerce card_present bank wallet")},
		"payment.status":         {false, strings.Fields("approved declined captured refunded open won lost")},
		"payment.three_ds":       {false, strings.Fields("authenticated")},
		"card.funding":           {false, funding},
		"card.brand":             {false, brand},
		"card.bin_brand":         {false, brand},
		"customer.kyc_level":     {false, level},
		"kyc.level":              {false, level},
		"kyc.status":             {false, strings.Fields("verified")},
		"customer.type":          {false, party},
		"sender.type":            {false, party},
		"receiver.type":          {false, party},
		"ultimate_sender.type":   {false, party},
		"ultimate_receiver.type": {false, party},
		"escrow.state":           {false, strings.Fields("funded shipped confirmed released refunded")},
	}
}()

// Known adds event types of one's own, so that nobody is warned of them.
func (e *Env) Known(eventTypes ...string) { e.types = append(e.types, eventTypes...) }

func (e *Env) knownType(text string) bool {
	for ; e != nil; e = e.parent {
		if slices.Contains(e.types, text) {
			return true
		}
	}
	return false
}

// never warns of a text that a field never holds, since no event with it is taken,
// or that is nearly a usual one.
func (c *checker) never(field, literal *node) {
	if field.op != opName || literal.op != opText {
		return
	}
	path, text := field.name.Name, literal.text
	what, help, holds := "", "", func(string) bool { return true }
	of, listed := fieldValues[path]
	switch {
	case path == "amount.currency", path == "settlement.currency":
		what, holds = "not a currency", func(s string) bool { return risk.Exponent(s) >= 0 }
	case field.sort == "country":
		what, holds = "not a country", func(s string) bool { return risk.CountryCode(s) != "" }
		help = "two capital letters, such as US"
	case listed && !slices.Contains(of.texts, text):
		near, ok := slip(text, of.texts)
		switch {
		case ok && !(path == "event.type" && c.env.knownType(text)):
			help = fmt.Sprintf("did you mean %q?", near)
		case of.closed:
			help = "values are " + strings.Join(of.texts, ", ")
		default:
			return
		}
		holds = func(string) bool { return false }
		if !of.closed {
			what = "not a usual value"
		}
	}
	if holds(text) {
		return
	}
	if up := strings.ToUpper(text); holds(up) {
		help = fmt.Sprintf("write %q", up)
	}
	is := "never"
	if listed && !of.closed {
		is = "hardly"
	}
	c.doubt(func() { c.at(codeNever, literal, fmt.Sprintf("`%s` is %s %q", field.source, is, text), what, help) })
}

// slip gives the value that another spelling of it probably means. One that begins
// otherwise is another word: unverified is not verified.
func slip(text string, known []string) (near string, ok bool) {
	text = strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(text))
	if slices.Contains(known, text) {
		return text, true
	}
	near, ok = diag.Nearest(text, known)
	return near, ok && near[0] == text[0]
}

// doubt makes warnings of what is reported.
func (c *checker) doubt(report func()) {
	kept := c.list
	c.list = nil
	report()
	for _, d := range c.list {
		d.Warning = true
		c.doubts.Add(d)
	}
	c.list = kept
}
