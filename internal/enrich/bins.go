package enrich

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

const (
	maxBINs      = 4_000_000
	maxFileFault = 20 // faults of one file that are told
	binHeader    = "from,to,country,brand,funding,issuer"
)

// bins tells what is known of card numbers by their first digits: segments that do
// not overlap, ascending, of numbers of eight digits.
type bins struct {
	from, to []uint32
	what     []uint32 // in issuers
	issuers  []issuer
}

type issuer struct{ country, brand, funding, name string }

// find gives what is known of all cards whose number begins with bin, of six to
// eight digits: a field in which they differ is not known.
func (b *bins) find(bin string) (out issuer) {
	low, high, ok := binRange(bin, bin)
	if !ok {
		return out
	}
	i, _ := slices.BinarySearchFunc(b.to, low, func(to, low uint32) int { return cmp.Compare(to, low) })
	for next, first := low, true; next <= high; i++ {
		if i == len(b.from) || b.from[i] > next {
			return issuer{} // some of them are in no range
		}
		is := &b.issuers[b.what[i]]
		if first {
			out, first = *is, false
		} else {
			out.keepEqual(is)
		}
		next = b.to[i] + 1
	}
	return out
}

func (a *issuer) keepEqual(b *issuer) {
	if a.country != b.country {
		a.country = ""
	}
	if a.brand != b.brand {
		a.brand = ""
	}
	if a.funding != b.funding {
		a.funding = ""
	}
	if a.name != b.name {
		a.name = ""
	}
}

// binRange gives the first and last number of eight digits that begin with one of
// from to to, which have six to eight digits.
func binRange(from, to string) (low, high uint32, ok bool) {
	if len(from) < 6 || len(from) > 8 || len(to) != len(from) {
		return 0, 0, false
	}
	scale := uint32(1)
	for range 8 - len(from) {
		scale *= 10
	}
	for i := range len(from) {
		f, t := from[i]-'0', to[i]-'0'
		if f > 9 || t > 9 {
			return 0, 0, false
		}
		low, high = 10*low+uint32(f), 10*high+uint32(t)
	}
	return low * scale, high*scale + scale - 1, low <= high
}

type binRow struct {
	low, high, what uint32
	line            int
}

// parseBINs reads rows from,to,country,brand,funding,issuer, in any order. An empty
// `to` is the same as `from`. A range may lie within another: the narrower one holds.
func parseBINs(src []byte, name string) (*bins, error) {
	f := faults{file: name}
	b := &bins{}
	known := map[issuer]uint32{}
	var rows []binRow
	line := 0
	for text := range bytes.Lines(bytes.TrimPrefix(src, []byte("\ufeff"))) {
		line++
		s := strings.TrimRight(string(text), "\r\n")
		switch {
		case line == 1:
			if s != binHeader {
				f.add(line, "the first line must be %s", binHeader)
			}
			continue
		case s == "" || strings.HasPrefix(s, "#"):
			continue
		case f.full():
			return nil, f.err()
		case line > maxBINs:
			f.add(line, "more than %d lines", maxBINs)
			return nil, f.err()
		}
		cells := strings.SplitN(s, ",", 6)
		if len(cells) != 6 {
			f.add(line, "%d columns, not the six of %s", len(cells), binHeader)
			continue
		}
		from, to := cells[0], cmp.Or(cells[1], cells[0])
		low, high, ok := binRange(from, to)
		if !ok {
			f.add(line, "%.20q to %.20q is no range of 6 to 8 digits, both of one length", from, to)
			continue
		}
		is := issuer{country: cells[2], brand: strings.ToLower(cells[3]), funding: strings.ToLower(cells[4]), name: strings.Trim(cells[5], `"`)}
		if is.country != "" && risk.CountryCode(is.country) == "" {
			f.add(line, "%.20q is no ISO 3166-1 alpha-2 country code", is.country)
			continue
		}
		switch is.funding {
		case "", "credit", "debit", "prepaid", "charge":
		default:
			f.add(line, "%.20q is none of credit, debit, prepaid, charge", is.funding)
			continue
		}
		at, ok := known[is]
		if !ok {
			is.country = risk.CountryCode(is.country)
			is.brand, is.funding, is.name = strings.Clone(is.brand), strings.Clone(is.funding), strings.Clone(is.name)
			at = uint32(len(b.issuers))
			b.issuers, known[is] = append(b.issuers, is), at
		}
		rows = append(rows, binRow{low, high, at, line})
	}
	if line == 0 {
		f.add(1, "the first line must be %s", binHeader)
	}
	// Wide before narrow at one beginning, so that what is open is always wider.
	slices.SortFunc(rows, func(a, b binRow) int {
		return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(b.high, a.high), cmp.Compare(a.line, b.line))
	})
	var open []binRow
	done := uint32(0) // all below is in segments
	emit := func(until uint32) {
		top := open[len(open)-1]
		if done <= until {
			b.from, b.to, b.what = append(b.from, done), append(b.to, until), append(b.what, top.what)
		}
		done = until + 1
	}
	for _, r := range rows {
		for len(open) > 0 && open[len(open)-1].high < r.low {
			emit(open[len(open)-1].high)
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			switch top := open[len(open)-1]; {
			case top.low == r.low && top.high == r.high:
				f.add(r.line, "the same range stands on line %d already", top.line)
				continue
			case top.high < r.high:
				f.add(r.line, "overlaps the range of line %d and is not within it", top.line)
				continue
			}
			if r.low > done {
				emit(r.low - 1)
			}
		}
		open, done = append(open, r), r.low
	}
	for len(open) > 0 {
		emit(open[len(open)-1].high)
		open = open[:len(open)-1]
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return b, nil
}

// faults gathers what is wrong with a file, by line.
type faults struct {
	file string
	all  []fileFault
}

type fileFault struct {
	line int
	what string
}

func (f *faults) add(line int, format string, args ...any) {
	f.all = append(f.all, fileFault{line, fmt.Sprintf(format, args...)})
}

func (f *faults) full() bool { return len(f.all) > maxFileFault }

func (f *faults) err() error {
	slices.SortStableFunc(f.all, func(a, b fileFault) int { return cmp.Compare(a.line, b.line) })
	var errs []error
	for i, one := range f.all {
		if i == maxFileFault {
			errs = append(errs, fmt.Errorf("%s: more lines are wrong; these were the first", f.file))
			break
		}
		errs = append(errs, fmt.Errorf("%s:%d: %s", f.file, one.line, one.what))
	}
	return errors.Join(errs...)
}
