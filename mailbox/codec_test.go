package mailbox

import (
	"errors"
	"math"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"
)

// codecCases has every operation at the edges of its fields.
var codecCases = map[string][]op{
	"nothing": nil,
	"account": {opAccount{Account: 7}, opAccount{Account: math.MaxUint32, Deleted: true, Time: -1}},
	"limits": {
		opLimits{Account: 7, Quota: Quota{Storage: 5 << 30, Messages: 1000}},
		opLimits{Account: math.MaxUint32, Quota: Quota{Storage: math.MaxInt64}},
		opLimits{Account: 1},
	},
	"mailbox": {
		opMailbox{ID: 1, Account: 7, Name: "INBOX", UIDValidity: math.MaxUint32},
		opMailbox{ID: math.MaxUint32, Name: "a/ä/\x00", SpecialUse: goimap.MailboxAttrJunk},
	},
	"mailbox gone":  {opMailboxGone{ID: 3, Time: 1 << 40}},
	"subscriptions": {opSubscription{Account: 1, Name: "x", On: true}, opSubscription{Account: 1, Name: ""}},
	"keywords": {
		opKeywords{Mailbox: 1, First: 0, Names: []string{"$Forwarded", ""}},
		opKeywords{Mailbox: 1, First: MaxKeywords},
	},
	"add": {opAdd{Mailbox: 9, Messages: []added{
		{UID: 1, Flags: FlagSet{1, 1 << 63}, Size: 4711, Internal: Date{Unix: 1700000000, Zone: -720}, Saved: 1700000001, Body: 12},
		{UID: 2, Size: math.MaxInt64, Internal: Date{Unix: math.MinInt64, Zone: math.MaxInt16}, Saved: -5, Body: math.MaxUint64},
		{UID: math.MaxUint32, Internal: Date{Unix: math.MaxInt64, Zone: math.MinInt16}, Saved: math.MaxInt64, Body: 1},
		{UID: 5}, // in no order: comes back as it was
	}}},
	"flags": {
		opFlags{Mailbox: 1, Flags: FlagSet{math.MaxUint64, math.MaxUint64}, UIDs: []uidRange{{1, 1}, {3, 10}, {12, math.MaxUint32}}},
		opFlags{Mailbox: 1, UIDs: []uidRange{{10, 3}, {1, 2}}},
	},
	"expunge": {opExpunge{Mailbox: 1, Time: 1700000000, UIDs: []uidRange{{5, 5}}}, opExpunge{Mailbox: 2}},
	"recent":  {opRecent{Mailbox: 4, Below: 17}},
	"purge": {
		opPurge{Messages: []deletedID{{Time: 1700000000, ModSeq: 7, Mailbox: 3, First: 1}, {Time: 1700000000, ModSeq: 9, Mailbox: 4, First: 300},
			{Time: -1, ModSeq: math.MaxUint64, Mailbox: math.MaxUint32, First: math.MaxUint32}}},
		opPurge{Mailboxes: []ID{3, math.MaxUint32}},
	},
	"restored": {
		opRestored{Messages: []deletedPart{{From: deletedID{Time: 1700000000, ModSeq: 7, Mailbox: 3, First: 1}, UIDs: []uidRange{{1, 1}, {3, 4}}},
			{From: deletedID{Time: 1700000001, ModSeq: 8, Mailbox: 3, First: 9}}}, Mailboxes: []ID{3}},
		opRestored{},
	},
	"room": {
		opRoom{Room: "queue", Key: "k", Value: []byte("v"), Body: 12},
		opRoom{Room: "queue", Key: "empty", Value: []byte{}},
		opRoom{Room: "queue", Key: "deleted"},
	},
	"rights": {
		opRights{Mailbox: 7, Grants: []Grant{{Rights: RightLookup}, {Account: 1, Rights: AllRights}, {Account: 1, Negative: true, Rights: RightAdmin},
			{Account: math.MaxUint32, Negative: true, Rights: RightRead}}},
		opRights{Mailbox: math.MaxUint32},
	},
	"annotation": {
		opAnnotation{Mailbox: 3, Name: "/shared/comment", Value: []byte("a\x00b")},
		opAnnotation{Mailbox: math.MaxUint32, Account: math.MaxUint32, Name: "/private/comment", Value: []byte{}},
		opAnnotation{Account: 7, Name: "/private/x"},
	},
	"moved":     {opMoved{Body: 1}, opMoved{Body: math.MaxUint64}},
	"given":     {opGiven{Account: 1, Mailbox: 2, Body: 3}, opGiven{Account: math.MaxUint32, Mailbox: math.MaxUint32, Body: math.MaxUint64}},
	"forgotten": {opForgotten{Bodies: []bodyRange{{1, 1}, {7, 4102}, {math.MaxUint64, math.MaxUint64}}}, opForgotten{}},
}

func TestCodecRoundTrip(t *testing.T) {
	for name, ops := range codecCases {
		t.Run(name, func(t *testing.T) {
			got, err := decodeOps(appendOps(nil, ops))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(ops, got); d != "" {
				t.Errorf("decoded differs (-want +got):\n%s", d)
			}
		})
	}
}

func TestCodecAppends(t *testing.T) {
	ops := codecCases["room"]
	if got := appendOps([]byte("before"), ops); string(got) != "before"+string(appendOps(nil, ops)) {
		t.Errorf("got %q", got)
	}
}

// Every proper prefix is refused: truncation never gives fewer operations,
// except where it cuts between two of them, which a record's checksum sees.
func TestCodecTruncated(t *testing.T) {
	for name, ops := range codecCases {
		for _, o := range ops {
			whole := appendOps(nil, []op{o})
			for n := 2; n < len(whole); n++ {
				if _, err := decodeOps(whole[:n]); !errors.Is(err, errRecord) {
					t.Errorf("%s: %d of %d bytes: error %v", name, n, len(whole), err)
				}
			}
		}
	}
}

func TestCodecRefuses(t *testing.T) {
	for name, meta := range map[string]string{
		"nothing":              "",
		"version 0":            "\x00",
		"newer version":        "\x02",
		"unknown code":         "\x01\x7f",
		"code 0":               "\x01\x00",
		"bool of 2":            "\x01\x01\x01\x02\x00",
		"account over 32 bits": "\x01\x01\x80\x80\x80\x80\x10\x00\x00",
		"varint over 64 bits":  "\x01\x0a\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"endless varint":       "\x01\x01\x80\x80",
		"keyword out of table": "\x01\x05\x01\x79\x00",
		"a billion messages":   "\x01\x06\x01\x80\x94\xeb\xdc\x03\x00",
		"a billion ranges":     "\x01\x08\x01\x00\x80\x94\xeb\xdc\x03\x00",
		"a billion names":      "\x01\x05\x01\x00\x80\x94\xeb\xdc\x03\x00",
		"a billion bodies":     "\x01\x0f\x80\x94\xeb\xdc\x03\x00",
		"too many bodies":      "\x01\x0f\x01\x01\x80\x20",
		"bodies in no order":   "\x01\x0f\x02\x01\x00\x00\x00",
		"bodies wrap around":   "\x01\x0f\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01",
		"rights of all bits":   "\x01\x11\x01\x01\x01\x80\x20",
		"no rights":            "\x01\x11\x01\x01\x01\x00",
		"rights twice":         "\x01\x11\x01\x02\x01\x02\x01\x04",
		"a billion grants":     "\x01\x11\x01\x80\x94\xeb\xdc\x03\x00",
		"long string":          "\x01\x04\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a\x01",
	} {
		if ops, err := decodeOps([]byte(meta)); !errors.Is(err, errRecord) {
			t.Errorf("%s: %v, error %v", name, ops, err)
		}
	}
}

func FuzzDecodeOps(f *testing.F) {
	for _, ops := range codecCases {
		f.Add(appendOps(nil, ops))
	}
	f.Fuzz(func(t *testing.T, meta []byte) {
		ops, err := decodeOps(meta)
		if err != nil {
			if !errors.Is(err, errRecord) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := decodeOps(appendOps(nil, ops))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(ops, again); d != "" {
			t.Fatal(d)
		}
	})
}

func BenchmarkAppendDelivery(b *testing.B) {
	ops := []op{opAdd{Mailbox: 12, Messages: []added{{UID: 4711, Size: 30000,
		Internal: Date{Unix: 1700000000, Zone: 60}, Saved: 1700000000, Body: 100000}}}}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = appendOps(dst[:0], ops)
	}
	b.ReportMetric(float64(len(dst)), "bytes/record")
}

// TestStoreNeed holds the space that a STORE reserves against the longest that
// its record can be: every message with flags of its own.
func TestStoreNeed(t *testing.T) {
	const last = ^goimap.UID(0)
	longest := opFlags{Mailbox: ^ID(0), Flags: FlagSet{^uint64(0), ^uint64(0)}, UIDs: []uidRange{{First: last, Last: last}}}
	if n := len(longest.appendTo(nil)); n > storeNeed {
		t.Errorf("%d bytes, %d are reserved", n, storeNeed)
	}
}
