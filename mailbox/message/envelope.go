package message

import "bytes"

// wireWriter writes what a header says in the forms of RFC 3501 section 7.4.2.
type wireWriter struct {
	form   form
	legacy []byte
	part   *part
	typ    []byte
	sub    []byte
	enc    []byte
	fields *fieldTable
	params *paramReader

	isAttachment bool
	disposition  []byte
	dispParams   paramReader
	addrs        addressParser
	out          []byte // where the address being parsed goes
	emit         func(*rawAddress)
	text         []byte
}

// begin takes the header that x has read for part p.
func (w *wireWriter) begin(x *Indexer, p *part, legacy []byte) {
	w.form, w.legacy, w.part, w.fields, w.params = form7bit, legacy, p, &x.fields, &x.params
	w.typ, w.sub, w.enc = x.index.get(p.typ), x.index.get(p.sub), x.index.get(p.encoding)
	w.disposition, _ = w.dispParams.disposition(w.fields.get(fieldContentDisposition))
	w.isAttachment = equalFoldASCII(w.disposition, "attachment")
	if w.emit == nil {
		w.emit = w.appendAddress
	}
}

// appendEnvelope appends the ENVELOPE. Where a field is missing its place holds NIL, where it is empty the empty string
// (RFC 3501 section 7.4.2; address lists NIL in both cases).
func (w *wireWriter) appendEnvelope(dst []byte) []byte {
	dst = w.appendField(append(dst, '('), fieldDate)
	dst = w.appendField(append(dst, ' '), fieldSubject)
	dst = append(dst, ' ')
	from := len(dst)
	dst = w.appendAddresses(dst, fieldFrom)
	fromEnd := len(dst)
	for _, id := range [...]uint8{fieldSender, fieldReplyTo} {
		dst = append(dst, ' ')
		start := len(dst)
		if dst = w.appendAddresses(dst, id); dst[start] != '(' {
			dst = append(dst[:start], dst[from:fromEnd]...)
		}
	}
	for _, id := range [...]uint8{fieldTo, fieldCc, fieldBcc} {
		dst = w.appendAddresses(append(dst, ' '), id)
	}
	dst = w.appendField(append(dst, ' '), fieldInReplyTo)
	dst = w.appendField(append(dst, ' '), fieldMessageID)
	return append(dst, ')')
}

// appendField appends an unstructured field in one line, or NIL.
func (w *wireWriter) appendField(dst []byte, id uint8) []byte {
	return w.appendValue(dst, w.fields.get(id))
}

func (w *wireWriter) appendValue(dst, value []byte) []byte {
	if value == nil {
		return append(dst, "NIL"...)
	}
	w.text = appendUnfolded(w.text[:0], value[:min(len(value), 2*maxString)])
	return w.appendText(dst, cutString(w.text, maxString))
}

func (w *wireWriter) appendText(dst, s []byte) []byte {
	if isASCII(s) {
		return appendQuoted(dst, s)
	}
	return appendText(dst, s, w.form, string(w.legacy))
}

func (w *wireWriter) appendAddresses(dst []byte, id uint8) []byte {
	value := w.fields.get(id)
	start := len(dst)
	w.out = append(dst, '(')
	w.addrs.parse(value, w.emit)
	dst, w.out = w.out, nil
	if len(dst) == start+1 {
		return append(dst[:start], "NIL"...)
	}
	return append(dst, ')')
}

// appendAddress appends one address structure: name, source route, mailbox, host. A group begins with its name as
// mailbox and ends with four NIL, both told from addresses by the host NIL; so an address without a domain has the
// empty string as its host.
func (w *wireWriter) appendAddress(a *rawAddress) {
	dst := append(w.out, '(')
	switch a.kind {
	case GroupStart:
		dst = w.appendText(append(dst, "NIL NIL "...), a.name)
		dst = append(dst, " NIL)"...)
	case GroupEnd:
		dst = append(dst, "NIL NIL NIL NIL)"...)
	default:
		dst = append(w.appendOptional(dst, a.name), ' ')
		dst = append(w.appendOptional(dst, a.route), ' ')
		dst = append(w.appendText(dst, a.local), ' ')
		dst = append(w.appendText(dst, a.domain), ')')
	}
	w.out = dst
}

// appendOptional appends a string, or NIL for an empty one.
func (w *wireWriter) appendOptional(dst, s []byte) []byte {
	if len(s) == 0 {
		return append(dst, "NIL"...)
	}
	return w.appendText(dst, s)
}

// appendBasic appends type, subtype, parameters, id, description and encoding of a single part; of a multipart only the
// subtype (RFC 3501 section 7.4.2, BODYSTRUCTURE).
func (w *wireWriter) appendBasic(dst []byte) []byte {
	if w.part.kind == multipartPart {
		return appendUpperQuoted(dst, w.sub)
	}
	dst = append(appendUpperQuoted(dst, w.typ), ' ')
	dst = append(appendUpperQuoted(dst, w.sub), ' ')
	if len(w.params.params) == 0 && string(w.typ) == "text" && string(w.sub) == "plain" {
		dst = append(dst, `("CHARSET" "us-ascii")`...) // RFC 2045 section 5.2
	} else {
		dst = w.params.appendParams(dst, w.form, string(w.legacy))
	}
	dst = w.appendField(append(dst, ' '), fieldContentID)
	dst = w.appendField(append(dst, ' '), fieldContentDescription)
	return appendUpperQuoted(append(dst, ' '), w.enc)
}

// appendTail appends the extension data with the space in front: MD5 of a single part or parameters of a multipart,
// then disposition, language, location.
func (w *wireWriter) appendTail(dst []byte) []byte {
	dst = append(dst, ' ')
	if w.part.kind == multipartPart {
		dst = w.params.appendParams(dst, w.form, string(w.legacy))
	} else {
		dst = w.appendField(dst, fieldContentMD5)
	}
	dst = append(dst, ' ')
	if len(w.disposition) > 0 {
		dst = append(appendUpperQuoted(append(dst, '('), w.disposition), ' ')
		dst = append(w.dispParams.appendParams(dst, w.form, string(w.legacy)), ')')
	} else {
		dst = append(dst, "NIL"...)
	}
	dst = w.appendLanguages(append(dst, ' '))
	return w.appendField(append(dst, ' '), fieldContentLocation)
}

// appendLanguages appends Content-Language (RFC 3282): NIL, one string, or a list.
func (w *wireWriter) appendLanguages(dst []byte) []byte {
	var r paramReader
	r.start(w.fields.get(fieldContentLanguage))
	start, n := len(dst), 0
	dst = append(dst, '(')
	for n < maxLanguages {
		tag := r.token()
		if len(tag) > 0 {
			if n > 0 {
				dst = append(dst, ' ')
			}
			dst = appendQuoted(dst, tag[:min(len(tag), maxParamName)])
			n++
		}
		i := bytes.IndexByte(r.in, ',')
		if i < 0 {
			break
		}
		r.in = r.in[i+1:]
	}
	switch n {
	case 0:
		return append(dst[:start], "NIL"...)
	case 1:
		return append(dst[:start], dst[start+1:]...)
	}
	return append(dst, ')')
}
