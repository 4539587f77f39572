package features

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// draft is a feature that counts something, before the slots are laid out.
type draft struct {
	feature  int
	guard    bool // counts the events of a feature's window, for its min_count
	at       int  // in Set.slots, once it is placed
	entity   int
	slot     slot
	observes []int // keys
	events   []string
	where    int // in Set.wheres, -1 without
	operand  int // in Set.operands, -1 without
	column   uint64
}

func (l *loader) features(specs diag.Map[featureSpec]) {
	s := l.set
	s.features = make([]feature, len(specs))
	for i, spec := range specs {
		s.index[spec.Key.Value] = i
	}
	taken := l.env.With() // of a child, so that the caller's names stay
	for i, spec := range specs {
		f := &s.features[i]
		f.slot = -1
		f.info = Info{Name: spec.Key.Value, At: spec.Key.Span}
		s.names = append(s.names, f.info.Name)
		if spec.Value.sound {
			f.info.Derived = spec.Value.kind.Value == "expr"
			if !f.info.Derived {
				l.aggregate(i, &spec.Value)
			}
		}
		if !nameForm.MatchString(f.info.Name) {
			l.mistake(spec.Key, codeName, nameHelp, "`%s` is no name for a feature", f.info.Name)
		} else if err := taken.Define(variable(f, i)); err != nil {
			l.mistake(spec.Key, codeName, "choose another name", "%s", strings.TrimPrefix(err.Error(), "expression: "))
		}
	}
	var formulas []int
	for i, spec := range specs {
		if s.features[i].info.Derived {
			l.formula(i, spec.Value.expr, taken)
			formulas = append(formulas, i)
		}
	}
	l.sortFormulas(formulas)
}

func (l *loader) formula(i int, src diag.Text, env *expression.Env) {
	program, list := env.Compile(src, expression.Number, expression.CompileOptions{Pseudonymous: true})
	l.pseudonymous(list)
	if len(list) > 0 || program == nil {
		return
	}
	f := &l.set.features[i]
	f.program = program
	for _, name := range program.Reads() {
		if r, ok := l.set.index[name]; ok {
			f.reads = append(f.reads, r)
		}
	}
}

func (l *loader) aggregate(i int, spec *featureSpec) {
	s, p := l.set, &spec.params
	f := &s.features[i]
	agg := aggregateNamed(spec.kind.Value)
	d := draft{feature: i, entity: -1, where: -1, operand: -1}
	d.slot.agg = agg
	f.info.Aggregate = agg.name
	f.guard = -1

	l.by(f, &d, &p.By)
	window := l.window(f, &d, p)
	l.current(&d, p.Current)
	for i, t := range p.Events {
		switch {
		case !typeForm.MatchString(t.Value):
			l.mistake(t, codeEvents, "a type is written payment.authorization; each is named, there are no patterns", "`%s` is not an event type", t.Value)
		case slices.Contains(d.events, t.Value):
			l.mistake(p.Events[i], codeEvents, "", "event type `%s` stands here twice", t.Value)
		default:
			d.events = append(d.events, t.Value)
			s.asked = append(s.asked, t)
		}
	}
	for key, t := range map[string]diag.Text{"of": p.Of, "window": p.Window.Text, "delay": p.Delay, "where": p.Where, "current": p.Current,
		"min_count": p.MinCount, "q": p.Q, "within": p.Within, "while": p.While} {
		if t.Value == "" && t.Span.Line > 0 && !l.reported(t.Span) {
			l.mistake(t, codeAggregate, "give it a value, or leave it out", "`%s` has no value", key)
		}
	}
	if p.Events != nil && len(p.Events) == 0 {
		l.mistake(spec.kind, codeEvents, "without `events`, all types but label are counted", "`events` is empty, so nothing would be counted")
	}
	if p.Where.Value != "" {
		d.where = l.where(p.Where)
	}
	l.params(f, &d, spec)
	if len(l.list) > 0 || d.entity < 0 {
		return // no set will come of it
	}

	l.idle(&d, spec)

	where, of := "", ""
	if d.where >= 0 {
		where = s.wheres[d.where].program.Source()
	}
	if d.operand >= 0 {
		o := &s.operands[d.operand]
		of = o.source()
		d.column = hashText(seedText, of)
		o.own = o.own || agg.own
		if agg.money && o.kind == moneyColumn {
			f.money = o.money()
		}
	}
	events := slices.Sorted(slices.Values(d.events))
	var keys, observes []string
	for _, k := range s.entities[d.entity].keys {
		keys = append(keys, s.keys[k].form)
	}
	for _, k := range d.observes {
		observes = append(observes, s.keys[k].form)
	}
	define := func(d *draft) {
		h := sha256.New()
		fmt.Fprintf(h, "%q %q %q %q %q %q %q %d %d %v", s.entities[d.entity].name, keys, observes,
			agg.name, of, where, events, window, d.slot.delay, d.slot.exclude)
		// A guard is counted for as long as what it guards, so both are new when a
		// min_count is added.
		if d.slot.last != 0 || d.slot.q != 0 || d.slot.within != 0 || f.least > 0 {
			fmt.Fprintf(h, " %d %d %d %v %v", d.slot.last, d.slot.q, d.slot.within, f.least > 0, d.guard)
		}
		h.Sum(d.slot.def[:0])
		l.drafts = append(l.drafts, *d)
	}
	d.slot.entity = d.entity
	define(&d)
	if f.least > 0 && agg.tally == nil && d.slot.last == 0 {
		d.guard, d.slot.agg, d.slot.q, d.slot.within = true, aggregateNamed("count"), 0, 0
		define(&d)
	}
}

// idle warns of a feature that tells nothing.
func (l *loader) idle(d *draft, spec *featureSpec) {
	s, p := l.set, &spec.params
	warn := func(t diag.Text, help, format string, args ...any) {
		s.warnings.Add(diag.Diagnostic{Code: codeIdle, Warning: true, Message: fmt.Sprintf(format, args...), Help: help, Span: t.Span})
	}
	self := slices.Contains(d.observes, s.features[d.feature].key) && !d.slot.exclude && d.slot.delay == 0 && d.where < 0 && len(d.events) == 0
	if self && d.slot.agg.name == "since_last" {
		warn(spec.kind, "`current: exclude` gives the time since the event before", "since_last is always 0, as the newest event is the event itself")
	}
	if slices.Contains(d.events, labelType) || slices.Contains(d.events, "chargeback") {
		return
	}
	reads := func(t diag.Text, program *expression.Program) {
		if program != nil && slices.Contains(program.Reads(), "label.fraud") {
			warn(t, "add events: [label]", "`label.fraud` is read, but labels are not counted")
		}
	}
	if d.where >= 0 {
		reads(p.Where, s.wheres[d.where].program)
	}
	if d.operand >= 0 {
		of := p.Of
		if d.slot.agg.of == truthOperand {
			of = p.While
		}
		reads(of, s.operands[d.operand].program)
	}
}

func (l *loader) window(f *feature, d *draft, p *paramsSpec) risk.Time {
	f.info.Window = "life"
	if t := p.Window.last; t.Value != "" {
		n, err := strconv.Atoi(t.Value)
		if err != nil || n < 1 || n > maxLast {
			l.mistake(t, codeWindow, "", "last is `%s`, want a number from 1 to %d", t.Value, maxLast)
		}
		f.info.Window = "last " + t.Value
		// The newest of the last N is the newest: such an aggregate needs no list.
		if !d.slot.agg.newest() {
			d.slot.last = n
		}
	}
	if t := p.Window.Text; t.Value != "" && t.Value != "life" {
		w, ok := parseDuration(t.Value)
		if !ok || w < minWindow || w > maxWindow {
			l.mistake(t, codeWindow, windowHelp(t.Value), "window is `%s`, want %s to %s, or life", t.Value, short(minWindow), short(maxWindow))
		}
		d.slot.window = risk.Time(w.Milliseconds())
		f.info.Window = t.Value
	}
	if t := p.Delay; t.Value != "" {
		w, ok := parseDuration(t.Value)
		if !ok || w > maxWindow {
			l.mistake(t, codeWindow, durationHelp(t.Value), "delay is `%s`, want 0s to %s", t.Value, short(maxWindow))
		}
		d.slot.delay = risk.Time(w.Milliseconds())
		f.info.Delay = t.Value
	}
	return d.slot.window
}

// by finds the entity, the keys by which events are counted, and the one that is
// read.
func (l *loader) by(f *feature, d *draft, b *bySpec) {
	s := l.set
	name := b.name
	if b.read.Value != "" {
		name = b.entity
		if name.Value == "" {
			l.byKeys(f, d, b)
			return
		}
	}
	if name.Value == "" {
		return // reported when it was decoded
	}
	e, ok := l.entityAt[name.Value]
	if !ok {
		l.unknownEntity(name)
		return
	}
	def := &s.entities[e]
	if b.read.Value != "" {
		l.bind(f, d, b, e)
		return
	}
	switch {
	case len(def.keys) > 1:
		l.mistake(name, codeBy, fmt.Sprintf("write by: {entity: %s, read: %s}", def.name, s.keys[def.keys[0]].form),
			"entity `%s` has several keys, and it is not said which is read", def.name)
	case len(def.keys) == 1:
		d.entity, d.observes, f.key = e, def.keys, def.keys[0]
		f.info.Entity = def.name
	}
}

// byKeys finds the entity by its keys.
func (l *loader) byKeys(f *feature, d *draft, b *bySpec) {
	found := -1
	for e := range l.set.entities {
		if l.keyOf(e, b.read) < 0 || b.observe.Value != "" && l.keyOf(e, b.observe) < 0 {
			continue
		}
		if found >= 0 {
			l.mistake(b.read, codeBy, "add entity: to say which is meant", "`%s` is a key of entity `%s` and of `%s`",
				b.read.Value, l.set.entities[found].name, l.set.entities[e].name)
			return
		}
		found = e
	}
	if found >= 0 {
		l.bind(f, d, b, found)
		return
	}
	for _, k := range []diag.Text{b.observe, b.read} {
		if k.Value != "" && !slices.ContainsFunc(l.set.keys, func(o key) bool { return o.form == form(k) }) {
			l.mistake(k, codeBy, "observe and read are keys that stand under entities", "`%s` is no entity's key", k.Value)
			return
		}
	}
	l.mistake(b.read, codeBy, "an entity with both has keys: ["+b.observe.Value+", "+b.read.Value+"]", "no entity has both keys `%s` and `%s`", b.observe.Value, b.read.Value)
}

func (l *loader) keyOf(entity int, t diag.Text) int {
	for _, k := range l.set.entities[entity].keys {
		if l.set.keys[k].form == form(t) {
			return k
		}
	}
	return -1
}

func (l *loader) bind(f *feature, d *draft, b *bySpec, e int) {
	def := &l.set.entities[e]
	d.observes = def.keys
	for _, t := range []diag.Text{b.observe, b.read} {
		if t.Value == "" {
			continue
		}
		k := l.keyOf(e, t)
		if k < 0 {
			l.mistake(t, codeBy, "", "`%s` is no key of entity `%s`", t.Value, def.name)
			return
		}
		if f.key = k; t == b.observe {
			d.observes = []int{k}
		}
	}
	d.entity, f.info.Entity = e, def.name
}

func (l *loader) unknownEntity(name diag.Text) {
	var known []string
	for e := range l.set.entities {
		known = append(known, l.set.entities[e].name)
	}
	help := "declare it under entities"
	for _, k := range l.set.keys {
		if k.form == form(name) {
			help = fmt.Sprintf("that is the key of entity `%[1]s`: write by: %[1]s", l.set.entities[k.entity].name)
		}
	}
	if near, ok := diag.Nearest(name.Value, known); ok {
		help = fmt.Sprintf("did you mean `%s`?", near)
	}
	l.mistake(name, codeBy, help, "unknown entity `%s`", name.Value)
}

// where compiles a condition; equal ones are evaluated once.
func (l *loader) where(t diag.Text) int {
	program, list := l.env.Compile(t, expression.Bool, expression.CompileOptions{Pseudonymous: true})
	l.pseudonymous(ofEvent(list))
	if len(list) > 0 || program == nil {
		return -1
	}
	same := func(w where) bool { return w.program.Source() == program.Source() }
	if i := slices.IndexFunc(l.set.wheres, same); i >= 0 {
		return i
	}
	l.set.wheres = append(l.set.wheres, where{program: program})
	return len(l.set.wheres) - 1
}

func (o *operandProgram) asMoney(currency string) {
	o.kind = moneyColumn
	if currency != "*" {
		o.decimals = max(risk.Exponent(currency), 0)
		return
	}
	o.decimals = mixedDecimals
	o.currency = func(e *risk.Event) string { return e.Amount.Currency }
	if reads := o.program.Reads(); slices.Contains(reads, "settlement.amount") && !slices.Contains(reads, "amount.value") {
		o.currency = func(e *risk.Event) string { return e.Settlement.Amount.Currency }
	}
}

func (o *operandProgram) money() string {
	if o.kind != moneyColumn {
		return ""
	}
	return o.program.Money()
}

// source identifies what is computed and how it is kept.
func (o *operandProgram) source() string {
	switch {
	case o.identifier >= 0:
		return "id " + risk.Keys[o.identifier].Form
	case o.kind == placeColumn:
		return "place " + o.program.Source()
	case o.kind == textColumn:
		return "characters " + o.program.Source()
	}
	return fmt.Sprintf("%s %s %s", o.program.Kind(), o.program.Money(), o.program.Source())
}
