package expression

import (
	"fmt"
	"strings"

	"github.com/sluice-risk/sluice/internal/diag"
)

// unknown reports a name that nobody knows.
func (c *checker) unknown(path string, first, last int) {
	what, label, known := "feature", "not in features.yaml", c.env.Names()
	group, rest, dotted := strings.Cut(path, ".")
	switch {
	case group == "list" && dotted:
		what, label, known = "list", "not under lists/", nil
		for _, l := range c.env.listNames() {
			known = append(known, "list."+l)
		}
	case group == "param" && dotted:
		what, label = "parameter", "not a parameter of this rule"
	case group == "custom" && dotted:
		what, label = "custom field", "not declared in ruleset.yaml"
	case group == "points" && dotted:
		what, label = "points", fmt.Sprintf("no rule of this scenario has `group: %s`", rest)
	case dotted && c.env.group(group):
		what, label = "field", fmt.Sprintf("`%s` has no `%s`", group, rest)
	case dotted:
		what, label = "field", fmt.Sprintf("there is no group `%s`", group)
	}
	help := ""
	if full := c.ending(path); full != "" && !dotted {
		help = full
	}
	if word := foreign[strings.ToLower(path)]; word != "" {
		help, known = word, nil
	}
	if near, ok := diag.Nearest(path, known); ok {
		help = fmt.Sprintf("did you mean `%s`?", near)
		if n := c.env.name(near); n != nil && n.At.Line > 0 {
			help += fmt.Sprintf(" (%s:%d)", n.At.File, n.At.Line)
		}
	}
	c.span(codeName, first, last, fmt.Sprintf("unknown %s `%s`", what, path), label, help)
}

// members names some of a group.
func (c *checker) members(group string) string {
	var found []string
	for _, n := range c.env.Names() {
		if strings.HasPrefix(n, group+".") {
			if found = append(found, "`"+n+"`"); len(found) == 4 {
				return "write one of its names, such as " + strings.Join(found[:3], ", ")
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	return "write one of its names: " + strings.Join(found, ", ")
}

// ending finds the fields whose last part is the name: method, payment.method.
func (c *checker) ending(last string) string {
	var found []string
	for _, n := range c.env.Names() {
		if strings.HasSuffix(n, "."+last) && len(found) < 4 {
			found = append(found, "`"+n+"`")
		}
	}
	switch len(found) {
	case 0:
		return ""
	case 4:
		return "fields are written with their group, such as " + found[0]
	}
	return "did you mean " + strings.Join(found, " or ") + "?"
}
