package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/client"
	"mailstead/mailbox"
)

// fakeLetter is a message of a fake server.
type fakeLetter struct {
	uid    uint32
	flags  string
	text   string
	labels string
}

// fakeBox is a mailbox of a fake server.
type fakeBox struct {
	name       string
	attributes string
	validity   uint32
	letters    []fakeLetter
}

// fakeServer is a server of an account, which tests change while nobody is connected, and
// which can be told to misbehave.
type fakeServer struct {
	t       testing.TB
	l       net.Listener
	gmail   bool
	most    int                     // connections at a time; 0 = any
	answer  func(uid uint32) string // instead of a message's FETCH response; "" = as it should be
	end     func(uid uint32) bool   // closes the connection before a message
	mu      sync.Mutex
	boxes   []fakeBox
	open    int
	fetched map[uint32]int // bodies that were sent
	serving sync.WaitGroup
	idle    sync.Cond // open is 0
}

func newFakeServer(t testing.TB, boxes ...fakeBox) *fakeServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{t: t, l: l, boxes: boxes, fetched: map[uint32]int{}}
	s.idle.L = &s.mu
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.serving.Wait()
	})
	return s
}

// dial connects as a source does.
func (s *fakeServer) dial(ctx context.Context) (*client.Conn, error) {
	c, err := client.Dial(ctx, client.Options{Address: s.l.Addr().String(), Security: client.Plain, Patience: time.Minute})
	if err == nil {
		err = c.Login("u", "p")
	}
	return c, err
}

// serve speaks to one client.
func (s *fakeServer) serve(conn net.Conn) {
	s.mu.Lock()
	s.open++
	boxes := s.boxes
	refused := s.most > 0 && s.open > s.most
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.idle.Broadcast()
		s.mu.Unlock()
	}()
	if refused {
		io.WriteString(conn, "* BYE too many connections\r\n")
		return
	}
	out := bufio.NewWriter(conn)
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\r\n", args...) }
	capabilities := "IMAP4rev1"
	if s.gmail {
		capabilities += " X-GM-EXT-1"
	}
	say("* OK [CAPABILITY %s] hello", capabilities)
	out.Flush()
	var box *fakeBox
	for lines := bufio.NewScanner(conn); lines.Scan(); out.Flush() {
		tag, rest, _ := strings.Cut(lines.Text(), " ")
		verb, args, _ := strings.Cut(rest, " ")
		switch verb {
		case "LIST":
			for _, b := range boxes {
				say(`* LIST (%s) "/" "%s"`, b.attributes, b.name)
			}
		case "EXAMINE":
			for i := range boxes {
				if args == `"`+boxes[i].name+`"` {
					box = &boxes[i]
					say("* %d EXISTS\r\n* OK [UIDVALIDITY %d] x", len(box.letters), box.validity)
				}
			}
		case "UID":
			if !s.fetch(out, box, args) {
				out.Flush()
				return
			}
		}
		say("%s OK [CAPABILITY %s] done", tag, capabilities)
		if verb == "LOGOUT" {
			return
		}
	}
}

// fetch answers FETCH SET ITEMS; false = the connection ends here.
func (s *fakeServer) fetch(out io.Writer, box *fakeBox, args string) bool {
	args = strings.TrimPrefix(args, "FETCH ")
	set, items, _ := strings.Cut(args, " ")
	for i, m := range box.letters {
		if !inSet(set, m.uid) {
			continue
		}
		if !strings.Contains(items, "BODY") {
			fmt.Fprintf(out, "* %d FETCH (FLAGS (%s) UID %d RFC822.SIZE %d INTERNALDATE \" 1-Feb-2020 00:00:00 +0100\" X-GM-LABELS (%s))\r\n",
				i+1, m.flags, m.uid, len(m.text), m.labels)
			continue
		}
		if s.end != nil && s.end(m.uid) {
			return false
		}
		if s.answer != nil {
			if text := s.answer(m.uid); text != "" {
				if _, err := io.WriteString(out, strings.TrimPrefix(text, "-")); err != nil || strings.HasSuffix(text, "END") {
					return false
				}
				continue
			}
		}
		s.mu.Lock()
		s.fetched[m.uid]++
		s.mu.Unlock()
		if _, err := fmt.Fprintf(out, "* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n", i+1, m.uid, len(m.text), m.text); err != nil {
			return false
		}
	}
	return true
}

func inSet(set string, uid uint32) bool {
	for part := range strings.SplitSeq(set, ",") {
		from, to, ranged := strings.Cut(part, ":")
		a, _ := strconv.Atoi(from)
		b, _ := strconv.Atoi(to)
		if to == "*" || !ranged && uint32(a) == uid || ranged && uint32(a) <= uid && uid <= uint32(b) {
			return true
		}
	}
	return false
}

// fakeLetters are n messages from UID 1 on.
func fakeLetters(name string, n int) []fakeLetter {
	var list []fakeLetter
	for i := range n {
		list = append(list, fakeLetter{uid: uint32(i + 1), text: fmt.Sprintf("Subject: %s %d\r\n\r\ntext\r\n", name, i)})
	}
	return list
}

// pull imports from a server into an account.
func pull(t testing.TB, f *fakeServer, o ImportOptions, change ...func(*IMAPSource)) (Totals, []Problem) {
	t.Helper()
	o.From = "fake"
	source := &IMAPSource{Dial: f.dial, Pause: time.Millisecond, Taken: func(_ context.Context, folder string, validity uint32) (Taken, error) {
		return TakenFrom(o, folder, validity)
	}}
	for _, c := range change {
		c(source)
	}
	f.mu.Lock()
	clear(f.fetched)
	f.mu.Unlock()
	defer func() { // the test may change what there is
		f.mu.Lock()
		defer f.mu.Unlock()
		for f.open > 0 {
			f.idle.Wait()
		}
	}()
	return doImport(t, o, source)
}

// TestPulledTwice takes everything once, and then what is new, what changed and what is gone.
func TestPulledTwice(t *testing.T) {
	s, account := newAccount(t)
	o := ImportOptions{Store: s, Account: account}
	inbox := fakeLetters("inbox", 450)
	inbox[3].flags, inbox[4].text = `\Seen $Label1 \Recent`, inbox[5].text // two of the same octets
	inbox[7].text = "Subject: large\r\n\r\n" + strings.Repeat("0123456789abcde\n", 150_000)
	f := newFakeServer(t, fakeBox{name: "INBOX", validity: 1, letters: inbox},
		fakeBox{name: "Gesendete Objekte", validity: 2, letters: fakeLetters("sent", 3)},
		fakeBox{name: "[x]/No", attributes: `\NoSelect`},
		fakeBox{name: "Papelera", attributes: `\Trash`, validity: 3, letters: fakeLetters("trash", 2)})
	if got, problems := pull(t, f, o); got != (Totals{Messages: 455}) || problems != nil {
		t.Fatalf("%+v %v", got, problems)
	}
	same(t, counts(t, s, account), map[string]uint32{"INBOX": 450, "Sent": 3, "Trash": 2})
	order(t, s, account, inbox)
	if got, problems := pull(t, f, o); got != (Totals{}) || problems != nil || len(f.fetched) > 0 {
		t.Errorf("again: %+v %v, fetched %v", got, problems, f.fetched)
	}
	// Here one message is moved and another read; there one is new, one flagged, one gone.
	box := opened(t, s, account, "INBOX")
	if _, err := box.Move(t.Context(), []goimap.UID{2}, "Sent"); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Store(t.Context(), mailbox.StoreChange{UIDs: []goimap.UID{4, 5}, Op: mailbox.FlagsAdd, Flags: []goimap.Flag{`\Answered`}}); err != nil {
		t.Fatal(err)
	}
	f.boxes[0].letters[3].flags = `$label2 \SEEN`
	f.boxes[0].letters = append(slices.Delete(f.boxes[0].letters, 9, 10), fakeLetter{uid: 1000, text: inbox[0].text})
	if got, _ := pull(t, f, o, func(s *IMAPSource) { s.LookOnly = true }); got != (Totals{}) || len(f.fetched) > 0 {
		t.Errorf("only looking: %+v", got)
	}
	if got, problems := pull(t, f, o, func(s *IMAPSource) { s.Removals = true }); got != (Totals{Messages: 1, Changed: 1, Removed: 1}) || problems != nil {
		t.Errorf("another day: %+v %v", got, problems)
	}
	same(t, counts(t, s, account), map[string]uint32{"INBOX": 449, "Sent": 4, "Trash": 2})
	for uid, want := range map[goimap.UID]string{4: `$label2 \Answered \Seen`, 5: `\Answered`} {
		if got := flagsAt(t, box, uid); got != want {
			t.Errorf("UID %d has %s, not %s", uid, got, want)
		}
	}
	if got, _ := pull(t, f, o, func(s *IMAPSource) { s.Removals = true }); got != (Totals{}) {
		t.Errorf("and again: %+v", got)
	}
}

// TestPulledAnew: a server that numbers its messages anew doubles nothing, also of what
// was moved or removed here.
func TestPulledAnew(t *testing.T) {
	s, account := newAccount(t)
	o := ImportOptions{Store: s, Account: account}
	f := newFakeServer(t, fakeBox{name: "INBOX", validity: 1, letters: fakeLetters("inbox", 20)})
	pull(t, f, o)
	box := opened(t, s, account, "INBOX")
	if _, err := box.Move(t.Context(), []goimap.UID{2}, "Sent"); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Expunge(t.Context(), []goimap.UID{3}, false); err != nil {
		t.Fatal(err)
	}
	f.boxes[0].validity = 9
	for i := range f.boxes[0].letters {
		f.boxes[0].letters[i].uid += 100
	}
	f.boxes[0].letters[5].flags = `\Flagged`
	if got, _ := pull(t, f, o); got != (Totals{Known: 20}) {
		t.Errorf("%+v", got)
	}
	same(t, counts(t, s, account), map[string]uint32{"INBOX": 18, "Sent": 1})
	f.boxes[0].letters[6].flags = `\Flagged`
	if got, _ := pull(t, f, o); got != (Totals{Changed: 1}) || flagsAt(t, box, 7) != `\Flagged` {
		t.Errorf("a flag afterwards: %+v, %s", got, flagsAt(t, box, 7))
	}
	if err := ForgetTaken(t.Context(), s, account); err != nil {
		t.Fatal(err)
	}
	if got, _ := pull(t, f, o); got != (Totals{Messages: 2, Known: 18}) {
		t.Errorf("forgotten: %+v", got)
	}
}

// TestPulledFromGmail: a message comes once, into the folders of its labels.
func TestPulledFromGmail(t *testing.T) {
	s, account := newAccount(t)
	all := fakeLetters("all", 5)
	all[0].labels = `"\\Inbox" "\\Important" Arbeit/B&APw-ro`
	all[1].labels = `"\\Sent"`
	all[2].labels = `"\\Starred"`
	all[3].labels = `"\\Draft" "\\Inbox"`
	f := newFakeServer(t, fakeBox{name: "INBOX", validity: 1, letters: fakeLetters("no", 3)},
		fakeBox{name: "Arbeit/B&APw-ro", validity: 1, letters: fakeLetters("no", 3)},
		fakeBox{name: "[Gmail]", attributes: `\NoSelect`},
		fakeBox{name: "[Gmail]/Alle Nachrichten", attributes: `\All`, validity: 2, letters: all},
		fakeBox{name: "[Gmail]/Gesendet", attributes: `\Sent`, validity: 3}, fakeBox{name: "[Gmail]/Entw&APw-rfe", attributes: `\Drafts`, validity: 4},
		fakeBox{name: "[Gmail]/Papierkorb", attributes: `\Trash`, validity: 5, letters: fakeLetters("trash", 1)})
	f.gmail = true
	o := ImportOptions{Store: s, Account: account}
	if got, problems := pull(t, f, o); got != (Totals{Messages: 6}) || problems != nil {
		t.Fatalf("%+v %v", got, problems)
	}
	same(t, counts(t, s, account), map[string]uint32{"INBOX": 2, "Arbeit/Büro": 1, "Sent": 1, "Archive": 2, "Drafts": 1, "Trash": 1})
	if got, _ := pull(t, f, o); got != (Totals{}) {
		t.Errorf("again: %+v", got)
	}
	o.Into = "Work"
	if got, _ := pull(t, f, o, func(s *IMAPSource) { s.Only = []string{"Arbeit"} }); got != (Totals{Messages: 1}) {
		t.Errorf("one label: %+v", got)
	}
}

// TestPulledFromHostileServers: each gives what it gives, the rest is named, nothing hangs.
func TestPulledFromHostileServers(t *testing.T) {
	s, account := newAccount(t)
	once := func(uid uint32, text string) func(uint32) string {
		said := false
		var mu sync.Mutex
		return func(u uint32) string {
			mu.Lock()
			defer mu.Unlock()
			if u != uid || said {
				return ""
			}
			said = true
			return text
		}
	}
	always := func(uid uint32, text string) func(uint32) string {
		return func(u uint32) string {
			if u == uid {
				return text
			}
			return ""
		}
	}
	for name, test := range map[string]struct {
		change  func(*fakeServer)
		taken   int64
		problem string // "" = none
	}{
		"takes one connection":      {func(f *fakeServer) { f.most = 1 }, 30, ""},
		"goes away once":            {func(f *fakeServer) { f.answer = once(7, "END") }, 30, ""},
		"goes away at one letter":   {func(f *fakeServer) { f.end = func(uid uint32) bool { return uid == 7 } }, 29, "INBOX, UID 7: the server closed"},
		"an endless literal":        {func(f *fakeServer) { f.answer = always(7, "* 7 FETCH (UID 7 BODY[] {999999999999}\r\nEND") }, 29, "999999999999 octets"},
		"a literal that is cut off": {func(f *fakeServer) { f.answer = once(7, "* 7 FETCH (UID 7 BODY[] {50}\r\nEND") }, 30, ""},
		"another letter":            {func(f *fakeServer) { f.answer = always(7, "* 7 FETCH (UID 8 BODY[] {1}\r\nx)\r\n") }, 29, "does not send it"},
		"twice": {func(f *fakeServer) {
			f.answer = once(7, "* 7 FETCH (UID 7 BODY[] {1}\r\nx)\r\n* 7 FETCH (UID 7 BODY[] {1}\r\ny)\r\n")
		}, 30, ""},
		"NIL":             {func(f *fakeServer) { f.answer = always(7, "* 7 FETCH (UID 7 BODY[] NIL)\r\n") }, 29, "does not send it"},
		"nothing":         {func(f *fakeServer) { f.answer = always(7, "* 7 FETCH (FLAGS ())\r\n") }, 29, "does not send it"},
		"BYE":             {func(f *fakeServer) { f.answer = once(7, "* BYE for now\r\nEND") }, 30, ""},
		"an empty letter": {func(f *fakeServer) { f.boxes[0].letters[6].text = "" }, 29, "an empty message"},
		"a UID twice, out of order": {func(f *fakeServer) {
			slices.Reverse(f.boxes[0].letters)
			f.boxes[0].letters = append(f.boxes[0].letters, f.boxes[0].letters[3])
		}, 30, ""},
		"a name of many levels":     {func(f *fakeServer) { f.boxes[0].name = strings.Repeat("a/", 5000) + "b" }, 30, ""},
		"a name that leads upwards": {func(f *fakeServer) { f.boxes[0].name = "../../etc/#x" }, 30, ""},
		"a large letter, cut off": {func(f *fakeServer) {
			f.boxes[0].letters[6].text = strings.Repeat("x", 2<<20)
			f.answer = once(7, "* 7 FETCH (UID 7 BODY[] {2097152}\r\n"+strings.Repeat("y", 1<<20)+"END")
		}, 30, ""},
		"a letter larger than ours": {func(f *fakeServer) { f.boxes[0].letters[6].text = strings.Repeat("x", 5<<20) }, 29, "messages may have"},
		"a large letter of no size": {func(f *fakeServer) {
			f.answer = always(7, "* 7 FETCH (UID 7 BODY[] {3145728}\r\n"+strings.Repeat("y", 3<<20)+")\r\n")
		}, 30, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeServer(t, fakeBox{name: "INBOX", validity: 1, letters: fakeLetters("inbox", 30)})
			test.change(f)
			got, problems := pull(t, f, ImportOptions{Store: s, Account: account, Into: name}, func(source *IMAPSource) {
				source.Taken = func(context.Context, string, uint32) (Taken, error) { return Taken{Largest: 4 << 20}, nil }
			})
			told := ""
			for _, p := range problems {
				told += p.Origin + ": " + p.Text + "\n"
			}
			if got.Messages != test.taken || got.Known != 0 || (told == "") != (test.problem == "") || !strings.Contains(told, test.problem) {
				t.Errorf("%+v\n%s", got, told)
			}
		})
	}
}

// TestPullFails: what ends an import is an error, and what was taken stays.
func TestPullFails(t *testing.T) {
	s, account := newAccount(t)
	o := ImportOptions{Store: s, Account: account, From: "fake"}
	f := newFakeServer(t, fakeBox{name: "INBOX", validity: 1, letters: fakeLetters("inbox", 700)})
	gone := errors.New("gone")
	var mu sync.Mutex
	dials := 0
	f.end = func(uid uint32) bool { return uid == 500 }
	source := &IMAPSource{Pause: time.Millisecond, Taken: func(context.Context, string, uint32) (Taken, error) { return Taken{}, nil },
		Dial: func(ctx context.Context) (*client.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if dials++; dials > 3 {
				return nil, gone
			}
			return f.dial(ctx)
		}}
	m := NewImporter(o)
	if err := source.Send(t.Context(), m); !errors.Is(err, gone) {
		t.Fatal(err)
	}
	f.mu.Lock()
	for f.open > 0 {
		f.idle.Wait()
	}
	f.mu.Unlock()
	if got := m.Abandon(); got.Messages < 200 || got.Messages > 499 {
		t.Errorf("%+v", got)
	}
	f.end = nil
	if got, _ := pull(t, f, o); got.Messages+int64(len(f.fetched)) == 0 {
		t.Errorf("%+v", got)
	}
	same(t, counts(t, s, o.Account), map[string]uint32{"INBOX": 700})
}

func same(t testing.TB, got, want map[string]uint32) {
	t.Helper()
	for name, n := range got {
		if n != want[name] {
			t.Errorf("%s has %d, not %d", name, n, want[name])
		}
	}
	for name := range want {
		if got[name] == 0 {
			t.Errorf("no %s in %v", name, got)
		}
	}
}

func opened(t testing.TB, s *mailbox.Store, a mailbox.AccountID, name string) *mailbox.Mailbox {
	t.Helper()
	box, err := s.OpenMailbox(t.Context(), a, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	return box
}

// flagsAt are the flags of a message, as words.
func flagsAt(t testing.TB, box *mailbox.Mailbox, uid goimap.UID) string {
	t.Helper()
	view := box.View(false)
	seq, ok := view.Seq(uid)
	if !ok {
		t.Fatalf("there is no UID %d", uid)
	}
	row := view.Rows(nil, seq, seq)[0]
	return flagWords((&sending{box: box, flags: map[mailbox.FlagSet][]goimap.Flag{}}).namesOf(row.Flags))
}

// order holds the INBOX against what the source has: as many octets, in its order.
func order(t testing.TB, s *mailbox.Store, a mailbox.AccountID, want []fakeLetter) {
	t.Helper()
	box := opened(t, s, a, "INBOX")
	view := box.View(false)
	for i, row := range view.Rows(nil, 1, view.Len()) {
		body, err := s.OpenBody(row.Body)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, body.Size())
		_, err = body.ReadAt(text, 0)
		body.Close()
		if err != nil && !errors.Is(err, io.EOF) || string(text) != want[i].text || row.Internal.Time().Unix() != 1580511600 {
			t.Fatalf("message %d: %q at %v, %v", i+1, text, row.Internal.Time(), err)
		}
	}
	if got := flagsAt(t, box, 4); got != `$Label1 \Seen` {
		t.Errorf("flags %s", got)
	}
}

// FuzzTaken reads any octets as a chunk; what can be read is written the same.
func FuzzTaken(f *testing.F) {
	f.Add(encodeTaken(7, []taken{{uid: 5, flags: `\Seen x`, digest: 1 << 60, copies: []copyAt{{3, 9}}}, {uid: 2}}))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		validity, list, err := decodeTaken(value)
		if err != nil || len(list) == 0 {
			return
		}
		v, again, err := decodeTaken(encodeTaken(validity, list))
		if err != nil || v != validity || fmt.Sprint(again) != fmt.Sprint(list) {
			t.Fatalf("%d %v, %d %v, %v", validity, list, v, again, err)
		}
	})
}
