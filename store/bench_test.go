package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"
)

// cpu is the time of all cores that this process has used, Badger's flushes
// and compactions included.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// text is about as compressible as a decision body.
func text(random *rand.Rand, n int) []byte {
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, `{"id":"dec_%016x","rule":"velocity_card_10m","score":%.6f,"action":"review"},`, random.Uint64(), random.Float64())
	}
	return b[:n]
}

// What 10,000 events leave: a body of 1.2 KB and an index row of 150 B each, and
// five entity rows of 200 B, of 200,000 entities and none twice. The CPU time is
// that of everything until the store is closed, making the puts included.
func BenchmarkCommit(b *testing.B) {
	const events, entities = 10_000, 200_000
	for _, staged := range []bool{false, true} {
		b.Run(fmt.Sprintf("staged=%v", staged), func(b *testing.B) {
			b.ReportAllocs()
			random := rand.New(rand.NewPCG(1, 2))
			s := open(b, b.TempDir(), Options{Logger: quiet})
			sums := make([]uint64, entities)
			noise := text(random, 4<<20)
			some := func(n int) []byte { at := random.IntN(len(noise) - n); return noise[at : at+n : at+n] }
			var event uint64
			var longest time.Duration
			commits := 0
			c := &Checkpoint{State: make([]byte, 2000)}
			size := len(c.State)
			cut := func() {
				c.Position = event
				start := time.Now()
				commit(b, s, c)
				longest = max(longest, time.Since(start))
				commits++
				c = &Checkpoint{State: c.State, Puts: c.Puts[:0]}
				size = len(c.State)
			}
			add := func(space Space, key, value []byte, replaces uint64) {
				p := Put{space, key, value, replaces}
				if size+p.Size() > s.Room() && !staged {
					cut()
				}
				size += p.Size()
				c.Puts = append(c.Puts, p)
			}
			before := cpu()
			for b.Loop() {
				first := random.IntN(entities)
				for i := range events {
					event++
					add(Decisions, binary.BigEndian.AppendUint64(nil, event), some(1200), 0)
					add(Events, binary.BigEndian.AppendUint64([]byte("tenant-1/"), random.Uint64()), some(150), 0)
					for j := range 5 {
						e := (first + (i*5+j)*3) % entities
						key := binary.BigEndian.AppendUint64([]byte("card/0123"), uint64(e)*0x9e3779b97f4a7c15)
						value := some(200)
						add(Entities, key, value, sums[e])
						sums[e] = Sum(Entities, key, value)
					}
				}
				cut()
			}
			b.StopTimer()
			elapsed := b.Elapsed()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			n := float64(b.N) * events
			b.ReportMetric(float64((cpu()-before).Microseconds())/n, "cpu-us/event")
			b.ReportMetric(float64(elapsed.Microseconds())/n, "us/event")
			b.ReportMetric(float64(commits)/float64(b.N), "commits/op")
			b.ReportMetric(float64(longest.Milliseconds()), "longest-ms")
		})
	}
}

// BenchmarkFortyRows is the floor below engine's BenchmarkFortyCold: what Badger alone
// takes, with this package's options, for the six rows of an event. It has a million
// of 120 B, and each is read and written again, 3,000 reads at a time in the order of
// the keys, 60,000 writes in one transaction.
func BenchmarkFortyRows(b *testing.B) {
	const rows, reads, writes = 960_000, 3_000, 60_000
	db, err := openBadger(badgerOptions(b.TempDir(), defaultMemTable, quiet))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	random := rand.New(rand.NewPCG(1, 2))
	keys := make([][18]byte, rows)
	for i := range keys {
		binary.BigEndian.PutUint64(keys[i][1:], random.Uint64())
		binary.BigEndian.PutUint64(keys[i][9:], random.Uint64())
	}
	write := func(keys [][18]byte) {
		txn := db.NewTransaction(true)
		for i := range keys {
			value := make([]byte, 120)
			copy(value, keys[i][:])
			if err := txn.Set(keys[i][:], value); err != nil {
				b.Fatal(err)
			}
		}
		if err := txn.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	read := func(keys [][18]byte) {
		some := slices.Clone(keys)
		slices.SortFunc(some, func(a, b [18]byte) int { return bytes.Compare(a[:], b[:]) })
		txn := db.NewTransaction(false)
		defer txn.Discard()
		for i := range some {
			item, err := txn.Get(some[i][:])
			if err == nil {
				err = item.Value(func([]byte) error { return nil })
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	for range 2 {
		for part := range slices.Chunk(keys, writes) {
			write(part)
		}
	}
	var reading time.Duration
	began := cpu()
	for b.Loop() {
		for part := range slices.Chunk(keys, writes) {
			from := cpu()
			for some := range slices.Chunk(part, reads) {
				read(some)
			}
			reading += cpu() - from
			write(part)
		}
	}
	events := float64(b.N) * rows / 6
	b.ReportMetric(float64((cpu()-began).Nanoseconds())/events/1e3, "cpu-us/event")
	b.ReportMetric(float64(reading.Nanoseconds())/events/1e3, "reads-us/event")
	b.ReportMetric(0, "ns/op")
}

// Opening verifies every table; a full Scan of Entities verifies the state.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, Options{Logger: quiet})
	random := rand.New(rand.NewPCG(1, 2))
	noise := text(random, 4<<20)
	const rows = 600_000
	for n := uint64(0); n < rows; {
		c := &Checkpoint{Position: n}
		for range 30_000 {
			n++
			at := random.IntN(len(noise) - 300)
			c.Puts = append(c.Puts, Put{Entities, binary.BigEndian.AppendUint64(nil, n*0x9e3779b97f4a7c15), noise[at : at+300], 0})
		}
		commit(b, s, c)
	}
	s.Close()
	var opening, scanning time.Duration
	for b.Loop() {
		start := time.Now()
		s = open(b, dir, Options{Logger: quiet})
		opening += time.Since(start)
		start = time.Now()
		if err := s.VerifyState(); err != nil {
			b.Fatal(err)
		}
		scanning += time.Since(start)
		s.Close()
	}
	const mib = rows * 308.0 / (1 << 20)
	b.ReportMetric(mib*float64(b.N)/opening.Seconds(), "open-MiB/s")
	b.ReportMetric(mib*float64(b.N)/scanning.Seconds(), "scan-MiB/s")
}

func BenchmarkSum(b *testing.B) {
	key, value := make([]byte, 17), make([]byte, 200)
	for b.Loop() {
		Sum(Entities, key, value)
	}
}
