package risk

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

const head = `"event":{"id":"e1","type":"transfer","time":"2026-11-21T12:00:00Z"}`

func event(rest string) string {
	if rest == "" {
		return "{" + head + "}"
	}
	return "{" + head + "," + rest + "}"
}

func decode(t testing.TB, d Decoder, src string) (*Record, error) {
	t.Helper()
	d.Secrets = testSecrets
	rec := new(Record)
	err := d.Decode([]byte(src), rec)
	return rec, err
}

func TestDecodeSample(t *testing.T) {
	rec, err := decode(t, Decoder{Strict: true}, string(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return At(v)
	}
	want := Event{
		ID: "pay_0191f3a2c4d5", Type: "payment.authorization", Time: at("2026-11-21T12:00:00.123Z"),
		Amount: Money{32321, "USD"},
		Payment: Payment{ID: "p_7781", Method: "card", Rail: "visa", Attempt: Number{1, true}, Status: "pending",
			MIT: No, AVSResult: "Y", CVCResult: "M", ThreeDS: "none"},
		Customer: Customer{ID: "u_100045", Type: "person", Name: "Maria Keller", BirthDate: at("1984-05-17T00:00:00Z"),
			Country: "US", Email: "maria.keller+shop@example.com", Phone: "+1 212 555 0147",
			Created: at("2024-02-01T08:30:00Z"), KYCLevel: "full"},
		Card: Card{Token: "tok_8f31b2c6a9", BIN: "41111111", Last4: "1111", Brand: "visa", Funding: "credit", Country: "US", Expiry: "2028-09"},
		Device: Device{ID: "d_9c01e7", IP: "81.2.69.160",
			UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0",
			Language:  "en-US", Timezone: "America/New_York", SessionID: "s_55ab01"},
		Billing:  Address{Name: "Maria Keller", Line1: "12 Harbour Street", City: "New York", Region: "NY", PostalCode: "10004", Country: "US"},
		Merchant: Merchant{ID: "m_1204", Name: "Corner Bistro", MCC: "5812", Country: "US", Created: at("2019-06-01T00:00:00Z")},
		Custom: []Custom{{Name: "basket_size", Kind: Decimal, Number: 3}, {Name: "returning", Kind: Bool, Flag: Yes},
			{Name: "tier", Kind: Text, Text: "gold"}},
	}
	if !reflect.DeepEqual(rec.Event, want) {
		t.Errorf("event = %+v\nwant    %+v", rec.Event, want)
	}
	for i, k := range Keys {
		if got, want := rec.IDs[i], testSecrets.ID(k.Value(&want)); got != want {
			t.Errorf("id of %s = %x, want %x", k.Form, got, want)
		}
	}
	canonical := AppendPersonal(AppendPlain(nil, &want), &want)
	if rec.Content != testSecrets.Content(canonical) {
		t.Error("content is not the digest of the canonical encoding")
	}
}

// TestDecodeRefuses lists inputs with the problems they must be refused for.
func TestDecodeRefuses(t *testing.T) {
	f := func(src string, want ...string) {
		t.Helper()
		rec, err := decode(t, Decoder{}, src)
		refused, ok := errors.AsType[*DecodeError](err)
		if !ok {
			t.Errorf("Decode(%.80s) = %v, want a refusal", src, err)
			return
		}
		var got []string
		for _, p := range refused.Problems {
			got = append(got, p.Pointer+" "+p.Code)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Decode(%.80s) refused for %q, want %q", src, got, want)
		}
		if !reflect.DeepEqual(rec.Event, Event{}) {
			t.Errorf("Decode(%.80s) left %+v", src, rec.Event)
		}
	}
	// The form.
	f(``, " invalid_json")
	f(`{`, " invalid_json")
	f(`[]`, " input_invalid", "/event/id required", "/event/type required", "/event/time required")
	f(`{}`, "/event/id required", "/event/type required", "/event/time required")
	f(event("")+"x", " invalid_json")
	f(event("")+event(""), " invalid_json")
	f(event(`"x":1,`), " invalid_json")
	f(event(`"x":[1,]`), "/x invalid_json")
	f(event(`"x":01`), "/x invalid_json")
	f(event(`"x":1.`), "/x invalid_json")
	f(event(`"x":-`), "/x invalid_json")
	f(event(`"x":NaN`), "/x invalid_json")
	f(event(`"x":Infinity`), "/x invalid_json")
	f(event(`"x":1e999`), "/x number_overflow")
	f(event(`"x":"a`+"\n"+`b"`), "/x invalid_json")
	f(event(`"x":"\x"`), "/x invalid_json")
	f(event(`"x":"\u12"`), "/x invalid_json")
	f(event(`"x":"\ud800"`), "/x invalid_utf8")
	f(event(`"x":"\udc00\ud800"`), "/x invalid_utf8")
	f(event(`"x":"\ud800\u0041"`), "/x invalid_utf8")
	f(event(`"x":"`+"\xff"+`"`), " invalid_utf8")
	f(event(`"x":`+strings.Repeat("[", 32)+strings.Repeat("]", 32)), "/x"+strings.Repeat("/0", 31)+" too_deep")
	f(event(`"x":"`+strings.Repeat("a", DefaultMaxBytes)+`"`), " too_large")
	// Duplicates.
	f(event(head), "/event duplicate_key")
	f(event(`"x":1,"x":2`), "/x duplicate_key")
	f(event(`"x":1,"\u0078":2`), "/x duplicate_key")
	f(event(`"x":[{"y":{"a":1,"a":1}}]`), "/x/0/y/a duplicate_key")
	f(event(`"card":{"bin":"411111","\u0062in":"411111"}`), "/card/bin duplicate_key")
	f(event(`"custom":{"a":1,"a":1}`), "/custom/a duplicate_key")
	// Letters.
	f(event(`"AMOUNT":{"value":"1","currency":"USD"}`), "/AMOUNT wrong_case")
	f(event(`"customer":{"Email":"a@b.co"}`), "/customer/Email wrong_case")
	// What every event has.
	f(`{"event":{"id":"","type":5,"time":"2026-11-21"}}`, "/event/type input_invalid", "/event/time input_invalid", "/event/id required")
	f(`{"event":{"id":"`+strings.Repeat("a", 129)+`","type":"t","time":"2026-11-21T12:00:00Z"}}`, "/event/id input_invalid")
	f(`{"event":{"id":"a\u0000","type":"t","time":"2026-11-21T12:00:00Z"}}`, "/event/id input_invalid")
	f(`{"event":{"id":"a\u200b","type":"t","time":"2026-11-21T12:00:00Z"}}`, "/event/id input_invalid")
	f(`{"event":null}`, "/event/id required", "/event/type required", "/event/time required")
	f(`{"event":{"id":"a","type":"t","time":"1899-12-31T23:59:59Z"}}`, "/event/time input_invalid")
	// Money.
	f(event(`"amount":12.30`), "/amount input_invalid")
	f(event(`"amount":{}`), "/amount/value required", "/amount/currency required")
	f(event(`"amount":{"value":12.30,"currency":"USD"}`), "/amount/value input_invalid")
	f(event(`"amount":{"value":"12.345","currency":"USD"}`), "/amount/value input_invalid")
	f(event(`"amount":{"value":"12","currency":"usd"}`), "/amount/currency input_invalid")
	f(event(`"amount":{"value":"9999999999999999","currency":"JPY"}`), "/amount/value input_invalid")
	// What must never be sent.
	f(event(`"card":{"number":"4111111111111111"}`), "/card/number card_number_refused")
	f(event(`"card":{"cvv":"123"}`), "/card/cvv sensitive_authentication_data")
	f(event(`"custom":{"PIN":"1234"}`), "/custom/PIN sensitive_authentication_data")
	f(event(`"x":[{"Track2":"…"}]`), "/x/0/Track2 sensitive_authentication_data")
	f(event(`"order":{"items":[{"pin_block":"…"}]}`), "/order/items/0/pin_block sensitive_authentication_data")
}

func TestDecodeWarns(t *testing.T) {
	f := func(rest string, want ...string) {
		t.Helper()
		rec, err := decode(t, Decoder{}, event(rest))
		if err != nil {
			t.Errorf("Decode(%.80s): %v", rest, err)
			return
		}
		var got []string
		for _, w := range rec.Warnings {
			got = append(got, w.Pointer+" "+w.Code)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Decode(%.80s) warns of %q, want %q", rest, got, want)
		}
		if _, err := decode(t, Decoder{Strict: true}, event(rest)); (err != nil) != (want != nil) {
			t.Errorf("Decode(%.80s) strictly: %v", rest, err)
		}
	}
	f(``)
	f(`"a":`+strings.Repeat("[", 31)+strings.Repeat("]", 31), "/a unknown_field")
	f(`"amount":null,"card":null,"customer":{"email":null,"created":null}`)
	f(`"b":1,"a":{"x":[]}`, "/a unknown_field", "/b unknown_field")
	f(`"a/b~c":1`, "/a~1b~0c unknown_field")
	f(`"4111111111111111":1`, "/411111******1111 unknown_field")
	f(`"customer":[]`, "/customer input_invalid")
	f(`"customer":{"country":"us","created":"yesterday","email":5}`,
		"/customer/country input_invalid", "/customer/created input_invalid", "/customer/email input_invalid")
	f(`"customer":{"password_changed":"2026-01-01"}`, "/customer/password_changed input_invalid")
	f(`"customer":{"id":"`+strings.Repeat("a", MaxText+1)+`"}`, "/customer/id input_invalid")
	f(`"customer":{"id":"a\u200bb"}`, "/customer/id invisible_characters_removed")
	f(`"payment":{"attempt":"1","mit":"yes"}`, "/payment/attempt input_invalid", "/payment/mit input_invalid")
	f(`"payment":{"attempt":1e15}`)
	f(`"payment":{"attempt":1e16}`, "/payment/attempt input_invalid")
	f(`"payment":{"attempt":0.1e-400}`, "/payment/attempt input_invalid")
	f(`"payment":{"purpose":"card 4111-1111-1111-1111"}`, "/payment/purpose card_number_masked")
	f(`"card":{"bin":"4111111111111111","last4":"x"}`, "/card/bin input_invalid", "/card/last4 input_invalid")
	f(`"card":{"token":"4111111111111111"}`, "/card/token card_number_tokenised")
	f(`"device":{"ip":"300.1.1.1"}`, "/device/ip input_invalid")
	f(`"label":{"kind":"Fraud"}`, "/label/kind input_invalid")
	f(`"settlement":{"amount":"1.00"}`, "/settlement input_invalid")
	f(`"settlement":{"amount":"1.001","currency":"USD"}`, "/settlement input_invalid")
	f(`"kyc":{"owners":[{"share":1.5},7]}`, "/kyc/owners/0/share input_invalid", "/kyc/owners/1 input_invalid")
	f(`"kyc":{"documents":[`+strings.Repeat(`{},`, 40)+`{}]}`, "/kyc/documents/32 too_many")
	f(`"order":{"items":[{"price":"1,5"}]}`, "/order/items/0/price input_invalid")
	f(`"custom":{"a b":1,"c":[1],"d":null}`, "/custom/a b input_invalid", "/custom/c input_invalid")

	var many []string
	for i := range 40 {
		many = append(many, `"x`+string(rune('a'+i/10))+string(rune('0'+i%10))+`":1`)
	}
	rec, err := decode(t, Decoder{}, event(strings.Join(many, ",")))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rec.Warnings); n != 33 || rec.Warnings[32] != (Warning{Code: CodeMoreWarnings, Detail: "8 more"}) {
		t.Errorf("%d warnings, the last %+v", n, rec.Warnings[n-1])
	}
}

func TestDecodeCardNumber(t *testing.T) {
	src := event(`"card":{"number":"4111 1111 1111 1111","brand":"visa"}`)
	rec, err := decode(t, Decoder{PAN: PANToken, Strict: true}, src)
	if err != nil {
		t.Fatal(err)
	}
	want := Card{Token: testSecrets.CardToken("4111111111111111"), BIN: "41111111", Last4: "1111", Brand: "visa"}
	if rec.Event.Card != want {
		t.Errorf("card = %+v, want %+v", rec.Event.Card, want)
	}
	rec, err = decode(t, Decoder{PAN: PANToken}, event(`"card":{"number":"378282246310005"}`))
	if err != nil || rec.Event.Card.BIN != "378282" || rec.Event.Card.Last4 != "0005" {
		t.Errorf("15 digits: %+v, %v", rec.Event.Card, err)
	}
	rec, err = decode(t, Decoder{PAN: PANToken}, event(`"card":{"number":"4111111111111112"}`))
	if err != nil || rec.Event.Card != (Card{}) || len(rec.Warnings) != 1 {
		t.Errorf("wrong check digit: %+v, %v, %v", rec.Event.Card, rec.Warnings, err)
	}
	_, err = decode(t, Decoder{PAN: PANToken}, event(`"card":{"number":"4111111111111111","token":"t"}`))
	if err == nil || !strings.Contains(err.Error(), CodeCardTwice) {
		t.Errorf("token and number: %v", err)
	}
	rec, err = decode(t, Decoder{}, event(`"card":{"token":"4111111111111111"}`))
	if err != nil || rec.Event.Card.Token != want.Token {
		t.Errorf("a number as token: %q, %v", rec.Event.Card.Token, err)
	}
}

// TestDecodeEchoesNothing holds that no error repeats a card number.
func TestDecodeEchoesNothing(t *testing.T) {
	const pan = "4111111111111111"
	for _, rest := range []string{
		`"card":{"number":"` + pan + `"}`, `"card":{"number":` + pan + `}`, `"card":{"cvv":"` + pan + `"}`,
		`"amount":{"value":"` + pan + `","currency":"` + pan + `"}`, `"` + pan + `":{"pin":1}`,
		`"customer":{"country":"` + pan + `"}`, `"card":{"bin":"` + pan + `"}`,
	} {
		if _, err := decode(t, Decoder{Strict: true}, event(rest)); err == nil || strings.Contains(err.Error(), pan) {
			t.Errorf("Decode(%s): %v", rest, err)
		}
	}
}

func TestMaskPANs(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		b := []byte(in)
		if found := maskPANs(b); string(b) != want || found != (in != want) {
			t.Errorf("maskPANs(%q) = %q, %v, want %q", in, b, found, want)
		}
	}
	f("4111111111111111", "411111******1111")
	f("pay 4111 1111 1111 1111 now", "pay 4111 11** **** 1111 now")
	f("x4111-1111-1111-1111y", "x4111-11**-****-1111y")
	f("order 123 4111111111111111", "order 123 411111******1111")
	f("378282246310005 and 4222222222222", "378282*****0005 and 422222***2222")
	f("4111111111111112", "4111111111111112")
	f("41111111111111110000000", "41111111111111110000000") // 23 digits in one group are none
	f("4111.1111.1111.1111", "4111.1111.1111.1111")
	f("411111111111", "411111111111")
	f("", "")
}

func TestParseInstant(t *testing.T) {
	f := func(in string, dates bool, want string) {
		t.Helper()
		got, fault := parseInstant([]byte(in), dates)
		text := got.String()
		if fault != "" {
			text = ""
		}
		if text != want {
			t.Errorf("parseInstant(%q, %v) = %q (%s), want %q", in, dates, text, fault, want)
		}
	}
	f("2026-11-21T12:00:00Z", false, "2026-11-21T12:00:00Z")
	f("2026-11-21t12:00:00.123999z", false, "2026-11-21T12:00:00.123Z")
	f("2026-11-21T12:00:00.1+01:30", false, "2026-11-21T10:30:00.1Z")
	f("2024-02-29", true, "2024-02-29T00:00:00Z")
	f("2024-02-29", false, "")
	f("2023-02-29", true, "")
	f("1970-01-01", true, "1970-01-01T00:00:00.001Z")
	f("1969-12-31T23:59:59.9999Z", true, "1969-12-31T23:59:59.999Z")
	f("1905-03-04", true, "1905-03-04T00:00:00Z")
	f("2016-12-31T23:59:60Z", false, "2017-01-01T00:00:00Z")
	f("2016-12-31T23:58:60Z", false, "")
	f("2201-01-01T00:00:00Z", false, "")
	f("1900-01-01T00:00:00+01:00", false, "")
	for _, bad := range []string{"", "2026", "2026-11-21T12:00:00", "2026-11-21 12:00:00Z", "2026-11-21T24:00:00Z",
		"2026-11-21T12:00Z", "2026-13-01T00:00:00Z", "2026-11-21T12:00:00.Z", "2026-11-21T12:00:00+0100",
		"2026-11-21T12:00:00Zx", "2026-11-21T12:00:00+24:00", "-026-11-21T12:00:00Z", "2026-11-211"} {
		f(bad, true, "")
	}
}

func TestCountries(t *testing.T) {
	n := 0
	for _, c := range countries {
		if c != "" {
			n++
		}
	}
	if n != 250 { // ISO 3166-1 has 249; XK comes on top
		t.Errorf("%d countries, want 250", n)
	}
}

// TestDecodeKeepsNothing holds that an event is independent of its bytes, and
// that one decoder serves many goroutines.
func TestDecodeKeepsNothing(t *testing.T) {
	d := Decoder{Secrets: testSecrets}
	want, err := decode(t, d, string(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var rec Record
			for range 50 {
				src := sample(t)
				if err := d.Decode(src, &rec); err != nil {
					t.Error(err)
				}
				for i := range src {
					src[i] = 'x'
				}
				if !reflect.DeepEqual(rec.Event, want.Event) || rec.IDs != want.IDs || rec.Content != want.Content {
					t.Errorf("event %+v", rec.Event)
				}
			}
		})
	}
	wg.Wait()
}

// TestDecodeStartsAfresh holds that nothing of an earlier event stays.
func TestDecodeStartsAfresh(t *testing.T) {
	d := Decoder{Secrets: testSecrets}
	rec := Record{Tenant: "acme", Arrival: 5, Source: Source{Topic: "payments"}, Erased: true, Facts: Facts{IPCity: "London"}}
	if err := d.Decode([]byte(event(`"x":1,"customer":{"id":"u1"}`)), &rec); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode([]byte(event("")), &rec); err != nil {
		t.Fatal(err)
	}
	fresh, err := decode(t, d, event(""))
	if err != nil {
		t.Fatal(err)
	}
	fresh.Tenant, fresh.Arrival, fresh.Source = "acme", 5, Source{Topic: "payments"}
	if !reflect.DeepEqual(&rec, fresh) {
		t.Errorf("used again: %+v\nfresh:      %+v", &rec, fresh)
	}
}

// TestAllocations holds the hot path to what it was measured with. Decode has six;
// the race detector takes pooled scanners away now and then.
func TestAllocations(t *testing.T) {
	src, d := sample(t), Decoder{Secrets: testSecrets}
	var rec Record
	f := func(name string, most float64, do func()) {
		t.Helper()
		do()
		if n := testing.AllocsPerRun(50, do); n > most {
			t.Errorf("%s allocates %v times, at most %v were", name, n, most)
		}
	}
	f("Decode", 12, func() { _ = d.Decode(src, &rec) })
	buf, e := make([]byte, 0, 8192), &Entry{Event: &rec}
	f("AppendEntry", 0, func() { buf = AppendEntry(buf[:0], e, testSalt) })
	decision := sampleDecision()
	f("AppendBody", 0, func() { buf = decision.AppendBody(buf[:0], true) })
	f("IDs", 0, func() { buf = testSecrets.fill(&rec.Event, &rec.IDs, buf, unseen) })
}

// TestInstantOfEveryDay compares the calendar with the standard library's.
func TestInstantOfEveryDay(t *testing.T) {
	for at := time.Date(1899, 12, 25, 23, 59, 59, 7e6, time.UTC); at.Year() < 2201 || at.Day() < 5; at = at.AddDate(0, 0, 1) {
		text := at.Format("2006-01-02T15:04:05.000Z")
		got, fault := parseInstant([]byte(text), false)
		if inside := at.Year() >= 1900 && at.Year() <= 2200; inside && got != At(at) || inside != (fault == "") {
			t.Fatalf("parseInstant(%s) = %d, %q, want %d", text, got, fault, At(at))
		}
		if got := At(at).String(); got != text {
			t.Fatalf("%d is %s, want %s", At(at), got, text)
		}
	}
	for _, text := range []string{"1900-02-29", "2001-02-29", "2024-02-30", "2026-04-31", "2026-13-01", "2026-00-10", "2026-01-00"} {
		if got, fault := parseInstant([]byte(text), true); fault != badDate {
			t.Errorf("parseInstant(%s) = %v, %q, want %q", text, got, fault, badDate)
		}
	}
}

// TestMayHoldPAN holds that a quick look misses no card number, wherever it stands.
func TestMayHoldPAN(t *testing.T) {
	for _, pan := range []string{"4222222222222", "4111 1111 1111 1111", "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1", "6304000000000000000"} {
		for before := range 40 {
			for _, around := range []string{"a", "é", "1a", "12 x"} {
				text := []byte(strings.Repeat(around, before) + "x" + pan + "x" + strings.Repeat(around, before/7))
				if !mayHoldPAN(text) || !maskPANs(text) {
					t.Fatalf("the card number in %q is not found", text)
				}
			}
		}
	}
}
