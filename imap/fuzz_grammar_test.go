package imap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
)

// maxSaid is how many commands a fuzzed conversation has: fewer than the mistakes that end a session.
const maxSaid = 12

// FuzzConversations says commands of the whole language, all at once, to a session with a mailbox selected. Each has to
// have its answer, in order, or the session a BYE; nothing may fail that is the server's own fault.
func FuzzConversations(f *testing.F) {
	for i := range commands {
		for variant := range byte(4) { // the octets choose the command, UID, and then what it is about
			f.Add([]byte{byte(i), variant, variant * 7, variant * 31, 1, variant, 3, variant * 5, 1, 2, variant, 1, 4, variant * 3})
		}
	}
	faults := &faultLog{}
	ts := newTestServer(f, func(o *Options) {
		o.Logger, o.MaxPerAddress, o.TLSConfig, o.MaxMessageSize = slog.New(faults), 1000, nil, 1<<20
	})
	f.Fuzz(func(t *testing.T, octets []byte) {
		ts.tidy(t)
		g := grammar{octets: octets}
		var said strings.Builder
		n := 0
		for n < maxSaid && (n == 0 || len(g.octets) > 0) {
			said.WriteString(g.command(fmt.Sprintf("t%d", n)))
			n++
		}
		nc, err := ts.dial(1)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(time.Minute))
		go func() {
			fmt.Fprintf(nc, "l LOGIN %s %s\r\ns SELECT INBOX\r\n%s", testUser, testPassword, said.String())
			nc.(*net.TCPConn).CloseWrite()
		}()
		if err := checkAnswers(bufio.NewReader(nc), n); err != nil {
			t.Errorf("%v\n%q", err, said.String())
		}
		if fault := faults.last.Swap(nil); fault != nil {
			t.Errorf("%s\n%q", *fault, said.String())
		}
	})
}

// tidy leaves no more in the account than a conversation needs.
func (ts *testServer) tidy(t *testing.T) {
	const mailboxes, messages = 20, 60
	infos, err := ts.store.Mailboxes(ts.account)
	must(t, err)
	for _, info := range infos {
		if len(infos) > mailboxes && info.Name != "INBOX" {
			if err := ts.store.Delete(t.Context(), ts.account, info.Name); err != nil && !errors.Is(err, mailbox.ErrNoMailbox) {
				t.Fatal(err)
			}
		}
	}
	m, err := ts.store.OpenMailbox(t.Context(), ts.account, "INBOX")
	must(t, err)
	defer m.Close()
	view := m.View(false)
	if view.Len() > messages {
		_, err = m.Expunge(t.Context(), view.UIDs(), false)
		must(t, err)
	}
	if n := view.Len(); n < 5 || n > messages {
		for _, text := range searchMessages {
			deliver(t, ts.store, ts.account, []byte(text), mailbox.Target{})
		}
	}
}

// checkAnswers reads what the server says to n commands, t0 and so on: one tagged reply to each in order, until a BYE
// or what cannot be read as text any more.
func checkAnswers(in *bufio.Reader, n int) error {
	next := 0
	for {
		line, err := readResponse(in)
		switch {
		case err == io.EOF && next == n:
			return nil
		case os.IsTimeout(err):
			return fmt.Errorf("no end after the answer to %d of %d commands", next, n)
		case err != nil:
			return fmt.Errorf("after the answer to %d of %d commands: %w", next, n, err)
		case strings.HasPrefix(line, "* BYE"):
			return nil
		}
		tag, rest, _ := strings.Cut(line, " ")
		if len(tag) < 2 || tag[0] != 't' || tag[1] < '0' || tag[1] > '9' {
			continue
		}
		if tag != fmt.Sprintf("t%d", next) {
			return fmt.Errorf("answer number %d is %q", next, line)
		}
		if kind, _, _ := strings.Cut(rest, " "); kind != "OK" && kind != "NO" && kind != "BAD" {
			return fmt.Errorf("answer number %d is %q", next, line)
		}
		next++
		if strings.HasPrefix(rest, "OK DEFLATE active") {
			return nil
		}
	}
}

// readResponse reads a response with its literals, and returns its first line.
func readResponse(in *bufio.Reader) (first string, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if line != "" {
				err = fmt.Errorf("the last line is %q: %w", line, err)
			}
			return "", err
		}
		if !strings.HasSuffix(line, "\r\n") {
			return "", fmt.Errorf("a line ends without CR: %q", line)
		}
		if first == "" {
			first = line
		}
		size, ok := literalAt(strings.TrimSuffix(line, "\r\n"))
		if !ok || line[0] != '*' && first == line { // the text of a tagged reply may end as it likes
			return first, nil
		}
		if _, err := io.CopyN(io.Discard, in, size); err != nil {
			return "", fmt.Errorf("in a literal of %d octets behind %q: %w", size, first, err)
		}
	}
}

// literalAt reports the size of the literal that is announced at the end of a line.
func literalAt(line string) (size int64, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	size, err := strconv.ParseInt(line[open+1:len(line)-1], 10, 64)
	return size, err == nil
}

// TestGrammarKnowsEveryCommand proves that the grammar of FuzzConversations has arguments for each command of the table.
func TestGrammarKnowsEveryCommand(t *testing.T) {
	for _, c := range commands {
		if _, ok := arguments[c.name]; !ok {
			t.Errorf("%s is said with any arguments, so seldom with right ones", c.name)
		}
	}
}
