package api

import "math"

// Backfill is the answer of GET /v1/backfill.
type Backfill struct {
	Features    []string `json:"features"`           // that wait for it; none: none runs
	Formulas    []string `json:"formulas,omitempty"` // that read one of them
	Activation  uint64   `json:"activation,omitempty"`
	From        uint64   `json:"from,omitempty"`
	Position    uint64   `json:"position,omitempty"`
	Of          uint64   `json:"of,omitempty"`
	Progress    float64  `json:"progress"`
	Rate        float64  `json:"rate,omitempty"`
	SecondsLeft int64    `json:"seconds_left,omitempty"`
	Waits       bool     `json:"waits,omitempty"`
}

func (c *call) backfill() {
	b := c.server.cell.Status().Backfill
	a := Backfill{Features: []string{}, Progress: math.Round(1e4*b.Progress()) / 1e4}
	if len(b.Features) > 0 {
		a.Formulas = b.Formulas
		a.Features, a.Activation, a.From, a.Position, a.Of = b.Features, uint64(b.Activation), uint64(b.From), uint64(b.Position), uint64(b.Of)
		a.Rate, a.SecondsLeft, a.Waits = math.Round(b.Rate), int64(b.Left.Seconds()), b.Waits
	}
	c.sendJSON(200, a)
}
