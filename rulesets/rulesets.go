// Package rulesets embeds the shipped rulesets, so that the one binary can show
// itself without a checkout. The directories are data with their own tests; the
// package has no code but the embedding. The catalogue scenarios lies beside them
// to be copied from, and is not embedded.
package rulesets

import "embed"

// FS holds each shipped ruleset under its name.
//
//go:embed payments
var FS embed.FS
