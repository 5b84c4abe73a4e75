package imap

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// threaded returns the THREAD response, without its name, of messages given as their
// headers, that arrived in their order.
func threaded(t testing.TB, algorithm string, headers []string) string {
	t.Helper()
	q := &searching{}
	for i := range headers {
		q.found = append(q.found, uint32(i)+1)
	}
	th := newThreading(q)
	for i, header := range headers {
		v, err := message.Open(message.Parse([]byte(header + "\r\n\r\nx\r\n")).AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		row := mailbox.Row{Seq: uint32(i) + 1}
		row.Internal.Unix = int64(i)
		if err := th.take(i, &row, &v); err != nil {
			t.Fatal(err)
		}
	}
	w := threadWriter{threading: th}
	var b []byte
	for _, root := range threadAlgorithms[algorithm](th) {
		b = w.appendThread(b, root)
	}
	return string(b)
}

// mail is a header: sent at an hour, with a subject and ids, the first its own.
func mail(hour int, subject string, ids ...string) string {
	h := fmt.Sprintf("Date: Mon, 6 Jul 2020 %02d:00:00 +0000\r\nSubject: %s\r\nMessage-ID: <%s@x>", hour, subject, ids[0])
	if len(ids) > 1 {
		h += "\r\nReferences: <" + strings.Join(ids[1:], "@x> <") + "@x>"
	}
	return h
}

// TestThreads has the rules of RFC 5256 section 3, one by one.
func TestThreads(t *testing.T) {
	tests := []struct {
		why, algorithm string
		messages       []string
		want           string
	}{
		{"a thread is in the order of sending, threads in that of their first messages", "ORDEREDSUBJECT",
			[]string{mail(5, "b", "1"), mail(2, "a", "2"), mail(4, "Re: A", "3"), mail(3, "Fwd: a (fwd)", "4"), mail(1, "c", "5")},
			"(5)(2 (4)(3))(1)"},
		{"one child needs no parentheses", "ORDEREDSUBJECT", []string{mail(1, "a", "1"), mail(2, "re: a", "2")}, "(1 2)"},
		{"case and accents are folded, words decoded", "ORDEREDSUBJECT",
			[]string{mail(1, "=?utf-8?q?=C3=84pfel?=", "1"), mail(2, "Re: \xc3\xa4PFEL", "2")}, "(1 2)"},
		{"nothing", "REFERENCES", nil, ""},
		{"no references", "REFERENCES", []string{mail(2, "a", "1"), mail(1, "b", "2")}, "(2)(1)"},
		{"a chain", "REFERENCES", []string{mail(1, "a", "1"), mail(2, "re: a", "2", "1"), mail(3, "re: a", "3", "1", "2")}, "(1 2 3)"},
		{"children are sorted by sent date", "REFERENCES",
			[]string{mail(1, "a", "1"), mail(5, "re: a", "2", "1"), mail(3, "re: a", "3", "1"), mail(6, "re: a", "4", "1", "3")}, "(1 (3 4)(2))"},
		{"replies may come before what they answer", "REFERENCES",
			[]string{mail(3, "re: a", "3", "1", "2"), mail(2, "re: a", "2", "1"), mail(1, "a", "1")}, "(3 2 1)"},
		{"In-Reply-To counts where there are no references", "REFERENCES",
			[]string{mail(1, "a", "1"), mail(2, "b", "2") + "\r\nIn-Reply-To: your message <1@x> of <9@x>"}, "(1 2)"},
		{"who is missing in the middle is passed over", "REFERENCES",
			[]string{mail(1, "a", "1"), mail(2, "b", "2", "1", "9"), mail(3, "c", "3", "1", "9", "8")}, "(1 (2)(3))"},
		{"who is missing at the top keeps its children together", "REFERENCES",
			[]string{mail(1, "a", "1", "9"), mail(2, "b", "2", "9"), mail(3, "c", "3", "7")}, "((1)(2))(3)"},
		{"a duplicate id is a message of its own", "REFERENCES",
			[]string{mail(1, "a", "1"), mail(2, "b", "1"), mail(3, "c", "3", "1")}, "(1 3)(2)"},
		{"quoting makes no difference to ids", "REFERENCES",
			[]string{"Message-ID: <\"a\\b\"@x>\r\nDate: Mon, 6 Jul 2020 01:00:00 +0000", mail(2, "b", "2", "ab")}, "(1 2)"},
		{"ids differ in case", "REFERENCES", []string{mail(1, "a", "ID"), mail(2, "b", "2", "id")}, "(1)(2)"},
		{"loops are not made", "REFERENCES", []string{mail(1, "a", "1", "2"), mail(2, "b", "2", "1"), mail(3, "c", "3", "3")}, "(2 1)(3)"},
		{"the last reference corrects what others said", "REFERENCES",
			[]string{mail(1, "a", "1"), mail(3, "c", "3", "1", "2"), mail(2, "b", "2", "4"), mail(4, "d", "4")}, "(1)(4 3 2)"},
		{"a message without references is under nobody", "REFERENCES",
			[]string{mail(2, "c", "2", "9", "1"), mail(1, "a", "1"), mail(3, "z", "9")}, "(2 1)(3)"},
		{"threads of one subject are merged: a reply under what is none", "REFERENCES",
			[]string{mail(2, "Re: a", "2"), mail(1, "a", "1"), mail(3, "re: a", "3")}, "(2 (1)(3))"},
		{"two that are no replies are siblings", "REFERENCES", []string{mail(1, "a", "1"), mail(2, "A", "2"), mail(3, "re: a", "3")}, "((1)(2)(3))"},
		{"two replies are siblings", "REFERENCES", []string{mail(1, "re: a", "1"), mail(2, "fw: a", "2")}, "((1)(2))"},
		{"dummies of one subject are merged", "REFERENCES",
			[]string{mail(1, "a", "1", "9"), mail(2, "b", "2", "9"), mail(3, "a", "3", "8"), mail(4, "c", "4", "8"), mail(5, "a", "5")},
			"((1)(2)(3)(4)(5))"},
		{"empty subjects are not merged", "REFERENCES", []string{mail(1, "", "1"), mail(2, "re:", "2")}, "(1)(2)"},
		{"REFS does not look at subjects, and the newest comes last", "REFS",
			[]string{mail(1, "a", "1"), mail(2, "a", "2"), mail(3, "b", "3"), mail(9, "re: a", "4", "1")}, "(2)(3)(1 4)"},
	}
	for _, tt := range tests {
		if got := threaded(t, tt.algorithm, tt.messages); got != tt.want {
			t.Errorf("%s: %s is %s, want %s", tt.why, tt.algorithm, got, tt.want)
		}
	}
}

// TestThreadsAreBounded proves that messages made for it can make THREAD neither slow nor
// deep.
func TestThreadsAreBounded(t *testing.T) {
	n := trialsOf(3000, 1000)
	var comb, loops []string
	all := make([]string, 0, 400)
	for i := range n {
		h := []string{fmt.Sprint("c", i)}
		if i > 0 {
			h = append(h, fmt.Sprint("c", i-1))
		}
		comb = append(comb, mail(1, "a", h...), mail(1, "a", fmt.Sprint("d", i), fmt.Sprint("c", i)))
		if len(all) < cap(all) {
			all = append(all, fmt.Sprint("x", i))
		}
		// The end of a long chain, and its beginning, over and over.
		loops = append(loops, mail(1, "b", append(append([]string{fmt.Sprint("l", i)}, all...), strings.Fields(strings.Repeat("x399 x0 ", 150))...)...))
	}
	depth, deepest, numbers := 0, 0, 0
	text := threaded(t, "REFERENCES", comb)
	for _, c := range text {
		switch c {
		case '(':
			depth++
			deepest = max(deepest, depth)
		case ')':
			depth--
		}
	}
	if deepest > maxThreadNesting+2 || depth != 0 {
		t.Errorf("%d parentheses deep, %d left open", deepest, depth)
	}
	if numbers = len(strings.FieldsFunc(text, func(r rune) bool { return r < '0' || r > '9' })); numbers != len(comb) {
		t.Errorf("%d messages in the threads of %d", numbers, len(comb))
	}
	start := time.Now()
	threaded(t, "REFERENCES", loops)
	if took := time.Since(start); took > time.Minute { // about 1 s, and minutes without the bound
		t.Errorf("%d messages that want loops took %v", n, took)
	}
}

// FuzzThreads makes threads of messages with arbitrary ids and references: each message
// has to be in the response once.
func FuzzThreads(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0, 2, 1, 0, 3, 3, 0, 4, 9, 8})
	f.Fuzz(func(t *testing.T, data []byte) {
		var headers []string
		for i, ids := range strings.Split(string(data[:min(len(data), 4000)]), "\x00") {
			var names []string
			for _, id := range []byte("\x01" + ids) {
				names = append(names, fmt.Sprint(id%32))
			}
			headers = append(headers, mail(i%24, fmt.Sprint("re: "[:4*(i%2)], len(ids)%5), names[min(1, len(names)-1):]...))
		}
		for name := range threadAlgorithms {
			got := threaded(t, name, headers)
			seen := map[string]bool{}
			for _, n := range strings.FieldsFunc(got, func(r rune) bool { return r < '0' || r > '9' }) {
				if seen[n] {
					t.Fatalf("%s: %s is there twice: %s", name, n, got)
				}
				seen[n] = true
			}
			if len(seen) != len(headers) || strings.Count(got, "(") != strings.Count(got, ")") {
				t.Fatalf("%s of %d messages: %s", name, len(headers), got)
			}
		}
	})
}
