package check

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestRowsOfRecords: the rows of `domain show --json` become results that say what is to be done, and print as such.
func TestRowsOfRecords(t *testing.T) {
	const rows = `[
		{"name": "a.test", "type": "MX", "text": "10 mail.a.test.", "state": "matches"},
		{"name": "a.test", "type": "TXT", "text": "v=spf1 mx ~all", "state": "missing"},
		{"name": "_dmarc.a.test", "type": "TXT", "text": "v=DMARC1; p=none", "state": "differs", "found": ["v=DMARC1\u0007", "2", "3", "4"]},
		{"name": "new._domainkey.a.test", "type": "TXT", "text": "v=DKIM1; p=", "state": "unknown"},
		{"name": "old._domainkey.a.test", "type": "TXT", "text": "v=DKIM1; p=", "state": "matches", "gone": true, "note": "of a key that is deleted"},
		{"name": "older._domainkey.a.test", "type": "TXT", "text": "v=DKIM1; p=", "state": "missing", "gone": true}]`
	var list []Record
	if err := json.Unmarshal([]byte(rows), &list); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Print(&b, Records(list), false); err != nil {
		t.Fatal(err)
	}
	const want = `Records
  ok             MX a.test: 10 mail.a.test.
  !!             TXT a.test: there is none
                 publish  a.test. IN TXT "v=spf1 mx ~all"
  !!             TXT _dmarc.a.test: there is "v=DMARC1\a", "2", "3" ...
                 put in its place  _dmarc.a.test. IN TXT "v=DMARC1; p=none"
  ??             TXT new._domainkey.a.test: the DNS could not be asked
                 publish  new._domainkey.a.test. IN TXT "v=DKIM1; p="
  --             TXT old._domainkey.a.test: of a key that is deleted
                 remove it
`
	if b.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", b.String(), want)
	}
}
