package imap

import (
	"math"
	"strconv"
	"testing"
)

// TestCounter writes numbers that follow each other, past each change of length, and others.
func TestCounter(t *testing.T) {
	var c counter
	expect := func(n uint32) {
		t.Helper()
		if got := string(c.append([]byte("UID "), n)); got != "UID "+strconv.FormatUint(uint64(n), 10) {
			t.Errorf("%d: %s", n, got)
		}
	}
	for n := range uint32(12_000) {
		expect(n)
	}
	for _, from := range []uint32{1, 7, 99_990, 9_999_995, 999_999_990, math.MaxUint32 - 12, 5, 5} {
		for n := range uint32(12) {
			expect(from + n)
		}
	}
	for _, n := range []uint32{math.MaxUint32, 0, 1, 0, 9, 10, 10, 9} {
		expect(n)
	}
}
