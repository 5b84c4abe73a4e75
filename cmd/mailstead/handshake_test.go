package main

import (
	"bufio"
	cryptotls "crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// door is a port of a mail server, with what a client says to get TLS, where it does not begin with it.
type door struct {
	port                     int
	greeting, hello, helloOK string // hello is said before asking
	ask, askOK               string
	command, commandOK       string // the first that makes sense under TLS
	forgotten, refused       string // said in the clear, it counts for this one no more
	before                   string
}

var mailDoors = []door{
	{port: 25, greeting: "220 ", hello: "EHLO c.test", helloOK: "250 ", ask: "STARTTLS", askOK: "220 ", command: "NOOP", commandOK: "250 ",
		before: "EHLO c.test", forgotten: "MAIL FROM:<>", refused: "503 "},
	{port: 587, greeting: "220 ", hello: "EHLO c.test", helloOK: "250 ", ask: "STARTTLS", askOK: "220 ", command: "NOOP", commandOK: "250 ",
		before: "EHLO c.test", forgotten: "MAIL FROM:<>", refused: "503 "},
	{port: 143, greeting: "* OK", ask: "a STARTTLS", askOK: "a OK", command: "b NOOP", commandOK: "b OK", forgotten: "c SELECT INBOX", refused: "c "},
	{port: 110, greeting: "+OK", ask: "STLS", askOK: "+OK", command: "NOOP", commandOK: "-ERR",
		before: "USER user@example.test", forgotten: "PASS pass", refused: "-ERR"},
	{port: 465, command: "NOOP", commandOK: "250 "},
	{port: 993, command: "b NOOP", commandOK: "b OK"},
	{port: 995, command: "NOOP", commandOK: "-ERR"},
}

// TestHandshakes has clients, and who comes between them and us, do at the beginning of TLS what they should not.
func TestHandshakes(t *testing.T) {
	s := startTrial(t, trialDir(t), "--account", "user@example.test:pass")
	for _, d := range mailDoors {
		t.Run(fmt.Sprint(d.port), func(t *testing.T) {
			t.Run("foreign ALPN is refused", func(t *testing.T) { foreignALPN(t, s, d) })
			t.Run("no handshake, no answer", func(t *testing.T) { noHandshake(t, s, d) })
			t.Run("a good handshake", func(t *testing.T) {
				c := d.secure(t, s, d.open(t, s, ""))
				c.say(d.command, d.commandOK)
			})
			t.Run("versions, names, keys and tickets", func(t *testing.T) { handshakes(t, s, d) })
			t.Run("HTTP ends the connection", func(t *testing.T) { httpAtMail(t, s, d) })
			if d.ask == "" {
				return
			}
			t.Run("what came in the clear is not run", func(t *testing.T) { injected(t, s, d) })
			if d.before != "" {
				t.Run("what was said in the clear is forgotten", func(t *testing.T) { forgotten(t, s, d) })
			}
		})
	}
	t.Run("443", func(t *testing.T) {
		handshakes(t, s, webDoor)
		mailAtWeb(t, s)
	})
}

// open connects and asks for TLS; behind is sent together with that.
func (d door) open(t *testing.T, s *trial, behind string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.address(d.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patienceOfTests))
	if d.ask == "" {
		return conn
	}
	c := newTalk(t, conn, d.greeting)
	if d.hello != "" {
		c.say(d.hello, d.helloOK)
	}
	c.say(d.ask+"\r\n"+strings.TrimSuffix(behind, "\r\n"), d.askOK)
	return conn
}

func (d door) secure(t *testing.T, s *trial, conn net.Conn) *talk {
	t.Helper()
	secure := cryptotls.Client(conn, &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost"})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := &talk{t, secure, bufio.NewReader(secure)}
	if d.ask == "" {
		c.expect(map[int]string{465: "220 ", 993: "* OK", 995: "+OK"}[d.port])
	}
	return c
}

func foreignALPN(t *testing.T, s *trial, d door) {
	for _, offered := range [][]string{{"h2", "http/1.1"}, {"acme-tls/1"}, {"xmpp-client"}} {
		conn := d.open(t, s, "")
		secure := cryptotls.Client(conn, &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost", NextProtos: offered})
		if err := secure.Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("%q: %v", offered, err)
		}
		if rest, _ := io.ReadAll(conn); len(rest) > 0 {
			t.Errorf("%q: after the failure there is %q", offered, rest)
		}
	}
}

// noHandshake says a command where the handshake should be. An alert may come back, no words.
func noHandshake(t *testing.T, s *trial, d door) {
	conn := d.open(t, s, "")
	if _, err := io.WriteString(conn, d.command+"\r\n"+d.command+"\r\n"); err != nil {
		t.Fatal(err)
	}
	const alert = 0x15 // RFC 8446 section 5.1
	if rest, _ := io.ReadAll(conn); len(rest) > 0 && (rest[0] != alert || len(rest) != 7) {
		t.Errorf("answered %q", rest)
	}
}

// injected puts a command behind the one that asks for TLS, in the clear.
func injected(t *testing.T, s *trial, d door) {
	conn, err := net.Dial("tcp", s.address(d.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := newTalk(t, conn, d.greeting)
	if d.hello != "" {
		c.say(d.hello, d.helloOK)
	}
	c.say(d.ask+"\r\nx BOGUS injected", d.askOK)
	secure := cryptotls.Client(conn, &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost"})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(secure, d.command+"\r\n"); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 512)
	n, err := secure.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), d.commandOK) || strings.Contains(string(line[:n]), "x ") {
		t.Errorf("the first answer under TLS is %q, %v", line[:n], err)
	}
}

// forgotten says something in the clear on which a command under TLS would build.
func forgotten(t *testing.T, s *trial, d door) {
	conn, err := net.Dial("tcp", s.address(d.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := newTalk(t, conn, d.greeting)
	c.say(d.before, map[int]string{110: "+OK"}[d.port])
	if d.hello != "" {
		c.expect(d.helloOK)
	}
	c.say(d.ask, d.askOK)
	secure := cryptotls.Client(conn, &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost"})
	if err := secure.Handshake(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(secure, d.forgotten+"\r\n"); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 512)
	if n, err := secure.Read(line); err != nil || !strings.HasPrefix(string(line[:n]), d.refused) {
		t.Errorf("%s was answered %q, %v", d.forgotten, line[:n], err)
	}
}

// httpAtMail sends a browser's request: nothing of it may go through, and the connection ends without anybody hanging up here.
func httpAtMail(t *testing.T, s *trial, d door) {
	conn, err := net.Dial("tcp", s.address(d.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patienceOfTests))
	request := "POST / HTTP/1.1\r\nHost: mail.example.test\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nEHLO x\r\nMAIL FROM:<a@b.test>\r\na LOGIN user@example.test pass\r\nUSER user@example.test\r\nPASS pass\r\n"
	io.WriteString(conn, request) // the server may hang up in its midst
	answer, _ := io.ReadAll(conn)
	for _, bad := range []string{"250 ", "a OK", "+OK now", "+OK 0"} {
		if strings.Contains(string(answer), bad) {
			t.Errorf("answered %q", answer)
		}
	}
}
