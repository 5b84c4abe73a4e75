package message

import (
	"bytes"
	"strings"
	"testing"
)

// smallMail is like most mail: trace fields, a text of 1 KB.
func smallMail() []byte {
	return []byte("Return-Path: <ann@example.org>\r\n" +
		"Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby mail.example.net with ESMTPS id 4F3A;\r\n\tMon, 6 Jul 2020 10:00:01 +0200\r\n" +
		"Received: from client.example.org (client [192.0.2.7])\r\n\tby mx.example.org with ESMTPSA id 77AB;\r\n\tMon, 6 Jul 2020 10:00:00 +0200\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org;\r\n\ts=mail; h=from:to:subject:date;\r\n\tbh=" + strings.Repeat("A", 44) + ";\r\n\tb=" + strings.Repeat("b", 300) + "\r\n" +
		"From: Ann Example <ann@example.org>\r\nTo: Bob Example <bob@example.net>, carl@example.com\r\n" +
		"Subject: Re: [list] Lunch on Friday\r\nDate: Mon, 6 Jul 2020 10:00:00 +0200\r\n" +
		"Message-ID: <20200706.1000.1@example.org>\r\nIn-Reply-To: <1@example.net>\r\nReferences: <0@example.net>\r\n <1@example.net>\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" +
		strings.Repeat("The quick brown fox jumps over the lazy dog, and then some.\r\n", 17))
}

// mixedMail is text, HTML and an attachment of the given size in base64.
func mixedMail(size int) []byte {
	line := strings.Repeat("QUJD", 19) + "\r\n"
	return []byte("From: Ann Example <ann@example.org>\r\nTo: Bob Example <bob@example.net>\r\nSubject: pictures\r\n" +
		"Date: Mon, 6 Jul 2020 10:00:00 +0200\r\nMessage-ID: <2@example.org>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\n" +
		"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" +
		strings.Repeat("Some plain text in a line of usual length, as it is.\r\n", 10) +
		"--inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
		strings.Repeat("<p>Some <b>HTML</b> text in a line of usual length=\r\n, as it is.</p>\r\n", 20) +
		"--inner--\r\n--outer\r\nContent-Type: image/jpeg; name=\"picture.jpg\"\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"picture.jpg\"\r\n\r\n" +
		strings.Repeat(line, size/len(line)) + "--outer--\r\n")
}

func BenchmarkIndex(b *testing.B) {
	single := []byte("Subject: large\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 10<<20/78))
	for _, bm := range []struct {
		name string
		raw  []byte
	}{{"small", smallMail()}, {"mixed60KB", mixedMail(60 << 10)}, {"large10MB", mixedMail(10 << 20)}, {"single10MB", single}} {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(bm.raw)))
			b.ReportAllocs()
			var x Indexer
			var stored []byte
			for b.Loop() {
				x.Reset()
				for p := bm.raw; len(p) > 0; {
					n := min(len(p), 32<<10)
					x.Write(p[:n])
					p = p[n:]
				}
				stored = x.Finish().AppendTo(stored[:0])
			}
			b.ReportMetric(float64(len(stored)), "stored-B")
		})
	}
}

func BenchmarkView(b *testing.B) {
	stored := Parse(mixedMail(60 << 10)).AppendTo(nil)
	thunderbird := NewFieldMatcher(strings.Fields("From To Cc Bcc Subject Date Message-ID Priority X-Priority References "+
		"Newsgroups In-Reply-To Content-Type Reply-To Received"), false)
	var dst []byte
	for _, bm := range []struct {
		name string
		read func(v View)
	}{
		{"open", func(v View) {}},
		{"envelope", func(v View) { dst = append(dst[:0], v.Envelope()...) }},
		{"body", func(v View) { dst = v.AppendBody(dst[:0]) }},
		{"fields", func(v View) { dst = v.AppendHeaderFields(dst[:0], &thunderbird) }},
		{"section1.2", func(v View) { v.Section([]int{1, 2}, SectionBody) }},
	} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v, err := Open(stored)
				if err != nil {
					b.Fatal(err)
				}
				bm.read(v)
			}
		})
	}
}

func BenchmarkContains(b *testing.B) {
	plain := []byte("Subject: s\r\n\r\n" + strings.Repeat("The quick brown fox jumps over the lazy dog, and then some.\r\n", 1<<20/62))
	for _, bm := range []struct {
		name string
		raw  []byte
	}{{"plain1MB", plain}, {"mixed60KB", mixedMail(60 << 10)}} {
		b.Run(bm.name, func(b *testing.B) {
			v := view(b, string(bm.raw))
			b.SetBytes(int64(len(bm.raw)))
			b.ReportAllocs()
			var t TextReader
			needle := FoldString("absent word")
			for b.Loop() {
				if found, err := t.Contains(bytes.NewReader(bm.raw), v, ScopeText, needle); found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}

func BenchmarkFold(b *testing.B) {
	for name, s := range map[string]string{"ascii": strings.Repeat("The quick brown fox ", 100), "greek": strings.Repeat("Ελληνικά ", 100)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(s)))
			var dst []byte
			text := []byte(s)
			for b.Loop() {
				dst = Fold(dst[:0], text)
			}
		})
	}
}
