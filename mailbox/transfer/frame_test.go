package transfer

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// TestBrokenMessageInStream: a message that the writer cannot read to its end is none,
// and what follows is read.
func TestBrokenMessageInStream(t *testing.T) {
	var stream strings.Builder
	e := NewEncoder(&stream)
	broken := Message{Folders: []string{"INBOX"}, Origin: "here", Body: io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("the disk")))}
	whole := Message{Folders: []string{"A"}, Flags: []goimap.Flag{`\Seen`}, Date: time.Unix(1, 0), Body: strings.NewReader("whole")}
	if err := errors.Join(send(t.Context(), e, &broken), send(t.Context(), e, &whole), e.Progress(Totals{Known: 3}), e.End([]byte("bye"))); err != nil {
		t.Fatal(err)
	}
	var p picture
	d := NewDecoder(iotest.OneByteReader(strings.NewReader(stream.String())))
	var told Totals
	d.Progress = func(t Totals) error { told = t; return nil }
	if err := d.Send(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	compare(t, p.lines, []string{`A [\Seen] 1970-01-01T00:00:01Z "whole"`})
	if len(p.problems) != 1 || p.problems[0] != (Problem{"here", "the disk"}) || told.Known != 3 || string(d.Words()) != "bye" {
		t.Errorf("%+v, %+v, %q", p.problems, told, d.Words())
	}
}

// TestBadStreams: whatever is no stream is ErrStream.
func TestBadStreams(t *testing.T) {
	for _, text := range []string{
		"", "E\x00\x00", "E\x00\x00\x00\x05four", "F\x00\x00\x00\x01{", "X\x00\x00\x00\x00", "D\x00\x00\x00\x00",
		"M\x00\x00\x00\x02{}", "E\xff\xff\xff\xff", "E\x00\x02\x00\x01",
		"M\x00\x00\x00\x0f" + `{"folders":["]}`,
		"M\x00\x00\x00\x11" + `{"folders":["a"]}` + "F\x00\x00\x00\x00",
		"M\x00\x00\x00\x11" + `{"folders":["a"]}` + "W\x00\x00\x00\x01x",
		"M\x00\x00\x00\x11" + `{"folders":["a"]}` + "D\x00\x00\x00\x05x",
	} {
		if err := NewDecoder(strings.NewReader(text)).Send(t.Context(), new(picture)); !errors.Is(err, ErrStream) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzDecoder: any octets end in an error or a stream's end, and what was read, written
// again, reads the same.
func FuzzDecoder(f *testing.F) {
	var stream strings.Builder
	e := NewEncoder(&stream)
	e.Folder(f.Context(), Folder{Name: "A", Subscribed: true})
	e.Message(f.Context(), &Message{Folders: []string{"A"}, Flags: []goimap.Flag{"x"}, Date: time.Unix(1, 0), Body: strings.NewReader("text")})
	e.Problem(Problem{"a", "b"})
	e.End([]byte("words"))
	f.Add(stream.String())
	f.Add("M\x00\x00\x00\x11" + `{"folders":["a"]}` + "D\x00\x00\x00\x01xB\x00\x00\x00\x00E\x00\x00\x00\x00")
	f.Fuzz(func(t *testing.T, text string) {
		var first, again picture
		if err := NewDecoder(strings.NewReader(text)).Send(t.Context(), &first); err != nil {
			if !errors.Is(err, ErrStream) {
				t.Fatal(err)
			}
			return
		}
		var stream strings.Builder
		e := NewEncoder(&stream)
		if err := NewDecoder(strings.NewReader(text)).Send(t.Context(), e); err != nil || e.End(nil) != nil {
			t.Fatal(err)
		}
		if err := NewDecoder(strings.NewReader(stream.String())).Send(t.Context(), &again); err != nil {
			t.Fatal(err)
		}
		if a, b := fmt.Sprint(first), fmt.Sprint(again); a != b {
			t.Fatalf("%s\nbecame\n%s", a, b)
		}
	})
}

// FuzzNames: a mailbox's name comes back from the names of its files; any file name is
// read without harm.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"INBOX", "A/B", "Bücher/a.b", "100%2E/%25", ".sbd/x.mbox", "&-/&AC4-", "1500000001.M1.host,S=12,W=13:2,FSab", "x;2,", "../..", "a\x00b", "#x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		name := folderName(text)
		if folderName(name) != name {
			t.Fatalf("%q becomes %q and then %q", text, name, folderName(name))
		}
		if dir, err := maildirFolder(name); err == nil && name != inbox {
			if got := folderName(maildirLevels(dir[1:])); got != name || strings.ContainsAny(dir, "/\x00") {
				t.Fatalf("%q in %q is %q", name, dir, got)
			}
		}
		for level := range strings.SplitSeq(name, "/") {
			file := mboxLevel(level)
			if got := mboxFolder(file); got != level || file == "." || file == ".." || strings.ContainsAny(file, "/\x00") {
				t.Fatalf("%q in %q is %q", level, file, got)
			}
		}
		unique, letters, _ := splitInfo(text)
		if len(unique)+len(letters) > len(text) || fileSize(text) < -1 {
			t.Fatalf("%q: %q %q", text, unique, letters)
		}
		flags := flagsOf(letters, parseKeywords(text))
		lettersOf(flags, func(string) byte { return 'a' })
		parseSubscriptions(text)
	})
}

// FuzzHeader: state is taken out of any header, and nothing is added to it.
func FuzzHeader(f *testing.F) {
	f.Add("Status: RO\r\nX-Status: A\r\nX-Keywords: a\r\nStatus: own\r\n\r\n")
	f.Add("X-Mozilla-Status: 1008\nX-Gmail-Labels: =?UTF-8?Q?a,=22b,c=22?=,\n Unread\nContent-Length: 12\n\nbody")
	f.Fuzz(func(t *testing.T, text string) {
		n, rest := noteHeader([]byte(text))
		if len(rest) > len(text) || len(n.flags) > maxFlags {
			t.Fatalf("%q became %q, %v", text, rest, n.flags)
		}
		if list := n.folders(); len(list) == 0 || len(list) > maxFolders {
			t.Fatal(list)
		}
	})
}
