package mailbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// annotate sets annotations of a mailbox of a.
func annotate(t *testing.T, s *Store, a AccountID, name string, list ...Annotation) {
	t.Helper()
	if err := tryAnnotate(t, s, a, name, list...); err != nil {
		t.Fatal(err)
	}
}

func tryAnnotate(t *testing.T, s *Store, a AccountID, name string, list ...Annotation) error {
	t.Helper()
	return s.Annotate(t.Context(), a, boxID(t, s, a, name), list)
}

// boxID is the id of a mailbox of a; "" is the server.
func boxID(t *testing.T, s *Store, a AccountID, name string) ID {
	t.Helper()
	if name == "" {
		return ServerAnnotations
	}
	info, err := s.Mailbox(a, name)
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

// annotationsOf writes what reader sees of a mailbox of a as NAME=VALUE.
func annotationsOf(t *testing.T, s *Store, reader, a AccountID, name string) string {
	t.Helper()
	set := s.Annotations(reader, boxID(t, s, a, name))
	var list []string
	for _, n := range set.Names() {
		value, _ := set.Get(n)
		list = append(list, n+"="+value)
	}
	return strings.Join(list, " ")
}

func note(name, value string) Annotation { return Annotation{Name: name, Value: []byte(value)} }

// TestAnnotations: they stay through restarts, a rename, and what a crash leaves;
// private ones are of one account, shared ones of all who may read them.
func TestAnnotations(t *testing.T) {
	s := newStore(t)
	a, b := newAccount(t, s), newAccount(t, s)
	annotate(t, s, a, "Archive", note("/private/comment", "mine"), note("/shared/comment", "ours\x00\xff"), note("/shared/empty", ""))
	annotate(t, s, a, "", note("/private/vendor/x/y", "of the server"))
	if err := s.Annotate(t.Context(), b, boxID(t, s, a, "Archive"), []Annotation{note("/private/comment", "of b")}); err != nil {
		t.Fatal(err)
	}
	annotate(t, s, a, "Archive", note("/shared/gone", "x"))
	annotate(t, s, a, "Archive", Annotation{Name: "/shared/gone"}, Annotation{Name: "/shared/never"})
	if err := s.Rename(t.Context(), a, "Archive", "Old"); err != nil {
		t.Fatal(err)
	}
	expect := func(s *Store) {
		t.Helper()
		for _, c := range []struct {
			reader AccountID
			name   string
			want   string
		}{
			{a, "Old", `/private/comment=mine /private/specialuse=\Archive /shared/comment=ours` + "\x00\xff /shared/empty="},
			{b, "Old", "/private/comment=of b /shared/comment=ours\x00\xff /shared/empty="},
			{a, "", "/private/vendor/x/y=of the server"}, {b, "", ""}, {a, "INBOX", ""},
		} {
			if got := annotationsOf(t, s, c.reader, a, c.name); got != c.want {
				t.Errorf("%d sees of %q %q, want %q", c.reader, c.name, got, c.want)
			}
		}
	}
	expect(s)
	expect(crash(t, s))
	s = reopen(t, s)
	expect(s)
	if err := s.Delete(t.Context(), a, "Old"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), a, "Old", ""); err != nil {
		t.Fatal(err)
	}
	if got := annotationsOf(t, s, a, a, "Old"); got != "" {
		t.Errorf("a new mailbox has %q of the one before", got)
	}
}

// TestAnnotationsAreRestored: with a mailbox, and with an account; of accounts that
// are not there any more nothing comes back.
func TestAnnotationsAreRestored(t *testing.T) {
	s := newStore(t)
	a, b := newAccount(t, s), newAccount(t, s)
	large := strings.Repeat("x", MaxAnnotation)
	for i := range 10 { // more than one record takes
		annotate(t, s, a, "Junk", note(fmt.Sprint("/private/", i), large))
	}
	if err := s.Annotate(t.Context(), b, boxID(t, s, a, "Junk"), []Annotation{note("/private/0", "of b")}); err != nil {
		t.Fatal(err)
	}
	annotate(t, s, a, "INBOX", note("/shared/comment", "INBOX"))
	annotate(t, s, a, "", note("/private/x", "server"))
	want := annotationsOf(t, s, a, a, "Junk")
	if err := s.Delete(t.Context(), a, "Junk"); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if r, err := s.RestoreMailbox(t.Context(), a, "Junk"); err != nil || r.Mailbox != "Junk" {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := annotationsOf(t, s, a, a, "Junk"); got != want {
		t.Errorf("%d octets of annotations, want %d", len(got), len(want))
	}
	if got := annotationsOf(t, s, b, a, "Junk"); got != "/private/0=of b" {
		t.Errorf("the other account sees %q", got)
	}
	if err := errors.Join(s.DeleteAccount(t.Context(), b), s.DeleteAccount(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RestoreAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if got := annotationsOf(t, s, a, a, "INBOX"); got != "/shared/comment=INBOX" {
		t.Errorf("INBOX has %q", got)
	}
	if got := annotationsOf(t, s, a, a, ""); got != "" {
		t.Errorf("of the server there is %q", got)
	}
	if got := annotationsOf(t, s, a, a, "Junk"); got != want {
		t.Errorf("%d octets of annotations, want %d", len(got), len(want))
	}
	if got := annotationsOf(t, s, b, a, "Junk"); got != "" {
		t.Errorf("of an account that is gone there is %q", got)
	}
	if err := errors.Join(s.DeleteAccount(t.Context(), a), s.PurgeAccount(t.Context(), a)); err != nil {
		t.Fatal(err)
	}
	commit(t, s)
	for id := range ID(100) {
		if list, err := s.disk.annotationsOf(id); len(list) > 0 || err != nil {
			t.Errorf("mailbox %d has %v, %v", id, list, err)
		}
	}
}

// TestAnnotationLimits: what is too much is refused whole, and less is always possible.
func TestAnnotationLimits(t *testing.T) {
	s := newStore(t)
	a, b := newAccount(t, s), newAccount(t, s)
	for _, c := range []struct {
		reader AccountID
		id     ID
		note   Annotation
		err    error
	}{
		{a, ServerAnnotations, note("/shared/comment", "x"), ErrAnnotationName},
		{a, boxID(t, s, a, "INBOX"), note("/comment", "x"), ErrAnnotationName},
		{a, boxID(t, s, a, "INBOX"), note("/private/comment", strings.Repeat("x", MaxAnnotation+1)), ErrAnnotationSize},
		{a, boxID(t, s, a, "INBOX"), note("/private/"+strings.Repeat("x", MaxAnnotationName), ""), ErrLimit},
		{a, 1000, note("/private/comment", "x"), ErrGone},
		{1000, boxID(t, s, a, "INBOX"), note("/private/comment", "x"), ErrNoAccount},
	} {
		if err := s.Annotate(t.Context(), c.reader, c.id, []Annotation{note("/private/first", "x"), c.note}); !errors.Is(err, c.err) {
			t.Errorf("%.40q: %v, want %v", c.note.Name, err, c.err)
		}
	}
	if got := annotationsOf(t, s, a, a, "INBOX"); got != "" {
		t.Errorf("of what was refused there is %q", got)
	}
	var many []Annotation
	for i := range maxAnnotationsHere {
		many = append(many, note(fmt.Sprintf("/private/%d", i), "x"))
	}
	annotate(t, s, a, "INBOX", many...)
	if err := tryAnnotate(t, s, a, "INBOX", note("/private/more", "x")); !errors.Is(err, ErrAnnotations) {
		t.Errorf("one more: %v", err)
	}
	annotate(t, s, a, "INBOX", note("/private/0", "y"), note("/shared/0", "x"))
	annotate(t, s, a, "INBOX", Annotation{Name: "/private/1"}, note("/private/more", "x"))
	if err := s.Annotate(t.Context(), b, boxID(t, s, a, "INBOX"), []Annotation{note("/private/0", "x")}); err != nil {
		t.Errorf("another account's own: %v", err)
	}
	large := strings.Repeat("x", MaxAnnotation)
	var err error
	for i := 0; err == nil && i < 2*maxAnnotationBytes/MaxAnnotation; i++ {
		err = tryAnnotate(t, s, a, "Sent", note(fmt.Sprint("/shared/", i), large))
	}
	if !errors.Is(err, ErrAnnotations) {
		t.Errorf("too many octets: %v", err)
	}
	annotate(t, s, a, "Sent", note("/shared/0", "less"))
}

// TestSpecialUseAnnotation: it is the special use, and moves it (RFC 6154 section 5.4).
func TestSpecialUseAnnotation(t *testing.T) {
	s := newStore(t)
	a, b := newAccount(t, s), newAccount(t, s)
	if _, err := s.Create(t.Context(), a, "Papierkorb", ""); err != nil {
		t.Fatal(err)
	}
	before := s.Annotations(a, boxID(t, s, a, "Trash"))
	annotate(t, s, a, "Papierkorb", note(SpecialUseAnnotation, `\trash`), note("/private/comment", "x"))
	if changed := before.Changed(s.Annotations(a, boxID(t, s, a, "Trash"))); !slices.Equal(changed, []string{SpecialUseAnnotation}) {
		t.Errorf("changed is %q", changed)
	}
	s = reopen(t, s)
	if info, err := s.SpecialUse(a, goimap.MailboxAttrTrash); err != nil || info.Name != "Papierkorb" {
		t.Errorf("%+v, %v", info, err)
	}
	for _, value := range []string{`\All`, `\Trash \Sent`, "Trash", " "} {
		if err := tryAnnotate(t, s, a, "Sent", note("/private/comment", "x"), note(SpecialUseAnnotation, value)); !errors.Is(err, ErrSpecialUse) {
			t.Errorf("%q: %v", value, err)
		}
	}
	if err := tryAnnotate(t, s, a, "INBOX", note(SpecialUseAnnotation, `\Junk`)); !errors.Is(err, ErrSpecialUse) {
		t.Errorf("INBOX: %v", err)
	}
	if err := s.Annotate(t.Context(), b, boxID(t, s, a, "Sent"), []Annotation{{Name: SpecialUseAnnotation}}); !errors.Is(err, ErrSpecialUse) {
		t.Errorf("another account: %v", err)
	}
	annotate(t, s, a, "Papierkorb", Annotation{Name: SpecialUseAnnotation})
	annotate(t, s, a, "Sent", note(SpecialUseAnnotation, ""))
	for _, use := range []goimap.MailboxAttr{goimap.MailboxAttrTrash, goimap.MailboxAttrSent} {
		if _, err := s.SpecialUse(a, use); !errors.Is(err, ErrNoMailbox) {
			t.Errorf("%s: %v", use, err)
		}
	}
	if got := annotationsOf(t, s, a, a, "Papierkorb"); got != "/private/comment=x" {
		t.Error(got)
	}
}

// TestRenamedInboxKeepsItsAnnotations, and so has the new mailbox (RFC 5464 section 4.1).
func TestRenamedInboxKeepsItsAnnotations(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	annotate(t, s, a, "INBOX", note("/private/comment", "x"), note("/shared/comment", "y"))
	deliver(t, s, a, "INBOX", letter(1))
	if err := s.Rename(t.Context(), a, "INBOX", "Moved/here"); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	for _, name := range []string{"INBOX", "Moved/here"} {
		if got := annotationsOf(t, s, a, a, name); got != "/private/comment=x /shared/comment=y" {
			t.Errorf("%s has %q", name, got)
		}
	}
}
