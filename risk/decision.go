package risk

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Decision is the answer to one event: everything in it is a function of the
// journal up to the event's position, and its canonical JSON is the body that is
// compared, hashed, stored and returned again.
type Decision struct {
	ID       string   `json:"id"`
	Event    string   `json:"event"`
	Tenant   string   `json:"tenant"`
	Scenario string   `json:"scenario"`
	Action   Action   `json:"action"`
	Score    Number   `json:"score"` // 0..1
	Reasons  []Reason `json:"reasons"`
	Rules    []Fired  `json:"rules"`
	Features Values   `json:"features"`
	// Partial names the features whose window reaches back before they were
	// counted, by the instant from which they are complete.
	Partial []Partial `json:"partial_since"`
	// Approximate names the features that were not read from single events, but
	// from what many of them had been added up to.
	Approximate []string `json:"approximate"`
	// Awaiting names the features that had no value yet because their past was still
	// being learned, and formulas that read one.
	Awaiting []string  `json:"awaiting_backfill"`
	Advice   Advice    `json:"advice"`
	Hold     Hold      `json:"hold"`
	Versions Versions  `json:"versions"`
	Warnings []Warning `json:"warnings"`
}

// Envelope is what is said about a decision beside its body. It is never hashed.
type Envelope struct {
	Position   uint64
	Degraded   []string
	Supersedes *Answered // the fallback that was answered before this decision existed
}

// Reason is a reason code with the text that is fit for the customer.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Fired is a rule that was true, missing a value, or in error, in any mode.
type Fired struct {
	ID      string    `json:"id"`
	Stage   string    `json:"stage"`            // sanctions, block, allow, review, points
	Mode    string    `json:"mode"`             // live, shadow
	Result  string    `json:"result,omitempty"` // "" for a hit, else missing(name) or error(cause)
	Points  float64   `json:"points,omitempty"`
	At      string    `json:"at"` // rules/card.yaml:18
	Because []Because `json:"because,omitempty"`
}

// Because is one comparison that made a rule true.
type Because struct {
	Left   string `json:"left"`
	Value  Scalar `json:"value"`
	Op     string `json:"op"`
	Limit  Scalar `json:"limit"`
	Window string `json:"window,omitempty"` // of the feature on the left: "10m"
}

// Scalar is a value in evidence: a number, a text, a truth value, or nothing.
type Scalar struct {
	Kind   Kind // Decimal, Text, Bool; zero is null
	Number float64
	Text   string
	Bool   bool
}

// Values are feature values by name, in the order of Names, which is sorted and
// shared between decisions of one release. NaN is a missing value.
type Values struct {
	Names []string
	Value []float64
}

// Partial is one group of incomplete features.
type Partial struct {
	Since    Time     `json:"since"`
	Features []string `json:"features"`
}

// Advice is what the gateway may do beside the action.
type Advice struct {
	Challenge bool `json:"challenge"`
}

// Hold tells how long a payment under review is kept back. No hold: no ID.
type Hold struct {
	ID      string `json:"id"`
	Expires Time   `json:"expires"`
}

// Versions names by content hash everything that took part in a decision.
type Versions struct {
	Engine    string `json:"engine"`
	Ruleset   string `json:"ruleset"`
	Features  string `json:"features"`
	Lists     string `json:"lists"`
	Model     string `json:"model"`
	Screening string `json:"screening"`
	Facts     string `json:"facts"`
}

// Alert is something a person should look at. Its ID is stable, so it can be
// sent again.
type Alert struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"` // rule
	Event    string   `json:"event"`
	Decision string   `json:"decision"`
	Subject  string   `json:"subject"`
	Scenario string   `json:"scenario"`
	Action   Action   `json:"action"`
	Reasons  []Reason `json:"reasons"`
	Versions Versions `json:"versions"`
}

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// EventKey is what an event is remembered by: the first 15 bytes of the SHA-256
// of its tenant, a zero byte and its id.
type EventKey [15]byte

// KeyOf gives the key of an event.
func KeyOf(tenant, event string) (k EventKey) {
	var buf [128]byte
	b := append(append(append(buf[:0], tenant...), 0), event...)
	sum := sha256.Sum256(b)
	copy(k[:], sum[:])
	return k
}

// DecisionID gives the id of the decision about the event: "dec_" and 24 letters.
func (k EventKey) DecisionID() string { return k.id("dec_") }

// HoldID gives the id of the hold that the decision may place.
func (k EventKey) HoldID() string { return k.id("hold_") }

// AlertID gives the id of the alert that follows from the decision.
func (k EventKey) AlertID() string { return k.id("alr_") }

func (k EventKey) id(prefix string) string { return prefix + base32Lower.EncodeToString(k[:]) }

// ParseDecisionID reverses DecisionID.
func ParseDecisionID(id string) (k EventKey, ok bool) {
	rest, ok := strings.CutPrefix(id, "dec_")
	if !ok || len(rest) != 24 {
		return k, false
	}
	n, err := base32Lower.Decode(k[:], []byte(rest))
	return k, err == nil && n == len(k)
}
