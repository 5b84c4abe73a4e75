package message

import (
	"bytes"
	"testing"
)

// What is found of a name is what stands in the first of all fields that has it.
func FuzzFieldValue(f *testing.F) {
	for _, header := range []string{
		"Name: a\r\n", "NAME : a\r\n b\r\nname: c\r\n\r\n", "Names: a\r\nname:b", "Name\r\n: a\r\nname:\r\n", "\r\nName: a\r\n",
		" folded\r\nName:\r\n a\r\n", "na me: a\nname\t:b\n\nname:c", "Nam\r\nName", "Other: name: a\r\n name: b\r\n", "name", ":name:", "",
	} {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		var want []byte
		found := false
		for field := range Fields(header) {
			if bytes.EqualFold(field.Name, []byte("name")) {
				want, found = field.Value, true
				break
			}
		}
		if got, ok := FieldValue(header, "Name"); ok != found || !bytes.Equal(got, want) {
			t.Fatalf("%q: %q, %v; want %q, %v", header, got, ok, want, found)
		}
	})
}
