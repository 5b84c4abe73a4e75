package imap

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// searchArguments parses the arguments of SEARCH.
func searchArguments(t testing.TB, text string) (*searchProgram, error) {
	t.Helper()
	d := wire.NewDecoder(strings.NewReader(" "+text+"\r\n"), wire.Limits{}, wire.Hooks{})
	if err := d.Next(); err != nil {
		return nil, err
	}
	prog, err := parseSearch(d)
	if err == nil && d.Next() == nil {
		err = errors.New("more than one command")
	}
	return prog, err
}

// describe shows a key as a call.
func (k *searchKey) describe() string {
	names := map[keyKind]string{
		keyAll: "all", keyNever: "never", keyRecent: "recent", keyLarger: "larger", keySmaller: "smaller", keyModSeq: "modseq",
		keyBefore: "before", keyOn: "on", keySince: "since", keySentBefore: "sentbefore", keySentOn: "senton", keySentSince: "sentsince",
		keyBody: "body", keyText: "text", keyAnd: "and", keyOr: "or", keyNot: "not",
	}
	name := names[k.kind]
	switch k.kind {
	case keyAnd, keyOr, keyNot:
		var kids []string
		for i := range k.kids {
			kids = append(kids, k.kids[i].describe())
		}
		return name + "(" + strings.Join(kids, " ") + ")"
	case keyFlag:
		return string(k.flag)
	case keySet:
		if k.numbers == nil {
			return "saved"
		}
		if _, ok := k.numbers.(goimap.UIDSet); ok {
			return "uid:" + k.numbers.String()
		}
		return k.numbers.String()
	case keyHeader:
		return fmt.Sprintf("%s:%s", k.field, k.needle)
	case keyBody, keyText:
		return fmt.Sprintf("%s:%s", name, k.needle)
	case keyBefore, keyOn, keySince, keySentBefore, keySentOn, keySentSince:
		return name + ":" + time.Unix(k.number*secondsPerDay, 0).UTC().Format(time.DateOnly)
	case keyLarger, keySmaller, keyModSeq:
		return name + ":" + strconv.FormatInt(k.number, 10)
	}
	return name
}

// TestSearchPrograms parses trees of keys; "" is an error.
func TestSearchPrograms(t *testing.T) {
	repeat := strings.Repeat
	tests := []struct{ in, want string }{
		{"ALL", "and(all)"},
		{"new old", `and(and(recent not(\Seen)) not(recent))`},
		{"$ UID $ RECENT", "and(saved saved recent)"},
		{"SEEN UNSEEN KEYWORD $x UNKEYWORD y", `and(\Seen not(\Seen) $x not(y))`},
		{"NOT DELETED", `and(not(\Deleted))`},
		{"NOT NOT DELETED", `and(\Deleted)`},
		{"NOT NOT NOT (DELETED 1)", `and(not(and(\Deleted 1)))`},
		{"OR SEEN 1:3", `and(or(\Seen 1:3))`},
		{"OR OR SEEN 1 2", `and(or(\Seen 1 2))`},
		{"OR SEEN OR 1 2 DRAFT", `and(or(\Seen 1 2) \Draft)`},
		{"OR OR 1 2 OR 3 4 5", `and(or(1 2 3 4) 5)`},
		{"OR (SEEN 1) NOT OR 2 3 4", `and(or(and(\Seen 1) not(or(2 3))) 4)`},
		{"(1 (2 (3)))", `and(and(1 and(2 and(3))))`},
		{"UID 5:* 3,1", `and(uid:5:* 1,3)`},
		{"*:4", `and(4:*)`},
		{"FROM Ann cc \"b C\" BCC {2+}\r\nxy", `and(From:ANN Cc:B C Bcc:XY)`},
		{"HEADER X-y \"\" HEADER \"\" z", `and(X-y: never)`},
		{"BODY \"Äß\" TEXT \"\"", "and(body:A\u0308ß all)"},
		{"ON 1-Feb-2020 SINCE \"31-jan-1969\"", "and(on:2020-02-01 since:1969-01-31)"},
		{"SENTBEFORE 01-Mar-2020 SENTON 1-Mar-2020 SENTSINCE 1-Mar-2020", "and(sentbefore:2020-03-01 senton:2020-03-01 sentsince:2020-03-01)"},
		{"LARGER 18446744073709551615 SMALLER 0", "and(larger:9223372036854775807 smaller:0)"},
		{"MODSEQ \"/flags/\\\\Draft\" priv 7", "and(modseq:7)"},
		{"CHARSET utf-8 ALL", "and(all)"},
		{"RETURN () CHARSET \"US-ASCII\" ALL", "and(all)"},
		{"OR " + repeat("OR ", 497) + repeat("1 ", 498) + "1", "and(or(" + repeat("1 ", 498) + "1))"},
		{repeat("(", 50) + "1" + repeat(")", 50), repeat("and(", 51) + "1" + repeat(")", 51)},

		{"", ""}, {"()", ""}, {"(1", ""}, {"1)", ""}, {"NOT", ""}, {"OR 1", ""}, {"1  2", ""}, {"NOSUCH", ""}, {"FROM", ""}, {"HEADER x", ""},
		{"KEYWORD \\Seen", ""}, {"KEYWORD (x)", ""}, {"UID", ""}, {"UID x", ""}, {"0", ""}, {"1:", ""}, {"$:1", ""}, {"OLDER 0", ""}, {"SAVEDON x", ""}, {"RETURN (PARTIAL 1:*) ALL", ""}, {"ON 31-Feb-2020", ""},
		{"ON 1-Foo-2020", ""}, {"LARGER -1", ""}, {"LARGER x", ""}, {"MODSEQ x", ""}, {"MODSEQ 9223372036854775808", ""}, {"MODSEQ \"x\" 7", ""},
		{"MODSEQ \"x\" any 7", ""}, {"RETURN ALL", ""}, {"RETURN (SAVE, ALL) 1", ""}, {"RETURN (ALL)", ""}, {"CHARSET", ""}, {"CHARSET UTF-8", ""},
		{"CHARSET KOI8-R ALL", ""}, {"BODY \"\xff\"", ""}, {"ALL RETURN ()", ""}, {"ALL CHARSET UTF-8", ""},
		{repeat("1 ", 1000) + "1", ""}, {repeat("NOT ", 1000) + "1", ""}, {repeat("OR ", 600) + repeat("1 ", 600) + "1", ""},
		{repeat("(", 51) + "1" + repeat(")", 51), ""}, {repeat("NOT OR 1 ", 60) + "1", ""}, {repeat("BODY x ", 50) + "TEXT y", ""},
	}
	for _, tt := range tests {
		prog, err := searchArguments(t, tt.in)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%.80s: parsed as %.80s, want an error", tt.in, prog.key.describe())
			}
			continue
		}
		if err != nil {
			t.Errorf("%.80s: %v", tt.in, err)
		} else if got := prog.key.describe(); got != tt.want {
			t.Errorf("%.80s: %s, want %s", tt.in, got, tt.want)
		}
	}
}

// FuzzSearchProgram parses arbitrary arguments, and runs what is accepted.
func FuzzSearchProgram(f *testing.F) {
	for _, seed := range []string{
		"RETURN (MIN MAX COUNT ALL) CHARSET UTF-8 OR FROM a (NOT SUBJECT {2+}\r\nxy 1:3,5:*) UID 4 NEW",
		"RETURN (SAVE PARTIAL -1:-10 COUNT) OR $ NOT UID $ YOUNGER 100 SAVEDSINCE 1-Feb-2020",
		"OR OR SINCE 1-Feb-2020 SENTON \"01-Mar-2021\" LARGER 5 HEADER Message-ID <a@b> KEYWORD $x",
		"MODSEQ \"/flags/\\\\draft\" all 7 BODY \"\xc3\xa4\" TEXT apple NOT NOT OLD UNKEYWORD y",
	} {
		f.Add(seed)
	}
	store, account := directStore(f, f.TempDir(), 0)
	for _, raw := range searchMessages {
		deliver(f, store, account, []byte(raw), mailbox.Target{})
	}
	s := newDirectSession(f, store, account)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := searchArguments(t, text); err != nil {
			return
		}
		out, _, err := s.run(t, "SEARCH "+text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !strings.HasSuffix(string(out), "\r\n") || !strings.Contains(string(out), "SEARCH") {
			t.Fatalf("%q: %q", text, out)
		}
	})
}

// searchMessages have something for each leaf of TestSearchTrees. The header of the last
// is too long to be stored whole.
var searchMessages = []string{
	"From: ann@x.example\r\nSubject: apple\r\nDate: Mon, 6 Jul 2020 10:00:00 +0200\r\n\r\npear\r\n",
	"From: bert@x.example\r\nSubject: =?utf-8?q?Br=C3=B6tchen?=\r\nX-Tag: red\r\n\r\napple\r\n",
	"From: ann@y.example\r\nTo: bert@x.example\r\nSubject: pear\r\nDate: Tue, 7 Jul 2020 10:00:00 +0200\r\n\r\nBr\xc3\xb6tchen\r\n",
	"Subject: apple pear\r\n\tred\r\n\r\n" + strings.Repeat("long ", 1000),
	"X-Tag: blue\r\nX-Pad: " + strings.Repeat("pad ", 1000) + "\r\nFrom: cecil@x.example\r\nSubject: none\r\nDate: Wed, 8 Jul 2020 10:00:00 +0200\r\n\r\npear apple\r\n",
}

// TestSearchTrees holds searches of random trees against what follows from their leaves,
// each searched alone: whatever order and closeness messages are looked at in.
func TestSearchTrees(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	for i := range 300 {
		target := mailbox.Target{Date: time.Date(2020, 1, 1+i%20, 0, 0, 0, 0, time.UTC)}
		if i%3 == 0 {
			target.Flags = []goimap.Flag{goimap.FlagSeen}
		}
		deliver(t, store, account, []byte(searchMessages[i%7%len(searchMessages)]), target)
	}
	s := newDirectSession(t, store, account)
	search := func(keys string) []string {
		return strings.Fields(string(s.say(t, "SEARCH "+keys)))[2:]
	}
	leaves := []string{
		"SEEN", "UNSEEN", "LARGER 100", "2:50", "UID 200:*", "SINCE 10-Jan-2020", "SENTSINCE 7-Jul-2020", "FROM ann", "SUBJECT pear",
		"HEADER X-Tag red", "HEADER X-Tag \"\"", "BODY apple", "TEXT apple", "TEXT \"br\xc3\xb6t\"", "KEYWORD none", "ALL",
	}
	sets := make(map[string][]string)
	all := search("ALL")
	for _, leaf := range leaves {
		sets[leaf] = search(leaf)
		if n := len(sets[leaf]); n == 0 && leaf != "KEYWORD none" || n == len(all) && leaf != "ALL" {
			t.Errorf("%s finds %d of %d: it tests nothing", leaf, n, len(all))
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	var tree func(depth int) (keys string, has func(string) bool)
	tree = func(depth int) (string, func(string) bool) {
		if depth == 0 || rng.IntN(4) == 0 {
			leaf := leaves[rng.IntN(len(leaves))]
			return leaf, func(n string) bool { return slices.Contains(sets[leaf], n) }
		}
		a, inA := tree(depth - 1)
		b, inB := tree(depth - 1)
		switch rng.IntN(3) {
		case 0:
			return "OR " + a + " " + b, func(n string) bool { return inA(n) || inB(n) }
		case 1:
			return "NOT " + a, func(n string) bool { return !inA(n) }
		}
		return "(" + a + " " + b + ")", func(n string) bool { return inA(n) && inB(n) }
	}
	for range 200 {
		keys, has := tree(4)
		var want []string
		for _, n := range all {
			if has(n) {
				want = append(want, n)
			}
		}
		if got := search(keys); !slices.Equal(got, want) {
			t.Errorf("SEARCH %s\nfound    %v\nexpected %v", keys, got, want)
		}
	}
}

// TestSearchTellsThatItGoesOn has a search tell its client when the time has come, and
// end with the session.
func TestSearchTellsThatItGoesOn(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	s := newDirectSession(t, store, account)
	s.out.Reset()
	q := &searching{session: s.session, progress: progress{tag: `a"\`}, total: 200, told: time.Now()}
	if err := q.goesOn(); err != nil || s.out.Len() > 0 {
		t.Errorf("at once: %v, %q", err, s.out.Bytes())
	}
	for _, step := range []struct {
		done uint32
		want string
	}{{0, "NIL NIL"}, {100, "100 200"}, {100, "NIL NIL"}, {101, "101 200"}, {200, "NIL NIL"}} {
		q.told, q.done = q.told.Add(-searchNotice), step.done
		s.out.Reset()
		want := `* OK [INPROGRESS ("a\"\\" ` + step.want + ")] still searching\r\n"
		if err := q.goesOn(); err != nil || s.out.String() != want {
			t.Errorf("later, after %d: %v, %q", step.done, err, s.out.Bytes())
		}
	}
	for _, tag := range []string{"", "a]b"} { // a tag with a bracket is not told (RFC 9585 section 4)
		q.told, q.progress = q.told.Add(-searchNotice), progress{tag: tag}
		s.out.Reset()
		if err := q.goesOn(); err != nil || s.out.String() != "* OK [INPROGRESS (NIL NIL NIL)] still searching\r\n" {
			t.Errorf("tag %q: %v, %q", tag, err, s.out.Bytes())
		}
	}
	ctx, cancel := contextOf(s)
	defer cancel()
	cancel()
	if err := q.goesOn(); err != ctx.Err() {
		t.Errorf("when the session has ended: %v", err)
	}
	deliver(t, store, account, []byte(searchMessages[0]), mailbox.Target{})
	s.selected.view.Update(true)
	if _, _, err := s.run(t, "SEARCH BODY x"); replyTo(err).Code != goimap.ResponseCodeUnavailable {
		t.Errorf("SEARCH in a session that has ended: %v", err)
	}
}

// TestSpansWithin resolves the sets of searches.
func TestSpansWithin(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	s := newDirectSession(t, store, account)
	resolve := func(set string) string {
		d := wire.NewDecoder(strings.NewReader(set+"\r\n"), wire.Limits{}, wire.Hooks{})
		if err := d.Next(); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(s.selected.spansWithin(d.SeqSet()))
	}
	if got := resolve("1:*,5"); got != "[]" {
		t.Errorf("of no messages: %s", got)
	}
	for range 5 {
		deliver(t, store, account, []byte("x"), mailbox.Target{})
	}
	s.selected.view.Update(true)
	for set, want := range map[string]string{
		"1": "[{1 1}]", "*": "[{5 5}]", "3:*": "[{3 5}]", "9:*": "[{5 5}]", "9": "[]", "4:9": "[{4 5}]", "1:2,4:*": "[{1 2} {4 5}]",
		"2:5,9:*": "[{2 5}]", "1:3,*": "[{1 3} {5 5}]", "5,*": "[{5 5}]", "4294967295": "[]", "4294967295:*": "[{5 5}]",
	} {
		if got := resolve(set); got != want {
			t.Errorf("%s: %s, want %s", set, got, want)
		}
	}
}

// TestFoldPlain holds the short way of comparing header values against the long one.
func TestFoldPlain(t *testing.T) {
	e := &examiner{}
	for _, value := range []string{
		"", " ", "plain Text <a@b>", "\t a=b ?= \r\n", "a\r\n b", "=?utf-8?q?=C3=A4?=", "a =?x", "gr\u00fc\u00dfe", "\xff", "a\x00b", "a\rb", "=", "~{}|`@[",
	} {
		long := message.FoldString(message.DecodeHeader([]byte(value)))
		if e.foldPlain(trimSpace([]byte(value))) && !bytes.Equal(e.folded, long) {
			t.Errorf("%q: %q, want %q", value, e.folded, long)
		}
		if !e.contains([]byte(value), long) {
			t.Errorf("%q does not contain %q", value, long)
		}
	}
}

// TestSearchByCounters searches for what the counters of a mailbox say is not there, and
// again when it is.
func TestSearchByCounters(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	for range 3 {
		deliver(t, store, account, []byte("Subject: x\r\n\r\ntext\r\n"), mailbox.Target{})
	}
	s := newDirectSession(t, store, account)
	search := func(keys string, want string) {
		t.Helper()
		if got := string(s.say(t, "SEARCH "+keys)); !strings.Contains(got, "* SEARCH"+want+"\r\n") {
			t.Errorf("SEARCH %s: %q, want%s", keys, got, want)
		}
	}
	s.say(t, "STORE 1:3 FLAGS (\\Seen)")
	for _, keys := range []string{"UNSEEN", "UNSEEN LARGER 1", "DELETED", "OR DELETED UNSEEN", "NOT UNDELETED", "NEW"} {
		search(keys, "")
	}
	search("OR DELETED SEEN", " 1 2 3")
	search("NOT UNSEEN", " 1 2 3")
	search("NOT DELETED", " 1 2 3")
	s.say(t, "STORE 2 FLAGS (\\Deleted)")
	search("UNSEEN LARGER 1", " 2")
	search("DELETED", " 2")
}
