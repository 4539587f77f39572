package risk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"log/slog"
	"sync"
)

// Secrets turns values into pseudonyms. All its keys come from one master key:
// losing that makes old pseudonyms meaningless, changing it makes every entity a
// stranger, so it lives as long as the journal. Secrets is safe for concurrent use.
type Secrets struct {
	id0, id1 uint64 // SipHash key of ID
	content  *macPool
	card     *macPool
}

// NewSecrets derives the keys from the master key. Each purpose has its own, so
// that no two uses can be compared with each other.
func NewSecrets(master [32]byte) *Secrets {
	id := derive(master[:], "sluice pseudonym v1")
	return &Secrets{
		id0:     binary.LittleEndian.Uint64(id),
		id1:     binary.LittleEndian.Uint64(id[8:]),
		content: newMACPool(derive(master[:], "sluice content v1")),
		card:    newMACPool(derive(master[:], cardLabel)),
	}
}

// WithCardKey gives the same secrets with another key for card tokens, which an
// operator may have to share, rotate or keep apart from the rest.
func (s *Secrets) WithCardKey(key []byte) *Secrets {
	own := *s
	own.card = newMACPool(derive(key, cardLabel))
	return &own
}

const cardLabel = "sluice card token v1"

func derive(key []byte, label string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(label))
	return m.Sum(nil)
}

// ID gives the pseudonym of an identifier, the zero ID for "". Equal values have
// equal pseudonyms whichever field they stand in: an account is the same one as
// sender and as receiver.
func (s *Secrets) ID(value string) ID {
	if value == "" {
		return ID{}
	}
	return sipHash(s.id0, s.id1, value)
}

// IDs gives the pseudonyms of every form in Keys that the event has.
func (s *Secrets) IDs(e *Event) (ids IDs) {
	s.fill(e, &ids, nil, unseen)
	return ids
}

// fill uses buf for normal forms, and gives it back as it has become.
func (s *Secrets) fill(e *Event, ids *IDs, buf []byte, seen *sighting) []byte {
	*ids = IDs{}
	for i := range Keys {
		k := &Keys[i]
		switch {
		case seen.members[k.group]&k.members == 0:
		case k.derive == nil:
			ids[i] = s.ID(*k.field(e))
		default:
			if buf = k.derive(buf[:0], e); len(buf) > 0 {
				ids[i] = sipHash(s.id0, s.id1, buf)
			}
		}
	}
	return buf
}

// Content gives the keyed digest of an event's canonical encoding.
func (s *Secrets) Content(canonical []byte) Digest { return s.content.sum(canonical) }

// CardToken gives the token that stands for a card number: "tok_" and 32 letters
// of its keyed hash. Spaces and dashes in the number do not matter.
func (s *Secrets) CardToken(pan string) string {
	var digits [maxPAN]byte
	n := 0
	for i := range len(pan) {
		if c := pan[i]; c >= '0' && c <= '9' && n < len(digits) {
			digits[n] = c
			n++
		}
	}
	return s.cardToken(digits[:n])
}

func (s *Secrets) cardToken(digits []byte) string {
	sum := s.card.sum(digits)
	return "tok_" + base32Lower.EncodeToString(sum[:20])
}

const secretText = "[secret]"

// Format, LogValue and MarshalText keep the keys out of logs and dumps.
func (s *Secrets) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(secretText)) }
func (s *Secrets) LogValue() slog.Value         { return slog.StringValue(secretText) }
func (s *Secrets) MarshalText() ([]byte, error) { return []byte(secretText), nil }

// macPool keeps keyed HMAC-SHA-256 states: setting one up costs more than
// digesting an event with it.
type macPool struct{ pool sync.Pool }

type macState struct {
	hash.Hash
	out Digest
}

func newMACPool(key []byte) *macPool {
	p := &macPool{}
	p.pool.New = func() any { return &macState{Hash: hmac.New(sha256.New, key)} }
	return p
}

func (p *macPool) sum(b []byte) Digest {
	m := p.pool.Get().(*macState)
	defer p.pool.Put(m)
	m.Reset()
	m.Write(b)
	m.Sum(m.out[:0])
	return m.out
}
