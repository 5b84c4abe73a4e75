package feedback

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"mailstead/smtp/mailauth"
)

// The elements of an aggregate report, in the order of RFC 9990 section 3.1.1.
type (
	xmlFeedback struct {
		XMLName  xml.Name    `xml:"urn:ietf:params:xml:ns:dmarc-2.0 feedback"`
		Version  string      `xml:"version"`
		Metadata xmlMetadata `xml:"report_metadata"`
		Policy   xmlPolicy   `xml:"policy_published"`
		Records  []xmlRecord `xml:"record"`
	}
	xmlMetadata struct {
		Org       string `xml:"org_name"`
		Email     string `xml:"email"`
		ID        string `xml:"report_id"`
		Begin     int64  `xml:"date_range>begin"`
		End       int64  `xml:"date_range>end"`
		Error     string `xml:"error,omitempty"`
		Generator string `xml:"generator"`
	}
	xmlPolicy struct {
		Domain    string `xml:"domain"`
		Discovery string `xml:"discovery_method"`
		P         string `xml:"p"`
		SP        string `xml:"sp"`
		NP        string `xml:"np"`
		ADKIM     string `xml:"adkim"`
		ASPF      string `xml:"aspf"`
		Testing   string `xml:"testing"`
	}
	xmlRecord struct {
		Source     string       `xml:"row>source_ip"`
		Count      int64        `xml:"row>count"`
		Evaluated  xmlEvaluated `xml:"row>policy_evaluated"`
		HeaderFrom string       `xml:"identifiers>header_from"`
		Envelope   string       `xml:"identifiers>envelope_from"`
		Results    xmlResults   `xml:"auth_results"` // there even where nothing is in it
	}
	xmlResults struct {
		Signatures []xmlSignature  `xml:"dkim"`
		SPF        *xmlReversePath `xml:"spf"`
	}
	xmlEvaluated struct {
		Disposition string     `xml:"disposition"`
		DKIM        string     `xml:"dkim"`
		SPF         string     `xml:"spf"`
		Reason      *xmlReason `xml:"reason"`
	}
	xmlReason struct {
		Type    string `xml:"type"`
		Comment string `xml:"comment,omitempty"`
	}
	xmlSignature struct {
		Domain   string `xml:"domain"`
		Selector string `xml:"selector"`
		Result   string `xml:"result"`
	}
	xmlReversePath struct {
		Domain string `xml:"domain"`
		Scope  string `xml:"scope"`
		Result string `xml:"result"`
	}
)

// generator is who makes reports, for those who find faults in them.
const generator = "mailstead"

// alignment tells whether identifiers prove an author, as mailauth.DMARC does.
type alignment func(author string, ids []mailauth.Identifier) bool

// dmarcReport is the XML of a report.
func dmarcReport(k key, from string, p mailauth.DMARCPublished, rows []counts[dmarcRow], rest int64, aligned alignment) ([]byte, error) {
	f := xmlFeedback{
		Version: "1.0",
		Metadata: xmlMetadata{
			Org: from, Email: "postmaster@" + from, ID: k.id(from), Begin: k.begin().Unix(), End: k.end().Unix(), Generator: generator,
		},
		Policy: publishedPolicy(k.domain, p),
	}
	if rest > 0 {
		f.Metadata.Error = fmt.Sprintf("%d messages were counted beyond the rows of this report", rest)
	}
	for _, c := range rows {
		f.Records = append(f.Records, recordOf(c, aligned))
	}
	b, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("feedback: report about %s: %w", k.domain, err)
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}

// publishedPolicy repeats a record, with the defaults of RFC 9989 section 4.7.
func publishedPolicy(domain string, p mailauth.DMARCPublished) xmlPolicy {
	x := xmlPolicy{Domain: domain, Discovery: "treewalk", P: string(p.P), SP: string(p.SP), NP: string(p.NP), ADKIM: "r", ASPF: "r", Testing: "n"}
	if x.SP == "" {
		x.SP = x.P
	}
	if x.NP == "" {
		x.NP = x.SP
	}
	if p.StrictDKIM {
		x.ADKIM = "s"
	}
	if p.StrictSPF {
		x.ASPF = "s"
	}
	if p.Testing {
		x.Testing = "y"
	}
	return x
}

// recordOf is the record of a row.
func recordOf(c counts[dmarcRow], aligned alignment) xmlRecord {
	row := c.Row
	r := xmlRecord{
		Source: row.Source, Count: c.N, HeaderFrom: row.From, Envelope: row.Envelope,
		Evaluated: xmlEvaluated{Disposition: row.Disposition, DKIM: "fail", SPF: "fail"},
	}
	var signatures, path []mailauth.Identifier
	for text := range strings.SplitSeq(row.Signatures, ";") {
		if s := strings.Fields(text); len(s) == 3 {
			r.Results.Signatures = append(r.Results.Signatures, xmlSignature{s[0], s[1], s[2]})
			signatures = append(signatures, mailauth.Identifier{Method: "dkim", Domain: s[0], Result: mailauth.Result(s[2])})
		}
	}
	if row.SPF != "" {
		r.Results.SPF = &xmlReversePath{row.SPFDomain, "mfrom", row.SPF}
		path = append(path, mailauth.Identifier{Method: "spf", Domain: row.SPFDomain, Result: mailauth.Result(row.SPF)})
	}
	if row.Proven != "" { // by one of them; the other was not looked at then
		if row.Proven == "dkim" || aligned(row.From, signatures) {
			r.Evaluated.DKIM = "pass"
		}
		if row.Proven == "spf" || aligned(row.From, path) {
			r.Evaluated.SPF = "pass"
		}
	}
	if row.Reason != "" {
		r.Evaluated.Reason = &xmlReason{row.Reason, row.Comment}
	}
	return r
}

// aligned asks the DNS.
func (r *Reporter) aligned(ctx context.Context) alignment {
	d := mailauth.DMARC{Resolver: r.o.Resolver}
	return func(author string, ids []mailauth.Identifier) bool {
		ids = passed(ids)
		return len(ids) > 0 && d.Check(ctx, author, ids).Result == mailauth.Pass
	}
}

func passed(ids []mailauth.Identifier) (list []mailauth.Identifier) {
	for _, id := range ids {
		if id.Result == mailauth.Pass {
			list = append(list, id)
		}
	}
	return list
}
