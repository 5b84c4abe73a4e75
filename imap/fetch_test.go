package imap

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// fetchArguments parses the arguments of FETCH behind the message set.
func fetchArguments(t testing.TB, text string) (*fetchPlan, error) {
	t.Helper()
	d := wire.NewDecoder(strings.NewReader(text+"\r\n"), wire.Limits{}, wire.Hooks{})
	if err := d.Next(); err != nil {
		return nil, err
	}
	plan := parseFetch(d, false)
	d.End()
	return plan, d.Err()
}

// describe shows what a plan will do.
func (p *fetchPlan) describe() string {
	var b strings.Builder
	for _, it := range p.items {
		b.Write(it.label)
		if s := it.section; s != nil {
			fmt.Fprintf(&b, "%v/%d", s.path, s.what)
			if s.fields != nil {
				b.WriteString("/fields")
			}
			if s.partial {
				fmt.Fprintf(&b, "/%d+%d", s.offset, s.count)
			}
			b.WriteByte(' ')
		}
	}
	if p.seen {
		b.WriteString("seen")
	}
	if p.changedSince > 0 {
		fmt.Fprintf(&b, "since %d", p.changedSince)
	}
	return strings.TrimRight(b.String(), " ")
}

// TestFetchPlans parses every item, and what is no item; "" is BAD.
func TestFetchPlans(t *testing.T) {
	many := func(n int, item string) string {
		return "(" + strings.TrimSuffix(strings.Repeat(item+" ", n), " ") + ")"
	}
	tests := []struct{ in, want string }{
		{"FLAGS", "FLAGS"},
		{"fast", "FLAGS INTERNALDATE RFC822.SIZE"},
		{"ALL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE"},
		{"FULL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY"},
		{"(FLAGS uid FLAGS)", "FLAGS UID"},
		{"(MODSEQ BODYSTRUCTURE)", "MODSEQ BODYSTRUCTURE"},
		{"RFC822", "RFC822 []/0 seen"},
		{"RFC822.HEADER", "RFC822.HEADER []/1"},
		{"RFC822.TEXT", "RFC822.TEXT []/2 seen"},
		{"BODY[]", "BODY[] []/0 seen"},
		{"BODY.PEEK[]", "BODY[] []/0"},
		{"body.peek[1.2.mime]", "BODY[1.2.MIME] [1 2]/3"},
		{"BODY.PEEK[3.HEADER]", "BODY[3.HEADER] [3]/1"},
		{"BODY.PEEK[TEXT]<5.10>", "BODY[TEXT]<5> []/2/5+10"},
		{"BODY.PEEK[HEADER.FIELDS (From \"To\")]<0.1>", "BODY[HEADER.FIELDS (FROM TO)]<0> []/1/fields/0+1"},
		{"BODY.PEEK[1.HEADER.FIELDS.NOT (x-a \"x y\")]", "BODY[1.HEADER.FIELDS.NOT (X-A \"X Y\")] [1]/1/fields"},
		{"(FLAGS) (CHANGEDSINCE 7)", "FLAGS MODSEQ since 7"},
		{"(MODSEQ FLAGS) (CHANGEDSINCE 9223372036854775807)", "MODSEQ FLAGS since 9223372036854775807"},
		{many(64, "BODY.PEEK[]"), strings.TrimSuffix(strings.Repeat("BODY[] []/0 ", 64), " ")},

		{"", ""}, {"()", ""}, {"(FLAGS", ""}, {"FLAGS)", ""}, {"(ALL)", ""}, {"(FLAGS ALL)", ""}, {"NOSUCH", ""},
		{"FLAGS UID", ""}, {"((FLAGS))", ""}, {"BODY.PEEK", ""}, {"RFC822.PEEK[]", ""}, {"BODY[", ""}, {"BODY[]<", ""},
		{"BODY[]<1>", ""}, {"BODY[]<1.>", ""}, {"BODY[]<.1>", ""}, {"BODY[]<-1.1>", ""}, {"BODY[]<1.0>", ""},
		{"BODY[]<9223372036854775808.1>", ""}, {"BODY[]<1.99999999999999999999999999>", ""}, {"BODY[MIME]", ""},
		{"BODY[0]", ""}, {"BODY[01]", ""}, {"BODY[1.]", ""}, {"BODY[.1]", ""}, {"BODY[1..2]", ""}, {"BODY[2147483648]", ""},
		{"BODY[1.TEXT.2]", ""}, {"BODY[HEADER.FIELDS]", ""}, {"BODY[HEADER.FIELDS ()]", ""}, {"BODY[HEADER.FIELDS (\"\")]", ""},
		{"BODY[HEADER.FIELDS (A]", ""}, {"BODY[TEXT (A)]", ""}, {"BODY[NOSUCH]", ""}, {"BODY[[]]", ""},
		{"BODY[HEADER.FIELDS " + many(129, "a") + "]", ""}, {"BODY[" + strings.Repeat("1.", 100) + "1]", ""}, {many(65, "BODY[]"), ""},
		{"FLAGS (CHANGEDSINCE)", ""}, {"FLAGS (CHANGEDSINCE x)", ""}, {"FLAGS (VANISHED)", ""}, {"FLAGS (CHANGEDSINCE 9223372036854775808)", ""},
	}
	for _, tt := range tests {
		plan, err := fetchArguments(t, tt.in)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: parsed as %s, want an error", tt.in, plan.describe())
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
		} else if got := plan.describe(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.in, got, tt.want)
		}
	}
}

// FuzzFetchPlan parses arbitrary arguments. What is accepted has labels that a client
// can read back to the same plan.
func FuzzFetchPlan(f *testing.F) {
	f.Add("(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (" + thunderbirdFields + ")])")
	f.Add("(BODY[1.2.HEADER.FIELDS.NOT (\"a b\" {1+}\r\nc)]<1.2> BODYSTRUCTURE) (CHANGEDSINCE 12)")
	f.Add("FULL")
	f.Fuzz(func(t *testing.T, text string) {
		plan, err := fetchArguments(t, text)
		if err != nil {
			return
		}
		var labels []string
		for _, it := range plan.items {
			if it.section != nil && it.section.partial {
				it.label = fmt.Appendf(bytes.TrimSuffix(it.label, []byte("> ")), ".%d> ", it.section.count)
			}
			labels = append(labels, string(it.label[:len(it.label)-1]))
		}
		again, err := fetchArguments(t, "("+strings.Join(labels, " ")+")")
		if err != nil {
			t.Fatalf("%q: the labels %q are no items: %v", text, labels, err)
		}
		if len(again.items) != len(plan.items) {
			t.Fatalf("%q: %d items, read back %d", text, len(plan.items), len(again.items))
		}
	})
}

// goldenMessages are the messages that the indexer is tested with, and some with long
// headers, which are not stored whole.
func goldenMessages(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../mailbox/message/testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden messages", err)
	}
	all := make(map[string][]byte)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 0 {
			all[filepath.Base(file)] = raw
		}
	}
	for _, n := range []int{3 << 10, 20 << 10, 300 << 10} {
		header := "X-Pad: " + strings.Repeat(strings.Repeat("p", 70)+"\r\n ", n/73) + "\r\nFrom: a@b\r\nX-Last: 1\r\nSubject: after it\r\n"
		all[fmt.Sprintf("header of %d octets", n)] = []byte(header + "\r\nbody\r\n")
	}
	return all
}

// TestFetchSectionsOfGoldenMessages holds every section of every golden message, whole
// and in parts, against the octets of the message.
func TestFetchSectionsOfGoldenMessages(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	golden := goldenMessages(t)
	var names []string
	for name, raw := range golden {
		names = append(names, name)
		deliver(t, store, account, raw, mailbox.Target{})
	}
	s := newDirectSession(t, store, account)
	rng := rand.New(rand.NewPCG(1, 2))
	fields := message.NewFieldMatcher([]string{"From", "Subject", "X-Last", "received"}, false)
	rest := message.NewFieldMatcher([]string{"From", "Subject", "X-Last", "received"}, true)
	for i, name := range names {
		raw := golden[name]
		v, err := message.Open(message.Parse(raw).AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		header := raw[:v.HeaderSize()]
		check := func(section string, want []byte, ok bool) {
			t.Helper()
			want = bytes.ReplaceAll(want, []byte{0}, []byte{0x80}) // no literal holds a NUL
			checkSection(t, s, name, i+1, section, "", want, ok)
			off, n := rng.IntN(len(want)+2), rng.IntN(len(want)+2)+1
			part := want[min(off, len(want)):min(off+n, len(want))]
			checkSection(t, s, name, i+1, section, fmt.Sprintf("<%d.%d>", off, n), part, ok)
		}
		check("", raw, true)
		check("HEADER", header, true)
		check("TEXT", raw[v.HeaderSize():], true)
		check("HEADER.FIELDS (FROM SUBJECT X-LAST RECEIVED)", message.AppendHeaderFields(nil, header, &fields), true)
		check("HEADER.FIELDS.NOT (FROM SUBJECT X-LAST RECEIVED)", message.AppendHeaderFields(nil, header, &rest), true)
		for _, path := range [][]int{{1}, {2}, {1, 1}, {2, 1}, {2, 2}, {1, 2, 1}} {
			label := strings.Trim(strings.ReplaceAll(fmt.Sprint(path), " ", "."), "[]")
			for what, suffix := range []string{"", ".HEADER", ".TEXT", ".MIME"} {
				off, n, ok := v.Section(path, message.Section(what))
				check(label+suffix, raw[off:off+n], ok)
				if what == int(message.SectionHeader) {
					check(label+".HEADER.FIELDS (FROM SUBJECT X-LAST RECEIVED)", message.AppendHeaderFields(nil, raw[off:off+n], &fields), ok)
				}
			}
		}
	}
}

// checkSection fetches a section and holds it against want, or against NIL.
func checkSection(t *testing.T, s *directSession, name string, seq int, section, partial string, want []byte, ok bool) {
	t.Helper()
	label := "BODY[" + section + "]"
	if off, _, found := strings.Cut(partial, "."); found {
		label += off + ">"
	}
	answer := fmt.Sprintf("* %d FETCH (%s {%d}\r\n%s)\r\n", seq, label, len(want), want)
	if !ok {
		answer = fmt.Sprintf("* %d FETCH (%s NIL)\r\n", seq, label)
	}
	got := s.say(t, fmt.Sprintf("FETCH %d BODY.PEEK[%s]%s", seq, section, partial))
	if string(got) != answer {
		t.Fatalf("%s: BODY[%s]%s:\n%.300q\nwant\n%.300q", name, section, partial, got, answer)
	}
}

// TestFetchLargeBodies fetches bodies around the sizes in which they are read and
// written, whole and in parts, together and in any order.
func TestFetchLargeBodies(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	rng := rand.New(rand.NewPCG(3, 4))
	var raws [][]byte
	for _, size := range []int{10, 30 << 10, 32<<10 + 1, 40 << 10, bulkChunk - 1, bulkChunk, bulkChunk + 1, bulkSize, bulkSize + 1, 2*bulkSize + 5, 1<<20 + 1, 5 << 20} {
		raw := []byte("Subject: s\r\n\r\n")
		for len(raw) < size {
			raw = fmt.Appendf(raw, "%d\r\n", rng.Uint64())
		}
		raws = append(raws, raw[:size])
		deliver(t, store, account, raw[:size], mailbox.Target{})
	}
	s := newDirectSession(t, store, account)
	for _, items := range []string{"BODY.PEEK[]", "(UID BODY.PEEK[] FLAGS BODY.PEEK[TEXT])", "(ENVELOPE BODY.PEEK[TEXT]<100.400000>)"} {
		got := s.say(t, "FETCH 1:* "+items)
		for i, raw := range raws {
			text := raw[min(14, len(raw)):]
			if len(raw) < 14 {
				text = nil
			}
			var want []byte
			switch items[1] {
			case 'O':
				want = fmt.Appendf(nil, "* %d FETCH (BODY[] {%d}\r\n%s)\r\n", i+1, len(raw), raw)
			case 'U':
				want = fmt.Appendf(nil, "* %d FETCH (UID %d BODY[] {%d}\r\n%s FLAGS (\\Recent) BODY[TEXT] {%d}\r\n%s)\r\n", i+1, i+1, len(raw), raw, len(text), text)
			default:
				text = text[min(100, len(text)):]
				text = text[:min(400000, len(text))]
				envelope, _, _ := bytes.Cut(got, []byte(" BODY[TEXT]"))
				want = fmt.Appendf(bytes.Clone(envelope), " BODY[TEXT]<100> {%d}\r\n%s)\r\n", len(text), text)
			}
			if !bytes.HasPrefix(got, want) {
				t.Fatalf("%s of message %d of %d octets: %.100q, want %.100q", items, i+1, len(raw), got, want)
			}
			got = got[len(want):]
		}
		if len(got) > 0 {
			t.Fatalf("%s: %.100q is left", items, got)
		}
	}
}

// damage zeroes what stands between two texts in the segment that has the second: the
// beginning of the record that brought it.
func damage(t *testing.T, dir, from, to string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "log", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		end := bytes.LastIndex(data, []byte(to)) // the last: an index may have the text, too
		if end < 0 {
			continue
		}
		start := bytes.LastIndex(data[:end], []byte(from)) + len(from)
		clear(data[start:end])
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(data[start:end], int64(start))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no segment of %v has %q", files, to)
}

// indexed waits until the full-text index has every message.
func indexed(t testing.TB, store *mailbox.Store) {
	t.Helper()
	if err := store.RebuildSearch(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBodyHarmsNoOther damages the second of three messages: the others are
// fetched and found, the command answers NO.
func TestDamagedBodyHarmsNoOther(t *testing.T) {
	dir := t.TempDir()
	store, account := directStore(t, dir, 0)
	for i := range 3 {
		deliver(t, store, account, fmt.Appendf(nil, "Subject: %d\r\n\r\nbegin of body %d apple end of body", i+1, i+1), mailbox.Target{})
	}
	indexed(t, store)
	s := newDirectSession(t, store, account)
	damage(t, dir, "end of body", "Subject: 2\r\n\r\nbegin")
	out, _, err := s.run(t, "FETCH 1:3 (BODY[TEXT] UID)")
	if replyTo(err).Code != goimap.ResponseCodeCorruption {
		t.Errorf("FETCH: %v, want CORRUPTION", err)
	}
	want := "* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {33}\r\nbegin of body 1 apple end of body UID 1)\r\n" +
		"* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))\r\n" +
		"* 3 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {33}\r\nbegin of body 3 apple end of body UID 3)\r\n"
	if string(out) != want {
		t.Errorf("FETCH answered\n%s\nwant\n%s", out, want)
	}
	if out := s.say(t, "FETCH 2 (ENVELOPE)"); !bytes.Contains(out, []byte(`"2"`)) {
		t.Errorf("the ENVELOPE is not in the body: %s", out)
	}
	if out := s.say(t, "SEARCH BODY apple"); string(out) != "* SEARCH 1 3\r\n" {
		t.Errorf("SEARCH answered %q", out)
	}
	if out := s.say(t, "SEARCH NOT BODY pear"); string(out) != "* SEARCH 1 2 3\r\n" { // the index knows of 2
		t.Errorf("SEARCH NOT answered %q", out)
	}
}

// TestInternalDate holds the fast form against the slow one.
func TestInternalDate(t *testing.T) {
	for _, d := range []mailbox.Date{
		{}, {Unix: 1, Zone: 1}, {Unix: -1, Zone: -1}, {Unix: 1e9, Zone: 330}, {Unix: 1e9 + 12345, Zone: -570},
		{Unix: 4e9, Zone: 14 * 60}, {Unix: 951782400, Zone: -12 * 60}, mailbox.DateOf(time.Now()),
	} {
		want := string(wire.AppendDateTime(nil, d.Time()))
		if got := string(appendInternalDate(nil, d)); got != want {
			t.Errorf("%+v: %s, want %s", d, got, want)
		}
	}
}

// TestFlagsAfterTheStoreRenumbersThem gives more different sets of flags to one message
// than the store keeps numbered, and asks for them each time.
func TestFlagsAfterTheStoreRenumbersThem(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	deliver(t, store, account, []byte("x"), mailbox.Target{})
	s := newDirectSession(t, store, account)
	for i := range 1200 {
		var flags []string
		for bit := range 11 {
			if i>>bit&1 == 1 {
				flags = append(flags, "k"+strconv.Itoa(bit))
			}
		}
		s.say(t, "STORE 1 FLAGS.SILENT ("+strings.Join(flags, " ")+")")
		got := string(s.say(t, "FETCH 1 FLAGS"))
		_, got, _ = strings.Cut(got[strings.LastIndex(got, "FETCH"):], "(FLAGS (")
		got = strings.TrimSuffix(got, "\\Recent))\r\n")
		if have := strings.Fields(got); len(have) != len(flags) {
			t.Fatalf("set %d: FLAGS %v, want %v", i, have, flags)
		}
	}
}

// TestClientFetches has go-imap's client read what it asks for.
func TestClientFetches(t *testing.T) {
	ts := newTestServer(t)
	c := ts.user(t)
	raw := "From: Ann <ann@example.test>\r\nSubject: hello\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html\r\n\r\n" +
		strings.Repeat("<p>two</p>\r\n", 10000) + "--b--\r\n"
	for range 3 {
		appendMessage(t, c, "INBOX", raw, goimap.FlagFlagged)
	}
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	part := &goimap.FetchItemBodySection{Part: []int{2}, Partial: &goimap.SectionPartial{Offset: 3, Size: 50000}, Peek: true}
	fields := &goimap.FetchItemBodySection{Specifier: goimap.PartSpecifierHeader, HeaderFields: []string{"Subject", "X-None"}, Peek: true}
	whole := &goimap.FetchItemBodySection{}
	messages, err := c.Fetch(goimap.UIDSet{goimap.UIDRange{Start: 2, Stop: 0}}, &goimap.FetchOptions{
		Envelope: true, Flags: true, InternalDate: true, RFC822Size: true, UID: true,
		BodyStructure: &goimap.FetchItemBodyStructure{Extended: true}, BodySection: []*goimap.FetchItemBodySection{part, fields, whole},
	}).Collect()
	must(t, err)
	if len(messages) != 2 {
		t.Fatalf("%d messages", len(messages))
	}
	for i, m := range messages {
		checkFetched(t, m, uint32(i+2), raw)
		if got := string(m.FindBodySection(part)); !strings.HasPrefix(got, "two</p>") || len(got) != 50000 {
			t.Errorf("part 2: %d octets, %.20q", len(got), got)
		}
		if got := string(m.FindBodySection(fields)); got != "Subject: hello\r\n\r\n" {
			t.Errorf("header fields: %q", got)
		}
		if got := string(m.FindBodySection(whole)); got != raw {
			t.Errorf("BODY[]: %d octets, want %d", len(got), len(raw))
		}
	}
	found, err := c.UIDSearch(&goimap.SearchCriteria{Body: []string{"TWO"}, Header: []goimap.SearchCriteriaHeaderField{{Key: "Subject", Value: "HELL"}},
		NotFlag: []goimap.Flag{goimap.FlagSeen}}, nil).Wait()
	must(t, err)
	if uids := found.AllUIDs(); len(uids) != 1 || uids[0] != 1 {
		t.Errorf("UID SEARCH: %v", uids)
	}
}

func checkFetched(t *testing.T, m *imapclient.FetchMessageBuffer, seq uint32, raw string) {
	t.Helper()
	if m.SeqNum != seq || m.UID != goimap.UID(seq) || m.RFC822Size != int64(len(raw)) || m.InternalDate.IsZero() {
		t.Errorf("message %d: %+v", seq, m)
	}
	if m.Envelope.Subject != "hello" || len(m.Envelope.From) != 1 || m.Envelope.From[0].Addr() != "ann@example.test" {
		t.Errorf("ENVELOPE: %+v", m.Envelope)
	}
	if b, ok := m.BodyStructure.(*goimap.BodyStructureMultiPart); !ok || len(b.Children) != 2 || b.Subtype != "MIXED" {
		t.Errorf("BODYSTRUCTURE: %+v", m.BodyStructure)
	}
	if want := []goimap.Flag{goimap.FlagSeen, goimap.FlagFlagged, `\Recent`}; fmt.Sprint(m.Flags) != fmt.Sprint(want) {
		t.Errorf("FLAGS %v, want %v", m.Flags, want)
	}
}
