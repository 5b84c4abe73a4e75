package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// freshTranscript is what the owner of a new machine sees of `mailstead setup`; TestSetupFresh makes it.
const freshTranscript = "testdata/setup-fresh.txt"

var guideBlock = regexp.MustCompile("(?ms)^```(console|sh)\n(.*?)^```$")

// TestGuideShowsWhatHappens holds what the guide shows of a terminal against the transcript of TestSetupFresh, and its commands
// against the command line.
func TestGuideShowsWhatHappens(t *testing.T) {
	transcript, err := os.ReadFile(freshTranscript)
	if err != nil {
		t.Fatal(err)
	}
	commands := leaves(commandModel(t).Node, nil)
	shown := 0
	for _, block := range guideBlock.FindAllStringSubmatch(readPaper(t, "GUIDE.md"), -1) {
		if block[1] == "console" {
			shown++
			if !strings.Contains(string(transcript), block[2]) {
				t.Errorf("%s does not have\n%s", freshTranscript, block[2])
			}
			continue
		}
		for line := range strings.Lines(block[2]) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "mailstead" || commands[words[1]] == nil && (len(words) < 3 || commands[words[1]+" "+words[2]] == nil) {
				t.Errorf("no command: %s", line)
			}
		}
	}
	if shown < 5 {
		t.Errorf("%d pieces of the transcript: has the guide's form changed?", shown)
	}
}
