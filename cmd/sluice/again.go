package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-risk/sluice/internal/api"
	"github.com/sluice-risk/sluice/internal/config"
	"github.com/sluice-risk/sluice/internal/stream"
	"github.com/sluice-risk/sluice/risk"
)

// reread is how the listener has refused records read again.
func reread(s *stream.Stream) func(context.Context, string, []risk.Source) []api.Replayed {
	return func(ctx context.Context, tenant string, records []risk.Source) []api.Replayed {
		out := make([]api.Replayed, 0, len(records))
		for _, r := range s.Reread(ctx, tenant, records) {
			out = append(out, api.Replayed{Topic: r.Place.Topic, Partition: r.Place.Partition, Offset: r.Place.Offset, Result: string(r.Outcome),
				Event: r.Event, Decision: r.Decision, Position: uint64(r.Position), Reason: r.Reason, Detail: r.Detail})
		}
		return out
	}
}

// letterReplay is `sluice replay --dead-letter`.
type letterReplay struct {
	remote
	on, dry             bool
	filter              letterFilter
	out, talk           io.Writer
	sent                int
	results             map[string]int
	seen                map[string]bool
	waiting             api.ReplayRequest
	waitingN, waitBytes int
}

func (l *letterReplay) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&l.on, "dead-letter", false, "have the running server read records again that it could not take")
	l.filter.flags(c)
	flags.BoolVar(&l.dry, "dry-run", false, "show which records would be read again, and ask no server")
	l.remote.flags(c)
}

// run reads dead letters and asks the server for the records they are of.
func (l *letterReplay) run(c *cobra.Command, cfg *config.Config) error {
	if err := l.filter.parse(time.Now()); err != nil {
		return err
	}
	l.out, l.talk = c.OutOrStdout(), c.ErrOrStderr()
	l.results, l.seen = map[string]int{}, map[string]bool{}
	if !l.dry {
		if err := l.reach(cfg); err != nil {
			return err
		}
	}
	err := l.filter.read(c.Context(), cfg, cfg.Log.Logger(c.ErrOrStderr()), func(d letter) error {
		place := stream.Place(d.Source)
		if l.seen[place] {
			return nil
		}
		l.seen[place] = true
		l.sent++
		if l.dry {
			_, err := fmt.Fprintf(l.out, "%s\t%s\t%s\n", place, d.Reason, d.Detail)
			return err
		}
		return l.add(c.Context(), d.Source)
	})
	if err == nil {
		err = l.flush(c.Context())
	}
	if err != nil {
		return err
	}
	return l.report()
}

func (l *letterReplay) report() error {
	if l.dry {
		fmt.Fprintf(l.talk, "%d records would be read again\n", l.sent)
		return nil
	}
	var parts []string
	open := 0
	for _, o := range []stream.Outcome{stream.Taken, stream.Duplicate, stream.Skipped, stream.Refused, stream.Gone, stream.NoSource, stream.NotRead, stream.Failed} {
		n := l.results[string(o)]
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(o), "_", " ")))
		}
		if o != stream.Taken && o != stream.Duplicate && o != stream.Skipped {
			open += n
		}
	}
	if parts == nil {
		parts = []string{"nothing to read again"}
	}
	fmt.Fprintf(l.talk, "%d records: %s\n", l.sent, strings.Join(parts, ", "))
	if open > 0 {
		return fmt.Errorf("%d records were not taken", open)
	}
	return nil
}

// add puts a record into the next request. It stays below the smallest body that a
// server can be set up to take.
func (l *letterReplay) add(ctx context.Context, s risk.Source) error {
	const mostBytes = 900
	size := len(strconv.FormatInt(s.Offset, 10)) + 1
	last := len(l.waiting.Records) - 1
	another := last < 0 || l.waiting.Records[last].Topic != s.Topic || l.waiting.Records[last].Partition != s.Partition
	if another {
		size += len(s.Topic) + 60
	}
	if l.waitingN == api.MaxReplay || l.waitingN > 0 && l.waitBytes+size > mostBytes {
		if err := l.flush(ctx); err != nil {
			return err
		}
		return l.add(ctx, s)
	}
	if another {
		l.waiting.Records = append(l.waiting.Records, api.ReplayRecords{Topic: s.Topic, Partition: s.Partition})
		last++
	}
	l.waiting.Records[last].Offsets = append(l.waiting.Records[last].Offsets, s.Offset)
	l.waitingN++
	l.waitBytes += size
	return nil
}

// flush asks for what waits and tells what became of it.
func (l *letterReplay) flush(ctx context.Context) error {
	if l.waitingN == 0 {
		return nil
	}
	body, err := json.Marshal(l.waiting)
	if err != nil {
		return err
	}
	l.waiting, l.waitingN, l.waitBytes = api.ReplayRequest{}, 0, 0
	resp, err := l.ask(ctx, http.MethodPost, "/v1/dead-letters/replays", body)
	if err != nil {
		return fmt.Errorf("the server cannot be asked: %w; asking again is safe", err)
	}
	defer resp.Body.Close()
	var answer struct {
		api.ReplayAnswer
		Title, Detail string
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return fmt.Errorf("%s answered %s without what became of the records; asking again is safe", l.server, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		hint := ""
		if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
			hint = ": --api-key-file FILE names a key of scope admin"
		}
		return fmt.Errorf("%s answered %d: %s (%s)%s", l.server, resp.StatusCode, answer.Title, answer.Detail, hint)
	}
	for _, r := range answer.Results {
		l.results[r.Result]++
		line := stream.Place(risk.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}) + "\t" + r.Result
		if r.Position > 0 {
			line += fmt.Sprintf("\tposition %d", r.Position)
		}
		for _, more := range []string{r.Decision, r.Reason, r.Detail} {
			if more != "" {
				line += "\t" + more
			}
		}
		if _, err := fmt.Fprintln(l.out, line); err != nil {
			return err
		}
	}
	return nil
}
