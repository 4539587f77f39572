// Package auth knows who calls: API keys with a tenant, scopes and an expiry.
//
// A Token is what the caller presents, shown once when it is made; the keys
// file holds a Key with its SHA-256 only. The secret has 256 random bits, so a
// fast hash is enough: there is nothing to guess. Keys is the file as the
// server sees it and answers Authenticate with a Principal.
//
// Keys may be shared by any number of goroutines; its owner runs Watch to take
// in changes of the file. Create, Revoke and List work on the file itself and
// keep out of each other's way by a lock file, also between processes; they use
// flock and need a Unix file system. People, passwords and sessions are not
// here.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Why a presented token is not taken. The caller of the API learns only that it
// was not; the log and the metrics may tell them apart.
var (
	ErrUnknown = errors.New("auth: unknown API key")
	ErrExpired = errors.New("auth: expired API key")
	ErrRevoked = errors.New("auth: revoked API key")
)

// ErrNoKey is returned when the keys file has no key of the id named.
var ErrNoKey = errors.New("auth: no such key")

// Scope is one thing a key may do. None implies another.
type Scope string

const (
	Decide   Scope = "decide"   // send events, read decisions
	Evidence Scope = "evidence" // see rules, features and score in a decision
	Admin    Scope = "admin"    // operate: reload, lists, keys
)

// Scopes are all there are.
var Scopes = []Scope{Decide, Evidence, Admin}

// ParseScopes reads a list as the command line has it: decide,evidence.
func ParseScopes(text string) ([]Scope, error) {
	var out []Scope
	for name := range strings.SplitSeq(text, ",") {
		out = append(out, Scope(strings.TrimSpace(name)))
	}
	if err := checkScopes(out); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return out, nil
}

func checkScopes(scopes []Scope) error {
	if len(scopes) == 0 {
		return fmt.Errorf("a key needs at least one scope of %v", Scopes)
	}
	for i, s := range scopes {
		if !slices.Contains(Scopes, s) {
			return fmt.Errorf("unknown scope %q, known are %v", s, Scopes)
		}
		if slices.Contains(scopes[:i], s) {
			return fmt.Errorf("scope %q given twice", s)
		}
	}
	return nil
}

// Principal is a caller whose key was taken. Its scopes are not to be changed.
type Principal struct {
	KeyID  string
	Tenant string
	Scopes []Scope
}

// Has says whether the caller may do what the scope allows.
func (p Principal) Has(s Scope) bool { return slices.Contains(p.Scopes, s) }

// Key is what is kept of an API key: all but the secret.
type Key struct {
	ID      string    `yaml:"id"`
	Tenant  string    `yaml:"tenant"`
	Scopes  []Scope   `yaml:"scopes,flow"`
	SHA256  Digest    `yaml:"sha256"`
	Created time.Time `yaml:"created"`
	Expires time.Time `yaml:"expires,omitempty"` // zero: never
	Revoked time.Time `yaml:"revoked,omitempty"` // zero: not
	Note    string    `yaml:"note,omitempty"`
}

// Status is active, expired or revoked at an instant.
func (k Key) Status(now time.Time) string {
	switch k.refusal(now) {
	case ErrRevoked:
		return "revoked"
	case ErrExpired:
		return "expired"
	}
	return "active"
}

// refusal is why a key is not taken at an instant, nil when it is.
func (k Key) refusal(now time.Time) error {
	switch {
	case !k.Revoked.IsZero():
		return ErrRevoked
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return ErrExpired
	}
	return nil
}

// LogValue leaves the digest out: whoever reads logs has no use for it.
func (k Key) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", k.ID), slog.String("tenant", k.Tenant), slog.Any("scopes", k.Scopes))
}

// Digest is the SHA-256 of a token, hexadecimal in the file.
type Digest [sha256.Size]byte

// MarshalText writes the digest as the file has it.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("digest has %d characters, want %d", len(text), hex.EncodedLen(len(d)))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("digest is not hexadecimal")
	}
	return nil
}

// Token is a whole key as it is presented: slc_<id>_<secret>. It prints, logs
// and encodes without its secret; only Reveal gives it away.
type Token struct{ text string }

// tokenPrefix makes keys findable by secret scanners: slc_[a-z2-7]{8}_[a-z2-7]{52}.
const tokenPrefix = "slc_"

const (
	idBytes     = 5
	secretBytes = 32
)

var (
	alphabet   = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	tokenLen   = len(tokenPrefix) + alphabet.EncodedLen(idBytes) + 1 + alphabet.EncodedLen(secretBytes)
	idForm     = regexp.MustCompile(`^[a-z2-7]{8}$`)
	tenantForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$`)
)

func newToken() (Token, string) {
	var raw [idBytes + secretBytes]byte
	rand.Read(raw[:]) // never fails: the process ends instead
	id := alphabet.EncodeToString(raw[:idBytes])
	return Token{tokenPrefix + id + "_" + alphabet.EncodeToString(raw[idBytes:])}, id
}

// tokenID takes the id out of a presented text of the right shape.
func tokenID(presented string) (string, bool) {
	if len(presented) != tokenLen || !strings.HasPrefix(presented, tokenPrefix) {
		return "", false
	}
	id, _, ok := strings.Cut(presented[len(tokenPrefix):], "_")
	return id, ok
}

// Reveal returns the token whole, for the one time it is shown.
func (t Token) Reveal() string { return t.text }

func (t Token) String() string {
	id, ok := tokenID(t.text)
	if !ok {
		return "[no token]"
	}
	return tokenPrefix + id + "_[secret]"
}

// GoString keeps the secret out of %#v.
func (t Token) GoString() string { return t.String() }

// LogValue keeps the secret out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText keeps the secret out of JSON and YAML.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
