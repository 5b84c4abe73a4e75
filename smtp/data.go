package smtp

import (
	"mailstead/smtp/journal"
	"mailstead/smtp/mailauth"
	"mailstead/smtp/queue"
)

// errFloodMessage ends a connection on which a message goes on long after it
// was too big.
var errFloodMessage = bye(552, "5.3.4", "Message too big")

// data receives a message that is ended by a dot (RFC 5321 section 4.1.1.4).
func data(s *session, arg []byte) (reply, error) {
	if len(arg) > 0 {
		return s.refuseData(say(501, "5.5.4", "DATA has no parameters")), nil
	}
	s.tx.message = s.newMessage(true)
	defer s.drop()
	s.write(say(354, "", "End with a dot on a line of its own"))
	if err := s.readDots(s.tx.message); err != nil {
		s.noteRefused(err)
		return reply{}, err
	}
	return s.accept()
}

// readDots feeds the message from the connection up to its CRLF.CRLF,
// whatever is wrong with it: octets of a refused message are no commands.
func (s *session) readDots(m *incoming) error {
	s.in.widen()
	defer s.in.narrow()
	for read := int64(0); read < s.server.limits.flood(); {
		p, err := s.window()
		if err != nil {
			return err
		}
		n, done := m.feed(p)
		s.in.take(n)
		if done {
			return nil
		}
		read += int64(n)
	}
	return errFloodMessage
}

// trustsReport reports whether a report is read: from outside, for an INBOX, and
// where anything can be proven, proven to be from the author's domain (RFC 9990 section
// 3.5.2). Anybody can write that we are forged.
func (s *session) trustsReport() bool {
	e := s.tx.examination
	switch {
	case s.account.ID != 0 || len(s.tx.Junk) > 0:
		return false
	case e == nil || e.checks.RecordOnly:
		return true
	}
	return e.facts.DMARC.Result == mailauth.Pass
}

// provesSender reports whether whoever has the reverse-path may be told what becomes of a message from
// outside: SPF says that it comes from there. Where nothing can be proven mail is only tried out.
func (s *session) provesSender() bool {
	e := s.tx.examination
	if s.account.ID != 0 || e == nil || s.tx.From == "" {
		return false
	}
	return e.checks.RecordOnly || e.facts.SPF.Result == mailauth.Pass
}

// accept hands a whole message over. The reply 250 makes it ours
// (RFC 5321 section 6.1).
func (s *session) accept() (reply, error) {
	m, came := s.tx.message, s.server.o.Now()
	err := m.finish()
	if err == nil {
		s.tx.EightBit, s.tx.UTF8 = m.eightBit, !m.asciiHeader || !isASCII(s.tx.From)
		if m.tlsOptional {
			s.tx.TLS = queue.TLSOptional
		}
		s.tx.Proven = s.provesSender()
		s.tx.Report = m.report && s.trustsReport()
		s.noteMessage(journal.Received, came, reply{})
		err = s.handOver(m)
	}
	if err != nil {
		s.noteRefused(err)
		s.log.Info("smtp: message refused", "id", s.tx.ID, "from", s.tx.From, "size", m.size, "err", err)
		return reply{}, err
	}
	s.server.taken.Add(1)
	s.idling = 0
	s.tellWhoIsKnown()
	r := say(250, "2.0.0", "Accepted as "+s.tx.ID)
	r.then = logAccepted(s.tx, m.size) // the client does not wait for it
	return r, nil
}

// handOver counts what a user sends, and gives the message to who keeps it.
func (s *session) handOver(m *incoming) error {
	if err := s.countSending(); err != nil {
		return err
	}
	err := s.server.o.Deliver.Accept(s.ctx(), s.tx.Transaction, m.body)
	if err != nil {
		s.uncountSending()
		return err
	}
	for _, r := range s.tx.Recipients {
		s.server.o.Directory.Arrived(r.Route.Masked)
	}
	return nil
}

func logAccepted(tx *transaction, size int64) func(*session) bool {
	return func(s *session) bool {
		s.log.Info("smtp: message accepted", "id", tx.ID, "from", tx.From, "recipients", len(tx.Recipients), "size", size)
		return true
	}
}
