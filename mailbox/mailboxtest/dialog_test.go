package mailboxtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// echoServer is a line protocol that says what it is told to:
//
//	say TEXT      says TEXT with CRLF       raw TEXT   TEXT with \r and \n written out
//	len           the length of the line    quit       closes
//	secure        starts TLS after "go"     mute       says nothing
//	conn          the connection's number   bytes N    reads N octets, says them quoted
type echoServer struct {
	tls *tls.Config
}

func (e echoServer) dial(t testing.TB) func(int) (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func(conn int) (net.Conn, error) {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		server, err := l.Accept()
		if err != nil {
			return nil, err
		}
		go e.serve(server, conn)
		return client, nil
	}
}

func (e echoServer) serve(c net.Conn, number int) {
	defer func() { c.Close() }()
	in := bufio.NewReader(c)
	fmt.Fprintf(c, "* OK hello %d\r\n", number)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch verb {
		case "say":
			fmt.Fprintf(c, "%s\r\n", arg)
		case "raw":
			io.WriteString(c, strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(arg))
		case "len":
			fmt.Fprintf(c, "%d\r\n", len(line))
		case "conn":
			fmt.Fprintf(c, "%d\r\n", number)
		case "bytes":
			var n int
			fmt.Sscan(arg, &n)
			data := make([]byte, n)
			io.ReadFull(in, data)
			fmt.Fprintf(c, "%q\r\n", data)
		case "secure":
			fmt.Fprintf(c, "go\r\n")
			c = tls.Server(c, e.tls)
			in = bufio.NewReader(c)
		case "quit":
			return
		}
	}
}

// fakeTB records the failure that it is given and ends the goroutine, as a
// real one does.
type fakeTB struct {
	testing.TB
	failure string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Fatal(args ...any) {
	f.failure = fmt.Sprint(args...)
	runtime.Goexit()
}

// failureOf plays text against the echo server and returns what Play failed with.
func failureOf(t *testing.T, p Player, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.dialog")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	fake := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Play(fake, file)
	}()
	<-done
	return fake.failure
}

func TestDialogues(t *testing.T) {
	server, client := throwawayTLS(t)
	PlayDir(t, "testdata/*.dialog", func(t *testing.T) Player {
		return Player{
			Dial: echoServer{tls: server}.dial(t),
			Vars: map[string]string{"user": "u@example.test"},
			TLS:  client,
		}
	})
}

func TestPlayFailsWhere(t *testing.T) {
	const hello = "S: *\n"
	for _, c := range []struct {
		name, text string
		want       []string // all in the failure
	}{
		{"other line", hello + "C: say b\nS: a", []string{":3: connection 1", "expected: a", `got:      "b"`}},
		{"prefix only", hello + "C: say a OK done\nS: a OK", []string{`got:      "a OK done"`}},
		{"suffix only", hello + "C: say x a OK\nS: a OK", []string{`got:      "x a OK"`}},
		{"star in the middle", hello + "C: say a NO b\nS: a OK * b", []string{`"a NO b"`}},
		{"literal star", hello + "C: say x OK\nS: ** OK", []string{`got:      "x OK"`}},
		{"trailing space", hello + "C: say a \nS: a", []string{`got:      "a "`}},
		{"capture differs", hello + "C: say uid 7\nS: uid $n\nC: say uid 8\nS: uid $n", []string{":5:", `($n is "7")`, `"uid 8"`}},
		{"capture differs in its line", hello + "C: say 7 8\nS: $n $n", []string{`"7 8"`}},
		{"capture takes no space", hello + "C: say uid 7 8\nS: uid $n\nC: say $n\nS: $n", []string{":3:", `"uid 7 8"`}},
		{"capture is not empty", hello + "C: say uid <>\nS: uid <$n>\nC: say $n\nS: $n", []string{":3:", `"uid <>"`}},
		{"given variable differs", hello + "C: say x\nS: $user", []string{`($user is "joe")`}},
		{"bare LF", hello + `C: raw a\nb\r\n` + "\nS: a", []string{`"a\nb"`}},
		{"bare CR", hello + `C: raw a\rb\r\n` + "\nS: a", []string{`"a\rb"`}},
		{"silence", hello + "C: mute\nS: a", []string{":3:", "nothing within"}},
		{"line without end", hello + "C: raw abc\nS: abc", []string{`"abc" without CRLF`, "nothing within"}},
		{"skip finds nothing", hello + "C: say a\nC: say b\nC: quit\nS: ...\nS: c", []string{":6:", "skipped 2 lines", `"a"`, `"b"`, "the connection was closed"}},
		{"skip ends at its match", hello + "C: say a\nC: say b\nS: ...\nS: a\nS: c", []string{":6:", `got:      "b"`}},
		{"closed instead of a line", hello + "C: quit\nS: a", []string{"the connection was closed"}},
		{"line instead of closed", hello + "C: say a\nclose", []string{"expected: the end of the connection", `got:      "a"`}},
		{"half a line instead of closed", hello + "C: raw a\nC: quit\nclose", []string{`"a" without CRLF`}},
		{"not closed", hello + "close", []string{"nothing within"}},
		{"not closed after a skip", hello + "C: say a\nS: ...\nclose", []string{"skipped 1 lines", "nothing within"}},
		{"wrong connection", "1S: *\n2S: * hello 1", []string{":2: connection 2", `"* OK hello 2"`}},
		{"base64 differs", hello + "C: say YQ==\nS: $b64(b)", []string{`"YQ=="`}},
		{"dial fails", "9S: *", []string{"connection 9: dial: no route"}},
		{"TLS is refused", hello + "C: say go\nS: go\nC: quit\nstarttls", []string{":5:", "starttls:"}},
		{"words before TLS", hello + "C: say a\nC: raw b\\r\\nc\\r\\n\nS: a\nS: b\nstarttls", []string{"speaks before the TLS handshake", `"c\r\n"`}},
		{"write to a closed connection", hello + "C: quit\nC: $repeat(30000000,x)\n", []string{":3:", "send:"}},
		{"nothing to play", "# only words\n\n", []string{"proves nothing"}},
		{"unknown line", hello + "X: a", []string{":2:", `"X: a" is no line of a dialogue`}},
		{"unknown word", hello + "1closed", []string{`"closed" is no line`}},
		{"connection 0", "0S: *", []string{`"0S: *" is no line`}},
		{"one letter", "S", []string{`"S" is no line`}},
		{"skip before a command", hello + "S: ...\nC: a\nS: *", []string{":2:", "a skip must be followed"}},
		{"skip at the end", hello + "S: ...", []string{":2:", "a skip must be followed"}},
		{"two skips", hello + "S: ...\nS: ...\nS: a", []string{":2:", "a skip must be followed"}},
		{"name never used", hello + "C: say x\nS: $Forwarded", []string{":3:", "$$Forwarded"}},
		{"sent before known", hello + "C: say $n\nS: $n", []string{":2:", "$n is sent before it is known"}},
		{"lone dollar", hello + "C: say $ 5", []string{"a $ without a name"}},
		{"unknown escape", hello + `C~ \q`, []string{`unknown escape \q`}},
		{"bad hex", hello + `C~ \xzz`, []string{`unknown escape \xzz`}},
		{"short hex", hello + `C~ \x4`, []string{`unknown escape \x`}},
		{"backslash at the end", hello + `C~ a\`, []string{"a backslash at the end"}},
		{"open function", hello + `C: $b64(abc`, []string{"missing )"}},
		{"nested function", hello + `C: $b64($b64(a))`, []string{"a function within a function"}},
		{"repeat without a number", hello + `C: $repeat(a,b)`, []string{"$repeat wants"}},
		{"repeat of nothing", hello + `C: $repeat(0,b)`, []string{"$repeat wants"}},
		{"repeat without end", hello + `C: $repeat(999999999,b)`, []string{"$repeat of more than"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, client := throwawayTLS(t)
			p := Player{Dial: echoOrNoRoute(t), Vars: map[string]string{"user": "joe"}, TLS: client}
			if slices.Contains(c.want, "nothing within") { // the wait is what fails, and long enough for what comes before
				p.Timeout = 3 * time.Second
			}
			got := failureOf(t, p, c.text)
			if got == "" {
				t.Fatalf("the dialogue passed:\n%s", c.text)
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in the failure:\n%s", want, got)
				}
			}
		})
	}
}

func echoOrNoRoute(t *testing.T) func(int) (net.Conn, error) {
	dial := echoServer{}.dial(t)
	return func(conn int) (net.Conn, error) {
		if conn == 9 {
			return nil, errors.New("no route")
		}
		return dial(conn)
	}
}

func TestPlayFailsWithoutItsParts(t *testing.T) {
	p := Player{Dial: echoServer{}.dial(t)}
	if got := failureOf(t, p, "S: *\nstarttls"); !strings.Contains(got, "no TLS configuration") {
		t.Errorf("starttls without a configuration: %q", got)
	}
	fake := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Play(fake, "testdata/none.dialog", p.Dial, nil)
	}()
	<-done
	if !strings.Contains(fake.failure, "none.dialog") {
		t.Errorf("a missing file: %q", fake.failure)
	}
}

func TestPlayLeavesVarsAlone(t *testing.T) {
	vars := map[string]string{"user": "joe"}
	p := Player{Dial: echoServer{}.dial(t), Vars: vars}
	if got := failureOf(t, p, "S: *\nC: say 7 joe\nS: $n $user\nC: say $n\nS: $n"); got != "" {
		t.Fatal(got)
	}
	if len(vars) != 1 {
		t.Errorf("vars after the dialogue: %v", vars)
	}
}

func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, line string
		want          bool
		taken         string // n=…, of $n
	}{
		{"*", "", true, ""},
		{"*", "anything at all", true, ""},
		{"a*", "a", true, ""},
		{"a*b*c", "a b b c", true, ""},
		{"a*b*c", "a c b", false, ""},
		{"** OK *", "* OK [X] hello", true, ""},
		{"** OK *", "* OK", false, ""},
		{"***", "*x", true, ""},
		{"****", "**", true, ""},
		{"[APPENDUID * $n] *", "[APPENDUID 17 4] done", true, "4"},
		{"a $n b $n c", "a 1 b 1 c", true, "1"},
		{"a $n b $n c", "a 1 b 2 c", false, ""},
		{"$n$n", "abab", true, "ab"},
		{"$$n", "$n", true, ""},
		{"* $b64(x\\)y)", "+ eCl5", true, ""},
		{"$repeat(3,ab) *", "ababab ", true, ""},
	} {
		p, err := parsePattern(c.pattern, syntax{stars: true})
		if err != nil {
			t.Errorf("%q: %v", c.pattern, err)
			continue
		}
		vars := map[string]string{}
		got, err := p.match(c.line, vars)
		if err != nil || got != c.want || vars["n"] != c.taken {
			t.Errorf("%q against %q: %v, n=%q, error %v; want %v, n=%q", c.pattern, c.line, got, vars["n"], err, c.want, c.taken)
		}
	}
}

// throwawayTLS is both sides of a certificate that lives as long as the test.
func throwawayTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return server, &tls.Config{RootCAs: roots, ServerName: "localhost"}
}
