package rules

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/diag"
	"github.com/sluice-risk/sluice/internal/expression"
	"github.com/sluice-risk/sluice/internal/lists"
	"github.com/sluice-risk/sluice/risk"
)

// MaxRules bounds the rules of one ruleset.
const MaxRules = 2000

const (
	rulesetFile  = "ruleset.yaml"
	featuresFile = "features.yaml"
	reasonsFile  = "reasons.yaml"
	ratesFile    = "rates.csv"
)

// Load compiles a directory. Every mistake of every file is in the list, by file
// and line; with any of them the Ruleset is nil. rates.csv and tests/ are left to
// others.
func Load(files diag.Files) (*Ruleset, diag.List) {
	l := &loader{
		files: files,
		set:   &Ruleset{byEvent: map[string]*Scenario{}, reasons: map[string]map[string]string{}},
		texts: map[string]string{Incomplete: incompleteText},
	}
	l.layout()
	spec := l.head()
	l.reasons()
	sound := len(l.diags)
	l.names(spec)
	l.shaky = len(l.diags) > sound || risk.Exponent(l.set.BaseCurrency) < 0
	l.scenarios(spec)
	l.rules()
	l.set.warnings = append(l.set.warnings, l.env.Doubts()...)
	l.set.warnings.Sort()
	if len(l.diags) > 0 {
		l.diags = append(l.diags, l.set.warnings...)
		l.unread()
		l.diags.Sort()
		return nil, l.diags
	}
	l.set.used = l.env.Used()
	return l.set, nil
}

// loader builds one ruleset and gathers its mistakes. It goes on after a mistake
// as if what is wrong were not there, so that one mistake is not reported twice.
type loader struct {
	files     diag.Files
	diags     diag.List
	set       *Ruleset
	env       *expression.Env
	custom    map[string]expression.Kind
	texts     map[string]string // public text by reason code
	noReasons bool              // reasons.yaml could not be read: codes are not checked
	noHead    bool              // nor could ruleset.yaml: scenarios are not checked
	nameless  bool              // a list has no name that could be read
	untyped   []string          // lists whose type is not known, as they are read
	shaky     bool              // names have stand-ins: examples would mislead
	astray    bool              // some rules name no scenario: one without rules is no mistake
	drafts    []*draft          // in file order
	ruleFiles []string
	listFiles []string
}

func (l *loader) fault(code string, at diag.Span, help, format string, args ...any) {
	l.diags.Add(diag.Diagnostic{Code: code, Span: at, Help: help, Message: fmt.Sprintf(format, args...)})
}

// layout sorts out which files belong to what. A YAML or CSV file in a place
// where nothing reads it is a mistake: its rules would silently not be there.
func (l *loader) layout() {
	for _, name := range l.files.Names() {
		dir, base := path.Split(name)
		dir = strings.TrimSuffix(dir, "/")
		ext := path.Ext(base)
		top, _, _ := strings.Cut(name, "/")
		whole := diag.Span{File: name}
		switch {
		case dir == "rules" && ext == ".yaml":
			l.ruleFiles = append(l.ruleFiles, name)
		case dir == "lists" && (ext == ".yaml" || ext == ".csv"):
			l.listFiles = append(l.listFiles, name)
		case dir == "models" || dir == "queues":
			l.fault(codeLater, whole, "take the file out of the ruleset", "%s/ is not supported yet", dir)
		case len(l.files[name]) > diag.MaxFile && (top == "tests" || top == "schema"):
			l.fault(codeFile, whole, "split it", "%s is larger than %d MiB", name, diag.MaxFile>>20)
		case top == "tests" || top == "schema" || name == ratesFile,
			name == rulesetFile, name == featuresFile, name == reasonsFile:
		case ext == ".yml":
			l.fault(codeFile, whole, "rename it to "+strings.TrimSuffix(name, ext)+".yaml", "%s is not read", name)
		case ext == ".yaml" || ext == ".csv":
			help := "rules stand in rules/*.yaml, lists in lists/*.yaml"
			if near, ok := diag.Nearest(name, []string{rulesetFile, featuresFile, reasonsFile, ratesFile, "rules/" + base, "lists/" + base}); ok {
				help = fmt.Sprintf("did you mean `%s`?", near)
			}
			l.fault(codeFile, whole, help, "%s is no file of a ruleset", name)
		}
	}
	slices.Sort(l.ruleFiles)
}

// head reads ruleset.yaml and checks what does not belong to one scenario.
func (l *loader) head() *rulesetSpec {
	spec := &rulesetSpec{}
	src, ok := l.files[rulesetFile]
	if !ok {
		l.noHead = true
		l.fault(codeFile, diag.Span{File: rulesetFile}, "a ruleset begins with ruleset.yaml", "there is no ruleset.yaml")
		return spec
	}
	diags := diag.Decode(rulesetFile, src, spec)
	l.diags = append(l.diags, diags...)
	l.noHead = len(diags) > 0
	l.apiVersion(spec.APIVersion, "ruleset/v1")
	l.name(spec.Ruleset)
	if c := spec.BaseCurrency; c.Value != "" && risk.Exponent(c.Value) < 0 {
		l.fault(codeRuleset, c.Span, "write its ISO 4217 code in upper case, such as USD", "`%s` is not a currency", c.Value)
	}
	l.custom = map[string]expression.Kind{}
	for _, e := range spec.Custom {
		l.name(e.Key)
		kinds := map[string]expression.Kind{"string": expression.Text, "number": expression.Number, "bool": expression.Bool, "time": expression.Time}
		if !l.oneOf(codeRuleset, e.Value, "type", "string", "number", "bool", "time") {
			l.custom[e.Key.Value] = expression.Text // so that it is not unknown besides
			continue
		}
		l.custom[e.Key.Value] = kinds[e.Value.Value]
	}
	l.set.Name, l.set.BaseCurrency = spec.Ruleset.Value, spec.BaseCurrency.Value
	return spec
}

// reasons reads reasons.yaml.
func (l *loader) reasons() {
	src, ok := l.files[reasonsFile]
	if !ok {
		l.noReasons = true
		l.fault(codeFile, diag.Span{File: reasonsFile}, "every rule names a reason, and reasons.yaml words it", "there is no reasons.yaml")
		return
	}
	var spec reasonsSpec
	diags := diag.Decode(reasonsFile, src, &spec)
	l.diags = append(l.diags, diags...)
	l.noReasons = len(diags) > 0
	l.apiVersion(spec.APIVersion, "reasons/v1")
	for _, e := range spec.Reasons {
		if !isCode(e.Key.Value) {
			l.fault(codeName, e.Key.Span, "a code has upper-case letters, digits and _, and begins with a letter: R101", "`%s` is not a reason code", e.Key.Value)
		}
		l.languages(e.Value.Public)
		l.languages(e.Value.Internal)
		words := map[string]string{}
		for _, t := range e.Value.Public {
			words[t.Key.Value] = t.Value.Value
		}
		l.set.reasons[e.Key.Value] = words
		i := slices.IndexFunc(e.Value.Public, func(t diag.Entry[diag.Text]) bool { return t.Key.Value == "en" })
		if i < 0 || e.Value.Public[i].Value.Value == "" {
			if len(e.Value.Public) > 0 {
				l.fault(codeReason, e.Key.Span, "add `en:` under `public:`", "reason `%s` has no public text in English", e.Key.Value)
			}
			l.texts[e.Key.Value] = ""
			continue
		}
		l.texts[e.Key.Value] = e.Value.Public[i].Value.Value
	}
}

// names fills the environment of expressions: the event's fields, lists and
// features, in this order, since features may read lists.
func (l *loader) names(spec *rulesetSpec) {
	base := spec.BaseCurrency.Value
	if risk.Exponent(base) < 0 {
		base = "USD" // two decimals, as most have
	}
	l.env = expression.NewEnv(base, l.custom)
	for i := range spec.Scenarios {
		for _, t := range spec.Scenarios[i].Value.Events {
			l.env.Known(t.Value)
		}
	}
	l.lists()
	src, ok := l.files[featuresFile]
	if !ok {
		l.fault(codeFile, diag.Span{File: featuresFile}, "for a ruleset without features write `apiVersion: features/v1` and `features: {}`", "there is no features.yaml")
		return
	}
	set, diags := features.Load(featuresFile, src, l.env)
	l.diags = append(l.diags, diags...)
	if len(diags) > 0 {
		l.standIns(src)
		return
	}
	l.set.Features = set
	if err := set.Define(l.env); err != nil {
		l.fault(codeClash, diag.Span{File: featuresFile}, "rename the feature", "%s", strings.TrimPrefix(err.Error(), "expression: "))
	}
}

// standIns defines the names of features that could not be loaded, so that the
// rules that read them can be checked all the same.
func (l *loader) standIns(src []byte) {
	var spec struct {
		Features diag.Map[later] `yaml:"features"`
	}
	diag.Decode(featuresFile, src, &spec) // its mistakes are known
	for _, e := range spec.Features {
		// A clash is features' to report.
		_ = l.env.Define(expression.Var{Name: e.Key.Value, Kind: expression.Number, At: e.Key.Span,
			Number: func(*expression.Scope) float64 { return 0 }})
	}
}

func (l *loader) lists() {
	var sources []string
	named := map[string]*lists.List{}
	for _, name := range l.listFiles {
		if path.Ext(name) != ".yaml" {
			continue
		}
		list, diags := lists.Load(name, l.files[name], l.files)
		l.diags = append(l.diags, diags...)
		sources = append(sources, list.Sources()...)
		if !list.Named() {
			l.nameless = true
			continue
		}
		if !list.Typed() {
			l.untyped = append(l.untyped, "`list."+list.Name()+"`")
		}
		if first, ok := named[list.Name()]; ok {
			l.fault(codeDuplicate, list.At(), fmt.Sprintf("first in %s; rename one of them", first.At().File), "there are two lists `%s`", list.Name())
			continue
		}
		named[list.Name()] = list
		if err := l.env.AddList(list.Name(), list); err != nil {
			l.fault(codeClash, list.At(), "rename the list", "%s", strings.TrimPrefix(err.Error(), "expression: "))
		}
		l.set.Lists = append(l.set.Lists, list)
	}
	for _, name := range l.listFiles {
		if path.Ext(name) == ".csv" && !slices.Contains(sources, name) && !slices.ContainsFunc(l.diags, func(d diag.Diagnostic) bool { return path.Dir(d.Span.File) == "lists" }) {
			l.fault(codeFile, diag.Span{File: name}, "write `source: "+path.Base(name)+"` in a list, or delete the file", "no list reads %s", name)
		}
	}
	slices.SortFunc(l.set.Lists, func(a, b *lists.List) int { return strings.Compare(a.Name(), b.Name()) })
}

// rules reads rules/*.yaml in two passes: the groups of points of a scenario must
// be known before any rule that reads them is compiled.
func (l *loader) rules() {
	count := 0
	seen := map[string]diag.Span{}
	for _, name := range l.ruleFiles {
		spec := &rulesSpec{}
		diags := diag.Decode(name, l.files[name], spec)
		l.diags = append(l.diags, diags...)
		l.apiVersion(spec.APIVersion, "rules/v1")
		if count += len(spec.Rules); count > MaxRules {
			l.fault(codeFile, diag.Span{File: name}, "split the ruleset", "the ruleset has more than %d rules", MaxRules)
			return
		}
		for i := range spec.Rules {
			spec.Rules[i].clean = len(diags) == 0
			l.identify(&spec.Rules[i], seen)
		}
		d := l.draft(spec.Scenario.Value)
		if d == nil {
			if spec.Scenario.Value != "" && !l.noHead {
				l.fault(codeRule, spec.Scenario.Span, l.nearest(spec.Scenario.Value, l.scenarioNames(), "name a scenario of ruleset.yaml"), "unknown scenario `%s`", spec.Scenario.Value)
			}
			// The rules themselves are checked all the same. The scenario that was
			// meant may have no others.
			l.astray = true
			d = newDraft(&Scenario{Name: spec.Scenario.Value})
			l.drafts = append(l.drafts, d)
		}
		for i := range spec.Rules {
			d.rules = append(d.rules, &spec.Rules[i])
			d.group(&spec.Rules[i])
		}
	}
	for _, d := range l.drafts {
		l.finish(d)
	}
	slices.SortStableFunc(l.set.infos, func(a, b RuleInfo) int { return strings.Compare(a.File, b.File) })
	l.types()
	l.seal()
}

// unread drops what is only unknown because the file that has it cannot be read, or
// because the head of a list does not say its name or type.
func (l *loader) unread() {
	where := map[string]string{"not in features.yaml": featuresFile, "not declared in ruleset.yaml": rulesetFile, "not under lists/": "lists"}
	broken := map[string]bool{"lists": l.nameless}
	for _, d := range l.diags {
		if d.Code == "E050" || d.Code == "E056" || d.Code == codeFile {
			dir, _, _ := strings.Cut(d.Span.File, "/")
			broken[dir] = true
		}
	}
	l.diags = slices.DeleteFunc(l.diags, func(d diag.Diagnostic) bool {
		return broken[where[d.Label]] || d.Code == "E016" && slices.ContainsFunc(l.untyped, func(name string) bool { return strings.Contains(d.Message, name) })
	})
}

// types warns of event types that look like a known one.
func (l *loader) types() {
	if l.set.Features == nil {
		return
	}
	known := slices.Clone(risk.EventTypes)
	for _, sc := range l.set.scenarios {
		known = append(known, sc.Events...)
	}
	for _, d := range l.drafts {
		if d.spec != nil {
			l.typos(d.spec.Events, risk.EventTypes)
		}
	}
	l.typos(l.set.Features.EventTypes(), known)
	l.set.warnings = append(l.set.warnings, l.set.Features.Warnings()...)
	l.set.warnings.Sort()
}

func (l *loader) typos(types []diag.Text, known []string) {
	for _, t := range types {
		if near, ok := diag.Nearest(t.Value, known); ok && events.MatchString(t.Value) {
			l.set.warnings.Add(diag.Diagnostic{
				Code: codeType, Warning: true, Message: fmt.Sprintf("event type `%s` is not known", t.Value),
				Help: fmt.Sprintf("did you mean `%s`?", near), Span: t.Span,
			})
		}
	}
}

// identify checks that an id, and every former id, is one rule's alone.
func (l *loader) identify(r *ruleSpec, seen map[string]diag.Span) {
	for i, id := range append([]diag.Text{r.ID}, r.Was...) {
		if id.Value == "" {
			continue
		}
		l.name(id)
		first, ok := seen[id.Value]
		switch {
		case !ok:
			seen[id.Value] = id.Span
		case i > 0 && id.Value == r.ID.Value:
			l.fault(codeDuplicate, id.Span, "`was` names former ids", "rule `%s` names itself as its former id", id.Value)
		default:
			l.fault(codeDuplicate, id.Span, fmt.Sprintf("first at %s:%d; an id is one rule's for ever, renamed or not", first.File, first.Line), "rule id `%s` is taken", id.Value)
		}
	}
}

// seal fills in the versions.
func (l *loader) seal() {
	if len(l.diags) > 0 {
		return
	}
	matter := slices.Concat([]string{rulesetFile, reasonsFile}, l.ruleFiles)
	l.set.versions = risk.Versions{
		Ruleset:   l.files.Digest(matter...),
		Features:  l.set.Features.Digest(),
		Lists:     diag.Files{}.Digest(),
		Screening: "none",
	}
	if len(l.listFiles) > 0 {
		l.set.versions.Lists = l.files.Digest(l.listFiles...)
	}
}
