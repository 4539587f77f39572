package api

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-risk/sluice/risk"
)

const replays = "/v1/dead-letters/replays"

func TestReplays(t *testing.T) {
	var asked []risk.Source
	var by string
	o := Options{Replay: func(_ context.Context, tenant string, records []risk.Source) (out []Replayed) {
		asked, by = records, tenant
		for i, r := range records {
			out = append(out, Replayed{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Result: replayResults[i][0]})
		}
		out[0].Event, out[0].Decision, out[0].Position = "e1", risk.KeyOf("default", "e1").DecisionID(), 7
		out[3].Reason, out[3].Detail = "conflict", "event e4 was sent before"
		return out
	}}
	c := newClient(t, newFake(), o)
	body := `{"records":[{"topic":"payments","partition":1,"offsets":[5,3]},{"topic":"other","offsets":[0,1,2,3,4,5]}]}`
	m := c.do("POST", replays, body).status(200).json()
	if got := fmt.Sprint(asked); got != "[{payments 1 5 false} {payments 1 3 false} {other 0 0 false} {other 0 1 false} {other 0 2 false} {other 0 3 false} {other 0 4 false} {other 0 5 false}]" || by != "" {
		t.Errorf("asked for %s by %q", got, by)
	}
	for _, fault := range c.document.validate(map[string]any{"$ref": "#/components/schemas/Replayed"}, m, "") {
		t.Error(fault)
	}
	if len(m["results"].([]any)) != 8 || m["results"].([]any)[0].(map[string]any)["position"] != 7.0 {
		t.Errorf("answer %v", m)
	}

	// Of a key's own tenant only.
	keys, tokens := keyring(t, "acme admin")
	o.Keys = keys
	k := newClient(t, newFake(), o)
	k.with(tokens["acme admin"]).do("POST", replays, body).status(200)
	if by != "acme" {
		t.Errorf("asked for tenant %q, want acme", by)
	}
}

func TestReplaysRefused(t *testing.T) {
	asked := false
	o := Options{Replay: func(context.Context, string, []risk.Source) []Replayed { asked = true; return nil }}
	f := newFake()
	c := newClient(t, f, o)
	many := strings.TrimSuffix(strings.Repeat("1,", MaxReplay+1), ",")
	for body, pointer := range map[string]string{
		`{}`:                            "/records",
		`{"records":[]}`:                "/records",
		`{"records":[{"topic":"p"}]}`:   "/records",
		`{"records":[{"offsets":[1]}]}`: "/records/0/topic",
		`{"records":[{"topic":"p","partition":-1,"offsets":[1]}]}`:         "/records/0/partition",
		`{"records":[{"topic":"p","offsets":[1,-2]}]}`:                     "/records/0/offsets/1",
		`{"records":[{"topic":"p","offsets":[` + many + `]}]}`:             "/records",
		`{"records":[{"topic":"p","offsets":["1"]}]}`:                      "/records/0/offsets/0",
		`{"records":[{"topic":"p","offsets":[1],"payload":"x"}]}`:          "/records/0/payload",
		`{"records":[{"topic":"p","topic":"q","offsets":[1]}]}`:            "/records/0/topic",
		`{"records":[{"topic":"p","partition":4294967296,"offsets":[1]}]}`: "/records/0/partition",
		`[]`: "",
		`x`:  "",
	} {
		p := c.do("POST", replays, body).problem(invalidReplay)
		if got := p.Errors[0].Pointer; got != pointer {
			t.Errorf("%.80s: pointer %v, want %s", body, got, pointer)
		}
	}
	if asked {
		t.Error("what was refused was asked for")
	}
	good := `{"records":[{"topic":"p","offsets":[1]}]}`
	newClient(t, newFake(), Options{}).do("POST", replays, good).problem(notFound)
	f.bundle = nil
	c.do("POST", replays, good).problem(noRelease)
}
