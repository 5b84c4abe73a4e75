package remote

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"mailstead/smtp/dns"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
	"mailstead/smtp/route"
)

// port is where the servers of an attempt listen.
func (a *attempt) port() int {
	if a.m.Route.Direct() {
		return a.c.port
	}
	return a.m.Route.Hop.Port
}

// toSmarthost hands the message to the smarthost of its route, for whatever domain it is. The domain's MX, DANE and
// MTA-STS records are the smarthost's business then; what the connection to it must be like, the route says, and
// the smarthost's own policy.
func (a *attempt) toSmarthost(ctx context.Context) {
	h, v := a.findSmarthost(ctx)
	if v != nil {
		a.recordOpen(target{}, *v)
		return
	}
	a.tryHost(ctx, h)
}

// findSmarthost looks up the addresses of the smarthost. Without TLS only those are used that are near. Nothing that
// is wrong with it is for good: mail is not returned because of what can be set right here.
func (a *attempt) findSmarthost(ctx context.Context) (host, *verdict) {
	hop := a.m.Route.Hop
	failed := func(v verdict) (host, *verdict) { return host{}, &v }
	h := host{name: hop.Host}
	if addr, ok := hop.Address(); ok {
		h.addrs = []netip.Addr{addr}
	} else {
		answer, err := a.c.resolver.LookupAddrs(ctx, hop.Host)
		switch {
		case dns.IsNotFound(err), err == nil && len(answer.Records) == 0:
			return failed(temporary("4.4.4", "the smarthost %s has no address", hop.Host))
		case err != nil:
			return failed(temporary("4.4.3", "the smarthost %s: %v", hop.Host, err))
		}
		h.addrs = interleave(answer.Records)
	}
	if hop.Security == route.NoTLS {
		h.addrs = slices.DeleteFunc(h.addrs, func(addr netip.Addr) bool { return !route.Near(addr) })
		if len(h.addrs) == 0 {
			return failed(temporary("4.7.10", "the smarthost %s is not in a private network, and its route has no TLS", hop.Host))
		}
	}
	return h, nil
}

// smarthostPolicy is what a smarthost has to come up to: the demands of its route, and what the smarthost's own domain has
// published, which its name is (RFC 8461 section 3.4), unless the sender cares less (RFC 8689 section 4.2).
func (a *attempt) smarthostPolicy(ctx context.Context) policy {
	p := a.routePolicy()
	if _, literal := a.m.Route.Hop.Address(); literal || p.never != nil || a.m.TLS == queue.TLSOptional {
		return p
	}
	return a.withPublished(p, a.c.mtasts(ctx, a.m.Route.Hop.Host))
}

// withPublished adds the MTA-STS policy of a smarthost's name to what its route demands: both count, as a pinned certificate
// that the policy rules out is one that the host's owner warns of. What is not enforced is only told to the owner, as the
// smarthost's name is the policy domain then (RFC 8460 section 1.1); of a route without TLS nothing, since that is our choice.
func (a *attempt) withPublished(p policy, found mtasts.Finding) policy {
	hop, sts := a.m.Route.Hop, found.Policy
	name := "the MTA-STS policy of " + hop.Host
	enforced := sts != nil && sts.Mode == mtasts.Enforce
	switch {
	case sts == nil && found.Err == nil:
		return p
	case hop.Security == route.NoTLS:
		if enforced {
			v := temporary("4.7.10", "%s demands a secure connection, and %s has no TLS", name, p.name)
			p.never, p.before = &v, &finding{resultNoTLS, name + " demands TLS"}
		}
		return p
	case sts == nil: // it is as if there were none (RFC 8461 section 3.3)
		p.noted = &finding{found.Result, sanitise(found.Err.Error())}
	case !sts.Allows(hop.Host):
		p.noted = &finding{resultInvalid, hop.Host + " is not one of the servers that it names"}
		if enforced {
			v := temporary("4.7.5", "%s does not name it as a server for mail", name)
			p.never, p.before = &v, &finding{resultInvalid, name + " does not name it"}
		}
	default:
		p.noting = func(state tls.ConnectionState) *finding { return a.c.checkWeb(state, hop.Host) }
		if demanded := p.check; enforced {
			p.check = func(state tls.ConnectionState) *finding {
				return cmp.Or(demanded(state), a.c.checkWeb(state, hop.Host))
			}
		}
	}
	p.kind = policySTS
	return p
}

// routePolicy is what a route demands of its smarthost. Since somebody has named the server, its certificate is
// all that REQUIRETLS needs besides (RFC 8689 section 4.2.1); that a sender would go without TLS does not count,
// since our login is at stake, too.
func (a *attempt) routePolicy() policy {
	r := a.m.Route
	p := policy{way: r.Key(), required: a.m.TLS == queue.TLSRequired && a.m.From != ""}
	p.name = "the route to " + r.Hop.String()
	if r.Hop.Security == route.NoTLS {
		if p.required {
			v := permanent("5.7.10", "the sender demands secure connections all the way (REQUIRETLS), and %s has no TLS", p.name)
			p.never, p.before = &v, &finding{resultNoTLS, "it has no TLS"}
		}
		return p
	}
	p.enforced, p.vouched, p.demands = true, true, true
	p.check = func(state tls.ConnectionState) *finding { return a.c.checkSmarthost(state, r) }
	return p
}

// checkSmarthost tells what is wrong with the certificate of a smarthost, and how it could be pinned.
func (c *Courier) checkSmarthost(state tls.ConnectionState, r route.Route) *finding {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return &finding{resultInvalid, "it shows no certificate"}
	}
	f := c.distrust(chain, r)
	if f != nil {
		sum := sha256.Sum256(chain[0].Raw)
		f.words += "; its SHA-256 is " + hex.EncodeToString(sum[:])
	}
	return f
}

func (c *Courier) distrust(chain []*x509.Certificate, r route.Route) *finding {
	roots := c.tls.RootCAs
	switch {
	case r.Trust.Pin != "" && r.Trust.Pinned(chain[0]):
		return nil
	case r.Trust.Pin != "":
		return &finding{resultUntrusted, "its certificate is not the one of the fingerprint"}
	case r.Trust.CA != "":
		roots = x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(r.Trust.CA))
	}
	return c.checkChain(chain, roots, r.Hop.Host)
}

// errUnwanted says that a smarthost does not take us as we are, and waits for a goodbye.
var errUnwanted = errors.New("the smarthost does not take us")

// introduceToSmarthost is introduce for a smarthost: as its route wants it, and with our login. Whatever it says
// to us before MAIL is about us and not about a message, so nothing is returned because of it.
func (a *attempt) introduceToSmarthost(ctx context.Context, s *session, t *target) error {
	err := a.reachSmarthost(ctx, s, t)
	t.tls = s.tls
	if err == nil {
		err = s.login(a.m.Route.Login)
	}
	v, ok := errors.AsType[verdict](err)
	if !ok || v.code == 0 {
		return err
	}
	if v.status == queue.Permanent {
		v = temporary("4"+v.enhanced[1:], "the smarthost says: %v", v)
	}
	if errors.Is(err, errTLS) {
		return fmt.Errorf("%w: %w: %w", errTLS, errUnwanted, v)
	}
	return fmt.Errorf("%w: %w", errUnwanted, v)
}

func (a *attempt) reachSmarthost(ctx context.Context, s *session, t *target) error {
	security := a.m.Route.Hop.Security
	if security == route.ImplicitTLS {
		if err := a.faulty(t, s.handshake(ctx, a.c.config(t))); err != nil {
			return err
		}
	}
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.hello(); err != nil {
		return err
	}
	switch {
	case security != route.StartTLS:
		return nil
	case s.ext.startTLS:
		return a.encrypt(ctx, s, t)
	}
	t.finding = &finding{resultNoTLS, "it does not offer encryption"}
	return errNoTLS
}

// Try connects to the smarthost of a route, logs in and says goodbye. tell hears all of it. The error says what
// was wrong; it is for people.
func (c *Courier) Try(ctx context.Context, r route.Route, tell func(line string)) error {
	a := newAttempt(c, r.Hop.Host, queue.Message{Route: r, Tell: tell})
	h, v := a.findSmarthost(ctx)
	if v != nil {
		a.told.failed(*v)
		return *v
	}
	p := a.smarthostPolicy(ctx)
	if p.never != nil {
		a.told.failed(*p.never)
		return *p.never
	}
	first, _, _ := c.dialFirst(ctx, h.addrs, a.port())
	if first.err != nil {
		err := temporary("4.4.1", "connect to %s: %v", h.name, first.err)
		a.told.failed(err)
		return err
	}
	t := target{host: h.name, addr: first.addr, policy: p}
	s := newSession(first.conn, c.hostname, c.timeouts)
	leave := a.attend(ctx, s)
	a.told.note("connected to %s", t.at(a.port()))
	err := a.introduceToSmarthost(ctx, s, &t)
	if err == nil || waitsForGoodbye(err) {
		s.quit()
	}
	if errors.Is(err, errTLS) {
		err = t.policy.refuse(t, asVerdict(err))
	} else if err != nil {
		err = asVerdict(err)
	}
	leave(t, false, err)
	return err
}

// smarthostSecurity is what was found about the connection to a smarthost. Only what the smarthost's name has published has
// names in reports (RFC 8460): what our route demands besides is nobody's business.
func (t target) smarthostSecurity() queue.Security {
	s := queue.Security{Policy: t.policy.kind}
	noted := cmp.Or(t.noted, t.policy.noted)
	if s.Policy != "" && noted == nil && t.finding != nil && t.finding.result == resultNoTLS {
		noted = t.finding
	}
	if noted != nil {
		s.Result = noted.result
	}
	switch {
	case t.finding != nil:
		s.Words = fmt.Sprintf("%s: %s", t.policy.name, t.finding.words)
	case noted != nil:
		s.Words = fmt.Sprintf("the MTA-STS policy of %s, not enforced: %s", t.host, noted.words)
	case t.tls:
		s.Words = t.policy.name + ": the certificate is right"
	}
	return s
}

// aboutLogin tells whether a reply to a command of a transaction is about our login and not about the message
// (RFC 4954 sections 4 and 6).
func aboutLogin(code int) bool {
	return code == 530 || code == 534 || code == 535 || code == 538
}
