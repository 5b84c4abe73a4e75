package check

import (
	"context"
	"net/netip"

	"mailstead/smtp/dns"
)

// silent is a resolver that never answers.
type silent struct{}

// wait waits until the asker has no patience any more.
func wait[T any](ctx context.Context, name string) (a dns.Answer[T], err error) {
	<-ctx.Done()
	return a, &dns.Error{Name: name, Temporary: true, Err: ctx.Err()}
}

func (silent) LookupTXT(ctx context.Context, name string) (dns.Answer[string], error) {
	return wait[string](ctx, name)
}
func (silent) LookupMX(ctx context.Context, name string) (dns.Answer[dns.MX], error) {
	return wait[dns.MX](ctx, name)
}
func (silent) LookupA(ctx context.Context, name string) (dns.Answer[netip.Addr], error) {
	return wait[netip.Addr](ctx, name)
}
func (silent) LookupAAAA(ctx context.Context, name string) (dns.Answer[netip.Addr], error) {
	return wait[netip.Addr](ctx, name)
}
func (silent) LookupPTR(ctx context.Context, ip netip.Addr) (dns.Answer[string], error) {
	return wait[string](ctx, ip.String())
}
func (silent) LookupAddrs(ctx context.Context, name string) (dns.Answer[netip.Addr], error) {
	return wait[netip.Addr](ctx, name)
}
func (silent) LookupSRV(ctx context.Context, name string) (dns.Answer[dns.SRV], error) {
	return wait[dns.SRV](ctx, name)
}
func (silent) LookupTLSA(ctx context.Context, name string) (dns.Answer[dns.TLSA], error) {
	return wait[dns.TLSA](ctx, name)
}
func (silent) LookupCAA(ctx context.Context, name string) (dns.Answer[dns.CAA], error) {
	return wait[dns.CAA](ctx, name)
}
