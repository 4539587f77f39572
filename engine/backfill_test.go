package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"testing"
	"time"

	"github.com/sluice-risk/sluice/engine"
)

// What a release of these tests may have beside the features that its rules need, by
// the entity that each adds.
var extraEntities = map[string]string{
	"buyer":  "{key: customer.id}",
	"shop":   "{key: [merchant.id, card.token]}",
	"wallet": "{keys: [sender.id, receiver.id]}",
	"tool":   "{key: device.id}",
	"house":  "{key: amount.currency}", // of all payments: more than are kept one by one
}

var extraFeatures = []string{
	"x_buyer_life:     {count: {by: buyer}}",
	"x_buyer_amounts:  {distinct: {by: buyer, of: amount.value}}",
	"x_buyer_sum_3d:   {sum: {by: buyer, of: amount.base, window: 3d, delay: 1h}}",
	"x_buyer_frauds:   {sum: {by: buyer, of: label.fraud, events: [label, chargeback]}}",
	"x_shop_min:       {min: {by: shop, of: amount.base, window: 30d, current: exclude}}",
	"x_shop_charges:   {count: {by: shop, window: 90d, events: [chargeback]}}",
	"x_shop_labels:    {count: {by: shop, events: [label], where: label.kind == \"fraud\"}}",
	"x_wallet_in:      {sum: {by: {observe: receiver.id, read: sender.id}, of: amount.base, window: 10d}}",
	"x_wallet_last:    {since_last: {by: {entity: wallet, read: receiver.id}, current: exclude}}",
	"x_tool_declines:  {count: {by: tool, window: 20d, events: [payment.outcome]}}",
	"x_tool_cards:     {distinct: {by: tool, of: card.token}}",
	"x_card_avg_7d:    {avg: {by: card, of: amount.base, window: 7d, where: amount.base > 20}}",
	"x_buyer_p90:      {quantile: {by: buyer, of: amount.base, q: 0.9, window: 15d}}",
	"x_buyer_median:   {quantile: {by: buyer, of: amount.base, q: 0.5}}",
	"x_buyer_tool:     {share: {by: buyer, of: device.id, window: 20d, min_count: 2}}",
	"x_buyer_alike:    {similar: {by: buyer, of: amount.base, within: 0.2, window: 3d, delay: 1h}}",
	"x_buyer_first:    {first: {by: buyer, of: amount.base, window: 4d}}",
	"x_shop_digits:    {benford: {by: shop, of: amount.base, min_count: 5}}",
	"x_shop_name:      {text_distance: {by: shop, of: lower(merchant.name)}}",
	"x_shop_age:       {since_first: {by: shop, window: 30d}}",
	"x_wallet_last3:   {avg: {by: {entity: wallet, read: sender.id}, of: amount.base, window: {last: 3}}}",
	"x_tool_run:       {run: {by: tool, while: payment.status == \"declined\", events: [payment.outcome, payment.authorization]}}",
	"x_tool_speed:     {speed: {by: tool, of: device, window: 6d}}",
	"x_card_near:      {nearby: {by: card, of: device, within: 40, window: 5d}}",
	"x_card_moved:     {distance: {by: card, of: device}}",
	"x_card_seen:      {seen: {by: card, of: merchant.id, window: 8d}}",
	"x_card_spread:    {stddev: {by: card, of: amount.base, window: 20d}}",
	"x_card_shop5:     {share: {by: card, of: merchant.id, window: {last: 5}, delay: 30m}}",
	"x_house_n:        {count: {by: house, window: 30d}}",
	"x_house_sum:      {sum: {by: house, of: amount.base, window: 20d, delay: 2d}}",
	"x_house_max:      {max: {by: house, of: amount.base, window: 25d, where: amount.base < 80}}",
	"x_house_cards:    {distinct: {by: house, of: card.token, window: 30d}}",
	"x_house_p95:      {quantile: {by: house, of: amount.base, q: 0.95, window: 30d}}",
	"x_house_share:    {share: {by: house, of: merchant.id, window: 12d}}",
	"x_house_alike:    {similar: {by: house, of: amount.base, within: 0.1, window: 30d}}",
	"x_house_near:     {nearby: {by: house, of: device, within: 40}}",
	"x_house_digits:   {benford: {by: house, of: amount.base, window: 30d}}",
	"x_house_run:      {run: {by: house, while: amount.base < 85, window: 20d}}",
	"x_house_last:     {avg: {by: house, of: amount.base, window: {last: 200}, where: amount.base > 30}}",
	"x_house_pause:    {since_last: {by: house, current: exclude, where: amount.base > 88}}",
	"x_ratio:          {expr: \"x_buyer_life > 0 ? x_buyer_amounts / x_buyer_life : 0\"}",
}

// releaseWith is the payments release with more features, and with tiles soon.
func releaseWith(extra []string, note string) *engine.Bundle {
	files := maps.Clone(release().Files)
	text := strings.Replace(string(files["features.yaml"]), "exact_events: 4096", "exact_events: 256", 1)
	all := strings.Join(extra, "\n")
	for _, name := range slices.Sorted(maps.Keys(extraEntities)) {
		if strings.Contains(all, "by: "+name) || strings.Contains(all, "entity: "+name) || name == "wallet" && strings.Contains(all, "x_wallet_in") {
			text = strings.Replace(text, "\nfeatures:\n", fmt.Sprintf("\n  %s: %s\nfeatures:\n", name, extraEntities[name]), 1)
		}
	}
	for _, f := range extra {
		text += "  " + f + "\n"
	}
	files["features.yaml"] = []byte(text)
	files["ruleset.yaml"] = append(bytes.Clone(files["ruleset.yaml"]), "# "+note+"\n"...)
	b, err := engine.Build(files, tables())
	if err != nil {
		panic(err)
	}
	return b
}

// pickExtra draws features; the formula only with what it reads.
func pickExtra(r *rand.Rand) (extra []string) {
	last := len(extraFeatures) - 1
	with := map[string]bool{"card": true} // entities, so that some are new with a release
	for _, name := range slices.Sorted(maps.Keys(extraEntities)) {
		with[name] = r.IntN(2) == 0
	}
	for i, f := range extraFeatures[:last] {
		entity, _, _ := strings.Cut(strings.TrimPrefix(f, "x_"), "_")
		if with[entity] && (r.IntN(3) > 0 || i < 2) {
			extra = append(extra, f)
		}
	}
	if with["buyer"] {
		extra = append(extra, extraFeatures[last])
	}
	return extra
}

// dense is traffic in which every entity has much of a past: few cards, people,
// shops and accounts, late and early events, events sent again, labels and outcomes
// of events that came before, that come later and that never do.
func dense(r *rand.Rand, n int) (events [][]byte) {
	at := clock().AddDate(0, 0, -40)
	pick := func(prefix string, of int) string { return fmt.Sprint(prefix, r.IntN(of)) }
	for i := range n {
		at = at.Add(time.Duration(r.IntN(2*40*24*60*60*1000/n)) * time.Millisecond)
		if at.After(clock()) {
			at = clock()
		}
		when := at
		switch r.IntN(20) {
		case 0:
			when = at.Add(-time.Duration(r.IntN(24)) * time.Hour)
		case 1:
			when = at.Add(-time.Duration(r.IntN(72)) * time.Hour)
		case 2:
			when = at.Add(time.Duration(r.IntN(5)) * time.Minute)
		}
		if len(events) > 0 && r.IntN(30) == 0 {
			events = append(events, events[max(0, len(events)-1-r.IntN(40))]) // surely within dedup
			continue
		}
		head := fmt.Sprintf(`"event":{"id":"e%d","type":%%q,"time":%q}`, i, when.Format("2006-01-02T15:04:05.000Z"))
		amount := fmt.Sprintf(`"amount":{"value":"%d.%02d","currency":"USD"}`, r.IntN(90), r.IntN(3))
		named := fmt.Sprintf("e%d", max(0, i-1-r.IntN([]int{5, 60, 400}[r.IntN(3)])))
		if r.IntN(8) == 0 {
			named = fmt.Sprintf("e%d", i+r.IntN(10))
		}
		var body string
		switch k := r.IntN(20); {
		case k < 9:
			body = fmt.Sprintf(`{%s,%s,"card":{"token":%q},"customer":{"id":%q},"merchant":{"id":%q,"name":%q},"device":{"id":%q,"lat":%d.%d,"lon":%d}}`,
				fmt.Sprintf(head, "payment.authorization"), amount, pick("c", 9), pick("u", 7), pick("m", 3), pick("Shop ", 40), pick("d", 5), 40+r.IntN(3), r.IntN(10), r.IntN(3))
		case k < 13:
			body = fmt.Sprintf(`{%s,%s,"customer":{"id":%q},"sender":{"id":%q,"account":%q},"receiver":{"id":%q,"account":%q}}`,
				fmt.Sprintf(head, "transfer"), amount, pick("u", 7), pick("p", 5), pick("a", 5), pick("p", 5), pick("a", 5))
		case k < 15:
			body = fmt.Sprintf(`{%s,"payment":{"status":"declined"},"label":{"event":%q},"device":{"id":%q}}`, fmt.Sprintf(head, "payment.outcome"), named, pick("d", 5))
		case k < 17:
			body = fmt.Sprintf(`{%s,"label":{"event":%q,"kind":"chargeback","reason":"fraud"}}`, fmt.Sprintf(head, "chargeback"), named)
		default:
			kind := []string{"fraud", "genuine", "early_warning", "other"}[r.IntN(4)]
			own := ""
			if r.IntN(3) == 0 {
				own = fmt.Sprintf(`,"customer":{"id":%q}`, pick("u", 7))
			}
			body = fmt.Sprintf(`{%s,"label":{"event":%q,"kind":%q}%s}`, fmt.Sprintf(head, "label"), named, kind, own)
		}
		events = append(events, []byte(body))
	}
	return events
}

func startWith(t testing.TB, dir string, o engine.Options, b *engine.Bundle) *running {
	t.Helper()
	c, err := engine.Open(dir, o)
	if err != nil {
		t.Fatalf("Open(%s) = %v", dir, err)
	}
	return run(t, c, b)
}

// learned waits until no feature waits for its past, as long as something is learned.
func (r *running) learned() {
	r.t.Helper()
	at, since := r.Backfill(), time.Now()
	for ; len(at.Features) > 0; time.Sleep(time.Millisecond) {
		now := r.Backfill()
		if now.Position != at.Position {
			since = time.Now()
		} else if time.Since(since) > 30*time.Second {
			r.t.Fatalf("no cutover: %+v", now)
		}
		at = now
	}
}

func (r *running) activate(b *engine.Bundle) {
	r.t.Helper()
	if _, err := r.Activate(r.t.Context(), b, "test"); err != nil {
		r.t.Fatal(err)
	}
}

// fromTheStart decides the same events in a cell that has the release from the
// beginning, and gives the decisions from an event on.
func fromTheStart(t *testing.T, b *engine.Bundle, events [][]byte, from int) []byte {
	t.Helper()
	c := startWith(t, t.TempDir(), options(), b)
	defer c.close()
	return bodies(c.feed(events, 0)[from:])
}

// Features that were always missing, or the same, would prove nothing.
func TestFeaturesOfBackfillsDiffer(t *testing.T) {
	values, approximate := map[string]map[string]bool{}, map[string]int{}
	for line := range bytes.Lines(fromTheStart(t, releaseWith(extraFeatures, "all"), dense(seeded(t, 9), 1200), 0)) {
		var d struct {
			Features    map[string]json.RawMessage
			Approximate []string
		}
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		for name, v := range d.Features {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][string(v)] = true
		}
		for _, name := range d.Approximate {
			approximate[name]++
		}
	}
	for _, f := range extraFeatures {
		name, _, _ := strings.Cut(f, ":")
		delete(values[name], "null")
		if len(values[name]) < 2 {
			t.Errorf("%s has the values %v only", name, values[name])
		}
	}
	if len(approximate) < 6 {
		t.Errorf("tiles made approximate %v only", approximate)
	}
}

// While a new feature waits for its past, decisions say so, and of the formulas that
// read it; from the cutover on they do not. A replay says the same.
func TestADecisionNamesWhatAwaitsABackfill(t *testing.T) {
	o := options()
	o.BackfillShare = 0.02
	dir := t.TempDir()
	events := dense(seeded(t, 3), 1500)
	life, amounts, ratio := extraFeatures[0], extraFeatures[1], extraFeatures[len(extraFeatures)-1]
	c := startWith(t, dir, o, releaseWith([]string{amounts}, "before"))
	all := bodies(c.feed(events[:1200], 0))
	c.activate(releaseWith([]string{ratio, amounts, life}, "after"))
	all = append(all, bodies(c.feed(events[1200:1300], 1200))...)
	c.learned()
	all = append(all, bodies(c.feed(events[1300:], 1300))...)
	c.close()
	for _, batch := range []int{1, 512} {
		_, again := replayed(t, dir, batch)
		same(t, fmt.Sprint("replay in batches of ", batch), again, all)
	}
	want, named, known := []string{"x_ratio", "x_buyer_life"}, 0, 0
	for line := range bytes.Lines(all) {
		var d struct {
			Features map[string]json.RawMessage
			Awaiting []string `json:"awaiting_backfill"`
		}
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		switch _, has := d.Features["x_buyer_life"]; {
		case slices.Equal(d.Awaiting, want) && !has && known == 0:
			named++
		case d.Awaiting != nil:
			t.Fatalf("after %d that name what waits and %d that know it: %s", named, known, line)
		case has:
			known++
		}
	}
	if named == 0 || known == 0 {
		t.Errorf("%d decisions name what waits, %d know it", named, known)
	}
}

// The heart of it: whatever releases came and went, whatever was restarted, when the
// backfill is complete every decision is the one of an engine that had the last
// release from the start; and a replay gives all of them again.
func TestAfterABackfillAsIfFromTheStart(t *testing.T) {
	for round := range torture(5, 300) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			random := seeded(t, uint64(1000+round))
			events := dense(random, 900+random.IntN(600))
			o := options()
			o.CheckpointEvents = 50 + random.IntN(500)
			o.BatchEvents = 1 + random.IntN(64)
			o.Store.CheckReplaces = true
			if random.IntN(3) == 0 {
				o.BackfillShare = 0.02
			}
			if random.IntN(2) == 0 {
				o.StateMemory = 1 << 12
			}
			dir := t.TempDir()
			extra := pickExtra(random)
			c := startWith(t, dir, o, releaseWith(extra, "first"))
			var all [][]byte
			fed := 0
			feed := func(n int) {
				n = min(n, len(events)-200-fed)
				all = append(all, bodies(c.feed(events[fed:fed+n], fed)))
				fed += n
			}
			feed(100 + random.IntN(300))
			last := releaseWith(extra, "first")
			for n := range 1 + random.IntN(4) {
				if random.IntN(4) > 0 {
					extra = pickExtra(random)
				}
				last = releaseWith(extra, fmt.Sprint(n))
				c.activate(last)
				feed(random.IntN(150))
				switch random.IntN(4) {
				case 0:
					c.close()
					c = startWith(t, dir, o, last)
				case 1, 2:
					c.learned()
				}
				feed(random.IntN(150))
			}
			c.learned()
			rest := bodies(c.feed(events[fed:], fed))
			all = append(all, rest)
			if random.IntN(2) == 0 {
				c.close()
				c = startWith(t, dir, o, last)
				if f := c.Backfill().Features; len(f) > 0 {
					t.Errorf("after a restart %v wait again", f)
				}
			}
			c.close()
			same(t, "an engine that had the features from the start", rest, fromTheStart(t, last, events, fed))
			for _, batch := range []int{1, 512} {
				_, again := replayed(t, dir, batch)
				same(t, fmt.Sprint("replay in batches of ", batch), again, bytes.Join(all, nil))
			}
		})
	}
}
