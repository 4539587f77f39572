package mapping

import (
	"strings"
	"testing"
)

func TestCloudEvents(t *testing.T) {
	binary := []Header{{"ce_specversion", []byte("1.0")}, {"ce_id", []byte("c1")}, {"ce_source", []byte("/shop")}, {"ce_type", []byte("transfer")},
		{"ce_time", []byte("2026-11-02T09:00:00+01:00")}, {"content-type", []byte("application/json; charset=utf-8")}}
	without := func(name string) (out []Header) {
		for _, h := range binary {
			if h.Key != name {
				out = append(out, h)
			}
		}
		return out
	}
	media := func(m string) []Header { return []Header{{"Content-Type", []byte(m)}} }
	structured := media("application/cloudevents+json; charset=UTF-8")
	envelope := func(data string) string {
		return `{"specversion":"1.0","id":"c1","source":"/shop","type":"transfer","time":"2026-11-02T08:00:00Z","ext":7,` + data + `}`
	}
	mapped, err := Compile("x.yaml", []byte(`
apiVersion: mapping/v1
fields:
  event.type: {from: attribute type, table: {com.shop.paid: payment.capture}, else: same}
  payment.id: $.pay
  merchant.id: attribute source
  custom.ext: {from: attribute ext, as: number}
`), CloudEvents)
	if err != nil {
		t.Fatal(err)
	}
	plain := Plain(CloudEvents)
	const filled = `{"event":{"id":"c1","type":"transfer","time":"2026-11-02T08:00:00Z"}`
	for _, c := range []struct {
		m       *Mapping
		headers []Header
		value   string
		want    string
	}{
		{plain, binary, `{"amount":{"value":"1.00"}}`, filled + `,"amount":{"value":"1.00"}}`},
		{plain, binary, `{}`, filled + `}`},
		{plain, binary, ` { "event" : { } , "a":1}`, `{ "event" : {"id":"c1","type":"transfer","time":"2026-11-02T08:00:00Z" } , "a":1}`},
		{plain, binary, `{"a":1,"event":{"id":"own","time":"2026-01-01T00:00:00Z"},"b":2}`, `{"a":1,"event":{"type":"transfer","id":"own","time":"2026-01-01T00:00:00Z"},"b":2}`},
		{plain, binary, `{"event":{"id":"own","type":"topup","time":"2026-01-01T00:00:00Z"}}`, `{"event":{"id":"own","type":"topup","time":"2026-01-01T00:00:00Z"}}`},
		{plain, binary, `{"event":5}`, "mapping: event: a number where an object is expected"},
		{plain, binary, `[1]`, "mapping: the data of the CloudEvent are a list where an event is expected"},
		{plain, binary, `{"a":1,"a":2}`, "mapping: a key stands twice in one object at byte 7"},
		{plain, without("ce_time"), `{}`, "mapping: event.time from attribute time: it is not there, and must be"},
		{plain, without("ce_id"), `{}`, "mapping: a CloudEvent without the attribute id, which every one has"},
		{plain, without("ce_specversion"), `{}`, "mapping: a CloudEvent without the attribute specversion, which every one has"},
		{plain, nil, `{}`, "mapping: no CloudEvent: neither content-type application/cloudevents+json nor ce_ headers"},
		{plain, media("application/json"), `{}`, "mapping: no CloudEvent: neither content-type application/cloudevents+json nor ce_ headers"},
		{plain, media("application/cloudevents-batch+json"), `[]`, "mapping: a batch of CloudEvents: send one in a record"},
		{plain, media("application/cloudevents+avro"), `x`, "mapping: structured CloudEvents are taken as application/cloudevents+json only"},
		{plain, append(without("content-type"), media("application/xml")...), `<a/>`, "mapping: the data of the CloudEvent are not JSON, says its content type"},

		{plain, structured, envelope(`"data":{"a":1}`), filled + `,"a":1}`},
		{plain, structured, envelope(`"data_base64":"eyJhIjoxfQ=="`), filled + `,"a":1}`},
		{plain, structured, envelope(`"data_base64":"?"`), "mapping: data_base64 is not base64"},
		{plain, structured, envelope(`"data":{},"data_base64":"e30="`), "mapping: a CloudEvent with both data and data_base64"},
		{plain, structured, envelope(`"datacontenttype":"text/plain","data":"x"`), "mapping: the data of the CloudEvent are not JSON, says its content type"},
		{plain, structured, envelope(`"x":1`), "mapping: a CloudEvent without data"},
		{plain, structured, strings.Replace(envelope(`"data":{}`), "1.0", "0.3", 1), "mapping: a CloudEvent of another version than 1.0"},
		{plain, structured, `[]`, "mapping: a structured CloudEvent that is no JSON object"},
		{plain, structured, `{"id":1`, "mapping: not valid JSON at byte 7"},

		{mapped, structured, envelope(`"data":{"pay":"p1"}`), filled[:0] + `{"event":{"type":"transfer","id":"c1","time":"2026-11-02T08:00:00Z"},"payment":{"id":"p1"},"merchant":{"id":"/shop"},"custom":{"ext":7}}`},
		{mapped, append(without("ce_type"), Header{"ce_type", []byte("com.shop.paid")}), `{}`, `{"event":{"type":"payment.capture","id":"c1","time":"2026-11-02T08:00:00Z"},"merchant":{"id":"/shop"}}`},
	} {
		got, err := c.m.Translate(nil, &Record{Value: []byte(c.value), Headers: c.headers})
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.value, got, c.want)
		}
	}

	// Canonical events as they are, where the format is json.
	if got, err := Plain(JSON).Translate(nil, &Record{Value: []byte(`{"a":1}`)}); string(got) != `{"a":1}` || err != nil {
		t.Errorf("Translate = %s, %v", got, err)
	}
}
