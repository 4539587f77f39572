package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func pair(t testing.TB) Private {
	t.Helper()
	p, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpensWhatWasSealed(t *testing.T) {
	p := pair(t)
	for _, payload := range []string{"", "a", strings.Repeat("payload ", 1<<15)} {
		sealed, err := p.Public().Seal("payments/0/42", []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != len(payload)+Overhead || len(payload) > 1 && bytes.Contains(sealed, []byte("payload")) {
			t.Errorf("%d bytes sealed as %d", len(payload), len(sealed))
		}
		if got, err := p.Open("payments/0/42", sealed); err != nil || string(got) != payload {
			t.Errorf("Open = %d bytes, %v, want %d", len(got), err, len(payload))
		}
	}
}

// Neither another place, nor another key, nor a changed bit opens.
func TestRefuses(t *testing.T) {
	p := pair(t)
	sealed, err := p.Public().Seal("payments/0/42", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, by Private, place string, b []byte) {
		t.Helper()
		if got, err := by.Open(place, b); !errors.Is(err, ErrOpen) || got != nil {
			t.Errorf("%s: Open = %q, %v", what, got, err)
		}
	}
	f("another place", p, "payments/0/43", sealed)
	f("another key", pair(t), "payments/0/42", sealed)
	f("nothing", p, "payments/0/42", nil)
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		f(fmt.Sprintf("byte %d changed", i), p, "payments/0/42", changed)
		f(fmt.Sprintf("%d bytes", i), p, "payments/0/42", sealed[:i])
	}
}

func TestKeys(t *testing.T) {
	p := pair(t)
	text, err := p.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParsePrivate(text)
	if err != nil || again.Public().String() != p.Public().String() {
		t.Fatalf("ParsePrivate = %v, %v", again, err)
	}
	public, err := ParsePublic(p.Public().String())
	if err != nil || public.ID() != p.Public().ID() || len(public.ID()) != 16 {
		t.Fatalf("ParsePublic = %v, %v", public, err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", p, p, p, p); strings.Contains(shown, text[len(privatePrefix):]) {
		t.Errorf("the private key shows: %s", shown)
	}
	if _, err := ParsePublic(text); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "private") || strings.Contains(err.Error(), text[len(privatePrefix):]) {
		t.Errorf("ParsePublic of a private key = %v", err)
	}
	for _, bad := range []string{"", "x", publicPrefix, publicPrefix + "AAAA", publicPrefix + "!", p.Public().String() + "A", privatePrefix, privatePrefix + "AAAA"} {
		if _, err := ParsePublic(bad); !errors.Is(err, ErrKey) {
			t.Errorf("ParsePublic(%q) = %v", bad, err)
		}
		if _, err := ParsePrivate(bad); !errors.Is(err, ErrKey) {
			t.Errorf("ParsePrivate(%q) = %v", bad, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	p := pair(f)
	sealed, err := p.Public().Seal("a/0/1", []byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := p.Open("a/0/2", b); err == nil {
			t.Error("opened at another place")
		}
	})
}
