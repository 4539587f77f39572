package expression

import "github.com/sluice-risk/sluice/internal/diag"

// Codes are the kinds of mistakes in an expression. They are stable.
var Codes = []diag.Code{
	{ID: codeSyntax, Explain: "The text cannot be read as an expression."},
	{ID: codeBounds, Explain: "The expression is longer than 4096 bytes, nested deeper than 64, or has more than 500 parts."},
	{ID: codeRefused, Explain: "A construct that expressions do not have; what a rule cannot do is refused at load."},
	{ID: codeFunction, Explain: "No function has this name, or it stands where a value is expected."},
	{ID: codeArguments, Explain: "A function got too few, too many, or other arguments than it takes."},
	{ID: codeName, Explain: "No field, feature, list or parameter has this name."},
	{ID: codeGroup, Explain: "A group of fields, a list or an array stands where one value is expected."},
	{ID: codeKind, Explain: "An operator or a comparison got a value of a kind it does not take."},
	{ID: codeResult, Explain: "The expression gives another kind of value than is needed here."},
	{ID: codeList, Explain: "A value is looked up in a list of another type; it could never be found."},
	{ID: codeRegexp, Explain: "The pattern after `matches` is not a literal, is too long, or is no RE2 pattern."},
	{ID: codeMoney, Explain: "An amount is compared with a number that has more decimals than its currency."},
	{ID: codeNumber, Explain: "A number in the source cannot be represented, or a constant part fails."},
	{ID: codeEmpty, Explain: "An absent text has no value, so nothing equals an empty text; ask has(name)."},
	{ID: codePersonal, Explain: "Features read only what outlives the erasure of personal data; identifiers serve as keys."},
	{ID: codeNever, Explain: "A field is compared with a text that it never holds, or that is nearly one of its usual values."},
}

const (
	codeSyntax    = "E001"
	codeBounds    = "E002"
	codeRefused   = "E003"
	codeFunction  = "E010"
	codeArguments = "E011"
	codeName      = "E012"
	codeGroup     = "E013"
	codeKind      = "E014"
	codeResult    = "E015"
	codeList      = "E016"
	codeRegexp    = "E017"
	codeMoney     = "E018"
	codeNumber    = "E019"
	codeEmpty     = "E020"
	codePersonal  = "E021"
	codeNever     = "E022"
)
