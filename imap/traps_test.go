package imap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFolderMadeAnewIsAnother proves that no MAILBOXID and no UIDVALIDITY comes again when
// folders are deleted and made, also under the same name (RFC 8474 section 4).
func TestFolderMadeAnewIsAnother(t *testing.T) {
	c := newTestServer(t).connect(t).login()
	seen := map[string]string{}
	for range 3 {
		for _, name := range []string{"One", "Two"} {
			c.send("c CREATE " + name + "\r\nd STATUS " + name + " (UIDVALIDITY MAILBOXID)\r\n")
			status := c.expect("* STATUS " + name)
			c.expect("d OK")
			fields := strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(status))
			for _, id := range []string{"validity " + fields[4], "mailbox " + fields[6]} {
				if of, known := seen[id]; known {
					t.Errorf("%s of %s was %s's before", id, name, of)
				}
				seen[id] = name
			}
		}
		c.send("e DELETE One\r\nf DELETE Two\r\n")
		c.expect("f OK")
	}
}

// TestTrapsAreInTheTable holds the table of traps, whose rows name dialogues that are there, to name all that are.
func TestTrapsAreInTheTable(t *testing.T) {
	paper, err := os.ReadFile("../docs/STANDARDS.md")
	must(t, err)
	traps, err := filepath.Glob("testdata/trap-*.dialog")
	must(t, err)
	if len(traps) == 0 {
		t.Error("there are none")
	}
	for _, name := range traps {
		if !strings.Contains(string(paper), "`imap/"+name+"`") {
			t.Errorf("docs/STANDARDS.md lacks %s", name)
		}
	}
}
