// Package rfc2136 puts records into a zone by dynamic updates of the DNS (RFC 2136), signed with
// TSIG (RFC 8945). Its Provider has the interfaces of libdns.
package rfc2136

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/libdns/libdns"
	miekg "github.com/miekg/dns"
)

const (
	// exchangeTime bounds an update: the server writes to its disk before it answers (RFC 2136 section 3.5).
	exchangeTime = 30 * time.Second
	// fudge is how far the clocks may be apart, in seconds (RFC 8945 section 10).
	fudge = 300
	// maxString is the longest string of a TXT record in octets (RFC 1035 section 3.3.14).
	maxString = 255
)

// ErrRefused is about an update that the server has not made.
var ErrRefused = errors.New("the DNS server has refused the update")

// Provider changes the zones of a server. Its methods may be called at the same time.
type Provider struct {
	// Server is the primary server of the zones, HOST:PORT, which is asked by TCP.
	Server string
	// Key signs the updates; the zero Key signs nothing.
	Key Key
}

var (
	_ libdns.RecordAppender = (*Provider)(nil)
	_ libdns.RecordDeleter  = (*Provider)(nil)
)

// AppendRecords adds TXT records to a zone; others are an error. ErrRefused.
func (p *Provider) AppendRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.change(ctx, zone, records, (*miekg.Msg).Insert)
}

// DeleteRecords takes records with these very values out of a zone; the others of their names stay. ErrRefused.
func (p *Provider) DeleteRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	return p.change(ctx, zone, records, (*miekg.Msg).Remove)
}

func (p *Provider) change(ctx context.Context, zone string, records []libdns.Record, how func(*miekg.Msg, []miekg.RR)) ([]libdns.Record, error) {
	rrs, err := texts(zone, records)
	if err != nil {
		return nil, err
	}
	update := new(miekg.Msg)
	update.SetUpdate(miekg.Fqdn(zone))
	how(update, rrs)
	if err := p.send(ctx, update); err != nil {
		return nil, fmt.Errorf("update of the zone %s at %s: %w", zone, p.Server, err)
	}
	return records, nil
}

// texts are the records as the wire has them.
func texts(zone string, records []libdns.Record) (rrs []miekg.RR, err error) {
	for _, r := range records {
		rr := r.RR()
		if rr.Type != "TXT" {
			return nil, fmt.Errorf("a record of type %s: only TXT records can be changed", rr.Type)
		}
		name := miekg.Fqdn(libdns.AbsoluteName(rr.Name, zone))
		if _, ok := miekg.IsDomainName(name); !ok {
			return nil, fmt.Errorf("%q is no domain name", name)
		}
		txt := &miekg.TXT{Hdr: miekg.RR_Header{Name: name, Rrtype: miekg.TypeTXT, Class: miekg.ClassINET, Ttl: uint32(rr.TTL / time.Second)}}
		for data := rr.Data; ; data = data[maxString:] {
			if len(data) <= maxString {
				txt.Txt = append(txt.Txt, data)
				break
			}
			txt.Txt = append(txt.Txt, data[:maxString])
		}
		rrs = append(rrs, txt)
	}
	return rrs, nil
}

func (p *Provider) send(ctx context.Context, update *miekg.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	client := &miekg.Client{Net: "tcp", Timeout: exchangeTime}
	if p.Key.Name != "" {
		client.TsigSecret = map[string]string{p.Key.Name: p.Key.secret}
		update.SetTsig(p.Key.Name, p.Key.algorithm, fudge, time.Now().Unix())
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Server)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The library looks at the context's deadline only.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer, _, err := client.ExchangeWithConnContext(ctx, update, &miekg.Conn{Conn: conn, TsigSecret: client.TsigSecret})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if answer != nil && answer.Rcode != miekg.RcodeSuccess { // also where the key is what is wrong, and the answer unsigned
		return fmt.Errorf("%w: %s", ErrRefused, miekg.RcodeToString[answer.Rcode])
	}
	if err != nil {
		return err
	}
	if p.Key.Name != "" && answer.IsTsig() == nil {
		return errors.New("the answer is not signed") // RFC 8945 section 5.3
	}
	return nil
}
