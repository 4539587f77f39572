package risk

import (
	"os"
	"testing"
)

// sample is a typical card payment of about 1.2 KB.
func sample(t testing.TB) []byte {
	b, err := os.ReadFile("testdata/card.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var testSecrets = NewSecrets([32]byte{1, 2, 3})
