package directory

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// maxAddress bounds an address in octets: RFC 5321 section 4.5.3.1 allows 64
// for the local part and 255 for the domain; UTF-8 and quoting need more room.
const maxAddress = 512

// address is a mail address in the form that is compared: the local part
// without quotes, in NFC and lower case (no mail host of the field tells
// "Ann@" from "ann@"), the domain in lower case as A-labels.
type address struct {
	local, domain string
}

func (a address) String() string { return a.local + "@" + a.domain }

// parseAddress splits and normalises an address. ErrAddress.
func parseAddress(s string) (address, error) {
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || len(s) > maxAddress || !utf8.ValidString(s) {
		return address{}, ErrAddress
	}
	local, ok := unquote(s[:at])
	domain := foldDomain(s[at+1:])
	if !ok || domain == "" || strings.ContainsFunc(s, isControl) {
		return address{}, ErrAddress
	}
	return address{local: strings.ToLower(norm.NFC.String(local)), domain: domain}, nil
}

// isControl covers the octets that no mailbox may be named with: they would
// break the lines of every protocol.
func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// unquote takes the quotes of RFC 5321's Quoted-string off a local part.
func unquote(local string) (string, bool) {
	if local[0] != '"' {
		return local, !strings.ContainsAny(local, "\" ")
	}
	if len(local) < 3 || local[len(local)-1] != '"' {
		return "", false
	}
	var b strings.Builder
	for in := local[1 : len(local)-1]; in != ""; in = in[1:] {
		if in[0] == '\\' {
			if in = in[1:]; in == "" {
				return "", false
			}
		}
		b.WriteByte(in[0])
	}
	return b.String(), true
}

// foldDomain returns the form of a domain that is compared. What is no
// internationalised name (an address literal, an underscore) is only folded:
// it is not of this server, and the queue will say what is wrong with it.
func foldDomain(domain string) string {
	domain = strings.TrimSuffix(domain, ".")
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return ascii
	}
	return strings.ToLower(domain)
}

// newAddress checks an address that is to be made here: stricter than what is
// understood in mail, so that it can be typed into any client.
func newAddress(s string) (address, error) {
	a, err := parseAddress(s)
	if err != nil || len(a.local) > 64 || !validDomain(a.domain) {
		return address{}, ErrAddress
	}
	if strings.ContainsAny(a.local, "\"\\()<>[]:;,@ +") || strings.HasPrefix(a.local, ".") ||
		strings.HasSuffix(a.local, ".") || strings.Contains(a.local, "..") {
		return address{}, ErrAddress
	}
	return a, nil
}

// validDomain accepts the host names of RFC 1123, as A-labels.
func validDomain(domain string) bool {
	if domain == "" || len(domain) > 253 {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

// splitDetail takes the plus-detail off a local part; ok is false without one.
func splitDetail(local string) (base, detail string, ok bool) {
	plus := strings.IndexByte(local, '+')
	if plus <= 0 {
		return local, "", false
	}
	return local[:plus], local[plus+1:], true
}
