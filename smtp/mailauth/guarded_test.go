package mailauth

import (
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

// TestAddedFields: nobody can put another From, Subject … in front of what was signed; what mailing lists, and who sends it
// again, put there breaks nothing. Another implementation says so.
func TestAddedFields(t *testing.T) {
	const header, body = "From: a@b.test\r\nSubject: x\r\n\r\n", "text\r\n"
	key := SigningKey{Domain: "b.test", Selector: "s", Private: rsaKey()}
	signature, err := Sign([]SigningKey{key}, time.Now(), []byte(header), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	record := must(KeyRecord(key.Private.Public()))
	for _, f := range signedFields {
		text := f.name + ": added\r\n" + string(signature) + header + body
		found, err := dkim.VerifyWithOptions(strings.NewReader(text), &dkim.VerifyOptions{LookupTXT: func(string) ([]string, error) { return []string{record}, nil }})
		if err != nil || len(found) != 1 || (found[0].Err != nil) != f.guarded {
			t.Errorf("%s: %+v, %v", f.name, found, err)
		}
	}
}
