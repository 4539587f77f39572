package risk

import (
	"encoding/base64"
	"strconv"
)

// The canonical JSON of control entries, and of what a decision is made of.

// key begins a member: its name must need no escape.
func key(dst []byte, name string) []byte {
	if c := dst[len(dst)-1]; c != '{' {
		dst = append(dst, ',')
	}
	return append(append(append(dst, '"'), name...), '"', ':')
}

func textMember(dst []byte, name, value string) []byte { return appendString(key(dst, name), value) }

func intMember(dst []byte, name string, value int64) []byte {
	return strconv.AppendInt(key(dst, name), value, 10)
}

// timeMember writes null for an absent time.
func timeMember(dst []byte, name string, t Time) []byte { return t.appendJSON(key(dst, name)) }

func stringsMember(dst []byte, name string, list []string) []byte {
	dst = append(key(dst, name), '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

func (a *Activation) append(dst []byte) []byte {
	dst = textMember(append(dst, '{'), "kind", a.Kind)
	dst = textMember(dst, "name", a.Name)
	dst = textMember(dst, "sha256", a.SHA256)
	dst = intMember(dst, "size", a.Size)
	dst = textMember(dst, "by", a.By)
	return append(timeMember(dst, "at", a.At), '}')
}

func (a *Answered) append(dst []byte) []byte {
	dst = textMember(append(dst, '{'), "tenant", a.Tenant)
	dst = textMember(dst, "event", a.Event)
	return append(a.members(dst), '}')
}

// members are those that an answer repeats under supersedes.
func (a *Answered) members(dst []byte) []byte {
	dst = textMember(dst, "action", a.Action.String())
	dst = stringsMember(dst, "degraded", a.Degraded)
	return timeMember(dst, "at", a.At)
}

func (c *Cutover) append(dst []byte) []byte {
	dst = intMember(append(dst, '{'), "activation", int64(c.Activation))
	dst = textMember(dst, "features", c.Features)
	dst = intMember(dst, "from", int64(c.From))
	dst = timeMember(dst, "since", c.Since)
	return append(timeMember(dst, "at", c.At), '}')
}

func (r *Refused) append(dst []byte) []byte {
	dst = textMember(append(dst, '{'), "tenant", r.Tenant)
	dst = append(key(dst, "source"), '{')
	dst = textMember(dst, "topic", r.Source.Topic)
	dst = intMember(dst, "partition", int64(r.Source.Partition))
	dst = append(intMember(dst, "offset", r.Source.Offset), '}')
	dst = textMember(dst, "reason", r.Reason)
	dst = textMember(dst, "detail", r.Detail)
	dst = textMember(dst, "digest", r.Digest)
	dst = timeMember(dst, "at", r.At)
	if len(r.Sealed) > 0 {
		dst = append(base64.StdEncoding.AppendEncode(append(key(dst, "sealed"), '"'), r.Sealed), '"')
	}
	return append(dst, '}')
}

func (g *Genesis) append(dst []byte) []byte {
	dst = textMember(append(dst, '{'), "cell", g.Cell)
	dst = textMember(dst, "base_currency", g.BaseCurrency)
	return append(timeMember(dst, "created", g.Created), '}')
}
