package smtp

import (
	"bytes"
	"strings"
)

// bdat receives a chunk of a message (RFC 3030 section 2). Its octets follow
// the command without waiting, so they are read even when it is refused.
func bdat(s *session, arg []byte) (reply, error) {
	n, last, ok := parseChunk(arg)
	if !ok { // nobody knows where the next command begins
		return bye(501, "5.5.4", "BDAT needs an octet count"), nil
	}
	if last {
		defer s.drop()
	}
	if s.tx == nil || len(s.tx.Recipients) == 0 || s.tx.failed {
		return s.outOfOrder("BDAT"), s.readOctets(n, func([]byte) {})
	}
	if s.tx.message == nil {
		s.tx.message = s.newMessage(false)
	}
	err := s.readOctets(n, func(p []byte) { s.tx.message.feed(p) })
	if err != nil {
		return reply{}, err
	}
	if last {
		return s.accept()
	}
	if err := s.tx.message.err; err != nil {
		s.noteRefused(err)
		s.tx.fail()
		return reply{}, err
	}
	return say(250, "2.0.0", "Chunk taken"), nil
}

// readOctets reads exactly n octets for use. A client that goes on far beyond
// the size of any message is cut off (errFloodMessage).
func (s *session) readOctets(n int64, use func([]byte)) error {
	if s.tx != nil {
		s.tx.read += min(n, s.server.limits.flood())
	}
	if n > s.server.limits.flood() || s.tx != nil && s.tx.read > s.server.limits.flood() {
		return errFloodMessage
	}
	s.in.widen()
	defer s.in.narrow()
	for n > 0 {
		p, err := s.window()
		if err != nil {
			return err
		}
		p = p[:min(int64(len(p)), n)]
		use(p)
		s.in.take(len(p))
		n -= int64(len(p))
	}
	return nil
}

// parseChunk reads "octets" or "octets LAST".
func parseChunk(arg []byte) (n int64, last, ok bool) {
	count, end, hasEnd := bytes.Cut(arg, []byte(" "))
	if hasEnd && !strings.EqualFold(string(bytes.TrimSpace(end)), "LAST") {
		return 0, false, false
	}
	n, err := parseSize(string(count))
	return n, hasEnd, err == nil
}
