package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
	"github.com/sluice-risk/sluice/internal/enrich"
	"github.com/sluice-risk/sluice/internal/featurelog"
	"github.com/sluice-risk/sluice/internal/simulate"
	"github.com/sluice-risk/sluice/risk"
)

// written is an event on its way into a file of events.
type written struct {
	at    risk.Time // when it happened, as it is counted
	place risk.Time // where in the file it stands
	turn  int       // among those of one place
	line  []byte
}

// placed gives the event's device a place: within some ten kilometres of where it mostly
// is, now and then anywhere, now and then none.
func placed(body []byte, r *rand.Rand) []byte {
	before, device, ok := bytes.Cut(body, []byte(`"device":{"id":"`))
	if !ok || r.IntN(20) == 0 {
		return body
	}
	id, _, _ := bytes.Cut(device, []byte(`"`))
	sum := sha256.Sum256(id)
	lat, lon := int(binary.LittleEndian.Uint16(sum[:]))%14000-7000, int(binary.LittleEndian.Uint16(sum[2:]))%34000-17000
	if r.IntN(12) == 0 {
		lat, lon = r.IntN(17990)-9000, r.IntN(35990)-18000
	}
	place := func(hundredths int) string { return strconv.FormatFloat(float64(hundredths)/100, 'f', -1, 64) }
	return fmt.Appendf(nil, `%s"device":{"lat":%s,"lon":%s,"id":"%s`, before, place(lat+r.IntN(10)), place(lon+r.IntN(10)), device)
}

// simulatedFile writes n simulated events, as they happened; late ones then come
// up to 30 hours after others that happened later, 1 % come twice, and the clocks of
// a few senders are ahead.
func simulatedFile(t *testing.T, path string, n int, late bool) {
	t.Helper()
	r, places := rand.New(rand.NewPCG(20261122, 7)), rand.New(rand.NewPCG(20261122, 8))
	w := simulate.New(simulate.Options{Seed: 7})
	var events []written
	moved := 0
	for i := range n {
		e := w.Next()
		_, text, _ := bytes.Cut(e.Body, []byte(`"time":"`))
		text, _, _ = bytes.Cut(text, []byte(`"`))
		at, err := time.Parse(time.RFC3339, string(text))
		if err != nil {
			t.Fatal(err)
		}
		ev := written{at: risk.At(at), turn: i, line: placed(e.Body, places)}
		ev.place = ev.at
		if late {
			switch k := r.IntN(1000); {
			case k < 55: // seconds to hours, each scale as often as the next; a few past what is allowed
				moved++
				ev.place = ev.at.Add(time.Second << r.IntN(16)).Add(time.Duration(r.IntN(12*3600)) * time.Second * time.Duration(r.IntN(2)))
			case k < 66:
				again := ev
				again.place = ev.at.Add(time.Duration(1+r.Int64N(5*24*3600)) * time.Second)
				events = append(events, again)
			}
			if i%(n/20) == n/40 { // a quarter of an hour ahead of its arrival
				ev.place = ev.at.Add(-15 * time.Minute)
				ev.at = ev.place.Add(5 * time.Minute)
				ev.line = fmt.Appendf(nil, `{"arrival":%q,%s`, ev.place.String(), ev.line[1:])
			}
		}
		events = append(events, ev)
	}
	slices.SortFunc(events, func(a, b written) int { return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.turn, b.turn)) })
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	newest, behind, tooLate := risk.Time(0), 0, 0
	for _, ev := range events {
		if ev.at < newest {
			behind++
		}
		if newest.Sub(ev.at) > 25*time.Hour {
			tooLate++
		}
		newest = max(newest, ev.at)
		out.Write(ev.line)
		out.WriteByte('\n')
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events of %s and %d of them a second time; %d were moved back; %d lines come after one that happened later, %d too late to count",
		n, newest.Sub(events[0].at).Round(time.Hour), len(events)-n, moved, behind, tooLate)
	if late && (moved < n/20 || len(events)-n < n/100 || tooLate == 0) || !late && behind > 0 {
		t.Errorf("not the stream that was wanted")
	}
}

// Every feature of every event is what DuckDB computes of the same file: by window
// functions while events come in the order of their time, and by a join of every
// event with those before it when some come late and some twice.
func TestOracle(t *testing.T) {
	python := oraclePython(t)
	n := 500_000
	if testing.Short() {
		n = 50_000
	}
	for _, mode := range []string{"order", "late"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			events, features := filepath.Join(dir, "events.jsonl"), filepath.Join(dir, "features.csv")
			simulatedFile(t, events, n, mode == "late")
			_, talk := sluice(t, "replay", "--rules", "testdata/oracle", "--events", events, "--features", features)
			t.Log(strings.TrimSpace(talk))
			began := time.Now()
			c := exec.CommandContext(t.Context(), python, "testdata/oracle.py", mode, events, features)
			var wrong bytes.Buffer
			c.Stderr = &wrong
			out, err := c.Output()
			if err != nil {
				t.Fatalf("oracle.py: %v\n%s", err, wrong.Bytes())
			}
			rows := 0
			for line := range strings.Lines(string(out)) {
				var name string
				var compared, bad int
				if _, err := fmt.Sscanf(strings.ReplaceAll(line, ",", " "), "%s %d %d", &name, &compared, &bad); err != nil {
					t.Fatalf("oracle.py: %q", line)
				}
				if bad != 0 {
					t.Errorf("%s: %d of %d values differ from DuckDB's", name, bad, compared)
				}
				if rows++; name == "rows" {
					t.Logf("%d values compared, %d of %d rows differ; DuckDB took %s", (rows-1)*compared, bad, compared, time.Since(began).Round(time.Second))
					if compared != n {
						t.Errorf("compared %d events, want %d", compared, n)
					}
				}
			}
			if rows < 35 || wrong.Len() > 0 {
				t.Errorf("%d features compared\n%s", rows-1, wrong.Bytes())
			}
		})
	}
}

// What DuckDB reads of a Parquet and of a CSV file has the bits of the vectors that
// the events were judged by, and so has what the feature log of a server finds in
// the decisions.
func TestOracleReadsBits(t *testing.T) {
	python := oraclePython(t)
	b, err := readRelease("testdata/oracle", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "f.parquet"), filepath.Join(dir, "f.csv")}
	schema := featurelog.SchemaOf(b)
	var written []*featurelog.File
	for _, name := range files {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		written = append(written, featurelog.NewFile(f, featurelog.FormatOf(name), "test"))
	}
	tables, err := enrich.New(enrich.Options{})
	if err != nil {
		t.Fatal(err)
	}
	walk := engine.NewOffline(plainDecoder(), tables, nil)
	walk.Pin(b)
	w := simulate.New(simulate.Options{Seed: 3})
	total, rows, n := sha256.New(), 0, 100_000
	for rows < n {
		batch := &engine.Batch{}
		for range 500 {
			batch.Items = append(batch.Items, engine.NewItem(w.Next().Body, "default"))
		}
		walk.Decode(batch, func(_ *engine.Item, err error) { t.Fatal(err) })
		if err := walk.Apply(batch); err != nil {
			t.Fatal(err)
		}
		for i, r := range batch.Results() {
			rows++
			bits := binary.LittleEndian.AppendUint64(nil, uint64(r.Position))
			for _, v := range batch.Items[i].Vector() {
				bits = binary.LittleEndian.AppendUint64(bits, math.Float64bits(v))
			}
			total.Write(bits)
			row := featurelog.Row{Event: r.Event, Tenant: r.Tenant, Type: r.Type, Scenario: r.Scenario, Action: r.Action, At: batch.Items[i].At(), Position: r.Position}
			if row.Versions, err = featurelog.VersionsOf(r.Body); err != nil {
				t.Fatal(err)
			}
			if err := schema.Values(r.Body, &row); err != nil {
				t.Fatal(err)
			}
			read := bits[:8:8]
			for _, v := range row.Values {
				read = binary.LittleEndian.AppendUint64(read, math.Float64bits(v))
			}
			if !bytes.Equal(read, bits) {
				t.Fatalf("position %d: the decision has %v, it was judged by %v", r.Position, row.Values, batch.Items[i].Vector())
			}
			row.Values = batch.Items[i].Vector()
			for _, f := range written {
				if err := f.Write(schema, &row); err != nil {
					t.Fatal(err)
				}
			}
		}
		batch.Release()
	}
	for _, f := range written {
		if err := f.Close(schema); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), python, append([]string{"testdata/bits.py"}, files...)...).CombinedOutput()
	want := fmt.Sprintf("%d,%x\n", rows, total.Sum(nil))
	if err != nil || string(out) != want+want {
		t.Errorf("bits.py: %v\n%swant twice\n%s", err, out, want)
	}
	t.Logf("%d rows of %d features, the same bits in Parquet and CSV", rows, len(schema.Names))
}
