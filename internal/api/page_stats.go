package api

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/web"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/rules"
)

const (
	stopsShown  = 8
	othersShown = 6
	reRank      = 5 * time.Second // rows that change places all the time cannot be read
	sampled     = 10 * time.Second
)

// scene is what is the same for every tenant at one moment.
type scene struct {
	now     time.Time
	status  engine.Status
	release Release
}

func (h *hub) scene() scene {
	sc := scene{now: time.Now(), status: h.cell.Status()}
	if h.state != nil {
		sc.release = h.state()
	}
	return sc
}

// stats writes down how a tenant's board stands, in a language. The hub is locked.
func (h *hub) stats(b *board, sc scene, lang *web.Language) web.Stats {
	h.look()
	now := sc.now.Unix()
	s := web.Stats{Text: map[string]string{}, Line: map[string]string{}, Bar: map[string][2]float64{}, Show: map[string]bool{}}

	span := min(10, max(1, int64(sc.now.Sub(h.started).Seconds())))
	for name, p := range map[string]*perSecond{"events": &b.events, "decisions": &b.decisions} {
		s.Text[name] = web.Rate(float64(total(p.past(now, span))) / float64(span))
		line := p.past(now, 60)
		if n := int(now - h.started.Unix()); n > 1 && n < len(line) { // the first second is not whole
			line = line[len(line)-n+1:]
		}
		s.Line[name+"-line"] = web.Line(line, 60, slices.Max(line))
		s.Text[name+"-said"] = lang.Say("rate.line", web.Rate(slices.Min(line)), web.Rate(slices.Max(line)))
	}
	p50, p99 := b.took.quantiles(now)
	s.Text["p50"], s.Text["p99"] = web.Latency(p50), web.Latency(p99)

	var minute [4]uint64
	var all, ever uint64
	for a := risk.Allow; a <= risk.Block; a++ {
		minute[a] = b.actions[a].sum(now, 59)
		all += minute[a]
		ever += b.totals[a]
	}
	x := 0.0
	for a := risk.Allow; a <= risk.Block; a++ {
		name, width := a.String(), web.Percent(float64(minute[a]), float64(all))
		s.Text[name], s.Text[name+"-share"] = web.Count(minute[a]), web.Share(minute[a], all)
		s.Bar[name] = [2]float64{x, width}
		x = math.Round(10*(x+width)) / 10
	}
	s.Text["total"], s.Text["counted"] = lang.Say("actions.total", web.Count(ever)), web.Instant(h.started)

	s.Text["release"] = short(h.release)
	if h.release != "" {
		s.Text["since"] = web.Instant(h.since)
	}
	s.Text["flow"] = lang.Say("rate.waiting", web.Count(sc.status.Waiting), web.Count(uint64(sc.status.Durable)))
	if h.missed > 0 {
		s.Text["flow"] += " · " + lang.Say("rate.missed", web.Count(h.missed))
	}
	s.Show["unruled"], s.Show["readonly"] = h.release == "", sc.status.ReadOnly != ""
	s.Show["broken"] = sc.release.Problem != ""
	s.Text["readonly-why"], s.Text["broken-why"] = sc.status.ReadOnly, sc.release.Problem
	s.Text["broken-dir"] = lang.Say("release.why", cmp.Or(sc.release.Dir, lang.Say("release.dir")))

	s.Text["backfill"] = learning(sc.status.Backfill, lang)
	s.Show["backfill"] = s.Text["backfill"] != ""

	s.Text["sample"] = lang.Say("rows.all")
	switch {
	case !b.hasViewer: // nothing was left out, for nothing was sent
		s.Text["sample"] = lang.Say("rows.newest", web.Count(listed))
	case sc.now.Sub(b.left[1]) < sampled:
		s.Text["sample"] = lang.Say("rows.sample.all")
	case sc.now.Sub(b.left[0]) < sampled:
		s.Text["sample"] = lang.Say("rows.sample")
	}
	return s
}

// learning is the line about a backfill, empty when there is none.
func learning(b engine.Backfill, lang *web.Language) string {
	n, percent := web.Count(len(b.Features)), web.Percent(b.Progress(), 1)
	if len(b.Features) == 0 {
		return ""
	}
	said := lang.Say("backfill", n, percent)
	if b.Left > 0 {
		said = lang.Say("backfill.left", n, percent, b.Left.String())
	}
	said += " " + lang.Say("backfill.names", some(b.Features, 5))
	if len(b.Formulas) > 0 {
		said += " " + lang.Say("backfill.read", some(b.Formulas, 5))
	}
	return said
}

// some gives the first of many names, and how many more there are.
func some(names []string, most int) string {
	out := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		out += " +" + web.Count(more)
	}
	return out
}

func total(values []float64) (sum uint64) {
	for _, v := range values {
		sum += uint64(v)
	}
	return sum
}

// ruleRows are the rules that fire most: those that ask for a block or a review,
// and the others. The hub is locked.
func (h *hub) ruleRows(b *board, at time.Time, lang *web.Language) (stops, others []web.RuleRow) {
	now := at.Unix()
	if at.Sub(b.rankedAt) >= reRank || len(b.ranked) < len(b.rules) {
		b.rankedAt, b.ranked = at, b.ranked[:0]
		for id := range b.rules {
			b.ranked = append(b.ranked, id)
		}
		slices.SortFunc(b.ranked, func(x, y string) int {
			cx, cy := b.rules[x], b.rules[y]
			return cmp.Or(cmp.Compare(cy.hits.sum(now, 59), cx.hits.sum(now, 59)), cmp.Compare(cy.total, cx.total), cmp.Compare(x, y))
		})
	}
	var all [2]uint64 // hits of the others, of those that stop
	for id, c := range b.rules {
		all[stopping(h.infos[id])] += c.hits.sum(now, 59)
	}
	stops, others = []web.RuleRow{}, []web.RuleRow{} // lists for the script, never null
	for _, id := range b.ranked {
		info := h.infos[id]
		if info == nil {
			continue
		}
		to, most := &others, othersShown
		if stopping(info) == 1 {
			to, most = &stops, stopsShown
		}
		if len(*to) < most {
			*to = append(*to, ruleRow(info, b.rules[id], now, all[stopping(info)], lang))
		}
	}
	return stops, others
}

// stopping is 1 for a rule that can keep a payment from going through.
func stopping(info *rules.RuleInfo) int {
	if info != nil && info.Mode == "live" && asks(info.Stage) > risk.Allow {
		return 1
	}
	return 0
}

func ruleRow(info *rules.RuleInfo, c *ruleCount, now int64, all uint64, lang *web.Language) web.RuleRow {
	r := web.RuleRow{ID: info.ID, Title: title(info, lang), Stage: info.Stage, Word: lang.Word("stage", info.Stage), Minute: "0", Total: "0"}
	if info.Mode != "live" {
		r.Mode = lang.Word("mode", info.Mode)
	}
	if c != nil {
		minute := c.hits.sum(now, 59)
		r.Minute, r.Total, r.Share = web.Count(minute), web.Count(c.total), web.Percent(float64(minute), float64(all))
		if c.faults > 0 {
			r.Faults = web.Count(c.faults)
		}
		for m := range c.newest.newest {
			r.Newest = m.key.DecisionID()
			r.Amount = cmp.Or(amount(c.amount, lang), r.Newest)
			break
		}
	}
	return r
}

func title(info *rules.RuleInfo, lang *web.Language) string { return lang.Of(info.Title, info.ID) }

// row is a decision's line. Only rows that are shown get here: the body is parsed.
func row(r *engine.Result, infos map[string]*rules.RuleInfo, reasons reasons, lang *web.Language) (web.Row, error) {
	d, err := risk.ParseBody(r.Body)
	if err != nil {
		return web.Row{}, err
	}
	out := web.Row{ID: d.ID, At: uint64(r.Position), Time: web.Instant(r.Arrival.Time()), Clock: lang.Clock(r.Arrival.Time()), Event: d.Event,
		Type: r.Type, Scenario: d.Scenario, Amount: amount(r.Amount, lang), Subject: r.Subject, Action: d.Action.String(), Fired: []string{}}
	out.Word = lang.Word("action", out.Action)
	if d.Score.Set {
		out.Score = score(d.Score.Value)
	}
	told := false
	if len(d.Reasons) > 0 {
		out.Reason = reasons.text(d.Reasons[0], lang)
	}
	var leading, others []string // by whether the rule's stage asks for the action
	for _, f := range d.Rules {
		out.Fired = append(out.Fired, f.ID)
		if f.Mode != "live" || f.Result != "" {
			continue
		}
		if asks(f.Stage) == d.Action {
			leading = append(leading, f.ID)
		} else {
			others = append(others, f.ID)
		}
		// A reason's own text is for the customer and says little; the title of the
		// rule behind it is for who reads this.
		if info := infos[f.ID]; info != nil && len(d.Reasons) > 0 && info.Reason == d.Reasons[0].Code && !told {
			out.Reason, told = title(info, lang), true
		}
	}
	const named = 2
	names := append(leading, others...)
	out.Rules = some(names, named)
	return out, nil
}

// asks is the action that a hit in a stage asks for, 0 for points.
func asks(stage string) risk.Action {
	switch stage {
	case "block", "sanctions":
		return risk.Block
	case "review":
		return risk.Review
	case "allow":
		return risk.Allow
	}
	return 0
}

func amount(m risk.Money, lang *web.Language) string {
	if m.IsZero() {
		return ""
	}
	return lang.Money(m.Decimal(), m.Currency)
}

// reasons are what the active release says to customers, by code and language.
type reasons map[string]map[string]string

// text is a reason in the reader's language. English is what was answered, so it
// comes from the decision itself.
func (r reasons) text(given risk.Reason, lang *web.Language) string {
	if lang == web.English {
		return given.Text
	}
	if own := lang.Word("reason", given.Code); own != given.Code { // the engine's own
		return own
	}
	return cmp.Or(r[given.Code][lang.Key], given.Text)
}

// score has three decimals: with two, one below a band could look as if it were in it.
func score(v float64) string { return web.Number(math.Round(v*1000) / 1000) }
