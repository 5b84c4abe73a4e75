package serve

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol is what a proxy says at the beginning of a connection of whose connection it hands on
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Version 1 is a line, version 2 is binary.

// ErrProxyHeader is what is wrong with a connection of a proxy that does not begin as it has to.
var ErrProxyHeader = errors.New("no PROXY header")

const (
	// signatureV2 begins a header of version 2: no protocol's client begins so.
	signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"
	// leastProxyHeader is the shortest of both: "PROXY UNKNOWN\r\n". That of version 2 has an octet more.
	leastProxyHeader = 15
	// maxLineV1 is the longest of version 1 in octets, with its CRLF (section 2.1: 107 and a zero octet).
	maxLineV1 = 107
	// maxRestV2 bounds in octets what follows the first 16 of version 2: two addresses of 18 and what proxies add of the client's TLS,
	// which is some hundred.
	maxRestV2 = 4 << 10
)

// readProxyHeader reads a header and not an octet more. own is true for a connection that the proxy has made for itself, as to
// see whether we are there, or of whose client it does not know the address. ErrProxyHeader, or what reading failed of.
func readProxyHeader(r io.Reader) (client netip.AddrPort, own bool, err error) {
	first := make([]byte, leastProxyHeader, maxLineV1)
	if _, err := io.ReadFull(r, first); err != nil {
		return client, false, err
	}
	switch {
	case strings.HasPrefix(string(first), signatureV2):
		return readV2(r, first)
	case strings.HasPrefix(string(first), "PROXY "):
		return readV1(r, first)
	}
	return client, false, ErrProxyHeader
}

// readV1 reads the rest of a line, octet by octet, as what is behind it is not ours to read.
func readV1(r io.Reader, line []byte) (client netip.AddrPort, own bool, err error) {
	for line[len(line)-1] != '\n' {
		if len(line) == maxLineV1 {
			return client, false, fmt.Errorf("%w: its line is too long", ErrProxyHeader)
		}
		line = line[:len(line)+1]
		if _, err := io.ReadFull(r, line[len(line)-1:]); err != nil {
			return client, false, err
		}
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return client, false, fmt.Errorf("%w: its line has no CRLF", ErrProxyHeader)
	}
	// PROXY TCP4 CLIENT SERVER CLIENT'S-PORT SERVER'S-PORT; behind UNKNOWN there may be anything.
	fields := strings.Split(text, " ")
	if fields[1] == "UNKNOWN" {
		return client, true, nil
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return client, false, fmt.Errorf("%w: not of TCP", ErrProxyHeader)
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		ip, err := netip.ParseAddr(fields[2+i])
		if err != nil || ip.Zone() != "" || ip.Is4() != (fields[1] == "TCP4") {
			return client, false, fmt.Errorf("%w: a wrong address", ErrProxyHeader)
		}
		port, err := strconv.ParseUint(fields[4+i], 10, 16)
		if err != nil {
			return client, false, fmt.Errorf("%w: a wrong port", ErrProxyHeader)
		}
		ends[i] = netip.AddrPortFrom(ip, uint16(port))
	}
	return ofClient(ends[0])
}

// readV2 reads the rest of a header of version 2: version and command, family and protocol, length; then addresses, and behind them what
// we have no use for.
func readV2(r io.Reader, first []byte) (client netip.AddrPort, own bool, err error) {
	head := first[:leastProxyHeader+1]
	if _, err := io.ReadFull(r, head[leastProxyHeader:]); err != nil {
		return client, false, err
	}
	command, family, length := head[12], head[13], int(binary.BigEndian.Uint16(head[14:]))
	if length > maxRestV2 {
		return client, false, fmt.Errorf("%w: it is too long", ErrProxyHeader)
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(r, rest); err != nil {
		return client, false, err
	}
	const local, proxied = 0x20, 0x21
	if command == local {
		return client, true, nil
	}
	if command != proxied {
		return client, false, fmt.Errorf("%w: an unknown version or command", ErrProxyHeader)
	}
	const unspecified, tcp4, tcp6, unix = 0x00, 0x11, 0x21, 0x31
	switch {
	case family == unspecified, family == unix:
		return client, true, nil
	case family == tcp4 && length >= 12:
		return ofClient(netip.AddrPortFrom(netip.AddrFrom4([4]byte(rest)), binary.BigEndian.Uint16(rest[8:])))
	case family == tcp6 && length >= 36:
		return ofClient(netip.AddrPortFrom(netip.AddrFrom16([16]byte(rest)), binary.BigEndian.Uint16(rest[32:])))
	}
	return client, false, fmt.Errorf("%w: an unknown family, or too short for it", ErrProxyHeader)
}

// ofClient is the result of a header that names a client, if one can be there.
func ofClient(a netip.AddrPort) (client netip.AddrPort, own bool, err error) {
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	if a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
		return client, false, fmt.Errorf("%w: nobody has the address %v", ErrProxyHeader, a.Addr())
	}
	return a, false, nil
}

// proxied is a connection whose other end is not who sends its packets.
type proxied struct {
	net.Conn
	client net.Addr
}

// RemoteAddr is the client's address as the proxy has told it.
func (c *proxied) RemoteAddr() net.Addr { return c.client }
