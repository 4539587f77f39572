package simulate

import (
	"bufio"
	"fmt"
	"io"
	"strconv"

	"github.com/sluice-risk/sluice/risk"
)

// Write puts the first n events of a world into w as JSON lines, with the
// arrival beside the event where a replay looks for it, and what each event
// really is into truth, one line for one line:
//
//	{"arrival":"2026-11-02T08:00:01.2Z","event":{…},…}
//	{"event":"sim-000000001","pattern":"mule","lawful":false,"case":3}
//
// truth may be nil.
func Write(w, truth io.Writer, o Options, n int) error {
	if n < 0 {
		return fmt.Errorf("simulate: %d events: must not be negative", n)
	}
	if truth == nil {
		truth = io.Discard
	}
	out, side := bufio.NewWriterSize(w, 1<<16), bufio.NewWriterSize(truth, 1<<16)
	world := New(o)
	var line []byte
	for i := range n {
		e := world.Next()
		line = append(line[:0], `{"arrival":"`...)
		line = risk.At(e.At).Append(line)
		line = append(append(append(line, `",`...), e.Body[1:]...), '\n')
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("simulate: event %d of %d: %w", i+1, n, err)
		}
		line = append(append(line[:0], `{"event":"`...), e.ID...)
		line = append(append(line, `","pattern":"`...), e.Truth.Pattern...)
		line = strconv.AppendBool(append(line, `","lawful":`...), e.Truth.Lawful)
		line = strconv.AppendInt(append(line, `,"case":`...), int64(e.Truth.Case), 10)
		if _, err := side.Write(append(line, "}\n"...)); err != nil {
			return fmt.Errorf("simulate: truth of event %d of %d: %w", i+1, n, err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("simulate: events: %w", err)
	}
	if err := side.Flush(); err != nil {
		return fmt.Errorf("simulate: truth: %w", err)
	}
	return nil
}
