package report

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parseDMARC reads an aggregate report: the elements that are shown, in any
// order and any namespace, as the forms in use differ in both (RFC 9990 section
// 3.1.1, RFC 7489 appendix C). Other elements are passed over. ErrNone.
func parseDMARC(content []byte) (*Report, error) {
	p := dmarcReader{r: &Report{Kind: KindDMARC}, rows: map[Row]int64{}}
	d := xml.NewDecoder(bytes.NewReader(content))
	d.CharsetReader = singleOctets
	for tokens := 0; ; tokens++ {
		if tokens > maxXML {
			return nil, fmt.Errorf("%w: XML without an end", ErrNone)
		}
		token, err := d.RawToken() // attributes and namespaces say nothing that is looked at
		if err == io.EOF {
			break
		}
		if err == nil {
			err = p.token(token)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrNone, err)
		}
	}
	return p.finish()
}

// singleOctets reads the other charsets that reports name. All that is shown is
// ASCII; other letters are lost.
func singleOctets(_ string, r io.Reader) (io.Reader, error) { return asciiReader{r}, nil }

type asciiReader struct{ r io.Reader }

func (a asciiReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	for i, c := range p[:n] {
		if c >= 0x80 {
			p[i] = '?'
		}
	}
	return n, err
}

// dmarcReader is a report being read.
type dmarcReader struct {
	r       *Report
	path    []string // names of the elements around, without prefixes
	text    []byte   // of the innermost element, so far
	row     Row
	count   int64
	bad     bool // the record says something that cannot be
	records int
	rows    map[Row]int64
}

// The errors of documents that are no reports.
var (
	errDoctype  = errors.New("a document type is declared") // and with it entities may be
	errNesting  = errors.New("elements in elements in elements")
	errElements = errors.New("an element ends that did not begin")
	errRoot     = errors.New("the root is not feedback")
)

func (p *dmarcReader) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.StartElement:
		return p.start(t.Name.Local)
	case xml.CharData:
		if room := maxText + 1 - len(p.text); room > 0 {
			p.text = append(p.text, t[:min(len(t), room)]...)
		}
	case xml.EndElement:
		return p.end(t.Name.Local)
	case xml.Directive:
		return errDoctype
	}
	return nil
}

func (p *dmarcReader) start(name string) error {
	if len(p.path) == 0 && name != "feedback" {
		return errRoot
	}
	if len(p.path) == maxDepth {
		return errNesting
	}
	p.path, p.text = append(p.path, name), p.text[:0]
	if name == "record" {
		p.row, p.count, p.bad = Row{}, 0, false
	}
	return nil
}

func (p *dmarcReader) end(name string) error {
	if len(p.path) == 0 || p.path[len(p.path)-1] != name {
		return errElements
	}
	p.element(strings.Join(p.path[1:], "/"), strings.TrimSpace(string(p.text)))
	p.path, p.text = p.path[:len(p.path)-1], p.text[:0]
	return nil
}

// element takes an element of the root, with its text. What extensions have below
// other elements is none of these.
func (p *dmarcReader) element(path, value string) {
	switch path {
	case "report_metadata/org_name":
		p.r.Org = text(value)
	case "report_metadata/report_id":
		p.r.ID = text(value)
	case "report_metadata/date_range/begin":
		p.r.Begin = unixTime(value)
	case "report_metadata/date_range/end":
		p.r.End = unixTime(value)
	case "policy_published/domain":
		p.r.Domain = domain(value)
	case "record/row/source_ip":
		ip, err := netip.ParseAddr(value)
		p.row.Source, p.bad = ip.Unmap().WithZone("").String(), p.bad || err != nil
	case "record/row/count":
		n, err := strconv.ParseInt(value, 10, 64)
		p.count, p.bad = n, p.bad || err != nil || n < 0 || n > maxCount
	case "record/row/policy_evaluated/disposition":
		p.row.Disposition = disposition(value)
	case "record/row/policy_evaluated/dkim":
		p.row.DKIM = strings.EqualFold(value, "pass")
	case "record/row/policy_evaluated/spf":
		p.row.SPF = strings.EqualFold(value, "pass")
	case "record/identifiers/header_from":
		p.row.From = domain(value)
	case "record":
		p.record()
	}
}

// disposition is what was done with mail, as RFC 9990 calls it; nothing where it
// says something else.
func disposition(s string) string {
	switch s = strings.ToLower(s); s {
	case "quarantine", "reject":
		return s
	}
	return "none"
}

func unixTime(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// record counts a record, with others that say the same.
func (p *dmarcReader) record() {
	if p.bad || p.row.Source == "" {
		return
	}
	if p.records++; p.records > maxRecords {
		p.r.Rest = min(p.r.Rest+p.count, maxCount)
		return
	}
	p.rows[p.row] = min(p.rows[p.row]+p.count, maxCount)
}

// finish keeps the largest rows.
func (p *dmarcReader) finish() (*Report, error) {
	r := p.r
	if len(p.path) > 0 || r.Domain == "" || !r.checkTimes() || len(p.rows) == 0 {
		return nil, fmt.Errorf("%w: XML that lacks what a report has", ErrNone)
	}
	for row, n := range p.rows {
		row.Count = n
		r.Rows = append(r.Rows, row)
	}
	slices.SortFunc(r.Rows, func(x, y Row) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), strings.Compare(x.Source, y.Source), strings.Compare(fmt.Sprint(x), fmt.Sprint(y)))
	})
	if len(r.Rows) > keptRows {
		for _, row := range r.Rows[keptRows:] {
			r.Rest = min(r.Rest+row.Count, maxCount)
		}
		r.Rows = slices.Clone(r.Rows[:keptRows])
	}
	return r, nil
}
