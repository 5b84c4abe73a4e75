package mailauth

import (
	"strconv"
	"strings"
	"testing"
)

// TestRecordsKeepKeys: a record gives the same key again, a broken one is never kept, and there are not too many.
func TestRecordsKeepKeys(t *testing.T) {
	var c Records
	record := must(KeyRecord(edKey.Public()))
	first, broken := c.key(record)
	if broken != (verdict{}) {
		t.Fatal(broken)
	}
	if again, _ := c.key(record); again != first {
		t.Error("the key was read twice")
	}
	if other, _ := c.key(record + "; t=s"); other == first || !other.strict {
		t.Error("another record gave the same key")
	}
	for range 2 {
		if _, broken := c.key("v=DKIM1; p="); broken != revokedKey {
			t.Errorf("a revoked key: %v", broken)
		}
	}
	for i := range 3 * maxKept {
		c.key(record + "; n=" + strconv.Itoa(i))
		if len(c.keys.read) > maxKept {
			t.Fatalf("%d keys", len(c.keys.read))
		}
	}
}

// TestRecordsKeepPolicies: the same for what SPF and DMARC ask for; nothing is kept of records that are long.
func TestRecordsKeepPolicies(t *testing.T) {
	var c Records
	first, err := c.spfRecord("v=spf1 mx -all")
	if again, _ := c.spfRecord("v=spf1 mx -all"); err != nil || again != first {
		t.Errorf("the SPF record was read twice, or not at all: %v", err)
	}
	if other, err := c.spfRecord("v=spf1 a -all"); err != nil || other == first || other.directives[0].mechanism != spfA {
		t.Errorf("another record came to the same: %v", err)
	}
	for range 2 {
		if _, err := c.spfRecord("v=spf1 none"); err == nil {
			t.Error("a broken record was read")
		}
	}
	for _, long := range []string{"v=spf1" + strings.Repeat(" mx", maxKeptDirectives+1), "v=spf1 mx" + strings.Repeat(" ", maxKeptPolicy)} {
		if _, err := c.spfRecord(long); err != nil {
			t.Errorf("%.40q: %v", long, err)
		}
	}
	if len(c.spf.read) != 2 {
		t.Errorf("%d SPF records are kept", len(c.spf.read))
	}
	policy, ok := c.dmarcRecord("v=DMARC1; p=reject")
	if again, _ := c.dmarcRecord("v=DMARC1; p=reject"); !ok || again != policy || policy.p != DMARCReject {
		t.Errorf("DMARC record: %+v", policy)
	}
	if _, ok := c.dmarcRecord("v=spf1 -all"); ok || len(c.dmarc.read) != 1 {
		t.Errorf("%d DMARC records are kept", len(c.dmarc.read))
	}
}
