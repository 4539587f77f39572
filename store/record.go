package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

// Space is a keyspace: the first byte of every key on disk.
type Space byte

const (
	Entities  Space = 'e' // state of cards, accounts, devices ...; summed
	Entities2 Space = 'f' // the same, of another generation: one is in use, the other being made or removed; summed
	Events    Space = 'v' // event id -> content digest and position, for deduplication and labels
	Learned   Space = 'w' // the same, as a second walk over the journal learns it
	Decisions Space = 'd' // decision bodies and their indexes
	Expiry    Space = 'x' // event time -> keys to delete when it has passed
	Meta      Space = 'm' // small facts about the cell itself
)

// The store's own spaces. A Put may not name them.
const (
	spaceSequence   Space = '#' // number of a transaction -> what it did
	spaceCheckpoint Space = 'c' // one key: the last checkpoint
	spaceStaged     Space = 't' // parts of a checkpoint too big for one transaction
	spaceMarker     Space = 'k' // one key: the staged checkpoint is complete and counts
)

func (s Space) public() bool {
	switch s {
	case Entities, Entities2, Events, Learned, Decisions, Expiry, Meta:
		return true
	}
	return false
}

// summed tells whether the sum of the space's keys and values is kept, to notice
// a lost, stale or resurrected key. Summed spaces share one sum.
func (s Space) summed() bool { return s == Entities || s == Entities2 }

// Bounds of one Put and of Checkpoint.State.
const (
	MaxKey   = 1 << 10
	MaxValue = 64 << 10
	MaxState = 128 << 10
)

// A stored value is its seal, then the bytes: the format version and CRC32C
// over keyspace, key, version and bytes. The key is part of it so that a value
// that turns up under another key is found out.
const (
	valueFormat = 1
	sealSize    = 1 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fullKey is keyspace and key, as stored.
func checksum(fullKey, value []byte) uint32 {
	crc := crc32.Update(0, castagnoli, fullKey)
	crc = crc32.Update(crc, castagnoli, []byte{valueFormat})
	return crc32.Update(crc, castagnoli, value)
}

func appendSealed(dst, fullKey, value []byte) []byte {
	dst = append(dst, valueFormat)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(fullKey, value))
	return append(dst, value...)
}

// unseal returns the bytes of a stored value, as part of it.
func unseal(fullKey, stored []byte) ([]byte, error) {
	if len(stored) < sealSize {
		return nil, fmt.Errorf("value of %d bytes is shorter than its seal", len(stored))
	}
	if stored[0] != valueFormat {
		return nil, fmt.Errorf("value has format %d, want %d", stored[0], valueFormat)
	}
	value := stored[sealSize:]
	if got, want := checksum(fullKey, value), binary.LittleEndian.Uint32(stored[1:]); got != want {
		return nil, fmt.Errorf("checksum of a value is %08x, stored %08x", got, want)
	}
	return value, nil
}

// Sum is the part of one key and value in the sum of a summed space. It is
// never 0, which stands for "no value". The seed is constant: sums are stored.
func Sum(space Space, key, value []byte) uint64 {
	const seed = 0x536c756963653031
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	var head [5]byte // the length keeps "ab"+"c" apart from "a"+"bc"
	head[0] = byte(space)
	binary.LittleEndian.PutUint32(head[1:], uint32(len(key)))
	d.Write(head[:])
	d.Write(key)
	d.Write(value)
	return max(d.Sum64(), 1)
}

// change is what one Put adds to the digest of a transaction.
func change(p *Put) uint64 {
	if p.Value == nil {
		return ^Sum(p.Space, p.Key, nil)
	}
	return Sum(p.Space, p.Key, p.Value)
}

var errShort = errors.New("record is too short")

// sequence is the record that every transaction leaves under its number.
type sequence struct {
	number     uint64 // gap-free from 1
	oldest     uint64 // lowest number whose record is still kept
	kind       kind
	checkpoint uint64 // number of the newest transaction that completed a checkpoint
	position   uint64 // of that checkpoint
	puts       uint32 // in this transaction, the store's own records not counted
	digest     uint64 // sum of change over those puts
}

type kind byte

const (
	kindCheckpoint kind = 1 + iota // completes a checkpoint
	kindStage                      // writes parts of a staged one
	kindMark                       // makes the staged one count
	kindApply                      // copies parts of it to their place
	kindClean                      // deletes parts that are no longer needed
)

const sequenceSize = 5*8 + 4 + 1

func (r *sequence) encode() []byte {
	b := make([]byte, 0, sequenceSize)
	b = binary.LittleEndian.AppendUint64(b, r.number)
	b = binary.LittleEndian.AppendUint64(b, r.oldest)
	b = binary.LittleEndian.AppendUint64(b, r.checkpoint)
	b = binary.LittleEndian.AppendUint64(b, r.position)
	b = binary.LittleEndian.AppendUint64(b, r.digest)
	b = binary.LittleEndian.AppendUint32(b, r.puts)
	return append(b, byte(r.kind))
}

func (r *sequence) decode(b []byte) error {
	if len(b) != sequenceSize {
		return errShort
	}
	word := binary.LittleEndian.Uint64
	r.number, r.oldest, r.checkpoint, r.position, r.digest = word(b), word(b[8:]), word(b[16:]), word(b[24:]), word(b[32:])
	r.puts = binary.LittleEndian.Uint32(b[40:])
	r.kind = kind(b[44])
	return nil
}

// header is what is stored of a checkpoint beside its puts.
type header struct {
	number   uint64 // of the transaction that completed it
	position uint64
	digest   [32]byte
	entities tally // of the summed spaces
	state    []byte
}

// tally counts and sums the live keys of the summed spaces.
type tally struct{ keys, sum uint64 }

func (t *tally) add(p *Put) {
	if p.Replaces != 0 {
		t.keys--
		t.sum -= p.Replaces
	}
	if p.Value != nil {
		t.keys++
		t.sum += Sum(p.Space, p.Key, p.Value)
	}
}

const headerSize = 4*8 + 32

func (h *header) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = binary.LittleEndian.AppendUint64(b, h.position)
	b = binary.LittleEndian.AppendUint64(b, h.entities.keys)
	b = binary.LittleEndian.AppendUint64(b, h.entities.sum)
	b = append(b, h.digest[:]...)
	return append(b, h.state...)
}

func (h *header) decode(b []byte) error {
	if len(b) < headerSize {
		return errShort
	}
	word := binary.LittleEndian.Uint64
	h.number, h.position, h.entities = word(b), word(b[8:]), tally{word(b[16:]), word(b[24:])}
	copy(h.digest[:], b[32:])
	h.state = append([]byte(nil), b[headerSize:]...)
	return nil
}

// marker makes a staged checkpoint count. Its header's number is not yet known.
type marker struct {
	parts  uint32 // staged parts, numbered from 0
	puts   uint32
	digest uint64 // sum of change over the puts
	header header
}

func (m *marker) encode() []byte {
	b := binary.LittleEndian.AppendUint32(nil, m.parts)
	b = binary.LittleEndian.AppendUint32(b, m.puts)
	b = binary.LittleEndian.AppendUint64(b, m.digest)
	return m.header.append(b)
}

func (m *marker) decode(b []byte) error {
	if len(b) < 16 {
		return errShort
	}
	m.parts, m.puts = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	m.digest = binary.LittleEndian.Uint64(b[8:])
	return m.header.decode(b[16:])
}

// A staged part is a run of puts: keyspace, key length, value length + 1 (0 is
// a deletion), key, value. Replaces is already in the marker's sums.
func appendPut(b []byte, p *Put) []byte {
	b = append(b, byte(p.Space))
	b = binary.AppendUvarint(b, uint64(len(p.Key)))
	if p.Value == nil {
		b = binary.AppendUvarint(b, 0)
	} else {
		b = binary.AppendUvarint(b, uint64(len(p.Value))+1)
	}
	b = append(b, p.Key...)
	return append(b, p.Value...)
}

// decodePuts returns puts whose keys and values are parts of b.
func decodePuts(puts []Put, b []byte) ([]Put, error) {
	for len(b) > 0 {
		p := Put{Space: Space(b[0])}
		if !p.Space.public() {
			return nil, fmt.Errorf("staged put in space %q", b[0])
		}
		b = b[1:]
		keyLen, n := binary.Uvarint(b)
		if n <= 0 || keyLen > MaxKey {
			return nil, errShort
		}
		b = b[n:]
		valueLen, n := binary.Uvarint(b)
		if n <= 0 || valueLen > MaxValue+1 {
			return nil, errShort
		}
		b = b[n:]
		size := max(valueLen, 1) - 1
		if uint64(len(b)) < keyLen+size {
			return nil, errShort
		}
		p.Key = b[:keyLen:keyLen]
		if valueLen > 0 {
			p.Value = b[keyLen : keyLen+size : keyLen+size]
		}
		b = b[keyLen+size:]
		puts = append(puts, p)
	}
	return puts, nil
}
