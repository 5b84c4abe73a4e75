package imap

import (
	"fmt"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// pictureOf makes a picture of mailboxes by name, numbered from 1 on; "" is none.
func pictureOf(names ...string) *picture {
	p := &picture{boxes: map[mailbox.ID]mailbox.Info{}, subscribed: map[string]bool{}}
	for i, name := range names {
		if name != "" {
			p.boxes[mailbox.ID(i+1)] = mailbox.Info{ID: mailbox.ID(i + 1), Name: name, Rights: mailbox.AllRights}
		}
	}
	return p
}

// TestNameChanges decides which names are told of (RFC 5465 section 5.4).
func TestNameChanges(t *testing.T) {
	tests := []struct{ before, after, want string }{
		{"A", "A", ""}, {"A", "A B", "B"}, {"A", "A A/B", "A A/B"}, {"A A/B", "A", "A A/B"}, {"A A/B A/B/C", "A", "A A/B A/B/C"},
		{"A", "B", "B=A"}, {"A A/B", "C C/B", "C=A"}, {"A A/B", "A C", "C=A/B"}, {"A A/B A/B/C", "A X X/C", "X=A/B"},
		{"A A/B A/B/C", "X X/Y X/Y/C", "X=A X/Y=A/B"}, {"A/B", "C/B", "C/B=A/B"}, {"A", "- A", "A"}, {"A B", "B A", "A=B B=A"},
	}
	for _, test := range tests {
		split := func(text string) *picture {
			names := strings.Fields(text)
			for i := range names {
				names[i] = strings.TrimPrefix(names[i], "-")
			}
			return pictureOf(names...)
		}
		var got []string
		for _, c := range nameChanges(split(test.before), split(test.after)) {
			if c.old != "" {
				c.name += "=" + c.old
			}
			got = append(got, c.name)
		}
		if have := strings.Join(got, " "); have != test.want {
			t.Errorf("%s to %s: %s, want %s", test.before, test.after, have, test.want)
		}
	}
}

// TestStatusOfChange decides what is told of a mailbox that is not selected (RFC 5465
// sections 5.1 to 5.3).
func TestStatusOfChange(t *testing.T) {
	before := mailbox.Info{UIDValidity: 7, UIDNext: 5, Messages: 4, Unseen: 2, HighestModSeq: 10}
	came, went, seen, flagged, renewed := before, before, before, before, before
	came.UIDNext, came.Messages, came.HighestModSeq = 6, 5, 11
	went.Messages, went.HighestModSeq = 3, 11
	seen.Unseen, seen.HighestModSeq = 1, 11
	flagged.HighestModSeq = 11
	renewed.UIDValidity = 8
	const messages = notifyNew | notifyExpunge
	tests := []struct {
		name      string
		events    notifyEvent
		now       mailbox.Info
		condstore bool
		want      string
	}{
		{"nothing", notifyMessages, before, true, ""},
		{"came", messages, came, false, "MUv"}, {"came", messages, came, true, "MUvh"}, {"came unasked", notifyName, came, true, ""},
		{"went", messages, went, false, "MUv"}, {"seen unasked", messages, seen, true, ""},
		{"seen", notifyMessages, seen, false, "vu"}, {"seen", notifyMessages, seen, true, "vhu"},
		{"flagged", notifyMessages, flagged, false, ""}, {"flagged", notifyMessages, flagged, true, "vh"},
		{"renewed", notifyMessages, renewed, false, "v"},
	}
	for _, test := range tests {
		got := ""
		if o := statusOfChange(test.events, &before, &test.now, test.condstore); o != nil {
			for _, item := range []struct {
				on   bool
				name string
			}{{o.NumMessages, "M"}, {o.UIDNext, "U"}, {o.UIDValidity, "v"}, {o.HighestModSeq, "h"}, {o.NumUnseen, "u"}} {
				if item.on {
					got += item.name
				}
			}
		}
		if got != test.want {
			t.Errorf("%s, CONDSTORE %v: %q, want %q", test.name, test.condstore, got, test.want)
		}
	}
}

// TestNotifyOverflow has an account grow to more mailboxes than are watched (RFC 5465
// section 5.8): the client is told, and then of nothing more.
func TestNotifyOverflow(t *testing.T) {
	ts := newTestServer(t)
	c := ts.connect(t).login()
	c.send("a NOTIFY SET (SELECTED (MessageNew MessageExpunge)) (PERSONAL (MailboxName))\r\n")
	c.expect("a OK")
	for n := range maxNotified {
		if _, err := ts.store.Create(t.Context(), ts.account, fmt.Sprintf("many%04d", n), goimap.MailboxAttr("")); err != nil {
			t.Fatal(err)
		}
	}
	c.expect("* OK [NOTIFICATIONOVERFLOW]")
	c.send("b NOTIFY SET (PERSONAL (MailboxName))\r\n")
	if line := c.expect("b "); !strings.HasPrefix(line, "b NO [NOTIFICATIONOVERFLOW]") {
		t.Error(line)
	}
}
