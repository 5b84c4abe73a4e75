package remote

import (
	"fmt"
	"strings"
	"testing"
)

// listen collects what is told of an attempt.
func listen(told *[]string) func(string) {
	return func(line string) { *told = append(*told, line) }
}

// What both sides said can be read afterwards, without the message.
func TestTranscript(t *testing.T) {
	w := newWorld(t, oneMX)
	w.scripts["192.0.2.1"] = []script{lines(`
S: 220 mx ESMTP
C: EHLO us.test
S: 250-mx
S: 250-PIPELINING
S: 250 STARTTLS
C: STARTTLS
S: 220 go on
starttls
C: EHLO us.test
S: 250-mx
S: 250 PIPELINING
C: MAIL FROM:<sender@us.test>
C: RCPT TO:<a@example.test>
C: RCPT TO:<b@example.test>
C: DATA
S: 250 2.1.0 sender ok
S: 250 2.1.5 ok
S: 550 5.1.1 not one of ours: é
S: 354 go
body
S: 250 2.0.0 taken as 17
C: QUIT
S: 221 bye`)}
	var told []string
	m := w.letter("a@example.test", "b@example.test", "a b@example.test")
	m.Tell = listen(&told)
	w.courier().Deliver(t.Context(), "example.test", m)
	want := []string{
		`* 5.1.3 recipient: malformed address: "a b@example.test"`,
		"* servers of example.test: mx.example.test",
		"* connected to mx.example.test [192.0.2.1]:25",
		"< 220 mx ESMTP", "> EHLO us.test", "< 250-mx", "< 250-PIPELINING", "< 250 STARTTLS",
		"> STARTTLS", "< 220 go on", "* TLS 1.3, TLS_*",
		"> EHLO us.test", "< 250-mx", "< 250 PIPELINING",
		"> MAIL FROM:<sender@us.test>", "> RCPT TO:<a@example.test>", "> RCPT TO:<b@example.test>", "> DATA",
		"< 250 2.1.0 sender ok", "< 250 2.1.5 ok", "< 550 5.1.1 not one of ours: ?", "< 354 go",
		"* sent the message, 26 octets, and its final dot", "< 250 2.0.0 taken as 17",
		"* the connection is kept for the next message",
	}
	wantTold(t, told, want)
}

// wantTold compares what was told with patterns, in which * at the end of a line stands for anything.
func wantTold(t *testing.T, told, want []string) {
	t.Helper()
	for i, line := range told {
		if i >= len(want) || !matches(line, want[i]) {
			t.Errorf("line %d is %q", i, line)
		}
	}
	if len(told) < len(want) {
		t.Errorf("not told: %q", want[len(told):])
	}
}

// Why there was no conversation is told once, and what the other side got wrong as well.
func TestTranscriptOfFailures(t *testing.T) {
	w := newWorld(t, oneMX+"example.test. MX 20 two.example.test.\ntwo.example.test. A 192.0.2.2")
	w.scripts["192.0.2.2"] = []script{{"S: hello"}}
	var told []string
	m := w.letter("a@example.test", "b@example.test")
	m.Tell = listen(&told)
	w.courier().Deliver(t.Context(), "example.test", m)
	wantTold(t, told, []string{
		"* servers of example.test: mx.example.test, two.example.test",
		"* mx.example.test: 4.4.1 connect to mx.example.test: connection refused",
		"* connected to two.example.test [192.0.2.2]:25",
		`* 4.5.0 malformed reply: "hello" while waiting for the reply to the connection`,
	})
}

// A server that talks without end fills nobody's journal.
func TestTranscriptIsBounded(t *testing.T) {
	var told []string
	tr := transcript{tell: listen(&told)}
	long := reply{code: 250, lines: strings.Split(strings.Repeat("x\n", 98)+"end", "\n")}
	tr.heard(long)
	if len(told) != maxToldReply+1 || told[maxToldReply-1] != "* 79 more lines of this reply" || told[maxToldReply] != "< 250 end" {
		t.Errorf("a long reply is told as %q", told)
	}
	for i := range 10_000 {
		tr.said(fmt.Sprint("NOOP ", i, strings.Repeat("y", i)))
	}
	octets := 0
	for _, line := range told {
		octets += len(line)
		if len(line) > maxText+2 {
			t.Fatalf("a line of %d octets", len(line))
		}
	}
	if len(told) > maxToldLines || octets > maxToldOctets+maxText || told[len(told)-1] != "* the rest of the conversation is too long to be told" {
		t.Errorf("%d lines, %d octets, the last %q", len(told), octets, told[len(told)-1])
	}
}
