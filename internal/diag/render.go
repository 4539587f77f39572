package diag

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// maxShown is how much of a long source line is printed, in columns.
const maxShown = 160

// Render prints the mistakes in the order of their places, each with its source
// line and carets below it. Characters that would move the cursor are replaced,
// so that a file cannot write to the terminal.
func Render(w io.Writer, l List, files Files) {
	l = slices.Clone(l)
	l.Sort()
	lines := map[string][]string{}
	var b bytes.Buffer
	for i, d := range l {
		if i > 0 {
			b.WriteByte('\n')
		}
		if _, ok := lines[d.Span.File]; !ok {
			if src, ok := files[d.Span.File]; ok {
				lines[d.Span.File] = splitLines(src)
			}
		}
		render(&b, d, lines[d.Span.File])
	}
	w.Write(b.Bytes())
}

func render(b *bytes.Buffer, d Diagnostic, lines []string) {
	fmt.Fprintf(b, "%s: %s\n", d.kind(), printable(d.Message))
	fmt.Fprintf(b, "  --> %s\n", printable(d.Span.String()))
	if at := d.Span.Line; at >= 1 && at <= len(lines) {
		line, column, width := window([]rune(lines[at-1]), d.Span.Column-1, max(d.Span.Width, 1))
		gutter := fmt.Sprintf(" %d ", at)
		pad, carets := columns(line[:column]), max(columns(line[column:column+width]), 1)
		fmt.Fprintf(b, "%s| %s\n", gutter, strings.TrimRight(printable(string(line)), " "))
		fmt.Fprintf(b, "%s| %s%s", strings.Repeat(" ", len(gutter)), strings.Repeat(" ", pad), strings.Repeat("^", carets))
		if d.Label != "" {
			b.WriteString(" " + printable(d.Label))
		}
		b.WriteByte('\n')
	} else if d.Label != "" {
		fmt.Fprintf(b, "   | %s\n", printable(d.Label))
	}
	if d.Help != "" {
		fmt.Fprintf(b, "help: %s      ", printable(d.Help))
	}
	fmt.Fprintf(b, "docs: sluice help %s\n", d.Code)
}

// window cuts a long line around the marked characters, which start at column
// (from 0); it gives the cut line and where the mark is in it.
func window(line []rune, column, width int) ([]rune, int, int) {
	column = min(max(column, 0), len(line))
	width = min(width, len(line)-column)
	if columns(line) <= maxShown {
		return line, column, width
	}
	from := max(column-maxShown/4, 0)
	to := from
	for shown := 0; to < len(line) && shown < maxShown; to++ {
		shown += runeColumns(line[to])
	}
	width = min(width, to-column)
	cut := slices.Clone(line[from:to])
	column -= from
	if from > 0 {
		cut = append([]rune("…"), cut...)
		column++
	}
	if to < len(line) {
		cut = append(cut, '…')
	}
	return cut, column, width
}

// printable replaces tabs by a space and all other control and direction
// characters by U+FFFD.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), isBreak(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// columns counts the columns of a line. A run of emoji that is drawn as one takes
// the columns of its first; U+FE0F makes an emoji of the character before it.
func columns(line []rune) (n int) {
	const joiner, emoji = '\u200d', '\ufe0f'
	for i, r := range line {
		switch {
		case i > 0 && line[i-1] == joiner:
		case i > 0 && r >= 0x1f3fb && r <= 0x1f3ff && runeColumns(line[i-1]) == 2: // skin tone
		case i > 0 && r == emoji && unicode.Is(unicode.So, line[i-1]):
			n += 2 - runeColumns(line[i-1])
		default:
			n += runeColumns(r)
		}
	}
	return n
}

// runeColumns gives how many terminal columns a character takes: 2 for East Asian
// wide and full-width ones and for emoji, 0 for marks that combine.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me), unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Bidi_Control, r):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// wide holds the East Asian Wide and Fullwidth blocks of Unicode's UAX 11, emoji
// with them.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1}, {0x231a, 0x231b, 1}, {0x2329, 0x232a, 1}, {0x23e9, 0x23ec, 1},
		{0x23f0, 0x23f3, 3}, {0x25fd, 0x25fe, 1}, {0x2614, 0x2615, 1}, {0x2648, 0x2653, 1}, {0x267f, 0x2693, 20},
		{0x26a1, 0x26aa, 9}, {0x26ab, 0x26bd, 18}, {0x26be, 0x26c4, 6}, {0x26c5, 0x26ce, 9}, {0x26d4, 0x26ea, 22},
		{0x26f2, 0x26f3, 1}, {0x26f5, 0x26fa, 5}, {0x26fd, 0x2705, 8}, {0x270a, 0x270b, 1}, {0x2728, 0x274c, 36},
		{0x274e, 0x2753, 5}, {0x2754, 0x2755, 1}, {0x2757, 0x2795, 62}, {0x2796, 0x2797, 1}, {0x27b0, 0x27bf, 15},
		{0x2b1b, 0x2b1c, 1}, {0x2b50, 0x2b55, 5},
		{0x2e80, 0x303e, 1}, {0x3041, 0x33ff, 1}, {0x3400, 0x4dbf, 1}, {0x4e00, 0xa4cf, 1},
		{0xa960, 0xa97c, 1}, {0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe10, 0xfe19, 1},
		{0xfe30, 0xfe6f, 1}, {0xff01, 0xff60, 1}, {0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{
		{0x16fe0, 0x18cff, 1}, {0x1aff0, 0x1b2ff, 1}, {0x1f004, 0x1f0cf, 203}, {0x1f18e, 0x1f18e, 1}, {0x1f191, 0x1f19a, 1}, {0x1f200, 0x1f265, 1}, {0x1f300, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f7e0, 0x1f7eb, 1},
		{0x1f900, 0x1f9ff, 1}, {0x1fa70, 0x1faff, 1}, {0x20000, 0x3fffd, 1},
	},
}
