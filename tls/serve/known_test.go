package serve

import (
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"
)

// TestKnownAddressesGetIn: strangers that take all there is do not keep out who has logged in before, here or at a server beside.
func TestKnownAddressesGetIn(t *testing.T) {
	known := NewKnown()
	_, beside := start(t, Options{Known: known}, echo)
	user, r := dial(t, beside)
	expect(t, r, "hello\n")
	io.WriteString(user, "login ann\n")
	expect(t, r, "login ann\n")
	_, address := start(t, Options{MaxStrangers: 4, Busy: "busy\n", Known: known}, echo)
	for i := range 4 {
		_, r := dialAs(t, fmt.Sprintf("127.0.0.%d", 2+i%2), address)
		expect(t, r, "hello\n")
	}
	_, r = dialAs(t, "127.0.0.2", address)
	expect(t, r, "busy\n")
	user, r = dial(t, address)
	expect(t, r, "hello\n")
	_, second := dial(t, address)
	expect(t, second, "busy\n") // the reserve is one of four
	io.WriteString(user, "login ann\n")
	expect(t, r, "login ann\n")
	_, second = dial(t, address) // who has logged in counts no more
	expect(t, second, "hello\n")
}

// TestKnownAreForgotten: by time, and when there are too many.
func TestKnownAreForgotten(t *testing.T) {
	k, now := NewKnown(), time.Now()
	at := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	k.remember(at(0), now)
	if !k.has(at(0), now.Add(knownFor-1)) || k.has(at(0), now.Add(knownFor)) || k.has(at(1), now) {
		t.Error("one address is known for another time than knownFor")
	}
	for i := range 2 * maxKnown {
		k.remember(at(i), now.Add(knownFor))
		if len(k.until) > maxKnown || !k.has(at(i), now.Add(knownFor)) {
			t.Fatalf("%d are known after %d", len(k.until), i+1)
		}
	}
}
