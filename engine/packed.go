package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// Decisions are stored many to a block, compressed: they are written once, read
// by id now and then, and far larger than all else a checkpoint holds. A block is
// named by the position of its first decision; each row names its block.

const (
	blockBytes = 128 << 10 // of bodies before compression
	packing    = 4         // how much smaller compression makes them at least, usually 6
	valueBytes = 60_000    // a longer value is cut into parts
)

// blocks collects the decisions of one checkpoint.
type blocks struct{ list []block }

type block struct {
	first journal.Position
	plain []byte // position, length and bytes of each body
}

// add puts a body into the current block and gives its name. The body is copied.
func (b *blocks) add(position journal.Position, body []byte) journal.Position {
	if n := len(b.list); n == 0 || len(b.list[n-1].plain) >= blockBytes {
		b.list = append(b.list, block{first: position, plain: make([]byte, 0, blockBytes+blockBytes/8)})
	}
	last := &b.list[len(b.list)-1]
	last.plain = binary.AppendUvarint(last.plain, uint64(position))
	last.plain = binary.AppendUvarint(last.plain, uint64(len(body)))
	last.plain = append(last.plain, body...)
	return last.first
}

var packer = sync.OnceValue(func() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // options only
	}
	return e
})

var unpacker = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20))
	if err != nil {
		panic(err)
	}
	return d
})

// puts packs the blocks.
func (b *blocks) puts() (puts []store.Put) {
	for _, blk := range b.list {
		packed := packer().EncodeAll(blk.plain, nil)
		for part := 0; len(packed) > 0; part++ {
			n := min(len(packed), valueBytes)
			puts = append(puts, store.Put{Space: store.Decisions, Key: blockKey(blk.first, part), Value: packed[:n]})
			packed = packed[n:]
		}
	}
	return puts
}

// blockKey has 9 bytes, so that no event's key (15, and 16 with a fallback) can
// be one.
func blockKey(first journal.Position, part int) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(first)), byte(part))
}

func answerKey(key risk.EventKey) []byte { return append(key[:], 'a') }

// storedBody reads the decision at a position out of its block.
func (c *Cell) storedBody(name, position journal.Position) ([]byte, error) {
	var packed []byte
	for part := 0; ; part++ {
		value, err := c.store.Get(store.Decisions, blockKey(name, part))
		if errors.Is(err, store.ErrNotFound) && part > 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		packed = append(packed, value...)
		if len(value) < valueBytes {
			break
		}
	}
	plain, err := unpacker().DecodeAll(packed, nil)
	for err == nil && len(plain) > 0 {
		at, n := binary.Uvarint(plain)
		if n <= 0 {
			break
		}
		size, m := binary.Uvarint(plain[n:])
		if m <= 0 || size > uint64(len(plain)-n-m) {
			break
		}
		body := plain[n+m : n+m+int(size)]
		if journal.Position(at) == position {
			return body, nil
		}
		plain = plain[n+m+int(size):]
	}
	return nil, fmt.Errorf("engine: block %d does not hold the decision at position %d", name, position)
}

// expiry collects, by the day of its youngest event, what a checkpoint stores, so
// that it can be removed when that day is past its retention.
type expiry struct {
	youngest risk.Time
	rows     []byte // event keys
	blocks   []byte // names
	last     journal.Position
}

func (e *expiry) add(m *memory) {
	e.youngest = max(e.youngest, m.newest())
	e.rows = append(e.rows, m.key[:]...)
	if m.block != 0 && m.block != e.last {
		e.last = m.block
		e.blocks = binary.BigEndian.AppendUint64(e.blocks, uint64(m.block))
	}
}

const day = risk.Time(24 * time.Hour / time.Millisecond)

// puts writes the lists: key is day, checkpoint position, kind and part.
func (e *expiry) puts(position uint64) (puts []store.Put) {
	write := func(kind byte, list []byte, size int) {
		most := valueBytes / size * size
		for part := 0; len(list) > 0; part++ {
			n := min(len(list), most)
			key := append(expiryDay(e.youngest), binary.BigEndian.AppendUint64(nil, position)...)
			puts = append(puts, store.Put{Space: store.Expiry, Key: append(key, kind, byte(part)), Value: list[:n]})
			list = list[n:]
		}
	}
	write('r', e.rows, len(risk.EventKey{}))
	write('b', e.blocks, 8)
	return puts
}

func expiryDay(at risk.Time) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(max(at/day, 0)))
}

// errEnough ends a scan early.
var errEnough = errors.New("enough")

// expired gives the removals of one list of rows or blocks that are past their
// retention by event time: a list a checkpoint, so that none grows large.
func (c *Cell) expired(watermark risk.Time) (gone []store.Put, err error) {
	b := c.bundle.Load()
	if b == nil {
		return nil, nil
	}
	limits := b.Rules.Features.Limits()
	edge := watermark.Add(-max(c.opts.RetainDecisions, limits.Dedup, limits.LabelHorizon))
	var key, list []byte
	err = c.store.Scan(store.Expiry, nil, func(k, v []byte, _ uint64) error {
		if string(k[:4]) < string(expiryDay(edge)) {
			key, list = append(key, k...), append(list, v...)
		}
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) || key == nil {
		return nil, ignore(err, errEnough)
	}
	gone = append(gone, store.Put{Space: store.Expiry, Key: key})
	if key[12] == 'b' {
		for ; len(list) >= 8; list = list[8:] {
			name := journal.Position(binary.BigEndian.Uint64(list))
			for part := 0; part == 0 || c.has(store.Decisions, blockKey(name, part)); part++ {
				gone = append(gone, store.Put{Space: store.Decisions, Key: blockKey(name, part)})
			}
		}
		return gone, nil
	}
	for ; len(list) >= len(risk.EventKey{}); list = list[len(risk.EventKey{}):] {
		event := risk.EventKey(list[:len(risk.EventKey{})])
		r, err := c.stored(event)
		if err != nil {
			return nil, err
		}
		if r != nil && r.newest() < edge { // else the id came again as another event
			gone = append(gone, store.Put{Space: store.Events, Key: append([]byte(nil), event[:]...)})
		}
		if c.has(store.Decisions, answerKey(event)) {
			gone = append(gone, store.Put{Space: store.Decisions, Key: answerKey(event)})
		}
	}
	return gone, nil
}

func (c *Cell) has(space store.Space, key []byte) bool {
	_, err := c.store.Get(space, key)
	return err == nil
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}
