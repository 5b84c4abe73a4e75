package feedback

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"mailstead/mailbox/message"
)

// letter is a report as it is sent: a function of these values alone.
type letter struct {
	key
	from    string // the domain of this server
	to      []string
	now     time.Time
	packed  []byte // the report, by gzip
	explain string // what it is, for people
}

// id is the Report-ID: the same for a report that is sent again, another for each other one (RFC 9990 section 3.5.1).
func (k key) id(from string) string {
	return k.begin().Format(time.DateOnly) + "." + string(k.kind) + "." + k.domain + "@" + from
}

// fileName is that of RFC 9990 section 3.5.2 and RFC 8460 section 5.1.
func (k key) fileName(from string) string {
	end := "xml.gz"
	if k.kind == TLS {
		end = "json.gz"
	}
	return fmt.Sprintf("%s!%s!%d!%d.%s", from, k.domain, k.begin().Unix(), k.end().Unix(), end)
}

// boundary stands in no part: the text is ours, and base64 has no such signs.
const boundary = "=_report_of_a_day"

// dateFormat is date-time of RFC 5322 section 3.3.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// bytes are the letter's octets, without signatures.
func (l letter) bytes() []byte {
	id := l.id(l.from)
	b := message.AppendField(nil, "From", message.FormatAddress("Reports of "+l.from, "postmaster@"+l.from))
	b = message.AppendField(b, "To", strings.Join(l.to, ", "))
	b = message.AppendField(b, "Subject", "Report Domain: "+l.domain+" Submitter: "+l.from+" Report-ID: <"+id+">")
	b = message.AppendField(b, "Date", l.now.UTC().Format(dateFormat))
	b = message.AppendField(b, "Message-ID", "<"+id+">")
	b = append(b, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"...) // RFC 3834 section 5
	mixed, packed := "multipart/mixed", "application/gzip"
	if l.kind == TLS {
		b = message.AppendField(b, "TLS-Report-Domain", l.domain) // RFC 8460 section 5.3
		b = message.AppendField(b, "TLS-Report-Submitter", l.from)
		mixed, packed = `multipart/report; report-type="tlsrpt"`, "application/tlsrpt+gzip"
	}
	b = message.AppendField(b, "Content-Type", mixed+`; boundary="`+boundary+`"`)
	b = append(b, "\r\n--"+boundary+"\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"+l.explain+"\r\n--"+boundary+"\r\n"...)
	b = message.AppendField(b, "Content-Type", packed)
	b = append(b, "Content-Transfer-Encoding: base64\r\n"...)
	// In one line: a parameter that is folded, or cut, is read by fewer programs than one that is long.
	b = append(b, `Content-Disposition: attachment; filename="`+l.fileName(l.from)+"\"\r\n\r\n"...)
	b = appendBase64(b, l.packed)
	return append(b, "--"+boundary+"--\r\n"...)
}

// base64Line is the octets of a line of base64 (RFC 2045 section 6.8).
const base64Line = 76

func appendBase64(b, data []byte) []byte {
	text := base64.StdEncoding.EncodeToString(data)
	for len(text) > 0 {
		n := min(len(text), base64Line)
		b = append(append(b, text[:n]...), "\r\n"...)
		text = text[n:]
	}
	return b
}

// headerEnd is where the header of a letter ends, its empty line included.
func headerEnd(b []byte) int { return bytes.Index(b, []byte("\r\n\r\n")) + len("\r\n\r\n") }

// pack packs a report by gzip, without a time, so that the same becomes the same.
func pack(b []byte) ([]byte, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(b); err != nil {
		return nil, err
	}
	err = z.Close()
	return packed.Bytes(), err
}

// explanations are the texts for people.
var explanations = map[Kind]string{
	DMARC: "This is what the mail server of %[1]s has seen of mail in the name of\r\n%[2]s on %[3]s (UTC):\r\n" +
		"an aggregate report, which the DMARC record of the domain asks for.\r\n" +
		"It is made by a program, is for programs, and nobody needs to answer.\r\n",
	TLS: "This is how connections of the mail server of %[1]s to the servers for\r\n%[2]s were encrypted on %[3]s (UTC):\r\n" +
		"an aggregate TLS report, which the record at _smtp._tls of the domain\r\nasks for.\r\n" +
		"It is made by a program, is for programs, and nobody needs to answer.\r\n",
}

func explanation(k key, from string) string {
	return fmt.Sprintf(explanations[k.kind], from, k.domain, k.begin().Format(time.DateOnly))
}
