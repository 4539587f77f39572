package engine_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
)

// TestRestart measures how long a cell with SLUICE_TEST_STATE_MB of stored entities
// takes from its start after kill -9 to its first answer. The state in the
// directory of SLUICE_TEST_DIR is used again when it is there. SLUICE_TEST_PROFILE is a file for
// the CPU profile of what comes before the first answer.
func TestRestart(t *testing.T) {
	size, err := strconv.Atoi(cmp.Or(os.Getenv("SLUICE_TEST_STATE_MB"), "0"))
	if err != nil {
		t.Fatal(err)
	}
	if size == 0 {
		t.Skip("SLUICE_TEST_STATE_MB is not set")
	}
	dir := cmp.Or(os.Getenv("SLUICE_TEST_DIR"), filepath.Join(t.TempDir(), "data"))
	if _, err := os.Stat(filepath.Join(dir, "state")); err != nil {
		began := time.Now()
		killed(t, "grow", "serving", dir, strconv.Itoa(size))
		t.Logf("made in %.0f s", time.Since(began).Seconds())
	}
	t.Logf("state %.0f MB on disk, journal %.0f MB", diskMB(filepath.Join(dir, "state")), diskMB(filepath.Join(dir, "journal")))
	for range 2 {
		began := time.Now()
		line, used := killed(t, "serve", "serving", dir)
		t.Logf("%s; to the first answer %.2f s, then killed; %.0f MB resident", line, time.Since(began).Seconds()-fed.Seconds(), float64(used.Maxrss)/1e3)
	}
}

// fed is for how long a child takes events before it is killed.
const fed = 3 * time.Second

// killed runs a child until it prints a line that begins so, and kills it.
func killed(t *testing.T, mode, until string, args ...string) (string, *syscall.Rusage) {
	t.Helper()
	cmd, lines := launch(t, mode, args...)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), until) {
		t.Log(lines.Text())
	}
	line := lines.Text()
	if cmd.Process.Kill(); cmd.Wait() == nil || line == "" {
		t.Fatalf("the child %s ended by itself: %s", mode, line)
	}
	return line, cmd.ProcessState.SysUsage().(*syscall.Rusage)
}

func diskMB(dir string) float64 {
	var n int64
	must(filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil { // else the compaction of a store has removed it
			n += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	}))
	return float64(n) / 1e6
}

func restartOptions() engine.Options {
	o := options()
	o.CheckpointEvents, o.CheckpointEvery = 10_000, time.Second
	o.Journal.SegmentBytes, o.Store.MemTable = 0, 0
	o.StateMemory = 512 << 20
	o.Now = func() time.Time { return clock().AddDate(0, 1, 0) } // behind all events
	o.Log = slog.New(slog.NewTextHandler(os.Stdout, nil))
	return o
}

// childGrow makes a cell of some cards, devices … and multiplies what the store has
// of them, under other ids, up to a size. Then it serves.
func childGrow(dir string, size string) {
	mb, err := strconv.Atoi(size)
	must(err)
	b, err := buildForty()
	must(err)
	c, err := engine.Open(dir, restartOptions())
	must(err)
	stop, ran := make(chan struct{}), make(chan error, 1)
	go func() { ran <- c.Run(untilClosed(stop)) }()
	must(c.Begin(background, b, "test"))
	crowd := crowdFrom(1)
	for range 20 {
		feedCell(c, crowd.some(10_000), func(format string, args ...any) { must(fmt.Errorf(format, args...)) })
	}
	close(stop)
	must(<-ran)
	must(c.Close())
	multiply(filepath.Join(dir, "state"), mb<<20)
	childServe(dir)
}

// crowdFrom goes on with the nth event.
func crowdFrom(n int) *crowd {
	c := newCrowd()
	c.n, c.at = n+2, risk.At(clock())+risk.Time(n)*crowdStep
	return c
}

func (c *crowd) some(n int) (events [][]byte) {
	for range n {
		events = append(events, c.next(false))
	}
	return events
}

// multiply adds copies of the entities that are one row until their keys and values
// are so many bytes.
func multiply(dir string, size int) {
	s, err := store.Open(dir, store.Options{Logger: slog.New(slog.DiscardHandler)})
	must(err)
	var rows []store.Put
	total := 0
	must(s.Scan(store.Entities, nil, func(key, value []byte, _ uint64) error {
		total += len(key) + len(value)
		if n := len(rows); n > 0 && string(rows[n-1].Key[:16]) == string(key[:16]) {
			rows = rows[:n-1]
		}
		if len(key) == 17 {
			rows = append(rows, store.Put{Space: store.Entities, Key: append([]byte(nil), key...), Value: append([]byte(nil), value...)})
		}
		return nil
	}))
	r := rand.New(rand.NewPCG(7, 7))
	each := total / len(rows)
	copies, apart := 0, math.MaxUint64/uint64(size/each+1) // in order, so that the store has little to sort
	for total < size {
		c := store.Checkpoint{}
		for bytes := 0; bytes < s.Room()*3/4 && total < size; copies++ {
			row := rows[copies%len(rows)]
			id := binary.BigEndian.AppendUint64(nil, uint64(copies)*apart)
			row.Key = append(binary.BigEndian.AppendUint64(id, r.Uint64()), 0)
			c.Puts = append(c.Puts, row)
			bytes += row.Size()
			total += len(row.Key) + len(row.Value)
		}
		must(s.Amend(c.Puts))
	}
	fmt.Printf("%d rows copied to %d more, %d bytes each\n", len(rows), copies, total/(len(rows)+copies))
	must(s.Close())
}

// childServe opens a cell, answers an event and takes more.
func childServe(dir string) {
	began, spent := time.Now(), cpu()
	done := profile()
	c, err := engine.Open(dir, restartOptions())
	must(err)
	go func() { must(c.Run(background)) }()
	crowd := crowdFrom(int(c.Status().End))
	answer := func(n int) {
		feedCell(c, crowd.some(n), func(format string, args ...any) { must(fmt.Errorf(format, args...)) })
	}
	answer(1)
	done()
	took := fmt.Sprintf("serving after %.2f s, %.2f s of CPU", time.Since(began).Seconds(), (cpu() - spent).Seconds())
	for until := time.Now().Add(fed); time.Now().Before(until); {
		answer(1000)
	}
	fmt.Println(took)
	select {}
}

// profile writes the CPU profile of what comes until the function it gives is called.
func profile() func() {
	path := os.Getenv("SLUICE_TEST_PROFILE")
	if path == "" {
		return func() {}
	}
	f, err := os.Create(path)
	must(err)
	must(pprof.StartCPUProfile(f))
	return func() { pprof.StopCPUProfile(); must(f.Close()) }
}
