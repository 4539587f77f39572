package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-risk/sluice/internal/stream"
	"github.com/sluice-risk/sluice/risk"
)

// largePayment is an event of some 2 KiB.
func largePayment(id string) []byte {
	line := strings.Repeat("x", 900)
	return bytes.Replace(payment(id, "20.00"), []byte(`{"event"`), fmt.Appendf(nil, `{"shipping":{"line1":%q,"line2":%q},"event"`, line, line), 1)
}

// attempt runs a command in this process, whatever comes of it.
func attempt(t *testing.T, args ...string) (code int, out, talk string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func count(s, what string) int { return strings.Count(s, what) }

// Records are refused, the cause is mended, and they are brought in: once each,
// whatever dies meanwhile.
func TestDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	const refused = 40
	b := newBroker(t)
	dir := t.TempDir()
	private := filepath.Join(dir, "private.key")
	public, talk := sluice(t, "dead-letter", "keygen", private)
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(talk, private) {
		t.Errorf("keygen: %v, %v, %s", info, err, talk)
	}
	if code, _, _ := attempt(t, "dead-letter", "keygen", private); code != exitFailed {
		t.Errorf("keygen over a key = exit %d, want it refused", code)
	}
	publicFile := filepath.Join(dir, "public.key")
	if err := os.WriteFile(publicFile, []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}

	s := newServer(t, append(b.config(), "limits.body_bytes=1KiB", "dead_letter.payload=encrypted", "dead_letter.key_file="+publicFile)...)
	keyFile := filepath.Join(dir, "api.key")
	if err := os.WriteFile(keyFile, []byte(s.token), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "kafka: {brokers: [%q]}\n", b.addrs[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	replay := func(more ...string) (int, string, string) {
		return attempt(t, append([]string{"replay", "--dead-letter", "--config", conf, "--server", s.base, "--api-key-file", keyFile}, more...)...)
	}
	s.start()
	for i := range refused {
		b.send("payments", payment(fmt.Sprint("small-", i), "10.00"))
		b.send("payments", largePayment(fmt.Sprint("large-", i)))
	}
	b.send("payments", []byte("poison"))
	b.flush()
	places := map[string]string{} // reason by place
	b.follow("dead-letter", func(value []byte) bool {
		var d stream.DeadLetter
		if err := json.Unmarshal(value, &d); err != nil {
			t.Fatal(err)
		}
		places[stream.Place(d.Source)] = d.Detail
		return len(places) < refused+1
	})

	list, _ := sluice(t, "dead-letter", "list", "--config", conf, "--reason", "invalid_event", "--topic", "payments", "--since", "1h")
	if count(list, "sealed") != refused+1 || count(list, "payments/") != refused+1 {
		t.Errorf("list:\n%s", list)
	}
	if none, _ := sluice(t, "dead-letter", "list", "--config", conf, "--since", time.Now().Add(time.Hour).Format(time.RFC3339)); count(none, "payments/") != 0 {
		t.Errorf("list of the future:\n%s", none)
	}
	for place := range places {
		payload, _ := sluice(t, "dead-letter", "open", "--config", conf, "--key", private, place)
		if payload != "poison" && !strings.HasPrefix(payload, `{"shipping":{"line1":"xxx`) {
			t.Errorf("payload of %s: %.100q", place, payload)
		}
		break
	}
	if code, _, talk := replay(); code != exitFailed || !strings.Contains(talk, fmt.Sprintf("%d records: %d refused", refused+1, refused+1)) {
		t.Errorf("before it is mended: exit %d\n%s", code, talk)
	}
	if code, _, talk := attempt(t, "replay", "--dead-letter", "--config", conf, "--server", s.base); code != exitFailed || !strings.Contains(talk, "--api-key-file") {
		t.Errorf("without a key: exit %d\n%s", code, talk)
	}
	s.stop()

	s.set = append(s.set, "limits.body_bytes=64KiB") // the last one counts
	s.start()
	if _, out, talk := replay("--dry-run", "--limit", "3"); count(out, "payments/") != 3 || !strings.Contains(talk, "3 records would be read again") {
		t.Errorf("dry run:\n%s%s", out, talk)
	}
	random := seeded(t, 7)
	for range torture(3, 40) { // the server dies in the middle
		done := make(chan struct{})
		go func(server string) {
			defer close(done)
			attempt(t, "replay", "--dead-letter", "--config", conf, "--server", server, "--api-key-file", keyFile)
		}(s.base)
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		s.kill()
		<-done
		s.start()
	}
	settled := func(what string, out string) {
		t.Helper()
		if n := count(out, "\ttaken") + count(out, "\tduplicate"); n != refused || count(out, "\trefused") != 1 {
			t.Errorf("%s: %d taken, %d refused, want %d and the poison:\n%s", what, n, count(out, "\trefused"), refused, out)
		}
	}
	var out string
	await(t, "every record read again", func() bool { // reading may not have come as far as before yet
		_, out, _ = replay()
		return count(out, "not_read_yet")+count(out, "failed") == 0
	})
	settled("after the kills", out)
	end := string(s.get("/readyz").body)
	end = end[strings.Index(end, "position "):][:20]
	code, out, talk := replay()
	if settled("once more", out); code != exitFailed || !strings.Contains(talk, fmt.Sprintf("%d records: %d duplicate, 1 refused", refused+1, refused)) {
		t.Errorf("once more: exit %d\n%s", code, talk)
	}
	if now := string(s.get("/readyz").body); !strings.Contains(now, end) {
		t.Errorf("a second replay changed something: %s, before %s", now, end)
	}
	s.stop()

	decided := map[string]int{}
	for _, value := range b.committed("decisions") {
		var d struct{ Event, ID string }
		if err := json.Unmarshal(value, &d); err != nil {
			t.Fatal(err)
		}
		decided[d.Event]++
		if d.ID != risk.KeyOf("default", d.Event).DecisionID() {
			t.Errorf("decision %s of %s", d.ID, d.Event)
		}
	}
	for i := range refused {
		for _, id := range []string{fmt.Sprint("small-", i), fmt.Sprint("large-", i)} {
			if decided[id] != 1 {
				t.Errorf("%d decisions of %s, want 1", decided[id], id)
			}
		}
	}
	if n := len(b.committed("dead-letter")); n != refused+1 {
		t.Errorf("%d dead letters, want %d: a record read again gets no other", n, refused+1)
	}
	if _, talk := sluice(t, "replay", "--journal", s.dir); !strings.Contains(talk, fmt.Sprint(2*refused, " decisions")) {
		t.Errorf("replay of the journal: %s", talk)
	}
}

// Flags that do not go together, and what cannot be reached, are told.
func TestDeadLetterUsage(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("slc_x.y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(want int, says string, args ...string) {
		t.Helper()
		if code, _, talk := attempt(t, args...); code != want || !strings.Contains(talk, says) {
			t.Errorf("sluice %s = exit %d, want %d with %q:\n%s", strings.Join(args, " "), code, want, says, talk)
		}
	}
	brokers := []string{"--set", "kafka.brokers=127.0.0.1:1"}
	f(exitUsage, "--reason needs --dead-letter", "replay", "--reason", "x")
	f(exitUsage, "--rules does not go with --dead-letter", "replay", "--dead-letter", "--rules", "x")
	f(exitUsage, "kafka.brokers and outputs.dead_letter", "replay", "--dead-letter")
	f(exitUsage, "--since yesterday", append([]string{"replay", "--dead-letter", "--since", "yesterday"}, brokers...)...)
	f(exitUsage, "must not be negative", append([]string{"dead-letter", "list", "--limit", "-1"}, brokers...)...)
	f(exitUsage, "use https", append([]string{"replay", "--dead-letter", "--server", "http://10.0.0.1:8080", "--api-key-file", key}, brokers...)...)
	f(exitUsage, "want https://HOST:PORT", append([]string{"replay", "--dead-letter", "--server", "https://user:hunter2@x"}, brokers...)...)
	f(exitUsage, "--key FILE", append([]string{"dead-letter", "open", "payments/0/1"}, brokers...)...)
	f(exitFailed, "a private key begins with", append([]string{"dead-letter", "open", "--key", key, "payments/0/1"}, brokers...)...)
	f(exitUsage, "unknown command", "dead-letter", "lits")
	f(exitFailed, "no broker can be reached", append([]string{"dead-letter", "list"}, brokers...)...)
	f(exitFailed, "a public key begins with", "serve", "--set", "data_dir="+dir, "--set", "dead_letter.payload=encrypted", "--set", "dead_letter.key_file="+key)
}
