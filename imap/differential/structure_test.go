package differential

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// difference is something that the two servers say differently about one message.
type difference struct {
	where        string // the data item and the field in it, or the command
	letter       *letter
	ours, theirs string
}

// compareItems compares what the servers say of one message, field by field where an item
// has fields.
func compareItems(m *letter, ours, theirs fetched) (found []difference) {
	note := func(where string, a, b value) {
		if x, y := a.String(), b.String(); x != y {
			found = append(found, difference{where: where, letter: m, ours: x, theirs: y})
		}
	}
	for name, a := range ours {
		b, both := theirs[name]
		switch {
		case !both:
			b = value{kind: 'w', text: "nothing"}
			note(name, a, b)
		case name == "FLAGS":
			note(name, flagList(a), flagList(b))
		case name == "INTERNALDATE":
			note(name, moment(a), moment(b))
		case name == "ENVELOPE":
			compareEnvelopes(name, a, b, note)
		case name == "BODY" || name == "BODYSTRUCTURE":
			compareStructures(name, a, b, note)
		default:
			note(name, a, b)
		}
	}
	for name, b := range theirs {
		if _, both := ours[name]; !both {
			note(name, value{kind: 'w', text: "nothing"}, b)
		}
	}
	return found
}

// flagList is a list of flags in order, without \Recent, which is about the session.
func flagList(v value) value {
	v.list = slices.Clone(v.list)
	v.list = slices.DeleteFunc(v.list, func(e value) bool { return e.text == `\Recent` })
	slices.SortFunc(v.list, func(a, b value) int { return strings.Compare(a.text, b.text) })
	return v
}

// moment is a date-time as a moment: a server need not keep the zone.
func moment(v value) value {
	at, err := time.Parse("_2-Jan-2006 15:04:05 -0700", v.text)
	if err != nil {
		return v
	}
	return value{kind: 's', text: at.UTC().Format(time.RFC3339)}
}

var envelopeFields = []string{"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"}

func compareEnvelopes(where string, a, b value, note func(string, value, value)) {
	if len(a.list) != len(envelopeFields) || len(b.list) != len(envelopeFields) {
		note(where, a, b)
		return
	}
	for i, field := range envelopeFields {
		x, y := a.list[i], b.list[i]
		if len(x.list) != len(y.list) || x.kind != 'l' {
			note(where+" "+field, x, y)
			continue
		}
		for i := range x.list {
			note(where+" "+field, x.list[i], y.list[i])
		}
	}
}

// isMultipart tells the structure of a multipart from that of others.
func isMultipart(v value) bool { return v.at(0).kind == 'l' }

// children are the structures of the parts of a multipart.
func children(v value) []value {
	n := 0
	for n < len(v.list) && v.list[n].kind == 'l' {
		n++
	}
	return v.list[:n]
}

// hasMessage reports whether a structure is that of a message within the message.
func hasMessage(v value) bool {
	return strings.EqualFold(v.at(0).text, "message") && v.at(8).kind == 'l' && len(v.at(7).list) == len(envelopeFields)
}

// Fields of a body structure (RFC 3501 section 7.4.2). Types, encodings and the names of
// parameters are the same in any case (RFC 2045 sections 5.1 and 6.1).
var (
	basicFields     = []string{"type", "subtype", "params", "id", "description", "encoding", "size"}
	multipartFields = []string{"subtype", "params"}
	anyCase         = []string{"type", "subtype", "encoding"}
	extensions      = []string{"disposition", "language", "location"}
)

// compareStructures compares BODY or BODYSTRUCTURE.
func compareStructures(where string, a, b value, note func(string, value, value)) {
	if isMultipart(a) != isMultipart(b) || len(children(a)) != len(children(b)) || hasMessage(a) != hasMessage(b) {
		note(where+" parts", a, b)
		return
	}
	for i, child := range children(a) {
		compareStructures(where, child, b.list[i], note)
	}
	if hasMessage(a) {
		compareEnvelopes(where+" envelope", a.list[7], b.list[7], note)
		compareStructures(where, a.list[8], b.list[8], note)
	}
	extended := where == "BODYSTRUCTURE"
	x, y := structureFields(a, extended), structureFields(b, extended)
	for _, field := range slices.Sorted(maps.Keys(x)) {
		v, w := x[field], y[field]
		switch {
		case slices.Contains(anyCase, field):
			v.text, w.text = strings.ToUpper(v.text), strings.ToUpper(w.text)
			note(where+" "+field, v, w)
		case field == "params":
			compareParams(where+" param", v, w, note)
		case field == "disposition" && len(v.list) == 2 && len(w.list) == 2:
			v.list[0].text, w.list[0].text = strings.ToUpper(v.list[0].text), strings.ToUpper(w.list[0].text)
			note(where+" disposition", v.list[0], w.list[0])
			compareParams(where+" disposition param", v.list[1], w.list[1], note)
		default:
			note(where+" "+field, v, w)
		}
	}
}

// structureFields are the fields of a structure by their names; NIL for those that are not
// there. Servers may leave out extension data from the end.
func structureFields(v value, extended bool) map[string]value {
	names := basicFields
	list := v.list
	switch {
	case isMultipart(v):
		names, list = multipartFields, list[len(children(v)):]
		if !extended {
			names = names[:1]
		}
	case hasMessage(v):
		names = slices.Concat(names, []string{"", "", "lines"})
	case strings.EqualFold(v.at(0).text, "text"):
		names = slices.Concat(names, []string{"lines"})
	}
	if extended && !isMultipart(v) {
		names = slices.Concat(names, []string{"md5"})
	}
	if extended {
		names = slices.Concat(names, extensions)
	}
	fields := map[string]value{}
	for i, name := range names {
		if name != "" {
			fields[name] = value{kind: 'l', list: list}.at(i)
		}
	}
	if len(list) > len(names) {
		fields["more"] = value{kind: 'l', list: list[len(names):]}
	}
	return fields
}

// compareParams compares parameters one by one, if both have the same names.
func compareParams(where string, a, b value, note func(string, value, value)) {
	if len(a.list) != len(b.list) {
		note(where, a, b)
		return
	}
	for i := range a.list {
		if i%2 == 0 && !strings.EqualFold(a.list[i].text, b.list[i].text) {
			note(where, a, b)
			return
		}
	}
	for i := 1; i < len(a.list); i += 2 {
		note(where+" "+strings.ToLower(a.list[i-1].text), a.list[i], b.list[i])
	}
}

// maxSections bounds the parts of a message whose sections are compared.
const maxSections = 30

// partPath is a part.
type partPath struct {
	path     string
	message  bool
	encoding string // of a part that has no parts, in lower case
}

// partPaths lists the parts of a message by its structure (RFC 3501 section 6.4.5).
func partPaths(v value, above string, list []partPath) []partPath {
	if len(list) >= maxSections {
		return list
	}
	if !isMultipart(v) {
		return partsOfLeaf(v, above+"1", list)
	}
	for i, child := range children(v) {
		path := above + strconv.Itoa(i+1)
		if isMultipart(child) {
			list = partPaths(child, path+".", append(list, partPath{path: path}))
			continue
		}
		list = partsOfLeaf(child, path, list)
	}
	return list
}

func partsOfLeaf(v value, path string, list []partPath) []partPath {
	part := partPath{path: path, message: hasMessage(v)}
	if !strings.EqualFold(v.at(0).text, "message") {
		part.encoding = strings.ToLower(v.at(5).text)
	}
	list = append(list, part)
	if part.message {
		list = partPaths(v.list[8], path+".", list)
	}
	return list
}
