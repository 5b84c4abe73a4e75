package imap

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/xdg-go/scram"
)

// client connects go-imap's client, without logging in.
func (ts *testServer) client(t *testing.T, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	nc, err := ts.dial(1)
	if err != nil {
		t.Fatal(err)
	}
	c := imapclient.New(nc, o)
	t.Cleanup(func() { c.Close() })
	return c
}

// user is a client that is logged in.
func (ts *testServer) user(t *testing.T) *imapclient.Client {
	t.Helper()
	c := ts.client(t, nil)
	must(t, c.Login(testUser, testPassword).Wait())
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// appendMessage appends by IMAP and returns the UID.
func appendMessage(t *testing.T, c *imapclient.Client, name, body string, flags ...goimap.Flag) goimap.UID {
	t.Helper()
	cmd := c.Append(name, int64(len(body)), &goimap.AppendOptions{Flags: flags})
	if _, err := cmd.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	must(t, cmd.Close())
	data, err := cmd.Wait()
	must(t, err)
	return data.UID
}

// TestClient takes go-imap's client, which was not written for this server, through
// what a mail program does.
func TestClient(t *testing.T) {
	ts := newTestServer(t)
	c := ts.user(t)
	_, err := c.ID(&goimap.IDData{Name: "test"}).Wait()
	must(t, err)
	ns, err := c.Namespace().Wait()
	must(t, err)
	if len(ns.Personal) != 1 || ns.Personal[0].Delim != '/' {
		t.Errorf("NAMESPACE: %+v", ns)
	}
	must(t, c.Create("Entwürfe/2026", nil).Wait())
	mailboxes, err := c.List("", "Entw%", &goimap.ListOptions{ReturnStatus: &goimap.StatusOptions{NumMessages: true, UIDValidity: true}}).Collect()
	must(t, err)
	if len(mailboxes) != 1 || mailboxes[0].Mailbox != "Entwürfe" || mailboxes[0].Status == nil {
		t.Fatalf("LIST: %+v", mailboxes)
	}
	for i := range 3 {
		appendMessage(t, c, "Entwürfe/2026", fmt.Sprintf("Subject: %d\r\n\r\n%s", i, strings.Repeat("x", 40000*i)), goimap.FlagDraft)
	}
	data, err := c.Select("Entwürfe/2026", &goimap.SelectOptions{CondStore: true}).Wait()
	must(t, err)
	if data.NumMessages != 3 || data.UIDNext != 4 || data.HighestModSeq == 0 {
		t.Errorf("SELECT: %+v", data)
	}
	found, err := c.UIDSearch(&goimap.SearchCriteria{Text: []string{"grüße"}}, nil).Wait() // without CHARSET, as in IMAP4rev2
	must(t, err)
	if len(found.AllUIDs()) != 0 {
		t.Errorf("SEARCH: %v", found.AllUIDs())
	}
	stored, err := c.Store(goimap.UIDSetNum(1, 2), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagDeleted}}, nil).Collect()
	must(t, err)
	if len(stored) != 2 || stored[0].UID != 1 || stored[0].ModSeq <= data.HighestModSeq {
		t.Errorf("STORE: %+v", stored)
	}
	expunged, err := c.UIDExpunge(goimap.UIDSetNum(2, 3)).Collect()
	must(t, err)
	if len(expunged) != 1 || expunged[0] != 2 {
		t.Errorf("UID EXPUNGE: %v", expunged)
	}
	moved, err := c.Move(goimap.UIDSetNum(3), "Trash").Wait()
	must(t, err)
	if moved.SourceUIDs.String() != "3" {
		t.Errorf("MOVE: %+v", moved)
	}
	must(t, c.Logout().Wait())
}

// TestClientIdleHearsOfDelivery proves that a message of another session wakes an
// idling client, and that IDLE can be left and entered again.
func TestClientIdleHearsOfDelivery(t *testing.T) {
	ts := newTestServer(t)
	exists := make(chan uint32, 10)
	c := ts.client(t, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				exists <- *data.NumMessages
			}
		},
	}})
	must(t, c.Login(testUser, testPassword).Wait())
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	other := ts.user(t)
	for i := range uint32(3) {
		idle, err := c.Idle()
		must(t, err)
		appendMessage(t, other, "INBOX", "x")
		select {
		case n := <-exists:
			if n != i+1 {
				t.Fatalf("EXISTS %d, want %d", n, i+1)
			}
		case <-time.After(time.Minute):
			t.Fatal("not told")
		}
		must(t, idle.Close())
		must(t, idle.Wait())
	}
}

// scramClient makes xdg-go/scram a client of go-imap.
type scramClient struct {
	mechanism    string
	conversation *scram.ClientConversation
}

func (s *scramClient) Start() (string, []byte, error) {
	first, err := s.conversation.Step("")
	return s.mechanism, []byte(first), err
}

func (s *scramClient) Next(challenge []byte) ([]byte, error) {
	answer, err := s.conversation.Step(string(challenge))
	return []byte(answer), err
}

// TestScram logs in with each SCRAM mechanism, under TLS with each channel binding and
// without, and checks that the server proved itself.
func TestScram(t *testing.T) {
	ts := newTestServer(t, func(o *Options) { o.AllowInsecureAuth = false })
	implicit := ts.serveTLS(t)
	hashes := map[string]scram.HashGeneratorFcn{"SCRAM-SHA-256": scram.SHA256, "SCRAM-SHA-1": scram.SHA1}
	for _, c := range []struct {
		mechanism string
		version   uint16
		binding   func(*tls.ConnectionState) (scram.ChannelBinding, error)
	}{
		{"SCRAM-SHA-256", tls.VersionTLS13, nil},
		{"SCRAM-SHA-1", tls.VersionTLS12, nil},
		{"SCRAM-SHA-256-PLUS", tls.VersionTLS13, scram.NewTLSExporterBinding},
		{"SCRAM-SHA-1-PLUS", tls.VersionTLS12, scram.NewTLSExporterBinding},
		{"SCRAM-SHA-256-PLUS", tls.VersionTLS13, scram.NewTLSServerEndpointBinding},
		{"SCRAM-SHA-1-PLUS", tls.VersionTLS12, scram.NewTLSServerEndpointBinding},
	} {
		config := &tls.Config{InsecureSkipVerify: true, MaxVersion: c.version}
		t.Run(c.mechanism, func(t *testing.T) {
			nc, err := tls.Dial("tcp", implicit, config)
			must(t, err)
			state := nc.ConnectionState()
			client := imapclient.New(nc, nil)
			defer client.Close()
			name, _ := strings.CutSuffix(c.mechanism, "-PLUS")
			sc, err := hashes[name].NewClient(testUser, testPassword, "")
			must(t, err)
			conversation := sc.NewConversation()
			if c.binding != nil {
				b, err := c.binding(&state)
				must(t, err)
				conversation = sc.NewConversationWithChannelBinding(b)
			}
			must(t, client.Authenticate(&scramClient{c.mechanism, conversation}))
			if !conversation.Valid() {
				t.Error("the server did not prove that it knows the password")
			}
			_, err = client.Select("INBOX", nil).Wait()
			must(t, err)
		})
	}
}

// TestLoginDisabledWithoutTLS proves that no password is accepted in the clear unless
// the server is told to.
func TestLoginDisabledWithoutTLS(t *testing.T) {
	ts := newTestServer(t, func(o *Options) { o.AllowInsecureAuth = false })
	c := ts.client(t, nil)
	caps, err := c.Capability().Wait()
	must(t, err)
	if !caps.Has(goimap.CapLoginDisabled) || caps.Has("AUTH=PLAIN") || !caps.Has(goimap.CapStartTLS) {
		t.Errorf("capabilities: %v", caps)
	}
	var refused *goimap.Error
	if err := c.Login(testUser, testPassword).Wait(); !errors.As(err, &refused) || refused.Code != goimap.ResponseCodePrivacyRequired {
		t.Errorf("LOGIN: %v", err)
	}
}
