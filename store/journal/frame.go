package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Position numbers a record. 0 is before the first.
type Position uint64

// Batch is what one frame holds.
type Batch struct {
	First   Position // set by Append and by the reader
	Records [][]byte // at least one
	Decided Position // last position already decided when the batch was written
	Digest  [32]byte // rolling digest of the decision bodies up to Decided
}

// Last is the position of the batch's last record.
func (b *Batch) Last() Position { return b.First + Position(len(b.Records)) - 1 }

// Bounds of a batch. A collector that stops at 4 MiB may overshoot by one record.
const (
	MaxRecordBytes  = 1 << 20
	MaxBatchBytes   = 4<<20 + MaxRecordBytes
	MaxBatchRecords = 1 << 16

	maxPayload     = MaxBatchBytes + 3*MaxBatchRecords // a record's length takes at most 3 bytes
	compressFrom   = 4                                 // records; below, zstd gains too little
	frameHeaderLen = 72
	frameAlign     = 8
)

// Flags of a frame: the codec in the low byte.
const (
	codecMask uint32 = 0xff
	codecRaw  uint32 = 0
	codecZstd uint32 = 1
	flagSeal  uint32 = 1 << 8 // last frame of a segment, without records
)

// badHeaderSum is the one reason that says nothing was written as a frame here.
const badHeaderSum = "frame header checksum mismatch"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is a frame's first 72 bytes, less its two checksums.
type header struct {
	stored  uint32 // payload bytes in the file, without padding
	first   Position
	count   uint32
	flags   uint32
	decided Position
	digest  [32]byte
	raw     uint32 // payload bytes once decompressed
}

func (h *header) sealed() bool { return h.flags&flagSeal != 0 }

// next is the position after this frame.
func (h *header) next() Position { return h.first + Position(h.count) }

// size is what the frame takes in the file.
func (h *header) size() int64 { return frameHeaderLen + pad(int64(h.stored)) }

func pad(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// check finds what no writer writes. A zero frame fails here whatever its CRC.
func (h *header) check() string {
	switch {
	case h.first == 0:
		return "position 0"
	case h.flags&^(codecMask|flagSeal) != 0 || h.flags&codecMask > codecZstd:
		return fmt.Sprintf("unknown flags %#x", h.flags)
	case h.sealed() != (h.count == 0) || h.sealed() && h.stored != 0:
		return fmt.Sprintf("%d records with flags %#x", h.count, h.flags)
	case h.count > MaxBatchRecords || h.raw > maxPayload || h.stored > h.raw:
		return fmt.Sprintf("%d records, %d bytes stored, %d raw: beyond bounds", h.count, h.stored, h.raw)
	case h.decided >= h.first:
		return fmt.Sprintf("decided %d is not before its own first position %d", h.decided, h.first)
	}
	return ""
}

// putFrame writes header, padding and checksums around the payload, which already
// lies at frame[frameHeaderLen:], and returns the whole frame.
//
// The checksums start from the segment's seed, which holds the journal's random
// id: bytes of another segment, or of a record made to look like a frame, never
// check as a frame here. The header has a checksum of its own so that recovery can
// look for frames in time linear in the bytes it looks through.
func putFrame(frame []byte, h *header, seed uint32) []byte {
	for int64(len(frame)) < h.size() {
		frame = append(frame, 0)
	}
	le := binary.LittleEndian
	le.PutUint32(frame[0:], h.stored)
	le.PutUint64(frame[8:], uint64(h.first))
	le.PutUint32(frame[16:], h.count)
	le.PutUint32(frame[20:], h.flags)
	le.PutUint64(frame[24:], uint64(h.decided))
	copy(frame[32:64], h.digest[:])
	le.PutUint32(frame[64:], h.raw)
	sum := headerSum(frame, seed)
	le.PutUint32(frame[68:], sum)
	le.PutUint32(frame[4:], crc32.Update(sum, castagnoli, frame[68:]))
	return frame
}

func headerSum(b []byte, seed uint32) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, b[0:4]), castagnoli, b[8:68])
}

// parseHeader reads the 72 bytes at b; the reason is empty if they are a header.
func parseHeader(b []byte, seed uint32) (h header, reason string) {
	le := binary.LittleEndian
	h = header{
		stored: le.Uint32(b[0:]), first: Position(le.Uint64(b[8:])), count: le.Uint32(b[16:]),
		flags: le.Uint32(b[20:]), decided: Position(le.Uint64(b[24:])), raw: le.Uint32(b[64:]),
	}
	copy(h.digest[:], b[32:64])
	if h.first == 0 { // free space, the common case: spares the CRC
		return h, h.check()
	}
	if headerSum(b, seed) != le.Uint32(b[68:]) {
		return h, badHeaderSum
	}
	return h, h.check()
}

// checkFrame compares the checksum of the whole frame, whose header is good.
func checkFrame(frame []byte) string {
	le := binary.LittleEndian
	if crc32.Update(le.Uint32(frame[68:]), castagnoli, frame[68:]) != le.Uint32(frame[4:]) {
		return "frame checksum mismatch"
	}
	return ""
}

func checkBatch(b *Batch) error {
	if n := len(b.Records); n == 0 || n > MaxBatchRecords {
		return fmt.Errorf("%w: %d records, want 1 to %d", ErrRefused, n, MaxBatchRecords)
	}
	total := 0
	for i, r := range b.Records {
		if len(r) > MaxRecordBytes {
			return fmt.Errorf("%w: record %d has %d bytes, at most %d", ErrRefused, i, len(r), MaxRecordBytes)
		}
		if total += len(r); total > MaxBatchBytes {
			return fmt.Errorf("%w: more than %d bytes in %d records", ErrRefused, MaxBatchBytes, len(b.Records))
		}
	}
	return nil
}

// encoder turns records into a payload and keeps its buffers.
type encoder struct {
	zstd  *zstd.Encoder
	raw   []byte
	frame []byte
}

func newEncoder() (*encoder, error) {
	// No checksum and one goroutine: the frame has a CRC, and one batch is
	// encoded at a time. The window bounds the encoder's memory, not the batch.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
	return &encoder{zstd: z}, err
}

// payload returns a frame without header or padding, valid until the next call,
// and the parts of the header that follow from the records.
func (e *encoder) payload(records [][]byte) ([]byte, header) {
	e.raw = e.raw[:0]
	for _, r := range records {
		e.raw = binary.AppendUvarint(e.raw, uint64(len(r)))
		e.raw = append(e.raw, r...)
	}
	h := header{count: uint32(len(records)), raw: uint32(len(e.raw))}
	if cap(e.frame) < frameHeaderLen {
		e.frame = make([]byte, frameHeaderLen)
	}
	frame := e.frame[:frameHeaderLen]
	if len(records) >= compressFrom {
		frame = e.zstd.EncodeAll(e.raw, frame)
		h.flags = codecZstd
	}
	if h.flags == codecRaw || len(frame)-frameHeaderLen >= len(e.raw) {
		frame = append(frame[:frameHeaderLen], e.raw...)
		h.flags = codecRaw
	}
	h.stored = uint32(len(frame) - frameHeaderLen)
	e.frame = frame
	return frame, h
}

// decoder is shared: DecodeAll may be called by many goroutines at once. Its
// output is bounded by the capacity it is given, so by the header's own figure.
var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(maxPayload))
	if err != nil {
		panic(err) // cannot happen: the options are constants
	}
	return d
})

// decode returns the records of a checked frame, in memory of their own.
func decode(h *header, stored []byte) (records [][]byte, reason string) {
	raw := make([]byte, 0, h.raw)
	if h.flags&codecMask == codecZstd {
		var err error
		if raw, err = decoder().DecodeAll(stored, raw); err != nil {
			return nil, "decompress: " + err.Error()
		}
	} else {
		raw = append(raw, stored...)
	}
	if len(raw) != int(h.raw) {
		return nil, fmt.Sprintf("payload has %d bytes, the header says %d", len(raw), h.raw)
	}
	if int(h.count) > len(raw) { // each record takes a byte at least
		return nil, fmt.Sprintf("%d records in %d bytes", h.count, len(raw))
	}
	records = make([][]byte, h.count)
	for i := range records {
		n, w := binary.Uvarint(raw)
		if w <= 0 || n > MaxRecordBytes || n > uint64(len(raw)-w) {
			return nil, fmt.Sprintf("record %d of %d runs past its frame", i, h.count)
		}
		end := w + int(n)
		records[i] = raw[w:end:end]
		raw = raw[end:]
	}
	if len(raw) != 0 {
		return nil, fmt.Sprintf("%d bytes after the last record", len(raw))
	}
	return records, ""
}
