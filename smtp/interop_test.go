package smtp

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
	"github.com/xdg-go/scram"
)

// TestIndependentClient sends with a client that others wrote, over each port.
func TestIndependentClient(t *testing.T) {
	h := newHouse(t)
	receiver, _ := listen(t, h.options(Receiver), false)
	submission, _ := listen(t, h.options(Submission), false)
	submissions, _ := listen(t, h.options(Submission), true)
	body := "From: ann@example.test\r\nDate: now\r\nMessage-ID: <1@x>\r\n\r\n.\r\n..\r\n.x\r\ngr\xc3\xbc\xc3\x9fe\r\n" + strings.Repeat("0123456789\r\n", 20000)
	for i, dial := range []func() (*gosmtp.Client, error){
		func() (*gosmtp.Client, error) { return gosmtp.Dial(receiver) },
		func() (*gosmtp.Client, error) { return gosmtp.DialStartTLS(receiver, clientTLS()) },
		func() (*gosmtp.Client, error) {
			return loggedIn(gosmtp.DialStartTLS(submission, clientTLS()))(sasl.NewPlainClient("", "ann@example.test", "secret"))
		},
		func() (*gosmtp.Client, error) {
			return loggedIn(gosmtp.DialTLS(submissions, clientTLS()))(sasl.NewLoginClient("ann@example.test", "secret"))
		},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c, err := dial()
			must(t, err)
			defer c.Close()
			must(t, c.Mail("ann@example.test", &gosmtp.MailOptions{Size: int64(len(body)), Body: gosmtp.Body8BitMIME, UTF8: true}))
			must(t, c.Rcpt("bob@example.test", nil))
			if err := c.Rcpt("nobody@example.test", nil); err == nil || err.(*gosmtp.SMTPError).EnhancedCode != (gosmtp.EnhancedCode{5, 1, 1}) {
				t.Errorf("unknown recipient: %v", err)
			}
			w, err := c.Data()
			must(t, err)
			_, err = io.WriteString(w, body)
			must(t, err)
			must(t, w.Close())
			must(t, c.Quit())
			got := h.inbox(t, h.bob)
			if len(got) != i+1 || !strings.HasSuffix(got[i], body) {
				t.Errorf("stored %d messages, or not as sent", len(got))
			}
		})
	}
}

// loggedIn authenticates a connection that was just made.
func loggedIn(c *gosmtp.Client, err error) func(sasl.Client) (*gosmtp.Client, error) {
	return func(s sasl.Client) (*gosmtp.Client, error) {
		if err != nil {
			return nil, err
		}
		return c, c.Auth(s)
	}
}

// TestScram runs the exchanges of RFC 5802 with a client that others wrote; the
// last challenge is answered by an empty line (RFC 4954 section 4).
func TestScram(t *testing.T) {
	h := newHouse(t)
	o := h.options(Submission)
	o.CleartextAuth = true
	address, _ := listen(t, o, false)
	for mechanism, hash := range map[string]scram.HashGeneratorFcn{"SCRAM-SHA-256": scram.SHA256, "SCRAM-SHA-1": scram.SHA1} {
		for _, initial := range []bool{true, false} {
			client, err := hash.NewClient("ann@example.test", "secret", "")
			must(t, err)
			talk := client.NewConversation()
			first, err := talk.Step("")
			must(t, err)
			c := dial(t, address).hello()
			var challenge string
			if initial {
				challenge = c.say("AUTH "+mechanism+" "+encode(first), "334 ")
			} else {
				c.say("AUTH "+mechanism, "334 ")
				challenge = c.say(encode(first), "334 ")
			}
			final, err := talk.Step(decode(t, challenge))
			must(t, err)
			last, err := talk.Step(decode(t, c.say(encode(final), "334 ")))
			must(t, err)
			if !talk.Valid() || last != "" {
				t.Errorf("%s: the server did not prove that it knows the password", mechanism)
			}
			c.say("", "235 2.7.0")
		}
	}
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func decode(t *testing.T, reply string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(reply[len("334 "):])
	must(t, err)
	return string(b)
}
