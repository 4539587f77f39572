package engine_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/replay"
	"github.com/sluice-risk/sluice/risk"
	"github.com/sluice-risk/sluice/store"
	"github.com/sluice-risk/sluice/store/journal"
)

// Tests that need a process to die run this binary again as a child.
const childVariable = "SLUICE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "fill":
		childFill(os.Args[1])
	case "grow":
		childGrow(os.Args[1], os.Args[2])
	case "serve":
		childServe(os.Args[1])
	case "judge":
		childJudge(os.Args[1])
	case "backfill":
		childBackfill(os.Args[1:])
	}
}

func child(mode string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), childVariable+"="+mode)
	return cmd
}

// torture is a number of rounds: few with every change, many on demand.
func torture(few, many int) int {
	switch {
	case os.Getenv("SLUICE_TORTURE") != "":
		return many
	case raced:
		return (few + 7) / 8
	}
	return few
}

// seeded gives the test's random source and prints how to have it again.
func seeded(t *testing.T, normal uint64) *rand.Rand {
	if s := os.Getenv("SLUICE_TEST_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		normal = n
	}
	t.Logf("SLUICE_TEST_SEED=%d", normal)
	return rand.New(rand.NewPCG(normal, 1))
}

// The events of a directory that is damaged: the first ones are in it, the fresh
// ones are judged by what it holds.
const filled, fresh = 1100, 60

// So many of them come when the checkpoints before are stored.
const behind = 48

// smallOptions make many small files of few events, and leave the last batches
// behind the last checkpoint.
func smallOptions() engine.Options {
	o := options()
	o.BatchEvents, o.CheckpointEvents, o.CheckpointEvery = 24, 200, time.Hour
	o.StateMemory = 64 << 10
	o.Journal = journal.Options{SegmentBytes: 128 << 10, Logger: o.Log}
	o.Store = store.Options{MemTable: 1 << 20, Logger: o.Log}
	return o
}

// settle waits until no checkpoint is on its way.
func settle(c *engine.Cell) {
	for !c.Settled() {
		time.Sleep(time.Millisecond)
	}
}

// childFill makes the directory, tells its acknowledgements, and waits for its end.
// It closes and opens on the way, since that turns logs of the state into tables.
func childFill(dir string) {
	events := world(31, filled)
	fail := func(format string, args ...any) { must(fmt.Errorf(format, args...)) }
	for i := 0; ; {
		c, err := engine.Open(dir, smallOptions())
		must(err)
		stop, ran := make(chan struct{}), make(chan error, 1)
		go func() { ran <- c.Run(untilClosed(stop)) }()
		must(c.Begin(background, release(), "test"))
		feed := func(n int) {
			for k, r := range feedCell(c, events[i:i+n], fail) {
				fmt.Printf("acknowledged %d %d %x\n", i+k, r.Position, sha256.Sum256(r.Body))
			}
			i += n
		}
		if feed(min(filled/3, filled-behind-i)); i == filled-behind {
			settle(c) // or a checkpoint that is still owed would reach the end
			feed(behind)
			s := c.Status()
			fmt.Printf("full %d %d\n", s.Stored, s.End)
			select {}
		}
		close(stop)
		must(<-ran)
		must(c.Close())
	}
}

// acknowledgement is what the outside knows of an event.
type acknowledgement struct {
	position journal.Position
	sum      string
}

// killedDir gives the directory of a server that was killed, what it had
// acknowledged, and how far its last checkpoint reaches: not to the end. Where a
// checkpoint falls is a matter of time.
func killedDir(t *testing.T) (dir string, acks []acknowledgement, stored, end journal.Position) {
	t.Helper()
	for range 10 {
		if dir, acks, stored, end = tryKilledDir(t); len(acks) != filled || stored == 0 {
			t.Fatalf("%d acknowledged, %d of %d positions stored: nothing to test", len(acks), stored, end)
		} else if end-stored >= 24 {
			return dir, acks, stored, end
		}
	}
	t.Fatal("every checkpoint reaches the end")
	panic("unreachable")
}

// launch starts a child, and gives what it prints.
func launch(t *testing.T, mode string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := child(mode, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func tryKilledDir(t *testing.T) (dir string, acks []acknowledgement, stored, end journal.Position) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	cmd, lines := launch(t, "fill", dir)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for lines.Scan() {
		var i int
		var a acknowledgement
		if n, _ := fmt.Sscanf(lines.Text(), "acknowledged %d %d %s", &i, &a.position, &a.sum); n == 3 {
			acks = append(acks, a)
		} else if n, _ := fmt.Sscanf(lines.Text(), "full %d %d", &stored, &end); n == 2 {
			return dir, acks, stored, end
		} else {
			t.Fatal(lines.Text())
		}
	}
	t.Fatal("the process that fills the directory died")
	panic("unreachable")
}

// judgement is what a child made of a directory.
type judgement struct {
	verdict string // refused, detected, same, lost, wrong, died
	detail  string
}

// judge opens directories in a child and compares all they say with what was
// acknowledged. A child that dies is replaced.
type judge struct {
	t      *testing.T
	oracle string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	talk   bytes.Buffer
}

func newJudge(t *testing.T, acks []acknowledgement) *judge {
	j := &judge{t: t, oracle: filepath.Join(t.TempDir(), "oracle")}
	var text bytes.Buffer
	for _, a := range acks {
		fmt.Fprintf(&text, "%d %s\n", a.position, a.sum)
	}
	if err := os.WriteFile(j.oracle, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.end)
	return j
}

func (j *judge) end() {
	if j.cmd != nil {
		j.in.Close()
		j.cmd.Process.Kill()
		j.cmd.Wait()
		j.cmd = nil
	}
}

func (j *judge) of(dir string) judgement {
	j.t.Helper()
	if j.cmd == nil {
		j.talk.Reset()
		j.cmd = child("judge", j.oracle)
		j.cmd.Stderr = &j.talk
		in, err := j.cmd.StdinPipe()
		out, err2 := j.cmd.StdoutPipe()
		if err := errors.Join(err, err2, j.cmd.Start()); err != nil {
			j.t.Fatal(err)
		}
		j.in, j.out = in, bufio.NewReader(out)
	}
	if _, err := fmt.Fprintln(j.in, dir); err != nil {
		j.t.Fatal(err)
	}
	watch := time.AfterFunc(time.Minute, func() { j.cmd.Process.Kill() })
	line, err := j.out.ReadString('\n')
	watch.Stop()
	if err != nil {
		j.cmd.Wait()
		j.cmd = nil
		return judgement{"died", j.talk.String()}
	}
	verdict, detail, _ := strings.Cut(strings.TrimSpace(line), " ")
	return judgement{verdict, detail}
}

func childJudge(oracle string) {
	text, err := os.ReadFile(oracle)
	must(err)
	var acks []acknowledgement
	for line := range strings.Lines(string(text)) {
		var a acknowledgement
		_, err := fmt.Sscanf(line, "%d %s\n", &a.position, &a.sum)
		must(err)
		acks = append(acks, a)
	}
	events := world(31, filled+fresh)
	want, _ := undisturbed(events)
	for dirs := bufio.NewScanner(os.Stdin); dirs.Scan(); {
		verdict, detail := judged(dirs.Text(), acks, events, want)
		fmt.Println(verdict, strings.ReplaceAll(detail, "\n", "; "))
	}
}

// undisturbed decides events in memory, as arrived at the test's clock.
func undisturbed(events [][]byte) ([]byte, replay.Summary) {
	var lines, out bytes.Buffer
	for _, e := range events {
		lines.WriteString(`{"arrival":"` + clock().Format(time.RFC3339) + `",`)
		lines.Write(append(e[1:], '\n'))
	}
	sum, err := replay.New(replay.Options{Bundle: release(), Tables: tables(), Decoder: decoder(), Tenant: "default", Decisions: &out}).
		Events(background, &lines)
	must(err)
	return out.Bytes(), sum
}

// judged opens a directory. Everything acknowledged must be found, and be the
// answer when it is sent again; what is sent anew must be decided as it would
// have been; and the journal must replay to all of this.
func judged(dir string, acks []acknowledgement, events [][]byte, want []byte) (verdict, detail string) {
	c, err := engine.Open(dir, smallOptions())
	if err != nil {
		return "refused", err.Error()
	}
	defer c.Close()
	found := c.Status().End
	lost := 0
	for i, a := range acks {
		r, err := c.Find(risk.KeyOf("default", idOf(events[i])))
		switch {
		case errors.Is(err, engine.ErrNotFound) && a.position > found:
			lost++
		case errors.Is(err, engine.ErrNotFound) && a.sum == noBody:
		case errors.Is(err, engine.ErrNotFound):
			return "wrong", fmt.Sprintf("the decision at position %d is gone, the journal ends at %d", a.position, found)
		case err != nil:
			return "detected", err.Error()
		case r.Position != a.position || fmt.Sprintf("%x", sha256.Sum256(r.Body)) != a.sum:
			return "wrong", fmt.Sprintf("the decision at position %d is %s at %d", a.position, r.Body, r.Position)
		}
	}
	ran, stop, done := make(chan error, 1), make(chan struct{}), make(chan struct{})
	go func() { defer close(done); ran <- c.Run(untilClosed(stop)) }()
	var failed error
	results := feedCell(c, events, func(format string, args ...any) { failed = fmt.Errorf(format, args...) })
	close(stop)
	<-done
	if err := errors.Join(<-ran, failed); err != nil {
		return "detected", err.Error()
	}
	for i, a := range acks {
		r := results[i]
		if fmt.Sprintf("%x", sha256.Sum256(r.Body)) != a.sum || (r.Verdict == engine.Duplicate) != (a.position <= found) || r.Body != nil && r.Position != a.position {
			return "wrong", fmt.Sprintf("event of position %d again = %s at %d: %s", a.position, r.Verdict, r.Position, r.Body)
		}
	}
	var all bytes.Buffer
	for _, r := range results {
		if r.Body != nil {
			all.Write(append(r.Body, '\n'))
		}
	}
	if !bytes.Equal(all.Bytes(), want) {
		return "wrong", "fresh events are decided otherwise than in a run without damage"
	}
	if err := c.Close(); err != nil {
		return "detected", err.Error()
	}
	if err := replaysTo(dir, want); err != nil {
		if strings.HasPrefix(err.Error(), "wrong") {
			return "wrong", err.Error()
		}
		return "detected", "replay: " + err.Error()
	}
	if lost > 0 {
		return "lost", fmt.Sprint(lost, " of the last acknowledgements, behind position ", found)
	}
	return "same", ""
}

var noBody = fmt.Sprintf("%x", sha256.Sum256(nil))

func replaysTo(dir string, want []byte) error {
	log, err := journal.OpenReadOnly(filepath.Join(dir, "journal"))
	if err != nil {
		return err
	}
	defer log.Close()
	var out bytes.Buffer
	_, err = replay.New(replay.Options{Tables: tables(), Decoder: decoder(), Blobs: engine.Blobs(filepath.Join(dir, "blobs")), Decisions: &out}).
		Journal(background, log)
	if err == nil && !bytes.Equal(out.Bytes(), want) {
		return errors.New("wrong: the journal replays to other decisions, without an error")
	}
	return err
}

// copyTree copies a directory and leaves holes holes.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	for {
		to := filepath.Join(t.TempDir(), "data")
		err := copyOnce(from, to)
		if err == nil {
			return to
		}
		if !errors.Is(err, fs.ErrNotExist) { // else the store has just turned a log into a table: look again
			t.Fatal(err)
		}
	}
}

func copyOnce(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(to, rel))
		if err != nil {
			return err
		}
		err = f.Truncate(int64(len(data)))
		const block = 4096
		var zero [block]byte
		for off := 0; off < len(data) && err == nil; off += block {
			if b := data[off:min(off+block, len(data))]; !bytes.Equal(b, zero[:len(b)]) {
				_, err = f.WriteAt(b, int64(off))
			}
		}
		return errors.Join(err, f.Close())
	})
}
