package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/smtp/journal"
)

// TestJournalOfAttempts: what becomes of a message on its way is told step by
// step, with what the other server said and when it is tried again.
func TestJournalOfAttempts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		j := journal.Open(dir, journal.Options{})
		defer j.Close()
		o := newOffice(t, func(o *Options) { o.Journal = j })
		o.remote.answer("bob@far.test", busy, done)
		unknown := unknown
		unknown.Security = Security{Policy: "tlsa", Words: "DANE: the certificate is right"}
		unsafe := Outcome{Enhanced: "4.7.5", Text: "DANE demands it", Security: Security{Policy: "tlsa", Result: "certificate-expired", Words: "DANE: its certificate is past its time"}}
		o.remote.answer("bob@unsafe.test", unsafe, done)
		o.remote.answer("eve@far.test", unknown)
		o.remote.answer("kim@far.test", unknown)
		o.remote.answer("old@gone.test", silent)
		o.run()
		o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Transaction: "tx", Recipients: []string{"eve@far.test", "kim@far.test", "bob@far.test", "old@gone.test", "bob@unsafe.test"}})
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		found, lost, err := journal.Stories(dir, journal.Filter{Message: "tx"})
		if err != nil || lost > 0 || len(found) != 1 {
			t.Fatalf("%d stories, %d lost, %v", len(found), lost, err)
		}
		var got []string
		for _, e := range found[0].Steps {
			if e.Queue == "" {
				t.Errorf("a step without an entry: %v", e)
			}
			if e.Step == journal.Deferred && !e.Next.After(e.At) {
				t.Errorf("tried again before: %v", e)
			}
			got = append(got, string(e.Step)+" "+strings.Join(e.To, " "))
		}
		for _, want := range []string{
			"queued eve@far.test kim@far.test bob@far.test", "queued old@gone.test", "failed eve@far.test kim@far.test",
			"deferred bob@far.test", "delivered bob@far.test", "deferred old@gone.test", "failed old@gone.test",
			"notified ann@us.test", "queued ann@us.test", "delivered ann@us.test",
		} {
			if !slices.Contains(got, want) {
				t.Errorf("no step %q in %q", want, got)
			}
		}
		i := slices.IndexFunc(found[0].Steps, func(e journal.Event) bool { return e.Step == journal.Failed && e.To[0] == "eve@far.test" })
		if e := found[0].Steps[i]; e.Reply != "550 5.1.1 no such user" || e.Host != unknown.Host || !e.TLS || e.Attempt != 1 {
			t.Errorf("the refusal is told as %+v", e)
		} else if want := "given up for eve@far.test, kim@far.test after attempt 1, encrypted (DANE: the certificate is right): " + e.Host + " said: 550 5.1.1 no such user"; e.String() != want {
			t.Errorf("in words: %s", e)
		}
		i = slices.IndexFunc(found[0].Steps, func(e journal.Event) bool { return e.Step == journal.Deferred && e.To[0] == "bob@unsafe.test" })
		if e := found[0].Steps[i]; !slices.Equal(e.Found, []string{"tls-policy=tlsa", "tls-result=certificate-expired"}) || !slices.Equal(e.Reasons, []string{unsafe.Security.Words}) {
			t.Errorf("what was found wrong is told as %+v", e)
		}
	})
}

// TestJournalOfRemoval: what an administrator takes out is not gone without a word.
func TestJournalOfRemoval(t *testing.T) {
	dir := t.TempDir()
	j := journal.Open(dir, journal.Options{})
	defer j.Close()
	o := newOffice(t, func(o *Options) { o.Journal = j })
	o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Transaction: "tx", Recipients: []string{"bob@far.test"}})
	if _, err := o.queue.Apply(t.Context(), Selection{}, ActDrop); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, _, err := journal.Stories(dir, journal.Filter{To: "bob@far.test"})
	if err != nil || len(found) != 1 || found[0].ID != "tx" {
		t.Fatalf("%v, %v", found, err)
	}
	if steps := found[0].Steps; steps[len(steps)-1].Step != journal.Removed {
		t.Errorf("steps %v", steps)
	}
}

// TestJournalOfConversations: what a courier tells of an attempt is kept beside its step, and read only by who asks for it.
func TestJournalOfConversations(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		dir := t.TempDir()
		j := journal.Open(dir, journal.Options{})
		defer j.Close()
		o := newOffice(t, func(o *Options) { o.Journal = j })
		o.remote.answer("bob@far.test", busy, done)
		o.remote.say = []string{"> EHLO us.test", "< 250 far.test", "* it is done"}
		o.run()
		o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Transaction: "tx", Recipients: []string{"bob@far.test", "eve@far.test"}})
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, said := range []bool{true, false} {
			found, _, err := journal.Stories(dir, journal.Filter{Message: "tx", Said: said})
			if err != nil || len(found) != 1 {
				t.Fatalf("%d stories, %v", len(found), err)
			}
			var got []string
			for _, e := range found[0].Steps {
				got = append(got, fmt.Sprintf("%s %d %s: %d lines", e.Step, e.Attempt, e.To, len(e.Said)))
			}
			want := []string{
				"queued 0 [bob@far.test eve@far.test]: 0 lines", "talked 1 [bob@far.test eve@far.test]: 3 lines", "deferred 1 [bob@far.test]: 0 lines",
				"delivered 1 [eve@far.test]: 0 lines", "talked 2 [bob@far.test]: 3 lines", "delivered 2 [bob@far.test]: 0 lines",
			}
			if !said {
				want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "talked") })
			}
			slices.Sort(got) // here much is of one moment
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("steps %q, want %q", got, want)
			}
		}
	})
}
