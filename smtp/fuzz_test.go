package smtp

import (
	"bufio"
	"context"
	"net"
	"regexp"
	"testing"
	"time"

	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
)

// openHouse lets everybody in as ann at the second response: what guards
// passwords would only slow the fuzzer down.
type openHouse struct {
	Directory
	ann directory.Account
}

func (o openHouse) Exchange(directory.Attempt, string) (directory.Exchange, error) {
	return &openDoor{account: o.ann}, nil
}

type openDoor struct {
	account directory.Account
	asked   bool
}

func (d *openDoor) Next(context.Context, []byte) ([]byte, bool, error) {
	done := d.asked
	d.asked = true
	return []byte("once more"), done, nil
}

func (d *openDoor) Account() directory.Account { return d.account }

var wellFormed = regexp.MustCompile(`^[2-5][0-9]{2}[ -][ -~]*\r\n$`)

// FuzzSession plays a client that says anything: each reply is well-formed,
// nothing panics, and the session ends.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"EHLO c\r\nMAIL FROM:<a@b.example> SIZE=1 BODY=8BITMIME\r\nRCPT TO:<ann@example.test>\r\nDATA\r\nA: b\r\n\r\n..\r\n.\r\nQUIT\r\n",
		"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nBDAT 3\r\na\r\nBDAT 4 LAST\r\n\r\n\r\n",
		"EHLO c\r\nMAIL FROM:<a@b.example> RET=FULL ENVID=Q+2B\r\nRCPT TO:<ann@example.test> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\\x{FC}@x\r\nDATA\r\nA: b\r\n\r\n.\r\n",
		"HELO c\r\nVRFY x\r\nEXPN x\r\nHELP\r\nNOOP\r\nRSET\r\nSTARTTLS\r\n",
		"EHLO c\r\nAUTH PLAIN YQ==\r\nYQ==\r\nMAIL FROM:<ann@example.test>\r\nRCPT TO:<x@b.example>\r\nDATA\r\nFrom: ann@example.test\nBcc: x\n y\n\n.x\r\n.\r\n",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	h := newHouse(f)
	servers := map[bool]*mailboxtest.Pipes{}
	for _, role := range []Role{Receiver, Submission} {
		o := h.options(role)
		o.CleartextAuth = true
		o.Directory = openHouse{h.directory, directory.Account{ID: h.ann, Name: "ann@example.test"}}
		o.Limits = Limits{Idle: 50 * time.Millisecond, ErrorDelay: time.Microsecond, MessageSize: 1000}
		p := mailboxtest.NewPipes()
		servers[role == Submission] = p
		s := New(o)
		go s.Serve(p)
		f.Cleanup(func() { s.Shutdown(f.Context()) })
	}
	f.Fuzz(func(t *testing.T, input []byte, submission bool) {
		client, err := servers[submission].Dial()
		must(t, err)
		defer client.Close()
		client.SetDeadline(time.Now().Add(time.Minute))
		go client.Write(input)
		in := bufio.NewReader(client)
		for n := 0; ; n++ {
			line, err := in.ReadString('\n')
			if err != nil {
				if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
					t.Fatal("the session does not end")
				}
				return
			}
			if !wellFormed.MatchString(line) || len(line) > 600 || n == 0 && line[:4] != "220 " {
				t.Fatalf("reply %q", line)
			}
			if line == "220 2.0.0 Go ahead\r\n" {
				return // what follows is TLS
			}
			if line == "421 4.3.0 Local trouble, try again later\r\n" {
				t.Fatal("a panic")
			}
		}
	})
}
