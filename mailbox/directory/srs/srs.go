// Package srs writes return addresses for mail that is handed on, and reads them
// back: the sender rewriting scheme. A server that hands mail on has no place in
// the SPF record of the sender's domain, so it names itself in the envelope, in a
// way that tells where notices about the message belong:
//
//	ann@example.org                       the sender
//	SRS0=HASH=DAY=example.org=ann@us      as we hand on what she sent
//	SRS1=HASH=first==REST@us              as we hand on what came from an SRS0 address
//
// REST is what stood behind "SRS0" there, and is not ours to understand: a notice
// goes back to the first server of the way, which checks what it made itself.
// The hash is a keyed one, so that nobody else can make addresses that lead through us,
// and the day ends what an address is good for.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"
)

// Errors of Reverse.
var (
	ErrForged  = errors.New("srs: not an address that was made here")
	ErrExpired = errors.New("srs: the address has expired")
)

const (
	// Days is for how long notices come back: servers try for five days, and some people's queues stand
	// still for a fortnight.
	Days = 21
	// SecretSize is of a good secret, in octets.
	SecretSize = 32

	// hashSize is 40 bits of the hash, in characters: whoever guesses has to ask here each time.
	hashSize = 8
	// dayCycle is after how many days the stamp of two characters begins anew.
	dayCycle = 1 << 10
	// maxAddress is what a path has room for at most servers (RFC 5321 section 4.5.3.1), ours included.
	maxAddress = 64 + 1 + 255

	first, further = "SRS0", "SRS1"
	separators     = "=+-" // that others write behind the first word; ours is the first
)

// letters are of base 32, as local parts may lose their case on the way.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

var encoding = base32.NewEncoding(letters).WithPadding(base32.NoPadding)

// Rewriter makes and reads addresses with one secret. Its methods may be called
// at the same time.
type Rewriter struct {
	secret []byte
	now    func() time.Time
}

// New returns a rewriter; now = nil is time.Now.
func New(secret []byte, now func() time.Time) *Rewriter {
	if now == nil {
		now = time.Now
	}
	return &Rewriter{secret: secret, now: now}
}

// Is reports whether a local part, without quotes, looks like one of these addresses.
func Is(local string) bool {
	_, _, ok := cutScheme(local)
	return ok
}

// cutScheme takes the first word and its separator off a local part.
func cutScheme(local string) (scheme, rest string, ok bool) {
	if len(local) <= len(first) || strings.IndexByte(separators, local[len(first)]) < 0 {
		return "", "", false
	}
	scheme = strings.ToUpper(local[:len(first)])
	return scheme, local[len(first)+1:], scheme == first || scheme == further
}

// Forward is the sender to hand mail of sender on with, at a domain of ours. The null
// reverse-path stays (RFC 5321 section 4.5.5), and is what becomes of an address
// that would be too long.
func (r *Rewriter) Forward(sender, domain string) string {
	local, from, ok := split(sender)
	if !ok || strings.Contains(from, "=") { // no domain has one, and parts end with it
		return ""
	}
	address := quote(r.local(local, from)) + "@" + domain
	if len(address) > maxAddress {
		return ""
	}
	return address
}

func (r *Rewriter) local(local, domain string) string {
	scheme, rest, ok := cutScheme(local)
	switch {
	case ok && scheme == first && rest != "":
		return r.further(domain + "=" + local[len(first):])
	case ok && scheme == further:
		if _, signed, ok := strings.Cut(rest, "="); ok && plausible(signed) {
			return r.further(signed)
		}
	}
	signed := r.stamp() + "=" + domain + "=" + local
	return first + "=" + r.hash(signed) + "=" + signed
}

func (r *Rewriter) further(signed string) string {
	return further + "=" + r.hash(signed) + "=" + signed
}

// plausible reports whether what stands behind the hash of an SRS1 address has its parts.
func plausible(signed string) bool {
	_, _, ok := cutFirst(signed)
	return ok
}

// cutFirst splits what stands behind the hash of an SRS1 address: the first
// server, and what is written behind SRS0 there, with its separator.
func cutFirst(signed string) (host, rest string, ok bool) {
	host, rest, ok = strings.Cut(signed, "=")
	return host, rest, ok && host != "" && len(rest) > 1 && strings.IndexByte(separators, rest[0]) >= 0
}

// Reverse gives the address that a local part, without quotes, stands for: the sender's,
// or that of the first server on the way. ErrForged, ErrExpired.
func (r *Rewriter) Reverse(local string) (string, error) {
	scheme, rest, ok := cutScheme(local)
	if !ok || len(local) > maxAddress {
		return "", ErrForged
	}
	hash, signed, ok := strings.Cut(rest, "=")
	if !ok || !hmac.Equal([]byte(strings.ToUpper(hash)), []byte(r.hash(signed))) {
		return "", ErrForged
	}
	if scheme == further {
		host, rest, ok := cutFirst(signed)
		if !ok {
			return "", ErrForged
		}
		return quote(first+rest) + "@" + host, nil
	}
	day, rest, _ := strings.Cut(signed, "=")
	domain, user, ok := strings.Cut(rest, "=")
	switch {
	case !ok || domain == "" || user == "":
		return "", ErrForged
	case !r.fresh(day):
		return "", ErrExpired
	}
	return quote(user) + "@" + domain, nil
}

// hash is of what it protects in any case.
func (r *Rewriter) hash(signed string) string {
	m := hmac.New(sha256.New, r.secret)
	m.Write([]byte(strings.ToLower(signed)))
	return encoding.EncodeToString(m.Sum(nil))[:hashSize]
}

func (r *Rewriter) day() int { return int(r.now().Unix() / (24 * 60 * 60) % dayCycle) }

func (r *Rewriter) stamp() string {
	d := r.day()
	return string([]byte{letters[d>>5], letters[d&31]})
}

// fresh reports whether a stamp is of the last days. One of tomorrow was made before the clock was set right.
func (r *Rewriter) fresh(stamp string) bool {
	if len(stamp) != 2 {
		return false
	}
	stamp = strings.ToUpper(stamp)
	high, low := strings.IndexByte(letters, stamp[0]), strings.IndexByte(letters, stamp[1])
	if high < 0 || low < 0 {
		return false
	}
	age := (r.day() - (high<<5 | low) + dayCycle) % dayCycle
	return age <= Days || age == dayCycle-1
}

// split gives the parts of an address, the local one without quotes.
func split(address string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 || at == len(address)-1 {
		return "", "", false
	}
	local, domain = address[:at], address[at+1:]
	if local[0] != '"' {
		return local, domain, true
	}
	if len(local) < 3 || local[len(local)-1] != '"' {
		return "", "", false
	}
	var b strings.Builder
	for in := local[1 : len(local)-1]; in != ""; in = in[1:] {
		if in[0] == '\\' && len(in) > 1 {
			in = in[1:]
		}
		b.WriteByte(in[0])
	}
	return b.String(), domain, true
}

// quote writes a local part with quotes where it needs them (RFC 5321 section 4.1.2).
func quote(local string) string {
	if !strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("\"(),:;<>@[\\]", r) }) {
		return local
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
}
