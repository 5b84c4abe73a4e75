package imap

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// FuzzCommands says arbitrary octets to a session with a mailbox selected. The session
// has to end in good time, and without a fault of its own.
func FuzzCommands(f *testing.F) {
	for _, text := range dialogueCommands(f) {
		f.Add([]byte(text))
	}
	f.Add([]byte("a APPEND INBOX {3}\r\nabca IDLE\r\nDONE\r\n"))
	f.Add([]byte("a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a %/*) RETURN (STATUS (MESSAGES))\r\n"))
	f.Add([]byte("a APPEND INBOX (\\Seen) {3+}\r\nabc \" 1-Feb-2001 10:00:00 +0100\" ~{3+}\r\na\x00c UTF8 (~{1+}\r\nx)\r\n" +
		"b FETCH 1:* (BINARY.PEEK[1]<0.5> BINARY.SIZE[] BODY.PEEK[] PREVIEW (LAZY) EMAILID THREADID SAVEDATE)\r\n"))
	f.Add([]byte("a APPEND INBOX CATENATE (TEXT {3+}\r\nabc URL \"/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20(TO)/;PARTIAL=1.2\" URL ;UID=1 TEXT {1}\r\n"))
	f.Add([]byte("a REPLACE 1 INBOX {3+}\r\nabc\r\nb UID REPLACE 1 Drafts CATENATE (URL \"/;UID=2\")\r\n"))
	f.Add([]byte("a SETACL INBOX bob@example.test +lrc\r\nb GETACL INBOX\r\nc LISTRIGHTS INBOX \"-anyone\"\r\nd MYRIGHTS INBOX\r\ne DELETEACL INBOX anyone\r\n"))
	f.Add([]byte("a CREATE \"Other Users/bob@example.test/INBOX/x\"\r\nb LIST \"\" \"Other Users/%\" RETURN (MYRIGHTS)\r\nc RENAME \"Other Users/a/@/x\" y\r\n"))
	f.Add([]byte("a ENABLE IMAP4rev2 UTF8=ACCEPT\r\nb CREATE \"\xc3\xa4\"\r\nc SELECT \"a\xcc\x88\"\r\nd LIST \"\" \"\xc3%\"\r\n"))
	f.Add([]byte("a SETMETADATA INBOX (/private/comment ~{1+}\r\n\x00 /shared/x NIL)\r\nb GETMETADATA (DEPTH infinity MAXSIZE 5) INBOX (/private /shared)\r\n" +
		"c GETMETADATA \"\" /shared/admin\r\nd ENABLE METADATA\r\ne LIST \"\" * RETURN (METADATA (/private/comment))\r\n"))
	faults := &faultLog{}
	ts := newTestServer(f, func(o *Options) {
		o.Logger = slog.New(faults)
		o.MaxPerAddress = 1000
	})
	f.Fuzz(func(t *testing.T, text []byte) {
		nc, err := ts.dial(1)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(time.Minute))
		go func() {
			fmt.Fprintf(nc, "l LOGIN %s %s\r\ns SELECT INBOX\r\n%s\r\nDONE\r\nz LOGOUT\r\n", testUser, testPassword, text)
			nc.(*net.TCPConn).CloseWrite()
		}()
		if _, err := io.Copy(io.Discard, nc); os.IsTimeout(err) {
			t.Fatal("the session does not end")
		}
		if fault := faults.last.Swap(nil); fault != nil {
			t.Fatal(*fault)
		}
	})
}

// faultLog keeps the last fault that was logged.
type faultLog struct {
	slog.Handler
	last atomic.Pointer[string]
}

func (l *faultLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (l *faultLog) WithAttrs([]slog.Attr) slog.Handler               { return l }
func (l *faultLog) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += "\n" + a.String()
		return true
	})
	l.last.Store(&text)
	return nil
}

// dialogueCommands returns what the clients of the dialogues say, a text for each.
func dialogueCommands(f *testing.F) []string {
	files, err := filepath.Glob("testdata/*.dialog")
	if err != nil || len(files) == 0 {
		f.Fatal("no dialogues", err)
	}
	var texts []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var b strings.Builder
		for line := range strings.Lines(string(data)) {
			if _, said, ok := strings.Cut(line, "C: "); ok && !strings.Contains(said, "LOGIN") && !strings.Contains(said, "$repeat") {
				b.WriteString(strings.TrimSuffix(said, "\n") + "\r\n")
			}
		}
		texts = append(texts, b.String())
	}
	return texts
}
