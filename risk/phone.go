package risk

import "strings"

// Phone gives a number in the form of ITU-T E.164: "+", country code, national
// number. Written internationally ("+44 (0)20 7946 0958", "0044 …", "tel:+44…") it
// needs no region. Otherwise region is the ISO 3166-1 country in which it would be
// dialled: "020 7946 0958" in GB is +442079460958. Without a region that is known
// its digits alone remain, which compare with nothing but the same digits. "" for
// what is no number: fewer than five digits, or more than E.164 has.
//
// An extension is cut off: the line is the same. What is dialled at home before the
// number is dropped, and so is the carrier-independent part that some countries
// used to write (Mexico's 1 before mobiles). It says nothing about whether a number
// has been given out.
//
// Sources: ITU-T Recommendation E.164 and its list of assigned country codes; the
// national numbering plans as countries publish them with the ITU; RFC 3966 for
// "tel:" and ";ext=".
func Phone(s, region string) string { return string(appendPhone(nil, s, region)) }

const (
	leastDigits = 5  // fewer are no number where nobody knows whose
	mostDigits  = 15 // E.164
)

func appendPhone(dst []byte, s, region string) []byte {
	var room [32]byte
	digits, international, ok := phoneDigits(room[:0], s)
	home := dialledFrom(region)
	if !ok || len(digits) < leastDigits && (len(digits) < leastDigits-1 || home.code == "") {
		return dst
	}
	if !international {
		if prefix := home.abroad(digits); prefix > 0 {
			digits, international = digits[prefix:], true
		}
	}
	switch code := 0; {
	case international:
		if code = codeLength(digits); code == 0 {
			return dst
		}
		return appendE164(dst, digits[:code], planOf(digits[:code]).national(digits[code:]))
	case home.code == "":
		if len(digits) > mostDigits {
			return dst
		}
		return append(dst, digits...)
	}
	if own := len(home.code); len(digits) > home.longest && strings.HasPrefix(string(digits), home.code) && len(digits)-own >= leastDigits &&
		!strings.HasPrefix(string(digits), home.trunk) {
		digits = digits[own:] // the country code without its +
	}
	return appendE164(dst, home.code, home.national(digits))
}

func appendE164[T string | []byte](dst []byte, code T, national []byte) []byte {
	if len(national) < 3 || len(code)+len(national) > mostDigits || len(code)+len(national) < leastDigits {
		return dst
	}
	return append(append(append(dst, '+'), code...), national...)
}

// phoneDigits gathers the digits of any script, up to an extension.
func phoneDigits(dst []byte, s string) (digits []byte, international, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > 4 && strings.EqualFold(s[:4], "tel:") {
		s = s[4:]
	}
	for _, r := range s {
		d := digitOf(r)
		switch {
		case d >= 0 && len(dst) == cap(dst):
			return nil, false, false
		case d >= 0:
			dst = append(dst, byte('0'+d))
		case r == '+' || r == '＋':
			if len(dst) > 0 || international {
				return nil, false, false
			}
			international = true
		case len(dst) >= leastDigits && (r == 'x' || r == 'X' || r == 'e' || r == 'E' || r == ';' || r == '#' || r == ','):
			return dst, international, true // an extension follows
		case !betweenDigits(r):
			return nil, false, false
		}
	}
	return dst, international, true
}

// digitOf gives the value of a decimal digit of the scripts in which people write
// telephone numbers, else -1.
func digitOf(r rune) int {
	if r >= '0' && r <= '9' {
		return int(r - '0')
	}
	if r < 0x660 {
		return -1
	}
	for _, zero := range [...]rune{0x660, 0x6f0, 0x966, 0x9e6, 0xff10} { // Arabic, Persian, Devanagari, Bengali, full width
		if r >= zero && r <= zero+9 {
			return int(r - zero)
		}
	}
	return -1
}

func betweenDigits(r rune) bool {
	switch r {
	case ' ', '-', '(', ')', '.', '/', '\u00a0', '\u202f', '\u3000', '（', '）', '－':
		return true
	}
	return r >= 0x2010 && r <= 0x2015 // hyphens and dashes
}

// plan is how the numbers of one country code are dialled within it.
type plan struct {
	code    string
	trunk   string // dialled before a national number at home; "" none
	longest int    // digits of a geographic or mobile number
	exit    string // dialled before a country code abroad
}

// national drops the trunk prefix, which is no part of the number, as often as
// somebody has written it.
func (p *plan) national(digits []byte) []byte {
	for n := p.prefix(digits); n > 0; n = p.prefix(digits) {
		digits = digits[n:]
	}
	return digits
}

// prefix gives the length of what is dialled before the number.
func (p *plan) prefix(digits []byte) int {
	first, more := digits[0], len(digits)-p.longest
	switch p.code {
	case "1", "7": // numbers may begin like the prefix
		if more == 1 && first == p.trunk[0] {
			return 1
		}
		return 0
	case "375": // 8, then the 0 of the area
		if more > 0 && (first == '8' || first == '0') {
			return 1
		}
		return 0
	case "370": // 8 until 2024
		if more == 1 && first == '8' {
			return 1
		}
	case "52": // until 2019 dialled before mobile and distant numbers
		for _, before := range [...]string{"044", "045", "01", "1"} {
			if more == len(before) && strings.HasPrefix(string(digits), before) {
				return more
			}
		}
	}
	if n := len(p.trunk); n > 0 && len(digits) > n+2 && strings.HasPrefix(string(digits), p.trunk) {
		return n
	}
	return 0
}

// abroad gives the length of the exit code that the digits begin with, 0 for none.
func (p *plan) abroad(digits []byte) int {
	for _, exit := range [...]string{p.exit, "00"} {
		if n := len(exit); n > 0 && len(digits) > n+leastDigits && strings.HasPrefix(string(digits), exit) && codeLength(digits[n:]) > 0 {
			return n
		}
	}
	return 0
}

// codeLength gives the length of the country code that the digits begin with. No
// code is the beginning of another.
func codeLength(digits []byte) int {
	for n := 1; n <= 3 && n < len(digits); n++ {
		if codes[codeNumber(digits[:n])].code != "" {
			return n
		}
	}
	return 0
}

func codeNumber[T string | []byte](digits T) (n int) {
	for i := range len(digits) {
		n = 10*n + int(digits[i]-'0')
	}
	return n
}

func planOf(code []byte) *plan { return &codes[codeNumber(code)] }

// dialledFrom gives the plan of a country; its zero value knows nothing.
func dialledFrom(region string) *plan {
	if len(region) == 2 && CountryCode(region) != "" {
		return codesByRegion[int(region[0]-'A')*26+int(region[1]-'A')]
	}
	return &codes[0]
}

// codes are the plans by country code; number 0 is none.
var codes = func() (all [1000]plan) {
	for line := range strings.Lines(dialling) {
		f := strings.Fields(line)
		p := plan{code: f[0], longest: codeNumber(f[2])}
		if f[1] != "-" {
			p.trunk = f[1]
		}
		all[codeNumber(f[0])] = p
	}
	for f := range strings.FieldsSeq(services) {
		all[codeNumber(f)] = plan{code: f, longest: mostDigits - len(f)}
	}
	for f := range strings.FieldsSeq(exits) {
		code, exit, _ := strings.Cut(f, ":")
		all[codeNumber(code)].exit = exit
	}
	return all
}()

var codesByRegion = func() (all [26 * 26]*plan) {
	for i := range all {
		all[i] = &codes[0]
	}
	for line := range strings.Lines(dialling) {
		f := strings.Fields(line)
		for _, region := range f[3:] {
			all[int(region[0]-'A')*26+int(region[1]-'A')] = &codes[codeNumber(f[0])]
		}
	}
	return all
}()

// services are the country codes that belong to no country: freephone, satellites,
// networks and personal numbers.
const services = "800 808 870 878 881 882 883 888 979"

// exits are the codes dialled for abroad where that is not 00.
const exits = "1:011 7:810 61:0011 65:001 66:001 62:001 81:010 82:001 852:001 855:001 886:002 53:119 254:000 255:000 256:000 234:009 592:001 375:810 993:810 992:810 976:001 692:011 691:011 680:011"

// dialling has a line for each country code: trunk prefix, the most digits of a
// geographic or mobile number, and the countries that share it.
const dialling = `1 1 10 AG AI AS BB BM BS CA DM DO GD GU JM KN KY LC MP MS PR SX TC TT US VC VG VI UM
20 0 10 EG
211 0 9 SS
212 0 9 EH MA
213 0 9 DZ
216 - 8 TN
218 0 9 LY
220 - 7 GM
221 - 9 SN
222 - 8 MR
223 - 8 ML
224 - 9 GN
225 - 10 CI
226 - 8 BF
227 - 8 NE
228 - 8 TG
229 - 10 BJ
230 - 8 MU
231 0 9 LR
232 0 8 SL
233 0 9 GH
234 0 10 NG
235 - 8 TD
236 - 8 CF
237 - 9 CM
238 - 7 CV
239 - 7 ST
240 - 9 GQ
241 - 8 GA
242 - 9 CG
243 0 9 CD
244 - 9 AO
245 - 9 GW
246 - 7 IO
248 - 7 SC
249 0 9 SD
250 0 9 RW
251 0 9 ET
252 0 8 SO
253 - 8 DJ
254 0 9 KE
255 0 9 TZ
256 0 9 UG
257 - 8 BI
258 - 9 MZ
260 0 9 ZM
261 0 9 MG
262 0 9 RE YT TF
263 0 9 ZW
264 0 9 NA
265 0 9 MW
266 - 8 LS
267 - 8 BW
268 - 8 SZ
269 - 7 KM
27 0 9 ZA
290 - 5 SH
291 0 7 ER
297 - 7 AW
298 - 6 FO
299 - 6 GL
30 - 10 GR
31 0 9 NL
32 0 9 BE
33 0 9 FR
34 - 9 ES
350 - 8 GI
351 - 9 PT
352 - 9 LU
353 0 9 IE
354 - 7 IS
355 0 9 AL
356 - 8 MT
357 - 8 CY
358 0 9 AX FI
359 0 8 BG
36 06 9 HU
370 0 8 LT
371 - 8 LV
372 - 8 EE
373 0 8 MD
374 0 8 AM
375 8 9 BY
376 - 6 AD
377 0 9 MC
378 - 10 SM
380 0 9 UA
381 0 9 RS
382 0 8 ME
383 0 8 XK
385 0 9 HR
386 0 8 SI
387 0 8 BA
389 0 8 MK
39 - 10 IT VA
40 0 9 RO
41 0 9 CH
420 - 9 CZ
421 0 9 SK
423 0 9 LI
43 0 10 AT
44 0 10 GB GG IM JE
45 - 8 DK
46 0 9 SE
47 - 8 NO SJ BV
48 - 9 PL
49 0 11 DE
500 - 5 FK GS
501 - 7 BZ
502 - 8 GT
503 - 8 SV
504 - 8 HN
505 - 8 NI
506 - 8 CR
507 - 8 PA
508 0 6 PM
509 - 8 HT
51 0 9 PE
52 - 10 MX
53 0 8 CU
54 0 11 AR
55 0 11 BR
56 - 9 CL
57 0 10 CO
58 0 10 VE
590 0 9 BL GP MF
591 0 8 BO
592 - 7 GY
593 0 9 EC
594 0 9 GF
595 0 9 PY
596 0 9 MQ
597 - 7 SR
598 0 8 UY
599 - 8 BQ CW
60 0 9 MY
61 0 9 AU CC CX
62 0 9 ID
63 0 10 PH
64 0 9 NZ PN
65 - 8 SG
66 0 9 TH
670 - 8 TL
672 - 6 NF AQ HM
673 - 7 BN
674 - 7 NR
675 - 8 PG
676 - 7 TO
677 - 7 SB
678 - 7 VU
679 - 7 FJ
680 - 7 PW
681 - 6 WF
682 - 5 CK
683 - 7 NU
685 - 7 WS
686 0 8 KI
687 - 6 NC
688 - 6 TV
689 - 8 PF
690 - 4 TK
691 - 7 FM
692 1 7 MH
7 8 10 KZ RU
81 0 10 JP
82 0 10 KR
84 0 10 VN
850 0 10 KP
852 - 8 HK
853 - 8 MO
855 0 8 KH
856 0 10 LA
86 0 11 CN
880 0 10 BD
886 0 9 TW
90 0 10 TR
91 0 10 IN
92 0 10 PK
93 0 9 AF
94 0 9 LK
95 0 8 MM
960 - 7 MV
961 0 8 LB
962 0 9 JO
963 0 9 SY
964 0 10 IQ
965 - 8 KW
966 0 9 SA
967 0 9 YE
968 - 8 OM
970 0 9 PS
971 0 9 AE
972 0 9 IL
973 - 8 BH
974 - 8 QA
975 - 8 BT
976 0 8 MN
977 0 10 NP
98 0 10 IR
992 - 9 TJ
993 8 8 TM
994 0 9 AZ
995 0 9 GE
996 0 9 KG
998 - 9 UZ
247 - 5`
