package tls

import "crypto/tls"

// Protocol is what a listener speaks once TLS is up. It decides which ALPN names
// (RFC 7301) are accepted.
type Protocol int

const (
	// SMTP is the receiver for mail from other servers, port 25.
	SMTP Protocol = iota
	// Submission is the door for the users' mail, ports 587 and 465.
	Submission
	// IMAP is for ports 143 and 993.
	IMAP
	// POP3 is for ports 110 and 995.
	POP3
	// HTTP is for port 443.
	HTTP
)

// alpn are the names each protocol answers to: the IANA registry's for imap, pop3
// and HTTP; "smtp" is not in it but what Exim and Postfix use. Authorities send their
// challenges to port 443 only (RFC 8737 section 3).
var alpn = map[Protocol][]string{
	SMTP:       {"smtp"},
	Submission: {"smtp"},
	IMAP:       {"imap"},
	POP3:       {"pop3"},
	HTTP:       {"h2", "http/1.1", challengeProtocol},
}

// Config is the configuration of a listener that speaks p with the certificates
// of source. It is a new one each time, so no session ticket of one listener is
// good at another.
//
// A client that offers ALPN names of other protocols only is refused with the
// alert no_application_protocol (RFC 7301 section 3.2): since all listeners share a
// certificate, an attacker could otherwise lead a browser's HTTPS connection to
// the IMAP port and let it answer in HTTPS's name (RFC 9325 section 3.8). A client
// that offers no ALPN, as mail programs do, is accepted.
//
// TLS 1.2 is the oldest version (RFC 8996, RFC 9325 section 3.1.1).
func Config(source Source, p Protocol) *tls.Config {
	return &tls.Config{
		GetCertificate: source.GetCertificate,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     alpn[p],
		// Outlook.com breaks off STARTTLS with a Go server that sends it session
		// tickets. Sending servers hardly ever resume a session, so nothing is lost. Elsewhere
		// the library changes their key every day, and takes none that is older than a week.
		SessionTicketsDisabled: p == SMTP,
	}
}
