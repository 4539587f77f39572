package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// A checkpoint that does not fit one transaction goes through these steps, each
// of one or more transactions; a crash after any of them is harmless:
//
//	stage       its puts are written as parts into a space of their own
//	mark        one transaction writes the marker; from here on it counts
//	apply       the puts are copied to their places, as often as it takes
//	checkpoint  one transaction writes the checkpoint and deletes the marker
//	clean       the parts are deleted
//
// Open discards parts without a marker and goes on from "apply" with one.

func (s *Store) commitStaged(m *marker, puts []Put) error {
	next := 0
	for next < len(puts) {
		err := s.write(kindStage, nil, func(t *transaction) error {
			for room := s.Room(); next < len(puts); m.parts++ {
				part, n := encodePart(puts[next:])
				if room -= entrySize(4, len(part)); room < 0 {
					break
				}
				if err := t.set(spaceStaged, partKey(m.parts), part); err != nil {
					return err
				}
				next += n
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := s.write(kindMark, nil, func(t *transaction) error { return t.set(spaceMarker, nil, m.encode()) }); err != nil {
		return err
	}
	return s.applyStaged(m, puts)
}

// encodePart takes puts up to some 64 KiB, at least one. With the largest put
// on top it is still below the size that Badger keeps inline.
func encodePart(puts []Put) (part []byte, n int) {
	for n < len(puts) && len(part) < MaxValue {
		part = appendPut(part, &puts[n])
		n++
	}
	return part, n
}

func partKey(i uint32) []byte { return binary.BigEndian.AppendUint32(nil, i) }

// applyStaged does all that follows the marker.
func (s *Store) applyStaged(m *marker, puts []Put) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	for len(puts) > 0 {
		n := 0
		for room := s.Room(); n < len(puts); n++ {
			if room -= puts[n].Size(); room < 0 {
				break
			}
		}
		if err := s.write(kindApply, nil, func(t *transaction) error { return t.putAll(puts[:n]) }); err != nil {
			return err
		}
		puts = puts[n:]
	}
	if err := s.write(kindCheckpoint, &m.header, func(t *transaction) error { return t.delete(spaceMarker, nil) }); err != nil {
		return err
	}
	parts := make([]uint32, m.parts)
	for i := range parts {
		parts[i] = uint32(i)
	}
	return s.cleanParts(parts)
}

func (s *Store) cleanParts(parts []uint32) error {
	for len(parts) > 0 {
		n := min(len(parts), s.Room()/entryFloor)
		err := s.write(kindClean, nil, func(t *transaction) error {
			for _, i := range parts[:n] {
				if err := t.delete(spaceStaged, partKey(i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		parts = parts[n:]
	}
	return nil
}

// finishStaged ends, at Open, what a crash interrupted.
func (s *Store) finishStaged() error {
	var parts []uint32
	var puts []Put
	var digest uint64
	value, err := s.get(spaceMarker, nil)
	marked := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	err = s.scan(spaceStaged, nil, func(key, part []byte, _ uint64) error {
		if len(key) != 4 {
			return &CorruptError{Space: spaceStaged, Key: bytes.Clone(key), What: "key of a staged part is not a number"}
		}
		parts = append(parts, binary.BigEndian.Uint32(key))
		if !marked {
			return nil
		}
		var err error
		if puts, err = decodePuts(puts, bytes.Clone(part)); err != nil {
			return &CorruptError{Space: spaceStaged, Key: bytes.Clone(key), What: err.Error()}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !marked {
		if len(parts) > 0 {
			s.o.Logger.Info("discarded a checkpoint that was not complete", "parts", len(parts))
		}
		return s.cleanParts(parts)
	}
	var m marker
	if err := m.decode(value); err != nil {
		return &CorruptError{Space: spaceMarker, What: err.Error()}
	}
	for i := range puts {
		digest += change(&puts[i])
	}
	if int(m.parts) != len(parts) || int(m.puts) != len(puts) || m.digest != digest {
		return &CorruptError{What: fmt.Sprintf("the staged checkpoint at position %d has %d parts and %d puts with digest %016x, its marker says %d, %d and %016x",
			m.header.position, len(parts), len(puts), digest, m.parts, m.puts, m.digest)}
	}
	if m.header.position < s.last.position {
		return &CorruptError{What: fmt.Sprintf("a staged checkpoint at position %d after one at %d", m.header.position, s.last.position)}
	}
	s.o.Logger.Info("completing a checkpoint that was interrupted", "position", m.header.position, "puts", len(puts))
	if err := s.applyStaged(&m, puts); err != nil {
		return err
	}
	s.last = m.header
	return nil
}
