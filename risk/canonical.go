package risk

// AppendPlain appends the canonical JSON of an event's Plain fields: the groups
// and fields in the order of Fields, absent ones left out. What Decode made of
// an event is what it makes of AppendPlain and AppendPersonal together.
func AppendPlain(dst []byte, e *Event) []byte { return appendPart(dst, Plain, e, unseen) }

// AppendPersonal appends the canonical JSON of the Personal and Identifier
// fields: all that is deleted when an event is erased.
func AppendPersonal(dst []byte, e *Event) []byte { return appendPart(dst, Personal, e, unseen) }

func appendPart(dst []byte, part Class, e *Event, seen *sighting) []byte {
	start := len(dst)
	if dst = eventTable.appendObject(dst, part, e, seen.groups, seen); len(dst) == start {
		dst = append(dst, '{', '}')
	}
	return dst
}

func appendMoney(dst []byte, m Money) []byte {
	dst = append(dst, `{"value":"`...)
	dst = append(m.AppendDecimal(dst), `","currency":`...)
	return append(appendString(dst, m.Currency), '}')
}

func writeAmount(dst []byte, part Class, e *Event, _ *sighting) []byte {
	if part != Plain || e.Amount.IsZero() {
		return dst
	}
	return appendMoney(dst, e.Amount)
}

func writeSettlement(dst []byte, part Class, e *Event, seen *sighting) []byte {
	if part != Plain || e.Settlement == (Settlement{}) {
		return dst
	}
	m := moneyText{rate: e.Settlement.Rate}
	if a := e.Settlement.Amount; !a.IsZero() {
		m.value, m.currency = a.Decimal(), a.Currency
	}
	return settlementTable.appendObject(dst, part, &m, allBits, seen)
}

func writeCustom(dst []byte, part Class, e *Event, _ *sighting) []byte {
	if part != Plain || len(e.Custom) == 0 {
		return dst
	}
	for i := range e.Custom {
		c := &e.Custom[i]
		if i == 0 {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, c.Name), ':')
		switch c.Kind {
		case Text:
			dst = appendString(dst, c.Text)
		case Bool:
			dst = appendBool(dst, c.Flag == Yes)
		default:
			dst = appendFloat(dst, c.Number)
		}
	}
	return append(dst, '}')
}
