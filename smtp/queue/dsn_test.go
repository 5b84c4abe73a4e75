package queue

import (
	"bytes"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	received = time.Date(2026, 11, 20, 9, 30, 0, 0, time.FixedZone("", 3600))
	now      = time.Date(2026, 11, 22, 3, 4, 5, 0, time.FixedZone("", 3600))
	lastTry  = time.Date(2026, 11, 22, 2, 4, 4, 0, time.UTC)
)

func refused(address string) recipient {
	return recipient{Address: address, Failed: true, Last: &failure{At: lastTry, Code: 550, Enhanced: "5.1.1",
		Text: "5.1.1 <" + address + ">: Recipient address rejected: User unknown in local recipient table", Host: "mx.far.test [192.0.2.1]", TLS: true}}
}

const header = "Received: from us.test by us.test with ESMTPSA id x;\r\n\tFri, 20 Nov 2026 09:30:00 +0100\r\n" +
	"From: Ann <ann@us.test>\r\nTo: bob@far.test\r\nSubject: Lunch\r\n on Friday?\r\nMessage-ID: <1.2@us.test>\r\n"

// notices are the golden files' cases: the name is that of the file, the
// comment in it is why it is there.
func notices() map[string]notice {
	base := notice{
		hostname: "us.test", to: "ann@us.test", kind: toSender, news: ActionFailed, from: "ann@us.test", received: received, now: now,
		header: []byte(header), id: "ID", boundary: "BOUNDARY", recipients: []recipient{refused("bob@far.test")},
	}
	with := func(f func(*notice)) notice { n := base; f(&n); return n }
	return map[string]notice{
		"01-refused": base,
		"02-several": with(func(n *notice) { // refused by us, by rules, too big, and one that nobody has words for
			n.recipients = []recipient{
				{Address: "nobody@us.test", Last: &failure{At: lastTry, Code: 550, Enhanced: "5.1.1", Text: "No such user here"}},
				{Address: "strict@far.test", Last: &failure{At: lastTry, Code: 554, Enhanced: "5.7.26", Text: "unauthenticated " + strings.Repeat("mail ", 60), Host: "mx.far.test [192.0.2.1]"}},
				{Address: "small@far.test", Last: &failure{At: lastTry, Code: 552, Enhanced: "5.3.4", Text: "too big", Host: "mx.far.test [192.0.2.1]"}},
				{Address: "odd@far.test", Last: &failure{At: lastTry, Code: 599, Enhanced: "5.9.9", Text: "", Host: "[192.0.2.1]"}},
			}
		}),
		"03-too-old": with(func(n *notice) {
			n.recipients = []recipient{{Address: "bob@far.test", Last: &failure{At: lastTry, Enhanced: "4.4.1", Text: "connect to mx.far.test: timed out", Expired: true}}}
		}),
		"04-no-header": with(func(n *notice) { n.header = nil }),
		"05-hostile": with(func(n *notice) { // line ends and the boundary where others put words
			n.header = []byte("Subject: a\x1b[2J\r\nMessage-ID: <1\x00@us.test>\r\n")
			n.recipients = []recipient{{Address: "\"x\r\n\r\n--BOUNDARY--\r\n\"@far.test", Last: failureOf(Outcome{
				Status: Permanent, Code: 5500, Enhanced: "5.1.1\r\nX: y", Text: "no\r\n\r\n--BOUNDARY\r\n\x1b[2J \xff", Host: "mx\r\nX: y"}, lastTry)}}
		}),
		"06-utf8-recipient": with(func(n *notice) { n.recipients = []recipient{refused("jürgen@far.test")} }),
		"07-utf8-sender": with(func(n *notice) {
			n.to, n.from, n.utf8 = "änn@us.test", "änn@us.test", true
			n.header = []byte("From: änn@us.test\r\nSubject: Grüße\r\n")
		}),
		"08-encoded-subject": with(func(n *notice) { n.header = []byte("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n") }),
		"09-latin1-header":   with(func(n *notice) { n.header = []byte("Subject: Gr\xfc\xdfe\r\n") }),
		"10-to-postmaster": with(func(n *notice) {
			n.to, n.kind, n.from, n.whole = "postmaster", toPostmaster, "stranger@else.test", true
		}),
		"11-failed-notice": with(func(n *notice) {
			n.to, n.kind, n.about, n.from, n.whole = "postmaster", toPostmaster, toSender, "", true
			n.recipients = []recipient{{Address: "ann@us.test", Last: &failure{At: lastTry, Code: 452, Enhanced: "4.2.2", Text: "Mailbox is full", Expired: true}}}
		}),
		"13-delayed": with(func(n *notice) {
			n.news, n.retryUntil = ActionDelayed, now.Add(4*24*time.Hour)
			n.recipients = []recipient{
				{Address: "bob@far.test", Last: &failure{At: lastTry, Enhanced: "4.4.1", Text: "connect to mx.far.test: timed out"}},
				{Address: "eve@far.test", Last: &failure{At: lastTry, Code: 450, Enhanced: "4.9.9", Text: "later", Host: "mx.far.test [192.0.2.1]"}},
			}
		}),
		"14-delivered": with(func(n *notice) {
			n.news, n.envelopeID = ActionDelivered, "QQ314159+2B1+20b"
			n.recipients = []recipient{
				{Address: "bob@far.test", Done: ActionRelayed, Wish: Wish{Original: "rfc822;bob+2Bx@far.test"},
					Last: &failure{At: lastTry, Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as 4711", Host: "mx.far.test [192.0.2.1]"}},
				{Address: "kim@us.test", Done: ActionDelivered, Wish: Wish{Original: `utf-8;k\x{ED}m@us.test`}},
				{Address: "all@us.test", Done: ActionExpanded},
			}
		}),
		"15-returned-whole": with(func(n *notice) { n.whole = true }),
		"16-original-7-bits": with(func(n *notice) {
			n.recipients = []recipient{refused("bob@far.test")}
			n.recipients[0].Original = "X-Odd;+0922+20no/address"
		}),
		"12-too-big-for-postmaster": with(func(n *notice) { n.to, n.kind, n.from = "postmaster", toPostmaster, "stranger@else.test" }),
	}
}

func written(t testing.TB, n notice) string {
	t.Helper()
	var b bytes.Buffer
	if err := n.write(&b, strings.NewReader(string(n.header)+"\r\nAt one.\r\n")); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestNoticeGolden(t *testing.T) {
	for name, n := range notices() {
		got := written(t, n)
		checkNotice(t, got, len(n.recipients), n.hasEightBit())
		file := filepath.Join("testdata", name+".eml")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// checkNotice reads a notice as another program would.
func checkNotice(t testing.TB, text string, recipients int, eightBit bool) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if !eightBit && !isASCII(text) {
		t.Errorf("has octets above 127, and says it has not:\n%s", text)
	}
	if m.Header.Get("Auto-Submitted") != "auto-replied" {
		t.Errorf("a robot could answer:\n%s", text)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type is %q, %v", m.Header.Get("Content-Type"), err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	var bodies []string
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if p.Header.Get("Content-Transfer-Encoding") == "7bit" && !isASCII(string(b)) {
			t.Errorf("%s is not of 7 bits:\n%s", p.Header.Get("Content-Type"), b)
		}
		bodies = append(bodies, string(b))
	}
	if len(bodies) != 3 {
		t.Fatalf("%d parts in\n%s", len(bodies), text)
	}
	checkReport(t, bodies[1], recipients)
	for line := range strings.SplitSeq(bodies[0]+bodies[1], "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00\x1b") {
			t.Errorf("line %q", line)
		}
	}
}

func checkReport(t testing.TB, report string, recipients int) {
	t.Helper()
	groups := strings.Split(strings.TrimSuffix(report, "\r\n"), "\r\n\r\n")
	if len(groups) != recipients+1 {
		t.Fatalf("%d groups of fields for %d recipients:\n%s", len(groups), recipients, report)
	}
	for i, g := range groups {
		must := []string{"Final-Recipient", "Action", "Status"}
		if i == 0 {
			must = []string{"Reporting-Mta"}
		}
		fields, err := textprotoHeader(g)
		if err != nil {
			t.Fatalf("%v in\n%s", err, g)
		}
		for _, name := range must {
			if len(fields[name]) != 1 {
				t.Errorf("%s is there %d times:\n%s", name, len(fields[name]), g)
			}
		}
		if s := fields["Status"]; i > 0 && !isEnhanced(s[0]) {
			t.Errorf("status %q", s[0])
		}
	}
}

// What others say, whatever it is, stays in its place.
func FuzzNotice(f *testing.F) {
	f.Add("bob@far.test", "no such user", "5.1.1", "mx.far.test [192.0.2.1]", header, 550, false)
	f.Add("\"\r\n\"@far.test", "a\r\n.\r\nb", "9.9", "x\ny", "Subject: \xff\r\nMessage-ID: <a b>\r\n", -1, true)
	f.Add("jürgen@bücher.test", "\x1b[2J", "5.9999.1", "", "Subject:\r\n", 5, true)
	f.Add("", "--BOUNDARY", "", "", "", 0, false)
	f.Fuzz(func(t *testing.T, address, text, enhanced, host, header string, code int, permanent bool) {
		if strings.Contains(header, "BOUNDARY") {
			return // is drawn by lot
		}
		o := Outcome{Recipient: address, Code: code, Enhanced: enhanced, Text: text, Host: host}
		if permanent {
			o.Status = Permanent
		}
		read, err := readHeader(strings.NewReader(header))
		if err != nil {
			t.Fatal(err)
		}
		n := notice{
			hostname: "us.test", to: address, kind: toSender, news: ActionFailed, from: address, received: received, now: now, header: read,
			id: "ID", boundary: "BOUNDARY", recipients: []recipient{{Address: address, Last: failureOf(o, lastTry)}},
		}
		checkNotice(t, written(t, n), 1, n.hasEightBit())
		// What a client has said of its wishes was parsed; what stands on disk may be anything.
		n.envelopeID, n.recipients[0].Original, n.news, n.retryUntil = text, address+";"+text, ActionDelayed, now
		checkNotice(t, written(t, n), 1, n.hasEightBit())
		n.news, n.retryUntil, n.recipients[0].Done = ActionDelivered, time.Time{}, ActionRelayed
		checkNotice(t, written(t, n), 1, n.hasEightBit())
	})
}

func TestReadHeader(t *testing.T) {
	long := strings.Repeat("X: "+strings.Repeat("y", 95)+"\r\n", 1000)
	for name, tt := range map[string]struct{ in, want string }{
		"plain":       {"A: b\r\nC: d\r\n\r\nbody\r\n\r\nmore", "A: b\r\nC: d\r\n"},
		"no body":     {"A: b\r\n", "A: b\r\n"},
		"half a line": {"A: b\r\nC: d", "A: b\r\n"},
		"no line end": {"A: b", ""},
		"no header":   {"\r\nbody\r\n\r\n", ""},
		"nothing":     {"", ""},
		"too long":    {long, long[:maxReturnedHeader/100*100]},
	} {
		got, err := readHeader(strings.NewReader(tt.in))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %d octets %.40q, %v", name, len(got), got, err)
		}
	}
}

func textprotoHeader(s string) (textproto.MIMEHeader, error) {
	h, err := mail.ReadMessage(strings.NewReader(s + "\r\n\r\n"))
	if err != nil {
		return nil, err
	}
	return textproto.MIMEHeader(h.Header), nil
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		f    failure
		want string
	}{
		{failure{Code: 550, Enhanced: "5.1.1"}, "There is no mailbox of this name. Please check how the address is spelt."},
		{failure{Code: 552, Enhanced: "5.2.2", Expired: true}, "The mailbox is full. It was tried again and again, for too long now. Please tell the recipient in another way, or try again later."},
		{failure{Code: 554, Enhanced: "5.7.99"}, "The recipient's server refused the message by its rules. What it said may tell you more."},
		{failure{Code: 554, Enhanced: "5.0.0"}, "The recipient's server refused the message."},
		{failure{Enhanced: "5.0.0"}, "The message could not be sent."},
	} {
		if got := explain(&tt.f); got != tt.want {
			t.Errorf("%+v: %s", tt.f, got)
		}
	}
}
