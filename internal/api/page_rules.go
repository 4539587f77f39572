package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-risk/sluice/internal/web"
)

// rulesPage answers GET /rules with every rule of the active release.
func (c *call) rulesPage() {
	p := &web.Rules{Frame: c.frame("", "rules")}
	lang := p.Lang
	p.Title = lang.Say("list.title")
	b := c.server.cell.Bundle()
	if b == nil {
		c.sendPage(http.StatusServiceUnavailable, &web.Fault{Frame: p.Frame, Status: http.StatusServiceUnavailable, Says: lang.Say("release.none")})
		return
	}
	h := c.server.hub
	p.Ruleset, p.Version, p.Since = b.Rules.Name, b.SHA256, web.Instant(h.started)
	all := b.Rules.Rules()
	p.Count = len(all)

	h.mu.Lock()
	board, now := h.board(c.who.Tenant), time.Now().Unix()
	for _, sc := range b.Rules.Scenarios() {
		group := web.Scenario{Name: sc.Name, Events: strings.Join(sc.Events, ", "), Bands: bands(sc.Score, lang)}
		for i := range all {
			info := &all[i]
			if info.Scenario != sc.Name {
				continue
			}
			var count *ruleCount
			if board != nil {
				count = board.rules[info.ID]
			}
			r := web.Rule{RuleRow: ruleRow(info, count, now, 0, lang), Why: info.Why, Owner: info.Owner, Reason: info.Reason,
				At: fmt.Sprintf("%s:%d", info.File, info.Line)}
			r.Mode = info.Mode
			if info.Points != 0 {
				r.Points = web.Number(info.Points)
				if info.Group != "" {
					r.Points += " (" + info.Group + ")"
				}
			}
			group.Rules = append(group.Rules, r)
		}
		p.Scenarios = append(p.Scenarios, group)
	}
	h.mu.Unlock()
	c.sendPage(http.StatusOK, p)
}
