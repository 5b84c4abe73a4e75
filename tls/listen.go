package tls

import (
	"context"
	"net"
	"time"
)

// A phone that idles in IMAP pays with its battery for each packet that wakes its
// radio, so the first probe comes late; Go's own default is 15 seconds. The two
// hours of RFC 9293 section 3.8.4 are too long for the tables of home routers and
// mobile networks, which forget a silent connection.
const (
	keepAliveIdle     = 5 * time.Minute
	keepAliveInterval = time.Minute
	keepAliveCount    = 4
	// deadAfter is when a peer that acknowledges nothing is given up.
	deadAfter = keepAliveIdle + keepAliveCount*keepAliveInterval
)

// Listen opens a listener for a mail protocol, with or without TLS: network and
// address as in net.Listen. Its connections get their first keepalive probe after
// five idle minutes and end nine minutes after the peer was last heard of; on
// Linux also while written data waits for its acknowledgement, where TCP alone
// would try for a quarter of an hour.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	lc := net.ListenConfig{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable:   true,
			Idle:     keepAliveIdle,
			Interval: keepAliveInterval,
			Count:    keepAliveCount,
		},
		Control: limitUnacknowledged,
	}
	return lc.Listen(ctx, network, address)
}
