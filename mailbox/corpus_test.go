package mailbox

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
)

// largeLetter is a message of exactly size bytes, as far as that is possible:
// a text, and from 8 KB on text, HTML and an attachment in base64.
func largeLetter(size int) []byte {
	var b bytes.Buffer
	b.Grow(size + 2<<10)
	b.WriteString("Return-Path: <ann@example.org>\r\nReceived: from mx.example.org (mx.example.org [192.0.2.1])\r\n" +
		"\tby mail.example.net with ESMTPS id 4F3A;\r\n\tMon, 6 Jul 2020 10:00:01 +0200\r\n" +
		"From: Ann Example <ann@example.org>\r\nTo: Bob Example <bob@example.net>, carl@example.com\r\n")
	fmt.Fprintf(&b, "Subject: Figures of %d, as we said on Friday\r\nMessage-ID: <%d@example.org>\r\n", size, size)
	b.WriteString("Date: Mon, 6 Jul 2020 10:00:00 +0200\r\nMIME-Version: 1.0\r\n")
	if size < 8<<10 {
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\n\r\n")
		writeLines(&b, size-b.Len(), "The quick brown fox jumps over the lazy dog, and then some.\r\n")
		return exactly(b.Bytes(), size)
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n" +
		"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	writeLines(&b, 1500, "Some plain text in a line of usual length, as it is.\r\n")
	b.WriteString("--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	writeLines(&b, 3000, "<p>Some <b>HTML</b> text in a line of usual length=\r\n, as it is.</p>\r\n")
	b.WriteString("--inner--\r\n--outer\r\nContent-Type: application/pdf; name=\"figures.pdf\"\r\n" +
		"Content-Disposition: attachment; filename=\"figures.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	line := make([]byte, 76)
	random := rand.New(rand.NewPCG(1, uint64(size)))
	for b.Len() < size {
		for i := range line {
			line[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random.IntN(64)]
		}
		b.Write(line)
		b.WriteString("\r\n")
	}
	return exactly(b.Bytes(), size)
}

func writeLines(b *bytes.Buffer, n int, line string) {
	for end := b.Len() + n; b.Len() < end; {
		b.WriteString(line)
	}
}

// exactly cuts a message to size bytes, which end with a line; the slice has no room behind it.
func exactly(text []byte, size int) []byte {
	text = text[:min(size, len(text)):min(size, len(text))]
	copy(text[len(text)-2:], "\r\n")
	return text
}

// The sizes of mail are log-normal, with a few large messages that hold most of
// the bytes: half of all have less than corpusMedian, the mean is 57 KB.
const (
	corpusLetters = 512
	corpusMedian  = 14_000
	corpusSigma   = 1.75
	corpusLeast   = 900
)

// largeCorpus is a set of messages whose sizes are the quantiles of mail's.
func largeCorpus() (letters [][]byte) {
	for i := range corpusLetters {
		p := (float64(i) + 0.5) / corpusLetters
		size := corpusMedian * math.Exp(corpusSigma*math.Sqrt2*math.Erfinv(2*p-1))
		letters = append(letters, largeLetter(max(corpusLeast, int(size))))
	}
	return letters
}
