package expression

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

// labelKinds are those that a label is taken with.
var labelKinds = []string{"fraud", "early_warning", "chargeback", "genuine", "other"}

// never warns of a text that a field never holds, since no event with it is taken.
func (c *checker) never(field, literal *node) {
	if field.op != opName || literal.op != opText {
		return
	}
	what, help, holds := "", "", func(string) bool { return true }
	switch field.name.Name {
	case "amount.currency", "settlement.currency":
		what, holds = "a currency", func(s string) bool { return risk.Exponent(s) >= 0 }
	case "label.kind":
		what, holds = "a kind of label", func(s string) bool { return slices.Contains(labelKinds, s) }
		help = "kinds are " + strings.Join(labelKinds, ", ")
	default:
		if field.sort == "country" {
			what, holds = "a country", func(s string) bool { return risk.CountryCode(s) != "" }
			help = "two capital letters, such as US"
		}
	}
	if holds(literal.text) {
		return
	}
	if up := strings.ToUpper(literal.text); holds(up) {
		help = fmt.Sprintf("write %q", up)
	}
	c.doubt(func() {
		c.at(codeNever, literal, fmt.Sprintf("`%s` is never %q", field.source, literal.text), "not "+what, help)
	})
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
