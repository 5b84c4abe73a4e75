//go:build linux

package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/client"
)

// imapMessages is the number of messages that TestImportIMAPFromDovecot moves; it starts
// nobody's servers unless asked: `make import-imap`.
var imapMessages = flag.Int("imap.messages", 0, "messages that TestImportIMAPFromDovecot takes from Dovecot; 0 = none")

// dovecotFolders are those of its user, as Maildir++ has them, with what they are called
// here and which part of the messages they have.
var dovecotFolders = []struct {
	folder, name, here string
	of                 int // one message of so many
}{
	{"", "INBOX", "INBOX", 2},
	{".Gesendete Objekte", "Gesendete Objekte", "Sent", 4},
	{".Archiv.2019", "Archiv/2019", "Archiv/2019", 8},
	{".B&APw-cher", "Bücher", "Bücher", 8},
}

// fillMaildir writes the user's mail, as if it had come over years. Every hundredth
// message is large, and every fiftieth has the octets of the one before.
func fillMaildir(t *testing.T, home string, n int) {
	t.Helper()
	line := strings.Repeat("This line has some words that make a letter of the usual length.\n", 24)
	for _, f := range dovecotFolders {
		dir := filepath.Join(home, "Maildir", f.folder)
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n / f.of {
			number, body := i, line
			if i%50 == 49 {
				number--
			}
			if number%100 == 0 {
				body = strings.Repeat(line, 40)
			}
			text := fmt.Sprintf("From: S <s%d@a.test>\nTo: ann@a.test\nSubject: letter %d\nMessage-ID: <%d.%s@a.test>\n\n%d\n%s", number, number, number, f.name, number, body)
			name := filepath.Join(dir, "cur", fmt.Sprintf("%d.%d.host:2,%s", 1_500_000_000+i, i, []string{"", "S", "FS", "RS"}[i%4]))
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if at := time.Unix(int64(1_400_000_000+1000*i), 0); os.Chtimes(name, at, at) != nil {
				t.Fatal("the file's time cannot be set")
			}
		}
	}
	if err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", mailUser, mailUser), home).Run(); err != nil {
		t.Fatal(err)
	}
}

// startDovecot serves IMAP for a user with n messages.
func startDovecot(t *testing.T, n int) (address string) {
	t.Helper()
	version, err := exec.Command("dovecot", "--version").Output()
	if err != nil || !strings.HasPrefix(string(version), "2.3.") {
		t.Skipf("this needs Dovecot 2.3 (Debian package dovecot-imapd): %s%v", version, err)
	}
	if os.Getuid() != 0 {
		t.Skip("Dovecot wants root")
	}
	base, err := os.MkdirTemp("", "mailstead-dovecot-") // not t.TempDir, which others may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	dir := filepath.Join(base, "dovecot")
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := peerFolders(dir, "run", "state", "mail"); err != nil {
		t.Fatal(err)
	}
	fillMaildir(t, filepath.Join(dir, "mail", "u"), n)
	if err := os.Chown(filepath.Join(dir, "mail"), mailUser, mailUser); err != nil {
		t.Fatal(err)
	}
	port := freeOffset(t) + 143
	settings := strings.NewReplacer("sdbox:~/sdbox", "maildir:~/Maildir", "imap lmtp", "imap").Replace(dovecotSettings)
	file := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, settings, dir, port, port+1, mailUser), 0o644); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, exec.Command("dovecot", "-F", "-c", file), nil)
	if err := awaitPort(port); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("Dovecot did not start: %v\n%s", err, log)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// TestImportIMAPFromDovecot moves an account from Dovecot: once as fast as it goes, once
// with client and server killed on the way, and holds both against the source, message by
// message; then a folder back.
func TestImportIMAPFromDovecot(t *testing.T) {
	if *imapMessages == 0 {
		t.Skip("-imap.messages 0: make import-imap moves an account from Dovecot")
	}
	dovecot := startDovecot(t, *imapMessages)
	s := newInstance(t, trialDir(t), "a.test")
	s.start()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := []string{"--user", "u", "--password-file", secret, "--insecure-plain", "--quiet", "--dir", s.dir}
	move := func(account string) (*exec.Cmd, *lockedBuffer) {
		c, out := program(append([]string{"import", "imap", "--from", dovecot, "--account", account}, login...)...), new(lockedBuffer)
		c.Stdout, c.Stderr = out, out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c, out
	}
	want := imapPicture(t, dovecot, "u", "pass", nil)

	began := time.Now()
	c, out := move("b0@a.test")
	most, ended := make(chan [2]int64, 1), make(chan struct{})
	go func() { most <- mostMemory(ended, c.Process.Pid, s.process.Process.Pid) }()
	err := c.Wait()
	took := time.Since(began)
	close(ended)
	held := <-most
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	total := 0
	for _, list := range want {
		total += len(list)
	}
	t.Logf("%d messages in %v, %.0f a second; own memory at most: client %d MB, server %d MB",
		total, took.Round(time.Millisecond), float64(total)/took.Seconds(), held[0]>>20, held[1]>>20)
	if max(held[0], held[1]) > mostImportMemory {
		t.Errorf("more than %d MB", int64(mostImportMemory)>>20)
	}
	samePictures(t, "in one go", imapPicture(t, s.address(143), "b0@a.test", "pass", dovecotNames()), want)

	for i, victim := range []string{"client", "server", "client"} {
		c, out := move("a0@a.test")
		killed := awaitMessages(t, s, (i+1)*total/6)
		if victim == "server" {
			s.end(syscall.SIGKILL)
		} else {
			c.Process.Kill()
		}
		if err := c.Wait(); err == nil {
			t.Logf("kill %d of the %s came too late: %s", i+1, victim, out)
		}
		t.Logf("kill %d, of the %s, at %d messages", i+1, victim, killed)
		if victim == "server" {
			s.start()
		}
	}
	for _, wanted := range []string{"left out", "0 messages imported"} {
		c, out := move("a0@a.test")
		if err := c.Wait(); err != nil || !strings.Contains(out.String(), wanted) {
			t.Errorf("%v: %s", err, out)
		}
		t.Logf("after the kills: %s", strings.TrimSpace(out.String()))
	}
	samePictures(t, "with kills", imapPicture(t, s.address(143), "a0@a.test", "pass", dovecotNames()), want)

	for _, wanted := range []string{fmt.Sprintf("%d messages exported", len(want["Bücher"])), "0 messages exported"} {
		args := append([]string{"export", "imap", "--to", dovecot, "--account", "a0@a.test", "--mailbox", "Bücher"}, login...)
		args[slices.Index(args, "u")] = "other"
		if text, err := program(args...).CombinedOutput(); err != nil || !strings.HasPrefix(string(text), wanted) {
			t.Errorf("export: %v: %s", err, text)
		}
	}
	back := imapPicture(t, dovecot, "other", "pass", nil)
	if !slices.Equal(back["Bücher"], want["Bücher"]) {
		t.Errorf("%d messages came back, of %d, or others", len(back["Bücher"]), len(want["Bücher"]))
	}
}

// dovecotNames are the source's names by ours.
func dovecotNames() map[string]string {
	names := map[string]string{}
	for _, f := range dovecotFolders {
		names[f.here] = f.name
	}
	return names
}

// awaitMessages waits until the account a0 has so many messages.
func awaitMessages(t *testing.T, s *instance, n int) (have int) {
	t.Helper()
	for end := time.Now().Add(faultLimit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		have = 0
		c := imapLoginAt(t, s.address(143), "a0@a.test", "pass")
		for _, f := range dovecotFolders {
			raw := strings.ReplaceAll(f.here, "ü", "&APw-")
			if box, err := c.Examine(raw); err == nil {
				have += int(box.Messages)
			}
		}
		c.Logout()
		if have >= n {
			return have
		}
	}
	t.Fatalf("%d messages, and no more come", have)
	return 0
}

func imapLoginAt(t *testing.T, address, user, password string) *client.Conn {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{Address: address, Security: client.Plain})
	if err == nil {
		err = c.Login(user, password)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// imapPicture is what an account shows to its owner: of each mailbox with mail the flags,
// the date and a digest of each message, in their order. names, when not nil, renames.
func imapPicture(t *testing.T, address, user, password string, names map[string]string) map[string][]string {
	t.Helper()
	c := imapLoginAt(t, address, user, password)
	defer c.Logout()
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, m := range list {
		box, err := c.Examine(m.Raw)
		if client.IsRefusal(err) || err == nil && box.Messages == 0 {
			continue // a folder of folders
		}
		if err != nil {
			t.Fatal(err)
		}
		name := m.Name
		if names != nil {
			name = names[m.Name]
		}
		all[name] = mailboxPicture(t, c)
	}
	return all
}

func mailboxPicture(t *testing.T, c *client.Conn) (list []string) {
	t.Helper()
	var uids []uint32
	said := map[uint32]string{}
	err := c.Rows(client.AskState, func(r client.Row) error {
		r.Flags = slices.DeleteFunc(r.Flags, func(f goimap.Flag) bool { return strings.EqualFold(string(f), `\Recent`) })
		slices.Sort(r.Flags)
		uids = append(uids, r.UID)
		said[r.UID] = fmt.Sprint(r.Flags, r.Date.Unix(), r.Size)
		return nil
	})
	for some := range slices.Chunk(uids, 500) {
		if err != nil {
			break
		}
		var digest string
		err = c.Bodies(some, func(b *client.Body) error {
			h := sha256.New()
			_, err := io.Copy(h, b)
			digest = fmt.Sprintf("%x", h.Sum(nil))
			return err
		}, func(r client.Row) error {
			said[r.UID] += " " + digest
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range uids {
		list = append(list, said[uid])
	}
	return list
}

// samePictures compares two accounts, message by message.
func samePictures(t *testing.T, what string, got, want map[string][]string) {
	t.Helper()
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %s: %d messages of %d, or others, or in another order", what, name, len(got[name]), len(want[name]))
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("%s: more mailboxes: %d", what, len(got))
	}
}
