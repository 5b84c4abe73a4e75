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
	return reply{}, s.enableCondstore()
}

// enableCondstore notes that the client knows MODSEQ; from the first time on it is
// told of it (RFC 7162 section 3.1.2).
func (s *session) enableCondstore() error {
	if s.condstore {
		return nil
	}
	s.condstore = true
	if s.selected == nil {
		return nil
	}
	info, err := s.selected.mailbox.Info()
	if err != nil {
		return err
	}
	s.tellHighestModSeq(info)
	return nil
}

func (s *session) tellHighestModSeq(info mailbox.Info) {
	s.enc.Text("* OK [HIGHESTMODSEQ ").Number(uint64(info.HighestModSeq)).Text("] highest\r\n")
}
