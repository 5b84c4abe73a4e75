package mailauth

import (
	"bytes"
	"net/netip"
	"strings"

	"mailstead/mailbox/message"
)

// maxReceived is the number of Received fields that are read for the host
// before a relay. A message may have more, but no relay has so many hosts.
const maxReceived = 20

// ClientBehind gives the host that handed a message to the relays that are
// trusted: its address and the name it gave with HELO, as the topmost Received
// field of theirs names them. Header is as the last relay sent it, without a
// field of ours. Loopback and private addresses are taken for the relays' own.
//
// It is false where a field cannot be read before such a host is found, or where
// there is none: the mail began at a relay.
func ClientBehind(header []byte, trusted func(netip.Addr) bool) (ip netip.Addr, helo string, ok bool) {
	read := 0
	for f := range message.Fields(header) {
		if !bytes.EqualFold(f.Name, []byte("Received")) {
			continue
		}
		if read++; read > maxReceived {
			break
		}
		ip, helo, ok = receivedFrom(string(f.Value))
		if !ok {
			break
		}
		if !trusted(ip) && !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() {
			return ip, helo, true
		}
	}
	return netip.Addr{}, "", false
}

// receivedFrom reads the clause "from NAME (… [ADDRESS])" of a Received field
// (RFC 5321 section 4.4). Mail servers write it in many ways; what the client
// chose for itself, the name and whatever is marked as HELO, is never taken for
// its address, unless nothing else is there.
func receivedFrom(value string) (ip netip.Addr, helo string, ok bool) {
	clause, found := fromClause(value)
	if !found {
		return netip.Addr{}, "", false
	}
	helo, rest, _ := strings.Cut(clause, " ")
	bare := netip.Addr{}
	for word, before := range addressWords(rest) {
		addr, bracketed, isAddr := addressWord(word)
		switch {
		case !isAddr || strings.EqualFold(before, "helo") || strings.EqualFold(before, "ehlo"):
		case bracketed:
			ip = addr
		default:
			bare = addr
		}
	}
	if !ip.IsValid() {
		ip = bare
	}
	if !ip.IsValid() {
		ip, _, _ = addressWord(helo)
	}
	return ip, helo, ip.IsValid()
}

// fromClause cuts what stands between "from" and "by", with single spaces.
func fromClause(value string) (string, bool) {
	words := strings.Fields(value)
	if len(words) < 3 || !strings.EqualFold(words[0], "from") {
		return "", false
	}
	// The name is the client's choice, and may be "by", or have parentheses.
	depth := 0
	for i, w := range words[2:] {
		if depth == 0 && strings.EqualFold(w, "by") {
			return strings.Join(words[1:2+i], " "), true
		}
		depth += strings.Count(w, "(") - strings.Count(w, ")")
	}
	return "", false
}

// addressWords iterates over the words of a clause, parentheses aside, each with
// the one before it. A word behind "=" has that as the one before: Exim writes
// "helo=NAME".
func addressWords(clause string) func(yield func(word, before string) bool) {
	return func(yield func(word, before string) bool) {
		before := ""
		for word := range strings.FieldsFuncSeq(clause, func(r rune) bool { return strings.ContainsRune(" ()=;,", r) }) {
			if !yield(word, before) {
				return
			}
			before = word
		}
	}
}

// addressWord reads an address, in brackets or bare, possibly with "IPv6:" in
// front or a port behind.
func addressWord(word string) (addr netip.Addr, bracketed, ok bool) {
	if inner, found := strings.CutPrefix(word, "["); found {
		inner, _, bracketed = strings.Cut(inner, "]")
		if !bracketed {
			return netip.Addr{}, false, false
		}
		word = inner
	}
	if len(word) > 5 && strings.EqualFold(word[:5], "IPv6:") {
		word = word[5:]
	}
	addr, err := netip.ParseAddr(word)
	return addr.Unmap().WithZone(""), bracketed, err == nil
}
