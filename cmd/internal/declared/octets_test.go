package declared

import "testing"

func TestParseOctets(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "512B": 512, "512 b": 512, "1k": 1000, "1 kB": 1000, "500MB": 500e6, "5GB": 5e9, "5 g": 5e9, "2TB": 2e12, "9PB": 9e15,
		"": -1, "GB": -1, "-1": -1, "5.5GB": -1, "5XB": -1, "5GMB": -1, "5BB": -1, "5GiB": -1, "9223372036854775808": -1, "9224PB": -1, "5GB more": -1,
	} {
		got, err := ParseOctets(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
