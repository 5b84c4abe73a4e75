package imap

import (
	"math"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
)

// errUIDRequired refuses sequence numbers of a client that has done without them (RFC 9586
// section 3).
var errUIDRequired = &goimap.Error{
	Type: goimap.StatusResponseTypeBad, Code: "UIDREQUIRED", Text: "sequence numbers are not taken since UIDONLY is enabled",
}

// messageLimit is announced by MESSAGELIMIT (RFC 9738): how many messages a command may
// concern. No mailbox reaches it, so no command is cut short, and clients that would
// split their commands for servers that do need not.
const messageLimit = "10000000"

const (
	// minUIDBatch is the smallest batch that a client may ask for (RFC 10022 section
	// 3.1.5): many small ones would be no help to anybody.
	minUIDBatch = 500
	// maxUIDBatched is how many messages the batches that are asked for by their numbers
	// may hold together. All batches at once may always be asked for.
	maxUIDBatched = 100_000
)

// uidBatches is UIDBATCHES (RFC 10022): the mailbox in pieces of equally many messages,
// the newest first, as ranges of UIDs that leave no gap between them.
func (s *session) uidBatches(r *request) (reply, error) {
	s.dec.SP()
	size := s.nzNumber()
	first, last := uint32(1), uint32(math.MaxUint32)
	if !s.dec.AtEnd() {
		s.dec.SP()
		first = s.nzNumber()
		s.dec.Expect(':')
		last = s.nzNumber()
	}
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	switch {
	case first > last:
		return reply{}, &goimap.Error{Type: goimap.StatusResponseTypeBad, Code: goimap.ResponseCodeClientBug, Text: "the batches are asked for backwards"}
	case size < minUIDBatch:
		return reply{}, no("TOOFEW", "a batch has at least "+strconv.Itoa(minUIDBatch)+" messages")
	case last < math.MaxUint32 && (uint64(last-first)+1)*uint64(size) > maxUIDBatched:
		return reply{}, no("TOOMANY", "at most "+strconv.Itoa(maxUIDBatched)+" messages at a time")
	}
	b := append(s.enc.Buf(), "* UIDBATCHES (TAG "...)
	b = append(wire.AppendQuoted(b, r.tag), ')')
	s.enc.SetBuf(append(appendBatches(b, s.selected.view.UIDs(), int(size), int(first), int(last)), "\r\n"...))
	return reply{}, nil
}

func (s *session) nzNumber() uint32 {
	n := s.dec.Number()
	if n == 0 {
		s.dec.Fail("0 is not allowed here")
	}
	return n
}

// appendBatches appends the batches numbered first to last, from 1 on, of size messages
// each. A range goes from the UID of its newest message down to just above the next.
func appendBatches(b []byte, uids []goimap.UID, size, first, last int) []byte {
	separator := byte(' ')
	for n := first; n <= last && (n-1) <= len(uids)/size; n++ {
		end := len(uids) - (n-1)*size // of the batch's messages, not included
		if end <= 0 {
			break
		}
		low := goimap.UID(1)
		if end > size {
			low = uids[end-size-1] + 1
		}
		b = strconv.AppendUint(append(b, separator), uint64(uids[end-1]), 10)
		b = strconv.AppendUint(append(b, ':'), uint64(low), 10)
		separator = ','
	}
	return b
}

// uidAfter and uidBefore are the keys of RFC 9738 section 3.2: a UID above, or below, the
// one that is named.
func (p *searchParser) uidAfter() searchKey {
	uid := p.singleUID()
	if uid == math.MaxUint32 {
		return searchKey{kind: keyNever}
	}
	return searchKey{kind: keySet, numbers: goimap.UIDSet{{Start: uid + 1, Stop: math.MaxUint32}}}
}

func (p *searchParser) uidBefore() searchKey {
	uid := p.singleUID()
	if uid <= 1 {
		return searchKey{kind: keyNever}
	}
	return searchKey{kind: keySet, numbers: goimap.UIDSet{{Start: 1, Stop: uid - 1}}}
}

func (p *searchParser) singleUID() goimap.UID {
	p.SP()
	uid := p.Number()
	if uid == 0 {
		p.Fail("0 is no UID")
	}
	return goimap.UID(uid)
}
