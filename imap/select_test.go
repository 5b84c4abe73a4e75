package imap

import (
	"fmt"
	"testing"
)

// TestUnseenIsTheFirst looks for the first unseen message wherever it is, in a mailbox
// that is looked at in many pieces from both ends.
func TestUnseenIsTheFirst(t *testing.T) {
	const n = 5*rowsAtOnce + 3
	ts := newTestServer(t)
	ts.fill(t, "INBOX", n)
	c := ts.connect(t).login()
	for _, unseen := range [][]int{{n}, {1}, {n / 2}, {n/2 - 1, n}, {rowsAtOnce, n}, {rowsAtOnce + 1, rowsAtOnce + 2}, {n - rowsAtOnce, n - 1}, {2, n}} {
		set := fmt.Sprint(unseen[0])
		for _, seq := range unseen[1:] {
			set += fmt.Sprint(",", seq)
		}
		c.send("a STORE 1:* +FLAGS.SILENT \\Seen\r\nb STORE " + set + " -FLAGS.SILENT (\\Seen)\r\nc SELECT INBOX\r\n")
		c.expect("b OK")
		if got, want := c.expect("* OK [UNSEEN"), fmt.Sprintf("* OK [UNSEEN %d] first unseen\r\n", unseen[0]); got != want {
			t.Errorf("unseen %v: %s", unseen, got)
		}
		c.expect("c OK")
	}
}
