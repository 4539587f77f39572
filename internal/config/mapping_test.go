package config

import (
	"errors"
	"strings"
	"testing"
)

func TestSourceMapping(t *testing.T) {
	const text = `kafka: {brokers: [a:1]}
sources:
  - {topic: a, map: stripe}
  - {topic: b, map: ./mappings/core.yaml, format: cloudevents}
  - topic: c
    map:
      root: $.body
      fields: {event.id: $.id, payment.mit: {value: true}, event.type: {first: [$.t, {value: "5"}]}}
  - {topic: d, map: ""}
`
	c := load(t, Input{File: write(t, text)})
	s := c.Sources
	if s[0].Map.Name != "stripe" || s[0].Map.File() || s[0].Map.Place.Line != 3 || s[0].Map.Place.Column != 21 {
		t.Errorf("map = %+v", s[0].Map)
	}
	if s[1].Map.Name != "./mappings/core.yaml" || !s[1].Map.File() || s[1].Format != "cloudevents" {
		t.Errorf("map = %+v", s[1].Map)
	}
	if m := s[2].Map; m.IsZero() || m.Name != "" || m.Inline.Line != 7 || string(m.Text) != text {
		t.Errorf("map = %+v", m)
	}
	if !s[3].Map.IsZero() {
		t.Errorf("map = %+v, want none", s[3].Map)
	}

	// What is shown can be given back, as for every other key.
	const inline = `{"root": "$.body", "fields": {"event.id": "$.id", "payment.mit": {"value": true}, "event.type": {"first": ["$.t", {"value": "5"}]}}}`
	if s[2].Map.String() != inline {
		t.Errorf("map prints as %s", s[2].Map)
	}
	shown := origin(t, c, "sources").Value
	again := load(t, Input{Env: []string{"SLUICE_KAFKA_BROKERS=a:1", "SLUICE_SOURCES=" + shown}})
	if got := origin(t, again, "sources").Value; got != shown {
		t.Errorf("sources = %s, want %s", got, shown)
	}

	_, err := Load(Input{File: write(t, "kafka: {brokers: [a:1]}\nsources: [{topic: a, map: {fields: &f {a: $.b}}}]\n")})
	if e, ok := errors.AsType[*Error](err); !ok || len(e.Faults) != 1 || e.Faults[0].Origin.Line != 2 || !strings.Contains(e.Faults[0].Msg, "anchors") {
		t.Errorf("Load(anchor in a mapping) = %v", err)
	}
}
