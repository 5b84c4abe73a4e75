package smtp

import (
	"mailstead/mailbox"
	"mailstead/smtp/mailauth"
)

// seal is what has to see a whole message before its header can be stored, as
// what it finds out is written into the header: an examination, or a signature.
type seal interface {
	// begin takes the header with its empty line, as received. It gives what is stored in front of
	// the body where that is known already: then nothing else is called, and the message
	// is not held back. With unicode the header has UTF-8 already. An error refuses the message.
	begin(header []byte, unicode bool) ([]byte, error)
	// Write takes the next octets of the body.
	Write(p []byte) (int, error)
	// finish gives what is stored in front of the body, which is whole. An error
	// refuses the message.
	finish(unicode bool, body *mailbox.Spool) ([]byte, error)
}

// sealFor is the seal of the transaction's message; nil where the header can be
// stored as soon as it is there.
func (s *session) sealFor() seal {
	switch {
	case s.tx.examination != nil:
		return s.tx.examination
	case s.submission() && s.server.o.SigningKeys != nil && !s.tx.finalForAll():
		return &signing{session: s}
	}
	return nil
}

// signing signs a user's message that leaves the server, for the domain of its
// author (RFC 6409 section 8, RFC 6376 section 5).
type signing struct {
	session *session
	header  []byte // as it is stored
	keys    []mailauth.SigningKey
	signer  *mailauth.Signer
}

func (g *signing) begin(header []byte, _ bool) ([]byte, error) {
	s := g.session
	var err error
	if g.header, err = s.editHeader(header); err != nil {
		return nil, err
	}
	domain := mailauth.ReadAuthor(g.header).Domain
	if domain == "" {
		return g.header, nil
	}
	if g.keys = s.server.o.SigningKeys(domain); len(g.keys) == 0 {
		return g.header, nil
	}
	g.signer = mailauth.NewSigner(g.header)
	return nil, nil
}

func (g *signing) Write(p []byte) (int, error) { return g.signer.Write(p) }

// finish puts the signatures in front. A message that cannot be signed is sent
// all the same: the other server decides what it thinks of that.
func (g *signing) finish(bool, *mailbox.Spool) ([]byte, error) {
	fields, err := g.signer.Finish(g.keys, g.session.tx.Received)
	if err != nil {
		g.session.log.Error("smtp: message was not signed", "id", g.session.tx.ID, "err", err)
		return g.header, nil
	}
	return append(fields, g.header...), nil
}
