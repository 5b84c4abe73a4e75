package mailauth

import (
	"bytes"
	"crypto/sha256"
	"math"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
)

const (
	maxSignatureField = 32 << 10 // octets of a signature's field; z= copies of whole headers are below that
	maxSignedNames    = 256      // names in h=; signers that name all known fields twice have about 100
	maxSignature      = 1024     // octets in b=: RSA of 8192 bits
	maxIdentity       = 1024     // octets of i=; an address has at most 320
)

// verdict is a result with its reason; the zero value is none yet.
type verdict struct {
	result Result
	reason string
}

// The reasons not to look at a signature any further.
var (
	badSyntax      = verdict{Neutral, "syntax error in the signature"}
	badVersion     = verdict{Neutral, "unknown version of the signature"}
	missingTag     = verdict{Neutral, "the signature lacks a required tag"}
	unknownMethod  = verdict{Neutral, "unknown algorithm"}
	unknownForm    = verdict{Neutral, "unknown canonicalization"}
	unknownQuery   = verdict{Neutral, "unknown way to get the key"}
	headerTooLarge = verdict{Neutral, "too many header fields"}
	historicMethod = verdict{PermError, "SHA-1 is not accepted"}
	foreignAgent   = verdict{PermError, "i= is not within d="}
	fromNotSigned  = verdict{PermError, "From is not signed"}
	expired        = verdict{Policy, "the signature has expired"}
	moreFrom       = verdict{Policy, "not all From fields are signed"}
)

// method is a signature algorithm.
type method uint8

const (
	noMethod      method = iota
	rsaSHA256            // RFC 6376 section 3.3.2
	ed25519SHA256        // RFC 8463
)

// keyType is the k= of a key for it.
func (m method) keyType() string {
	if m == ed25519SHA256 {
		return "ed25519"
	}
	return "rsa"
}

func (m method) String() string {
	switch m {
	case rsaSHA256:
		return "rsa-sha256"
	case ed25519SHA256:
		return "ed25519-sha256"
	}
	return ""
}

// signature is what a DKIM-Signature, an ARC-Message-Signature or an ARC-Seal
// says.
type signature struct {
	field    []byte // as it stands in the message
	bFrom    int    // field[bFrom:bTo] is the value of b= with the white space around it
	bTo      int
	method   method
	data     []byte // b=
	domain   string // d=, in A-labels and lower case
	selector string // s=, the same
	keyName  string // where the key is in the DNS

	// These a seal does not have.
	header, body canonicalization
	bodyHash     [sha256.Size]byte
	length       int64 // l=, -1 without it
	names        []fieldName
}

// signatureKind tells apart the fields that look like a DKIM-Signature.
type signatureKind uint8

const (
	dkimSignature signatureKind = iota
	arcMessage                  // RFC 8617 section 4.1.2
	arcSeal                     // RFC 8617 section 4.1.3
)

// parseSignature reads a signature's field. What could be read is there beside
// a verdict, too.
func parseSignature(field []byte, kind signatureKind) (*signature, tagList, verdict) {
	s := new(signature)
	tags, v := s.parse(field, kind, nil)
	return s, tags, v
}

// parse is parseSignature; what s has room for is used again, and room is for the tags.
func (s *signature) parse(field []byte, kind signatureKind, room tagList) (tagList, verdict) {
	*s = signature{field: field, length: -1, data: s.data[:0], names: s.names[:0]}
	colon := bytes.IndexByte(field, ':') + 1
	if len(field) > maxSignatureField {
		return nil, badSyntax
	}
	tags, err := appendTags(room[:0], field[colon:])
	if err != nil {
		return nil, badSyntax
	}
	if b := tags.find("b"); b != nil {
		s.bFrom, s.bTo = colon+b.from, colon+b.to
	}
	s.domain, s.selector = domainTag(tags.value("d")), domainTag(tags.value("s"))
	if v := s.parseMethod(tags.value("a")); v != (verdict{}) {
		return tags, v
	}
	if v := s.parseKeyTags(tags); v != (verdict{}) || kind == arcSeal {
		return tags, v
	}
	return tags, s.parseMessageTags(tags)
}

// domainTag is a domain of d= or s= as the DNS is asked for it; nothing if it
// is none. In a header with UTF-8 it may be Unicode (RFC 8616 section 5).
func domainTag(value []byte) string {
	name, err := dns.ASCII(string(value))
	if err != nil || bytes.HasSuffix(value, []byte(".")) {
		return ""
	}
	return name
}

// parseMethod reads a=. SHA-1 has had its day (RFC 8301 section 3.1).
func (s *signature) parseMethod(value []byte) verdict {
	switch a := strings.ToLower(string(value[:min(len(value), 32)])); a {
	case "rsa-sha256":
		s.method = rsaSHA256
	case "ed25519-sha256":
		s.method = ed25519SHA256
	case "rsa-sha1":
		return historicMethod
	case "":
		return missingTag
	default:
		return unknownMethod
	}
	return verdict{}
}

// parseKeyTags reads what is needed to find the key and use it.
func (s *signature) parseKeyTags(tags tagList) verdict {
	for _, name := range []string{"b", "d", "s"} {
		if len(tags.value(name)) == 0 {
			return missingTag
		}
	}
	var err error
	if s.data, err = appendDecoded(s.data, tags.value("b")); err != nil || len(s.data) > maxSignature {
		return badSyntax
	}
	// A domain has two labels at least (RFC 6376 section 3.5, d=).
	if s.selector == "" || !strings.Contains(s.domain, ".") {
		return badSyntax
	}
	s.keyName = s.selector + "._domainkey." + s.domain
	return verdict{}
}

// parseMessageTags reads what is needed to hash the message.
func (s *signature) parseMessageTags(tags tagList) verdict {
	if len(tags.value("bh")) == 0 || len(tags.value("h")) == 0 {
		return missingTag
	}
	var room [2 * sha256.Size]byte
	sum, err := appendDecoded(room[:0], tags.value("bh"))
	if err != nil || copy(s.bodyHash[:], sum) != len(s.bodyHash) || len(sum) != len(s.bodyHash) {
		return badSyntax
	}
	if l := tags.find("l"); l != nil {
		var ok bool
		if s.length, ok = decimal(l.value, 76); !ok {
			return badSyntax
		}
	}
	if q := tags.find("q"); q != nil && !listHas(q.value, "dns/txt") {
		return unknownQuery
	}
	if v := s.parseForms(tags.find("c")); v != (verdict{}) {
		return v
	}
	return s.parseNames(tags.value("h"))
}

// parseForms reads c=: one name is for the header, and simple is what is not said.
func (s *signature) parseForms(c *tag) verdict {
	if c == nil {
		return verdict{}
	}
	header, body, two := bytes.Cut(c.value, []byte("/"))
	if !two {
		body = []byte("simple")
	}
	var ok1, ok2 bool
	s.header, ok1 = formOf(header)
	s.body, ok2 = formOf(body)
	if !ok1 || !ok2 {
		return unknownForm
	}
	return verdict{}
}

func formOf(name []byte) (canonicalization, bool) {
	switch strings.ToLower(string(name[:min(len(name), 16)])) {
	case "simple":
		return simple, true
	case "relaxed":
		return relaxed, true
	}
	return simple, false
}

// parseNames reads h=, which must hold From (RFC 6376 section 6.1.1).
func (s *signature) parseNames(value []byte) verdict {
	colons := bytes.Count(value, []byte(":"))
	if colons >= maxSignedNames {
		return badSyntax
	}
	from := false
	s.names = slices.Grow(s.names, colons+1)
	for name := range bytes.SplitSeq(value, []byte(":")) {
		if name = trimFWS(name); !isFieldName(name) {
			return badSyntax
		}
		from = from || bytes.EqualFold(name, []byte("From"))
		s.names = append(s.names, newFieldName(name))
	}
	if !from {
		return fromNotSigned
	}
	return verdict{}
}

// checkAgent reads i=, by default @ and the domain. Its domain must be d= or
// below it (RFC 6376 section 6.1.1). Domain is that of the agent.
func (s *signature) checkAgent(i *tag) (identity, domain string, v verdict) {
	if s.domain == "" {
		return "", "", verdict{} // which parseSignature has found already
	}
	if i == nil {
		return "@" + s.domain, s.domain, verdict{}
	}
	value, ok := unquote(i.value)
	at := bytes.LastIndexByte(value, '@')
	if !ok || at < 0 || len(value) > maxIdentity {
		return "", "", badSyntax
	}
	domain = domainTag(value[at+1:])
	if domain == "" {
		return "", "", badSyntax
	}
	if domain != s.domain && !strings.HasSuffix(domain, "."+s.domain) {
		return "", "", foreignAgent
	}
	return string(value), domain, verdict{}
}

// checkTimes reads t= and x=. A signature from the future is not held against
// its signer: our clock may be the wrong one.
func checkTimes(tags tagList, now time.Time) verdict {
	signed, ends := int64(-1), int64(math.MaxInt64)
	var ok bool
	if t := tags.find("t"); t != nil {
		if signed, ok = decimal(t.value, maxTimeDigits); !ok {
			return badSyntax
		}
	}
	if x := tags.find("x"); x != nil {
		if ends, ok = decimal(x.value, maxTimeDigits); !ok || ends <= signed {
			return badSyntax
		}
	}
	if now.Unix() > ends {
		return expired
	}
	return verdict{}
}

// maxTimeDigits are those of t= and x=; twelve reach past the year 33,000.
const maxTimeDigits = 12
