package features

import "github.com/sluice-risk/sluice/internal/diag"

// Codes are the kinds of mistakes that this package reports.
var Codes = []diag.Code{
	{ID: codeVersion, Explain: "The apiVersion is not features/v1."},
	{ID: codeLimit, Explain: "A limit is not a number or duration, or lies outside its bounds."},
	{ID: codeEntity, Explain: "An entity's key is missing or is not something that an event can be found by."},
	{ID: codeBy, Explain: "`by` names no entity, or does not say which key of it is read."},
	{ID: codeName, Explain: "A name is not written as one, is taken, or stands for two things."},
	{ID: codeAggregate, Explain: "A feature needs exactly one aggregate or expr, and the aggregate its own keys."},
	{ID: codeWindow, Explain: "A window or delay is not a duration from its range."},
	{ID: codeOperand, Explain: "`of` is missing, not wanted here, or gives the wrong kind of value."},
	{ID: codeEvents, Explain: "`events` is empty, names a type twice, or something that is no type."},
	{ID: codeCycle, Explain: "Formulas read each other in a circle."},
	{ID: codeSize, Explain: "The file defines more than a release can hold."},
	{ID: codeIdle, Explain: "A feature tells nothing: it is always 0, or reads what the events that it counts do not carry."},
}

const (
	codeVersion   = "E101"
	codeLimit     = "E103"
	codeEntity    = "E104"
	codeBy        = "E105"
	codeName      = "E106"
	codeAggregate = "E107"
	codeWindow    = "E108"
	codeOperand   = "E109"
	codeEvents    = "E110"
	codeCycle     = "E111"
	codeSize      = "E112"
	codeIdle      = "E113"
)
