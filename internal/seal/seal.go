// Package seal closes what may be read by one holder of a private key only: the
// payload of a record that was refused, on its way through journal and dead
// letter. Whoever closes it cannot open it again.
//
// A [Public] key closes, a [Private] key opens; both are one line of text in a
// file. The form is HPKE (RFC 9180) in base mode with X25519, HKDF-SHA256 and
// AES-256-GCM, from the standard library; docs/format.md has the bytes. Values are
// immutable and may be shared. This package does not say who closed something, and
// keeps no keys.
package seal

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	version = 1
	info    = "sluice dead letter v1" // what a key is used for: no other use opens it

	idSize  = 8
	encSize = 32
	header  = 1 + idSize + encSize

	publicPrefix  = "sluice-seal-public-1:"
	privatePrefix = "sluice-seal-private-1:"
)

// Overhead is by how much a sealed payload is longer.
const Overhead = header + 16

var (
	// ErrKey is given for text that is no key of the kind that is needed.
	ErrKey = errors.New("seal: not a key")
	// ErrOpen is given for what this key does not open at this place.
	ErrOpen = errors.New("seal: cannot be opened")
)

func kem() hpke.KEM                   { return hpke.DHKEM(ecdh.X25519()) }
func suite() (hpke.KDF, hpke.AEAD)    { return hpke.HKDFSHA256(), hpke.AES256GCM() }
func encode(b []byte) string          { return base64.RawURLEncoding.EncodeToString(b) }
func decode(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

// Public closes.
type Public struct {
	key hpke.PublicKey
	id  [idSize]byte
}

// Private opens. It prints as its public key's id.
type Private struct {
	key    hpke.PrivateKey
	public Public
}

func public(key hpke.PublicKey) Public {
	sum := sha256.Sum256(key.Bytes())
	return Public{key, [idSize]byte(sum[:])}
}

// Generate makes a pair of keys.
func Generate() (Private, error) {
	key, err := kem().GenerateKey()
	if err != nil {
		return Private{}, fmt.Errorf("seal: %w", err)
	}
	return Private{key, public(key.PublicKey())}, nil
}

// ParsePublic reads the text of a public key.
func ParsePublic(text string) (Public, error) {
	if strings.HasPrefix(text, privatePrefix) {
		return Public{}, fmt.Errorf("%w: this is the private key, which belongs to whoever opens dead letters; name the file of the public one", ErrKey)
	}
	b, err := decode(strings.TrimPrefix(text, publicPrefix))
	if err != nil || !strings.HasPrefix(text, publicPrefix) {
		return Public{}, fmt.Errorf("%w: a public key begins with %s", ErrKey, publicPrefix)
	}
	key, err := kem().NewPublicKey(b)
	if err != nil {
		return Public{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return public(key), nil
}

// ParsePrivate reads the text of a private key. No error repeats it.
func ParsePrivate(text string) (Private, error) {
	b, err := decode(strings.TrimPrefix(text, privatePrefix))
	if err != nil || !strings.HasPrefix(text, privatePrefix) {
		return Private{}, fmt.Errorf("%w: a private key begins with %s", ErrKey, privatePrefix)
	}
	key, err := kem().NewPrivateKey(b)
	if err != nil {
		return Private{}, fmt.Errorf("%w: a private key has %d bytes", ErrKey, encSize)
	}
	return Private{key, public(key.PublicKey())}, nil
}

// String is the text of the key, for a file.
func (p Public) String() string { return publicPrefix + encode(p.key.Bytes()) }

// ID names the key in what it closed.
func (p Public) ID() string { return hex.EncodeToString(p.id[:]) }

// Seal closes a payload for one place: it opens at no other.
func (p Public) Seal(place string, payload []byte) ([]byte, error) {
	kdf, aead := suite()
	enc, sender, err := hpke.NewSender(p.key, kdf, aead, []byte(info))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	out := make([]byte, 0, len(payload)+Overhead)
	out = append(append(append(out, version), p.id[:]...), enc...)
	closed, err := sender.Seal(bound(out, place), payload)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return append(out, closed...), nil
}

// bound is what is proved beside the payload: the header, and the place.
func bound(header []byte, place string) []byte {
	return append(header[:len(header):len(header)], place...)
}

// Public is the key that closes what this one opens.
func (p Private) Public() Public { return p.public }

// Reveal is the text of the key, for a file.
func (p Private) Reveal() (string, error) {
	b, err := p.key.Bytes()
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return privatePrefix + encode(b), nil
}

// String and GoString keep the key out of logs.
func (p Private) String() string   { return "private key " + p.public.ID() }
func (p Private) GoString() string { return p.String() }

// Open gives back what Seal closed for this place.
func (p Private) Open(place string, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, fmt.Errorf("%w: %d bytes that are no sealed payload of version %d", ErrOpen, len(sealed), version)
	}
	if id := [idSize]byte(sealed[1:]); id != p.public.id {
		return nil, fmt.Errorf("%w: it was sealed for key %x, this is %s", ErrOpen, id, p.public.ID())
	}
	kdf, aead := suite()
	r, err := hpke.NewRecipient(sealed[1+idSize:header], p.key, kdf, aead, []byte(info))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	payload, err := r.Open(bound(sealed[:header], place), sealed[header:])
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or belongs to another place than %s", ErrOpen, place)
	}
	return payload, nil
}
