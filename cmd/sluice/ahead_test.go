package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// loseTail zeroes the last n frames of a journal of one segment, as if the process
// had ended earlier: from inside nothing speaks against it.
func loseTail(t *testing.T, dir string, n int) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const segmentHeader, frameHeader = 64, 72 // docs/format.md
	var frames []int64
	end := int64(segmentHeader)
	for {
		var h [16]byte
		if _, err := f.ReadAt(h[:], end); err != nil || binary.LittleEndian.Uint64(h[8:]) == 0 {
			break
		}
		frames = append(frames, end)
		end += frameHeader + (int64(binary.LittleEndian.Uint32(h[:]))+7)&^7
	}
	if len(frames) <= n {
		t.Fatalf("%d frames", len(frames))
	}
	from := frames[len(frames)-n]
	if _, err := f.WriteAt(make([]byte, end-from), from); err != nil {
		t.Fatal(err)
	}
}

// A journal that lost its end behind the last checkpoint looks whole from inside.
// What was published says otherwise, and the process must not go on, whatever
// comes in meanwhile: positions would be used a second time.
func TestPublishedBeyondTheJournal(t *testing.T) {
	alone(t)
	t.Parallel()
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%v", busy), func(t *testing.T) {
			b := newBroker(t)
			s := newServer(t, append(b.config(), "checkpoint.every=10m", "checkpoint.events=1000000")...)
			s.start()
			for i := range 6 {
				if a := s.post("/v1/decisions", payment(fmt.Sprint("p", i), "20.00"), patient...); a.status != 200 {
					t.Fatal(a)
				}
			}
			await(t, "all published", func() bool { return strings.Contains(string(s.get("/readyz").body), "published 8 of 8") })
			s.kill()
			loseTail(t, s.dir, 3)

			for range 2 { // the second start is what a supervisor makes
				s.launch()
				var callers sync.WaitGroup
				if busy {
					for k := range 4 {
						callers.Go(func() {
							select {
							case <-s.ready:
							case <-s.ended: // as it should
								return
							}
							for i := range 50 {
								if _, err := s.ask(s.base, "POST", "/v1/decisions", payment(fmt.Sprint("n", k, "-", i), "20.00"), patient...); err != nil {
									return
								}
							}
						})
					}
				}
				await(t, "the end of a process whose journal lost its end", func() bool {
					select {
					case <-s.ended:
						return true
					default:
						return false
					}
				})
				callers.Wait()
				if log := s.logged(); !strings.Contains(log, "position 8 of cell cell-0 is published, the journal ends at ") {
					t.Errorf("serve ended without saying why:\n%s", log)
				}
			}
			s.cmd = nil
		})
	}
}

// A second engine of the same name is refused, and the first one goes on.
func TestASecondEngineOfTheSameName(t *testing.T) {
	alone(t)
	t.Parallel()
	b := newBroker(t)
	first := newServer(t, b.config()...)
	first.start()
	if a := first.post("/v1/decisions", payment("p1", "20.00"), patient...); a.status != 200 {
		t.Fatal(a)
	}
	await(t, "all published", func() bool { return strings.Contains(string(first.get("/readyz").body), "published 3 of 3") })
	second := newServer(t, b.config()...)
	second.launch()
	await(t, "the end of the second engine", func() bool {
		select {
		case <-second.ended:
			return true
		default:
			return false
		}
	})
	second.cmd = nil
	if log := second.logged(); !strings.Contains(log, "position 3 of cell cell-0 is published from journal ") {
		t.Errorf("the second engine ended without saying why:\n%s", log)
	}
	if a := first.post("/v1/decisions", payment("p2", "20.00"), patient...); a.status != 200 {
		t.Error(a)
	}
	await(t, "the first to go on", func() bool { return strings.Contains(string(first.get("/readyz").body), "published 4 of 4") })
	first.stop()
}

// Brokers that are away keep nobody from being answered.
func TestBrokersAway(t *testing.T) {
	t.Parallel()
	s := newServer(t, "kafka.brokers=127.0.0.1:1", "sources=[{topic: payments}]")
	s.start()
	if a := s.post("/v1/decisions", payment("p1", "20.00"), patient...); a.status != 200 || a.degraded() != "" {
		t.Error(a)
	}
	if ready := s.get("/readyz"); !strings.Contains(string(ready.body), `"kafka":{"ok":false`) {
		t.Errorf("/readyz = %s, want what is wrong with Kafka", ready)
	}
	s.stop()
}
