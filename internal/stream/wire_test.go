package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// cut is what becomes of a request on a wire that breaks.
type cut int8

const (
	unsent       cut = iota + 1 // it never leaves
	halfSent                    // its connection breaks in the middle of it
	unanswered                  // it is carried out and nobody is told
	halfAnswered                // it is carried out and half of the answer comes
)

// wire is the network of one process: it counts what is asked, and it breaks.
type wire struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	cuts   []*planned
	conns  map[*wireConn]string // address
	dead   bool                 // the process is gone: nothing leaves any more
	total  int
	window time.Time        // the seconds that are counted now
	asked  map[kmsg.Key]int // in them
	busy   map[kmsg.Key]int // the same of the busiest
}

// planned cuts a connection at a request.
type planned struct {
	key  kmsg.Key
	skip int // requests of that key that pass first
	how  cut
}

var errCut = errors.New("the wire was cut")

const (
	dialled = kmsg.Key(-1)
	latency = 500 * time.Microsecond
	window  = 10 * time.Second
)

// tick counts a request and takes the time it takes. So a loop that never waits is
// seen: it asks thousands of times in a window.
func (w *wire) tick(key kmsg.Key) {
	time.Sleep(latency)
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.window) >= window {
		w.window, w.asked = now, map[kmsg.Key]int{}
	}
	w.total++
	if w.asked[key]++; count(w.asked) > count(w.busy) {
		w.busy = maps.Clone(w.asked)
	}
}

func count(asked map[kmsg.Key]int) (n int) {
	for _, k := range asked {
		n += k
	}
	return n
}

func (w *wire) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.tick(dialled)
	conn, err := w.dial(ctx, network, address)
	if err != nil { // as a network says it
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		conn.Close()
		return nil, errCut
	}
	c := &wireConn{Conn: conn, wire: w, lost: map[uint32]cut{}}
	if w.conns == nil {
		w.conns = map[*wireConn]string{}
	}
	w.conns[c] = address
	return c, nil
}

// cut ends the connections to a port, as ":9092"; "" ends all for good.
func (w *wire) cut(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = w.dead || address == ""
	for c, a := range w.conns {
		if strings.HasSuffix(a, address) {
			c.Conn.Close()
			delete(w.conns, c)
		}
	}
}

func (w *wire) plan(p planned) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts = append(w.cuts, &p)
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts = nil
}

// fate takes the cut of a request, 0 mostly.
func (w *wire) fate(key kmsg.Key) cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range w.cuts {
		if p.key != key {
			continue
		}
		if p.skip--; p.skip < 0 {
			w.cuts = slices.Delete(w.cuts, i, i+1)
			return p.how
		}
	}
	return 0
}

// wireConn is one connection. Its client writes a request at a time.
type wireConn struct {
	net.Conn
	wire *wire

	mu   sync.Mutex
	lost map[uint32]cut // by correlation, of answers that are not to come

	rest []byte // of an answer; the reader's
	last bool   // nothing follows it
}

func (c *wireConn) Write(b []byte) (int, error) {
	key := kmsg.Key(int16(binary.BigEndian.Uint16(b[4:])))
	c.wire.tick(key)
	switch how := c.wire.fate(key); how {
	case unsent:
		c.Conn.Close()
		return 0, errCut
	case halfSent:
		n, _ := c.Conn.Write(b[:len(b)/2])
		c.Conn.Close()
		return n, errCut
	case unanswered, halfAnswered:
		c.mu.Lock()
		c.lost[binary.BigEndian.Uint32(b[8:])] = how
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

func (c *wireConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.last {
			c.Conn.Close()
			return 0, io.EOF
		}
		frame := make([]byte, 4)
		if _, err := io.ReadFull(c.Conn, frame); err != nil {
			return 0, err
		}
		frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
		if _, err := io.ReadFull(c.Conn, frame[4:]); err != nil {
			return 0, err
		}
		c.mu.Lock()
		how := c.lost[binary.BigEndian.Uint32(frame[4:])]
		c.mu.Unlock()
		switch c.rest = frame; how {
		case unanswered:
			c.Conn.Close()
			return 0, io.EOF
		case halfAnswered:
			c.rest, c.last = frame[:len(frame)/2], true
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
