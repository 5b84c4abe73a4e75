package message

import "testing"

// TestSortAddress has the address that a message is sorted by.
func TestSortAddress(t *testing.T) {
	const others = "Subject: (\" )((\r\nSender: \"A (b) \\\" c\" <s@x.example>, (( <t@x>\r\nReply-To: r@x.example\r\n"
	tests := []struct {
		header               string
		field                AddressField
		mailbox, displayName string
	}{
		{"From: Zoe <ann@x.example>\r\n", FromAddress, "ANN", "ZOE"},
		{"From: ann@x.example, Zoe <b@x.example>\r\n", FromAddress, "ANN", "ANN@X.EXAMPLE"},
		{"From: \"\" <ann@x.example>\r\n", FromAddress, "ANN", "ANN@X.EXAMPLE"},
		{"From: \"=?utf-8?q?=C3=9Cli?=\" <u@x.example>\r\n", FromAddress, "U", "U\u0308LI"},
		{"From: =?utf-8?q?=C3=9Cli?= M <u@x.example>\r\n", FromAddress, "U", "U\u0308LI M"},
		{"From: Üli <ü@x.example>\r\n", FromAddress, "U\u0308", "U\u0308LI"},
		{"From: \"Q \\\"uote\\\" \\\\\" <\"a b\"@x.example>\r\n", FromAddress, "A B", `Q "UOTE" \`},
		{"From: friends: ann@x.example, b@x.example;\r\n", FromAddress, "FRIENDS", "FRIENDS"},
		{"From: ann\r\n", FromAddress, "ANN", "ANN@"},
		{"From:\r\n", FromAddress, "", ""},
		{"", FromAddress, "", ""},
		{"To: t@x.example\r\nFrom: f@x.example\r\n", ToAddress, "T", "T@X.EXAMPLE"},
		{others + "From: f@x.example\r\nCc: C <c@x.example>\r\nTo: T <t@x.example>\r\n", ToAddress, "T", "T"},
		{others + "From: f@x.example\r\nCc: C <c@x.example>\r\n", CcAddress, "C", "C"},
		{others + "From: f@x.example\r\nCc: C <c@x.example>\r\n", ToAddress, "", ""},
	}
	for _, tt := range tests {
		v, err := Open(Parse([]byte(tt.header + "\r\nx\r\n")).AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(v.AppendSortAddress(nil, tt.field, false)); got != tt.mailbox {
			t.Errorf("%q: sorted by %q, want %q", tt.header, got, tt.mailbox)
		}
		if got := string(v.AppendSortAddress(nil, tt.field, true)); got != tt.displayName {
			t.Errorf("%q: displayed as %q, want %q", tt.header, got, tt.displayName)
		}
	}
}

// FuzzSortAddress reads arbitrary octets as an ENVELOPE: less may be found, nothing may go wrong.
func FuzzSortAddress(f *testing.F) {
	f.Add([]byte(`("date" "subject" (("Name" NIL "ann" "x.example")) NIL NIL ((NIL NIL "b\"" "y")) NIL NIL NIL "<id>")`), byte(3))
	f.Add([]byte(`(NIL NIL ((`), byte(0))
	f.Fuzz(func(t *testing.T, envelope []byte, n byte) {
		entry := firstEntry(envelope, int(n%8))
		for range 4 {
			var s []byte
			if s, entry = nextString(entry); len(decodedText(nil, s)) > 64*len(s)+64 {
				t.Fatalf("%q grew out of %d octets", s, len(envelope))
			}
		}
	})
}
