package rules

import "github.com/sluice-risk/sluice/internal/diag"

// Codes are the kinds of mistakes that this package reports.
var Codes = []diag.Code{
	{ID: codeFile, Explain: "A file that belongs to no ruleset, or one that is missing."},
	{ID: codeVersion, Explain: "The apiVersion is not the one of this kind of file."},
	{ID: codeLater, Explain: "A part of the format that this release does not have yet; it is refused rather than ignored."},
	{ID: codeName, Explain: "A name, id or code is not written as such."},
	{ID: codeDuplicate, Explain: "An id, code, list or event type that must be unique stands twice; a rule's former ids in `was` count."},
	{ID: codeRuleset, Explain: "The base currency or the type of a custom field is wrong."},
	{ID: codeScenario, Explain: "A scenario's events, subject, deadline, order or missing_feature is wrong, or it has no rules."},
	{ID: codeScore, Explain: "A scenario's score: the scorer, `full` or a threshold is wrong."},
	{ID: codeTimeout, Explain: "What a scenario answers when a decision comes too late is wrong or contradicts itself."},
	{ID: codeHold, Explain: "The holds of a scenario are wrong."},
	{ID: codeRule, Explain: "A rule's stage, mode or scenario is wrong, or it has no condition."},
	{ID: codePoints, Explain: "Points: a rule of stage `points` needs `points` and `group`, no other rule has them, and none of that stage reads points."},
	{ID: codeParam, Explain: "A parameter is not a number or lies outside its own bounds."},
	{ID: codeReason, Explain: "A reason code is not in reasons.yaml, or has no public text in English."},
	{ID: codeExample, Explain: "An example of a rule cannot be set up: a name it sets is unknown or takes another kind of value."},
	{ID: codeFailed, Explain: "An example of a rule did not come out as it says."},
	{ID: codeClash, Explain: "A name is used for two things."},
	{ID: codeType, Explain: "An event type is spelled nearly like a known one; events of such a type may never come. A type of one's own is known when a scenario names it."},
}

const (
	codeFile      = "E201"
	codeVersion   = "E202"
	codeLater     = "E203"
	codeName      = "E204"
	codeDuplicate = "E205"
	codeRuleset   = "E206"
	codeScenario  = "E207"
	codeScore     = "E208"
	codeTimeout   = "E209"
	codeHold      = "E210"
	codeRule      = "E211"
	codePoints    = "E212"
	codeParam     = "E213"
	codeReason    = "E214"
	codeExample   = "E215"
	codeFailed    = "E216"
	codeClash     = "E217"
	codeType      = "E218"
)
