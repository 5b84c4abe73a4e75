package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// newAccount makes an account in a store of its own.
func newAccount(t testing.TB) (*mailbox.Store, mailbox.AccountID) {
	t.Helper()
	s := mailboxtest.NewStore(t)
	a, err := s.CreateAccount(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, a
}

// put delivers a message to a mailbox, which is made if it is missing.
func put(t testing.TB, s *mailbox.Store, a mailbox.AccountID, name, text string, date time.Time, flags ...goimap.Flag) {
	t.Helper()
	if _, err := s.Mailbox(a, name); err != nil {
		if _, err := s.Create(t.Context(), a, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	b := s.NewBody()
	if _, err := io.WriteString(b, text); err != nil {
		t.Fatal(err)
	}
	placed, err := s.Deliver(t.Context(), b, []mailbox.Target{{Account: a, Name: name, Flags: flags, Date: date}}, nil)
	if err != nil || placed[0].Err != nil {
		t.Fatal(err, placed)
	}
}

// picture is a sink that notes what it is sent, a line each, in order.
type picture struct {
	lines    []string
	problems []Problem
}

func (p *picture) Folder(_ context.Context, f Folder) error {
	p.lines = append(p.lines, fmt.Sprintf("folder %s %v", f.Name, f.Subscribed))
	return nil
}

func (p *picture) Problem(pr Problem) error {
	p.problems = append(p.problems, pr)
	return nil
}

func (p *picture) Message(_ context.Context, m *Message) error {
	b, err := io.ReadAll(m.Body)
	if err != nil {
		return &BodyError{err}
	}
	text := fmt.Sprintf("%q", b)
	if len(b) > 300 {
		text = fmt.Sprintf("%d octets %x", len(b), sha256.Sum256(b))
	}
	date := "-"
	if !m.Date.IsZero() {
		date = m.Date.UTC().Format(time.RFC3339)
	}
	p.lines = append(p.lines, fmt.Sprintf("%s %v %s %s", strings.Join(m.Folders, "|"), sortedFlags(m.Flags), date, text))
	return nil
}

func sortedFlags(list []goimap.Flag) []goimap.Flag {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// pictureOf is what a source sends.
func pictureOf(t testing.TB, s Source) *picture {
	t.Helper()
	var p picture
	if err := s.Send(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// fill gives an account mail of all kinds.
func fill(t testing.TB, s *mailbox.Store, a mailbox.AccountID) {
	t.Helper()
	at := func(n int) time.Time {
		return time.Date(2019, 3, 1, 12, 0, n, 0, time.FixedZone("", 3600))
	}
	put(t, s, a, "INBOX", "Subject: one\r\n\r\nbody\r\n", at(0))
	put(t, s, a, "INBOX", "Return-Path: <a@b.test>\r\nSubject: two\r\n\r\nFrom here\r\n>From there\r\n>>From everywhere\r\n\r\n\r\n", at(1), goimap.FlagSeen, goimap.FlagAnswered)
	put(t, s, a, "INBOX", "Subject: two\r\n\r\nFrom a@b.test Thu Jan  1 00:00:00 1970\r\nSubject: no message\r\n\r\n", at(1), goimap.FlagFlagged, goimap.FlagDraft, goimap.FlagDeleted, "$Forwarded", "Work", "$label1")
	put(t, s, a, "INBOX", "Subject: twice\r\n\r\nthe same\r\n", at(2))
	put(t, s, a, "INBOX", "Subject: twice\r\n\r\nthe same\r\n", at(2))
	put(t, s, a, "INBOX/Below", "Status: of my own\r\nSubject: x\r\nX-Keywords: my own\r\n\r\nbody\r\n", at(3), goimap.FlagSeen)
	put(t, s, a, "Sent", "Subject: NUL \x00 and 8 bit \xff\r\n\r\n\x00\x80 lone \r return\r\n", at(4))
	put(t, s, a, "Sent Items", "Subject: mine\r\n\r\n", at(4))
	put(t, s, a, "Bücher/a.b & c/100%2E", "Subject: ümläut\r\n\r\n"+strings.Repeat("0123456789\r\n", 200_000), at(5))
	put(t, s, a, ".hidden.mbox/..", "Subject: dots\r\n\r\n"+strings.Repeat("x", 300_000)+"\r\n", at(6))
	put(t, s, a, "No header", "\r\nonly a body\r\n", at(7))
	if err := s.Subscribe(t.Context(), a, "Bücher/a.b & c/100%2E", true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), a, "Empty/Folder", ""); err != nil {
		t.Fatal(err)
	}
}

// sink is a sink with an end.
type sink interface {
	Sink
	Finish() (Totals, error)
}

// importing is an Importer as a sink with an end.
type importing struct {
	*Importer
	ctx context.Context
}

func (i importing) Finish() (Totals, error) { return i.Importer.Finish(i.ctx) }

// throughStream sends by way of an encoder and a decoder.
func throughStream(t testing.TB, from Source, to sink) Totals {
	t.Helper()
	r, w := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		e := NewEncoder(w)
		err := from.Send(t.Context(), e)
		if err == nil {
			err = e.End([]byte("done"))
		}
		w.CloseWithError(err)
		sent <- err
	}()
	d := NewDecoder(r)
	if err := d.Send(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil || string(d.Words()) != "done" {
		t.Fatal(err, d.Words())
	}
	totals, err := to.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return totals
}

func failOnProblem(t testing.TB) func(Problem) error {
	return func(p Problem) error {
		t.Errorf("problem: %+v", p)
		return nil
	}
}

// TestRoundTrip takes an account home in both formats and into another account: folders,
// flags, dates and octets are the same, subscriptions where the format has them. Both
// ways lead through a stream. A second import finds everything there.
func TestRoundTrip(t *testing.T) {
	for _, format := range []string{"maildir", "mbox"} {
		t.Run(format, func(t *testing.T) {
			s, a := newAccount(t)
			fill(t, s, a)
			want := pictureOf(t, &Account{Store: s, ID: a})
			dir := filepath.Join(t.TempDir(), "home")
			o := ExportOptions{Dir: dir, Report: failOnProblem(t)}
			var out sink = NewMaildirSink(o)
			var back Source = &MaildirSource{Path: dir}
			if format == "mbox" {
				out, back = NewMboxSink(o), &MboxSource{Path: dir}
			}
			const messages = 11
			if totals := throughStream(t, &Account{Store: s, ID: a}, out); totals.Messages != messages || totals.Failed != 0 {
				t.Fatalf("exported %+v", totals)
			}
			s2, a2 := newAccount(t)
			for i, expected := range []Totals{{Messages: messages}, {Known: messages}} {
				m := NewImporter(ImportOptions{Store: s2, Account: a2, Report: failOnProblem(t)})
				got := throughStream(t, back, importing{m, t.Context()})
				if got.Octets = 0; got != expected {
					t.Fatalf("import %d: %+v, want %+v", i+1, got, expected)
				}
			}
			got := pictureOf(t, &Account{Store: s2, ID: a2})
			if format == "mbox" { // which knows no subscriptions
				want.lines, got.lines = withoutSubscriptions(want.lines), withoutSubscriptions(got.lines)
			}
			// Keywords of a Maildir come in the order of letters, messages in that of dates: both as here.
			compare(t, got.lines, want.lines)
		})
	}
}

func withoutSubscriptions(lines []string) []string {
	out := slices.Clone(lines)
	for i, l := range out {
		if strings.HasPrefix(l, "folder ") {
			out[i] = l[:strings.LastIndexByte(l, ' ')]
		}
	}
	return out
}

func compare(t testing.TB, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d:\n got %s\nwant %s", i+1, g, w)
		}
	}
}

// TestExportAgain: a Maildir export that is repeated writes what is new, brings flags up
// and makes anew what a crash left cut off.
func TestExportAgain(t *testing.T) {
	s, a := newAccount(t)
	dir := t.TempDir()
	export := func() Totals {
		t.Helper()
		m := NewMaildirSink(ExportOptions{Dir: dir, Report: failOnProblem(t)})
		if err := (&Account{Store: s, ID: a}).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		totals, err := m.Finish()
		if err != nil {
			t.Fatal(err)
		}
		totals.Octets = 0
		return totals
	}
	day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	put(t, s, a, "INBOX", "Subject: 1\r\n\r\n1\r\n", day)
	put(t, s, a, "INBOX", "Subject: 2\r\n\r\n2\r\n", day)
	if got := export(); got != (Totals{Messages: 2}) {
		t.Fatalf("%+v", got)
	}
	put(t, s, a, "INBOX", "Subject: 3\r\n\r\n3\r\n", day, "new")
	m, err := s.OpenMailbox(t.Context(), a, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Store(t.Context(), mailbox.StoreChange{UIDs: []goimap.UID{1}, Op: mailbox.FlagsAdd, Flags: []goimap.Flag{goimap.FlagSeen}}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "cur", "*U0000000002.*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Truncate(files[0], 3); err != nil {
		t.Fatal(err)
	}
	if got := export(); got != (Totals{Messages: 2, Known: 1}) {
		t.Fatalf("again: %+v", got)
	}
	names, err := listNames(filepath.Join(dir, "cur"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for i, want := range []string{":2,S", ":2,", ":2,a"} {
		if len(names) != 3 || !strings.HasSuffix(names[i], want) {
			t.Errorf("%q: %d does not end with %q", names, i, want)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "cur", names[1]))
	if err != nil || !bytes.Equal(text, []byte("Subject: 2\n\n2\n")) {
		t.Errorf("%q, %v", text, err)
	}
}
