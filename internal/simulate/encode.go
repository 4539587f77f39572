package simulate

import (
	"strconv"
	"strings"

	"github.com/sluice-risk/sluice/risk"
)

// section is a group of an event's fields, in canonical order.
type section struct {
	name   string
	empty  func(*risk.Event) bool // nil: look at every field
	fields []field
}

// field is a scalar field with the constant text that stands before its value.
type field struct {
	risk.Field
	lead string
}

// layout is risk.Fields prepared once. Most events use few groups, so the large
// ones are skipped as a whole.
var layout = func() (all []section) {
	empty := map[string]func(*risk.Event) bool{
		"payment":           func(e *risk.Event) bool { return e.Payment == risk.Payment{} },
		"customer":          func(e *risk.Event) bool { return e.Customer == risk.Customer{} },
		"card":              func(e *risk.Event) bool { return e.Card == risk.Card{} },
		"device":            func(e *risk.Event) bool { return e.Device == risk.Device{} },
		"billing":           func(e *risk.Event) bool { return e.Billing == risk.Address{} },
		"shipping":          func(e *risk.Event) bool { return e.Shipping == risk.Address{} },
		"merchant":          func(e *risk.Event) bool { return e.Merchant == risk.Merchant{} },
		"sender":            func(e *risk.Event) bool { return e.Sender == risk.Party{} },
		"receiver":          func(e *risk.Event) bool { return e.Receiver == risk.Party{} },
		"ultimate_sender":   func(e *risk.Event) bool { return e.UltimateSender == risk.Party{} },
		"ultimate_receiver": func(e *risk.Event) bool { return e.UltimateReceiver == risk.Party{} },
		"vessel":            func(e *risk.Event) bool { return e.Vessel == risk.Vessel{} },
		"escrow":            func(e *risk.Event) bool { return e.Escrow == risk.Escrow{} },
		"settlement":        func(e *risk.Event) bool { return e.Settlement == risk.Settlement{} },
		"label":             func(e *risk.Event) bool { return e.Label == risk.Label{} },
	}
	for _, f := range risk.Fields {
		group, name, _ := strings.Cut(f.Path, ".")
		if len(all) == 0 || all[len(all)-1].name != group {
			all = append(all, section{name: group, empty: empty[group]})
		}
		s := &all[len(all)-1]
		s.fields = append(s.fields, field{f, `"` + name + `":`})
	}
	return all
}()

// appendEvent appends the event as canonical JSON: fields in the order of
// risk.Fields, amount after the event's own group, absent fields left out. What
// the world never fills (settlement, owners, documents) is not written.
func appendEvent(b []byte, e *risk.Event) []byte {
	b = append(b, '{')
	for i := range layout {
		s := &layout[i]
		if s.empty != nil && s.empty(e) {
			continue
		}
		start := len(b)
		if start > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), s.name...), `":{`...)
		first := len(b)
		for j := range s.fields {
			f := &s.fields[j]
			field := len(b)
			if field > first {
				b = append(b, ',')
			}
			b = append(b, f.lead...)
			value := len(b)
			if b = appendValue(b, f, e); len(b) == value {
				b = b[:field] // absent
			}
		}
		if len(b) == first {
			b = b[:start]
			continue
		}
		switch s.name {
		case "order":
			b = appendItems(b, e.Order.Items)
		case "event":
			if !e.Amount.IsZero() {
				b = append(b, `},"amount":{"value":"`...)
				b = append(e.Amount.AppendDecimal(b), `","currency":"`...)
				b = append(append(b, e.Amount.Currency...), '"')
			}
		}
		b = append(b, '}')
	}
	return append(appendCustom(b, e), '}')
}

// appendValue appends nothing where the field is absent.
func appendValue(b []byte, f *field, e *risk.Event) []byte {
	switch {
	case f.Text != nil:
		if s := *f.Text(e); s != "" {
			b = appendString(b, s)
		}
	case f.Time != nil:
		if t := *f.Time(e); t == 0 {
			break
		} else if f.lead == `"birth_date":` {
			b = t.Time().AppendFormat(b, `"2006-01-02"`)
		} else {
			b = append(t.Append(append(b, '"')), '"')
		}
	case f.Number != nil:
		if n := *f.Number(e); n.Set {
			b = strconv.AppendFloat(b, n.Value, 'f', -1, 64)
		}
	case f.Flag != nil:
		if v := *f.Flag(e); v != 0 {
			b = strconv.AppendBool(b, v == risk.Yes)
		}
	}
	return b
}

func appendItems(b []byte, items []risk.Item) []byte {
	for i, it := range items {
		if i == 0 {
			b = append(b, `,"items":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"sku":`...), it.SKU)
		b = appendString(append(b, `,"name":`...), it.Name)
		b = appendString(append(b, `,"category":`...), it.Category)
		b = strconv.AppendFloat(append(b, `,"quantity":`...), it.Quantity.Value, 'f', -1, 64)
		b = append(appendString(append(b, `,"price":`...), it.Price), '}')
	}
	if len(items) > 0 {
		b = append(b, ']')
	}
	return b
}

func appendCustom(b []byte, e *risk.Event) []byte {
	for i, c := range e.Custom {
		if i == 0 {
			b = append(b, `,"custom":{`...)
		} else {
			b = append(b, ',')
		}
		b = append(appendString(b, c.Name), ':')
		switch c.Kind {
		case risk.Decimal:
			b = strconv.AppendFloat(b, c.Number, 'f', -1, 64)
		case risk.Bool:
			b = strconv.AppendBool(b, c.Flag == risk.Yes)
		default:
			b = appendString(b, c.Text)
		}
	}
	if len(e.Custom) > 0 {
		b = append(b, '}')
	}
	return b
}

// appendString writes a text of the world, which needs no escape; a quote or a
// backslash can come in by Options.Prefix only.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '\\') < 0 {
		return append(append(b, s...), '"')
	}
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}
