package risk

import (
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var someCurrencies = []string{"JPY", "USD", "EUR", "KWD", "CLF"}

func genMoney(t *rapid.T) Money {
	return Money{rapid.Int64Range(-maxMinor, maxMinor).Draw(t, "minor"), rapid.SampledFrom(someCurrencies).Draw(t, "currency")}
}

func TestMoneyIsReadAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMoney(t)
		got, err := ParseMoney(m.Decimal(), m.Currency)
		if err != nil || got != m {
			t.Fatalf("ParseMoney(%q) = %v, %v, want %v", m.Decimal(), got, err, m)
		}
		exact, ok := new(big.Rat).SetString(m.Decimal())
		if !ok {
			t.Fatalf("%q is no decimal", m.Decimal())
		}
		if nearest, _ := exact.Float64(); m.Major() != nearest {
			t.Fatalf("Major(%v) = %v, want %v", m, m.Major(), nearest)
		}
		// Comparing majors is comparing minor units.
		other := Money{m.Minor + rapid.Int64Range(-3, 3).Draw(t, "more"), m.Currency}
		if (m.Major() < other.Major()) != (m.Minor < other.Minor) {
			t.Fatalf("%v and %v compare otherwise as majors", m, other)
		}
	})
}

func TestParseMoney(t *testing.T) {
	f := func(decimal, currency string, minor int64, want error) {
		t.Helper()
		m, err := ParseMoney(decimal, currency)
		if !errors.Is(err, want) || err == nil && m != (Money{minor, currency}) {
			t.Errorf("ParseMoney(%q, %q) = %v, %v, want %d, %v", decimal, currency, m, err, minor, want)
		}
	}
	f("12.30", "USD", 1230, nil)
	f("-12.3", "USD", -1230, nil)
	f("12.3000", "USD", 1230, nil)
	f("0012", "JPY", 12, nil)
	f("-0", "USD", 0, nil)
	f("1.2345", "CLF", 12345, nil)
	f("9999999999999.99", "USD", maxMinor, nil)
	f("10000000000000.00", "USD", 0, ErrOverflow)
	f("999999999999999999999999", "USD", 0, ErrOverflow)
	f("12.305", "USD", 0, ErrTooFine)
	f("1.5", "JPY", 0, ErrTooFine)
	for _, bad := range []string{"", ".5", "5.", "1e3", "+1", " 1", "1,5", "--1", "1.2.3", "٣"} {
		f(bad, "USD", 0, ErrAmount)
	}
	for _, bad := range []string{"", "usd", "US", "XXX", "XAU", "DEM", "USDX", "U\x00D"} {
		f("1", bad, 0, ErrCurrency)
	}
}

// TestConvert compares with exact decimal arithmetic.
func TestConvert(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMoney(t)
		rate := rapid.OneOf(
			rapid.Float64Range(1e-30, 1e12),
			rapid.Map(rapid.IntRange(1, 100_000), func(i int) float64 { return float64(i) / 1000 }),
			rapid.Just(math.MaxFloat64), rapid.Just(math.SmallestNonzeroFloat64),
		).Draw(t, "rate")
		to := rapid.SampledFrom(someCurrencies).Draw(t, "to")
		got, ok := m.Convert(rate, to)

		// Twice the exact result, then half to even by hand.
		exact := decimal(t, m.Decimal())
		exact.Mul(exact, decimal(t, strconv.FormatFloat(rate, 'g', -1, 64)))
		exact.Mul(exact, new(big.Rat).SetFloat64(pow10[Exponent(to)]))
		want, remainder := new(big.Int).QuoRem(new(big.Int).Abs(exact.Num()), exact.Denom(), new(big.Int))
		switch remainder.Lsh(remainder, 1).Cmp(exact.Denom()) {
		case 1:
			want.Add(want, big.NewInt(1))
		case 0:
			want.Add(want, new(big.Int).And(want, big.NewInt(1)))
		}
		if exact.Sign() < 0 {
			want.Neg(want)
		}
		if fits := want.CmpAbs(big.NewInt(maxMinor)) <= 0; fits != ok {
			t.Fatalf("%v at %v in %s: ok = %v, exactly %v", m, rate, to, ok, want)
		}
		if ok && (got.Currency != to || want.Cmp(big.NewInt(got.Minor)) != 0) {
			t.Fatalf("%v at %v in %s = %v, want %v minor units", m, rate, to, got, want)
		}
	})
	f := func(minor int64, rate float64, want int64) {
		t.Helper()
		if got, ok := (Money{minor, "USD"}).Convert(rate, "EUR"); !ok || got != (Money{want, "EUR"}) {
			t.Errorf("Convert(%d, %v) = %v, %v, want %d", minor, rate, got, ok, want)
		}
	}
	f(100, 1, 100)
	f(300, 0.125, 38) // 37.5
	f(500, 0.125, 62) // 62.5
	f(-300, 0.125, -38)
	f(-500, 0.125, -62)
	f(50, 1.15, 58) // 57.5 by the decimal, 57.49… by the float64
	f(100, 1e-25, 0)
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if got, ok := (Money{100, "USD"}).Convert(rate, "EUR"); ok {
			t.Errorf("Convert at %v = %v", rate, got)
		}
	}
	if got, ok := (Money{100, "USD"}).Convert(1, "XXX"); ok {
		t.Errorf("Convert to XXX = %v", got)
	}
	if got, ok := (Money{}).Convert(1, "EUR"); ok {
		t.Errorf("Convert of no money = %v", got)
	}
}

func decimal(t *rapid.T, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no decimal", s)
	}
	return r
}

func BenchmarkConvert(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Money{32321, "USD"}.Convert(0.92345, "EUR")
	}
}

func TestCurrencies(t *testing.T) {
	n := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			for c := 'A'; c <= 'Z'; c++ {
				if e := Exponent(string([]rune{a, b, c})); e >= 0 {
					n++
				} else if e != -1 {
					t.Fatalf("exponent %d", e)
				}
			}
		}
	}
	if n < 150 || n > 170 {
		t.Errorf("%d currencies", n)
	}
	for code, want := range map[string]int{"USD": 2, "JPY": 0, "BHD": 3, "CLF": 4, "ABC": -1, "": -1} {
		if got := Exponent(code); got != want {
			t.Errorf("Exponent(%q) = %d, want %d", code, got, want)
		}
	}
	if s := (Money{-5, "USD"}).String(); s != "-0.05 USD" || !strings.HasPrefix(Money{Minor: math.MinInt64, Currency: "JPY"}.Decimal(), "-9223372036854775808") {
		t.Errorf("%q", s)
	}
}
