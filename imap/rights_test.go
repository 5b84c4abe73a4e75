package imap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// rightsCase is a command that a user gives on mailboxes of another: "P" is one, and "P/m",
// with a message, below it. The rights are those that it needs there, all of them.
type rightsCase struct {
	command  string
	parent   string // rights on P
	box      string // rights on P/m
	selected bool   // P/m is selected, for which r is needed, too; else it is INBOX
}

// The message that is put in is "x"; its literal needs no answer.
var rightsCases = []rightsCase{
	{command: "SELECT P/m", box: "r"},
	{command: "EXAMINE P/m", box: "r"},
	{command: "STATUS P/m (MESSAGES)", box: "r"},
	{command: "GETQUOTAROOT P/m", box: "r"},
	{command: "CREATE P/n", parent: "k"},
	{command: "CREATE P/m/n", box: "k"},
	{command: "DELETE P/m", box: "x"},
	{command: "RENAME P/m P/n", parent: "k", box: "x"},
	{command: "APPEND P/m {1+}\r\nx", box: "i"},
	{command: "COPY 1 P/m", box: "i"},
	{command: "UID COPY 1 P/m", box: "i"},
	{command: "MOVE 1 P/m", box: "i"},
	{command: "REPLACE 1 P/m {1+}\r\nx", box: "i"},
	{command: "SETACL P/m anyone l", box: "a"},
	{command: "DELETEACL P/m anyone", box: "a"},
	{command: "GETACL P/m", box: "a"},
	{command: "LISTRIGHTS P/m anyone", box: "a"},
	{command: "EXPUNGE", box: "e", selected: true},
	{command: "UID EXPUNGE 1", box: "e", selected: true},
	{command: "MOVE 1 INBOX", box: "te", selected: true},
	{command: "UID MOVE 1 INBOX", box: "te", selected: true},
	{command: "REPLACE 1 INBOX {1+}\r\nx", box: "te", selected: true},
	{command: "STORE 1 +FLAGS (\\Seen)", box: "s", selected: true},
	{command: "STORE 1 +FLAGS (\\Deleted)", box: "t", selected: true},
	{command: "STORE 1 -FLAGS (\\Answered $Junk)", box: "w", selected: true},
	{command: "UID STORE 1 +FLAGS.SILENT (\\Seen)", box: "s", selected: true},
}

// elsewhere says what shows the commands of the table that cannot be tried alike.
var elsewhere = map[string]string{
	"CLOSE":       "shared-flags-follow-the-rights.dialog: it succeeds and expunges nothing",
	"ESEARCH":     "esearch-looks-into-shared-mailboxes.dialog: it succeeds and finds nothing",
	"GETQUOTA":    "the-owners-quota-counts.dialog: it names no mailbox",
	"GETMETADATA": "metadata-of-shared-mailboxes.dialog: any of five will do, with l",
	"SETMETADATA": "metadata-of-shared-mailboxes.dialog: the same, and w for shared entries",
	"MYRIGHTS":    "TestAnyRightShowsRights: any of six will do",
}

// rightsTest is bob with mailboxes of ann, made anew for each trial.
type rightsTest struct {
	*testServer
	t    *testing.T
	bob  mailbox.AccountID
	c    *lineConn
	made int // P is a mailbox of this number
}

func newRightsTest(t *testing.T) *rightsTest {
	r := &rightsTest{testServer: newTestServer(t), t: t}
	e, err := r.directory.Account(testUser2)
	if err != nil {
		t.Fatal(err)
	}
	r.bob, r.c = e.ID, r.connect(t)
	r.c.send(fmt.Sprintf("l LOGIN %s %s\r\n", testUser2, testPassword2))
	r.c.expect("l OK")
	return r
}

// try makes the mailboxes anew, with these rights, gives the command and returns its reply.
func (r *rightsTest) try(c rightsCase, parent, box mailbox.Rights) string {
	r.t.Helper()
	r.made++
	top := fmt.Sprint("P", r.made)
	if _, err := r.store.Create(r.t.Context(), r.account, top+"/m", ""); err != nil {
		r.t.Fatal(err)
	}
	for name, rights := range map[string]mailbox.Rights{top: parent, top + "/m": box} {
		change := mailbox.RightsChange{Grant: mailbox.Grant{Account: r.bob, Rights: rights}}
		if err := r.store.ChangeRights(r.t.Context(), r.account, name, change); err != nil {
			r.t.Fatal(err)
		}
	}
	r.put(r.account, top+"/m")
	r.put(r.bob, "INBOX")
	shared := "\"Other Users/" + testUser + "/" + top
	words := strings.Split(c.command, " ")
	for i, w := range words {
		if w == "P" || strings.HasPrefix(w, "P/") {
			words[i] = shared + strings.TrimPrefix(w, "P") + "\""
		}
	}
	selected := "INBOX"
	if c.selected {
		selected = shared + "/m\""
	}
	r.c.send("u UNSELECT\r\ns SELECT " + selected + "\r\n")
	r.c.expect("u ")
	if got := r.c.expect("s "); !strings.HasPrefix(got, "s OK") {
		return got
	}
	r.c.send("c " + strings.Join(words, " ") + "\r\n")
	return strings.TrimSpace(strings.TrimPrefix(r.c.expect("c "), "c "))
}

// put puts a message into a mailbox.
func (r *rightsTest) put(a mailbox.AccountID, name string, flags ...goimap.Flag) {
	r.t.Helper()
	b := r.store.NewBody()
	if _, err := b.Write([]byte("Subject: x\r\n\r\nx\r\n")); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.store.Deliver(r.t.Context(), b, []mailbox.Target{{Account: a, Name: name, Flags: flags}}, nil); err != nil {
		r.t.Fatal(err)
	}
}

// letters are the rights of a list that is right.
func letters(list string) mailbox.Rights {
	rights, ok := mailbox.ParseRights(list)
	if !ok {
		panic(list)
	}
	return rights
}

// TestRightsOfCommands: each command is done with exactly the rights it needs, and refused
// without one of them, whatever others there are: by NOPERM to who may see the mailbox,
// and else as if that were not there (RFC 4314 sections 4 and 6).
func TestRightsOfCommands(t *testing.T) {
	r := newRightsTest(t)
	tried := maps.Clone(elsewhere)
	for _, c := range rightsCases {
		name, _, _ := strings.Cut(strings.TrimPrefix(c.command, "UID "), " ")
		tried[name] = c.command
		parent, box := letters(c.parent), letters(c.box)
		if c.selected {
			box |= mailbox.RightRead
		}
		if got := r.try(c, parent, box); !strings.HasPrefix(got, "OK") {
			t.Errorf("%q with %q on P and %v on P/m: %s", c.command, c.parent, box, got)
		}
		for _, letter := range c.parent + c.box {
			lacking := letters(string(letter))
			onParent, onBox := mailbox.AllRights, mailbox.AllRights
			if strings.ContainsRune(c.parent, letter) {
				onParent &^= lacking
			} else {
				onBox &^= lacking
			}
			if got := r.try(c, onParent, onBox); !strings.HasPrefix(got, "NO [NOPERM]") {
				t.Errorf("%q without %c: %s", c.command, letter, got)
			}
			if c.selected || strings.Contains(c.parent, "k") || letter == 'k' {
				continue // that it is there is no secret
			}
			if got := r.try(c, onParent, onBox&^mailbox.RightLookup); !strings.HasPrefix(got, "NO [NONEXISTENT]") && !strings.HasPrefix(got, "NO [TRYCREATE]") {
				t.Errorf("%q without %c and l: %s", c.command, letter, got)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rightsOfCommands)) {
		if tried[name] == "" {
			t.Errorf("the rights of %s are not tried", name)
		}
	}
}

// TestHiddenIsMissing: what a client learns of a mailbox without any rights is what it
// learns of one that is not there, and of one of nobody.
func TestHiddenIsMissing(t *testing.T) {
	r := newRightsTest(t)
	if _, err := r.store.Create(t.Context(), r.account, "secret", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range rightsCases {
		if c.selected {
			continue
		}
		var replies []string
		for i, name := range []string{"\"Other Users/" + testUser + "/secret", "\"Other Users/" + testUser + "/nothing", "\"Other Users/nobody@example.test/secret"} {
			words := strings.Split(c.command, " ")
			for i, w := range words {
				if strings.HasPrefix(w, "P/") {
					words[i] = strings.TrimSuffix(name+strings.TrimPrefix(w, "P/m"), "/") + "\""
				}
			}
			r.put(r.bob, "INBOX")
			tag := fmt.Sprint("t", i)
			r.c.send("s SELECT INBOX\r\n" + tag + " " + strings.Join(words, " ") + "\r\n")
			r.c.expect("s OK")
			replies = append(replies, strings.TrimPrefix(r.c.expect(tag+" "), tag))
		}
		if replies[0] != replies[1] || replies[0] != replies[2] || !strings.HasPrefix(replies[0], " NO ") {
			t.Errorf("%q: %q", c.command, replies)
		}
	}
}

// TestAnyRightShowsRights: MYRIGHTS needs one of l, r, i, k, x and a (RFC 4314 section 4).
func TestAnyRightShowsRights(t *testing.T) {
	r := newRightsTest(t)
	for _, letter := range "lrikxaswpte" {
		got := r.try(rightsCase{command: "MYRIGHTS P/m"}, 0, letters(string(letter)))
		if want := strings.ContainsRune("lrikxa", letter); strings.HasPrefix(got, "OK") != want {
			t.Errorf("with %c: %s", letter, got)
		}
	}
}
