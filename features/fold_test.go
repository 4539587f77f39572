package features

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-risk/sluice/risk"
)

// foldValue reads a slot over the events of a fold, and none beside.
func foldValue(s *slot, f *fold, r *reading) float64 {
	var st State
	switch {
	case s.last > 0 && f.recent == nil:
		v, _ := st.overLast(s, nil, nil, r)
		return v
	case s.last > 0:
		v, _ := st.overLast(s, f.recent.times, f.recent.values, r)
		return v
	case s.agg.tally != nil:
		a := &st.scratch
		a.start(s, f, true)
		if a.tooMany(s) {
			a.coarsen(s)
		}
		return s.total(a, r)
	case s.agg.streak:
		return float64(f.n)
	}
	return s.pick(f.best, r)
}

// What folds say must not depend on how events were put together: one by one, in
// parts that are merged, and after a restore.
func TestFoldsOfPartsAreFolds(t *testing.T) {
	var names []string
	for _, n := range modelNames {
		if strings.HasPrefix(n, "drawn_") {
			names = append(names, n)
		}
	}
	set := mustLoad(t, modelYAML(names))
	defer func(n int64) { exactValues = n }(exactValues)
	rapid.Check(t, func(t *rapid.T) {
		exactValues = int64(rapid.SampledFrom([]int{3, 10, 4096}).Draw(t, "exact"))
		f := rapid.SampledFrom(names).Draw(t, "feature")
		i, _ := set.Index(f)
		s := set.slots[set.features[i].slot]
		if s.life < 0 {
			s.life = 0
		}
		var events []pick
		for k := range rapid.IntRange(0, 40).Draw(t, "events") {
			p := pick{at: start + risk.Time(k/2)*1000, set: true}
			switch {
			case s.column == nil:
			case s.column.kind == moneyColumn:
				p.value = uint64(rapid.SampledFrom([]int64{-5, 0, 1, 1, 1234, 99_999, 100_001, 87_654_321}).Draw(t, "v"))
			case s.column.kind == numberColumn:
				p.value = math.Float64bits(rapid.SampledFrom([]float64{-2.5, 0, 1, 1e-12, 1234.5678, 3e17}).Draw(t, "v"))
			case s.column.kind == textColumn:
				p.text = &text{}
				p.text.set(draw(t, "a", "ab", "shop"))
			case s.column.kind == placeColumn:
				p.value = placeOf(rapid.SampledFrom([]float64{-90, 0, 0.004, 52.1}).Draw(t, "lat"), 12)
			default:
				p.value = uint64(rapid.IntRange(0, 3).Draw(t, "v"))
			}
			events = append(events, p)
		}
		one, parts, part := &fold{}, &fold{}, &fold{}
		for _, p := range events {
			one.take(&s, p)
			part.take(&s, p)
			if rapid.IntRange(0, 4).Draw(t, "cut") == 0 {
				parts.merge(&s, part)
				part = &fold{}
			}
		}
		parts.merge(&s, part)

		back := &fold{}
		d := &decoder{b: one.append(nil)}
		if back = d.fold(); d.end() != nil {
			t.Fatalf("restore: %v", d.end())
		}
		if one.keys != nil {
			d := &decoder{b: one.keys.appendPart(nil, 0)}
			if back.keys.restore(d, 0, 1); d.end() != nil {
				t.Fatalf("restore: %v", d.end())
			}
		}
		if one.recent != nil {
			d := &decoder{b: one.recent.append(nil)}
			if back.recent.restore(d, 1); d.end() != nil {
				t.Fatalf("restore: %v", d.end())
			}
		}
		r := &reading{now: start.Add(3600e9), own: []uint64{1, 0, 0, 0}}
		if len(events) > 0 {
			if last := events[len(events)-1]; last.text != nil {
				r.own = last.text[:]
			} else {
				r.own = []uint64{last.value}
			}
		}
		want := foldValue(&s, one, r)
		same := func(got float64) bool { return math.Float64bits(got) == math.Float64bits(want) }
		if got := foldValue(&s, parts, r); !same(got) {
			t.Fatalf("%s: %v of merged folds, want %v", f, got, want)
		}
		if got := foldValue(&s, back, r); !same(got) {
			t.Fatalf("%s: %v of a restored fold, want %v", f, got, want)
		}
		if one.n != parts.n || one.n != back.n || one.coarse != parts.coarse || one.coarse != back.coarse {
			t.Fatalf("%s: folds %+v, merged %+v, restored %+v", f, one, parts, back)
		}
		if one.keys != nil && !(slices.Equal(one.keys.list, parts.keys.list) || one.coarse) {
			t.Fatalf("%s: values %x, merged %x", f, one.keys.list, parts.keys.list)
		}
		if one.keys == nil && one.recent == nil && !reflect.DeepEqual(one, back) {
			t.Fatalf("%s: fold %+v, restored %+v", f, one, back)
		}
	})
}
