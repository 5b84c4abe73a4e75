package imap

import (
	"strconv"

	"mailstead/imap/wire"
)

// number is what the client knows a message by.
func (q *searching) number(seq uint32) uint32 {
	if q.uid {
		return uint32(q.sel.view.UIDs()[seq-1])
	}
	return seq
}

// numbers are those that the client knows messages by, in the same order.
func (q *searching) numbers(seqs []uint32) []uint32 {
	if !q.uid {
		return seqs
	}
	out := make([]uint32, len(seqs))
	for i, seq := range seqs {
		out[i] = q.number(seq)
	}
	return out
}

// tell writes the SEARCH response (RFC 3501 section 7.2.5, RFC 7162 section 3.1.6), or
// the SORT response, which is like it (RFC 5256 section 4).
func (q *searching) tell() {
	enc := q.session.enc
	enc.Text("* ", q.program.name)
	for _, seq := range q.found {
		enc.SetBuf(strconv.AppendUint(append(enc.Buf(), ' '), uint64(q.number(seq)), 10))
	}
	if q.program.modseq && len(q.found) > 0 {
		enc.Text(" (MODSEQ ").Number(uint64(q.highest)).Text(")")
	}
	enc.CRLF()
}

// tellExtended writes the ESEARCH response (RFC 4731 sections 3.1 and 3.2). In names the
// mailbox, if there may be several.
func (q *searching) tellExtended(tag string, in []byte) {
	enc, options := q.session.enc, q.program.options
	b := append(enc.Buf(), "* ESEARCH (TAG "...)
	b = append(append(wire.AppendQuoted(b, tag), in...), ')')
	if q.uid {
		b = append(b, " UID"...)
	}
	n := len(q.found)
	if n > 0 && options&returnMin != 0 {
		b = strconv.AppendUint(append(b, " MIN "...), uint64(q.number(q.found[0])), 10)
	}
	if n > 0 && options&returnMax != 0 {
		b = strconv.AppendUint(append(b, " MAX "...), uint64(q.number(q.found[n-1])), 10)
	}
	if options&returnCount != 0 {
		b = strconv.AppendUint(append(b, " COUNT "...), uint64(n), 10)
	}
	if n > 0 && options&returnAll != 0 {
		b = wire.AppendNumbers(append(b, " ALL "...), q.numbers(q.found))
	}
	if options&returnPartial != 0 {
		b = q.appendPartial(b)
	}
	if options&returnRelevancy != 0 {
		b = q.appendRelevancy(b)
	}
	if n > 0 && q.program.modseq {
		b = strconv.AppendUint(append(b, " MODSEQ "...), uint64(q.modSeq()), 10)
	}
	enc.SetBuf(append(b, "\r\n"...))
}

// appendPartial appends the results that PARTIAL asked for (RFC 9394 section 3.1).
func (q *searching) appendPartial(b []byte) []byte {
	b = append(q.program.partial.append(append(b, " PARTIAL ("...)), ' ')
	from, to := q.program.partial.window(len(q.found))
	if from == to {
		return append(b, "NIL)"...)
	}
	return append(wire.AppendNumbers(b, q.numbers(q.found[from:to])), ')')
}

// appendRelevancy appends the scores of the messages that are told, in their order (RFC
// 6203 section 4).
func (q *searching) appendRelevancy(b []byte) []byte {
	scores := q.relevancies
	if q.program.options&returnPartial != 0 {
		from, to := q.program.partial.window(len(scores))
		scores = scores[from:to]
	}
	b = append(b, " RELEVANCY ("...)
	for i, score := range scores {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, uint64(score), 10)
	}
	return append(b, ')')
}
