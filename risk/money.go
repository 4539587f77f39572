package risk

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Money is an amount in integer minor units: {1230, "USD"} is 12.30 USD. It is
// never a float. A Money without a currency is absent.
//
// Amounts have at most MaxDigits digits, so the major-unit float that
// expressions read orders and compares exactly as the minor units do.
type Money struct {
	Minor    int64
	Currency string // ISO 4217, upper case
}

// MaxDigits bounds an amount in minor units: 15 digits are exact in a float64.
const MaxDigits = 15

const maxMinor = 999_999_999_999_999

var (
	ErrCurrency = errors.New("not an ISO 4217 currency")
	ErrAmount   = errors.New("not a decimal amount")
	ErrOverflow = errors.New("amount has more than 15 digits")
	ErrTooFine  = errors.New("amount is finer than the currency's minor unit")
)

// IsZero reports whether the money is absent (zero of a currency is not absent).
func (m Money) IsZero() bool { return m.Currency == "" }

// Major gives the amount in major units: the float64 nearest to the decimal.
func (m Money) Major() float64 { return float64(m.Minor) / pow10[max(Exponent(m.Currency), 0)] }

// String gives "12.30 USD".
func (m Money) String() string { return m.Decimal() + " " + m.Currency }

// Decimal gives the amount with exactly the currency's decimals: "12.30".
func (m Money) Decimal() string { return string(m.AppendDecimal(nil)) }

// AppendDecimal appends Decimal to dst.
func (m Money) AppendDecimal(dst []byte) []byte {
	exp := max(Exponent(m.Currency), 0)
	u := uint64(m.Minor)
	if m.Minor < 0 {
		dst = append(dst, '-')
		u = -u
	}
	unit := uint64(pow10[exp])
	dst = strconv.AppendUint(dst, u/unit, 10)
	if exp == 0 {
		return dst
	}
	dst = append(dst, '.')
	frac := strconv.FormatUint(u%unit, 10)
	for range exp - len(frac) {
		dst = append(dst, '0')
	}
	return append(dst, frac...)
}

// ParseMoney reads a plain decimal ("12.30", "-5") in a currency. More decimals
// than the currency has are refused unless they are zeros; exponents, signs
// other than a leading minus, spaces and separators are refused.
func ParseMoney(decimal, currency string) (Money, error) {
	exp := Exponent(currency)
	if exp < 0 {
		return Money{}, fmt.Errorf("%q: %w", clip(currency), ErrCurrency)
	}
	digits, negative := strings.CutPrefix(decimal, "-")
	whole, frac, dot := strings.Cut(digits, ".")
	if !allDigits(whole) || dot && !allDigits(frac) {
		return Money{}, fmt.Errorf("%q: %w", clip(decimal), ErrAmount)
	}
	if len(frac) > exp {
		if strings.Trim(frac[exp:], "0") != "" {
			return Money{}, fmt.Errorf("%q %s: %w (%d decimals)", clip(decimal), currency, ErrTooFine, exp)
		}
		frac = frac[:exp]
	}
	var minor int64
	for _, part := range [...]string{whole, frac} {
		for i := range len(part) {
			if minor = minor*10 + int64(part[i]-'0'); minor > maxMinor {
				return Money{}, fmt.Errorf("%q: %w", clip(decimal), ErrOverflow)
			}
		}
	}
	for range exp - len(frac) {
		if minor *= 10; minor > maxMinor {
			return Money{}, fmt.Errorf("%q: %w", clip(decimal), ErrOverflow)
		}
	}
	if negative {
		minor = -minor
	}
	return Money{Minor: minor, Currency: currency}, nil
}

// Convert gives m in another currency at rate (units of that currency for one of
// m's), rounded half to even on the minor unit. The rate is taken as the shortest
// decimal that names it, so that 1.15 means 1.15 and a half is a half, and the
// product is exact before it is rounded. It reports false when the result has
// more than MaxDigits digits, or the rate is no positive number.
func (m Money) Convert(rate float64, currency string) (Money, bool) {
	from, to := Exponent(m.Currency), Exponent(currency)
	if from < 0 || to < 0 || !(rate > 0) || math.IsInf(rate, 1) {
		return Money{}, false
	}
	digits, exp := shortest(rate)
	u := uint64(m.Minor)
	if m.Minor < 0 {
		u = -u
	}
	hi, lo := bits.Mul64(u, digits)
	minor, ok := scale(hi, lo, exp+to-from)
	if !ok || minor > maxMinor {
		return Money{}, false
	}
	if m.Minor < 0 {
		return Money{Minor: -int64(minor), Currency: currency}, true
	}
	return Money{Minor: int64(minor), Currency: currency}, true
}

// shortest gives a positive v as digits x 10^exp: the fewest digits (17 at most)
// that read back as v.
func shortest(v float64) (digits uint64, exp int) {
	var buf [32]byte
	b := strconv.AppendFloat(buf[:0], v, 'e', -1, 64) // d.ddde±dd
	i := 0
	for ; b[i] != 'e'; i++ {
		if b[i] != '.' {
			digits = digits*10 + uint64(b[i]-'0')
			exp--
		}
	}
	written := 0
	for _, c := range b[i+2:] {
		written = written*10 + int(c-'0')
	}
	if b[i+1] == '-' {
		written = -written
	}
	return digits, exp + 1 + written
}

// scale gives hi:lo x 10^exp rounded half to even, false beyond 64 bits. hi:lo
// is below 10^37: a product of 64-bit amounts and 17-digit rates.
func scale(hi, lo uint64, exp int) (v uint64, ok bool) {
	for ; exp > 0; exp-- {
		if hi != 0 || lo > math.MaxUint64/10 {
			return 0, hi|lo == 0
		}
		lo *= 10
	}
	if exp < -38 {
		return 0, true
	}
	const most = 19 // 10^19 is the greatest power that 64 bits hold
	rest := false   // digits dropped before the last division
	if exp < -most {
		var q1, r uint64
		q1, r = bits.Div64(0, hi, power(most))
		lo, r = bits.Div64(r, lo, power(most))
		hi, rest, exp = q1, r != 0, exp+most
	}
	unit := power(-exp)
	if hi >= unit {
		return 0, false
	}
	v, r := bits.Div64(hi, lo, unit)
	switch half := unit - r; { // r against the half of unit, without overflow
	case r > half || r == half && unit > 1 && (rest || v%2 == 1):
		v++
	}
	return v, true
}

func power(n int) uint64 {
	v := uint64(1)
	for range n {
		v *= 10
	}
	return v
}

func allDigits[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

var pow10 = [...]float64{1, 10, 100, 1000, 10_000}

// Exponent gives the number of decimals of an ISO 4217 currency, -1 for a code
// that is none. Precious metals, test and funds codes are not currencies here.
func Exponent(currency string) int {
	if len(currency) != 3 {
		return -1
	}
	a, b, c := currency[0]-'A', currency[1]-'A', currency[2]-'A'
	if a > 25 || b > 25 || c > 25 {
		return -1
	}
	return int(exponents[int(a)*676+int(b)*26+int(c)]) - 1
}

// exponents holds the decimals of ISO 4217's list one (active currencies) plus
// one, by the code's letters.
var exponents = func() (t [26 * 26 * 26]uint8) {
	for exp, codes := range [...]string{
		0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
		2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
		3: "BHD IQD JOD KWD LYD OMR TND",
		4: "CLF UYW",
	} {
		for code := range strings.FieldsSeq(codes) {
			t[int(code[0]-'A')*676+int(code[1]-'A')*26+int(code[2]-'A')] = uint8(exp) + 1
		}
	}
	return t
}()
