package diag

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// syntax reports that the file is no YAML. The parser names a line only, often
// that of the mapping around the mistake, so the usual mistakes are looked for
// first; they are reported where they were made.
func (d *Decoder) syntax(err error) {
	s := sleuth{lines: d.src.lines, code: notYAML}
	if s.search(); s.found {
		d.Add(Diagnostic{Code: s.code, Message: s.message, Label: s.label, Help: s.help, Span: d.span(s.at.line+1, s.at.column+1, s.at.width)})
		return
	}
	line, message := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = min(max(n, 1), len(d.src.lines))
		} else if _, anchor, ok := strings.Cut(message, "unknown anchor '"); ok {
			anchor, _, _ = strings.Cut(anchor, "'")
			for i, l := range d.src.lines {
				if at := strings.Index(l, "*"+anchor); at >= 0 {
					column := utf8.RuneCountInString(l[:at]) + 1
					d.Add(Diagnostic{
						Code: notYAML, Message: fmt.Sprintf("unknown anchor `%s`", anchor), Help: d.anchors(anchor),
						Span: d.span(i+1, column, utf8.RuneCountInString(anchor)+1),
					})
					return
				}
			}
		}
	}
	text := d.src.lines[line-1]
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	d.Add(Diagnostic{Code: notYAML, Message: "not valid YAML: " + message, Span: d.span(line, indent+1, utf8.RuneCountInString(text)-indent)})
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	anchorForm = regexp.MustCompile(`(?:^|[\s\[{,])&([\w-]+)`)
)

func (d *Decoder) anchors(name string) string {
	var known []string
	for _, l := range d.src.lines {
		for _, m := range anchorForm.FindAllStringSubmatch(l, -1) {
			known = append(known, m[1])
		}
	}
	if near, ok := Nearest(name, known); ok {
		return fmt.Sprintf("did you mean `*%s`?", near)
	}
	return fmt.Sprintf("write &%s before the part that is meant, above this line", name)
}

// sleuth reads a file that the parser has refused, to find out why. It knows as
// much YAML as rulesets are written in. What it finds first is reported; where it
// finds nothing, the parser's own words are.
type sleuth struct {
	lines []string

	line    int
	text    []rune // of the line
	column  int
	flow    []bracket
	indents []int // of the block mappings and lists that are open
	last    row   // the row above in the same block

	found                bool
	at                   place
	code                 string
	message, label, help string
}

type bracket struct {
	open   rune
	at     place
	indent int // of its line
}

// row is a line of a block: key: value.
type row struct {
	line, indent int
	key          string
	full         bool // the value stands on the line
}

func (s *sleuth) report(line, column, width int, message, label, help string) {
	if !s.found {
		s.found, s.at = true, place{line, column, max(width, 1)}
		s.message, s.label, s.help = message, label, help
	}
}

var (
	keyLine     = regexp.MustCompile(`^\s*(?:- +)*[\w.-]+:(?:\s|$)`)
	blockScalar = regexp.MustCompile(`(?:^|[:-] +)(?:[&!]\S+ +)*[|>][-+0-9]*\s*(?:#.*)?$`)
)

func (s *sleuth) search() {
	for s.line = 0; s.line < len(s.lines) && !s.found; s.line++ {
		s.text, s.column = []rune(s.lines[s.line]), 0
		trimmed := strings.TrimLeft(s.lines[s.line], " \t")
		control := slices.IndexFunc(s.text, func(r rune) bool { return r != '\t' && unicode.IsControl(r) })
		switch {
		case control >= 0:
			s.report(s.line, control, 1, fmt.Sprintf("the control character %U", s.text[control]), "", `take it out; in double quotes it is written \u0000`)
		case trimmed == "" || trimmed[0] == '#' || len(s.flow) == 0 && (trimmed == "---" || trimmed[0] == '%'):
		case len(s.flow) > 0:
			s.inFlow()
		default:
			s.inBlock()
		}
	}
	if !s.found && len(s.flow) > 0 {
		s.unclosed()
	}
}

func (s *sleuth) unclosed() {
	b := s.flow[len(s.flow)-1]
	s.report(b.at.line, b.at.column, 1, fmt.Sprintf("`%c` is not closed", b.open), "", fmt.Sprintf("add `%c` where it ends", closing(b.open)))
}

func closing(open rune) rune {
	if open == '[' {
		return ']'
	}
	return '}'
}

func (s *sleuth) indent() int {
	n := 0
	for n < len(s.text) && s.text[n] == ' ' {
		n++
	}
	return n
}

// inFlow goes on with a line between brackets that were opened above.
func (s *sleuth) inFlow() {
	if s.indent() <= s.flow[0].indent && keyLine.MatchString(s.lines[s.line]) {
		s.unclosed()
		return
	}
	s.column = s.indent()
	s.values()
}

// inBlock reads a line outside brackets.
func (s *sleuth) inBlock() {
	s.column = s.indent()
	if s.text[s.column] == '\t' {
		s.report(s.line, s.column, 1, "a tab in the indentation", "tab", "indent with spaces")
		return
	}
	for s.starts("- ") || string(s.text[s.column:]) == "-" {
		if s.level(s.column, true); s.found {
			return
		}
		s.last = row{line: s.line, indent: s.column}
		for s.column++; s.column < len(s.text) && s.text[s.column] == ' '; s.column++ {
		}
		if s.column == len(s.text) {
			return
		}
	}
	key, isKey := s.key()
	if !isKey {
		s.scalarLine()
		return
	}
	if s.level(s.column, false); s.found {
		return
	}
	s.last = row{line: s.line, indent: s.column, key: key}
	s.column += len([]rune(key)) + 1
	s.blanks()
	s.last.full = s.column < len(s.text) && s.text[s.column] != '#' && s.text[s.column] != '&'
	if loc := blockScalar.FindStringIndex(string(s.text[s.column:])); loc != nil && loc[0] == 0 {
		for s.line+1 < len(s.lines) && (strings.TrimSpace(s.lines[s.line+1]) == "" || s.deeper(s.line+1)) {
			s.line++
		}
		return
	}
	s.values()
}

func (s *sleuth) deeper(line int) bool {
	l := s.lines[line]
	return len(l)-len(strings.TrimLeft(l, " ")) > s.last.indent
}

// level compares the indentation of a key or a dash with what is open above.
func (s *sleuth) level(indent int, dash bool) {
	n := len(s.indents)
	if n == 0 || indent > s.indents[n-1] {
		if n > 0 && s.last.full && s.last.line < s.line {
			s.report(s.line, indent, len(s.text)-indent, fmt.Sprintf("indented deeper than `%s` on line %d, whose value is complete", s.last.key, s.last.line+1), "",
				fmt.Sprintf("begin it in column %d, as line %d does", s.last.indent+1, s.last.line+1))
			return
		}
		s.indents = append(s.indents, indent)
		return
	}
	for n > 0 && s.indents[n-1] > indent {
		n--
	}
	if n == 0 || s.indents[n-1] != indent {
		s.report(s.line, indent, len(s.text)-indent, "the indentation fits no line above", "", fmt.Sprintf("begin it in column %d", s.indents[max(n-1, 0)]+1))
		return
	}
	s.indents = s.indents[:n]
}

// key gives the key that the rest of the line begins with.
func (s *sleuth) key() (string, bool) {
	rest := s.text[s.column:]
	if len(rest) == 0 || strings.ContainsRune("{[", rest[0]) {
		return "", false
	}
	quote := rune(0)
	for i, r := range rest {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
		case i == 0 && (r == '"' || r == '\''):
			quote = r
		case r == '#' && i > 0 && rest[i-1] == ' ':
			return "", false
		case r == ':' && (i+1 == len(rest) || rest[i+1] == ' ' || rest[i+1] == '\t'):
			key := string(rest[:i])
			if at := strings.IndexAny(key, "{["); at > 0 {
				name := strings.TrimRight(key[:at], " ")
				s.report(s.line, s.column+len([]rune(name)), 1, fmt.Sprintf("no `:` after `%s`", name), "", fmt.Sprintf("write `%s: %c…`", name, key[at]))
			}
			return key, !s.found
		}
	}
	return "", false
}

// scalarLine reads a line that begins with no key: a value, or more of one.
func (s *sleuth) scalarLine() {
	if s.found {
		return
	}
	first := s.text[s.column]
	if n := len(s.indents); n > 0 && s.column <= s.indents[n-1] && !strings.ContainsRune("{[\"'&*}]", first) {
		text := strings.TrimRight(string(s.text[s.column:]), " ")
		s.report(s.line, s.column, len([]rune(text)), "a line without `:`", "", "a key is followed by a colon and a space: `key: value`")
		return
	}
	s.values()
}

func (s *sleuth) blanks() {
	for s.column < len(s.text) && (s.text[s.column] == ' ' || s.text[s.column] == '\t') {
		s.column++
	}
}

func (s *sleuth) starts(prefix string) bool {
	return strings.HasPrefix(string(s.text[s.column:]), prefix)
}

// values reads what stands on the rest of the line: scalars and brackets.
func (s *sleuth) values() {
	fresh := true // a value may begin here
	for !s.found {
		if s.blanks(); s.column >= len(s.text) {
			return
		}
		r := s.text[s.column]
		switch {
		case r == '#' && (s.column == 0 || s.text[s.column-1] == ' ' || s.text[s.column-1] == '\t'):
			return
		case r == '[' || r == '{':
			if !fresh {
				s.inside(string(r))
				return
			}
			if len(s.flow) == maxNesting {
				s.code = tooLarge
				s.report(s.line, s.column, 1, fmt.Sprintf("nested more than %d deep", maxNesting), "", "")
				return
			}
			s.flow = append(s.flow, bracket{r, place{s.line, s.column, 1}, s.indent()})
			s.column++
		case r == ']' || r == '}':
			s.close(r)
			fresh = false
		case r == ',' && len(s.flow) > 0, r == ':' && len(s.flow) > 0 && fresh:
			fresh = true
			s.column++
		case fresh && (r == '"' || r == '\''):
			s.quoted(r)
			fresh = false
		case fresh && len(s.flow) > 0 && (r == '|' || r == '>'):
			s.report(s.line, s.column, 1, fmt.Sprintf("a block of text (`%c`) cannot stand between brackets", r), "", "write one key a line, without { }, or put the text in quotes")
		case fresh && (r == '@' || r == '`' || r == '%'):
			s.report(s.line, s.column, 1, fmt.Sprintf("a value cannot begin with `%c`", r), "", "put the value in quotes")
		case fresh && (r == '&' || r == '*' || r == '!'):
			for s.column < len(s.text) && !strings.ContainsRune(" ,]}", s.text[s.column]) {
				s.column++
			}
			fresh = r != '*'
		case !fresh && r == ':' && len(s.flow) > 0 && s.keyBefore():
			fresh = true
			s.column++
		case !fresh:
			s.inside(string(r))
		default:
			s.plain()
			fresh = false
		}
	}
}

// inside reports a character that ends an unquoted value too early, or that
// follows a quoted one.
func (s *sleuth) inside(what string) {
	s.report(s.line, s.column, 1, fmt.Sprintf("`%s` cannot stand here", what), "the value before it has ended",
		"put the whole value in quotes: \"…\"; texts inside it then stand in '…'")
}

// keyBefore tells whether the value before a colon is a key: the first thing
// after { or a comma.
func (s *sleuth) keyBefore() bool {
	depth := 0
	for i := s.column - 1; i >= 0; i-- {
		switch r := s.text[i]; {
		case strings.ContainsRune("]}", r):
			depth++
		case strings.ContainsRune("[{", r) && depth > 0:
			depth--
		case r == '{' || r == ',' || r == '[':
			return depth == 0
		case r == ':' && depth == 0 && i+1 < len(s.text) && s.text[i+1] == ' ':
			return false
		}
	}
	return true
}

func (s *sleuth) close(r rune) {
	if len(s.flow) == 0 {
		s.report(s.line, s.column, 1, fmt.Sprintf("`%c` closes nothing", r), "", "take it out, or open it before")
		return
	}
	b := s.flow[len(s.flow)-1]
	if closing(b.open) != r {
		s.report(s.line, s.column, 1, fmt.Sprintf("`%c` stands where `%c` is closed", r, b.open), fmt.Sprintf("`%c` was opened in column %d of line %d", b.open, b.at.column+1, b.at.line+1),
			fmt.Sprintf("write `%c` first", closing(b.open)))
		return
	}
	s.flow = s.flow[:len(s.flow)-1]
	s.column++
}

// quoted reads to the closing quote, which may stand on a later line.
func (s *sleuth) quoted(quote rune) {
	from, indent := place{s.line, s.column, 1}, s.indent()
	for s.column++; ; s.column++ {
		for s.column >= len(s.text) {
			if s.line+1 == len(s.lines) || s.line+1 > from.line && keyLine.MatchString(s.lines[s.line+1]) && s.shallow(s.line+1, indent) {
				s.report(from.line, from.column, 1, fmt.Sprintf("the quote `%c` is not closed", quote), "", fmt.Sprintf("add `%c` where the text ends", quote))
				return
			}
			s.line++
			s.text, s.column = []rune(s.lines[s.line]), 0
		}
		switch r := s.text[s.column]; {
		case r == '\\' && quote == '"':
			s.column++
		case r == quote && quote == '\'' && s.column+1 < len(s.text) && s.text[s.column+1] == quote:
			s.column++
		case r == quote:
			s.column++
			return
		}
	}
}

func (s *sleuth) shallow(line, indent int) bool {
	l := s.lines[line]
	return len(l)-len(strings.TrimLeft(l, " ")) <= indent
}

// plain reads an unquoted value.
func (s *sleuth) plain() {
	in := len(s.flow) > 0
	for ; s.column < len(s.text); s.column++ {
		r := s.text[s.column]
		blank := s.column+1 == len(s.text) || strings.ContainsRune(" \t", s.text[s.column+1])
		switch {
		case r == '#' && strings.ContainsRune(" \t", s.text[s.column-1]):
			return
		case in && strings.ContainsRune(",[]{}", r), in && r == '?' && blank:
			return
		case r == ':' && (blank || in && slices.Contains([]rune(",[]{}"), s.text[s.column+1])):
			return
		}
	}
}
