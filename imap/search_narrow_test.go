package imap

import (
	"fmt"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// TestNarrowedSearch proves when the index is asked before a message is looked at, and that
// the numbers of what is found are right then: with messages that others expunged, before
// the session was told, and whichever end the search begins at.
func TestNarrowedSearch(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	s := newDirectSession(t, store, account)
	for i := 1; i <= 300; i++ {
		deliver(t, store, account, fmt.Appendf(nil, "Subject: number %d\r\n\r\nthe rest is %d\r\n", i, i%10), mailbox.Target{})
	}
	if err := store.RebuildSearch(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.selected.view.Update(true)
	s.say(t, "UID STORE 7,17,27 +FLAGS.SILENT (\\Seen)")
	for keys, want := range map[string]int{
		`BODY "rest is 7"`:                                  1,
		`TEXT "rest is 7" BODY "the rest"`:                  2,
		`NOT DELETED SUBJECT number`:                        1,
		`UID 1:200 BODY "rest is 7" LARGER 1`:               0,
		`UID 1:200 BODY "rest is 7" SENTSINCE 1-Jan-2020`:   1,
		`SEEN BODY "rest is 7"`:                             0,
		`UNSEEN BODY "rest is 7"`:                           0,
		`OR BODY "rest is 7" BODY "rest is 8"`:              0,
		`OR BODY "rest" BODY "rest is 8" BODY "rest is 9"`:  1,
		`NOT BODY "rest is 7"`:                              0,
		`FUZZY BODY "rest is 7 of"`:                         0,
		`FUZZY BODY "rest is 7 of" HEADER Subject "number"`: 1,
	} {
		prog, err := searchArguments(t, keys)
		if err != nil {
			t.Fatal(keys, err)
		}
		q := s.newSearching(s.selected, prog, "a")
		if err := q.prepare(); err != nil {
			t.Fatal(keys, err)
		}
		if len(q.must) != want {
			t.Errorf("%s: asks for the texts %v first, want %d", keys, q.must, want)
		}
	}
	if _, err := s.selected.mailbox.Expunge(t.Context(), []goimap.UID{1, 2, 77, 150, 296}, false); err != nil {
		t.Fatal(err)
	}
	for keys, want := range map[string]string{
		`SEARCH SUBJECT "number 29"`:                       "* SEARCH 29 290 291 292 293 294 295 297 298 299\r\n",
		`SEARCH RETURN (MIN MAX) BODY "rest is 7"`:         "* ESEARCH (TAG \"a\") MIN 7 MAX 297\r\n",
		`SEARCH RETURN (MIN) BODY "rest is 7"`:             "* ESEARCH (TAG \"a\") MIN 7\r\n",
		`SEARCH RETURN (MAX) BODY "rest is 7"`:             "* ESEARCH (TAG \"a\") MAX 297\r\n",
		`SEARCH RETURN (PARTIAL -2:-1) BODY "rest is 7"`:   "* ESEARCH (TAG \"a\") PARTIAL (-2:-1 287,297)\r\n",
		`SEARCH 100:130 BODY "rest is 7"`:                  "* SEARCH 107 117 127\r\n",
		`SEARCH BODY "rest is 7" SUBJECT "number 2"`:       "* SEARCH 27 207 217 227 237 247 257 267 277 287 297\r\n",
		`SEARCH RETURN (COUNT) BODY "rest is" NOT DELETED`: "* ESEARCH (TAG \"a\") COUNT 295\r\n",
		`SEARCH BODY "rest is 3" BODY "rest is 4"`:         "* SEARCH\r\n",
		`SEARCH UID 290:* TEXT "rest is 5" NOT DELETED`:    "* SEARCH 295\r\n",
	} {
		if got := string(s.say(t, keys)); got != want {
			t.Errorf("%s\ngot  %swant %s", keys, got, want)
		}
	}
}
