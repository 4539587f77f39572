package features

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/risk"
)

// Bounds of one file.
const (
	maxFeatures = 1000
	maxEntities = 64
	maxParts    = 8
	minWindow   = 30 * time.Second
	maxWindow   = 366 * day
)

// labelType is the event type that counts only where it is asked for.
const labelType = "label"

const apiVersion = "features/v1"

// Load compiles features.yaml and reports every mistake in it at once; the Set is
// nil if there are any. env knows the event's fields; it is not changed.
func Load(file string, src []byte, env *expression.Env) (*Set, diag.List) {
	l := &loader{env: env, set: &Set{index: map[string]int{}, roles: map[uint32]int{}, types: map[string][]uint64{}}}
	var spec fileSpec
	l.list = diag.Decode(file, src, &spec)
	if v := spec.APIVersion; v.Value != "" && v.Value != apiVersion {
		l.mistake(v, codeVersion, "write apiVersion: "+apiVersion, "unknown apiVersion `%s`", v.Value)
	}
	l.limits(&spec.Limits)
	l.entities(spec.Entities)
	if n := len(spec.Features); n > maxFeatures {
		l.mistake(spec.Features[maxFeatures].Key, codeSize, "", "%d features, at most %d are possible", n, maxFeatures)
	} else {
		l.features(spec.Features)
	}
	l.list.Sort()
	if len(l.list) > 0 {
		return nil, l.list
	}
	l.finish()
	return l.set, nil
}

type loader struct {
	env  *expression.Env
	set  *Set
	list diag.List

	drafts   []draft
	entityAt map[string]int // set.entities by name
}

func (l *loader) mistake(t diag.Text, code, help, format string, args ...any) {
	l.list.Add(diag.Diagnostic{Code: code, Message: fmt.Sprintf(format, args...), Help: help, Span: t.Span})
}

// reported tells whether a mistake is known that begins at a place.
func (l *loader) reported(at diag.Span) bool {
	return slices.ContainsFunc(l.list, func(d diag.Diagnostic) bool { return d.Span.Line == at.Line && d.Span.Column == at.Column })
}

func (l *loader) limits(spec *limitsSpec) {
	lim := &l.set.limits
	*lim = Limits{ExactEvents: 4096}
	if t := spec.ExactEvents; t.Value != "" {
		n, err := strconv.Atoi(t.Value)
		if err != nil || n < leastExact || n > 1<<20 {
			l.mistake(t, codeLimit, "", "exact_events is `%s`, want a number from 256 to 1048576", t.Value)
		}
		lim.ExactEvents = n
	}
	duration := func(name string, t diag.Text, standard, least, most time.Duration, to *time.Duration) {
		*to = standard
		if t.Value == "" {
			return
		}
		d, ok := parseDuration(t.Value)
		if !ok || d < least || d > most {
			l.mistake(t, codeLimit, durationHelp(t.Value), "%s is `%s`, want a duration from %s to %s", name, t.Value, short(least), short(most))
		}
		*to = d
	}
	duration("allowed_lateness", spec.AllowedLateness, 25*time.Hour, 0, 31*day, &lim.AllowedLateness)
	duration("label_horizon", spec.LabelHorizon, 180*day, day, 3660*day, &lim.LabelHorizon)
	duration("dedup", spec.Dedup, 7*day, time.Hour, 366*day, &lim.Dedup)
}

// typeForm is what an event type looks like.
var typeForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

func (l *loader) entities(specs diag.Map[entitySpec]) {
	l.entityAt = map[string]int{}
	for i, s := range specs {
		if i == maxEntities {
			l.mistake(s.Key, codeSize, "", "%d entities, at most %d are possible", len(specs), maxEntities)
			return
		}
		name := s.Key.Value
		if !nameForm.MatchString(name) {
			l.mistake(s.Key, codeName, nameHelp, "`%s` is no name for an entity", name)
		}
		l.entityAt[name] = len(l.set.entities)
		l.set.entities = append(l.set.entities, entityDef{name: name, hash: hashText(seedEntity, name)})
		def := &l.set.entities[len(l.set.entities)-1]
		single, several := []diag.Text(s.Value.Key), s.Value.Keys
		switch {
		case len(single) > 0 && len(several) > 0:
			at := single[0]
			if len(several[0]) > 0 {
				at = several[0][0]
			}
			l.mistake(at, codeEntity, "`key` names an entity once in an event, `keys` as often as it has keys", "entity `%s` has both `key` and `keys`", name)
		case s.Value.bad && len(single) == 0 && len(several) == 0: // reported
		case len(single) == 0 && len(several) == 0:
			l.mistake(s.Key, codeEntity, "for example {key: card.token}", "entity `%s` has no key", name)
		case len(single) > maxParts:
			l.mistake(single[maxParts], codeEntity, "", "a key of %d parts, at most %d are possible", len(single), maxParts)
		case len(single) > 0:
			l.key(def, single)
		default:
			for i, parts := range several {
				same := func(other keySpec) bool { return keyForm(other) == keyForm(parts) }
				switch {
				case len(parts) == 0:
					l.mistake(s.Key, codeEntity, "for example {keys: [sender.account, receiver.account]}", "entity `%s` has a key without parts", name)
				case len(parts) > maxParts:
					l.mistake(parts[maxParts], codeEntity, "", "a key of %d parts, at most %d are possible", len(parts), maxParts)
				case parts[0].Value != "" && slices.ContainsFunc(several[:i], same):
					l.mistake(parts[0], codeEntity, "", "key `%s` stands here twice", joined(parts))
				default:
					l.key(def, parts)
				}
			}
		}
	}
}

const (
	nameHelp   = "names begin with a letter and have lower-case letters, digits and _, at most 64"
	seedEntity = 0x656e7469_74790001
)

// form is how a key is compared: without the spaces that may stand in a call.
func form(t diag.Text) string { return strings.Join(strings.Fields(t.Value), "") }

func keyForm(parts []diag.Text) string {
	var forms []string
	for _, t := range parts {
		forms = append(forms, form(t))
	}
	return strings.Join(forms, ",")
}

func (l *loader) key(def *entityDef, parts []diag.Text) {
	k := key{entity: l.entityAt[def.name]}
	var forms []string
	for i, t := range parts {
		if t.Value == "" {
			if !l.reported(t.Span) {
				l.mistake(t, codeEntity, "name a field, such as card.token", "a part of the key is empty")
			}
			return
		}
		forms = append(forms, form(t))
		if slices.Contains(forms[:i], forms[i]) {
			l.mistake(t, codeEntity, "", "part `%s` stands here twice", t.Value)
		}
		p := part{identifier: risk.KeyIndex(form(t))}
		if p.identifier < 0 {
			var list diag.List
			p.program, list = l.env.Compile(t, expression.Text, expression.CompileOptions{Pseudonymous: true})
			l.pseudonymous(ofEvent(list))
		}
		k.parts = append(k.parts, p)
	}
	k.form = strings.Join(forms, ",")
	k.role = uint32(hashText(hashText(seedEntity, def.name), k.form))
	if other, ok := l.set.roles[k.role]; ok {
		l.mistake(parts[0], codeName, "rename the entity", "key `%s` cannot be told from key `%s`", k.form, l.set.keys[other].form)
	}
	l.set.roles[k.role] = len(l.set.keys)
	def.keys = append(def.keys, len(l.set.keys))
	l.set.keys = append(l.set.keys, k)
}

// ofEvent words the mistakes of an expression that can read no feature.
func ofEvent(list diag.List) diag.List {
	for i := range list {
		if d := &list[i]; d.Label == "not in features.yaml" {
			d.Message, d.Label = strings.Replace(d.Message, "feature", "name", 1), "no field of the event"
		}
	}
	return list
}

// pseudonymous takes over the mistakes of an expression, and says why it may not
// read what is erased, or other features.
func (l *loader) pseudonymous(list diag.List) {
	for _, d := range list {
		switch d.Code {
		case codePersonal:
			const place = " may stand alone as an entity's key or as the `of` of distinct, share or seen"
			switch forms := normalised(d.Message); {
			case strings.Contains(d.Message, "identifies") && forms == "":
				d.Help = "it" + place
			case strings.Contains(d.Message, "identifies"):
				d.Help = "it" + place + "; in a normal form as " + forms
			case forms != "":
				d.Help = forms + place
			}
		case codeUnknown:
			for name := range l.set.index {
				if strings.Contains(d.Message, "`"+name+"`") {
					d.Message, d.Label = fmt.Sprintf("feature `%s` cannot be read here", name), ""
					d.Help = "keys, of and where read the event alone; combine features with expr"
				}
			}
		}
		l.list.Add(d)
	}
}

// The expression compiler's codes for a name that it does not know, for one that
// is erased, and for an expression that gives another kind of value.
const (
	codeUnknown  = "E012"
	codePersonal = "E021"
	codeKind     = "E015"
)

// normalised gives the normal forms of the field that a mistake is about.
func normalised(message string) string {
	var forms []string
	for i := range risk.Keys {
		f := risk.Keys[i].Form
		if _, field, ok := strings.Cut(f, "("); ok && strings.Contains(message, "`"+strings.TrimSuffix(field, ")")+"`") {
			forms = append(forms, f)
		}
	}
	return strings.Join(forms, ", ")
}

// finish lays out the slots of a file without mistakes, entity by entity.
func (l *loader) finish() {
	s := l.set
	for e := range s.entities {
		def := &s.entities[e]
		def.slot, def.word = len(s.slots), s.words
		for d := range l.drafts {
			if draft := &l.drafts[d]; draft.entity == e {
				l.placeSlot(def, draft)
			}
		}
		n := len(s.slots) - def.slot
		def.words = (n + 63) / 64
		s.words += def.words
	}
	s.others = make([]uint64, s.words)
	for i := range s.keys {
		s.keys[i].observes = make([]uint64, s.entities[s.keys[i].entity].words)
	}
	for e := range s.entities {
		def := &s.entities[e]
		def.slots = s.slots[def.slot:len(s.slots):len(s.slots)]
		if e+1 < len(s.entities) {
			def.slots = s.slots[def.slot:s.entities[e+1].slot:s.entities[e+1].slot]
		}
		for _, c := range def.columns {
			def.from = append(def.from, c.from)
		}
		for i := range def.slots {
			x := &def.slots[i]
			x.maskAt = 1 + x.bit/64
			x.valueAt = x.maskAt
			if x.col >= 0 {
				x.column, x.valueAt = &def.columns[x.col], 1+def.words+x.col
			}
			x.adds = x.agg.tally != nil && x.agg.keeps == noValues && x.agg.sums <= sumValues
			x.plain = x.agg.tally != nil && x.last == 0 && (x.window != 0 || x.agg.keeps == noValues)
			window := span{x.window, x.delay}
			if x.span = slices.Index(def.spans, window); x.span < 0 {
				x.span = len(def.spans)
				def.spans = append(def.spans, window)
				def.notSought = append(def.notSought, notSought)
			}
		}
	}
	for i := range s.features {
		f := &s.features[i]
		s.missing = append(s.missing, missing)
		if f.slot < 0 {
			continue
		}
		how, k := lookup{slot: &s.slots[f.slot], feature: i, least: f.least}, &s.keys[f.key]
		if f.guard >= 0 {
			how.guard = &s.slots[f.guard]
		}
		if how.slot.exclude {
			k.before = append(k.before, how)
		} else {
			k.after = append(k.after, how)
		}
	}
	s.types[labelType] = make([]uint64, s.words)
	for d := range l.drafts {
		for _, t := range l.drafts[d].events {
			s.types[t] = make([]uint64, s.words)
		}
	}
	for d := range l.drafts {
		l.users(&l.drafts[d])
	}
	s.digest = l.digest()
}

// placeSlot gives a draft its slot: that of an equal one, or a new one.
func (l *loader) placeSlot(def *entityDef, d *draft) {
	s := l.set
	f := &s.features[d.feature]
	if same := slices.IndexFunc(s.slots[def.slot:], func(o slot) bool { return o.def == d.slot.def }); same >= 0 {
		d.at = def.slot + same
	} else {
		x := d.slot
		x.bit, x.operand, x.col, x.life = len(s.slots)-def.slot, d.operand, -1, -1
		if d.operand >= 0 && !d.guard {
			x.col = def.columnsOf(&s.operands[d.operand], d)
		}
		if x.window == 0 {
			x.life = len(def.life)
			def.life = append(def.life, x.bit)
		}
		def.reach = max(def.reach, x.reach())
		d.at = len(s.slots)
		s.slots = append(s.slots, x)
	}
	if d.guard {
		f.guard = d.at
		return
	}
	f.slot = d.at
}

// columnsOf gives the first of the columns that keep an operand.
func (def *entityDef) columnsOf(o *operandProgram, d *draft) int {
	col := slices.IndexFunc(def.columns, func(c column) bool { return c.operand == d.operand })
	if col >= 0 {
		return col
	}
	for i := range o.width() {
		def.columns = append(def.columns, column{
			key: d.column + uint64(i), kind: o.kind, decimals: o.decimals, scale: scaleOf(o), operand: d.operand, from: o.from + i,
		})
	}
	return len(def.columns) - o.width()
}

func scaleOf(o *operandProgram) uint64 {
	if o.kind == moneyColumn {
		return uint64(powers[o.decimals])
	}
	return nano
}

// users marks in the masks what uses which key, event type, condition and value.
func (l *loader) users(d *draft) {
	s := l.set
	slot := &s.slots[d.at]
	def := &s.entities[slot.entity]
	word, bit := def.word+slot.bit>>6, uint64(1)<<(uint(slot.bit)&63)
	mark := func(mask *[]uint64) {
		if *mask == nil {
			*mask = make([]uint64, s.words)
		}
		(*mask)[word] |= bit
	}
	for _, k := range d.observes {
		s.keys[k].observes[slot.bit>>6] |= bit
	}
	if len(d.events) == 0 {
		mark(&s.others)
		for t, mask := range s.types {
			if t != labelType {
				mask[word] |= bit
			}
		}
	}
	for _, t := range d.events {
		s.types[t][word] |= bit
	}
	if d.where >= 0 {
		mark(&s.wheres[d.where].users)
	}
	if d.operand >= 0 {
		mark(&s.operands[d.operand].users)
	}
}

// digest covers what can change a value or its name: not the layout of the file.
func (l *loader) digest() (out digest) {
	s := l.set
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%+v\n", apiVersion, s.limits)
	for i := range s.features {
		f := &s.features[i]
		if f.slot < 0 {
			fmt.Fprintf(h, "%q expr %q\n", f.info.Name, f.program.Source())
		} else {
			fmt.Fprintf(h, "%q %x %q", f.info.Name, s.slots[f.slot].def, s.keys[f.key].form)
			if f.least > 0 {
				fmt.Fprintf(h, " %d", f.least)
			}
			fmt.Fprintln(h)
		}
	}
	for i := range s.keys { // an entity without a feature is still remembered for labels
		fmt.Fprintf(h, "%q %q\n", s.entities[s.keys[i].entity].name, s.keys[i].form)
	}
	h.Sum(out[:0])
	return out
}

func (l *loader) sortFormulas(formulas []int) {
	s := l.set
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(s.features))
	var path []int
	var visit func(i int)
	visit = func(i int) {
		switch {
		case s.features[i].program == nil || state[i] == done:
			return
		case state[i] == open:
			var names []string
			for _, j := range path[slices.Index(path, i):] {
				names = append(names, s.names[j])
			}
			l.list.Add(diag.Diagnostic{
				Code: codeCycle, Message: "formulas read each other in a circle: " + strings.Join(append(names, s.names[i]), " -> "),
				Help: "one of them must do without the others", Span: s.features[i].info.At,
			})
			return
		}
		state[i] = open
		path = append(path, i)
		for _, r := range s.features[i].reads {
			visit(r)
		}
		path = path[:len(path)-1]
		state[i] = done
		s.order = append(s.order, i)
	}
	slices.SortFunc(formulas, cmp.Compare[int])
	for _, i := range formulas {
		visit(i)
	}
}

// Formulas names those that read one of the named features, themselves or through
// another formula.
func (s *Set) Formulas(of []string) (names []string) {
	var all []int
	for _, name := range of {
		if i, ok := s.index[name]; ok {
			all = append(all, i)
		}
	}
	return slices.DeleteFunc(s.withReaders(all), func(name string) bool { return !s.features[s.index[name]].info.Derived })
}
