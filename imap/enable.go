package imap

import (
	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// enablings are what ENABLE knows, in the order in which it is told. Each does its work
// when it is asked for, also a second time; after says what is to be told behind the
// ENABLED response.
var enablings = []struct {
	name   string
	enable func(*session)
	after  func(*session)
}{
	{"IMAP4rev2", (*session).enableRev2, nil},
	{"UTF8=ACCEPT", (*session).enableUTF8, nil},
	{"CONDSTORE", nil, (*session).enableCondstore},
	{"QRESYNC", (*session).enableQResync, (*session).enableCondstore},
	{"UIDONLY", (*session).enableUIDOnly, nil},
	{"METADATA", (*session).enableMetadata, nil},
}

// enable is RFC 5161. It tells which of the extensions asked for are now in use;
// others are passed over in silence.
func (s *session) enable(*request) (reply, error) {
	asked := make([]bool, len(enablings))
	for n := 0; n == 0 || !s.dec.AtEnd(); n++ {
		s.dec.SP()
		word := s.dec.Word()
		for i := range enablings {
			asked[i] = asked[i] || wire.EqualFold(enablings[i].name, word)
		}
	}
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.enc.Text("* ENABLED")
	for i, e := range enablings {
		if !asked[i] {
			continue
		}
		s.enc.Text(" ", e.name)
		if e.enable != nil {
			e.enable(s)
		}
	}
	s.enc.CRLF()
	for i, e := range enablings {
		if asked[i] && e.after != nil {
			e.after(s)
		}
	}
	return reply{}, nil
}

// enableRev2 makes the session one of IMAP4rev2 (RFC 9051 section 6.3.1): nothing is told
// of \Recent, SEARCH is answered by ESEARCH, SELECT tells of its mailbox with LIST, and
// names and texts are in UTF-8.
func (s *session) enableRev2() {
	s.rev2 = true
	if s.selected != nil {
		s.selected.hideRecent = true
	}
	s.speakUTF8()
}

// enableUTF8 is UTF8=ACCEPT (RFC 6855 section 3).
func (s *session) enableUTF8() {
	s.utf8Accept = true
	s.speakUTF8()
}

func (s *session) speakUTF8() {
	s.utf8 = true
	s.dec.SetUTF8(true)
	s.enc.SetUTF8(true)
}

// enableCondstore notes that the client knows MODSEQ; from the first time on it is
// told of it (RFC 7162 section 3.1.2). The value is that of the last change it was told
// of: with a larger one it would never ask for what others changed since.
func (s *session) enableCondstore() {
	if s.condstore {
		return
	}
	s.condstore = true
	if s.selected != nil {
		s.tellHighestModSeq(s.selected.view.HighestModSeq())
	}
}

// enableQResync has VANISHED tell of what is gone, instead of EXPUNGE, and makes the
// parameters for resynchronisation known (RFC 7162 section 3.2.3).
func (s *session) enableQResync() { s.qresync = true }

// enableUIDOnly does away with message numbers (RFC 9586 section 3).
func (s *session) enableUIDOnly() { s.uidOnly = true }

func (s *session) tellHighestModSeq(highest mailbox.ModSeq) {
	s.enc.Text("* OK [HIGHESTMODSEQ ").Number(uint64(highest)).Text("] highest\r\n")
}
