package imap

import (
	"strconv"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// Object identifiers (RFC 8474) are numbers of the store in hexadecimal behind a letter,
// so that none is taken for a number, and none for NIL (section 8.1). No message has a
// THREADID: the server keeps no threads.

// maxObjectID is the longest object identifier (RFC 8474 section 7), in octets.
const maxObjectID = 255

// mailboxID is the MAILBOXID of a mailbox: it stays when the mailbox is renamed. The
// UIDVALIDITY is part of it, for with a new one the mailbox is another to its clients.
func mailboxID(info *mailbox.Info) string {
	b := strconv.AppendUint([]byte("F"), uint64(info.ID), 16)
	b = append(b, '-')
	return string(strconv.AppendUint(b, uint64(info.UIDValidity), 16))
}

// appendEmailID appends the EMAILID of a message: copies share their body, so it is
// theirs, too.
func appendEmailID(dst []byte, body mailbox.BodyID) []byte {
	return strconv.AppendUint(append(dst, 'M'), uint64(body), 16)
}

// bodyOfEmailID returns the body that an EMAILID names; ok is false where there is none
// that this server could have given.
func bodyOfEmailID(id string) (body mailbox.BodyID, ok bool) {
	if len(id) < 2 || id[0] != 'M' {
		return 0, false
	}
	n, err := strconv.ParseUint(id[1:], 16, 64)
	if err != nil || string(appendEmailID(nil, mailbox.BodyID(n))) != id {
		return 0, false
	}
	return mailbox.BodyID(n), true
}

// objectID expects an object identifier.
func objectID(d *wire.Decoder) string {
	id := string(d.Atom())
	if len(id) > maxObjectID {
		d.Fail("an object identifier has at most %d characters", maxObjectID)
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			d.Fail("malformed object identifier")
			return ""
		}
	}
	return id
}

// emailIDKey is the search key EMAILID (RFC 8474 section 6).
func (p *searchParser) emailIDKey() searchKey {
	p.SP()
	body, ok := bodyOfEmailID(objectID(p.Decoder))
	if !ok {
		return searchKey{kind: keyNever}
	}
	return searchKey{kind: keyBodyID, number: int64(body)}
}

// threadIDKey is the search key THREADID: no message has one.
func (p *searchParser) threadIDKey() searchKey {
	p.SP()
	objectID(p.Decoder)
	return searchKey{kind: keyNever}
}
