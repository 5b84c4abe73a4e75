package message

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the .want files of testdata anew")

// Each case is a message, NN-case.eml, and what must be read from it, NN-case.want, whose first line says why the case
// is there. Mail of one's own can be put into testdata/private, where it stays out of the repository.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 60 {
		t.Fatalf("%d cases found, there should be more than 60", len(files))
	}
	private, err := filepath.Glob("testdata/private/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, private...) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) { runGolden(t, file) })
	}
}

func runGolden(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wantFile := strings.TrimSuffix(file, ".eml") + ".want"
	want, err := os.ReadFile(wantFile)
	if err != nil && !*update {
		t.Fatal(err)
	}
	why, _, _ := strings.Cut(string(want), "\n")
	if !strings.HasPrefix(why, "why: ") && !strings.Contains(file, "private") {
		t.Errorf("%s does not begin with why the case is there", wantFile)
	}
	got := why + "\n" + describeMessage(t, raw)
	if *update {
		if err := os.WriteFile(wantFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
}

// describeMessage tells all that the package says about a message.
func describeMessage(t *testing.T, raw []byte) string {
	v := view(t, string(raw))
	var b strings.Builder
	line := func(name string, format string, args ...any) {
		fmt.Fprintf(&b, "%s: %s\n", name, fmt.Sprintf(format, args...))
	}
	line("size", "%d, header %d, lines %d", v.Size(), v.HeaderSize(), v.Lines())
	line("envelope", "%s", v.Envelope())
	if u := v.EnvelopeUTF8(); u != nil {
		line("envelope-utf8", "%s", u)
	}
	line("bodystructure", "%s", v.BodyStructure())
	if u := v.BodyStructureUTF8(); u != nil {
		line("bodystructure-utf8", "%s", u)
	}
	line("body", "%s", v.AppendBody(nil))
	describeParts(t, &b, v, raw)
	subject, _ := FieldValue(raw[:v.HeaderSize()], "subject")
	line("subject", "%q", DecodeHeader(subject))
	line("base subject", "%q reply=%v", v.BaseSubject(), v.IsReply())
	if sent, ok := v.SentDate(); ok {
		line("sent", "%s", time.Unix(sent, 0).In(time.FixedZone("", v.SentZone())).Format(time.RFC3339))
	}
	line("message-id", "%q, in reply to %q, references %q", v.MessageID(), v.InReplyTo(), v.AppendReferences(nil))
	line("preview", "%q", v.Preview())
	var tr TextReader
	err := tr.Read(bytes.NewReader(raw), v, ScopeBody, func(text []byte, first bool) bool {
		mark := "text"
		if !first {
			mark = "more"
		}
		line(mark, "%q", cutString(text, 300))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func describeParts(t *testing.T, b *strings.Builder, v *View, raw []byte) {
	n := 0
	for p := range v.Parts() {
		if n++; n > 30 {
			fmt.Fprintf(b, "part: and more\n")
			return
		}
		if p.HeaderStart < 0 || p.BodyStart+p.BodySize > int64(len(raw)) {
			t.Errorf("part %d is outside of the message", n)
		}
		charset := ""
		if len(p.Charset) > 0 {
			charset = " " + string(p.Charset)
		}
		fmt.Fprintf(b, "part: %s%s/%s%s %s header %d+%d body %d+%d lines %d\n", strings.Repeat("  ", p.Depth), p.Type, p.Subtype,
			charset, p.Encoding, p.HeaderStart, p.HeaderSize, p.BodyStart, p.BodySize, p.Lines)
	}
}
