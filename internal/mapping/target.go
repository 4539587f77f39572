package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/risk"
)

// target is a field of the event that a mapping can fill.
type target struct {
	name       string // "amount.value"
	group, key string
	order      int // of the group in an event; custom comes last
	kind       risk.Kind
	plain      bool // its values say nothing about who a person is
	dates      bool // an instant that may be a date
}

const customGroup = "custom"

// targets are all fields of an event but custom ones, by name. Those that are not
// in risk.Fields stand here as package risk reads them.
var targets = func() map[string]target {
	order := []string{"event", "amount"}
	all := map[string]target{}
	add := func(name string, kind risk.Kind, plain bool) {
		group, key, _ := strings.Cut(name, ".")
		at := slices.Index(order, group)
		if at < 0 {
			at = len(order)
			order = append(order, group)
		}
		all[name] = target{name: name, group: group, key: key, order: at, kind: kind, plain: plain,
			dates: key == "birth_date" || key == "created"}
	}
	add("event.id", risk.Text, true)
	add("amount.value", risk.Text, true)
	add("amount.currency", risk.Text, true)
	for _, f := range risk.Fields {
		add(f.Path, f.Kind, f.Class == risk.Plain)
	}
	add("card.number", risk.Text, false)
	add("settlement.amount", risk.Text, true)
	add("settlement.currency", risk.Text, true)
	return all
}()

// lists are fields that hold several values each, which no mapping fills.
var lists = []string{"order.items", "kyc.documents", "kyc.owners"}

var customName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// targetOf finds the field that a mapping names.
func targetOf(t diag.Text) (target, *diag.Diagnostic) {
	if name, ok := strings.CutPrefix(t.Value, customGroup+"."); ok {
		if !customName.MatchString(name) {
			d := t.Mistake(unknownTarget, "custom field `%s` cannot be named so", name)
			d.Help = "a letter, then at most 63 letters, digits and underscores"
			return target{}, &d
		}
		return target{name: t.Value, group: customGroup, key: name, order: 1 << 10}, nil
	}
	if found, ok := targets[t.Value]; ok {
		return found, nil
	}
	d := t.Mistake(unknownTarget, "unknown field `%s`", t.Value)
	if slices.Contains(lists, t.Value) {
		d.Message = fmt.Sprintf("`%s` is a list, which a mapping cannot fill", t.Value)
		d.Help = "single values of it can go to custom fields"
		return target{}, &d
	}
	names := make([]string, 0, len(targets))
	var group []string
	prefix, _, _ := strings.Cut(t.Value, ".")
	for name, x := range targets {
		names = append(names, name)
		if x.group == prefix {
			group = append(group, x.key)
		}
	}
	slices.Sort(group)
	if near, ok := diag.Nearest(t.Value, names); ok {
		d.Help = fmt.Sprintf("did you mean `%s`?", near)
	} else if len(group) > 0 {
		d.Help = prefix + " has: " + strings.Join(group, ", ")
	} else {
		d.Help = "fields of an event are listed in /openapi.json; others go to custom.NAME"
	}
	return target{}, &d
}
