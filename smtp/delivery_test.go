package smtp

import (
	"slices"
	"strings"
	"testing"

	"mailstead/mailbox"
	"mailstead/smtp/local"
)

// TestPlusAddress: through a session a detail files into the mailbox it names,
// one copy for an account by however many addresses, and Delivered-To tells
// the address where it is the only one.
func TestPlusAddress(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"Lists/Go", "News"} {
		_, err := h.store.Create(t.Context(), h.ann, name, "")
		must(t, err)
	}
	address, _ := listen(t, h.options(Receiver), false)
	c := dial(t, address).hello()
	for subject, tc := range map[string]struct {
		to        []string
		in        string
		delivered string
	}{
		"by its name":           {[]string{"ann+News@example.test"}, "News", "ann+News@example.test"},
		"in any case":           {[]string{"Ann+lists/go@example.test"}, "Lists/Go", "Ann+lists/go@example.test"},
		"dots":                  {[]string{"ann+lists.go@example.test"}, "Lists/Go", "ann+lists.go@example.test"},
		"not there":             {[]string{"ann+none@example.test"}, "INBOX", "ann+none@example.test"},
		"Drafts are the user's": {[]string{"ann+drafts@example.test"}, "INBOX", "ann+drafts@example.test"},
		"two details":           {[]string{"ann+none@example.test", "ann+news@example.test"}, "News", ""},
		"detail and plain":      {[]string{"ann+news@example.test", "ann@example.test"}, "INBOX", ""},
		"detail of an alias":    {[]string{"team+news@example.test"}, "INBOX", "team+news@example.test"},
		"twice":                 {[]string{"ann@example.test", "Ann@example.test", "team@example.test"}, "INBOX", ""},
	} {
		c.send("s@b.example", tc.to, "Subject: "+subject+"\r\n\r\nx\r\n", "250")
		var in []string
		for _, name := range h.mailboxes(t, h.ann) {
			for _, m := range h.messages(t, h.ann, name) {
				if !strings.Contains(m, "\r\nSubject: "+subject+"\r\n") {
					continue
				}
				in = append(in, name)
				field := "\r\nDelivered-To: " + tc.delivered + "\r\n"
				if tc.delivered == "" && strings.Contains(m, "Delivered-To") || tc.delivered != "" && strings.Count("\r\n"+m, field) != 1 {
					t.Errorf("%s: Delivered-To is not %q in\n%s", subject, tc.delivered, m)
				}
			}
		}
		if !slices.Equal(in, []string{tc.in}) {
			t.Errorf("%s: copies in %q, want one in %s", subject, in, tc.in)
		}
	}
}

// mailboxes are the names of all mailboxes of an account.
func (h *house) mailboxes(t *testing.T, a mailbox.AccountID) (names []string) {
	t.Helper()
	list, err := h.store.Mailboxes(a)
	must(t, err)
	for _, m := range list {
		names = append(names, m.Name)
	}
	return names
}

// TestRelayedMailIsNotDelivered: what a user sends elsewhere says nothing of a
// delivery here.
func TestRelayedMailIsNotDelivered(t *testing.T) {
	for to, want := range map[string]string{"x@far.example": "", "bob@example.test": "bob@example.test", "team@example.test": "team@example.test"} {
		tx := transaction{}
		h := newHouse(t)
		s := New(h.options(Submission))
		session := &session{server: s.manner.Load()}
		session.account.ID = h.ann
		at := strings.IndexByte(to, '@')
		route, err := session.route(path{local: to[:at], domain: to[at+1:]})
		must(t, err)
		tx.Recipients = append(tx.Recipients, local.Recipient{Address: to, Route: route})
		if got := tx.deliveredTo(); got != want {
			t.Errorf("%s: %q, want %q", to, got, want)
		}
	}
}
