package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/rules"
	"github.com/sluice-risk/sluice/store/journal"
)

const (
	listed     = 50 // decisions on a page
	mostBoards = 64 // tenants that are watched
	mostPeople = 64 // viewers at once
	perTick    = 20 // reviews and blocks that a tick may send
	allowed    = 4  // decisions that a tick sends at least, if there are
	ofRule     = 20 // newest decisions that are remembered of each rule
	tick       = 500 * time.Millisecond
	fallBehind = 1 << 14 // results; the engine keeps twice as many in memory
)

// hub watches all results once for everyone who looks: it counts them, and keeps
// the newest. What it holds is bounded whatever the rate, and it never waits for
// a viewer: who does not read misses an update.
type hub struct {
	cell    decider
	state   func() Release // may be nil
	log     *slog.Logger
	running atomic.Bool

	mu      sync.Mutex
	started time.Time
	boards  map[string]*board // by tenant: nobody sees another's decisions
	last    *board            // of the result before, mostly the next one's too
	lastOf  string            // its tenant
	missed  uint64            // results that went by uncounted
	flagged ring[glimpse]     // of reviews and blocks
	passed  ring[glimpse]     // of the rest
	viewers map[*viewer]bool

	release string    // that was active at the last look
	since   time.Time // when it was first seen active
	infos   map[string]*rules.RuleInfo
	reasons reasons
}

// board is what one tenant's pages show.
type board struct {
	events, decisions perSecond
	actions           [4]perSecond // by risk.Action
	totals            [4]uint64
	took              latencies
	newest            [4]ring[engine.Result] // by risk.Action, with their bodies
	rules             map[string]*ruleCount

	sent      journal.Position // last that was offered to viewers
	arrived   [4]int           // decisions since the last tick, by risk.Action
	left      [2]time.Time     // when an allow, and another action, was last left out
	ranked    []string         // ids of the rules shown, in order
	rankedAt  time.Time
	hasViewer bool
}

type ruleCount struct {
	hits   perSecond
	total  uint64
	faults uint64
	newest ring[mention]
	amount risk.Money // of the newest
}

// mention is a decision in which a rule fired.
type mention struct {
	key      risk.EventKey
	position journal.Position
	arrival  risk.Time
}

// glimpse is what a decision's body does not tell.
type glimpse struct {
	mention
	amount, base  risk.Money
	kind, subject string
}

func newHub(cell decider, state func() Release, log *slog.Logger) *hub {
	return &hub{cell: cell, state: state, log: log, started: time.Now(), boards: map[string]*board{}, viewers: map[*viewer]bool{},
		flagged: ring[glimpse]{size: 8192}, passed: ring[glimpse]{size: 4096}}
}

var errBehind = errors.New("api: the pages fell behind")

// run follows the cell until ctx is done. Only the first of several runs.
func (h *hub) run(ctx context.Context) {
	if !h.running.CompareAndSwap(false, true) {
		return
	}
	defer h.running.Store(false)
	var ticking sync.WaitGroup
	defer ticking.Wait()
	ticking.Go(func() { h.ticks(ctx) })
	for ctx.Err() == nil {
		err := h.cell.Follow(ctx, 0, h.take)
		if errors.Is(err, errBehind) || ctx.Err() != nil {
			continue
		}
		h.log.Error("the pages cannot follow decisions; trying again", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (h *hub) take(results []engine.Result) error {
	now := time.Now().Unix()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range results {
		h.count(&results[i], now)
	}
	if last := results[len(results)-1].Position; len(results) > 256 { // else it is the newest, or nearly
		if behind := h.cell.Status().Durable; behind > last+fallBehind {
			h.missed += uint64(behind - last)
			return errBehind
		}
	}
	return nil
}

func (h *hub) count(r *engine.Result, now int64) {
	if r.Verdict != engine.Decided && r.Verdict != engine.Observed {
		return
	}
	b := h.board(r.Tenant)
	if b == nil {
		h.missed++
		return
	}
	b.events.add(now)
	if r.Verdict == engine.Observed || !r.Action.Valid() {
		return
	}
	b.decisions.add(now)
	b.actions[r.Action].add(now)
	b.totals[r.Action]++
	b.arrived[r.Action]++
	b.newest[r.Action].put(*r)
	if r.Took > 0 {
		b.took.add(now, r.Took)
	}
	m := mention{r.Key, r.Position, r.Arrival}
	if r.Action == risk.Allow {
		h.passed.put(glimpse{m, r.Amount, r.Base, r.Type, r.Subject})
	} else { // kept longer than the engine keeps what these texts are cut from
		h.flagged.put(glimpse{m, r.Amount, r.Base, strings.Clone(r.Type), strings.Clone(r.Subject)})
	}
	eachFiring(r.Body, func(f firing) {
		c := b.rules[string(f.id)]
		if c == nil {
			if c = h.newRule(b, string(f.id)); c == nil {
				return
			}
		}
		if f.fault {
			c.faults++
			return
		}
		c.hits.add(now)
		c.total++
		c.newest.put(m)
		c.amount = r.Amount
	})
}

// board gives a tenant's, nil when there are too many.
func (h *hub) board(tenant string) *board {
	if h.last != nil && h.lastOf == tenant {
		return h.last
	}
	b := h.boards[tenant]
	if b == nil {
		if len(h.boards) >= mostBoards {
			return nil
		}
		b = &board{rules: map[string]*ruleCount{}}
		for a := range b.newest {
			b.newest[a].size = listed
		}
		h.boards[strings.Clone(tenant)] = b
	}
	h.last, h.lastOf = b, tenant
	return b
}

// newRule begins to count a rule of the active release.
func (h *hub) newRule(b *board, id string) *ruleCount {
	h.look()
	if h.infos[id] == nil {
		return nil
	}
	c := &ruleCount{newest: ring[mention]{size: ofRule}}
	b.rules[id] = c
	return c
}

// look notices a new release. Counts of rules that it no longer has are dropped.
func (h *hub) look() {
	b := h.cell.Bundle()
	if b == nil || b.SHA256 == h.release {
		return
	}
	h.release, h.since = b.SHA256, time.Now()
	h.infos = map[string]*rules.RuleInfo{}
	for _, r := range b.Rules.Rules() {
		h.infos[r.ID] = &r
	}
	h.reasons = b.Rules.Reasons()
	for _, b := range h.boards {
		for id := range b.rules {
			if h.infos[id] == nil {
				delete(b.rules, id)
			}
		}
		b.ranked = nil
	}
}

// glimpse finds what is remembered of a decision beside its body.
func (h *hub) glimpse(key risk.EventKey, at journal.Position) (glimpse, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range []*ring[glimpse]{&h.flagged, &h.passed} {
		for g := range r.newest {
			if g.position == at && g.key == key {
				return *g, true
			}
		}
	}
	return glimpse{}, false
}

// list gives a tenant's newest decisions, newest first, of one action or of all.
func (h *hub) list(tenant string, only risk.Action, most int) []engine.Result {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.board(tenant)
	if b == nil {
		return nil
	}
	return b.after(0, only, most)
}

func (b *board) after(position journal.Position, only risk.Action, most int) (out []engine.Result) {
	for a := risk.Allow; a <= risk.Block; a++ {
		if only != 0 && only != a {
			continue
		}
		n := 0
		for r := range b.newest[a].newest {
			if n++; n > most || r.Position <= position {
				break
			}
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, newestFirst)
	return out[:min(len(out), most)]
}

func newestFirst(a, b engine.Result) int { return cmp.Compare(b.Position, a.Position) }

// mentions gives a tenant's newest decisions in which a rule fired.
func (h *hub) mentions(tenant, rule string) (out []mention) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.board(tenant); b != nil && b.rules[rule] != nil {
		for m := range b.rules[rule].newest.newest {
			out = append(out, *m)
		}
	}
	return out
}
