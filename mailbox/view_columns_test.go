package mailbox

import (
	"fmt"
	"slices"
	"testing"
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

// expectColumns compares what is yielded with want, as "sequence number:UIDs", and each
// array with the rows.
func expectColumns(t *testing.T, v *View, from, to uint32, want ...string) {
	t.Helper()
	var got []string
	var rows []Row
	for c := range v.Columns(from, to) {
		got = append(got, fmt.Sprint(c.Seq, ":", c.UIDs()))
		rows = append(rows, rowsOf(c)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("from %d to %d: %q, want %q", from, to, got, want)
	}
	if !slices.Equal(rows, v.Rows(nil, from, to)) {
		t.Errorf("from %d to %d: the arrays have %+v", from, to, rows)
	}
	for c := range v.Columns(from, to) { // ending early lets go of the mailbox
		if len(got) == 0 || c.UIDs()[0] != rows[0].UID {
			t.Error("another look yields something else")
		}
		break
	}
}

// rowsOf makes rows of the arrays.
func rowsOf(c Columns) (rows []Row) {
	for i := range c.Len() {
		r := Row{Seq: c.Seq + uint32(i), Message: Message{UID: c.UIDs()[i], FlagsID: c.FlagsIDs()[i], ModSeq: c.ModSeqs()[i]}}
		r.Flags = c.FlagSets()[r.FlagsID]
		r.Size, r.Body = int64(c.Sizes()[i]), c.Bodies()[i]
		r.Internal = Date{Unix: c.Dates()[i], Zone: c.Zones()[i]}
		var whole Row
		c.Row(i, &whole)
		r.Saved = whole.Saved
		rows = append(rows, r)
	}
	return rows
}

// BenchmarkColumns looks at the flags of all messages of a large mailbox.
func BenchmarkColumns(b *testing.B) {
	_, m := openBig(b)
	v := m.View(true)
	b.ReportAllocs()
	for b.Loop() {
		unseen := 0
		for c := range v.Columns(1, v.Len()) {
			sets := c.FlagSets()
			for _, id := range c.FlagsIDs() {
				if !sets[id].Has(FlagSeen) {
					unseen++
				}
			}
		}
		if unseen != bigMailbox {
			b.Fatal("messages are missing")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/bigMailbox, "ns/row")
}
