package mapping

import (
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

// currencies gives the letters of ISO 4217's numeric codes, as ISO 8583 sends them.
var currencies = func() map[string]string {
	all := map[string]string{}
	for pair := range strings.FieldsSeq(`
		008ALL 012DZD 032ARS 036AUD 044BSD 048BHD 050BDT 051AMD 052BBD 060BMD 064BTN 068BOB 072BWP 084BZD 090SBD 096BND
		104MMK 108BIF 116KHR 124CAD 132CVE 136KYD 144LKR 152CLP 156CNY 170COP 174KMF 188CRC 192CUP 203CZK 208DKK 214DOP 222SVC
		230ETB 232ERN 238FKP 242FJD 262DJF 270GMD 292GIP 320GTQ 324GNF 328GYD 332HTG 340HNL 344HKD 348HUF 352ISK 356INR
		360IDR 364IRR 368IQD 376ILS 388JMD 392JPY 398KZT 400JOD 404KES 408KPW 410KRW 414KWD 417KGS 418LAK 422LBP 426LSL 430LRD
		434LYD 446MOP 454MWK 458MYR 462MVR 480MUR 484MXN 496MNT 498MDL 504MAD 512OMR 516NAD 524NPR 532XCG 533AWG 548VUV
		554NZD 558NIO 566NGN 578NOK 586PKR 590PAB 598PGK 600PYG 604PEN 608PHP 634QAR 643RUB 646RWF 654SHP 682SAR 690SCR
		702SGD 704VND 706SOS 710ZAR 728SSP 748SZL 752SEK 756CHF 760SYP 764THB 776TOP 780TTD 784AED 788TND 800UGX 807MKD
		818EGP 826GBP 834TZS 840USD 858UYU 860UZS 882WST 886YER 901TWD 924ZWG 925SLE 926VED 928VES 929MRU 930STN 933BYN
		934TMT 936GHS 938SDG 941RSD 943MZN 944AZN 946RON 949TRY 950XAF 951XCD 952XOF 953XPF 967ZMW 968SRD 969MGA 971AFN
		972TJS 973AOA 976CDF 977BAM 978EUR 980UAH 981GEL 985PLN 986BRL 990CLF 927UYW`) {
		all[pair[:3]] = pair[3:]
	}
	return all
}()

// currencyOf gives the letters of a currency code in letters of any case or digits.
func currencyOf(text string) (string, bool) {
	if letters, ok := currencies[text]; ok {
		text = letters
	}
	text = strings.ToUpper(text)
	return text, risk.Exponent(text) >= 0
}

// maxMinor is how many digits an amount in minor units may have.
const maxMinor = risk.MaxDigits

// appendMajor writes whole minor units as a decimal, digit by digit: no float
// comes near an amount.
func appendMajor(dst, minor []byte, exponent int) (_ []byte, fault string) {
	digits := minor
	negative := len(digits) > 0 && digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	if !allDigits(digits) {
		return dst, "not a whole number of minor units"
	}
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	if len(digits) > maxMinor {
		return dst, "an amount of more than 15 digits"
	}
	if negative {
		dst = append(dst, '-')
	}
	whole := len(digits) - exponent
	if whole <= 0 {
		dst = append(dst, '0')
	} else {
		dst = append(dst, digits[:whole]...)
	}
	if exponent == 0 {
		return dst, ""
	}
	dst = append(dst, '.')
	for ; whole < 0; whole++ {
		dst = append(dst, '0')
	}
	return append(dst, digits[whole:]...), ""
}
