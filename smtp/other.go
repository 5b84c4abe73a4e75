package smtp

// rset forgets the transaction (RFC 5321 section 4.1.1.5).
func rset(s *session, _ []byte) (reply, error) {
	s.drop()
	return say(250, "2.0.0", "Ok"), nil
}

func noop(*session, []byte) (reply, error) { return say(250, "2.0.0", "Ok"), nil }

func quit(s *session, _ []byte) (reply, error) {
	return bye(221, "2.0.0", s.server.o.Hostname+" says goodbye"), nil
}

// vrfy tells nobody who is here (RFC 5321 section 7.3).
func vrfy(*session, []byte) (reply, error) {
	return say(252, "2.5.2", "Send it and see"), nil
}

func expn(*session, []byte) (reply, error) {
	return say(502, "5.5.1", "Lists are not shown"), nil
}

func help(*session, []byte) (reply, error) {
	return say(214, "2.0.0", "See RFC 5321"), nil
}
