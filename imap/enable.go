package imap

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

// namespace is RFC 2342: all mailboxes are personal.
func (s *session) namespace(*request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.enc.Text("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n")
	return reply{}, nil
}
