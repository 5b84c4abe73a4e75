package smtp

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Errors of a path in MAIL or RCPT.
var (
	errPathSyntax = errors.New("smtp: malformed path")
	errPathUTF8   = errors.New("smtp: address needs SMTPUTF8") // RFC 6531 section 3.2
)

// Bounds of RFC 5321 section 4.5.3.1. The one of 64 octets for the local part
// is not kept: bounce addresses that carry a whole address inside are longer.
const (
	maxAddress    = 64 + 1 + 255
	maxDomain     = 255
	maxLabel      = 63
	maxRouteHops  = 100 // source routes are read over; a path of maxPath has no room for more
	maxPath       = 1024
	postmasterKey = "postmaster"
)

// path is a reverse-path or forward-path of RFC 5321 section 4.1.2, without its
// source route and without quotes. Both parts empty is the null reverse-path;
// an empty domain alone is <postmaster>.
type path struct {
	local  string
	domain string // as written; an address literal with its brackets
}

// String gives the address with no more quoting than it needs.
func (p path) String() string {
	if p.local == "" && p.domain == "" {
		return ""
	}
	l := p.local
	if !isDotString(l) {
		l = quoteLocal(l)
	}
	if p.domain == "" {
		return l
	}
	return l + "@" + p.domain
}

// ascii reports whether the path can be said without SMTPUTF8.
func (p path) ascii() bool { return isASCII(p.local) && isASCII(p.domain) }

// parsePath reads a path in angle brackets from the beginning of s and returns
// what stands behind it. Source routes are read over and forgotten, as
// RFC 5321 appendix C wants them.
func parsePath(s []byte) (path, []byte, error) {
	if len(s) < 2 || s[0] != '<' {
		return path{}, nil, errPathSyntax
	}
	if s[1] == '>' {
		return path{}, s[2:], nil
	}
	rest, ok := skipRoute(s[1:])
	if !ok {
		return path{}, nil, errPathSyntax
	}
	p, rest, ok := parseMailbox(rest)
	if !ok || len(s)-len(rest) > maxPath || len(rest) == 0 || rest[0] != '>' {
		return path{}, nil, errPathSyntax
	}
	return p, rest[1:], nil
}

// skipRoute reads over "@a,@b:".
func skipRoute(s []byte) ([]byte, bool) {
	for hop := 0; len(s) > 0 && s[0] == '@'; hop++ {
		end := bytes.IndexAny(s, ",:>")
		if end < 0 || s[end] == '>' || hop == maxRouteHops || !validDomain(string(s[1:end])) {
			return nil, false
		}
		if s[end] == ':' {
			return s[end+1:], len(s) > end+1 && s[end+1] != '@'
		}
		if s = s[end+1:]; len(s) == 0 || s[0] != '@' {
			return nil, false
		}
	}
	return s, true
}

// parseMailbox reads local-part "@" domain, or "postmaster" alone.
func parseMailbox(s []byte) (path, []byte, bool) {
	local, s, ok := parseLocal(s)
	if !ok || len(s) == 0 {
		return path{}, nil, false
	}
	if s[0] == '>' { // RFC 5321 section 4.1.1.3: the one address without a domain
		return path{local: postmasterKey}, s, strings.EqualFold(local, postmasterKey)
	}
	end := bytes.IndexByte(s, '>')
	if s[0] != '@' || end < 0 || len(local)+end > maxAddress {
		return path{}, nil, false
	}
	domain := string(s[1:end])
	if strings.HasPrefix(domain, "[") {
		domain, ok = parseLiteral(domain)
	} else {
		ok = validDomain(domain)
	}
	return path{local, domain}, s[end:], ok
}

func parseLocal(s []byte) (string, []byte, bool) {
	if len(s) > 0 && s[0] == '"' {
		return parseQuoted(s[1:])
	}
	end := 0
	for end < len(s) && (isAtext(s[end]) || s[end] == '.') {
		end++
	}
	return string(s[:end]), s[end:], end > 0 && utf8.Valid(s[:end])
}

// parseQuoted reads a Quoted-string after its first quote.
func parseQuoted(s []byte) (string, []byte, bool) {
	var b []byte
	for i := 0; i < len(s) && i <= maxPath; i++ {
		switch c := s[i]; {
		case c == '"':
			return string(b), s[i+1:], len(b) > 0 && utf8.Valid(b)
		case c == '\\':
			if i++; i == len(s) || s[i] < ' ' || s[i] > '~' {
				return "", nil, false
			}
			b = append(b, s[i])
		case c < ' ' || c == 0x7f:
			return "", nil, false
		default:
			b = append(b, c)
		}
	}
	return "", nil, false
}

// parseLiteral reads an address literal of RFC 5321 section 4.1.3 and writes it
// in its one canonical form.
func parseLiteral(s string) (string, bool) {
	s, ok := strings.CutSuffix(s[1:], "]")
	if !ok || len(s) > maxDomain {
		return "", false
	}
	six := len(s) > 5 && strings.EqualFold(s[:5], "IPv6:")
	if six {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4() == six {
		return "", false
	}
	return literal(a), true
}

// literal writes an address as RFC 5321 section 4.1.3 does.
func literal(a netip.Addr) string {
	if a.Is4() {
		return "[" + a.String() + "]"
	}
	return "[IPv6:" + a.String() + "]"
}

// validDomain accepts what RFC 5321 and RFC 6531 section 3.3 call a domain, and
// underscores, which real senders have.
func validDomain(s string) bool {
	if len(s) == 0 || len(s) > maxDomain || !utf8.ValidString(s) {
		return false
	}
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if label == 0 || s[i-1] == '-' {
				return false
			}
			label = 0
			continue
		case c == '-':
			if label == 0 {
				return false
			}
		case c < utf8.RuneSelf && c != '_' && !isAlnum(c):
			return false
		}
		if label++; label > maxLabel {
			return false
		}
	}
	return label > 0 && s[len(s)-1] != '-'
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// isAtext is atext of RFC 5322 section 3.2.3 with the octets of RFC 6531.
func isAtext(c byte) bool {
	return isAlnum(c) || c >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// isDotString reports whether a local part needs no quotes. Dots may stand
// anywhere: providers have given out such addresses, and they arrive unquoted.
func isDotString(s string) bool {
	for i := range len(s) {
		if !isAtext(s[i]) && s[i] != '.' {
			return false
		}
	}
	return s != ""
}

func quoteLocal(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
