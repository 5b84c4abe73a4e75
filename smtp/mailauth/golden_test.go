package mailauth

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var updateSigned = flag.Bool("update-signed", false, "write the .want files of testdata/signed anew")

// TestSignedGolden holds messages of testdata/signed, which have CRLF on the
// way in, against what is found in them: NAME.want, whose first line says why
// the case is there. The keys are in testdata/keys.txt; private/ is for one's
// own mail.
func TestSignedGolden(t *testing.T) {
	zone := readKeys(t)
	files, err := filepath.Glob("testdata/signed/*.eml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	private, err := filepath.Glob("testdata/signed/private/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, private...) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			got := describeResults(verifyMessage(t, zone, readMessage(t, file), 512))
			wantFile := strings.TrimSuffix(file, ".eml") + ".want"
			want, err := os.ReadFile(wantFile)
			why, _, _ := strings.Cut(string(want), "\n")
			if *updateSigned {
				if err := os.WriteFile(wantFile, []byte(why+"\n"+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err != nil || !strings.HasPrefix(why, "why: ") {
				t.Fatalf("%s does not say why the case is there: %v", wantFile, err)
			}
			if diff := cmp.Diff(string(want), why+"\n"+got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// describeResults is the text of a .want file.
func describeResults(r Results) string {
	var b strings.Builder
	for _, d := range r.DKIM {
		fmt.Fprintf(&b, "dkim %s d=%s s=%s i=%s a=%s bits=%d b=%s %s\n", d.Result, d.Domain, d.Selector, d.Identity, d.Algorithm, d.KeyBits, d.Prefix, d.Reason)
	}
	fmt.Fprintf(&b, "arc %s oldest-pass=%d %s\n", r.ARC.Result, r.ARC.OldestPass, r.ARC.Reason)
	for i, set := range r.ARC.Sets {
		fmt.Fprintf(&b, "  set %d d=%s s=%s message d=%s\n", i+1, set.Domain, set.Selector, set.MessageDomain)
		b.WriteString("  " + strings.ReplaceAll(strings.TrimSpace(string(set.Results.AppendField(nil, true))), "\n", "\n  ") + "\n")
	}
	b.Write(AuthResults{ID: "mx.example.net", Methods: r.AppendMethods(nil)}.AppendField(nil, false))
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

func readMessage(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n", "\r\n")
}

// readKeys reads testdata/keys.txt: a name and a record on each line.
func readKeys(t testing.TB) *keyZone {
	t.Helper()
	b, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	zone := &keyZone{texts: map[string][]string{}}
	for line := range strings.Lines(string(b)) {
		if name, record, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			zone.texts[name] = append(zone.texts[name], record)
		}
	}
	return zone
}
