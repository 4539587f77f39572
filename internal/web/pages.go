package web

import (
	"cmp"
	"net/url"
)

// Page is what Render writes.
type Page interface {
	template() string
	language() *Language
}

// Themes are the looks there are; auto follows the browser's.
var Themes = []string{"auto", "light", "dark"}

// View is how a reader wants pages. The zero View is English and auto.
type View struct {
	Lang  *Language
	Theme string
	Query url.Values // of the page's address, for links that change the view alone
}

func (v View) language() *Language { return cmp.Or(v.Lang, English) }

// Speaks is the page's language, for templates.
func (v View) Speaks() *Language { return v.language() }

// Looks is the page's theme, for templates.
func (v View) Looks() string { return cmp.Or(v.Theme, Themes[0]) }

// Next is the theme that the switch leads to.
func (v View) Next() string {
	for i, t := range Themes {
		if t == v.Looks() {
			return Themes[(i+1)%len(Themes)]
		}
	}
	return Themes[0]
}

// With gives the address of this page with one thing of the view changed.
func (v View) With(key, value string) string {
	q := url.Values{key: {value}}
	for k, values := range v.Query {
		if k != key {
			q[k] = values
		}
	}
	return "?" + q.Encode()
}

// Scheme is what the browser may draw in.
func (v View) Scheme() string {
	if t := v.Looks(); t != Themes[0] {
		return t
	}
	return "light dark"
}

// Frame is around every page.
type Frame struct {
	View
	Title  string // of the window
	Here   string // live or rules: which link of the navigation is this page
	Search string // what was searched for
}

// Live is the front page: what happens now.
type Live struct {
	Frame
	Ruleset string
	Stats   Stats
	Show    string    // all, allow, review, block
	Rule    string    // only decisions in which it fired; empty: any
	Named   string    // its title
	Stops   []RuleRow // rules that asked for a block or a review
	Rules   []RuleRow // others that fired
	Count   int       // of rules in the release
	Rows    []Row     // newest first
}

func (*Live) template() string { return "live.html" }

// Newest is the position of the first row.
func (l *Live) Newest() uint64 {
	if len(l.Rows) == 0 {
		return 0
	}
	return l.Rows[0].At
}

// Shows are the filters of the list, in the order of their keys.
func (*Live) Shows() []string { return []string{"allow", "review", "block", "all"} }

// Picked reports whether decisions are picked out, which are then what matters.
func (l *Live) Picked() bool { return l.Rule != "" || l.Show != "all" }

// Blank and BlankRule are what the script fills in.
func (*Live) Blank() Row         { return Row{} }
func (*Live) BlankRule() RuleRow { return RuleRow{} }

// Stats are the changing parts of the front page, by the id of their element. A
// page is rendered from them, and later updates replace them.
type Stats struct {
	Text map[string]string     `json:"text"`
	Line map[string]string     `json:"line"` // points of a polyline
	Bar  map[string][2]float64 `json:"bar"`  // x and width of a rect, in percent
	Show map[string]bool       `json:"show"` // whether it is there
}

// Update is one message of the live stream.
type Update struct {
	Stats
	Stops []RuleRow `json:"stops"`
	Rules []RuleRow `json:"rules"`
	Rows  []Row     `json:"rows"` // oldest first
}

// Row is one line of the table of decisions.
type Row struct {
	ID       string `json:"id"`
	At       uint64 `json:"at"`   // position: rows come in its order
	Time     string `json:"time"` // RFC 3339, UTC
	Clock    string `json:"clock"`
	Event    string `json:"event"`
	Type     string `json:"type"`
	Scenario string `json:"scenario"`
	Amount   string `json:"amount"`
	Subject  string `json:"subject"`
	Action   string `json:"action"` // allow, review, block
	Word     string `json:"word"`
	Score    string `json:"score"`
	Reason   string `json:"reason"`
	Rules    string `json:"rules"`
	// Fired has all rules of mode live or shadow, for filters.
	Fired []string `json:"fired"`
}

// RuleRow is one line of the table of rules that fire.
type RuleRow struct {
	ID     string  `json:"id"`
	Title  string  `json:"title"`
	Stage  string  `json:"stage"` // block, review, allow, points, sanctions
	Word   string  `json:"word"`  // the stage in the page's language
	Mode   string  `json:"mode"`
	Minute string  `json:"minute"`
	Total  string  `json:"total"`
	Faults string  `json:"faults"` // could not be evaluated; empty: always could
	Share  float64 `json:"share"`  // percent of the minute's hits
	Newest string  `json:"newest"` // id of the newest decision in which it fired
	Amount string  `json:"amount"` // of that decision
}

// Decision is the evidence of one decision.
type Decision struct {
	Frame
	ID, Event, Type, Tenant, Scenario string
	Action                            string
	Subject, Amount, Base             string
	Arrived                           string // RFC 3339
	Known                             bool   // Subject, Amount and Arrived are at hand
	Score                             *Score
	HoldID, HoldUntil                 string
	Challenge                         bool
	Superseded                        string // what was answered before
	Cause                             string // one sentence: what led to the action
	Fired, Shadow                     []Fired
	Points                            []Points
	PointsSum                         string
	Reasons                           []Named
	Used, Rest                        []Value
	Partial                           []Partial
	Approximate                       string // features that were read from sums over stretches of time
	Awaiting                          string // features that waited for a backfill
	Absent                            string // others that had no value
	Versions                          []Named
	SameRelease                       bool // titles and bands are of the release that decided
	Warnings                          []Warning
	Position                          string
	Body, Digest, Pretty              string
	Curl                              string
}

func (*Decision) template() string { return "decision.html" }

// Score is a score on its scale from 0 to 1.
type Score struct {
	Value           string
	At              float64 // percent of the scale
	ReviewAt, Block string  // empty: no band is known
	ReviewX, BlockX float64
	ReviewW, BlockW float64
	Says            string
}

// Fired is one rule of a decision.
type Fired struct {
	ID, Title, Stage, Mode, At, Why string
	Known                           bool // stands in the active release
	Decided                         bool // led to the action
	Result                          string
	Points                          string
	Reason, ReasonText              string
	Because                         []Comparison
	Present                         string // names that were only asked to be there
}

// Comparison is value op limit.
type Comparison struct{ Left, Value, Op, Limit, Window string }

// Points is what one rule added to the score.
type Points struct {
	Rule, Title, Points string
	Width               float64 // percent of full
}

// Value is a feature's value.
type Value struct {
	Name, Value, About string
	Partial            bool
	Approximate        bool
}

// Partial are features that are complete only from an instant on.
type Partial struct{ Names, Since string }

// Named is a name with its value.
type Named struct{ Name, Value string }

// Warning is what was wrong with the event and did not refuse it.
type Warning struct{ Pointer, Code, Detail string }

// Rules lists the release.
type Rules struct {
	Frame
	Ruleset, Version, Since string // Since: RFC 3339, of the counts
	Scenarios               []Scenario
	Count                   int
}

func (*Rules) template() string { return "rules.html" }

// Scenario is a group of rules.
type Scenario struct {
	Name, Events, Bands string
	Rules               []Rule
}

// Rule is a rule of the release.
type Rule struct {
	RuleRow
	Why, Owner, At, Reason, Points string
}

// Fault is a page that could not be given.
type Fault struct {
	Frame
	Status       int
	Says, Detail string
	Key          bool // it is for want of a key
}

func (*Fault) template() string { return "fault.html" }
