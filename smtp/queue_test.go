package smtp

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox/directory"
	"mailstead/smtp/local"
	"mailstead/smtp/queue"
)

// world is a courier to elsewhere that refuses one address.
type world struct {
	t    *testing.T
	seen chan string
}

func (w world) Deliver(_ context.Context, _ string, m queue.Message) []queue.Outcome {
	r, err := m.Open()
	if err != nil {
		w.t.Error(err)
		return nil
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		w.t.Error(err)
	}
	outcomes := make([]queue.Outcome, len(m.Recipients))
	for i, to := range m.Recipients {
		outcomes[i] = queue.Outcome{Recipient: to, Status: queue.Delivered}
		if to == "gone@elsewhere.example" {
			outcomes[i] = queue.Outcome{Recipient: to, Status: queue.Permanent, Code: 550, Enhanced: "5.1.1", Text: "No such user"}
		}
	}
	w.seen <- string(text)
	return outcomes
}

// TestSubmittedAndSent goes the whole way with the real queue: a user's message
// to here and elsewhere, and the notice about a recipient that is not there.
func TestSubmittedAndSent(t *testing.T) {
	h := newHouse(t)
	w := world{t, make(chan string, 10)}
	q, err := queue.Open(h.store, queue.Options{Remote: w, Local: h.courier, IsLocal: h.directory.IsLocal, Hostname: "mx.example.test"})
	must(t, err)
	h.courier.UseQueue(q)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	go func() { q.Run(ctx); close(stopped) }()
	defer func() { cancel(); <-stopped }()

	arrived := make(chan struct{}, 1)
	defer h.store.WatchAccount(h.ann, arrived)()
	o := h.options(Submission)
	o.CleartextAuth = true
	address, _ := listen(t, o, false)
	message := "From: ann@example.test\r\nBcc: bob@example.test\r\nSubject: to many\r\n\r\n.hello\r\n"
	dial(t, address).login().send("ann@example.test", []string{"bob@example.test", "x@elsewhere.example", "gone@elsewhere.example"},
		strings.ReplaceAll(message, "\r\n.", "\r\n.."), "250")
	if got := h.inbox(t, h.bob); len(got) != 1 || !strings.HasSuffix(got[0], "\r\n\r\n.hello\r\n") {
		t.Errorf("bob has %q", got)
	}
	sent := <-w.seen
	if !strings.HasPrefix(sent, "Received: ") || strings.Contains(sent, "Bcc") || strings.Contains(sent, "127.0.0.1") || !strings.HasSuffix(sent, "\r\n\r\n.hello\r\n") {
		t.Errorf("sent %q", sent)
	}
	select {
	case <-arrived:
	case <-time.After(time.Minute):
		t.Fatal("no notice")
	}
	notice := h.inbox(t, h.ann)
	if len(notice) != 1 || !strings.HasPrefix(notice[0], "Return-Path: <>\r\n") || !strings.Contains(notice[0], "gone@elsewhere.example") {
		t.Errorf("ann has %q", notice)
	}
}

var (
	_ Directory   = (*directory.Directory)(nil)
	_ local.Queue = (*queue.Queue)(nil)
	_ Acceptor    = (*local.Courier)(nil)
)
