package mailbox

import (
	"fmt"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// TestColumns looks at messages without a copy: before and after others expunge some, of
// which the session is not told, and after it is.
func TestColumns(t *testing.T) {
	s, m, v := viewOf(t, 6)
	expectColumns(t, v, 0, 99, "1:[1 2 3 4 5 6]")
	expectColumns(t, v, 2, 3, "2:[2 3]")
	expectColumns(t, v, 4, 3)
	expectColumns(t, v, 7, 9)
	expunge(t, m, 2, 3, 5)
	deliver(t, s, m.box.account, "INBOX", letter(7))
	v.Update(false)
	expectColumns(t, v, 1, 99, "1:[1]", "4:[4]", "6:[6 7]")
	expectColumns(t, v, 2, 3)
	expectColumns(t, v, 3, 6, "4:[4]", "6:[6]")
	v.Update(true)
	expectColumns(t, v, 1, 99, "1:[1 4 6 7]")
	expunge(t, m, 1, 4, 6, 7)
	expectColumns(t, v, 1, 99)
}

// expectColumns compares what is yielded with want, as "sequence number:UIDs", and the
// messages with the rows.
func expectColumns(t *testing.T, v *View, from, to uint32, want ...string) {
	t.Helper()
	var got []string
	var rows []Row
	for c := range v.Columns(from, to) {
		run := rowsOf(c)
		rows = append(rows, run...)
		var uids []goimap.UID
		for i, r := range run {
			uids = append(uids, r.UID)
			if c.Bodies()[i] != r.Body {
				t.Errorf("UID %d: body %d in the array, %d in its row", r.UID, c.Bodies()[i], r.Body)
			}
		}
		got = append(got, fmt.Sprint(c.Seq, ":", uids))
	}
	if !slices.Equal(got, want) {
		t.Errorf("from %d to %d: %q, want %q", from, to, got, want)
	}
	if !slices.Equal(rows, v.Rows(nil, from, to)) {
		t.Errorf("from %d to %d: the arrays have %+v", from, to, rows)
	}
	for c := range v.Columns(from, to) { // ending early lets go of the mailbox
		if len(got) == 0 || rowsOf(c)[0] != rows[0] {
			t.Error("another look yields something else")
		}
		break
	}
}

// rowsOf makes rows of the arrays.
func rowsOf(c Columns) []Row {
	rows := make([]Row, c.Len())
	for i := range rows {
		c.Row(i, &rows[i])
	}
	return rows
}

// BenchmarkColumns looks at the bodies of all messages of a large mailbox.
func BenchmarkColumns(b *testing.B) {
	_, m := openBig(b)
	v := m.View(true)
	b.ReportAllocs()
	for b.Loop() {
		stored := 0
		for c := range v.Columns(1, v.Len()) {
			for _, body := range c.Bodies() {
				if body != 0 {
					stored++
				}
			}
		}
		if stored != bigMailbox {
			b.Fatal("messages are missing")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/bigMailbox, "ns/row")
}
