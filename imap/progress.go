package imap

import (
	"strings"

	"mailstead/imap/wire"
)

// progress is how far a long command is, as its client was told.
type progress struct {
	tag  string
	done uint32 // told last
}

// tell writes INPROGRESS (RFC 9585): done of total messages are dealt with. Numbers must
// rise from one response to the next and stay below the total, so they are left out
// where they do not.
func (p *progress) tell(s *session, done, total uint32) {
	b := append(s.enc.Buf(), "* OK [INPROGRESS ("...)
	if p.tag == "" || strings.Contains(p.tag, "]") { // no command asked for it, or section 4 forbids to tell which
		b = append(b, "NIL "...)
	} else {
		b = append(wire.AppendQuoted(b, p.tag), ' ')
	}
	s.enc.SetBuf(b)
	if done > p.done && done < total {
		p.done = done
		s.enc.Number(uint64(done)).Text(" ").Number(uint64(total))
	} else {
		s.enc.Text("NIL NIL")
	}
	s.enc.Text(")] still searching\r\n")
}
