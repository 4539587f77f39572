package features

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// current reads `current`. Some aggregates are about the events before this one,
// and never see the event itself.
func (l *loader) current(d *draft, t diag.Text) {
	agg := d.slot.agg
	d.slot.exclude = agg.before || t.Value == "exclude"
	switch t.Value {
	case "", "exclude":
	case "include":
		if agg.before {
			l.mistake(t, codeAggregate, "leave `current` out", "%s compares the event with those before it, so the event itself cannot be included", agg.name)
		}
	default:
		l.mistake(t, codeAggregate, "`exclude` leaves the event itself out; without it, it is counted", "current is `%s`, want include or exclude", t.Value)
	}
}

// params reads what an aggregate is computed from: `of`, and the keys that only
// some take.
func (l *loader) params(f *feature, d *draft, spec *featureSpec) {
	agg, p := d.slot.agg, &spec.params
	kind := spec.kind

	of, wanted, example := p.Of, "of", "for example of: amount.base"
	switch agg.of {
	case truthOperand:
		of, wanted, example = p.While, "while", `for example while: payment.status == "declined"`
	case placeOperand:
		example = "for example of: ip"
	case textOperand:
		example = "for example of: merchant.name"
	}
	unwanted := func(name string, t diag.Text, help string) {
		if t.Value != "" {
			l.mistake(t, codeOperand, help, "%s takes no `%s`", agg.name, name)
		}
	}
	if agg.of == noOperand || agg.of == truthOperand {
		help := "leave `of` out"
		switch {
		case agg.name == "count":
			help = "leave `of` out; to count different values use distinct"
		case agg.of == truthOperand:
			help = "the condition that holds throughout a run stands under `while`"
		}
		unwanted("of", p.Of, help)
	}
	if agg.of != truthOperand {
		unwanted("while", p.While, "a condition on the events that are counted stands under `where`; `while` is for run")
	}
	if agg.takes&takesQ == 0 {
		unwanted("q", p.Q, "`q` is for quantile")
	}
	if agg.takes&takesWithin == 0 {
		unwanted("within", p.Within, "`within` is for similar and nearby")
	}
	switch {
	case agg.of == noOperand:
	case of.Value == "" && (of.Span.Line > 0 || p.Of.Value != ""): // reported
	case of.Value == "":
		l.mistake(kind, codeOperand, example, "%s needs `%s`", agg.name, wanted)
	default:
		d.operand = l.operand(of, agg)
	}
	if agg.takes&takesQ != 0 {
		d.slot.q = l.decimal(kind, "q", p.Q, "for example q: 0.95; 0.5 is the median", 0, nano)
	}
	switch {
	case agg.takes&takesKilometres != 0:
		d.slot.within = l.decimal(kind, "within", p.Within, "for example within: 5, in kilometres", 1, 20_000*nano)
	case agg.takes&takesWithin != 0:
		d.slot.within = l.decimal(kind, "within", p.Within, "for example within: 0.1, a tenth of the event's own value more or less", 1, nano)
	}
	if t := p.MinCount; t.Value != "" {
		n, err := strconv.ParseInt(t.Value, 10, 32)
		last, _ := strconv.ParseInt(p.Window.last.Value, 10, 32)
		switch {
		case agg.name == "count":
			l.mistake(t, codeAggregate, "a count is never missing; compare it in the rule", "count takes no `min_count`")
		case err != nil || n < 1 || n > 1_000_000:
			l.mistake(t, codeAggregate, "the feature is missing while its window holds fewer events", "min_count is `%s`, want a number from 1 to 1000000", t.Value)
		case last > 0 && n > last:
			l.mistake(t, codeAggregate, "", "min_count is %d, but the window holds at most %d events", n, last)
		}
		f.least = n
	}
}

var percentForm = regexp.MustCompile(`^([1-9][0-9]?)%?$`)

var decimalForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?$`)

// decimal reads a number in units of 1e-9 that an aggregate needs, within bounds.
func (l *loader) decimal(kind diag.Text, name string, t diag.Text, example string, least, most uint64) uint64 {
	if t.Value == "" && t.Span.Line > 0 {
		return 0 // reported
	}
	if t.Value == "" {
		l.mistake(kind, codeOperand, example, "%s needs `%s`", kind.Value, name)
		return 0
	}
	whole, part, _ := strings.Cut(t.Value, ".")
	n, err := strconv.ParseUint(whole+(part + "000000000")[:9], 10, 64)
	if !decimalForm.MatchString(t.Value) || err != nil || n < least || n > most {
		from := "0"
		if least > 0 {
			from = "more than 0"
		}
		if m := percentForm.FindStringSubmatch(t.Value); m != nil && most == nano {
			percent, _ := strconv.Atoi(m[1])
			example = fmt.Sprintf("it is a part of 1: write %g", float64(percent)/100)
		}
		l.mistake(t, codeOperand, example, "%s is `%s`, want a number from %s to %d, with at most 9 decimals", name, t.Value, from, most/nano)
	}
	return n
}

// operand compiles an `of`; equal ones are evaluated once.
func (l *loader) operand(t diag.Text, agg *aggregate) int {
	o := operandProgram{identifier: -1}
	if !l.compileOperand(&o, t, agg) {
		return -1
	}
	same := func(p operandProgram) bool { return p.kind == o.kind && p.source() == o.source() }
	if i := slices.IndexFunc(l.set.operands, same); i >= 0 {
		return i
	}
	o.from = l.set.valued
	l.set.valued += o.width()
	l.set.operands = append(l.set.operands, o)
	return len(l.set.operands) - 1
}

// width is the number of columns that a value takes.
func (o *operandProgram) width() int {
	if o.kind == textColumn {
		return len(text{})
	}
	return 1
}

func (l *loader) compileOperand(o *operandProgram, t diag.Text, agg *aggregate) (ok bool) {
	compile := func(t diag.Text, kind expression.Kind) *expression.Program {
		program, list := l.env.Compile(t, kind, expression.CompileOptions{Pseudonymous: true})
		l.pseudonymous(ofEvent(l.wrongKind(list, agg)))
		return program
	}
	switch agg.of {
	case placeOperand:
		return l.place(o, t, agg)
	case truthOperand:
		o.kind, o.program = truthColumn, compile(t, expression.Bool)
		return o.program != nil
	}
	if k := risk.KeyIndex(form(t)); k >= 0 {
		if agg.of != anyOperand {
			wants, help := "a number", "of: takes a number here, such as amount.base"
			if agg.of == textOperand {
				wants, help = "a text that is not erased with a person", "identifiers are kept as pseudonyms, which have no characters to compare"
			}
			l.mistake(t, codeOperand, help, "%s takes %s, `%s` is an identifier", agg.name, wants, t.Value)
			return false
		}
		o.identifier, o.kind = k, hashColumn
		return true
	}
	if agg.of == textOperand {
		o.kind, o.program = textColumn, compile(t, expression.Text)
		return o.program != nil
	}
	if agg.of == anyOperand {
		only := expression.CompileOptions{Pseudonymous: true}
		if program, list := l.env.Compile(t, expression.Text, only); len(list) == 0 {
			o.kind, o.program = hashColumn, program
			return true
		}
	}
	if o.program = compile(t, expression.Number); o.program == nil {
		return false
	}
	o.kind = numberColumn
	if m := o.program.Money(); m != "" {
		o.asMoney(m)
	}
	return true
}

// wrongKind words what an `of` gives that the aggregate cannot take.
func (l *loader) wrongKind(list diag.List, agg *aggregate) diag.List {
	for i := range list {
		d := &list[i]
		if d.Code == codePersonal && agg.of == textOperand {
			d.Help = "a reference that names nobody can be sent as a custom field"
		}
		if d.Code != codeKind {
			continue
		}
		takes := "a number"
		switch agg.of {
		case anyOperand:
			takes = "a number, a text or an identifier"
		case textOperand:
			takes = "a text"
		case truthOperand:
			takes = "a condition under `while`"
		}
		d.Code, d.Message = codeOperand, fmt.Sprintf("%s takes %s, not a %s", agg.name, takes, d.Label)
		if agg.of == textOperand || agg.of == truthOperand {
			continue
		}
		switch d.Label {
		case "bool":
			d.Help = "to count the events for which it holds, write it as `where`"
		case "text":
			d.Help = "distinct counts different texts"
			if agg.name == "last" {
				d.Help = "seen with window: {last: 1} tells whether it is that of the event before"
			}
		case "time":
			d.Help = "days_since(…) and hours_since(…) make a number of it"
		}
	}
	return list
}

// place finds the coordinates of a group of fields.
func (l *loader) place(o *operandProgram, t diag.Text, agg *aggregate) bool {
	group := form(t)
	known := func(name string) bool {
		v, ok := l.env.Lookup(name)
		return ok && v.Kind == expression.Number
	}
	if !known(group+".lat") || !known(group+".lon") {
		var places []string
		for _, name := range l.env.Names() {
			if g, ok := strings.CutSuffix(name, ".lat"); ok && known(g+".lon") {
				places = append(places, g)
			}
		}
		help := "places are " + strings.Join(places, ", ")
		if near, ok := diag.Nearest(group, places); ok {
			help = fmt.Sprintf("did you mean `%s`?", near)
		}
		l.mistake(t, codeOperand, help, "%s needs a place, `%s` has no coordinates", agg.name, t.Value)
		return false
	}
	part := func(name string) *expression.Program {
		program, list := l.env.Compile(diag.Text{Value: group + name, Span: t.Span}, expression.Number, expression.CompileOptions{Pseudonymous: true})
		l.pseudonymous(list)
		return program
	}
	o.kind, o.program, o.longitude = placeColumn, part(".lat"), part(".lon")
	return o.program != nil && o.longitude != nil
}
