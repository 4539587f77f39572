package risk

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

var testSalt = [16]byte{9, 8, 7}

func TestEntryIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genRecord(t)
		b := AppendEntry([]byte("before"), &Entry{Event: want}, testSalt)
		if !bytes.HasPrefix(b, []byte("before")) {
			t.Fatalf("dst was not appended to: %q", b)
		}
		b = b[len("before"):]
		var e Entry
		if err := DecodeEntry(b, &e); err != nil {
			t.Fatalf("%v\n%q", err, b)
		}
		if !reflect.DeepEqual(e.Event, want) {
			t.Fatalf("read    %+v\nwritten %+v", e.Event, want)
		}
		if again := AppendEntry(nil, &e, testSalt); !bytes.Equal(again, b) {
			t.Fatalf("written again: %q\nfirst:         %q", again, b)
		}

		erased := EraseEntry(b)
		if len(erased) >= len(b) || !bytes.Equal(erased[:len(erased)-1], b[:len(erased)-1]) {
			t.Fatalf("erasing changed more than it took away:\n%q\n%q", erased, b)
		}
		if twice := EraseEntry(erased); !bytes.Equal(twice, erased) {
			t.Fatalf("erased twice: %q", twice)
		}
		if err := DecodeEntry(erased, &e); err != nil {
			t.Fatal(err)
		}
		got := e.Event
		if !got.Erased || got.IDs != want.IDs || got.Facts != want.Facts || got.Content != want.Content || got.Arrival != want.Arrival {
			t.Fatalf("erased: %+v", got)
		}
		if plain := AppendPlain(nil, &got.Event); !bytes.Equal(plain, AppendPlain(nil, &want.Event)) {
			t.Fatalf("erased: plain part %s", plain)
		}
		if personal := AppendPersonal(nil, &got.Event); string(personal) != "{}" {
			t.Fatalf("erased: personal part %s", personal)
		}
		if again := AppendEntry(nil, &e, [16]byte{}); !bytes.Equal(again, erased) {
			t.Fatalf("erased, written again: %q\nfirst: %q", again, erased)
		}
	})
}

// TestDecodeGivesCanonical holds that what Decode made of an event comes back
// from the journal.
func TestDecodeGivesCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEvent(t)
		e.ID, e.Type, e.Time = "e", "t", 1
		e.Card.BIN, e.Card.Last4, e.Merchant.MCC, e.Device.IP, e.Label.Kind = "411111", "1234", "5812", "::1", "fraud"
		d := Decoder{Secrets: testSecrets, Strict: true}
		var rec Record
		if err := d.Decode(mergeParts(AppendPlain(nil, &e), AppendPersonal(nil, &e)), &rec); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(rec.Event, e) {
			t.Fatalf("read    %+v\nwritten %+v", rec.Event, e)
		}
		if want := AppendPersonal(AppendPlain(nil, &e), &e); !bytes.Equal(rec.canonical, want) || rec.IDs != testSecrets.IDs(&e) {
			t.Fatalf("canonical encoding %s\nof all fields       %s", rec.canonical, want)
		}
	})
}

func TestControlEntries(t *testing.T) {
	for _, want := range []Entry{
		{Activation: &Activation{"ruleset", "card \"one\"", "ab12", 1 << 40, "deploy <bot>", 1_790_000_000_123}},
		{Answered: &Answered{"acme", "e1", Review, []string{"deadline"}, 1_790_000_000_000}},
		{Refused: &Refused{"acme", Source{"payments", 3, 1 << 50, false}, "invalid_json", "want a comma", "00ff", 5, nil}},
		{Refused: &Refused{"acme", Source{"payments", 3, 1 << 50, false}, "invalid_json", "want a comma", "00ff", 5, []byte{0, 255, 1}}},
		{Genesis: &Genesis{"main", "EUR", 1_790_000_000_000}},
		{Genesis: &Genesis{}},
		{Cutover: &Cutover{7, "sha256:00ff", 1, 0, 1_790_000_000_000}},
		{Cutover: &Cutover{1 << 50, "sha256:00ff", 4711, 1_780_000_000_000, 1_790_000_000_000}},
	} {
		b := AppendEntry(nil, &want, testSalt)
		var got Entry
		if err := DecodeEntry(b, &got); err != nil {
			t.Errorf("%s: %v", b, err)
			continue
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, written %+v", got, want)
		}
		if again := AppendEntry(nil, &got, testSalt); !bytes.Equal(again, b) {
			t.Errorf("written again: %s, first %s", again, b)
		}
		if erased := EraseEntry(b); !bytes.Equal(erased, b) {
			t.Errorf("erased: %s, want %s", erased, b)
		}
	}
}

// What was written before payloads could be sealed, and before records were read
// again, is read as it was.
func TestEntriesOfBefore(t *testing.T) {
	const old = "\x01\x04" + `{"tenant":"acme","source":{"topic":"payments","partition":3,"offset":7},"reason":"invalid_event","detail":"no JSON","digest":"00ff","at":"1970-01-01T00:00:00.005Z"}`
	var e Entry
	if err := DecodeEntry([]byte(old), &e); err != nil || e.Refused.Sealed != nil || !e.Refused.Source.InOrder() {
		t.Errorf("DecodeEntry = %+v, %v", e.Refused, err)
	}
	if again := AppendEntry(nil, &e, testSalt); string(again[1:]) != old[1:] {
		t.Errorf("written again: %s", again)
	}
	rec, err := decode(t, Decoder{}, string(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	rec.Source = Source{Topic: "payments"}
	first := AppendEntry(nil, &Entry{Event: rec}, testSalt)
	rec.Source.Again = true
	again := AppendEntry(nil, &Entry{Event: rec}, testSalt)
	if first[1] != 1 || again[1] != 6 || !bytes.Equal(first[2:], again[2:]) {
		t.Error("an entry read again differs in more than its kind")
	}
	rec.ObserveOnly = true
	if b := AppendEntry(nil, &Entry{Event: rec}, testSalt); b != nil {
		t.Errorf("observed only and read again: %q, want nil", b)
	}
	rec.Source.Again = false
	if b := AppendEntry(nil, &Entry{Event: rec}, testSalt); b[1] != 8 || !bytes.Equal(b[2:], first[2:]) {
		t.Error("an event that is only observed differs in more than its kind")
	}
}

func TestEntriesThatAreNone(t *testing.T) {
	for _, e := range []Entry{{}, {Event: &Record{}, Genesis: &Genesis{}}, {Answered: &Answered{}}} {
		if b := AppendEntry([]byte("x"), &e, testSalt); b != nil {
			t.Errorf("AppendEntry(%+v) = %q, want nil", e, b)
		}
	}
	f := func(b string, want error) {
		t.Helper()
		var e Entry
		if err := DecodeEntry([]byte(b), &e); !errors.Is(err, want) || e != (Entry{}) {
			t.Errorf("DecodeEntry(%q) = %+v, %v, want %v", b, e, err, want)
		}
	}
	f("", ErrEntry)
	f("\x01", ErrEntry)
	f("\x00\x01", ErrEntry)
	f("\x03\x01", ErrEntryVersion)
	f("\x01\x00", ErrEntryKind)
	f("\x01\x06{}", ErrEntry)
	f("\x01\x07{}", ErrEntry)
	f("\x01\x07{\"activation\":3}", ErrEntry)
	f("\x01\x08{}", ErrEntry)
	f("\x01\x09{}", ErrEntryKind)
	f("\x01\x05{}x", ErrEntry)
	f("\x01\x05{\"x\":1}", ErrEntry)
	f("\x01\x03{}", ErrEntry)
	f("\x01\x03{\"action\":\"action(0)\"}", ErrEntry)

	rec, err := decode(t, Decoder{}, string(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	good := AppendEntry(nil, &Entry{Event: rec}, testSalt)
	for n := range good {
		f(string(good[:n]), ErrEntry)
		if erased := EraseEntry(good[:n]); n < len(good)/2 && erased != nil {
			t.Errorf("EraseEntry of the first %d bytes = %q", n, erased)
		}
	}
	f(string(good)+"x", ErrEntry)
	for _, i := range []int{len(good) - 3, bytes.Index(good, []byte("maria"))} { // in the personal part
		bad := bytes.Clone(good)
		bad[i] ^= 1
		f(string(bad), ErrEntry)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	rec, err := decode(f, Decoder{}, string(sample(f)))
	if err != nil {
		f.Fatal(err)
	}
	good := AppendEntry(nil, &Entry{Event: rec}, testSalt)
	f.Add(good)
	f.Add(EraseEntry(good))
	rec.ObserveOnly = true
	f.Add(AppendEntry(nil, &Entry{Event: rec}, testSalt))
	f.Add(AppendEntry(nil, &Entry{Answered: &Answered{"acme", "e1", Review, []string{"deadline"}, 5}}, testSalt))
	f.Add(AppendEntry(nil, &Entry{Genesis: &Genesis{"main", "EUR", 5}}, testSalt))
	f.Add(AppendEntry(nil, &Entry{Cutover: &Cutover{7, "sha256:00", 2, 5, 6}}, testSalt))
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Entry
		if DecodeEntry(b, &e) != nil {
			return
		}
		if EraseEntry(b) == nil {
			t.Fatal("an entry that can be read cannot be erased")
		}
		once := AppendEntry(nil, &e, testSalt)
		var again Entry
		if err := DecodeEntry(once, &again); err != nil {
			t.Fatalf("%v\nread    %q\nwritten %q", err, b, once)
		}
		if !reflect.DeepEqual(e, again) {
			t.Fatalf("first %+v\nthen  %+v", e, again)
		}
		if twice := AppendEntry(nil, &again, testSalt); !bytes.Equal(once, twice) {
			t.Fatalf("first %q\nthen  %q", once, twice)
		}
	})
}

func BenchmarkEntry(b *testing.B) {
	rec, err := decode(b, Decoder{}, string(sample(b)))
	if err != nil {
		b.Fatal(err)
	}
	buf := AppendEntry(nil, &Entry{Event: rec}, testSalt)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendEntry(buf[:0], &Entry{Event: rec}, testSalt)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(buf)))
		var e Entry
		for b.Loop() {
			if err := DecodeEntry(buf, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// An entry that version 1 wrote is read with all that it has, and the facts and
// pseudonyms of later versions are absent.
func TestEntryOfVersion1(t *testing.T) {
	old, err := os.ReadFile("testdata/entry_v1.bin")
	if err != nil {
		t.Fatal(err)
	}
	var e Entry
	if err := DecodeEntry(old, &e); err != nil {
		t.Fatal(err)
	}
	num := func(v float64) Number { return Number{v, true} }
	want := Facts{Base: Money{32321, "USD"}, IPCountry: "GB", IPRegion: "ENG", IPCity: "London", IPLat: num(51.5142), IPLon: num(-0.0931), IPASN: num(20712),
		IPVPN: Yes, IPHosting: No, IssuerCountry: "US", UTCOffset: num(-300), Version: "city-20250915-abcdef tz-2025b"}
	if e.Event.Facts != want {
		t.Errorf("facts %+v\nwant  %+v", e.Event.Facts, want)
	}
	fresh, err := decode(t, Decoder{Secrets: testSecrets}, string(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(e.Event.Event, fresh.Event) || e.Event.Content != fresh.Content {
		t.Errorf("event %+v\nwant  %+v", e.Event.Event, fresh.Event)
	}
	for i, id := range e.Event.IDs {
		if i < 27 && id != fresh.IDs[i] || i >= 27 && !id.IsZero() {
			t.Errorf("pseudonym %d is %x, decoded anew %x", i, id, fresh.IDs[i])
		}
	}
	erased := EraseEntry(old)
	if erased == nil || DecodeEntry(erased, &e) != nil || !e.Event.Erased || e.Event.Facts != want {
		t.Errorf("erased: %+v", e.Event)
	}
}
