package api

import "bytes"

var (
	rulesMark  = []byte(`"rules":[`)
	rulesEnd   = []byte(`],"screening":[`)
	ruleMark   = []byte(`{"id":"`)
	modeMark   = []byte(`","mode":"`)
	shadowMark = []byte(`shadow"`)
	faultMark  = []byte(`,"result":"`)
)

// firing is what a body says of one rule.
type firing struct {
	id     []byte // part of the body
	shadow bool
	fault  bool // missing a value, or in error
}

// eachFiring calls f for every rule of a decision's body. It reads the canonical
// form only, where no mark can stand within a text, since a quote there has a
// backslash before it. Parsing the body would cost a hundred times as much.
func eachFiring(body []byte, f func(firing)) {
	_, rest, ok := bytes.Cut(body, rulesMark)
	if !ok || len(rest) == 0 || rest[0] == ']' {
		return
	}
	if rest, _, ok = bytes.Cut(rest, rulesEnd); !ok {
		return
	}
	for {
		if _, rest, ok = bytes.Cut(rest, ruleMark); !ok {
			return
		}
		n := bytes.IndexByte(rest, '"')
		if n < 0 {
			return
		}
		r := firing{id: rest[:n]}
		if _, rest, ok = bytes.Cut(rest[n:], modeMark); !ok { // over the stage
			return
		}
		r.shadow = bytes.HasPrefix(rest, shadowMark)
		if n = bytes.IndexByte(rest, '"'); n < 0 {
			return
		}
		r.fault = bytes.HasPrefix(rest[n+1:], faultMark)
		f(r)
	}
}
