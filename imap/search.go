package imap

import (
	"strconv"
	"time"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// search is SEARCH and UID SEARCH (RFC 3501 section 6.4.4) with the results of RFC 4731
// and the key of RFC 7162 section 3.1.5.
func (s *session) search(r *request) (reply, error) {
	prog, err := parseSearch(s.dec)
	if err != nil {
		return reply{}, err
	}
	if r.bySeq = prog.bySeq; r.bySeq && s.uidOnly {
		return reply{}, errUIDRequired
	}
	if prog.charset && s.utf8Accept && !s.rev2 {
		return reply{}, bad("texts are in UTF-8, which leaves no charset to name") // RFC 6855 section 3
	}
	if s.rev2 && !prog.extended { // RFC 9051 section 6.4.4: as if it said RETURN (ALL)
		prog.extended, prog.options = true, returnAll
	}
	if prog.modseq {
		s.enableCondstore()
	}
	if err := prog.key.resolve(s.selected); err != nil {
		return reply{}, err
	}
	q := &searching{session: s, progress: progress{tag: r.tag}, program: prog, uid: r.uid, told: time.Now()}
	q.filter = prog.key.textFilter(s.options.Store)
	defer q.release()
	if err := q.run(); err != nil {
		return reply{}, err
	}
	if prog.extended {
		q.tellExtended(r.tag)
	} else {
		q.tell()
	}
	return reply{}, nil
}

// tell writes the SEARCH response (RFC 3501 section 7.2.5, RFC 7162 section 3.1.6).
func (q *searching) tell() {
	enc := q.session.enc
	enc.Text("* SEARCH")
	for _, n := range q.numbers {
		enc.SetBuf(strconv.AppendUint(append(enc.Buf(), ' '), uint64(n), 10))
	}
	if q.program.modseq && q.found > 0 {
		enc.Text(" (MODSEQ ").Number(uint64(q.highest)).Text(")")
	}
	enc.CRLF()
}

// tellExtended writes the ESEARCH response (RFC 4731 sections 3.1 and 3.2).
func (q *searching) tellExtended(tag string) {
	enc, options := q.session.enc, q.program.options
	b := append(enc.Buf(), "* ESEARCH (TAG "...)
	b = append(wire.AppendQuoted(b, tag), ')')
	if q.uid {
		b = append(b, " UID"...)
	}
	if q.found > 0 && options&returnMin != 0 {
		b = strconv.AppendUint(append(b, " MIN "...), uint64(q.numbers[0]), 10)
	}
	if q.found > 0 && options&returnMax != 0 {
		b = strconv.AppendUint(append(b, " MAX "...), uint64(q.numbers[len(q.numbers)-1]), 10)
	}
	if options&returnCount != 0 {
		b = strconv.AppendUint(append(b, " COUNT "...), uint64(q.found), 10)
	}
	if q.found > 0 && options&returnAll != 0 {
		b = wire.AppendNumbers(append(b, " ALL "...), q.numbers)
	}
	if q.found > 0 && q.program.modseq {
		b = strconv.AppendUint(append(b, " MODSEQ "...), uint64(q.modSeq()), 10)
	}
	enc.SetBuf(append(b, "\r\n"...))
}

// modSeq is the mod-sequence of what was asked for: of the first, the last, the larger
// of both, or the highest of all (RFC 4731 section 3.2).
func (q *searching) modSeq() mailbox.ModSeq {
	switch q.program.options {
	case returnMin:
		return q.first
	case returnMax:
		return q.last
	case returnMin | returnMax:
		return max(q.first, q.last)
	}
	return q.highest
}
