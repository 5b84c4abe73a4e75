package check

import (
	"slices"
	"strings"

	"mailstead/smtp/mailauth"
)

// Record is a record that a domain's owner is to publish, in the form of `domain show --json`; there it has also what the DNS has
// of it.
type Record struct {
	Name  string   `json:"name"` // without final dot
	Type  string   `json:"type"` // MX, TXT, TLSA, SRV or CNAME
	Text  string   `json:"text"` // of MX preference and host
	State string   `json:"state,omitempty"`
	Found []string `json:"found,omitempty"` // what is there instead
	Note  string   `json:"note,omitempty"`
	Gone  bool     `json:"gone,omitempty"` // it is to be removed, not published
}

// What is known of a record; nothing where nobody looked.
const (
	RecordMatches = "matches" // what is there does what it is for
	RecordDiffers = "differs"
	RecordMissing = "missing"
	RecordUnknown = "unknown" // the DNS could not be asked
)

// ZoneLine is the record as a line of a zone file (RFC 1035 section 5).
func (r Record) ZoneLine() string {
	if r.Type != "TXT" {
		return r.Name + ". IN " + r.Type + " " + r.Text
	}
	return mailauth.ZoneRecord(r.Name, r.Text)
}

// Records are results that show how far an owner is with publishing, a row for each record in their order: OK where it is
// there, Wrong with the line to be published where it is not or another one is there, Unknown where nobody could say. Those that
// are to be removed are Info while they are there, and have no row afterwards.
func Records(list []Record) (results []Result) {
	for _, r := range list {
		name := r.Type + " " + r.Name
		var row Result
		switch {
		case r.Gone && r.State == RecordMissing:
			continue
		case r.Gone:
			row = info(name, "remove it", "%s", r.Note)
		case r.State == RecordMatches:
			row = ok(name, "%s", r.Text)
		case r.State == RecordMissing:
			row = wrong(name, publish(r), "there is none")
		case r.State == RecordDiffers:
			row = wrong(name, replaceBy(r), "there is %s", quoted(r.Found))
		default:
			row = Result{Subject: name, State: Unknown, Found: "the DNS could not be asked", Remedy: publish(r)}
		}
		row.ID = "record"
		results = append(results, row)
	}
	return results
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
