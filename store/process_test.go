package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Tests that need a process to die run this binary again as a child.
const childVariable = "SLUICE_STORE_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "":
		os.Exit(m.Run())
	case "commit":
		childCommit(os.Args[1], number64(os.Args[2]))
	case "damage":
		childDamage(os.Args[1], number64(os.Args[2]), number64(os.Args[3]), number64(os.Args[4]))
	}
}

func number64(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func child(mode string, args ...any) *exec.Cmd {
	text := make([]string, len(args))
	for i, a := range args {
		text[i] = fmt.Sprint(a)
	}
	cmd := exec.Command(os.Args[0], text...)
	cmd.Env = append(os.Environ(), childVariable+"="+mode)
	return cmd
}

// torture is the number of rounds: few with every change, many on demand.
func torture(few, many int) int {
	if os.Getenv("SLUICE_TORTURE") != "" {
		return many
	}
	return few
}

func seed(t *testing.T, normal uint64) uint64 {
	if s := os.Getenv("SLUICE_SEED"); s != "" {
		normal = number64(s)
	}
	t.Log("seed", normal)
	return normal
}

// childCommit commits one checkpoint after another and says so, until killed.
func childCommit(dir string, seed uint64) {
	o := small()
	o.CheckReplaces = false
	s, err := Open(dir, o)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	h := newHistory(seed)
	h.forget = true
	for last, _ := s.Last(); h.at < last.Position; {
		h.any()
	}
	fmt.Println("open", h.at)
	for {
		c := h.any()
		if err := s.Commit(c); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("acknowledged", c.Position)
	}
}

// After kill -9 at any moment the store opens and shows one whole checkpoint,
// not older than the last one that was acknowledged.
func TestKill(t *testing.T) {
	t.Parallel()
	n := seed(t, 11)
	random := rand.New(rand.NewPCG(n, 1))
	dir := filepath.Join(t.TempDir(), "state")
	h := newHistory(n)
	var acknowledged uint64
	killedOpening := 0
	for cycle := range torture(8, 120) {
		cmd := child("commit", dir, n)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		limit := time.Duration(random.IntN(300)) * time.Millisecond
		kill := func() { cmd.Process.Kill() }
		var timer *time.Timer
		if cycle%4 == 3 {
			timer = time.AfterFunc(time.Duration(random.IntN(40))*time.Millisecond, kill) // while opening
		}
		opened := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			what, value, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "open":
				opened = true
				if timer == nil {
					timer = time.AfterFunc(limit, kill)
				}
				if got := number64(value); got < acknowledged {
					t.Fatalf("cycle %d: opened at position %d, %d was acknowledged", cycle, got, acknowledged)
				}
			case "acknowledged":
				acknowledged = number64(value)
			default:
				t.Fatalf("cycle %d: %s", cycle, lines.Text())
			}
		}
		if timer != nil {
			timer.Stop()
		}
		cmd.Wait()
		if !opened {
			killedOpening++
		}
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		// Look at a copy: the next child is to meet what the kill left.
		s, err := Open(copyDir(t, dir), small())
		if err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		last, _ := s.Last()
		for h.at < last.Position {
			h.any()
			h.after[h.at-1] = nil // only the newest may be asked for again
			if h.at == last.Position {
				break
			}
		}
		err = h.check(s, acknowledged)
		s.Close()
		if err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
	}
	if acknowledged == 0 {
		t.Error("no checkpoint was acknowledged: nothing was tested")
	}
	t.Logf("%d checkpoints acknowledged, %d kills while opening", acknowledged, killedOpening)
}

// damage changes one file of a directory: a flipped bit, at times a cut or a
// deletion. It says what it did.
func damage(dir string, random *rand.Rand) string {
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(paths) == 0 {
		panic(err)
	}
	path := paths[random.IntN(len(paths))]
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	used := len(data)
	for used > 0 && data[used-1] == 0 {
		used--
	}
	what := "nothing"
	switch kind := random.IntN(10); {
	case kind == 0:
		what = "deleted"
		err = os.Remove(path)
	case used == 0:
	case kind == 1:
		cut := random.IntN(used)
		what = fmt.Sprint("cut at ", cut)
		err = os.Truncate(path, int64(cut))
	default:
		at, bit := random.IntN(used), random.IntN(8)
		what = fmt.Sprintf("bit %d of byte %d of %d flipped", bit, at, used)
		data[at] ^= 1 << bit
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		panic(err)
	}
	return filepath.Base(path) + " " + what
}

// damageSteps checkpoints are in the store that is damaged: some three memory
// tables of them.
const damageSteps = 45

func damageHistory(seed uint64) *history {
	h := newHistory(seed)
	for range damageSteps {
		h.any()
	}
	return h
}

// childDamage damages copies of a store with the numbers from to to and prints
// for each "begin number what" and "end number result".
func childDamage(dir string, seed, from, to uint64) {
	h := damageHistory(seed)
	for i := from; i < to; i++ {
		work, err := os.MkdirTemp(filepath.Dir(dir), "work")
		if err == nil {
			err = os.CopyFS(work, os.DirFS(dir))
		}
		if err != nil {
			panic(err)
		}
		fmt.Println("begin", i, damage(work, rand.New(rand.NewPCG(seed, i))))
		fmt.Println("end", i, judge(work, h))
		os.RemoveAll(work)
	}
}

// judge opens a damaged store and says what became of it: refused, found when
// reading, or whole; or WRONG.
func judge(dir string, h *history) string {
	s, err := Open(dir, small())
	if err != nil {
		return "refused: " + err.Error()
	}
	defer s.Close()
	last, _ := s.Last()
	err = h.check(s, 0)
	if _, ok := errors.AsType[*CorruptError](err); ok {
		return "found: " + err.Error()
	}
	if err != nil {
		return "WRONG: " + err.Error()
	}
	// It can be worked with, and keeps what it is given.
	if err := s.Scrub(); err != nil {
		return "found: " + err.Error()
	}
	if err := s.Commit(&Checkpoint{Position: last.Position, State: last.State, Digest: last.Digest}); err != nil {
		return "found: " + err.Error()
	}
	if err := s.Close(); err != nil {
		return "found: " + err.Error()
	}
	if s, err = Open(dir, small()); err != nil {
		return "refused later: " + err.Error()
	}
	defer s.Close()
	if err := h.check(s, last.Position); err != nil {
		return "WRONG later: " + err.Error()
	}
	if last.Position < h.at {
		return fmt.Sprint("older: position ", last.Position)
	}
	return "whole"
}

// Whatever happens to one file, the store never shows anything but a whole
// checkpoint: damage is refused, found, or harmless.
func TestDamage(t *testing.T) {
	t.Parallel()
	n := seed(t, 12)
	// One store that was closed and one that was killed, with its logs.
	base := t.TempDir()
	live, closed, killed := filepath.Join(base, "live"), filepath.Join(base, "closed"), filepath.Join(base, "killed")
	o := small()
	o.CheckReplaces = false
	h := newHistory(n)
	s := open(t, live, o)
	for range damageSteps {
		commit(t, s, h.any())
	}
	if err := os.Rename(copyDir(t, live), killed); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := os.Rename(live, closed); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{closed, killed} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			damageAll(t, dir, n, uint64(torture(50, 1000)))
		})
	}
}

func damageAll(t *testing.T, dir string, seed, rounds uint64) {
	results := map[string]int{}
	for next := uint64(0); next < rounds; {
		cmd := child("damage", dir, seed, next, rounds)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		var begun string
		for {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				break
			}
			line = strings.TrimSpace(line)
			if text, ok := strings.CutPrefix(line, "begin "); ok {
				begun = text
				next++
			} else if text, ok := strings.CutPrefix(line, "end "); ok {
				_, result, _ := strings.Cut(text, " ")
				kind, _, _ := strings.Cut(result, ":")
				results[kind]++
				if strings.HasPrefix(kind, "WRONG") {
					t.Errorf("%s: %s", begun, result)
				} else if kind == "older" && !strings.Contains(begun, ".mem") {
					t.Errorf("%s: shows %s, but nothing of a log was lost", begun, result)
				}
				begun = ""
			}
		}
		if err := cmd.Wait(); err != nil && begun != "" {
			first, _, _ := strings.Cut(stderr.String(), "\n")
			t.Logf("%s: the process died: %s", begun, first)
			results["died"]++
		} else if err != nil {
			t.Fatalf("child: %v\n%s", err, stderr.String())
		}
	}
	t.Log(rounds, "damages:", results)
	if results["refused"] == 0 || results["whole"]+results["older"] == 0 {
		t.Errorf("results are one-sided: %v", results)
	}
}
