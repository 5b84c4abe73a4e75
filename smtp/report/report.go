// Package report reads what other servers report about mail in the name of our
// domains: DMARC aggregate reports (RFC 9990, and the form of RFC 7489 appendix
// C) and TLS reports (RFC 8460). They arrive as letters, are recognised by their
// header, read in the background, at least once, and kept in a room of the store for a while.
// Nothing is refused or filed for what a report says, and one that cannot be
// read is just a letter.
package report

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"mailstead/mailbox/message"
)

// Kind is what a report is about.
type Kind string

// The kinds of reports.
const (
	KindDMARC Kind = "dmarc"
	KindTLS   Kind = "tls"
)

// Report is what is kept of one report.
type Report struct {
	Kind   Kind      `json:"kind"`
	Sender string    `json:"sender"` // domain of the letter's author
	Org    string    `json:"org"`    // what the reporter calls itself
	ID     string    `json:"id"`     // unique for a reporter
	Domain string    `json:"domain"` // that it is about, in lower case; of a TLS report that of its first policy
	Begin  time.Time `json:"begin"`
	End    time.Time `json:"end"`

	Rows     []Row    `json:"rows,omitempty"`     // of a DMARC report
	Rest     int64    `json:"rest,omitempty"`     // messages of rows that are not kept
	Policies []Policy `json:"policies,omitempty"` // of a TLS report
}

// Row is mail from one host for which the same was found (RFC 9990 section 3.1.1.9).
type Row struct {
	Source      string `json:"source"` // IP address
	From        string `json:"from"`   // domain of the From field
	DKIM        bool   `json:"dkim"`   // passed, and aligned
	SPF         bool   `json:"spf"`    // passed, and aligned
	Disposition string `json:"disposition"`
	Count       int64  `json:"count"` // messages
}

// Policy is what became of connections under one policy for TLS (RFC 8460 section 4.4).
type Policy struct {
	Type      string    `json:"type"` // tlsa, sts or no-policy-found
	Domain    string    `json:"domain"`
	Succeeded int64     `json:"succeeded"` // sessions
	Failed    int64     `json:"failed"`
	Failures  []Failure `json:"failures,omitempty"`
}

// Failure is a reason for which TLS failed, with how many sessions it ended.
type Failure struct {
	Type  string `json:"type"` // RFC 8460 section 4.3
	Count int64  `json:"count"`
}

// ErrNone says that a letter holds no report that can be read.
var ErrNone = errors.New("report: no report that can be read")

// Bounds of reading. Real reports are some kilobytes; those of the largest
// providers, about the largest domains, are below these.
const (
	maxLetter   = 8 << 20 // octets of a letter
	maxParts    = 10      // parts of it that are tried
	maxInflated = 8 << 20 // octets of a report
	maxRatio    = 300     // inflated to packed: XML shrinks to a twentieth
	freeRatio   = 1 << 20 // octets for which the ratio is not asked
	maxEntries  = 10      // files in an archive
	maxDepth    = 16      // elements, or values, in each other: a report has six
	maxXML      = 1 << 20 // tokens of XML: 6,000 rows
	maxJSON     = 50_000  // tokens of JSON
	maxRecords  = 5000    // records that are told apart
	maxText     = 255     // octets that are kept of a text
	maxCount    = 1 << 40 // messages or sessions in one number
	keptRows    = 100     // of a report: the largest
	keptPolicy  = 20
	keptReasons = 20
)

var subject = []byte("report domain:")

// packed are the media types that a letter has which is nothing but a report.
var packed = []string{
	"application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed", "application/x-zip",
	"application/tlsrpt+gzip", "application/tlsrpt+json",
}

// Recognize reports whether a letter's header looks like that of a report: its
// subject (RFC 9990 section 3.5.2, RFC 8460 section 5.3), the fields of TLS reports, or the
// media type. It is quick, and most letters are none.
func Recognize(header []byte) bool {
	for f := range message.Fields(header) {
		switch {
		case is(f.Name, "TLS-Report-Domain"):
			return true
		case is(f.Name, "Subject"):
			if encoded := bytes.Contains(f.Value, []byte("=?")); !encoded && bytes.IndexByte(f.Value, ':') < 0 {
				continue // as most are, and need not be read
			}
			if bytes.Contains(bytes.ToLower(unfolded(f.Value)), subject) {
				return true
			}
		case is(f.Name, "Content-Type"):
			if value := bytes.TrimLeft(f.Value, " \t\r\n"); is(value[:min(len(value), len("text/"))], "text/") {
				continue
			}
			if isReportType(string(bytes.ToLower(unfolded(f.Value)))) {
				return true
			}
		}
	}
	return false
}

func isReportType(value string) bool {
	media, params, _ := strings.Cut(value, ";")
	media = strings.TrimSpace(media)
	for _, p := range packed {
		if media == p {
			return true
		}
	}
	return media == "multipart/report" && strings.Contains(params, "tlsrpt")
}

func is(name []byte, want string) bool { return bytes.EqualFold(name, []byte(want)) }

// unfolded makes one line of a field, decoded where it has encoded words.
func unfolded(value []byte) []byte {
	value = value[:min(len(value), maxField)]
	return []byte(strings.Join(strings.Fields(message.DecodeHeader(value)), " "))
}

// maxField is how much of a field is looked at, in octets.
const maxField = 2000

// text makes others' words fit to be kept: short and printable.
func text(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// domain is a domain name as it is compared.
func domain(s string) string {
	return strings.ToLower(strings.TrimSuffix(text(s), "."))
}

// checkTimes holds a report to times that can be.
func (r *Report) checkTimes() bool {
	return r.Begin.Year() >= 2000 && r.End.Year() < 2200 && !r.End.Before(r.Begin)
}
