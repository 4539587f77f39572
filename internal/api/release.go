package api

import "time"

// Release is the state of the ruleset directory, as pages and health checks show
// it: what decides now, and why the directory's present content does not, if so.
type Release struct {
	Name    string
	SHA256  string    // of the release that decides
	Dir     string    // that is watched
	Problem string    // rendered; empty: the directory is the release
	Checked time.Time // the last look that found a change
}
