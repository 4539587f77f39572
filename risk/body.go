package risk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNoAction is given for a decision without an action. There is no such
// decision: it must never be read as a yes.
var ErrNoAction = errors.New("risk: a decision without an action")

// AppendBody appends the canonical JSON of the decision: fixed order, no space,
// every member there ("hold" and a score that is not set are null, lists without
// elements []), but of the features only those with a value, in the order of Names. Without evidence, what helps to probe the rules is left out: score,
// points, because, features, partial_since, approximate, awaiting_backfill. The last
// two are there only where they name a feature.
//
// A decision without an action has no body: the result is nil, not dst.
func (d *Decision) AppendBody(dst []byte, evidence bool) []byte {
	if !d.Action.Valid() {
		return nil
	}
	dst = textMember(append(dst, '{'), "id", d.ID)
	dst = textMember(dst, "event", d.Event)
	dst = textMember(dst, "tenant", d.Tenant)
	dst = textMember(dst, "scenario", d.Scenario)
	dst = textMember(dst, "action", d.Action.String())
	if evidence {
		dst = key(dst, "score")
		if d.Score.Set {
			dst = appendFloat(dst, d.Score.Value)
		} else {
			dst = append(dst, null...)
		}
	}
	dst = reasonsMember(dst, d.Reasons)
	dst = append(key(dst, "rules"), '[')
	for i := range d.Rules {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = d.Rules[i].append(dst, evidence)
	}
	dst = append(dst, ']')
	dst = append(key(dst, "screening"), '[', ']')
	if evidence {
		dst = d.Features.append(key(dst, "features"))
		dst = append(key(dst, "partial_since"), '[')
		for i := range d.Partial {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = timeMember(append(dst, '{'), "since", d.Partial[i].Since)
			dst = append(stringsMember(dst, "features", d.Partial[i].Features), '}')
		}
		dst = append(dst, ']')
		if len(d.Approximate) > 0 {
			dst = stringsMember(dst, "approximate", d.Approximate)
		}
		if len(d.Awaiting) > 0 {
			dst = stringsMember(dst, "awaiting_backfill", d.Awaiting)
		}
	}
	dst = append(key(dst, "advice"), `{"challenge":`...)
	dst = append(appendBool(dst, d.Advice.Challenge), '}')
	dst = key(dst, "hold")
	if d.Hold.ID == "" {
		dst = append(dst, null...)
	} else {
		dst = textMember(append(dst, '{'), "id", d.Hold.ID)
		dst = append(timeMember(dst, "expires", d.Hold.Expires), '}')
	}
	dst = d.Versions.append(key(dst, "versions"))
	dst = append(key(dst, "warnings"), '[')
	for i := range d.Warnings {
		w := &d.Warnings[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = textMember(append(dst, '{'), "pointer", w.Pointer)
		dst = textMember(dst, "code", w.Code)
		dst = append(textMember(dst, "detail", w.Detail), '}')
	}
	return append(dst, ']', '}')
}

func (f *Fired) append(dst []byte, evidence bool) []byte {
	dst = textMember(append(dst, '{'), "id", f.ID)
	dst = textMember(dst, "stage", f.Stage)
	dst = textMember(dst, "mode", f.Mode)
	if f.Result != "" {
		dst = textMember(dst, "result", f.Result)
	}
	if evidence && f.Points != 0 {
		dst = appendFloat(key(dst, "points"), f.Points)
	}
	dst = textMember(dst, "at", f.At)
	if evidence && len(f.Because) > 0 {
		dst = append(key(dst, "because"), '[')
		for i := range f.Because {
			b := &f.Because[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = textMember(append(dst, '{'), "left", b.Left)
			dst = b.Value.append(key(dst, "value"))
			dst = textMember(dst, "op", b.Op)
			dst = b.Limit.append(key(dst, "limit"))
			if b.Window != "" {
				dst = textMember(dst, "window", b.Window)
			}
			dst = append(dst, '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func reasonsMember(dst []byte, reasons []Reason) []byte {
	dst = append(key(dst, "reasons"), '[')
	for i := range reasons {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = textMember(append(dst, '{'), "code", reasons[i].Code)
		dst = append(textMember(dst, "text", reasons[i].Text), '}')
	}
	return append(dst, ']')
}

func (v *Versions) append(dst []byte) []byte {
	dst = textMember(append(dst, '{'), "engine", v.Engine)
	dst = textMember(dst, "ruleset", v.Ruleset)
	dst = textMember(dst, "features", v.Features)
	dst = textMember(dst, "lists", v.Lists)
	dst = textMember(dst, "model", v.Model)
	dst = textMember(dst, "screening", v.Screening)
	return append(textMember(dst, "facts", v.Facts), '}')
}

// AppendAnswer appends what a caller and a topic get: the members of a body,
// then position and, where there are any, degraded and supersedes. For what is
// no body, and for an answer that claims to supersede no action, it gives nil.
func AppendAnswer(dst, body []byte, env Envelope) []byte {
	n := len(body)
	if n < 3 || body[0] != '{' || body[n-1] != '}' || env.Supersedes != nil && !env.Supersedes.Action.Valid() {
		return nil
	}
	dst = append(dst, body[:n-1]...)
	dst = intMember(dst, "position", int64(env.Position))
	if len(env.Degraded) > 0 {
		dst = stringsMember(dst, "degraded", env.Degraded)
	}
	if env.Supersedes != nil {
		dst = append(env.Supersedes.members(append(key(dst, "supersedes"), '{')), '}')
	}
	return append(dst, '}')
}

// ParseBody reads a stored body. AppendBody of the result, with evidence if the
// body has it, gives the same bytes.
func ParseBody(b []byte) (*Decision, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var body struct {
		Decision
		Screening []struct{} `json:"screening"`
	}
	if err := d.Decode(&body); err != nil {
		return nil, fmt.Errorf("risk: decision body: %w", err)
	}
	if rest := b[d.InputOffset():]; len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("risk: decision body: %d bytes too many", len(rest))
	}
	if !body.Action.Valid() {
		return nil, ErrNoAction
	}
	return &body.Decision, nil
}

// Append appends the canonical JSON of the alert, nil for one without an action.
func (a *Alert) Append(dst []byte) []byte {
	if !a.Action.Valid() {
		return nil
	}
	dst = textMember(append(dst, '{'), "id", a.ID)
	dst = textMember(dst, "kind", a.Kind)
	dst = textMember(dst, "event", a.Event)
	dst = textMember(dst, "decision", a.Decision)
	dst = textMember(dst, "subject", a.Subject)
	dst = textMember(dst, "scenario", a.Scenario)
	dst = textMember(dst, "action", a.Action.String())
	dst = reasonsMember(dst, a.Reasons)
	return append(a.Versions.append(key(dst, "versions")), '}')
}
