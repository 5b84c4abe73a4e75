package main

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// capabilityRFC is every IMAP capability there is, without its value, and the RFC
// whose row of docs/STANDARDS.md says where it is made and which dialogues show it.
var capabilityRFC = map[string]string{
	"IMAP4rev1": "3501", "IMAP4rev2": "9051", "STARTTLS": "3501",
	"SASL-IR": "4959", "LITERAL+": "7888", "ENABLE": "5161", "ID": "2971", "IDLE": "2177", "NAMESPACE": "2342",
	"CHILDREN": "3348", "UNSELECT": "3691", "UIDPLUS": "4315", "MOVE": "6851", "MULTIAPPEND": "3502", "APPENDLIMIT": "7889",
	"BINARY": "3516", "CATENATE": "4469", "REPLACE": "8508", "UTF8=ACCEPT": "6855", "I18NLEVEL=1": "5255",
	"ESEARCH": "4731", "SEARCHRES": "5182", "WITHIN": "5032", "PARTIAL": "9394", "MULTISEARCH": "7377", "SEARCH=FUZZY": "6203",
	"SORT": "5256", "SORT=DISPLAY": "5957", "ESORT": "5267", "CONTEXT=SEARCH": "5267", "CONTEXT=SORT": "5267",
	"THREAD=ORDEREDSUBJECT": "5256", "THREAD=REFERENCES": "5256", "THREAD=REFS": "5256",
	"SAVEDATE": "8514", "OBJECTID": "8474", "PREVIEW": "8970", "STATUS=SIZE": "8438",
	"LIST-EXTENDED": "5258", "LIST-STATUS": "5819", "SPECIAL-USE": "6154", "CREATE-SPECIAL-USE": "6154",
	"QUOTA": "9208", "QUOTA=RES-STORAGE": "9208", "QUOTA=RES-MESSAGE": "9208",
	"ACL": "4314", "RIGHTS=texk": "4314", "LIST-MYRIGHTS": "8440",
	"CONDSTORE": "7162", "QRESYNC": "7162", "NOTIFY": "5465", "METADATA": "5464", "LIST-METADATA": "9590",
	"UIDONLY": "9586", "UIDBATCHES": "10022", "MESSAGELIMIT": "9738",
	"COMPRESS=DEFLATE": "4978", "INPROGRESS": "9585", "UNAUTHENTICATE": "8437",
	"AUTH=PLAIN": "4616", "AUTH=LOGIN": "4616",
	"AUTH=SCRAM-SHA-1": "5802", "AUTH=SCRAM-SHA-1-PLUS": "5802", "AUTH=SCRAM-SHA-256": "7677", "AUTH=SCRAM-SHA-256-PLUS": "7677",
}

var dialogueName = regexp.MustCompile("`(imap/testdata/[^`]*\\.dialog)`")

// TestStandardOfEachCapability holds what the server announces against the table
// of standards: every capability has an RFC, files and what shows it, and none is
// in the table that no client is told of.
func TestStandardOfEachCapability(t *testing.T) {
	rows := map[string]standard{}
	for _, row := range standardsIn(readPaper(t, "STANDARDS.md")) {
		for _, rfc := range row.rfcs {
			rows[rfc] = row
		}
	}
	announced := announcedCapabilities(t)
	for _, name := range slices.Sorted(maps.Keys(capabilityRFC)) {
		if !announced[name] {
			t.Errorf("%s is announced to nobody", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(announced)) {
		row, ok := rows[capabilityRFC[name]]
		if !ok {
			t.Errorf("%s is announced, and no standard has a row for it", name)
			continue
		}
		t.Logf("%s: RFC %s, in %s, shown by %s", name, capabilityRFC[name], row.files, row.shown)
		if !shownByTest(name) && !hasDialogue(t, row) {
			t.Errorf("%s: no dialogue shows it: %s", name, row.shown)
		}
	}
}

// shownByTest is of what no dialogue can show: words that depend on secrets and on time.
func shownByTest(name string) bool { return strings.HasPrefix(name, "AUTH=") || name == "INPROGRESS" }

// hasDialogue reports whether a standard is shown by dialogues that are there.
func hasDialogue(t *testing.T, row standard) bool {
	t.Helper()
	for _, m := range dialogueName.FindAllStringSubmatch(row.shown, -1) {
		found, err := filepath.Glob(filepath.Join(houseRoot, m[1]))
		if err != nil || len(found) == 0 {
			t.Errorf("there is no dialogue %s: %v", m[1], err)
			continue
		}
		return true
	}
	return false
}

// announcedCapabilities is what clients are told before and after their login, in
// the clear and under TLS; the values of limits are left out.
func announcedCapabilities(t *testing.T) map[string]bool {
	t.Helper()
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass")
	announced := map[string]bool{}
	for _, c := range []*talk{s.dial(143, "* OK"), s.dialTLS(993, "* OK")} {
		for _, login := range []string{"", "l LOGIN user@example.test pass"} {
			if login != "" {
				c.say(login, "l OK")
			}
			for _, name := range strings.Fields(c.say("c CAPABILITY", "* CAPABILITY "))[2:] {
				if limit, _, ok := strings.Cut(name, "LIMIT="); ok {
					name = limit + "LIMIT"
				}
				announced[name] = true
			}
			c.expect("c OK")
		}
	}
	return announced
}
