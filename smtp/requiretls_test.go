package smtp

import (
	"crypto/tls"
	"net/textproto"
	"testing"
	"time"

	"mailstead/smtp/queue"
)

// TestTLSDemand: what the sender wants of connections goes into the queue with the message
// (RFC 8689 section 4.1), also where an alias leads elsewhere.
func TestTLSDemand(t *testing.T) {
	h := newHouse(t)
	address, _ := listen(t, h.options(Receiver), true)
	for name, tt := range map[string]struct {
		params, header string
		want           queue.TLSDemand
	}{
		"nothing said":                        {"", "", ""},
		"REQUIRETLS":                          {" REQUIRETLS", "", queue.TLSRequired},
		"TLS-Required: No":                    {"", "TLS-Required: No\r\n", queue.TLSOptional},
		"in any case, folded":                 {"", "tls-required:\r\n no\r\n", queue.TLSOptional},
		"the parameter goes before the field": {" requiretls", "TLS-Required: No\r\n", queue.TLSRequired},
		"another value":                       {"", "TLS-Required: Yes\r\n", ""},
		"the field twice":                     {"", "TLS-Required: No\r\nTLS-Required: No\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", address, clientTLS())
			must(t, err)
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			c := &client{t, conn, textproto.NewConn(conn)}
			c.hello()
			c.say("MAIL FROM:<x@b.example>"+tt.params, "250")
			c.say("RCPT TO:<team@example.test>", "250")
			c.say("DATA", "354")
			c.say("Subject: x\r\n"+tt.header+"\r\nTLS-Required: No\r\n.", "250")
			if all := h.queue.all(); len(all) == 0 || all[len(all)-1].TLS != tt.want {
				t.Errorf("queued %+v", all)
			}
		})
	}
}
