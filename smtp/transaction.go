package smtp

import (
	"slices"
	"strconv"
	"time"

	"mailstead/mailbox/directory"
	"mailstead/smtp/local"
	"mailstead/smtp/queue"
)

// transaction is one message from MAIL to its end (RFC 5321 section 3.3). RSET
// and EHLO replace it.
type transaction struct {
	local.Transaction
	sending directory.Sending // what of it leaves, of a user's message
	utf8    bool              // SMTPUTF8 was said
	size    int64             // that was declared, in octets; 0 when none was
	message *incoming         // since DATA or the first BDAT
	failed  bool              // a chunk was refused; only RSET and further chunks follow
	read    int64             // octets of chunks
	told    bool              // the journal knows how it ended

	examination *examination // nil where nothing is checked
}

// chunks reports whether BDAT began.
func (t *transaction) chunks() bool { return t.message != nil || t.failed }

// fail gives the message up after a chunk that was refused.
func (t *transaction) fail() {
	t.message.abort()
	t.message, t.failed = nil, true
}

// newTransaction begins with the reverse-path.
func (s *session) newTransaction(from path, p mailParams) *transaction {
	now := s.server.o.Now()
	t := &transaction{Transaction: local.Transaction{
		ID: s.server.newName(now), From: from.String(), Account: s.account.ID, Received: now,
		EnvelopeID: p.envelopeID, Return: p.returns,
	}, utf8: p.utf8, size: p.size}
	if p.tls {
		t.TLS = queue.TLSRequired
	}
	return t
}

// wantsHeader reports whether the header may say how the message is to go on: where it goes on, and
// nothing was said in its envelope (RFC 8689 section 4.1).
func (t *transaction) wantsHeader() bool {
	return t.TLS == "" && slices.ContainsFunc(t.Recipients, func(r local.Recipient) bool { return len(r.Route.Remote) > 0 })
}

// newName names a transaction.
func (s *Server) newName(now time.Time) string { return nameAt(now, s.counter.Add(1)) }

// nameAt names the nth transaction: by time, so that logs of years have no two.
func nameAt(now time.Time, n uint64) string {
	const digits = 36
	return strconv.FormatInt(now.UnixMilli(), digits) + "." + strconv.FormatUint(n, digits)
}
