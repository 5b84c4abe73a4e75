package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// turn is what a scripted server expects and what it says then; TAG stands for the
// command's. One that expects nothing speaks of its own accord.
type turn struct{ expect, say string }

// scripted serves one connection by a script.
func scripted(t testing.TB, greeting string, script ...turn) *Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		defer l.Close()
		conn, err := l.Accept()
		if err != nil {
			ended <- err
			return
		}
		defer conn.Close()
		ended <- play(conn, greeting, script)
	}()
	c, err := Dial(t.Context(), Options{Address: l.Addr().String(), Security: Plain, Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) && !isReset(err) {
			t.Error(err)
		}
	})
	return c
}

func isReset(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

func play(conn net.Conn, greeting string, script []turn) error {
	in := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, greeting+"\r\n"); err != nil {
		return err
	}
	tag := ""
	for _, s := range script {
		if s.expect != "" {
			line, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			line = strings.TrimRight(line, "\r\n")
			if rest, ok := strings.CutPrefix(line, "a"); ok && strings.Contains(rest, " ") {
				tag, line, _ = strings.Cut(line, " ")
			}
			if !strings.HasPrefix(line, s.expect) {
				return fmt.Errorf("%q is said, not %q", line, s.expect)
			}
		}
		if _, err := io.WriteString(conn, strings.ReplaceAll(s.say, "TAG", tag)); err != nil {
			return err
		}
	}
	return nil
}

// TestAuthenticate logs in by each way, and is refused.
func TestAuthenticate(t *testing.T) {
	password := func(c *Conn) error { return c.Login("ann", "p\"ä") }
	token := func(c *Conn) error { return c.Bearer("h.test:993", "a=n,n", "tok") }
	for name, test := range map[string]struct {
		greeting string
		login    func(*Conn) error
		script   []turn
		want     string // "" = nil
	}{
		"plain at once":  {"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello", password, []turn{{"AUTHENTICATE PLAIN AGFubgBwIsOk", "TAG OK in\r\n"}}, ""},
		"plain in turns": {"* OK hello", password, []turn{{"CAPABILITY", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK\r\n"}, {"AUTHENTICATE PLAIN", "+ \r\n"}, {"AGFubgBwIsOk", "TAG OK in\r\n"}}, ""},
		"login":          {"* OK [CAPABILITY IMAP4rev1] hello", password, []turn{{`LOGIN "ann" {4}`, "+ go on\r\n"}, {"p\"ä", "TAG OK [CAPABILITY IMAP4rev1] in\r\n"}}, ""},
		"login disabled": {"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hello", password, nil, "no way to log in"},
		"wrong":          {"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello", password, []turn{{"AUTHENTICATE", "TAG NO [AUTHENTICATIONFAILED] wrong\r\n"}}, "NO: [AUTHENTICATIONFAILED] wrong"},
		"bearer": {"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2 AUTH=OAUTHBEARER] hello", token,
			[]turn{{"AUTHENTICATE OAUTHBEARER bixhPWE9M0RuPTJDbiwBaG9zdD1oLnRlc3QBcG9ydD05OTMBYXV0aD1CZWFyZXIgdG9rAQE=", "TAG OK in\r\n"}}, ""},
		"old bearer, refused": {"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] hello", token,
			[]turn{{"AUTHENTICATE XOAUTH2 dXNlcj1hPW4sbgFhdXRoPUJlYXJlciB0b2sBAQ==", "+ eyJzdGF0dXMiOiI0MDAifQ==\r\n"}, {"AQ==", "TAG NO expired\r\n"}}, "NO: expired"},
		"no bearer": {"* OK [CAPABILITY IMAP4rev1] hello", token, nil, "no way to log in"},
	} {
		t.Run(name, func(t *testing.T) {
			c := scripted(t, test.greeting, test.script...)
			err := test.login(c)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// TestHostile says what servers must not say; each is an error, or read over.
func TestHostile(t *testing.T) {
	const open = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\nTAG OK [READ-ONLY] open\r\n"
	for name, test := range map[string]struct {
		script []turn
		want   string // of the error; "" = none
		got    string
	}{
		"two letters":             {[]turn{{"", "* 1 FETCH (UID 5 BODY[] {2}\r\nab)\r\n* 2 FETCH (FLAGS () BODY[] {0}\r\n UID 6)\r\nTAG OK x\r\n"}}, "", "5 ab, 6 "},
		"of its own accord":       {[]turn{{"", "* 9 FETCH (FLAGS (\\Seen))\r\n* 4 EXISTS\r\n* 1 EXPUNGE\r\n* VANISHED 1:4\r\n* X-ODD \"a\" (b (c))\r\nTAG OK x\r\n"}}, "", "0 "},
		"an endless literal":      {[]turn{{"", "* 1 FETCH (UID 5 BODY[] {99999999999999999999}\r\n"}}, "no IMAP", ""},
		"a literal for a flag":    {[]turn{{"", "* 1 FETCH (UID 5 FLAGS ({70000}\r\n"}}, "a string of 70000", ""},
		"a short literal":         {[]turn{{"", "* 1 FETCH (UID 5 BODY[] {5}\r\nab"}}, "closed", ""},
		"parentheses":             {[]turn{{"", "* 1 FETCH (UID 5 X " + strings.Repeat("(", 20) + "\r\n"}}, "within each other", ""},
		"closing parentheses":     {[]turn{{"", "* X a ) b\r\n"}}, "closes nothing", ""},
		"a list that ends":        {[]turn{{"", "* 1 FETCH (UID 5\r\n"}}, "does not end", ""},
		"a long line":             {[]turn{{"", "* X " + strings.Repeat("a", maxResponse+1)}}, "more than", ""},
		"many words":              {[]turn{{"", "* X " + strings.Repeat("a ", maxValues+1)}}, "words", ""},
		"a UID that is none":      {[]turn{{"", "* 1 FETCH (UID 99999999999 FLAGS ())\r\n"}}, "UID", ""},
		"BYE":                     {[]turn{{"", "* BYE too many\r\n"}}, "BYE: too many", ""},
		"an answer nobody asked":  {[]turn{{"", "zzz OK x\r\n"}}, "nobody asked", ""},
		"an answer of what it is": {[]turn{{"", "TAG MAYBE x\r\n"}}, "an answer of", ""},
		"a continuation":          {[]turn{{"", "+ more\r\n"}}, "asks for more", ""},
		"refused":                 {[]turn{{"", "TAG NO [SERVERBUG] not today\r\n"}}, "NO: [SERVERBUG] not today", ""},
		"no end of responses":     {[]turn{{"", strings.Repeat("* 1 EXISTS\r\n", maxAside+10)}}, "responses to one command", ""},
		"the connection ends":     {nil, "closed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			script := append([]turn{{`EXAMINE "A"`, open}, {"UID FETCH 5:6 (UID BODY.PEEK[])", ""}}, test.script...)
			c := scripted(t, "* OK hello", script...)
			s, err := c.Examine("A")
			if err != nil || s.UIDValidity != 7 || s.Messages != 3 {
				t.Fatalf("%+v, %v", s, err)
			}
			var got []string
			text := ""
			err = c.Bodies([]uint32{6, 5}, func(b *Body) error {
				octets, err := io.ReadAll(b)
				text = string(octets)
				return err
			}, func(r Row) error {
				got = append(got, fmt.Sprint(r.UID, " ", text))
				text = ""
				return nil
			})
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) || test.want == "" && err != nil {
				t.Fatalf("%v, want %q", err, test.want)
			}
			if test.want == "" && strings.Join(got, ", ") != test.got {
				t.Errorf("%q, want %q", got, test.got)
			}
		})
	}
}

// TestBodyOfAnother is not taken for the one that was asked for.
func TestBodyOfAnother(t *testing.T) {
	c := scripted(t, "* OK hello", turn{"UID FETCH", "* 1 FETCH (BODY[] {2}\r\nab UID 6)\r\nTAG OK x\r\n"})
	err := c.Bodies([]uint32{5}, func(b *Body) error {
		b.Whole = 5
		_, err := io.ReadAll(b)
		return err
	}, nil)
	if !errors.Is(err, ErrOther) {
		t.Error(err)
	}
}

// TestList reads names as servers write them.
func TestList(t *testing.T) {
	c := scripted(t, "* OK hello",
		turn{`LIST "" "*"`, "* LIST (\\HasNoChildren) \".\" INBOX\r\n* LIST (\\Sent) \".\" \"INBOX.Gesendete Objekte\"\r\n" +
			"* LIST () \"/\" \"Entw&APw-rfe/a\"\r\n* LIST () \"/\" {4}\r\na\"/b\r\n* LIST () NIL \"x/y\"\r\n* LIST () \"/\" \"Entwürfe\"\r\n* LIST () \"/\" \"Entwürfe\"\r\nTAG OK x\r\n"},
		turn{`LSUB "" "*"`, "* LSUB () \".\" INBOX\r\nTAG OK x\r\n"})
	list, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, fmt.Sprint(m.Name, m.Attributes, m.Subscribed))
	}
	want := `INBOX[\HasNoChildren] true|INBOX/Gesendete Objekte[\Sent] false|Entwürfe/a[] false|a"/b[] false|x_y[] false|Entwürfe[] false`
	if strings.Join(got, "|") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, "|"), want)
	}
}

// TestListWithoutEnd ends.
func TestListWithoutEnd(t *testing.T) {
	var many strings.Builder
	for i := range MaxMailboxes + 1 {
		fmt.Fprintf(&many, "* LIST () \"/\" m%d\r\n", i)
	}
	c := scripted(t, "* OK hello", turn{"LIST", many.String()})
	if _, err := c.List(); !errors.Is(err, ErrProtocol) {
		t.Error(err)
	}
}

// TestPlainIsForLoopback: there is no password in the clear to anybody else, and no words
// before TLS count.
func TestPlainIsForLoopback(t *testing.T) {
	if isLoopback(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}) || !isLoopback(&net.TCPAddr{IP: net.IPv6loopback}) {
		t.Error("loopback is not what it should be")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for greeting, script := range map[string][]turn{
		"* PREAUTH in":      nil,
		"* OK hello":        {{"STARTTLS", "TAG OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"}},
		"* OK hello again":  {{"STARTTLS", "TAG NO\r\n"}},
		"* BYE not for you": nil,
		"* X what":          nil,
	} {
		served := make(chan struct{})
		go func() {
			defer close(served)
			if conn, err := l.Accept(); err == nil {
				play(conn, greeting, script)
				io.Copy(io.Discard, conn) // until the other side has had enough
				conn.Close()
			}
		}()
		if c, err := Dial(t.Context(), Options{Address: l.Addr().String(), Security: StartTLS}); err == nil || strings.HasPrefix(err.Error(), "TLS:") {
			t.Errorf("%s: %v, %v", greeting, c, err)
		}
		<-served
	}
}

// TestStall: a server that says nothing is given up.
func TestStall(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Dial(t.Context(), Options{Address: l.Addr().String(), Security: Plain, Patience: time.Millisecond})
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Error(err)
	}
}

// FuzzResponses has a server say anything.
func FuzzResponses(f *testing.F) {
	for _, s := range []string{
		"* 1 FETCH (UID 5 FLAGS (\\Seen x) INTERNALDATE \" 1-Jan-2020 00:00:00 +0100\" RFC822.SIZE 5 X-GM-LABELS (\"\\\\Inbox\" {1}\r\na))\r\na1 OK x\r\n",
		"* 1 FETCH (BODY[] {2}\r\nab UID 5)\r\n* LIST (\\A) \"/\" a\r\na1 OK\r\n", "* 1 FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] {3}\r\nx:y)\r\n* BYE\r\n", "+ \r\n", "* CAPABILITY A B\r\na1 NO [X] y\r\n", "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := &Conn{answered: map[string]error{}, in: reader{r: bufio.NewReader(strings.NewReader(text))}, out: bufio.NewWriter(io.Discard)}
		octets := int64(0)
		err := c.Bodies([]uint32{5}, func(b *Body) error {
			n, err := io.Copy(io.Discard, struct{ io.Reader }{b})
			octets += n
			return err
		}, nil)
		if octets > int64(len(text)) {
			t.Fatalf("%d octets of %d, %v", octets, len(text), err)
		}
		for _, prefix := range []string{"LIST ", "NAMESPACE "} {
			d := reader{r: bufio.NewReader(strings.NewReader("* " + prefix + text))}
			if _, err := d.response(); err == nil {
				if values, err := d.rest(); err == nil {
					mailboxOf(values)
					prefixOf(values)
				}
			}
		}
	})
}
