package serve

import (
	"crypto/tls"
	"crypto/x509"
	"net"
)

// Which certificate the server showed is not in the state of a TLS connection, and a
// client may bind its login to it (tls-server-end-point, RFC 5929 section 4). So the
// certificate is noted in the socket below, during the handshake.

// Remember returns a configuration like c that has the connections of this package
// remember their certificate; nil for nil. A resumed session counts with the certificate
// that a new one would be shown: the client's own is older only where it was renewed
// between the two.
func Remember(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	choose, noting := c.GetConfigForClient, c.Clone()
	noting.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		own, used := (*tls.Config)(nil), c
		if choose != nil {
			var err error
			if own, err = choose(hello); err != nil {
				return nil, err
			}
			if own != nil {
				used = own
			}
		}
		if s, ok := hello.Conn.(*socket); ok {
			s.shown = certificateFor(used, hello)
		}
		return own, nil
	}
	return noting
}

// certificateFor is the certificate that crypto/tls shows to a client; nil where the
// handshake is going to fail.
func certificateFor(c *tls.Config, hello *tls.ClientHelloInfo) *x509.Certificate {
	var chosen *tls.Certificate
	if c.GetCertificate != nil && (len(c.Certificates) == 0 || hello.ServerName != "") {
		chosen, _ = c.GetCertificate(hello)
	}
	for i := range c.Certificates {
		if chosen == nil && hello.SupportsCertificate(&c.Certificates[i]) == nil {
			chosen = &c.Certificates[i]
		}
	}
	switch {
	case chosen == nil && len(c.Certificates) > 0:
		chosen = &c.Certificates[0]
	case chosen == nil:
		return nil
	}
	if chosen.Leaf != nil {
		return chosen.Leaf
	}
	if len(chosen.Certificate) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(chosen.Certificate[0])
	if err != nil {
		return nil // who gave us that has to notice; here it is one binding less
	}
	return leaf
}

// ListenTLS is a listener with implicit TLS (RFC 8314) over l, whose connections
// remember their certificate.
func ListenTLS(l net.Listener, c *tls.Config) net.Listener {
	return &listenerTLS{Listener: l, config: Remember(c)}
}

type listenerTLS struct {
	net.Listener
	config *tls.Config
}

func (l *listenerTLS) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(&socket{Conn: nc}, l.config), nil
}

// Certificate is the one that this side showed in its TLS handshake; nil without TLS,
// and where the configuration does not come from Remember or ListenTLS.
func (c *Conn) Certificate() *x509.Certificate {
	t, ok := c.Conn.(interface{ NetConn() net.Conn })
	if !ok {
		return nil
	}
	if s, ok := t.NetConn().(*socket); ok {
		return s.shown
	}
	return nil
}
