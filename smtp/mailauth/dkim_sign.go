package mailauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// ErrHeaderTooLarge is the error for a message with more than 1000 header
// fields, which is not signed.
var ErrHeaderTooLarge = errors.New("too many header fields to sign")

// signedFields are the fields that are signed where they are there: what
// people see, and what decides how it is shown (RFC 6376 section 5.4.1; why
// these: docs/decisions/0024). Those that are guarded are named once more than they are there, so that nobody can
// add one; the others are what mailing lists add to mail they leave alone.
var signedFields = []struct {
	name    string
	guarded bool
}{
	{"From", true}, {"To", true}, {"Cc", true}, {"Subject", true}, {"Date", true}, {"Message-ID", true}, {"Reply-To", true},
	{"In-Reply-To", true}, {"References", true}, {"MIME-Version", true}, {"Content-Type", true}, {"Content-Transfer-Encoding", true},
	{"Sender", false}, {"Autocrypt", false}, {"Auto-Submitted", false}, {"Disposition-Notification-To", false}, {"TLS-Required", false},
	{"Resent-From", false}, {"Resent-To", false}, {"Resent-Cc", false}, {"Resent-Date", false}, {"Resent-Message-ID", false},
	{"TLS-Report-Domain", false}, {"TLS-Report-Submitter", false}, // RFC 8460 section 5.3
	{"List-Id", false}, {"List-Unsubscribe", false}, {"List-Unsubscribe-Post", false}, {"List-Post", false}, {"List-Help", false},
	{"List-Subscribe", false}, {"List-Owner", false}, {"List-Archive", false},
}

// maxSameField bounds the fields of one name that are signed. Nothing but
// nonsense has more.
const maxSameField = 8

// Signer signs one message: with several keys, but reading it once. Both
// header and body are signed in their relaxed form, which survives refolding,
// and to the end of the body.
type Signer struct {
	picker picker
	names  []fieldName
	body   *bodyHash
	err    error
}

// NewSigner begins with a message's header as it is going to be sent, with CRLF
// at the ends of lines; it must not change before Finish. Trace fields, which are
// never signed, may still be put in front of it or taken out. What follows the
// header's empty line is taken as the beginning of the body.
func NewSigner(header []byte) *Signer {
	s := &Signer{body: newBodyHash(relaxed)}
	fields, rest, complete := splitHeader(header, nil)
	if !complete {
		s.err = ErrHeaderTooLarge
	}
	s.picker.fields = fields
	for _, f := range signedFields {
		name := fieldNameOf(f.name)
		n := min(s.picker.count(name), maxSameField)
		if f.guarded {
			n++
		}
		s.names = append(s.names, slices.Repeat([]fieldName{name}, n)...)
	}
	s.body.write(rest)
	return s
}

// Write takes the next octets of the body. It keeps nothing of p and never fails.
func (s *Signer) Write(p []byte) (int, error) {
	s.body.write(p)
	return len(p), nil
}

// Finish gives the DKIM-Signature fields to be put in front of the message, one
// for each key, with their line ends and now as the time of the signatures. It fails
// with ErrHeaderTooLarge, or when a key cannot sign.
func (s *Signer) Finish(keys []SigningKey, now time.Time) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	var sum [sha256.Size]byte
	s.body.finish(&sum)
	var out []byte
	for _, key := range keys {
		var err error
		if out, err = s.sign(out, key, now, sum); err != nil {
			return nil, fmt.Errorf("sign with %v: %w", key, err)
		}
	}
	return out, nil
}

// Sign signs a message whose body is read from body.
func Sign(keys []SigningKey, now time.Time, header []byte, body io.Reader) ([]byte, error) {
	s := NewSigner(header)
	if _, err := io.Copy(s, body); err != nil {
		return nil, fmt.Errorf("read message to be signed: %w", err)
	}
	return s.Finish(keys, now)
}

// sign appends the field of one key.
func (s *Signer) sign(dst []byte, key SigningKey, now time.Time, bodySum [sha256.Size]byte) ([]byte, error) {
	method, err := methodOf(key.Private.Public())
	if err != nil {
		return nil, err
	}
	start := len(dst)
	dst = s.appendTags(dst, key, method, now, bodySum)
	h := sha256.New()
	var buf []byte
	s.picker.pick(s.names, -1, func(field []byte) {
		buf = relaxed.appendField(buf[:0], field)
		h.Write(buf)
	})
	h.Write(appendRelaxed(buf[:0], dst[start:]))
	options := crypto.SignerOpts(crypto.SHA256)
	if method == ed25519SHA256 {
		options = crypto.Hash(0) // RFC 8463 section 3: the hash is what is signed
	}
	signature, err := key.Private.Sign(rand.Reader, h.Sum(nil), options)
	if err != nil {
		return nil, err
	}
	return append(appendBase64(dst, signature), crlf...), nil
}

// appendTags appends the field up to the "b=".
func (s *Signer) appendTags(dst []byte, key SigningKey, m method, now time.Time, bodySum [sha256.Size]byte) []byte {
	dst = append(dst, "DKIM-Signature: v=1; a="...)
	dst = append(append(dst, m.String()...), "; c=relaxed/relaxed; t="...)
	dst = strconv.AppendInt(dst, now.Unix(), 10)
	dst = append(append(dst, ";\r\n\td="...), key.Domain...)
	dst = append(append(dst, "; s="...), key.Selector...)
	dst = append(dst, ";\r\n\th="...)
	line := len(dst)
	for i, name := range s.names {
		if i > 0 {
			dst = append(dst, ':')
		}
		if len(dst)-line+len(name.text) > foldAt-len("\th=:") {
			dst = append(dst, "\r\n\t "...)
			line = len(dst)
		}
		dst = append(dst, name.text...)
	}
	dst = append(dst, ";\r\n\tbh="...)
	dst = base64.StdEncoding.AppendEncode(dst, bodySum[:])
	return append(dst, ";\r\n\tb="...)
}

// appendBase64 appends what stands behind the "b=", folded.
func appendBase64(dst, data []byte) []byte {
	text := base64.StdEncoding.AppendEncode(nil, data)
	for i := 0; len(text) > 0; i++ {
		if i > 0 {
			dst = append(dst, "\r\n\t "...)
		}
		n := min(len(text), foldAt-len("\tb="))
		dst = append(dst, text[:n]...)
		text = text[n:]
	}
	return dst
}

func methodOf(public crypto.PublicKey) (method, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return noMethod, fmt.Errorf("RSA key of %d bits, not %d to %d", bits, minRSABits, maxRSABits)
		}
		return rsaSHA256, nil
	case ed25519.PublicKey:
		return ed25519SHA256, nil
	}
	return noMethod, fmt.Errorf("key of type %T, not RSA or Ed25519", public)
}
