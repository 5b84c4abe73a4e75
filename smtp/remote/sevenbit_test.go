package remote

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"mailstead/mailbox/message"
	"mailstead/smtp/queue"
)

func asMessage(text string) queue.Message {
	return queue.Message{Size: int64(len(text)), EightBit: true, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(iotest.HalfReader(strings.NewReader(text))), nil
	}}
}

func readAll(t testing.TB, m queue.Message) string {
	t.Helper()
	r, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// crlf makes a message of a text.
func crlf(s string) string { return strings.ReplaceAll(strings.TrimPrefix(s, "\n"), "\n", "\r\n") }

// What has 8 bits becomes quoted-printable or base64, and says so; all else stays as it is.
func TestSevenBit(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a text", `
From: a@us.test
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding:
 8bit
Subject: hi

Grüße = 1
.
`, `
From: a@us.test
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Subject: hi
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe =3D 1
.
`},
		{"without any word of MIME, and no end of line", `
Subject: hi

Grüße`, `
Subject: hi
MIME-Version: 1.0
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe`},
		{"nothing to be done", `
Subject: hi

Hello.
`, `
Subject: hi

Hello.
`},
		{"parts", `
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 8bit

before
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

ö
--b
Content-Type: text/plain
Content-Transfer-Encoding: quoted-printable

=C3=B6
--b
Content-Type: image/png
Content-Transfer-Encoding: binary

` + strings.Repeat("ü", 30) + `
--b
Content-Type: message/rfc822

Subject: inner

ä
--b--
after
`, `
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b
Content-Transfer-Encoding: 7bit

before
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

=C3=B6
--b
Content-Type: text/plain
Content-Transfer-Encoding: quoted-printable

=C3=B6
--b
Content-Type: image/png
Content-Transfer-Encoding: base64

` + strings.Repeat("w7zDvMO8", 9) + "w7zD\nvMO8" + `
--b
Content-Type: message/rfc822

Subject: inner
MIME-Version: 1.0
Content-Transfer-Encoding: quoted-printable

=C3=A4
--b--
after
`},
		{"signed, of 7 bits, beside a text", `
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/signed; boundary=s

--s
Content-Type: text/plain
Content-Transfer-Encoding: 8bit

plain
--s
Content-Type: application/pgp-signature

x
--s--
--b

ö
--b--
`, `
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/signed; boundary=s

--s
Content-Type: text/plain
Content-Transfer-Encoding: 8bit

plain
--s
Content-Type: application/pgp-signature

x
--s--
--b
Content-Transfer-Encoding: quoted-printable

=C3=B6
--b--
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := sevenBit(asMessage(crlf(tt.in)))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := readAll(t, m), crlf(tt.want); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if m.EightBit {
				t.Error("it is of 8 bits still")
			}
		})
	}
}

// What would be broken is not converted.
func TestNotConvertible(t *testing.T) {
	for name, in := range map[string]string{
		"signed":               "Content-Type: multipart/signed; boundary=s\n\n--s\n\nö\n--s\n\nx\n--s--\n",
		"encrypted":            "Content-Type: multipart/encrypted; boundary=s\n\n--s\n\nö\n--s--\n",
		"a header of a part":   "Content-Type: multipart/mixed; boundary=s\n\n--s\nContent-Disposition: attachment; filename=ö\n\nx\n--s--\n",
		"the preamble":         "Content-Type: multipart/mixed; boundary=s\n\nö\n--s\n\nx\n--s--\n",
		"encoded, and is not":  "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nö\n",
		"unknown encoding":     "Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nö\n",
		"part of a message":    "Content-Type: message/partial; id=1\n\nö\n",
		"a report's addresses": "Content-Type: message/delivery-status\n\nö\n",
	} {
		if _, err := sevenBit(asMessage(crlf(in))); !errors.Is(err, errNotConvertible) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A message that cannot be read, or that has become shorter, is not sent as far as it goes.
func TestSevenBitUnreadable(t *testing.T) {
	broken := errors.New("bad block")
	if _, err := sevenBit(queue.Message{Open: func() (io.ReadCloser, error) { return nil, broken }}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	text := crlf("\nSubject: hi\n\nGrüße\n")
	m := asMessage(text)
	m.Size++
	m, err := sevenBit(m)
	if err != nil {
		t.Fatal(err)
	}
	r, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message that is too short: %v", err)
	}
}

// However odd a message is, what is made of it has 7 bits and the same parts with the same content.
func FuzzSevenBit(f *testing.F) {
	f.Add(crlf("Subject: hi\n\nGrüße\n"))
	f.Add(crlf("Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\n\nö\n--b\nContent-Type: a/b\n\n\xff\n--b--\n"))
	f.Add(crlf("Content-Type: message/rfc822\n\nSubject: x\n\nö"))
	f.Add("Content-Type: text/plain\r\n\r\n\x80")
	f.Add("\x80")
	f.Add("\r\n\x80")
	f.Fuzz(func(t *testing.T, in string) {
		in = lineEnd.ReplaceAllString(in, "\r\n") // as it leaves in any case: bodyWriter
		m, err := sevenBit(asMessage(in))
		if err != nil {
			if !errors.Is(err, errNotConvertible) {
				t.Fatal(err)
			}
			return
		}
		got := readAll(t, m)
		if i := strings.IndexFunc(got, func(c rune) bool { return c >= 0x80 }); i >= 0 {
			t.Fatalf("8 bits at %d of %q", i, got)
		}
		before, after := partsOf(t, in), partsOf(t, got)
		if len(before) != len(after) {
			t.Fatalf("%d parts became %d: %q", len(before), len(after), got)
		}
		for i := range before {
			if !bytes.Equal(before[i], after[i]) {
				t.Fatalf("part %d was %q, is %q", i, before[i], after[i])
			}
		}
	})
}

// partsOf decodes the leaves of a message.
func partsOf(t *testing.T, text string) (contents [][]byte) {
	view, err := message.Open(message.Parse([]byte(text)).AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	for p := range view.Parts() {
		if p.Kind != message.Leaf {
			continue
		}
		transfer, ok := message.NewTransfer(p.Encoding)
		body := []byte(text[p.BodyStart : p.BodyStart+p.BodySize])
		if ok {
			body = transfer.Append(nil, body)
		}
		contents = append(contents, body)
	}
	return contents
}

// A server without 8BITMIME gets the message converted, or its sender gets it back.
func TestServerWithoutEightBit(t *testing.T) {
	w := newWorld(t, oneMX)
	w.message = "Subject: hi\r\n\r\nGr\xfc\xdfe\r\n"
	m := w.letter("a@example.test")
	m.EightBit, m.Size = true, int64(len(w.message))
	text := w.message
	m.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	w.message = "Subject: hi\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n"
	w.scripts["192.0.2.1"] = []script{lines(strings.ReplaceAll(helloAs+oneTaken, "C: MAIL*", "C: MAIL FROM:<sender@us.test>") + goodbye), lines(helloAs + goodbye)}
	c := w.courier()
	w.wantDelivered(c, m)
	c.kept.close()
	w.playing.Wait()
	text = "Content-Type: message/partial\r\n\r\n\xfc\r\n"
	m.Size = int64(len(text))
	if o := c.Deliver(t.Context(), "example.test", m)[0]; o.Status != queue.Permanent || o.Enhanced != "5.6.3" {
		t.Errorf("got %s", describe(o))
	}
}
