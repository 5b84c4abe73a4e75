package remote

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailstead/smtp/dns"
)

// maxAddress is the longest address we put in a command: more does not fit the
// 512 octets of a command line with its parameters (RFC 5321 section
// 4.5.3.1.4). The 64 octets of section 4.5.3.1.1 for the local part are left to
// the receiver to insist on; VERP and SRS addresses exceed them every day.
const maxAddress = 400

var errAddress = errors.New("malformed address")

// path is an address as it goes into MAIL or RCPT.
type path struct {
	text string // without angle brackets; "" is the null reverse-path
	utf8 bool   // needs SMTPUTF8 (RFC 6531)
}

// parsePath checks an address before it becomes part of a command: what is not
// an address of RFC 5321 section 4.1.2, widened by RFC 6531 section 3.3, could
// smuggle parameters or commands. A Unicode domain is sent as A-labels, so that
// only a Unicode local part asks for SMTPUTF8.
func parsePath(address string) (path, error) {
	bad := fmt.Errorf("%w: %.80q", errAddress, address)
	at := strings.LastIndexByte(address, '@')
	if at < 0 || len(address) > maxAddress || !utf8.ValidString(address) {
		return path{}, bad
	}
	local, domain := address[:at], address[at+1:]
	if !isDotString(local) && !isQuotedString(local) {
		return path{}, bad
	}
	if _, ok := parseLiteral(domain); !ok {
		var err error
		if domain, err = dns.ASCII(domain); err != nil {
			return path{}, fmt.Errorf("%w: %w", errAddress, err)
		}
	}
	return path{local + "@" + domain, !isASCII(local)}, nil
}

// isDotString tells whether a local part goes without quotes. Dots may stand
// anywhere: some providers have given out addresses like "a..b".
func isDotString(local string) bool {
	for _, c := range local {
		if !isAtext(c) && c != '.' {
			return false
		}
	}
	return local != ""
}

func isAtext(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	case c < utf8.RuneSelf:
		return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", c)
	}
	return unicode.IsPrint(c)
}

// isQuotedString tells whether a local part is a Quoted-string of RFC 5321
// section 4.1.2.
func isQuotedString(local string) bool {
	if len(local) < 3 || local[0] != '"' || local[len(local)-1] != '"' {
		return false
	}
	escaped := false
	for _, c := range local[1 : len(local)-1] {
		switch {
		case c < ' ' || c == 0x7f || c > 0x7f && !unicode.IsPrint(c):
			return false
		case escaped:
			escaped = false
		case c == '"':
			return false
		case c == '\\':
			escaped = true
		}
	}
	return !escaped
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= utf8.RuneSelf })
}

// parseLiteral reads an address literal (RFC 5321 section 4.1.3): "[192.0.2.1]"
// or "[IPv6:2001:db8::1]".
func parseLiteral(domain string) (netip.Addr, bool) {
	if len(domain) < 2 || domain[0] != '[' || domain[len(domain)-1] != ']' {
		return netip.Addr{}, false
	}
	inner := domain[1 : len(domain)-1]
	const tag = "IPv6:"
	six := len(inner) > len(tag) && strings.EqualFold(inner[:len(tag)], tag)
	if six {
		inner = inner[len(tag):]
	}
	addr, err := netip.ParseAddr(inner)
	if err != nil || addr.Zone() != "" || addr.Is4() == six {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}
