package tls

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"unicode"

	"github.com/mholt/acmez/v3/acme"
)

// maxWords bounds what is told of an error, in characters: the detail of an authority is a sentence or two.
const maxWords = 400

// problems are what the types of problems mean to whoever runs the server (RFC 8555 section 6.7).
var problems = map[string]string{
	"accountDoesNotExist":     "the authority does not know our account",
	"badCSR":                  "the authority does not like what it was asked for",
	"badPublicKey":            "the authority does not take keys of this kind",
	"caa":                     "a CAA record of the domain forbids this authority to give certificates for it",
	"connection":              "the authority could not connect to this server; ports 80 and 443 have to be open to the world",
	"dns":                     "the authority could not find the name in the DNS",
	"externalAccountRequired": "the authority wants to know an account with it: acme_eab_key_id and acme_eab_key_file",
	"incorrectResponse":       "the authority reached a server that did not give our answer",
	"invalidContact":          "the authority does not take the address in acme_email",
	"rateLimited":             "the authority has given too many certificates, or seen too many failures, and wants us to wait",
	"rejectedIdentifier":      "the authority gives no certificates for this name",
	"serverInternal":          "the authority has a fault",
	"tls":                     "the authority could not make a TLS connection to this server",
	"unauthorized":            "the authority reached a server that did not give our answer; perhaps the name leads elsewhere, too",
	"unsupportedContact":      "the authority does not take the address in acme_email",
	"userActionRequired":      "the authority wants to be visited, perhaps for new terms",
}

// inWords tells why there is no certificate: what it means, and then what the authority said.
func inWords(err error) string {
	problem, ok := errors.AsType[acme.Problem](err)
	if !ok {
		return printable(plainWords(err))
	}
	words := problems[strings.TrimPrefix(problem.Type, acme.ProblemTypeNamespace)]
	if words == "" {
		words = "the authority refuses"
	}
	if problem.Detail != "" {
		words += ": " + problem.Detail
	}
	for _, sub := range problem.Subproblems {
		words += "; " + sub.Detail
	}
	return printable(words)
}

// plainWords tells of an error that is not the authority's.
func plainWords(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the authority's own certificate is not trusted; acme_ca_file names who has signed it: " + err.Error()
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		return "the authority did not answer in time: " + err.Error()
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return "the authority cannot be reached: " + err.Error()
	}
	return err.Error()
}

// printable is a text from elsewhere as it can stand in a line of a log.
func printable(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)), " ")
	if runes := []rune(text); len(runes) > maxWords {
		return string(runes[:maxWords]) + "…"
	}
	return text
}
