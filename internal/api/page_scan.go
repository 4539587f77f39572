package api

import "bytes"

var (
	rulesMark  = []byte(`[{"id":"`) // no other list holds what begins so
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
// backslash before it. Marks begin with bytes that are rare in bodies. Parsing
// every body would cost many times as much.
func eachFiring(body []byte, f func(firing)) {
	start := bytes.Index(body, rulesMark)
	if start < 0 {
		return
	}
	rest, _, ok := bytes.Cut(body[start:], rulesEnd)
	if !ok {
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
