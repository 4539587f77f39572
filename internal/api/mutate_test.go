package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// node is a JSON value whose objects keep their order and may hold a key twice.
type node struct {
	scalar string // as it is written; empty: see open
	open   byte   // { or [
	keys   []string
	nodes  []*node
}

func parseNode(d *json.Decoder) *node {
	token, err := d.Token()
	if err != nil {
		panic(err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		b, _ := json.Marshal(token)
		return &node{scalar: string(b)}
	}
	n := &node{open: byte(delim)}
	for d.More() {
		if n.open == '{' {
			key, _ := d.Token()
			b, _ := json.Marshal(key)
			n.keys = append(n.keys, string(b))
		}
		n.nodes = append(n.nodes, parseNode(d))
	}
	d.Token()
	return n
}

func (n *node) write(b *bytes.Buffer) {
	if n.open == 0 {
		b.WriteString(n.scalar)
		return
	}
	b.WriteByte(n.open)
	for i, child := range n.nodes {
		if i > 0 {
			b.WriteByte(',')
		}
		if i < len(n.keys) {
			b.WriteString(n.keys[i] + ":")
		}
		child.write(b)
	}
	b.WriteByte(n.open + 2) // } and ] stand two behind { and [
}

func (n *node) clone() *node {
	c := *n
	c.keys, c.nodes = slices.Clone(n.keys), make([]*node, len(n.nodes))
	for i, child := range n.nodes {
		c.nodes[i] = child.clone()
	}
	return &c
}

// objects gives every object that has members.
func (n *node) objects() (all []*node) {
	if n.open == '{' && len(n.nodes) > 0 {
		all = append(all, n)
	}
	for _, child := range n.nodes {
		all = append(all, child.objects()...)
	}
	return all
}

var strange = []string{`null`, `true`, `0`, `-1`, `1e400`, `-0`, `123456789012345678901234567890`, `0.1e-400`, `9007199254740993`, `""`, `" "`, `"\u0000"`, `"\ud800"`,
	`"\u200b\u202e"`, `"2026-13-45T99:99:99Z"`, `"1e3"`, `"-0.00"`, `"999999999999999999"`, `"4111111111111111"`, `"４１１１"`, `[]`, `{}`, `[[]]`, `[{}]`, `{"":0}`,
	`{"value":"1"}`, `nul`, `NaN`, `Infinity`, `01`, `.5`, `1.`, `+1`, `'x'`, `"\x"`, `"` + "\x01" + `"`, `"` + "\xc3\x28" + `"`, `/**/`, `undefined`}

// mutate changes an event in one to three places of its grammar, or its bytes.
func mutate(r *rand.Rand, root *node) []byte {
	root = root.clone()
	var raw []func([]byte) []byte
	for range 1 + r.IntN(3) {
		objects := root.objects()
		if len(objects) == 0 {
			break
		}
		o := objects[r.IntN(len(objects))]
		i := r.IntN(len(o.nodes))
		switch r.IntN(14) {
		case 0: // dropped
			o.keys, o.nodes = append(o.keys[:i:i], o.keys[i+1:]...), append(o.nodes[:i:i], o.nodes[i+1:]...)
		case 1: // twice
			o.keys, o.nodes = append(o.keys, o.keys[i]), append(o.nodes, o.nodes[i])
		case 2, 3, 4: // of another type, or strange
			o.nodes[i] = &node{scalar: strange[r.IntN(len(strange))]}
		case 5: // in other letters
			o.keys[i] = strings.ToUpper(o.keys[i])
		case 6: // unknown
			o.keys[i] = fmt.Sprintf("%q", strings.Repeat("k", 1+r.IntN(200)))
		case 7: // nested deeply
			depth := 1 + r.IntN(1+r.IntN(3000))
			o.nodes[i] = &node{scalar: strings.Repeat(`{"a":[`, depth) + "1" + strings.Repeat(`]}`, depth)}
		case 8: // long
			o.nodes[i] = &node{scalar: `"` + strings.Repeat("é", r.IntN(1+r.IntN(60_000))) + `"`}
		case 9: // in another place
			o.nodes[i] = root
			if o != root {
				o.nodes[i] = objects[r.IntN(len(objects))].nodes[0]
			}
			if loops(o.nodes[i], o) {
				o.nodes[i] = &node{scalar: "[1,2]"}
			}
		case 10: // cut off
			raw = append(raw, func(b []byte) []byte { return b[:r.IntN(len(b)+1)] })
		case 11: // random bytes
			raw = append(raw, func(b []byte) []byte {
				for range 1 + r.IntN(8) {
					if len(b) > 0 {
						b[r.IntN(len(b))] = byte(r.Uint32())
					}
				}
				return b
			})
		case 12: // something behind it
			raw = append(raw, func(b []byte) []byte { return append(b, strange[r.IntN(len(strange))]...) })
		case 13: // many members
			for k := range r.IntN(1 + r.IntN(2000)) {
				o.keys, o.nodes = append(o.keys, fmt.Sprintf(`"m%d"`, k)), append(o.nodes, &node{scalar: "1"})
			}
		}
	}
	var b bytes.Buffer
	root.write(&b)
	out := b.Bytes()
	for _, f := range raw {
		out = f(out)
	}
	return out
}

func loops(n, o *node) bool {
	if n == o {
		return true
	}
	for _, child := range n.nodes {
		if loops(child, o) {
			return true
		}
	}
	return false
}

// Whatever is sent, the answer is a decision or a problem of the caller's with
// its place and reason.
func TestMutatedEvents(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("testdata", "event.json"))
	if err != nil {
		t.Fatal(err)
	}
	root := parseNode(json.NewDecoder(bytes.NewReader(src)))
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	f := newFake()
	s, err := newServer(f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	codes := map[int]int{}
	for seed := range uint64(n) {
		root.nodes[0].nodes[0].scalar = fmt.Sprintf(`"pay_%d"`, seed)
		body := mutate(rand.New(rand.NewPCG(seed, 1)), root)
		r := httptest.NewRequest("POST", decisions, bytes.NewReader(body))
		r.Header["Content-Type"] = jsonType
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		codes[w.Code]++
		switch {
		case w.Code == 200:
			var d struct{ Action, ID string }
			if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil || d.Action == "" || d.ID == "" {
				t.Errorf("seed %d: %v: %s", seed, err, w.Body)
			}
		case w.Code >= 400 && w.Code < 500:
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Detail == "" {
				t.Errorf("seed %d: %v: %s", seed, err, w.Body)
			}
			if w.Code != 413 && len(p.Errors) == 0 {
				t.Errorf("seed %d: no place: %s", seed, w.Body)
			}
			for _, e := range p.Errors {
				if e.Code == "" || e.Detail == "" || e.Pointer != "" && e.Pointer[0] != '/' {
					t.Errorf("seed %d: problem %+v", seed, e)
				}
			}
		default:
			t.Errorf("seed %d: status %d: %s\n%.300q", seed, w.Code, w.Body, body)
		}
	}
	t.Logf("answers: %v", codes)
	for _, code := range []int{200, 400, 413, 422} {
		if codes[code] == 0 && n == 10_000 {
			t.Errorf("no mutated event was answered with %d: %v", code, codes)
		}
	}
}
