package risk

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// pointer gives where the scanner is, by RFC 6901. Keys are the sender's words:
// they are clipped, and card numbers in them masked.
func (s *scanner) pointer() string {
	var b []byte
	for _, seg := range s.path[1 : s.depth+1] {
		if seg.key == nil {
			if seg.index >= 0 {
				b = strconv.AppendInt(append(b, '/'), int64(seg.index), 10)
			}
			continue
		}
		b = append(b, '/')
		key := seg.key
		if mayHoldPAN(key) {
			key = bytes.Clone(key)
			maskPANs(key)
		}
		clipped := len(key) > maxName
		if clipped {
			key = key[:maxName]
			for !utf8.Valid(key) {
				key = key[:len(key)-1]
			}
		}
		for _, c := range key {
			switch c {
			case '~':
				b = append(b, "~0"...)
			case '/':
				b = append(b, "~1"...)
			default:
				b = append(b, c)
			}
		}
		if clipped {
			b = append(b, "…"...)
		}
	}
	return string(b)
}

// refuse reports a problem where the scanner is.
func (s *scanner) refuse(code, detail, hint string) {
	s.problem(Problem{Pointer: s.pointer(), Code: code, Detail: detail, Hint: hint})
}

func (s *scanner) problem(p Problem) {
	switch n := len(s.problems); {
	case n < maxReports:
		s.problems = append(s.problems, p)
	case n == maxReports:
		s.problems = append(s.problems, Problem{Code: CodeMoreProblems, Detail: "and more; these were the first"})
	}
}

// warn reports what could not be used, or was changed, where the scanner is.
func (s *scanner) warn(code, detail string) {
	switch {
	case s.strict || s.stored:
		s.refuse(code, detail, "")
	case len(s.warnings) < maxReports:
		s.warnings = append(s.warnings, Warning{Pointer: s.pointer(), Code: code, Detail: detail})
	default:
		s.more++
	}
}
