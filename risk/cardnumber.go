package risk

// A card number has 13 to 19 digits, the last of which is a check digit.
const (
	minPAN = 13
	maxPAN = 19
)

// luhn reports whether the last digit is the check digit of the others.
func luhn(digits []byte) bool {
	sum, double := 0, false
	for i := len(digits) - 1; i >= 0; i-- {
		d := int(digits[i] - '0')
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		double = !double
	}
	return sum%10 == 0
}

// readPAN copies the digits of a card number into dst and gives their count, 0
// for what is no card number. Single spaces and dashes may stand between digits.
func readPAN(dst *[maxPAN]byte, b []byte) int {
	n := 0
	for i, c := range b {
		switch {
		case isDigit(c) && n < maxPAN:
			dst[n] = c
			n++
		case (c == ' ' || c == '-') && i > 0 && isDigit(b[i-1]) && i+1 < len(b):
		default:
			return 0
		}
	}
	if n < minPAN || !luhn(dst[:n]) {
		return 0
	}
	return n
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// MaskCardNumbers stars out the card numbers in a text that is shown to a person,
// in place, and reports whether there was one.
func MaskCardNumbers(b []byte) bool { return maskPANs(b) }

// maskPANs stars out the middle of every card number in b, in place, and reports
// whether there was one. A card number is a sequence of digit groups with one
// space or dash between neighbours, 13 to 19 digits together, with a right check
// digit; what stands around it does not matter ("ref 4111 1111 1111 1111x").
func maskPANs(b []byte) bool {
	found := false
	for i := 0; i < len(b); {
		if !isDigit(b[i]) {
			i++
			continue
		}
		if end := panAt(b[i:]); end > 0 {
			starMiddle(b[i : i+end])
			i, found = i+end, true
			continue
		}
		for i < len(b) && isDigit(b[i]) { // on to the next group
			i++
		}
	}
	return found
}

// panAt gives the length of the longest card number that starts at b[0] and ends
// where a digit group ends, 0 for none.
func panAt(b []byte) (length int) {
	var digits [maxPAN]byte
	n := 0
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case isDigit(c):
			if n == maxPAN {
				return length
			}
			digits[n] = c
			n++
			if groupEnds := i+1 == len(b) || !isDigit(b[i+1]); groupEnds && n >= minPAN && luhn(digits[:n]) {
				length = i + 1
			}
		case (c == ' ' || c == '-') && i+1 < len(b) && isDigit(b[i+1]):
		default:
			return length
		}
	}
	return length
}

// starMiddle leaves the first six and the last four digits.
func starMiddle(b []byte) {
	total := 0
	for _, c := range b {
		if isDigit(c) {
			total++
		}
	}
	seen := 0
	for i, c := range b {
		if !isDigit(c) {
			continue
		}
		if seen++; seen > 6 && seen <= total-4 {
			b[i] = '*'
		}
	}
}

// mayHoldPAN reports whether b has a run of digits, spaces and dashes that is long
// enough for a card number: most text has none, and is left alone. Such a run
// can not hide between two looks that are as far apart as it is long.
func mayHoldPAN(b []byte) bool {
	for i := minPAN - 1; i < len(b); i += minPAN {
		if !inPAN(b[i]) {
			continue
		}
		from, to := i, i+1
		for from > 0 && inPAN(b[from-1]) {
			from--
		}
		for to < len(b) && inPAN(b[to]) {
			to++
		}
		if to-from >= minPAN {
			return true
		}
	}
	return false
}

func inPAN(c byte) bool { return isDigit(c) || c == ' ' || c == '-' }
