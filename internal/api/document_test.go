package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// document is an OpenAPI document that answers can be held against. It knows the
// keywords that ours uses, and refuses a schema with another one.
type document struct {
	root  map[string]any
	paths map[*regexp.Regexp]map[string]any
}

func parseDocument(t testing.TB, b []byte) *document {
	t.Helper()
	d := &document{paths: map[*regexp.Regexp]map[string]any{}}
	decode(t, b, &d.root)
	for path, item := range d.root["paths"].(map[string]any) {
		pattern := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "[^/]+")
		d.paths[regexp.MustCompile("^"+pattern+"$")] = item.(map[string]any)
	}
	return d
}

func (d *document) operation(method, path string) map[string]any {
	if method == "HEAD" {
		method = "GET"
	}
	path, _, _ = strings.Cut(path, "?")
	for pattern, item := range d.paths {
		if pattern.MatchString(path) {
			op, _ := item[strings.ToLower(method)].(map[string]any)
			return op
		}
	}
	return nil
}

// check fails for an answer that the document does not have.
func (d *document) check(t testing.TB, method, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	media := w.Header().Get("Content-Type")
	var schema any = map[string]any{"$ref": "#/components/schemas/Problem"}
	if op := d.operation(method, path); op != nil {
		response, _ := op["responses"].(map[string]any)[fmt.Sprint(w.Code)].(map[string]any)
		if response == nil {
			t.Errorf("%s %s: status %d is not in the document", method, path, w.Code)
			return
		}
		media, _, _ := strings.Cut(media, ";")
		content, _ := response["content"].(map[string]any)[media].(map[string]any)
		if content == nil {
			t.Errorf("%s %s: status %d with %s is not in the document", method, path, w.Code, media)
			return
		}
		for _, name := range []string{"Retry-After", "WWW-Authenticate", "RateLimit", "Idempotent-Replayed"} {
			headers, _ := response["headers"].(map[string]any)
			if w.Header().Get(name) != "" && headers[name] == nil {
				t.Errorf("%s %s: header %s of status %d is not in the document", method, path, name, w.Code)
			}
		}
		schema = content["schema"]
	} else if w.Code != 404 && w.Code != 405 {
		t.Errorf("%s %s: status %d of a path that is not in the document", method, path, w.Code)
	}
	if !strings.Contains(media, "json") || w.Body.Len() == 0 {
		return
	}
	var v any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Errorf("%s %s: %v in %s", method, path, err, w.Body)
		return
	}
	for _, fault := range d.validate(schema, v, "") {
		t.Errorf("%s %s: %s in %s", method, path, fault, w.Body)
	}
}

func (d *document) resolve(ref string) (any, bool) {
	var v any = d.root
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = m[part]; !ok {
			return nil, false
		}
	}
	return v, strings.HasPrefix(ref, "#/")
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// validate gives what is wrong with v.
func (d *document) validate(schema, v any, at string) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, at+": "+fmt.Sprintf(format, args...))
	}
	s := schema.(map[string]any)
	for keyword, want := range s {
		switch keyword {
		case "$ref":
			target, ok := d.resolve(want.(string))
			if !ok {
				fault("no %s", want)
				continue
			}
			faults = append(faults, d.validate(target, v, at)...)
		case "type":
			var types []any
			if list, ok := want.([]any); ok {
				types = list
			} else {
				types = []any{want}
			}
			got := typeOf(v)
			n, _ := v.(float64)
			if !slices.Contains(types, any(got)) && !(got == "number" && n == math.Trunc(n) && slices.Contains(types, any("integer"))) {
				fault("%s, want %v", got, want)
			}
		case "properties":
			m, _ := v.(map[string]any)
			for name, value := range m {
				if property, ok := want.(map[string]any)[name]; ok {
					faults = append(faults, d.validate(property, value, at+"/"+name)...)
				} else if s["additionalProperties"] == false {
					fault("unknown %s", name)
				}
			}
		case "additionalProperties":
			m, _ := v.(map[string]any)
			properties, _ := s["properties"].(map[string]any)
			if want == false {
				continue
			}
			for name, value := range m {
				if properties[name] == nil {
					faults = append(faults, d.validate(want, value, at+"/"+name)...)
				}
			}
		case "propertyNames":
			m, _ := v.(map[string]any)
			for name := range m {
				faults = append(faults, d.validate(want, name, at+"/"+name)...)
			}
		case "required":
			m, _ := v.(map[string]any)
			for _, name := range want.([]any) {
				if _, ok := m[name.(string)]; m != nil && !ok {
					fault("no %s", name)
				}
			}
		case "items":
			list, _ := v.([]any)
			for i, value := range list {
				faults = append(faults, d.validate(want, value, fmt.Sprintf("%s/%d", at, i))...)
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				fault("%v is not one of %v", v, want)
			}
		case "const":
			if v != want {
				fault("%v, want %v", v, want)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(want.(string)).MatchString(text) {
				fault("%q does not match %s", text, want)
			}
		case "format":
			if text, ok := v.(string); ok {
				layout := map[string]string{"date-time": time.RFC3339Nano, "date": time.DateOnly}[want.(string)]
				if _, err := time.Parse(layout, text); err != nil {
					fault("%q is no %s", text, want)
				}
			}
		case "minimum", "maximum":
			if n, ok := v.(float64); ok && (keyword == "minimum" && n < want.(float64) || keyword == "maximum" && n > want.(float64)) {
				fault("%v is beyond the %s, %v", n, keyword, want)
			}
		case "minLength", "maxLength":
			if text, ok := v.(string); ok && (keyword == "minLength" && len(text) < int(want.(float64)) || keyword == "maxLength" && len(text) > int(want.(float64))) {
				fault("%q is beyond the %s, %v", text, keyword, want)
			}
		case "maxItems", "maxProperties":
			if list, ok := v.([]any); ok && len(list) > int(want.(float64)) {
				fault("%d items, at most %v", len(list), want)
			}
		case "anyOf":
			fits := slices.ContainsFunc(want.([]any), func(choice any) bool { return len(d.validate(choice, v, at)) == 0 })
			if !fits {
				fault("fits none of %v", want)
			}
		case "description", "x-sluice-class", "writeOnly", "title":
		default:
			fault("keyword %s is not known here", keyword)
		}
	}
	return faults
}
