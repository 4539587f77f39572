package doctor

import (
	"os"
	"path/filepath"
	"time"
)

// clock looks at whether the clock can be believed: arrivals are read from it.
func (e *examination) clock() {
	now := e.Now()
	switch synced, known := synchronised(); {
	case known && !synced:
		e.warn("clock", "run chrony, ntpd or systemd-timesyncd: arrivals come from this clock", "%s; the kernel says that nothing sets it", now.UTC().Format(time.RFC3339))
	default:
		e.ok("clock", "%s", now.UTC().Format(time.RFC3339))
	}
	newest := time.Time{}
	for _, pattern := range []string{"journal/*", "state/*"} {
		names, _ := filepath.Glob(filepath.Join(e.cfg.DataDir, pattern))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.ModTime().After(newest) {
				newest = info.ModTime()
			}
		}
	}
	if ahead := newest.Sub(now); ahead > time.Minute {
		e.problem("clock", "set the clock right before a server starts: arrivals would go back", "files of the data directory were written %s from now", span(ahead))
	}
}
