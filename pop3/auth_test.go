package pop3

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// TestLoginBoundToTheCertificate logs in with tls-server-end-point after STLS.
func TestLoginBoundToTheCertificate(t *testing.T) {
	f := newFixture(t, Options{})
	plain, err := f.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	in := bufio.NewReader(plain)
	expect := func(want string) string {
		t.Helper()
		line, err := in.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, want) {
			t.Fatalf("%q, %v; want %q", line, err, want)
		}
		return strings.TrimSuffix(strings.TrimPrefix(line, want), "\r\n")
	}
	expect("+OK")
	fmt.Fprint(plain, "STLS\r\n")
	expect("+OK")
	nc := tls.Client(plain, &tls.Config{RootCAs: f.ca, ServerName: "localhost"})
	if err := nc.Handshake(); err != nil {
		t.Fatal(err)
	}
	in.Reset(nc)
	state := nc.ConnectionState()
	binding, err := scram.NewTLSServerEndpointBinding(&state)
	if err != nil {
		t.Fatal(err)
	}
	client, err := scram.SHA256.NewClient(testUser, testPass, "")
	if err != nil {
		t.Fatal(err)
	}
	conversation := client.NewConversationWithChannelBinding(binding)
	step := func(challenge string) string {
		t.Helper()
		text, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := conversation.Step(string(text))
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString([]byte(answer))
	}
	fmt.Fprintf(nc, "AUTH SCRAM-SHA-256-PLUS %s\r\n", step(""))
	fmt.Fprintf(nc, "%s\r\n", step(expect("+ ")))
	fmt.Fprintf(nc, "%s\r\n", step(expect("+ ")))
	expect("+OK")
	if !conversation.Valid() {
		t.Error("the server did not prove that it knows the password")
	}
}
