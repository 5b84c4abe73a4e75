package check

import (
	"slices"
	"strings"

	"mailstead/smtp/mailauth"
)

// Record is a record that a domain's owner is to publish.
type Record struct {
	Name string // without final dot
	Type string // MX, TXT, TLSA, SRV, CNAME, A, AAAA or CAA
	Text string // of MX preference and host
	Gone bool   // it is to be removed, not published
}

// ZoneLine is the record as a line of a zone file (RFC 1035 section 5).
func (r Record) ZoneLine() string {
	if r.Type != "TXT" {
		return r.Name + ". IN " + r.Type + " " + r.Text
	}
	return mailauth.ZoneRecord(r.Name, r.Text)
}

func publish(r Record) string { return "publish  " + r.ZoneLine() }

func replaceBy(r Record) string { return "put in its place  " + r.ZoneLine() }

// proposed is the record of a type at a name that the owner is to publish, with the name alone where there is none.
func (d *Domain) proposed(kind, name string) Record {
	i := slices.IndexFunc(d.Records, func(r Record) bool { return r.Type == kind && r.Name == name && !r.Gone })
	if i < 0 {
		return Record{Type: kind, Name: name}
	}
	return d.Records[i]
}

// quoted are texts of strangers, as many and as long as a line can bear.
func quoted(texts []string) string {
	const most, length = 3, 120
	var b strings.Builder
	for i, t := range texts {
		if i == most {
			b.WriteString(" …")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(t, length))
	}
	return b.String()
}
