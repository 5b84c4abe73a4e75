package imap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
)

// storedCommands look at a message in every way there is.
var storedCommands = []string{
	"FETCH 1 (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE PREVIEW EMAILID MODSEQ SAVEDATE)",
	"FETCH 1 (BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] BODY.PEEK[1] BODY.PEEK[1.MIME] BODY.PEEK[2] BODY.PEEK[1.1] BODY.PEEK[1.HEADER] BODY.PEEK[1.2.3.4.5] BODY.PEEK[]<3.7>)",
	"FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject From X-Tag)] BODY.PEEK[HEADER.FIELDS.NOT (Subject)])",
	"FETCH 1 BINARY.SIZE[1]", "FETCH 1 BINARY.PEEK[1]<1.9>", "FETCH 1 BINARY.PEEK[]",
	"SEARCH TEXT pear", "SEARCH BODY \"e a\"", "SEARCH OR FROM x SUBJECT \"\xc3\xa4\"", "SEARCH HEADER X-Tag \"\"", "SEARCH SENTSINCE 1-Jan-2020", "SEARCH FUZZY TEXT \"apple pear red\"",
	"SORT (SUBJECT FROM TO CC DATE DISPLAYFROM) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "THREAD REFS UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
}

// lookAt puts a message into the empty INBOX, says all commands about it, before and after UTF-8 was enabled, and takes
// it out again.
func lookAt(t *testing.T, s *directSession, raw []byte) {
	deliver(t, s.options.Store, s.account.ID, raw, mailbox.Target{})
	s.selected.view.Update(true)
	for _, utf8 := range []bool{false, true} {
		s.utf8 = utf8
		s.enc.SetUTF8(utf8)
		for _, command := range storedCommands {
			out, _, err := s.run(t, command)
			if err != nil && !errors.Is(err, errUnknownCTE) {
				t.Errorf("%s: %v", command, err)
			}
			if err := wellFormed(out); err != nil {
				t.Errorf("%s: %v", command, err)
			}
		}
	}
	s.utf8 = false
	s.enc.SetUTF8(false)
	if _, err := s.selected.mailbox.Expunge(t.Context(), s.selected.view.UIDs(), false); err != nil {
		t.Error(err)
	}
	s.selected.view.Update(true)
}

// wellFormed checks that what was written is responses with all their literals, and that the parentheses and strings
// outside of these are closed.
func wellFormed(out []byte) error {
	in := bufio.NewReader(bytes.NewReader(out))
	depth := 0
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		}
		if err != nil || !strings.HasSuffix(line, "\r\n") {
			return fmt.Errorf("a line has no end: %q", line)
		}
		line = strings.TrimSuffix(line, "\r\n")
		if depth == 0 && !strings.HasPrefix(line, "* ") {
			return fmt.Errorf("no response: %q", line)
		}
		quoted := false
		for i := 0; i < len(line); i++ {
			switch c := line[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '(':
				depth++
			case c == ')':
				depth--
			}
		}
		if quoted || depth < 0 {
			return fmt.Errorf("not closed: %q", line)
		}
		size, ok := literalAt(line)
		switch {
		case !ok && depth != 0:
			return fmt.Errorf("not closed: %q", line)
		case ok:
			if _, err := io.CopyN(io.Discard, in, size); err != nil {
				return fmt.Errorf("a literal of %d octets: %w", size, err)
			}
		}
	}
}

// FuzzStoredMessages has messages stored, whatever they are, and looks at them: each command has its answer, and what is
// sent is well-formed.
func FuzzStoredMessages(f *testing.F) {
	files, err := filepath.Glob("../mailbox/message/testdata/*.eml")
	if err != nil || len(files) < 50 {
		f.Fatal(len(files), err)
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(raw) < 64<<10 {
			f.Add(raw)
		}
	}
	for _, h := range hostile {
		f.Add([]byte(h.make(300)))
	}
	store, account := directStore(f, f.TempDir(), 0)
	s := newDirectSession(f, store, account)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 0 {
			lookAt(t, s, raw)
		}
	})
}

// hostile are messages of about n octets that would take long to look at, were they not looked at in linear time.
var hostile = []struct {
	name string
	make func(n int) string
}{
	{"nested multiparts", func(n int) string {
		var b strings.Builder
		for i := range n / 60 {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		}
		return b.String()
	}},
	{"the same boundary in each level", func(n int) string {
		return strings.Repeat("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", n/50)
	}},
	{"nested messages", func(n int) string {
		return strings.Repeat("Content-Type: message/rfc822\r\n\r\n", n/33) + "Subject: deep\r\n\r\n"
	}},
	{"many parts", func(n int) string {
		return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", n/10) + "--b--\r\n"
	}},
	{"lines that nearly are boundaries", func(n int) string {
		return "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", 60) + "\r\n\r\n" + strings.Repeat("--"+strings.Repeat("b", 59)+"\r\n", n/63)
	}},
	{"many header fields", func(n int) string { return strings.Repeat("X-Tag: x\r\n", n/10) + "\r\n" }},
	{"one header field of many lines", func(n int) string { return "Subject: x\r\n" + strings.Repeat(" x\r\n", n/4) + "\r\n" }},
	{"one long line", func(n int) string { return "Subject: " + strings.Repeat("x", n) + "\r\n\r\n" }},
	{"many addresses", func(n int) string { return "To: " + strings.Repeat("a@b, ", n/5) + "\r\n\r\n" }},
	{"open groups", func(n int) string { return "To: " + strings.Repeat("g:", n/2) + "\r\n\r\n" }},
	{"open comments", func(n int) string {
		return "From: " + strings.Repeat("(", n) + "\r\nDate: " + strings.Repeat("(", n) + "\r\n\r\n"
	}},
	{"open quotes and brackets", func(n int) string { return "From: " + strings.Repeat("\"<", n/2) + "\r\n\r\n" }},
	{"encoded words", func(n int) string { return "Subject: " + strings.Repeat("=?utf-8?q?x?= ", n/14) + "\r\n\r\n" }},
	{"encoded words without end", func(n int) string { return "Subject: " + strings.Repeat("=?utf-8?q?", n/10) + "\r\n\r\n" }},
	{"parameters", func(n int) string { return "Content-Type: text/plain" + strings.Repeat("; a=b", n/5) + "\r\n\r\nx" }},
	{"parameters in pieces", func(n int) string {
		var b strings.Builder
		b.WriteString("Content-Disposition: attachment")
		for i := range n / 16 {
			fmt.Fprintf(&b, "; filename*%d*=x", i)
		}
		return b.String() + "\r\n\r\nx"
	}},
	{"references", func(n int) string {
		var b strings.Builder
		for i := range n / 12 {
			fmt.Fprintf(&b, "<r%d@x>\r\n ", i)
		}
		return "References: " + b.String() + "\r\n\r\n"
	}},
	{"a subject of replies", func(n int) string {
		return "Subject: " + strings.Repeat("Re: ", n/4) + strings.Repeat("[x]", n/3) + "\r\n\r\n"
	}},
	{"tags", func(n int) string { return "Content-Type: text/html\r\n\r\n" + strings.Repeat("<", n) }},
	{"comments in tags", func(n int) string {
		return "Content-Type: text/html\r\n\r\n" + strings.Repeat("<!--", n/4) + strings.Repeat("<script>", n/8) + strings.Repeat("&#x", n/3)
	}},
	{"soft line ends", func(n int) string {
		return "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=\r\n", n/3) + strings.Repeat(" ", n)
	}},
	{"base64 that is none", func(n int) string { return "Content-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("=A", n/2) }},
	{"nearly the text that is looked for", func(n int) string {
		return "Subject: x\r\n\r\n" + strings.Repeat("pea", n/3) + strings.Repeat("e ", n/2)
	}},
	{"NUL and lone line ends", func(n int) string { return strings.Repeat("a\x00\r\n\n\r", n/6) }},
}

// TestHostileMessagesTakeNoTime looks at large messages that would take minutes where something takes more than linear
// time; they take a fraction of a second.
func TestHostileMessagesTakeNoTime(t *testing.T) {
	size, patience := 512<<10, time.Minute
	if testing.Short() {
		size = 64 << 10 // under the race detector
	}
	store, account := directStore(t, t.TempDir(), 0)
	s := newDirectSession(t, store, account)
	for _, h := range hostile {
		began := time.Now()
		lookAt(t, s, []byte(h.make(size)))
		took := time.Since(began)
		t.Logf("%v: %s", took.Round(time.Millisecond), h.name)
		if took > patience {
			t.Errorf("%s: %v", h.name, took)
		}
	}
}
