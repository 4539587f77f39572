package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-risk/sluice/risk"
)

func TestDocumentStructure(t *testing.T) {
	keys, _ := keyring(t, "a decide")
	d := newClient(t, newFake(), Options{Keys: keys, Gatherer: prometheus.NewRegistry()}).document
	if d.root["openapi"] != "3.1.0" || d.root["info"].(map[string]any)["title"] == "" || d.root["info"].(map[string]any)["version"] == "" {
		t.Errorf("head is %v %v", d.root["openapi"], d.root["info"])
	}
	schemes := d.root["components"].(map[string]any)["securitySchemes"].(map[string]any)
	ids := map[string]bool{}
	for path, item := range d.root["paths"].(map[string]any) {
		for method, v := range item.(map[string]any) {
			op := v.(map[string]any)
			name := method + " " + path
			if !slices.Contains([]string{"get", "post", "put", "patch", "delete"}, method) {
				t.Errorf("%s: no such method", name)
			}
			id, _ := op["operationId"].(string)
			if id == "" || ids[id] || op["summary"] == "" {
				t.Errorf("%s: operationId %q is missing or taken, or there is no summary", name, id)
			}
			ids[id] = true
			var inPath []string
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				p := p.(map[string]any)
				if p["schema"] == nil || p["name"] == "" || !slices.Contains([]any{"path", "header", "query"}, p["in"]) {
					t.Errorf("%s: parameter %v", name, p)
				}
				if p["in"] == "path" {
					inPath = append(inPath, "{"+p["name"].(string)+"}")
					if p["required"] != true {
						t.Errorf("%s: path parameter %v is not required", name, p["name"])
					}
				}
			}
			if want := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(path, -1); !slices.Equal(inPath, want) {
				t.Errorf("%s: path parameters %v, want %v", name, inPath, want)
			}
			responses := op["responses"].(map[string]any)
			if len(responses) == 0 {
				t.Errorf("%s: no responses", name)
			}
			for status, r := range responses {
				r := r.(map[string]any)
				if !regexp.MustCompile(`^[1-5][0-9][0-9]$`).MatchString(status) || r["description"] == "" || r["content"] == nil {
					t.Errorf("%s %s: %v", name, status, r)
				}
			}
			security, ok := op["security"].([]any)
			if !ok {
				t.Errorf("%s: does not say who may call it", name)
			}
			for _, s := range security {
				for scheme := range s.(map[string]any) {
					if schemes[scheme] == nil {
						t.Errorf("%s: no security scheme %s", name, scheme)
					}
				}
			}
			if body, ok := op["requestBody"].(map[string]any); ok {
				media := body["content"].(map[string]any)["application/json"].(map[string]any)
				for example, e := range media["examples"].(map[string]any) {
					for _, fault := range d.validate(media["schema"], e.(map[string]any)["value"], "") {
						t.Errorf("%s, example %s: %s", name, example, fault)
					}
				}
			}
		}
	}
	// Every $ref leads somewhere, every schema is used.
	used := map[string]bool{}
	walk(d.root, func(m map[string]any) {
		if r, ok := m["$ref"].(string); ok {
			if _, ok := d.resolve(r); !ok {
				t.Errorf("$ref %s leads nowhere", r)
			}
			used[r[strings.LastIndex(r, "/")+1:]] = true
		}
	})
	for name := range d.root["components"].(map[string]any)["schemas"].(map[string]any) {
		if !used[name] {
			t.Errorf("schema %s is not used", name)
		}
	}
}

func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, child := range v {
			walk(child, visit)
		}
	case []any:
		for _, child := range v {
			walk(child, visit)
		}
	}
}

// What is documented is served, and what is served is documented.
func TestDocumentEqualsRoutes(t *testing.T) {
	for _, o := range []Options{{}, {Gatherer: prometheus.NewRegistry()}, {Gatherer: prometheus.NewRegistry(), MetricsApart: true}} {
		c := newClient(t, newFake(), o)
		documented := map[string]bool{}
		for path, item := range c.document.root["paths"].(map[string]any) {
			for method := range item.(map[string]any) {
				documented[strings.ToUpper(method)+" "+path] = true
			}
		}
		pages := map[string]bool{}
		for _, r := range c.server.routes() {
			name := r.method + " " + strings.TrimSuffix(r.path, "{$}")
			if documented[name] == r.page {
				t.Errorf("%s is served, page %v, documented %v", name, r.page, documented[name])
			}
			pages[name] = r.page
		}
		paths := []string{"/metrics", "/", "/v1", "/v1/", "/v1/decisions/", "/v1/events/x", "/v1/screenings", "/debug/pprof/"}
		for name := range documented {
			_, path, _ := strings.Cut(name, " ")
			paths = append(paths, path)
		}
		for _, path := range paths {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
				r := httptest.NewRequest(method, strings.Replace(path, "{id}", "dec_"+strings.Repeat("a", 24), 1), nil)
				w := httptest.NewRecorder()
				c.server.Handler().ServeHTTP(w, r)
				unknown := w.Code == 405 || w.Code == 404 && !strings.Contains(w.Body.String(), "no decision has this id")
				known := documented[method+" "+path] || pages[method+" "+path] || method == "HEAD" && (documented["GET "+path] || pages["GET "+path])
				if unknown == known {
					t.Errorf("%s %s: status %d, documented %v", method, path, w.Code, known)
				}
			}
		}
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	described := map[string]bool{}
	event, _ := c.document.resolve("#/components/schemas/Event")
	for group, g := range event.(map[string]any)["properties"].(map[string]any) {
		g := g.(map[string]any)
		if g["description"] == "" {
			t.Errorf("group %s has no description", group)
		}
		members, _ := g["properties"].(map[string]any)
		for member, s := range members {
			s := s.(map[string]any)
			if s["type"] == nil || s["description"] == "" {
				t.Errorf("%s.%s: %v", group, member, s)
			}
			described[group+"."+member] = true
		}
	}
	for _, f := range risk.Fields {
		if !described[f.Path] {
			t.Errorf("field %s is not in the document", f.Path)
		}
	}
	for path := range fieldTexts {
		group, member, _ := strings.Cut(path, ".")
		known := slices.ContainsFunc(risk.Fields, func(f risk.Field) bool {
			g, m, _ := strings.Cut(f.Path, ".")
			return m == member && (g == group || alike[g] == group)
		})
		if !known {
			t.Errorf("%s is described and no field", path)
		}
	}
}

// An event that has every field of the document decodes without a warning, so
// the document names no field that the decoder does not know.
func TestDocumentedFieldsDecode(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	schema, _ := c.document.resolve("#/components/schemas/Event")
	event := sampleOf(schema.(map[string]any), "").(map[string]any)
	delete(event["card"].(map[string]any), "number") // refused beside a token
	body, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	var rec risk.Record
	if err := (&risk.Decoder{Secrets: testDecoder.Secrets, Strict: true}).Decode(body, &rec); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	for _, f := range risk.Fields {
		if e := &rec.Event; f.Text != nil && *f.Text(e) == "" || f.Number != nil && !f.Number(e).Set || f.Flag != nil && *f.Flag(e) == 0 || f.Time != nil && *f.Time(e) == 0 {
			t.Errorf("field %s was sent and is missing", f.Path)
		}
	}
}

// sampleOf makes a value that a schema describes.
func sampleOf(s map[string]any, name string) any {
	if choices, ok := s["enum"].([]any); ok {
		return choices[0]
	}
	kind, _ := s["type"].(string)
	switch kind {
	case "object":
		m := map[string]any{}
		properties, _ := s["properties"].(map[string]any)
		for name, p := range properties {
			m[name] = sampleOf(p.(map[string]any), name)
		}
		return m
	case "array":
		return []any{sampleOf(s["items"].(map[string]any), name)}
	case "number":
		return 0.5
	case "boolean":
		return true
	}
	pattern, _ := s["pattern"].(string)
	switch {
	case name == "currency":
		return "USD"
	case name == "ip":
		return "81.2.69.160"
	case pattern == "^[A-Z]{2}$":
		return "DE"
	case strings.HasPrefix(pattern, "^-?"):
		return "12.30"
	case strings.Contains(pattern, "{4}"):
		return "4111"
	case strings.Contains(pattern, "{6,8}"):
		return "41111111"
	case s["format"] == "date-time" || s["anyOf"] != nil:
		return "2026-11-21T12:00:00Z"
	}
	return "x_" + name
}

func TestExamplesDecode(t *testing.T) {
	for name, e := range examples["Event"] {
		var rec risk.Record
		if err := (&risk.Decoder{Secrets: testDecoder.Secrets, Strict: true}).Decode(e.(object)["value"].(json.RawMessage), &rec); err != nil {
			t.Errorf("example %s: %v", name, err)
		}
	}
	f := newFake()
	c := newClient(t, f, Options{})
	id := c.do("POST", "/v1/decisions", string(examples["Event"]["card"].(object)["value"].(json.RawMessage))).status(200).json()["id"]
	for name, e := range examples["Outcome"] {
		r := c.do("POST", fmt.Sprintf("/v1/decisions/%s/outcomes", id), string(e.(object)["value"].(json.RawMessage)), "Prefer", "handling=strict")
		if r.Code != 202 {
			t.Errorf("example %s: %d %s", name, r.Code, r.Body)
		}
	}
}

func TestOpenAPIRoute(t *testing.T) {
	c := newClient(t, newFake(), Options{})
	r := c.do("GET", "/openapi.json", "").status(200).has("Content-Type", "application/json")
	b, _ := io.ReadAll(r.Body)
	if string(b) != string(c.server.document) {
		t.Error("/openapi.json is not the document")
	}
}
