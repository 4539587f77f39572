package risk

import (
	"encoding/binary"
	"math/bits"
)

// sipHash is SipHash-2-4 with 128 bits of output: short inputs, a secret key, no
// allocation, and outputs nobody without the key can tell from random.
func sipHash[T string | []byte](k0, k1 uint64, data T) ID {
	a, b := k0^0x736f6d6570736575, k1^0x646f72616e646f6d^0xee
	c, d := k0^0x6c7967656e657261, k1^0x7465646279746573
	n := len(data)
	for ; len(data) >= 8; data = data[8:] {
		w := word(data, 0)
		a, b, c, d = sipRound(a, b, c, d^w)
		a, b, c, d = sipRound(a, b, c, d)
		a ^= w
	}
	last := uint64(n) << 56
	for i := range len(data) {
		last |= uint64(data[i]) << (8 * i)
	}
	a, b, c, d = sipRound(a, b, c, d^last)
	a, b, c, d = sipRound(a, b, c, d)
	a ^= last

	var id ID
	c ^= 0xee
	for range 4 {
		a, b, c, d = sipRound(a, b, c, d)
	}
	binary.LittleEndian.PutUint64(id[:8], a^b^c^d)
	b ^= 0xdd
	for range 4 {
		a, b, c, d = sipRound(a, b, c, d)
	}
	binary.LittleEndian.PutUint64(id[8:], a^b^c^d)
	return id
}

// sipRound is inlined: the state then stays in registers.
func sipRound(a, b, c, d uint64) (_, _, _, _ uint64) {
	a += b
	c += d
	b = bits.RotateLeft64(b, 13) ^ a
	d = bits.RotateLeft64(d, 16) ^ c
	a = bits.RotateLeft64(a, 32)
	c += b
	a += d
	b = bits.RotateLeft64(b, 17) ^ c
	d = bits.RotateLeft64(d, 21) ^ a
	return a, b, bits.RotateLeft64(c, 32), d
}

// word reads eight bytes, little-endian: the compiler makes one load of it.
func word[T string | []byte](b T, i int) uint64 {
	b = b[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}
