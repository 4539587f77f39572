package risk

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// TestSipHash compares with the reference implementation's vectors: key
// 00 01 … 0f, inputs of 0 to 63 bytes 00 01 …; three of the 64 outputs, and the
// SHA-256 of all of them.
func TestSipHash(t *testing.T) {
	const k0, k1 = 0x0706050403020100, 0x0f0e0d0c0b0a0908
	spot := map[int]string{
		0:  "a3817f04ba25a8e66df67214c7550293",
		15: "5493e99933b0a8117e08ec0f97cfc3d9",
		63: "5150d1772f50834a503e069a973fbd7c",
	}
	var in, all []byte
	for n := range 64 {
		id := sipHash(k0, k1, in)
		if same := sipHash(k0, k1, string(in)); same != id {
			t.Errorf("sipHash of %d bytes: %x as text, %x as bytes", n, same, id)
		}
		if want, ok := spot[n]; ok && hex.EncodeToString(id[:]) != want {
			t.Errorf("sipHash of %d bytes = %x, want %s", n, id, want)
		}
		all = append(all, id[:]...)
		in = append(in, byte(n))
	}
	const want = "ecfaa9fe47ff788fa834a9863ea2715a2880cd37d2b8c3c194402838428119b9"
	if sum := sha256.Sum256(all); hex.EncodeToString(sum[:]) != want {
		t.Errorf("SHA-256 of all outputs = %x, want %s", sum, want)
	}
}

func TestSecrets(t *testing.T) {
	a, b := NewSecrets([32]byte{1}), NewSecrets([32]byte{2})
	if a.ID("x") != NewSecrets([32]byte{1}).ID("x") || a.ID("x") == b.ID("x") || a.ID("x") == a.ID("y") {
		t.Error("pseudonyms must follow the master key and the value")
	}
	if !a.ID("").IsZero() {
		t.Error("no value has no pseudonym")
	}
	if a.CardToken("4111 1111-11111111") != a.CardToken("4111111111111111") || a.CardToken("4111111111111111") == b.CardToken("4111111111111111") {
		t.Error("card tokens must follow the master key and the digits")
	}
	if own := a.WithCardKey([]byte("k")); own.CardToken("4111111111111111") == a.CardToken("4111111111111111") ||
		own.CardToken("4111111111111111") != b.WithCardKey([]byte("k")).CardToken("4111111111111111") || own.ID("x") != a.ID("x") {
		t.Error("a card key of its own must change card tokens, and nothing else")
	}
	// The labels are part of what is stored: a change of one is a loss of data.
	master := [32]byte{1}
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	want := mac(mac(master[:], "sluice content v1"), "{}")
	if got := a.Content([]byte("{}")); !bytes.Equal(got[:], want) {
		t.Errorf("Content = %x, want %x", got, want)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if got := a.Content([]byte("{}")); !bytes.Equal(got[:], want) {
					t.Errorf("Content = %x at the same time, want %x", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestSecretsAreNotPrinted(t *testing.T) {
	s := NewSecrets([32]byte{1, 2, 3})
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "secrets", s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "secrets", s)
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{log.String(), string(j), fmt.Sprint(s), fmt.Sprintf("%+v %#v %x %d", s, s, s, s)} {
		if !strings.Contains(text, secretText) || strings.Contains(text, fmt.Sprint(s.id0)) || strings.Contains(text, fmt.Sprintf("%x", s.id0)) {
			t.Errorf("printed: %s", text)
		}
	}
}

func BenchmarkID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		testSecrets.ID("maria.keller+shop@example.com")
	}
}
