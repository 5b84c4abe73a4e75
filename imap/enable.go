package imap

import (
	"mailstead/mailbox"
)

// enable is RFC 5161. It tells which of the extensions asked for are now in use;
// others are passed over in silence.
func (s *session) enable(*request) (reply, error) {
	condstore := false
	for n := 0; n == 0 || !s.dec.AtEnd(); n++ {
		s.dec.SP()
		if s.dec.Word() == "CONDSTORE" {
			condstore = true
		}
	}
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if !condstore {
		s.enc.Text("* ENABLED\r\n")
		return reply{}, nil
	}
	s.enc.Text("* ENABLED CONDSTORE\r\n")
	s.enableCondstore()
	return reply{}, nil
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

func (s *session) tellHighestModSeq(highest mailbox.ModSeq) {
	s.enc.Text("* OK [HIGHESTMODSEQ ").Number(uint64(highest)).Text("] highest\r\n")
}
