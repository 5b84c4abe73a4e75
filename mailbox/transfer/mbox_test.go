package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// readMbox takes an mbox apart: for each message its sender, date and text.
func readMbox(text string) (list []string, err error) {
	m := newMboxReader(strings.NewReader(text), int64(len(text)))
	for {
		from, err := m.next()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		header, err := m.header()
		if err != nil {
			return list, err
		}
		if n, _ := noteHeader(header); n.length >= 0 {
			m.countOn(n.length)
		}
		rest, err := io.ReadAll(iotest.OneByteReader(m))
		if err != nil {
			return list, err
		}
		date := "-"
		if !from.date.IsZero() {
			date = from.date.UTC().Format("060102 150405")
		}
		list = append(list, fmt.Sprintf("%s|%s|%s%s", from.sender, date, header, rest))
	}
}

// TestMboxReader: where messages begin and end, in the dialects that programs write.
func TestMboxReader(t *testing.T) {
	const date = "Thu Jan  1 00:00:00 1970"
	long := strings.Repeat("y", 3*mboxBuffer)
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"blank lines only", "\n\r\n", nil},
		{"one", "From a@b " + date + "\nSubject: x\n\nbody\n\n", []string{"a@b|700101 000000|Subject: x\r\n\r\nbody\r\n"}},
		{"CRLF", "From a@b " + date + "\r\nSubject: x\r\n\r\nbody\r\n\r\nFrom c " + date + "\r\nS: y\r\n\r\n\r\n",
			[]string{"a@b|700101 000000|Subject: x\r\n\r\nbody\r\n", "c|700101 000000|S: y\r\n\r\n"}},
		{"no end of the last line", "From a " + date + "\nS: x\n\nbody", []string{"a|700101 000000|S: x\r\n\r\nbody"}},
		{"header without blank line", "From a " + date + "\nS: x", []string{"a|700101 000000|S: x"}},
		{"blank lines at the end", "From a " + date + "\nS: x\n\nbody\n\n\n\n", []string{"a|700101 000000|S: x\r\n\r\nbody\r\n\r\n\r\n"}},
		{"mboxrd", "From a " + date + "\nS: x\n\n>From me\n>>From you\n>Fromage\n> From\n", []string{"a|700101 000000|S: x\r\n\r\nFrom me\r\n>From you\r\n>Fromage\r\n> From\r\n"}},
		{"a sentence", "From a " + date + "\nS: x\n\ntext\n\nFrom now on\nNote: this\n\nFrom Monday " + date + "\nand so on\n", []string{
			"a|700101 000000|S: x\r\n\r\ntext\r\n\r\nFrom now on\r\nNote: this\r\n\r\nFrom Monday " + date + "\r\nand so on\r\n"}},
		{"no blank line between", "From a " + date + "\nS: x\n\ntext\nFrom b " + date + "\nS: y\n\nz\n", []string{
			"a|700101 000000|S: x\r\n\r\ntext\r\n", "b|700101 000000|S: y\r\n\r\nz\r\n"}},
		{"Thunderbird", "From - Tue Feb 03 04:05:06 2015\nX-Mozilla-Status: 0001\nS: x\n\nb\n\nFrom - \nS: y\n\nc\n\nFrom \nS: z\n\nd\n", []string{
			"-|150203 040506|X-Mozilla-Status: 0001\r\nS: x\r\n\r\nb\r\n", "-|-|S: y\r\n\r\nc\r\n", "|-|S: z\r\n\r\nd\r\n"}},
		{"Gmail", "From 1588@xxx Tue Feb 03 04:05:06 +0000 2015\nS: x\n\nb\n", []string{"1588@xxx|150203 040506|S: x\r\n\r\nb\r\n"}},
		{"zones", "From a Tue Feb  3 04:05:06 2015 +0100\nS: x\n\nFrom b Tue Feb  3 04:05 2015\nS: y\n\n", []string{
			"a|150203 030506|S: x\r\n", "b|150203 040500|S: y\r\n"}},
		{"mboxcl2", "From a " + date + "\nContent-Length: 50\n\none\n\nFrom b " + date + "\nS: no\n\n>From\n\nFrom c " + date + "\nS: y\n\nz\n", []string{
			"a|700101 000000|Content-Length: 50\r\n\r\none\r\n\r\nFrom b " + date + "\r\nS: no\r\n\r\n>From\r\n", "c|700101 000000|S: y\r\n\r\nz\r\n"}},
		{"mboxcl at the end", "From a " + date + "\nContent-Length: 3\n\nab\n\n", []string{"a|700101 000000|Content-Length: 3\r\n\r\nab\r\n"}},
		{"a wrong Content-Length", "From a " + date + "\nContent-Length: 7\n\none\n\nFrom c " + date + "\nS: y\n\nz\n", []string{
			"a|700101 000000|Content-Length: 7\r\n\r\none\r\n", "c|700101 000000|S: y\r\n\r\nz\r\n"}},
		{"a Content-Length beyond the end", "From a " + date + "\nContent-Length: 9223372036854775807\n\none\n", []string{"a|700101 000000|Content-Length: 9223372036854775807\r\n\r\none\r\n"}},
		{"long lines", "From a " + date + "\nS: x\n\n" + long + "\r\n" + long + "\n\nFrom b " + date + "\nS: y\n\n", []string{
			"a|700101 000000|S: x\r\n\r\n" + long + "\r\n" + long + "\r\n", "b|700101 000000|S: y\r\n"}},
		{"carriage returns", "From a " + date + "\nS: x\n\na\r\r\nb\rc\n", []string{"a|700101 000000|S: x\r\n\r\na\r\r\nb\rc\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readMbox(c.text)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, got, c.want)
		})
	}
	if _, err := readMbox("Subject: x\n\n"); !errors.Is(err, errNoMbox) {
		t.Errorf("a file that is none: %v", err)
	}
}

// FuzzMbox: any file is taken apart to its end, nothing of a message is made up, and what
// was read, written again, reads the same.
func FuzzMbox(f *testing.F) {
	f.Add("From a@b Thu Jan  1 00:00:00 1970\nSubject: x\n\n>From body\n\n\nFrom - \r\nS: y\r\n\r\n")
	f.Add("From a Thu Jan  1 00:00:00 1970\nContent-Length: 3\n\nab\n\nFrom b Thu Jan  1 00:00:00 1970\n\n")
	f.Add("\n\nFrom \n\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		first, err := readMbox(text)
		if err != nil && !errors.Is(err, errNoMbox) {
			t.Fatal(err)
		}
		size := 0
		for _, m := range first {
			size += len(m)
		}
		if most := 3*len(text) + 32*len(first); size > most {
			t.Fatalf("%d octets of messages from %d of a file", size, len(text))
		}
		var file bytes.Buffer
		w := newMboxWriter()
		w.out.Reset(&file)
		for _, m := range first {
			_, body, _ := strings.Cut(m, "|")
			_, body, _ = strings.Cut(body, "|")
			body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\n", "\r\n")
			if _, err := w.append(&Message{Date: time.Unix(1, 0), Body: strings.NewReader(body)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.out.Flush(); err != nil {
			t.Fatal(err)
		}
		again, err := readMbox(file.String())
		if err != nil || len(again) > len(first) {
			t.Fatalf("%d messages became %d, %v", len(first), len(again), err)
		}
	})
}
