package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/features"
	"github.com/sluice-risk/sluice/internal/web"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/rules"
)

// evidence is a decision with what the active release says about its parts.
type evidence struct {
	*risk.Decision
	result   *engine.Result
	rules    map[string]*rules.RuleInfo // by id, of the active release
	scenario *rules.Scenario            // of the active release; nil: it has none of this name
	features *features.Set              // that decided; nil: another release's
	same     bool                       // the active release is the one that decided
	reasons  reasons                    // of the active release
	lang     *web.Language
}

// decisionPage answers GET /decisions/{id}.
func (c *call) decisionPage() {
	r, d, ok := c.find()
	if !ok {
		return
	}
	frame := c.frame("", "")
	lang := frame.Lang
	e := evidence{Decision: d, result: r, rules: map[string]*rules.RuleInfo{}, lang: lang}
	if b := c.server.cell.Bundle(); b != nil {
		e.reasons = b.Rules.Reasons()
		e.same = b.Rules.Versions().Ruleset == d.Versions.Ruleset
		for _, info := range b.Rules.Rules() {
			e.rules[info.ID] = &info
		}
		for _, sc := range b.Rules.Scenarios() {
			if sc.Name == d.Scenario {
				e.scenario = sc
			}
		}
		if set := b.Rules.Features; set != nil && set.Digest() == d.Versions.Features {
			e.features = set
		}
	}
	p := e.page()
	frame.Title, p.Frame = p.Title, frame
	if at, err := c.server.cell.At(r.Position); err == nil && at.Key == r.Key {
		p.Known, p.Type, p.Subject, p.Arrived, p.Amount = true, at.Type, at.Subject, web.Instant(at.Arrival.Time()), amount(at.Amount, lang)
		if at.Base.Currency != at.Amount.Currency {
			p.Base = amount(at.Base, lang)
		}
	}
	p.Curl = c.curl("/v1/decisions/" + d.ID)
	c.sendPage(http.StatusOK, p)
}

// curl is a line for a shell. The host is the caller's word, so it is used only
// if no shell can take it for more than a name.
func (c *call) curl(path string) string {
	host, scheme, key := c.r.Host, "http", ""
	if strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "" {
		host = "localhost"
	}
	if c.r.TLS != nil {
		scheme = "https"
	}
	if c.server.opts.Keys != nil {
		key = ` -H "Authorization: Bearer $SLUICE_KEY"`
	}
	return "curl" + key + " '" + scheme + "://" + host + path + "'"
}

func (e *evidence) page() *web.Decision {
	p := &web.Decision{Frame: web.Frame{Title: e.lang.Say("decision.title", e.Event)}, ID: e.ID, Event: e.Event, Tenant: e.Tenant,
		Scenario: e.Scenario, Action: e.Action.String(), Challenge: e.Advice.Challenge, SameRelease: e.same,
		Position: web.Count(uint64(e.result.Position)), Body: string(e.result.Body)}
	sum := sha256.Sum256(e.result.Body)
	p.Digest = hex.EncodeToString(sum[:])
	var pretty bytes.Buffer
	if json.Indent(&pretty, e.result.Body, "", "  ") == nil {
		p.Pretty = pretty.String()
	}
	if e.Hold.ID != "" {
		p.HoldID, p.HoldUntil = e.Hold.ID, web.Instant(e.Hold.Expires.Time())
	}
	if a := e.result.Answered; a != nil {
		p.Superseded = e.lang.Say("decision.superseded", e.lang.Word("action", a.Action.String()), strings.Join(a.Degraded, ", "))
	}
	for _, w := range e.Warnings {
		p.Warnings = append(p.Warnings, web.Warning{Pointer: w.Pointer, Code: w.Code, Detail: w.Detail})
	}
	v := e.Versions
	for _, n := range [][2]string{{"engine", v.Engine}, {"ruleset", v.Ruleset}, {"features", v.Features}, {"lists", v.Lists},
		{"model", v.Model}, {"screening", v.Screening}, {"facts", v.Facts}} {
		p.Versions = append(p.Versions, web.Named{Name: e.lang.Word("version", n[0]), Value: cmp.Or(n[1], e.lang.Say("decision.none"))})
	}
	e.why(p)
	e.scored(p)
	e.values(p)
	return p
}

// why lists the rules, those that decided first, and says it in a sentence.
func (e *evidence) why(p *web.Decision) {
	var because, unevaluated []string
	for i := range e.Rules {
		f := &e.Rules[i]
		w := web.Fired{ID: f.ID, Title: f.ID, Stage: f.Stage, Mode: f.Mode, At: f.At, Result: f.Result}
		if info := e.rules[f.ID]; info != nil {
			w.Known, w.Title, w.Why, w.Reason = true, title(info, e.lang), info.Why, info.Reason
		}
		if f.Points != 0 {
			w.Points = web.Number(f.Points)
		}
		var present []string
		for _, r := range e.Reasons {
			if r.Code == w.Reason {
				w.ReasonText = e.reasons.text(r, e.lang)
			}
		}
		for i, b := range f.Because {
			if b.Op == "has" { // a guard, shown only if nothing else shows the value
				if !slices.ContainsFunc(f.Because, func(o risk.Because) bool { return o.Op != "has" && strings.Contains(o.Left, b.Left) }) && !has(f.Because[:i], b.Left) {
					present = append(present, b.Left)
				}
				continue
			}
			w.Because = append(w.Because, web.Comparison{Left: b.Left, Value: scalar(b.Value, e.lang), Op: b.Op, Limit: scalar(b.Limit, e.lang), Window: e.lang.Span(b.Window)})
		}
		w.Present = strings.Join(present, ", ")
		if f.Mode != "live" {
			p.Shadow = append(p.Shadow, w)
			continue
		}
		if w.Decided = e.decided(f, &w); w.Decided && f.Result == "" {
			because = append(because, w.Title)
		} else if w.Decided {
			unevaluated = append(unevaluated, w.Title)
		}
		p.Fired = append(p.Fired, w)
	}
	slices.SortStableFunc(p.Fired, func(a, b web.Fired) int { return cmp.Compare(rank(&a), rank(&b)) })
	switch band := e.band(); {
	case len(because) > 0:
		p.Cause = e.lang.Say("cause.rules", quoted(because, e.lang))
	case len(unevaluated) > 0:
		p.Cause = e.lang.Say("cause.missing", quoted(unevaluated, e.lang))
	case band != 0 && band == e.Action:
		p.Cause = e.lang.Say("cause.score", score(e.Score.Value), strings.ToLower(e.lang.Word("action", band.String())))
	case e.Action == risk.Allow:
		p.Cause = e.lang.Say("cause.nothing")
	}
}

func has(list []risk.Because, left string) bool {
	return slices.ContainsFunc(list, func(b risk.Because) bool { return b.Op == "has" && b.Left == left })
}

// decided tells whether a live rule led to the action: its stage asks for that
// action, or it could not be evaluated; and its reason, where it is known, is one
// of the decision's.
func (e *evidence) decided(f *risk.Fired, w *web.Fired) bool {
	given := slices.ContainsFunc(e.Reasons, func(r risk.Reason) bool { return r.Code == w.Reason })
	if f.Result != "" {
		return given && e.Action != risk.Allow
	}
	if e.same && w.Known && !given {
		return false
	}
	return asks(f.Stage) == e.Action
}

// quoted joins titles for a sentence.
func quoted(titles []string, lang *web.Language) string {
	for i := range titles {
		titles[i] = lang.Say("quoted", titles[i])
	}
	return strings.Join(titles, lang.Say("and"))
}

func rank(f *web.Fired) int {
	switch {
	case f.Decided:
		return 0
	case f.Result != "":
		return 2
	case f.Stage == "points":
		return 3
	}
	return 1
}

// band is what the score alone asks for, 0 if that is not known.
func (e *evidence) band() risk.Action {
	if e.scenario == nil || !e.same || !e.Score.Set || e.scenario.Score.Scorer == "" {
		return 0
	}
	switch s := e.scenario.Score; {
	case e.Score.Value >= s.BlockAt:
		return risk.Block
	case e.Score.Value >= s.ReviewAt:
		return risk.Review
	}
	return 0 // below the bands it asks for nothing
}

// scored fills in the score, its bands and the points it is made of.
func (e *evidence) scored(p *web.Decision) {
	if !e.Score.Set {
		return
	}
	s := &web.Score{Value: score(e.Score.Value), At: min(web.Percent(e.Score.Value, 1), 99.2)}
	p.Score = s
	full := 0.0
	if e.scenario != nil && e.scenario.Score.Scorer != "" {
		b := e.scenario.Score
		full = b.Full
		s.ReviewX, s.BlockX, s.Says = web.Percent(b.ReviewAt, 1), web.Percent(b.BlockAt, 1), bands(b, e.lang)
		if b.ReviewAt > 0 {
			s.ReviewAt, s.ReviewW = web.Number(b.ReviewAt), 100-s.ReviewX
		}
		if b.BlockAt > 0 {
			s.Block, s.BlockW = web.Number(b.BlockAt), 100-s.BlockX
		}
	}
	sum := 0.0
	for i := range e.Rules {
		f := &e.Rules[i]
		if f.Points == 0 || f.Mode != "live" || f.Result != "" {
			continue
		}
		sum += f.Points
		name := f.ID
		if info := e.rules[f.ID]; info != nil {
			name = title(info, e.lang)
		}
		p.Points = append(p.Points, web.Points{Rule: f.ID, Title: name, Points: web.Number(f.Points), Width: web.Percent(math.Abs(f.Points), full)})
	}
	if p.PointsSum = web.Number(sum); full > 0 {
		p.PointsSum += " / " + web.Number(full)
	}
}

func bands(s rules.ScoreSpec, lang *web.Language) string {
	switch {
	case s.ReviewAt > 0 && s.BlockAt > 0:
		return lang.Say("score.bands", web.Number(s.ReviewAt), web.Number(s.BlockAt))
	case s.ReviewAt > 0:
		return lang.Say("score.review", web.Number(s.ReviewAt))
	case s.BlockAt > 0:
		return lang.Say("score.block", web.Number(s.BlockAt))
	}
	return ""
}

// values lists the features, those first that a fired rule compared.
func (e *evidence) values(p *web.Decision) {
	used := map[string]bool{}
	for i := range e.Rules {
		for _, b := range e.Rules[i].Because {
			for name := range strings.FieldsFuncSeq(b.Left, notOfName) {
				used[name] = true
			}
		}
	}
	partial := map[string]bool{}
	for _, part := range e.Partial {
		p.Partial = append(p.Partial, web.Partial{Names: strings.Join(part.Features, ", "), Since: web.Instant(part.Since.Time())})
		for _, name := range part.Features {
			partial[name] = true
		}
	}
	p.Approximate, p.Awaiting = strings.Join(e.Approximate, ", "), strings.Join(e.Awaiting, ", ")
	there := map[string]bool{}
	for i, name := range e.Features.Names {
		there[name] = true
		v := web.Value{Name: name, Value: web.Number(e.Features.Value[i]), Partial: partial[name], Approximate: slices.Contains(e.Approximate, name)}
		if e.features != nil {
			v.About = about(e.features, name, e.lang)
		}
		if used[name] {
			p.Used = append(p.Used, v)
		} else {
			p.Rest = append(p.Rest, v)
		}
	}
	if e.features != nil { // the body leaves out what has no value
		absent := slices.DeleteFunc(slices.Sorted(slices.Values(e.features.Names())), func(name string) bool { return there[name] || slices.Contains(e.Awaiting, name) })
		p.Absent = strings.Join(absent, ", ")
	}
}

func notOfName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.'
}

// about says what a feature is, in the words of its file: count by card, 10m.
func about(set *features.Set, name string, lang *web.Language) string {
	i, ok := set.Index(name)
	if !ok {
		return ""
	}
	info := set.Info(i)
	if info.Aggregate == "" {
		return ""
	}
	text := lang.Word("aggregate", info.Aggregate)
	if info.Entity != "" {
		text = lang.Say("feature.by", text, info.Entity)
	}
	if info.Window != "" {
		text += lang.Say("comma") + lang.Span(info.Window)
	}
	if info.Delay != "" {
		text += lang.Say("comma") + lang.Say("feature.delay", lang.Span(info.Delay))
	}
	return text
}

func scalar(s risk.Scalar, lang *web.Language) string {
	switch s.Kind {
	case risk.Decimal:
		return web.Number(s.Number)
	case risk.Text:
		return `"` + s.Text + `"`
	case risk.Bool:
		if s.Bool {
			return "true"
		}
		return "false"
	}
	return lang.Say("decision.value.none")
}
