package mapping

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// attribute is one of a CloudEvent's, by its name in small letters.
type attribute struct {
	name string
	text []byte
}

func (s *run) attribute(name string) []byte {
	for i := range s.attributes {
		if s.attributes[i].name == name {
			return s.attributes[i].text
		}
	}
	return nil
}

// cloudEvent finds attributes and data of a record, as the CloudEvents binding
// for Kafka has them: all in the value, or attributes in headers.
func (s *run) cloudEvent() error {
	media := s.rec.contentType()
	switch {
	case strings.HasPrefix(media, "application/cloudevents-batch"):
		return &Error{Fault: "a batch of CloudEvents: send one in a record"}
	case media == "application/cloudevents+json":
		if err := s.structured(); err != nil {
			return err
		}
		media = "application/json"
		if m := s.attribute("datacontenttype"); m != nil {
			text, _, _ := strings.Cut(string(m), ";")
			media = strings.ToLower(strings.TrimSpace(text))
		}
	case strings.HasPrefix(media, "application/cloudevents"):
		return &Error{Fault: "structured CloudEvents are taken as application/cloudevents+json only"}
	default:
		for _, h := range s.rec.Headers {
			if name, ok := strings.CutPrefix(strings.ToLower(h.Key), "ce_"); ok {
				s.attributes = append(s.attributes, attribute{name, h.Value})
			}
		}
	}
	if len(s.attributes) == 0 {
		return &Error{Fault: "no CloudEvent: neither content-type application/cloudevents+json nor ce_ headers"}
	}
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if len(s.attribute(name)) == 0 {
			return &Error{Fault: fmt.Sprintf("a CloudEvent without the attribute %s, which every one has", name)}
		}
	}
	if v := s.attribute("specversion"); string(v) != "1.0" {
		return &Error{Fault: "a CloudEvent of another version than 1.0"}
	}
	if media != "" && media != "application/json" && media != "text/json" && !strings.HasSuffix(media, "+json") {
		return &Error{Fault: "the data of the CloudEvent are not JSON, says its content type"}
	}
	return nil
}

// structured reads an envelope: its members are attributes, but for the data.
func (s *run) structured() error {
	value := s.rec.Value
	d := s.reader.openBytes(value)
	if d.PeekKind() != '{' {
		return &Error{Fault: "a structured CloudEvent that is no JSON object"}
	}
	data, encoded := []byte(nil), []byte(nil)
	if _, err := d.ReadToken(); err != nil {
		return syntax(err)
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return syntax(err)
		}
		key := name.String()
		raw, err := d.ReadValue()
		if err != nil {
			return syntax(err)
		}
		end := int(d.InputOffset())
		raw = value[end-len(raw) : end]
		switch {
		case key == "data":
			data = raw
		case raw[0] == 'n' || raw[0] == '{' || raw[0] == '[':
		case raw[0] == '"':
			text, _ := jsontext.AppendUnquote(nil, raw)
			if key == "data_base64" {
				encoded = text
				continue
			}
			s.attributes = append(s.attributes, attribute{key, text})
		default:
			s.attributes = append(s.attributes, attribute{key, bytes.Clone(raw)})
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return syntax(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return &Error{Fault: "holds more than one JSON value"}
	}
	switch {
	case data != nil && encoded != nil:
		return &Error{Fault: "a CloudEvent with both data and data_base64"}
	case encoded != nil:
		plain, err := base64.StdEncoding.DecodeString(string(encoded))
		if err != nil {
			return &Error{Fault: "data_base64 is not base64"}
		}
		data = plain
	}
	if len(data) == 0 {
		return &Error{Fault: "a CloudEvent without data"}
	}
	s.data = data
	return nil
}

// eventNode leads to what a canonical event says of itself.
var eventNode, eventSlots = func() (*node, int) {
	root := newNode()
	event := root.child(step{kind: member, key: "event"})
	event.slot = 0
	for i, key := range eventKeys {
		event.child(step{kind: member, key: key}).slot = i + 1
	}
	return root, 1 + len(eventKeys)
}()

var eventKeys = []string{"id", "type", "time"}

// complete appends data that are a canonical event, with what the attributes add:
// event.id, event.type and event.time where the data have none.
func (s *run) complete(dst []byte) ([]byte, error) {
	if s.m.format != CloudEvents {
		return append(dst, s.data...), nil
	}
	s.slots = append(s.slots[:0], make([]slot, eventSlots)...)
	if err := s.reader.read(s.data, eventNode, s.slots); err != nil {
		return dst, err
	}
	data := bytes.TrimLeft(s.data, " \t\r\n")
	if data[0] != '{' {
		return dst, &Error{Fault: "the data of the CloudEvent are " + found(jsontext.Kind(data[0])) + " where an event is expected"}
	}
	var add []byte
	for i, key := range eventKeys {
		if s.slots[i+1].kind != 0 {
			continue
		}
		var err error
		mark := len(add)
		add = append(append(append(add, ',', '"'), key...), '"', ':')
		value := len(add)
		if add, _, err = s.field(add, attributeField("event."+key)); err != nil {
			return dst, err
		}
		if len(add) == value {
			add = add[:mark]
		}
	}
	if len(add) == 0 {
		return append(dst, s.data...), nil
	}
	// The additions go to the front of the object, which begins at the first
	// brace of the data, or of the event where there is one.
	at, rest := s.slots[0], data[1:]
	dst = append(dst, '{')
	if at.kind == 0 {
		dst = append(append(dst, `"event":{`...), add[1:]...)
		dst = append(dst, '}')
	} else if at.kind == '{' {
		inside := len(s.data) - len(rest)
		dst = append(append(dst, s.data[inside:at.from+1]...), add[1:]...)
		rest = s.data[at.from+1:]
	} else {
		return dst[:len(dst)-1], &Error{Target: "event", Fault: found(at.kind) + " where an object is expected"}
	}
	if next := bytes.TrimLeft(rest, " \t\r\n"); next[0] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, rest...), nil
}
