package smtp

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"mailstead/smtp/queue"
)

// Errors of the parameters of MAIL and RCPT.
var (
	errParamSyntax  = errors.New("smtp: malformed parameter")
	errParamUnknown = errors.New("smtp: parameter not recognized")
)

// maxParams bounds the parameters of one command: more than all registered ones.
const maxParams = 20

// param is one parameter of MAIL or RCPT (RFC 5321 section 4.1.1.11).
type param struct {
	key   string // upper case
	value string
	given bool // an "=" stood there
}

// parseParams reads what follows a path: each parameter once.
func parseParams(s []byte) ([]param, error) {
	if len(s) > 0 && s[0] != ' ' {
		return nil, errParamSyntax
	}
	var ps []param
	for field := range bytes.FieldsSeq(s) {
		key, value, given := bytes.Cut(field, []byte("="))
		p := param{strings.ToUpper(string(key)), string(value), given}
		if len(ps) == maxParams || !validParam(p) || hasParam(ps, p.key) {
			return nil, errParamSyntax
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func hasParam(ps []param, key string) bool {
	for _, p := range ps {
		if p.key == key {
			return true
		}
	}
	return false
}

// validParam is the grammar of esmtp-param; RFC 6531 section 3.3 lets UTF-8
// into values.
func validParam(p param) bool {
	for i := range len(p.key) {
		if !isAlnum(p.key[i]) && (p.key[i] != '-' || i == 0) {
			return false
		}
	}
	for i := range len(p.value) {
		if c := p.value[i]; c <= ' ' || c == 0x7f || c == '=' {
			return false
		}
	}
	return p.key != "" && p.given == (p.value != "")
}

// mailParams is what MAIL's parameters say.
type mailParams struct {
	size       int64        // SIZE (RFC 1870); 0 when not said
	utf8       bool         // SMTPUTF8 (RFC 6531)
	tls        bool         // REQUIRETLS (RFC 8689)
	returns    queue.Return // RET (RFC 3461)
	envelopeID string       // ENVID, in xtext
}

// mailParamsOf reads MAIL's parameters. What BODY (RFC 6152) says is seen in
// the message itself. AUTH= (RFC 4954 section 5) is known
// where AUTH is; whom the client names there is not our matter. REQUIRETLS is known on encrypted connections.
func mailParamsOf(ps []param, auth, encrypted bool) (m mailParams, err error) {
	for _, p := range ps {
		switch {
		case p.key == "SIZE" && p.given:
			if m.size, err = parseSize(p.value); err != nil {
				return m, err
			}
		case p.key == "BODY" && (strings.EqualFold(p.value, "8BITMIME") || strings.EqualFold(p.value, "7BIT")):
		case p.key == "SMTPUTF8" && !p.given:
			m.utf8 = true
		case p.key == "REQUIRETLS" && !p.given && encrypted:
			m.tls = true
		case p.key == "AUTH" && p.given && auth:
		case p.key == "RET" && p.given:
			if m.returns, err = queue.ParseReturn(p.value); err != nil {
				return m, errParamSyntax
			}
		case p.key == "ENVID" && p.given:
			if m.envelopeID, err = queue.ParseEnvelopeID(p.value); err != nil {
				return m, errParamSyntax
			}
		case p.key == "RET", p.key == "ENVID", p.key == "SIZE", p.key == "BODY", p.key == "SMTPUTF8", p.key == "AUTH" && auth, p.key == "REQUIRETLS" && encrypted:
			return m, errParamSyntax
		default:
			return m, errParamUnknown
		}
	}
	return m, nil
}

// wishOf reads RCPT's parameters, which are those of RFC 3461.
func wishOf(ps []param) (w queue.Wish, err error) {
	for _, p := range ps {
		switch {
		case p.key == "NOTIFY" && p.given:
			w.Notify, err = queue.ParseNotify(p.value)
		case p.key == "ORCPT" && p.given:
			w.Original, err = queue.ParseOriginal(p.value)
		case p.key == "NOTIFY", p.key == "ORCPT":
			return w, errParamSyntax
		default:
			return w, errParamUnknown
		}
		if err != nil {
			return w, errParamSyntax
		}
	}
	return w, nil
}

// parseSize reads the up to 20 digits of RFC 1870 section 5; what does not
// fit is larger than every limit.
func parseSize(s string) (int64, error) {
	if len(s) == 0 || len(s) > 20 || strings.Trim(s, "0123456789") != "" {
		return 0, errParamSyntax
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, nil
	}
	return n, nil
}
