package setup

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mailstead/smtp/dns"
)

// probeTime bounds all probes of the network together: nobody waits longer for warnings.
const probeTime = 8 * time.Second

// large are mail servers of which one answers from wherever port 25 is open.
var large = []string{"gmail-smtp-in.l.google.com", "mx01.mail.icloud.com", "mx00.t-online.de"}

// signed is a domain that is signed with DNSSEC, and will be.
const signed = "ietf.org"

// ProbeHost finds out how this machine is, with the resolvers that the server is going to ask; without any, nobody is asked.
func ProbeHost(resolvers []string) Probe {
	return func(ctx context.Context, a Asked) (f Facts) {
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		f.Memory, f.Disk = memory(), free(a.Dir)
		f.ClockLoose, f.ClockWrong = clock()
		f.Own = OwnAddresses()
		f.Taken = taken()
		r, err := dns.New(dns.Options{Servers: resolvers})
		if err != nil || r.Disabled() {
			return f
		}
		probeDNS(ctx, r, a.Hostname, &f)
		return f
	}
}

func probeDNS(ctx context.Context, r *dns.Resolver, hostname string, f *Facts) {
	var asking sync.WaitGroup
	asking.Go(func() {
		a, err := r.LookupMX(ctx, signed)
		switch {
		case err == nil && a.Authentic:
			f.DNSSEC = Yes
		case err == nil:
			f.DNSSEC = No
		}
	})
	asking.Go(func() {
		a, err := r.LookupAddrs(ctx, hostname)
		f.HostnameIPs, f.Resolver = a.Records, Yes
		if err != nil && !dns.IsNotFound(err) {
			f.Resolver = No
		}
	})
	asking.Go(func() { f.Outgoing = outgoing(ctx, r) })
	asking.Wait()
}

// outgoing tries port 25 of large mail servers.
func outgoing(ctx context.Context, r *dns.Resolver) Answer {
	results := make(chan Answer, len(large))
	for _, host := range large {
		go func() { results <- connects(ctx, r, host) }() // ends with the context at the latest
	}
	found := NotKnown
	for range large {
		switch <-results {
		case Yes:
			return Yes
		case No:
			found = No
		}
	}
	return found
}

func connects(ctx context.Context, r *dns.Resolver, host string) Answer {
	a, err := r.LookupA(ctx, host)
	if err != nil || len(a.Records) == 0 {
		return NotKnown
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(a.Records[0], 25).String())
	if err != nil {
		return No
	}
	conn.Close()
	return Yes
}

// ports are those that a server listens on.
var ports = []int{25, 80, 443, 465, 587, 993, 143, 995, 110}

// taken tries whether the ports can be had. What cannot be tried without root's rights is not told of.
func taken() (list []Taken) {
	for _, p := range ports {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(p))
		if err == nil {
			l.Close()
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			list = append(list, Taken{p, listener(p)})
		}
	}
	return list
}

// OwnAddresses are the public addresses of this machine.
func OwnAddresses() (list []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if ip, ok := netip.AddrFromSlice(n.IP); ok && dns.IsPublic(ip.Unmap()) {
			list = append(list, ip.Unmap())
		}
	}
	return list
}

// free is what a user may still write where a folder is or is to be.
func free(dir string) int64 {
	for {
		var s unix.Statfs_t
		if err := unix.Statfs(dir, &s); err == nil {
			return int64(s.Bavail) * int64(s.Bsize)
		}
		up := filepath.Dir(dir)
		if up == dir {
			return 0
		}
		dir = up
	}
}

// clockIsWrong tells whether the clock is before the time at which this program came here.
func clockIsWrong() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	info, err := os.Stat(self)
	return err == nil && time.Now().Before(info.ModTime().Add(-time.Hour)) // an hour for time zones that are taken for UTC
}
