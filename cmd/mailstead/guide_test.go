package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// freshTranscript is what the owner of a new machine sees of `mailstead setup`; TestSetupFresh makes it.
const freshTranscript = "testdata/setup-fresh.txt"

// packageTranscript is the same with the Debian package before it; TestPackageFresh makes it.
const packageTranscript = "testdata/setup-package.txt"

// firstDayTranscript is what follows, once the records are published; TestPackageFresh makes it.
const firstDayTranscript = "testdata/first-day.txt"

var guideBlock = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

// TestGuideShowsWhatHappens holds what the guide shows of a terminal against the transcripts of TestPackageFresh and TestSetupFresh,
// and what it shows of checks against those of package check's TestStates.
func TestGuideShowsWhatHappens(t *testing.T) {
	names, err := filepath.Glob("../internal/check/testdata/states/*.txt")
	if err != nil || len(names) < 25 {
		t.Fatalf("transcripts of checks: %v, %v", names, err)
	}
	var transcripts []string
	for _, name := range append(names, packageTranscript, freshTranscript, firstDayTranscript) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		transcripts = append(transcripts, string(b))
	}
	shown := 0
	for _, block := range guideBlock.FindAllStringSubmatch(readPaper(t, "GUIDE.md"), -1) {
		shown++
		said := strings.TrimPrefix(block[1], "# mailstead check\n")
		if !slices.ContainsFunc(transcripts, func(text string) bool { return strings.Contains(text, said) }) {
			t.Errorf("no transcript has\n%s", block[1])
		}
	}
	if shown < 10 {
		t.Errorf("%d pieces of the transcripts: has the guide's form changed?", shown)
	}
}

// typed is a command line of ours in a paper. One in running text may leave arguments out.
type typed struct {
	words []string
	whole bool
}

var (
	inBlock = regexp.MustCompile(`^(?:    |# |\$ )(?:\./)?mailstead (.*)`) // indented, or behind a prompt
	inFence = regexp.MustCompile(`^mailstead (.*)`)
	inText  = regexp.MustCompile("`mailstead ([^`]*)`")
	endOf   = regexp.MustCompile(` +#.*| [|<>].*`)
)

// commandsIn are the command lines that a paper shows.
func commandsIn(paper string) (lines []typed) {
	fence := ""
	for line := range strings.Lines(paper) {
		line = strings.TrimSuffix(line, "\n")
		if language, ok := strings.CutPrefix(line, "```"); ok {
			fence = language
			continue
		}
		m := inBlock.FindStringSubmatch(line)
		if m == nil && fence == "sh" {
			m = inFence.FindStringSubmatch(line)
		}
		if m != nil {
			lines = append(lines, typed{shellWords(endOf.ReplaceAllString(m[1], "")), true})
			continue
		}
		for _, m := range inText.FindAllStringSubmatch(line, -1) {
			lines = append(lines, typed{shellWords(endOf.ReplaceAllString(m[1], "")), false})
		}
	}
	return lines
}

// shellWords takes a line apart as a shell does, as far as papers need it.
func shellWords(line string) (words []string) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// wrong says what the command line has against it.
func (c typed) wrong(parser *kong.Kong) error {
	if c.whole {
		for _, node := range leaves(parser.Model.Node, nil) { // the parser remembers what was given last time
			for _, f := range slices.Concat(node.AllFlags(false)...) {
				f.Set = false
			}
		}
		_, err := parser.Parse(c.words)
		return err
	}
	trace, err := kong.Trace(parser, c.words)
	if err != nil {
		return err
	}
	return trace.Error
}

// TestPapersShowCommandsThatAre has the command line read what papers for people show of it.
func TestPapersShowCommandsThatAre(t *testing.T) {
	papers, err := filepath.Glob(filepath.Join(houseRoot, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	parser, _ := helpingParser(t)
	shown := 0
	for _, name := range append(papers, filepath.Join(houseRoot, "README.md")) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range commandsIn(string(b)) {
			if slices.Equal(c.words, []string{"is", "ready"}) {
				continue // what a server says
			}
			shown++
			if err := c.wrong(parser); err != nil {
				t.Errorf("%s: mailstead %s: %v", filepath.Base(name), strings.Join(c.words, " "), err)
			}
		}
	}
	if shown < 100 {
		t.Errorf("%d commands: has the papers' form changed?", shown)
	}
}

// TestPapersShowNoOtherCommands feeds the look-up what is wrong.
func TestPapersShowNoOtherCommands(t *testing.T) {
	parser, _ := helpingParser(t)
	for text, want := range map[string]string{
		"    mailstead status --watch      # a comment with --nonsense":     "",
		"see `mailstead account add` or `mailstead help`":                   "",
		"```sh\nmailstead backup --to - | gzip --best >x\n```":              "",
		"# ./mailstead setup example.org":                                   "",
		"    mailstead account vacation on a@b --text \"Back in January.\"": "",
		"    mailstead account add":                                         "expected",
		"    mailstead acount add x":                                        "acount",
		"`mailstead status --wach`":                                         "wach",
		"$ mailstead queue list --too x":                                    "too",
	} {
		lines := commandsIn(text)
		if len(lines) == 0 {
			t.Errorf("%q: no command", text)
		}
		for _, c := range lines {
			err := c.wrong(parser)
			if got := fmt.Sprint(err); (err != nil) != (want != "") || !strings.Contains(got, want) {
				t.Errorf("%q: %v", c.words, err)
			}
		}
	}
}
