package mailbox

import (
	"errors"
	"slices"
	"testing"
)

func TestParseRights(t *testing.T) {
	for _, c := range []struct {
		letters, again string
		ok             bool
	}{
		{"", "", true},
		{"lrswipkxtea", "lrswipkxtecda", true},
		{"aetxkpiwsrl", "lrswipkxtecda", true},
		{"rl", "lr", true},
		{"c", "kxc", true}, // RFC 4314 section 2.1.1: k and x
		{"d", "ted", true}, // t and e
		{"cda", "kxtecda", true},
		{"k", "kc", true},
		{"e", "ed", true},
		{"lL", "", false},
		{"q", "", false},
		{"0", "", false},
		{"l r", "", false},
	} {
		r, ok := ParseRights(c.letters)
		if ok != c.ok || ok && r.String() != c.again {
			t.Errorf("%q: %v, %v; want %q, %v", c.letters, r, ok, c.again, c.ok)
		}
		if again, ok := ParseRights(r.String()); ok && c.letters == c.again && again != r {
			t.Errorf("%q comes back as %v", c.letters, again)
		}
	}
}

// rightsFrom is ParseRights of letters that are right.
func rightsFrom(letters string) Rights {
	r, ok := ParseRights(letters)
	if !ok {
		panic(letters)
	}
	return r
}

// TestRightsOf: who owns a mailbox is account 1, who asks is 2.
func TestRightsOf(t *testing.T) {
	for name, c := range map[string]struct {
		grants      []Grant
		owner, user string
	}{
		"nothing":        {nil, "lrswipkxtea", ""},
		"one":            {[]Grant{{Account: 2, Rights: rightsFrom("lr")}}, "lrswipkxtea", "lr"},
		"another":        {[]Grant{{Account: 3, Rights: rightsFrom("lr")}}, "lrswipkxtea", ""},
		"anyone":         {[]Grant{{Rights: rightsFrom("lr")}}, "lrswipkxtea", "lr"},
		"both add up":    {[]Grant{{Rights: rightsFrom("lr")}, {Account: 2, Rights: rightsFrom("rs")}}, "lrswipkxtea", "lrs"},
		"taken":          {[]Grant{{Rights: rightsFrom("lrs")}, {Account: 2, Negative: true, Rights: rightsFrom("s")}}, "lrswipkxtea", "lr"},
		"taken from all": {[]Grant{{Negative: true, Rights: rightsFrom("lrswipkxtea")}, {Account: 2, Rights: rightsFrom("lr")}}, "la", ""},
		"owner's less":   {[]Grant{{Account: 1, Rights: rightsFrom("lra")}}, "lra", ""},
		"owner keeps":    {[]Grant{{Account: 1, Negative: true, Rights: AllRights}}, "la", ""},
		"owner's from anyone": {[]Grant{{Rights: rightsFrom("lr")}, {Account: 1, Rights: rightsFrom("la")}},
			"lra", "lr"},
	} {
		if got := rightsOf(c.grants, 1, 1); got != rightsFrom(c.owner) {
			t.Errorf("%s: the owner has %v, want %s", name, got, c.owner)
		}
		if got := rightsOf(c.grants, 2, 1); got != rightsFrom(c.user) {
			t.Errorf("%s: the other has %v, want %s", name, got, c.user)
		}
	}
}

// TestRightsChange makes changes one after the other to a mailbox of account 1.
func TestRightsChange(t *testing.T) {
	two := Grant{Account: 2}
	minus := Grant{Account: 2, Negative: true}
	var list []Grant
	for _, c := range []struct {
		name   string
		who    Grant
		op     RightsOp
		rights string
		want   []Grant
	}{
		{"taken from nothing", two, RightsRemove, "l", nil},
		{"set", two, RightsReplace, "lr", []Grant{{Account: 2, Rights: rightsFrom("lr")}}},
		{"added", two, RightsAdd, "rs", []Grant{{Account: 2, Rights: rightsFrom("lrs")}}},
		{"removed", two, RightsRemove, "ra", []Grant{{Account: 2, Rights: rightsFrom("ls")}}},
		{"negative", minus, RightsReplace, "w", []Grant{{Account: 2, Rights: rightsFrom("ls")}, {Account: 2, Negative: true, Rights: rightsFrom("w")}}},
		{"anyone comes first", Grant{}, RightsAdd, "l",
			[]Grant{{Rights: rightsFrom("l")}, {Account: 2, Rights: rightsFrom("ls")}, {Account: 2, Negative: true, Rights: rightsFrom("w")}}},
		{"all taken", two, RightsRemove, "ls", []Grant{{Rights: rightsFrom("l")}, {Account: 2, Negative: true, Rights: rightsFrom("w")}}},
		{"ended", minus, RightsReplace, "", []Grant{{Rights: rightsFrom("l")}}},
		{"and anyone", Grant{}, RightsReplace, "", nil},
		{"the owner's less", Grant{Account: 1}, RightsRemove, "lrswipkxte", []Grant{{Account: 1, Rights: OwnerRights}}},
		{"and one more", Grant{Account: 1}, RightsAdd, "r", []Grant{{Account: 1, Rights: rightsFrom("lra")}}},
		{"and whole again", Grant{Account: 1}, RightsReplace, "lrswipkxtea", nil},
		{"and ended", Grant{Account: 1}, RightsReplace, "", []Grant{{Account: 1, Rights: OwnerRights}}},
	} {
		c.who.Rights = rightsFrom(c.rights)
		got, err := (&RightsChange{Grant: c.who, Op: c.op}).apply(list, 1)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, c.want)
		}
		list = got
	}
	full := make([]Grant, maxGrants)
	for i := range full {
		full[i] = Grant{Account: AccountID(i + 2), Rights: RightRead}
	}
	if _, err := (&RightsChange{Grant: Grant{Account: 9999, Rights: RightRead}}).apply(full, 1); !errors.Is(err, ErrLimit) {
		t.Errorf("one entry too many: %v", err)
	}
	if got, err := (&RightsChange{Grant: Grant{Account: 2, Rights: RightLookup}}).apply(full, 1); err != nil || got[0].Rights != RightLookup {
		t.Errorf("one of a full list: %v, %v", got, err)
	}
}

// TestFlagsOfRights: s is for \Seen, t for \Deleted, w for all others.
func TestFlagsOfRights(t *testing.T) {
	others := []int{FlagAnswered, FlagFlagged, FlagDraft, KeywordBit, KeywordBit + MaxKeywords - 1}
	for letters, want := range map[string][]int{
		"lripkxea": nil, "s": {FlagSeen}, "t": {FlagDeleted}, "w": others, "swt": append([]int{FlagSeen, FlagDeleted}, others...),
	} {
		flags := rightsFrom(letters).Flags()
		for _, bit := range append([]int{FlagSeen, FlagDeleted}, others...) {
			if flags.Has(bit) != slices.Contains(want, bit) {
				t.Errorf("%s: bit %d is %v", letters, bit, flags.Has(bit))
			}
		}
	}
}
