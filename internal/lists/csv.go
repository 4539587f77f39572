package lists

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-risk/sluice/internal/diag"
)

var columns = []string{"value", "note", "by", "added", "expires"}

// readCSV adds the items of a CSV file. Every value is text there, so nothing is
// read as another type.
func (l *loader) readCSV(file string, src []byte) {
	src = bytes.TrimPrefix(src, []byte("\ufeff")) // spreadsheets put one in front
	lines := bytes.Split(src, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(src))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	span := func(line, column int, value string) diag.Span {
		at := diag.Span{File: file, Line: line, Column: 1, Width: max(utf8.RuneCountInString(value), 1)}
		if line >= 1 && line <= len(lines) { // encoding/csv counts bytes, people characters
			before := lines[line-1]
			at.Column = utf8.RuneCount(before[:min(max(column-1, 0), len(before))]) + 1
		}
		return at
	}
	fault := func(code string, at diag.Span, message, help string) {
		l.diags.Add(diag.Diagnostic{Code: code, Message: message, Help: help, Span: at})
	}
	var order []string
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			fault(codeSource, span(parse.Line, parse.Column, ""), "the line is not CSV: a quote stands where none can", "quote a value that holds a comma or a quote, and double the quotes within it")
			return // where the next line begins is not known
		}
		if err != nil {
			fault(codeSource, diag.Span{File: file, Line: 1, Column: 1, Width: 1}, err.Error(), "")
			return
		}
		text := func(i int) diag.Text {
			line, column := r.FieldPos(i)
			return diag.Text{Value: record[i], Span: span(line, column, record[i])}
		}
		if order == nil {
			if order = slices.Clone(record); !l.csvHeader(order, text) {
				return
			}
			continue
		}
		if len(record) != len(order) {
			at := text(0)
			fault(codeSource, at.Span, fmt.Sprintf("the line has %d fields, the header has %d", len(record), len(order)), "every line has the fields of the header; leave those empty that are not known")
			continue
		}
		var value, added, expires diag.Text
		for i, name := range order {
			switch name {
			case "value":
				value = text(i)
			case "added":
				added = text(i)
			case "expires":
				expires = text(i)
			}
		}
		l.add(value.Value, value.Span, added, expires)
	}
	if order == nil {
		fault(codeSource, diag.Span{File: file, Line: 1, Column: 1, Width: 1}, "the file is empty", "begin with the header "+strings.Join(columns, ","))
	}
}

// csvHeader checks the names of the columns: `value` must be there, in any order
// with the others, each once.
func (l *loader) csvHeader(order []string, text func(int) diag.Text) bool {
	ok := true
	for i, name := range order {
		help := "the header is " + strings.Join(columns, ",")
		switch {
		case !slices.Contains(columns, name):
			if near, found := diag.Nearest(name, columns); found {
				help = fmt.Sprintf("did you mean `%s`?", near)
			}
			l.fault(codeSource, text(i), fmt.Sprintf("unknown column `%s`", name), "", help)
			ok = false
		case slices.Index(order, name) < i:
			l.fault(codeSource, text(i), fmt.Sprintf("column `%s` stands twice", name), "", help)
			ok = false
		}
	}
	if !slices.Contains(order, "value") {
		l.fault(codeSource, text(0), "there is no column `value`", "", "the header is "+strings.Join(columns, ","))
		ok = false
	}
	return ok
}
