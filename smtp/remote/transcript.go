package remote

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
)

// Bounds of what is told of an attempt, so that a server that talks without end fills nobody's journal.
const (
	maxToldLines  = 500      // in all: the envelope of a full transaction with its replies, and what is around it
	maxToldOctets = 48 << 10 // in all
	maxToldReply  = 20       // lines of one reply; replies to EHLO have about a dozen
)

// transcript is the conversation of an attempt on its way to queue.Message.Tell: what we said behind
// "> ", what the server said behind "< ", what happened besides behind "* ". The octets of messages
// are not in it. All its lines are printable ASCII and bounded. Its methods may be called on nil.
type transcript struct {
	tell   func(line string) // nil: nobody listens
	lines  int
	octets int
	full   bool
	known  verdict // was told last, and is not told again for each host and recipient that it decides
}

// put tells a line, unless enough was told.
func (t *transcript) put(mark, text string) {
	if t == nil || t.tell == nil || t.full {
		return
	}
	line := mark + sanitise(text)
	if t.lines == maxToldLines-1 || t.octets+len(line) > maxToldOctets {
		t.full = true
		line = "* the rest of the conversation is too long to be told"
	}
	t.lines++
	t.octets += len(line)
	t.tell(line)
}

// said tells a command.
func (t *transcript) said(command string) { t.put("> ", command) }

// listens tells whether lines are worth being made.
func (t *transcript) listens() bool { return t != nil && t.tell != nil && !t.full }

// note tells what happened.
func (t *transcript) note(format string, args ...any) {
	if t.listens() {
		t.put("* ", fmt.Sprintf(format, args...))
	}
}

// heard tells a reply.
func (t *transcript) heard(rep reply) {
	if !t.listens() {
		return
	}
	for i, text := range rep.lines {
		switch {
		case i == len(rep.lines)-1:
			t.put("< ", strings.TrimRight(fmt.Sprintf("%d %s", rep.code, text), " "))
		case i < maxToldReply-1:
			t.put("< ", fmt.Sprintf("%d-%s", rep.code, text))
		case i == maxToldReply-1:
			t.note("%d more lines of this reply", len(rep.lines)-maxToldReply)
		}
	}
}

// failed tells a verdict of ours; replies are told when they are heard.
func (t *transcript) failed(err error) { t.outcome(target{}, asVerdict(err)) }

// encrypted tells what a handshake came to.
func (t *transcript) encrypted(state tls.ConnectionState) {
	if !t.listens() {
		return
	}
	t.note("%s, %s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), describeCertificate(state.PeerCertificates))
}

// describeCertificate says whom a certificate is for, who issued it and until when it counts.
func describeCertificate(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "no certificate"
	}
	const mostNames = 5 // of a certificate
	c := chain[0]
	names := c.DNSNames
	if len(names) == 0 {
		names = []string{c.Subject.CommonName}
	}
	shown := strings.Join(names[:min(len(names), mostNames)], " ")
	if len(names) > mostNames {
		shown += fmt.Sprintf(" and %d more", len(names)-mostNames)
	}
	return fmt.Sprintf("certificate for %s by %s until %s", shown, c.Issuer, c.NotAfter.UTC().Format("2006-01-02"))
}

// outcome tells what we decided without a server's word, about a host if one is named.
func (t *transcript) outcome(about target, v verdict) {
	if !t.listens() || v.code != 0 || v == t.known {
		return
	}
	t.known = v
	if about.host == "" {
		t.note("%v", v)
		return
	}
	t.note("%s: %v", about.host, v)
}
