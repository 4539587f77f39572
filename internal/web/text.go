package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// texts is the catalogue of everything that a page says, by key. A second
// language is a second map of the same keys.
var texts = map[string]string{
	"about":           "Real-time fraud and AML decisions: allow, review or block, each with its evidence.",
	"skip":            "Skip to content",
	"nav":             "Pages",
	"nav.live":        "Live",
	"nav.rules":       "Rules",
	"search":          "Search",
	"search.hint":     "Event or decision id",
	"search.none":     "No decision found",
	"search.none.why": "No decision has this id, and none was made on an event with it. Ids are compared letter by letter. An event may have been observed only, or be past its retention.",
	"help":            "Keys",
	"copy":            "Copy",

	"action.allow":  "Allow",
	"action.review": "Review",
	"action.block":  "Block",
	"stage.block":   "block", "stage.review": "review", "stage.allow": "allow", "stage.points": "points", "stage.sanctions": "sanctions",
	"mode.live": "live", "mode.shadow": "shadow", "mode.off": "off",

	"live.title":      "Live decisions",
	"live.heading":    "What happens now",
	"release":         "Ruleset",
	"release.none":    "No ruleset is active: nothing is decided.",
	"release.active":  "active since",
	"release.broken":  "The ruleset directory is broken. The release before it goes on deciding.",
	"release.why":     "What is wrong in %s",
	"release.dir":     "the directory",
	"readonly":        "No events are taken",
	"rate.events":     "Events a second",
	"rate.decisions":  "Decisions a second",
	"rate.over":       "mean of 10 s",
	"rate.line":       "Last 60 s: lowest %s, highest %s a second",
	"rate.waiting":    "%s waiting, position %s durable",
	"rate.missed":     "%s events passed uncounted",
	"latency":         "Time to a durable answer",
	"latency.half":    "half within",
	"latency.most":    "99 of 100 within",
	"latency.over":    "decisions of the last minute",
	"actions":         "Decisions of the last minute",
	"actions.total":   "%s decisions since",
	"rules.fire":      "Rules that fire",
	"rules.none":      "No rule has fired yet.",
	"rules.all":       "All %s rules",
	"col.rule":        "Rule",
	"col.minute":      "Last min",
	"col.total":       "Total",
	"col.share":       "Share",
	"col.time":        "Arrived",
	"col.event":       "Event",
	"col.scenario":    "Scenario",
	"col.amount":      "Amount",
	"col.subject":     "Subject",
	"col.action":      "Action",
	"col.score":       "Score",
	"col.reason":      "Top reason",
	"col.fired":       "Rules",
	"faults":          "%s not evaluated",
	"show":            "Show",
	"show.all":        "All",
	"show.rule":       "Only decisions in which %s fired.",
	"show.every":      "Show all decisions",
	"rows.none":       "No decision yet. Send an event to POST /v1/decisions, or to a topic that is listed under sources.",
	"rows.none.show":  "None of these yet.",
	"rows.newest":     "The newest are listed, at most %s.",
	"rows.all":        "Every decision is listed.",
	"rows.sample":     "Every review and block is listed, and a sample of what is allowed.",
	"rows.sample.all": "More than a page can list: a sample, reviews and blocks first.",
	"noscript":        "Without scripts this page shows the newest decisions; reload it for newer ones.",

	"script.pause":    "Pause",
	"script.resume":   "Resume",
	"script.live":     "Live",
	"script.paused":   "Paused",
	"script.held":     "Held while you read",
	"script.lost":     "Connection lost, trying again",
	"script.full":     "No live updates: too many viewers. Reload later.",
	"script.new":      "new",
	"script.copied":   "Copied",
	"script.keys.off": "Single keys are off",

	"help.title":  "Keyboard",
	"help.p":      "Pause and resume",
	"help.14":     "Show allow, review, block, all",
	"help.jk":     "Next and previous decision",
	"help.enter":  "Open the decision",
	"help.search": "Search by event or decision id",
	"help.help":   "This list",
	"help.escape": "Leave the list, close this",
	"help.single": "Use single keys",
	"help.close":  "Close",

	"decision.title":      "Decision on %s",
	"decision.score":      "Score",
	"decision.amount":     "Amount",
	"decision.base":       "%s at the rate of the day",
	"decision.scenario":   "Scenario",
	"decision.subject":    "Subject",
	"decision.type":       "Type",
	"decision.tenant":     "Tenant",
	"decision.id":         "Decision",
	"decision.arrived":    "Arrived",
	"decision.hold":       "On hold until",
	"decision.challenge":  "Advice",
	"decision.challenged": "Ask the payer to authenticate (3-D Secure)",
	"decision.unknown":    "Amount, subject and arrival are not part of the stored evidence; the list of recent events no longer has them.",
	"decision.superseded": "Before this decision existed, the fallback %s was answered (%s).",
	"decision.why":        "Why",
	"decision.nothing":    "No rule fired.",
	"decision.decided":    "decided",
	"decision.within":     "in %s",
	"decision.missing":    "Not evaluated: %s",
	"quoted":              "“%s”", "and": " and ",
	"decision.adds":       "%s points",
	"decision.code":       "Reason",
	"decision.other":      "Decided by an earlier release. Titles, reasons of rules and bands are those of the active one and may differ.",
	"decision.gone":       "This rule is not in the active release.",
	"decision.shadow":     "In shadow: recorded, never acted on",
	"decision.points":     "Points",
	"decision.points.sum": "Sum",
	"decision.points.not": "No rule added points.",
	"decision.features":   "Features",
	"decision.used":       "Read by the rules that fired",
	"decision.rest":       "All others",
	"decision.absent":     "Without a value",
	"decision.value.none": "missing",
	"decision.since":      "complete from",
	"decision.partial":    "partial",
	"decision.partials":   "Partial: the window reaches back before counting began",
	"decision.present":    "Present: %s",
	"decision.none":       "none",
	"decision.warnings":   "Warnings about the event",
	"decision.versions":   "Versions",
	"decision.position":   "Position in the journal",
	"decision.digest":     "SHA-256 of the body",
	"decision.body":       "The body as stored",
	"decision.fetch":      "Fetch it",

	"cause.rules":    "Because of %s.",
	"cause.score":    "The score %s lies in the band of %s.",
	"cause.missing":  "Because %s could not be evaluated.",
	"cause.nothing":  "No rule objected.",
	"score.bands":    "review from %s, block from %s",
	"score.review":   "review from %s",
	"score.block":    "block from %s",
	"score.none":     "not scored",
	"version.engine": "Engine", "version.ruleset": "Ruleset", "version.features": "Features", "version.lists": "Lists",
	"version.model": "Model", "version.screening": "Screening", "version.facts": "Facts",

	"feature.by":    "%s by %s",
	"feature.delay": "%s late",

	"list.title":    "Rules",
	"list.heading":  "Rules of %s",
	"list.about":    "%s rules. Hits are counted since",
	"list.events":   "judges %s",
	"list.owner":    "Owner",
	"list.code":     "Reason",
	"list.points":   "Points",
	"list.hits":     "Hits",
	"list.now":      "%s in the last minute, %s in all",
	"list.newest":   "newest",
	"list.scenario": "Scenarios",

	"fault.home": "Back to the live page",
	"fault.key":  "This page needs an API key with the scope evidence, sent as Authorization: Bearer. Browsers cannot send one by themselves: put a proxy that adds it in front, or make a key with sluice keys and use a client that can.",
	"fault.full": "Too many viewers follow already. Try again later.",
}

// T gives a text, with what belongs into it.
func T(key string, args ...any) (string, error) {
	s, ok := texts[key]
	if !ok {
		return "", fmt.Errorf("web: no text %q", key)
	}
	if len(args) == 0 {
		return s, nil
	}
	return fmt.Sprintf(s, args...), nil
}

// Say is T for keys that are written in the source, where a missing one is a bug.
func Say(key string, args ...any) string {
	s, err := T(key, args...)
	if err != nil {
		panic(err)
	}
	return s
}

// word gives the text of a name that comes from elsewhere, or the name itself.
func word(group, name string) string {
	if s, ok := texts[group+"."+name]; ok {
		return s
	}
	return name
}

// Word is word for callers that format.
func Word(group, name string) string { return word(group, name) }

// Keys are the keys of all texts, sorted.
func Keys() []string { return slices.Sorted(maps.Keys(texts)) }

// scriptTexts is what the script says, as JSON for an attribute.
func scriptTexts() string {
	own := map[string]string{}
	for k, v := range texts {
		if name, ok := strings.CutPrefix(k, "script."); ok {
			own[name] = v
		}
	}
	b, err := json.Marshal(own)
	if err != nil {
		panic(err) // strings: cannot happen
	}
	return string(b)
}
