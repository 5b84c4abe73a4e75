package transfer

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// list is a source of what is in it.
type list struct {
	folders  []string
	messages []Message
}

func (l list) Send(ctx context.Context, to Sink) error {
	for _, f := range l.folders {
		if err := to.Folder(ctx, Folder{Name: f, Subscribed: true}); err != nil {
			return err
		}
	}
	for _, m := range l.messages {
		if err := send(ctx, to, &m); err != nil {
			return err
		}
	}
	return nil
}

func letterTo(text string, folders ...string) Message {
	return Message{Folders: folders, Origin: text, Body: strings.NewReader(text)}
}

// doImport imports a source and returns the counts but for octets.
func doImport(t testing.TB, o ImportOptions, from Source) (Totals, []Problem) {
	t.Helper()
	var problems []Problem
	o.Report = func(p Problem) error { problems = append(problems, p); return nil }
	m := NewImporter(o)
	if err := from.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	totals, err := m.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	totals.Octets = 0
	return totals, problems
}

// counts are the mailboxes of an account with their number of messages.
func counts(t testing.TB, s *mailbox.Store, a mailbox.AccountID) map[string]uint32 {
	t.Helper()
	infos, err := s.Mailboxes(a)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]uint32{}
	for _, i := range infos {
		all[i.Name] = i.Messages
	}
	return all
}

// TestWhereFoldersGo: names that tell a use lead to the account's mailbox for it, unless
// there is one of that name, or the source has a folder with the better right.
func TestWhereFoldersGo(t *testing.T) {
	for _, c := range []struct {
		folders []string
		into    string
		folder  string
		want    string
	}{
		{folder: "inbox", want: "INBOX"},
		{folder: "Sent Items", want: "Sent"},
		{folder: "INBOX/Sent Messages", want: "Sent"},
		{folder: "[Gmail]/Spam", want: "Junk"},
		{folder: "Deleted Items", want: "Trash"},
		{folder: "Archives", want: "Archive"},
		{folder: "Spam/2019", want: "Spam/2019"},
		{folders: []string{"Sent", "Sent Items"}, folder: "Sent Items", want: "Sent Items"},
		{folder: "Work//x\x00/", want: "Work/x_"},
		{folder: "#a", want: "a"},
		{folder: "///", want: "unnamed"},
		{folder: "e\u0301", want: "\u00e9"},
		{into: "Old", folder: "Inbox", want: "Old/INBOX"},
		{into: "Old", folder: "Sent Items", want: "Old/Sent Items"},
		{folder: strings.Repeat("x/", 40) + "y", want: strings.TrimSuffix(strings.Repeat("x/", 30), "/")},
	} {
		s, a := newAccount(t)
		got, problems := doImport(t, ImportOptions{Store: s, Account: a, Into: c.into},
			list{c.folders, []Message{letterTo("Subject: x\r\n\r\n", c.folder)}})
		if got != (Totals{Messages: 1}) || problems != nil || counts(t, s, a)[c.want] != 1 {
			t.Errorf("%q: %+v, %v, %v", c.folder, got, problems, counts(t, s, a))
		}
		if subs, err := s.Subscriptions(a); err != nil || len(subs) == 0 {
			t.Error(subs, err)
		}
	}
}

// TestImportTwice: what is there is known by its octets, as often as it is there, in the
// mailbox that it goes to; a letter with several labels is stored where it is missing.
func TestImportTwice(t *testing.T) {
	s, a := newAccount(t)
	const x = "Subject: x\r\n\r\nthe same length\r\n"
	y := strings.Replace(x, "length", "lenght", 1) // as long, with the same header
	for i, c := range []struct {
		messages []Message
		want     Totals
		inbox    uint32
	}{
		{[]Message{letterTo(x, "INBOX"), letterTo(x, "INBOX")}, Totals{Messages: 2}, 2},
		{[]Message{letterTo(x, "INBOX")}, Totals{Known: 1}, 2},
		{[]Message{letterTo(y, "INBOX"), letterTo(x, "INBOX"), letterTo(x, "INBOX"), letterTo(x, "INBOX")}, Totals{Messages: 2, Known: 2}, 4},
		{[]Message{letterTo(y, "INBOX", "Other"), letterTo(x, "Other")}, Totals{Messages: 2}, 4},
		{[]Message{letterTo(y, "INBOX", "Other", "inbox"), letterTo(x, "Other")}, Totals{Known: 2}, 4},
	} {
		if got, problems := doImport(t, ImportOptions{Store: s, Account: a}, list{nil, c.messages}); got != c.want || problems != nil {
			t.Errorf("import %d: %+v, want %+v; %v", i+1, got, c.want, problems)
		}
		if n := counts(t, s, a); n["INBOX"] != c.inbox {
			t.Errorf("import %d: %v", i+1, n)
		}
	}
	if n := counts(t, s, a); n["Other"] != 2 {
		t.Errorf("%v", n)
	}
}

// TestDryRun: nothing is made and stored, and the counts are those of the import itself.
func TestDryRun(t *testing.T) {
	s, a := newAccount(t)
	put(t, s, a, "INBOX", "Subject: x\r\n\r\n", time.Time{})
	before := counts(t, s, a)
	got, _ := doImport(t, ImportOptions{Store: s, Account: a, DryRun: true}, list{[]string{"New"}, []Message{
		letterTo("Subject: x\r\n\r\n", "INBOX"), letterTo("Subject: x\r\n\r\n", "New")}})
	after := counts(t, s, a)
	if got != (Totals{Messages: 1, Known: 1}) || len(before) != len(after) || after["INBOX"] != 1 {
		t.Errorf("%+v, %v before, %v after", got, before, after)
	}
}

// TestBadMessages: what cannot be a message is left out and told; keywords that a mailbox
// cannot take are no reason to leave a message behind.
func TestBadMessages(t *testing.T) {
	s, err := mailbox.Open(t.TempDir(), mailbox.Options{MaxMessageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a, err := s.CreateAccount(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	many := letterTo("Subject: many\r\n\r\n", "INBOX")
	many.Flags = []goimap.Flag{`\Recent`, `\Seen`, "no atom", "", "gr\u00fcn", goimap.Flag(strings.Repeat("k", 129))}
	for i := range 200 {
		many.Flags = append(many.Flags, goimap.Flag("k"+strings.Repeat("x", i%100)+string(rune('a'+i/100))))
	}
	broken := letterTo("broken", "INBOX")
	broken.Body = io.MultiReader(strings.NewReader("Subject: b"), iotest.ErrReader(errors.New("the disk")))
	got, problems := doImport(t, ImportOptions{Store: s, Account: a}, list{nil, []Message{
		letterTo("", "INBOX"), letterTo(strings.Repeat("x", 1001), "INBOX"), broken, many, letterTo("\x00\xff\r\n", "INBOX")}})
	if got != (Totals{Messages: 2, Failed: 3}) || len(problems) != 3 {
		t.Fatalf("%+v, %+v", got, problems)
	}
	m, err := s.OpenMailbox(t.Context(), a, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	rows := m.View(false).Rows(nil, 1, 2)
	if n := len(m.Keywords()); n != mailbox.MaxKeywords || !rows[0].Flags.Has(mailbox.FlagSeen) || !rows[0].Flags.Has(mailbox.KeywordBit) {
		t.Errorf("%d keywords, %v", n, rows[0].Flags)
	}
}

// TestImportCutOff: an import that ends in the middle leaves what it had counted, and the
// next one completes it.
func TestImportCutOff(t *testing.T) {
	dir := t.TempDir()
	s := mailboxtest.OpenStore(t, dir)
	a, err := s.CreateAccount(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []Message
	for i := range 300 {
		all = append(all, letterTo("Subject: "+strings.Repeat("x", i)+"\r\n\r\n", "INBOX"))
	}
	var stream strings.Builder
	e := NewEncoder(&stream)
	if err := (list{nil, all}).Send(t.Context(), e); err != nil || e.End(nil) != nil {
		t.Fatal(err)
	}
	text := stream.String()
	m := NewImporter(ImportOptions{Store: s, Account: a})
	if err := NewDecoder(strings.NewReader(text[:len(text)/2])).Send(t.Context(), m); !errors.Is(err, ErrStream) {
		t.Fatal(err)
	}
	cut := m.Abandon()
	if n := counts(t, s, a)["INBOX"]; int64(n) != cut.Messages || n == 0 || n == 300 {
		t.Fatalf("%d messages, counted %+v", n, cut)
	}
	got, _ := doImport(t, ImportOptions{Store: s, Account: a}, NewDecoder(strings.NewReader(text)))
	if got != (Totals{Messages: 300 - cut.Messages, Known: cut.Messages}) || counts(t, s, a)["INBOX"] != 300 {
		t.Fatalf("then %+v after %+v", got, cut)
	}
}
