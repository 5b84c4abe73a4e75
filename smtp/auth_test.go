package smtp

import (
	"testing"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/xdg-go/scram"
)

// boundClient makes xdg-go/scram a client of go-smtp.
type boundClient struct{ conversation *scram.ClientConversation }

func (b *boundClient) Start() (string, []byte, error) {
	first, err := b.conversation.Step("")
	return "SCRAM-SHA-256-PLUS", []byte(first), err
}

func (b *boundClient) Next(challenge []byte) ([]byte, error) {
	answer, err := b.conversation.Step(string(challenge))
	return []byte(answer), err
}

// TestLoginBoundToTheCertificate logs in with tls-server-end-point after STARTTLS.
func TestLoginBoundToTheCertificate(t *testing.T) {
	address, _ := listen(t, newHouse(t).options(Submission), false)
	c, err := gosmtp.DialStartTLS(address, clientTLS())
	must(t, err)
	defer c.Close()
	must(t, c.Noop()) // the handshake comes with the first command
	state, _ := c.TLSConnectionState()
	binding, err := scram.NewTLSServerEndpointBinding(&state)
	must(t, err)
	client, err := scram.SHA256.NewClient("ann@example.test", "secret", "")
	must(t, err)
	conversation := client.NewConversationWithChannelBinding(binding)
	must(t, c.Auth(&boundClient{conversation}))
	if !conversation.Valid() {
		t.Error("the server did not prove that it knows the password")
	}
}
