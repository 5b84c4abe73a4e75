package directory

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
)

// bindings are the channel bindings of a connection, the best first.
//
//	tls-exporter          RFC 9266; with TLS 1.2 only where there is an extended master secret
//	tls-server-end-point  RFC 5929 section 4, for clients whose TLS tells no more than the certificate
//	tls-unique            RFC 5929 section 3, the one that RFC 5802 section 6.1 demands; TLS 1.3 has none
func bindings(at Attempt) (list []scram.ChannelBinding) {
	if at.TLS == nil {
		return nil
	}
	if b, err := scram.NewTLSExporterBinding(at.TLS); err == nil {
		list = append(list, b)
	}
	if at.Shown != nil {
		// The library takes the certificate from the client's view of a connection.
		view := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{at.Shown}}
		if b, err := scram.NewTLSServerEndpointBinding(view); err == nil { // not every signature has one hash
			list = append(list, b)
		}
	}
	if at.TLS.Version < tls.VersionTLS13 && len(at.TLS.TLSUnique) > 0 {
		list = append(list, scram.NewTLSUniqueBinding(at.TLS.TLSUnique))
	}
	return list
}

// choose takes the binding that a client names in its first message (gs2-cbind-flag of
// RFC 5802 section 7); one that names none gets the best. ErrBinding.
func (s *scramExchange) choose(response string) error {
	if len(s.bindings) > 0 {
		s.binding = s.bindings[0]
	}
	name, named := strings.CutPrefix(response, "p=")
	if !named {
		return nil
	}
	name, _, _ = strings.Cut(name, ",")
	for _, b := range s.bindings {
		if string(b.Type) == name {
			s.binding = b
			return nil
		}
	}
	return fmt.Errorf("%w: the connection has no %.32q", ErrBinding, name)
}
