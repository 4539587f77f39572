// Package doctor looks at an installation and says what is well, what to watch and
// what to mend: files and their permissions, disk, clock, journal, store, release,
// tables, brokers; of a server that runs, what it says of itself.
//
// [Examine] gives [Finding]s, one for each thing that was looked at, in the order in
// which they are to be read. A finding that is not [OK] says what to do.
//
// It changes nothing but what a start would change too: the store is opened, and so
// finishes a checkpoint that was interrupted; and it writes and deletes one file to
// learn how fast the disk is. Nobody else may use the directory meanwhile; while a
// server does, the server is asked instead.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/enrich"
)

// Level is how a finding is to be taken.
type Level uint8

const (
	OK Level = iota + 1
	Warning
	Problem
)

func (l Level) String() string { return [...]string{"none", "ok", "warning", "problem"}[l] }

// MarshalText makes a level its name in JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is one thing that was looked at.
type Finding struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"` // of what is not OK
}

// Options say where to look.
type Options struct {
	Config *config.Config
	Tables enrich.Files
	Server string // base URL of the server; "": as configured
	Key    string // API key of scope admin, to read its metrics; "": without
	CA     []byte // certificate authorities of the server, PEM; nil: the system's
	Whole  bool   // read every byte of journal and store
	Now    func() time.Time
}

// Examine looks at everything.
func Examine(ctx context.Context, o Options) []Finding {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &examination{Options: o, cfg: o.Config, ctx: ctx}
	e.files()
	e.disk()
	e.clock()
	e.tables()
	e.ruleset()
	running := e.state()
	e.server(running)
	e.brokers()
	return e.findings
}

type examination struct {
	Options
	cfg      *config.Config
	ctx      context.Context
	findings []Finding
}

func (e *examination) ok(check, format string, args ...any) {
	e.findings = append(e.findings, Finding{check, OK, fmt.Sprintf(format, args...), ""})
}

func (e *examination) warn(check, do, format string, args ...any) {
	e.findings = append(e.findings, Finding{check, Warning, fmt.Sprintf(format, args...), do})
}

func (e *examination) problem(check, do, format string, args ...any) {
	e.findings = append(e.findings, Finding{check, Problem, fmt.Sprintf(format, args...), do})
}

// span writes a duration as people say it: 36h0m0s is 36h, 400 days are 400d.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0fd", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0fm", d.Minutes())
	}
	return d.Round(time.Millisecond).String()
}

// size writes bytes.
func size(n int64) string {
	for _, u := range []struct {
		name string
		of   int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.of {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
