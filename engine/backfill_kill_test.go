package engine_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
)

// The steps of a backfill behind which a process can die.
var deaths = []string{"backfill begun", "backfill stored", "backfill given up", "cutover asked", "cutover applied",
	"cutover stored", "piece cleared", "all cleared"}

const (
	killEvents = 1000
	killLast   = 150 // after everything
)

// killReleases come when so many events have been fed. The second comes while the
// backfill of the first is under way, the third drops and adds.
var killReleases = []struct {
	at    int
	extra []string
}{
	{0, extraFeatures[4:5]},
	{300, extraFeatures[2:8]},
	{320, extraFeatures[:6]},
	{600, extraFeatures},
}

func killRelease(n int) *engine.Bundle {
	return releaseWith(killReleases[n].extra, fmt.Sprint("release ", n))
}

// childBackfill feeds events from a number on, tells what was decided, and dies behind
// so many steps, or never.
func childBackfill(args []string) {
	dir := args[0]
	steps, err := strconv.Atoi(args[1])
	must(err)
	from, err := strconv.Atoi(args[2])
	must(err)
	seed, err := strconv.ParseUint(args[3], 10, 64)
	must(err)
	engine.ClearAtOnce(100)
	o := smallOptions()
	o.CheckpointEvery = 20 * time.Millisecond
	var step sync.Mutex
	o.StepAt(func(name string) {
		step.Lock()
		defer step.Unlock()
		if steps--; steps == 0 {
			fmt.Println("behind", name)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	events := dense(rand.New(rand.NewPCG(seed, 3)), killEvents)
	fail := func(format string, args ...any) { must(fmt.Errorf(format, args...)) }
	c, err := engine.Open(dir, o)
	must(err)
	stop, ran := make(chan struct{}), make(chan error, 1)
	go func() {
		err := c.Run(untilClosed(stop))
		must(err)
		ran <- nil
	}()
	must(c.Begin(background, killRelease(0), "test"))
	if c.Bundle() == nil { // killed between the first two entries
		_, err := c.Activate(background, killRelease(0), "test")
		must(err)
	}
	for i := from; i < len(events); {
		n := 20
		for k := range killReleases {
			if r := killReleases[k]; r.at <= i && k > 0 {
				if c.Bundle().SHA256 == killRelease(k-1).SHA256 {
					_, err := c.Activate(background, killRelease(k), "test")
					must(err)
				}
			} else if r.at > i {
				n = min(n, r.at-i)
			}
		}
		if i >= killReleases[3].at { // so that the last release's backfill comes to its end
			for end := time.Now().Add(20 * time.Second); len(c.Backfill().Features) > 0 && i >= len(events)-killLast; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					fail("no cutover: %+v", c.Backfill())
				}
			}
		}
		n = min(n, len(events)-i)
		for k, r := range feedCell(c, events[i:i+n], fail) {
			sum := sha256.Sum256(r.Body)
			fmt.Printf("%d %s\n", i+k, hex.EncodeToString(sum[:]))
		}
		i += n
	}
	for end := time.Now().Add(20 * time.Second); !c.Cleared(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			fail("something is left of a backfill that ended: %+v", c.Backfill())
		}
	}
	close(stop)
	must(<-ran)
	must(c.Close())
	fmt.Println("done")
	os.Exit(0)
}

// A process that is killed behind any step of a backfill, several times in a row, goes
// on where it was: in the end every decision is the one of an engine that had the last
// release from the start, nothing acknowledged differs from a replay, and nothing is
// left of what was removed.
func TestKilledAtEveryStepOfABackfill(t *testing.T) {
	if raced {
		t.Skip("the children are not instrumented differently, and slow")
	}
	rounds, all := torture(1, 60), map[string]int{}
	var mu sync.Mutex  // of all
	t.Cleanup(func() { // when every round is over
		t.Log("died behind:", all)
		if least := min(1+rounds, len(deaths)-1); len(all) < least {
			t.Errorf("died behind %v only, want %d of %q", all, least, deaths) // one of them is rare
		}
	})
	for round := range rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			random := seeded(t, uint64(50+round))
			seed := random.Uint64()
			dir := filepath.Join(t.TempDir(), "data")
			fed := 0
			acknowledged := map[int]string{}
			died := map[string]int{}
			for n := range 16 {
				steps := 1 + random.IntN(9)
				if n == 15 {
					steps = 0
				}
				done := false
				cmd, lines := launch(t, "backfill", dir, fmt.Sprint(steps), fmt.Sprint(fed), fmt.Sprint(seed))
				behind := ""
				for lines.Scan() {
					var i int
					var sum string
					if n, _ := fmt.Sscanf(lines.Text(), "%d %s", &i, &sum); n == 2 {
						if was := acknowledged[i]; was != "" && was != sum {
							t.Errorf("event %d was answered %s, and now %s", i, was, sum)
						}
						acknowledged[i], fed = sum, i+1
					} else if step, ok := strings.CutPrefix(lines.Text(), "behind "); ok {
						behind = step
					} else if done = lines.Text() == "done"; !done {
						t.Fatal(lines.Text())
					}
				}
				err := cmd.Wait()
				if done {
					break
				}
				if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL || !slices.Contains(deaths, behind) {
					t.Fatalf("behind %q the child ended with %v", behind, err)
				}
				died[behind]++
			}
			mu.Lock()
			for step, n := range died {
				all[step] += n
			}
			mu.Unlock()
			events := dense(rand.New(rand.NewPCG(seed, 3)), killEvents)
			_, decisions := replayed(t, dir, 512)
			sums := map[string]bool{}
			for _, body := range bytes.Split(decisions, []byte("\n")) {
				sum := sha256.Sum256(body)
				sums[hex.EncodeToString(sum[:])] = true
			}
			for i, sum := range acknowledged {
				if !sums[sum] {
					t.Fatalf("what event %d was answered is not what a replay gives", i)
				}
			}
			want := fromTheStart(t, killRelease(3), events, len(events)-killLast)
			rest := bytes.Split(want, []byte("\n"))
			got := bytes.Split(decisions, []byte("\n"))
			same(t, "an engine that had the features from the start", bytes.Join(got[max(0, len(got)-len(rest)):], []byte("\n")), want)
		})
	}
}
