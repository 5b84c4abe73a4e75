package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mailstead/cmd/internal/check"
	"mailstead/cmd/internal/figures"
	"mailstead/mailbox"
	"mailstead/smtp"
	"mailstead/smtp/journal"
	"mailstead/tls"
	"mailstead/tls/serve"
)

// figures are those of the server now. Of one that is open for a single action they are of what is stored.
func (s *server) figures() figures.Figures {
	f := figures.Figures{
		At: time.Now(), Version: version, Hostname: s.settings.Hostname, Running: s.fronts != nil, Started: s.started,
		Sessions: []figures.Sessions{}, Logins: []figures.Logins{}, Certificates: []figures.Certificate{},
		Mail: mailFigures(s.journal.Figures()), Store: storeFigures(s.store.Figures()),
		Process: processFigures(), Refusals: []figures.Refusal{},
	}
	for _, l := range s.directory.Figures() {
		f.Logins = append(f.Logins, figures.Logins(l))
	}
	for _, front := range s.fronts {
		if p, ok := front.server.(interface{ Figures() serve.Figures }); ok {
			f.Sessions = append(f.Sessions, sessionFigures(front.name, p.Figures()))
		}
		if p, ok := front.server.(*smtp.Server); ok {
			f.Mail.Received = append(f.Mail.Received, figures.Received{Protocol: front.name, Messages: p.Messages()})
		}
	}
	q := s.queue.Figures()
	f.Queue = figures.Queue{Waiting: q.Waiting, Trying: q.Trying, Held: q.Held, Disabled: q.Disabled, Oldest: q.Oldest}
	if s.certificate != nil {
		f.Certificates = certificateFigures(s.certificateStates())
	}
	s.addHealth(&f)
	f.Warnings = f.Concerns()
	return f
}

// addHealth adds what the store remembers of backups and daily checks.
func (s *server) addHealth(f *figures.Figures) {
	var err error
	if f.Backup, err = check.LastBackup(s.store); err != nil {
		s.log.Warn("when the last backup was made cannot be told", "error", err)
	}
	round, made, err := check.LastRound(s.store)
	if err != nil {
		s.log.Warn("what the last check has found cannot be told", "error", err)
	}
	if !made {
		return
	}
	wrong := 0
	for _, r := range round.Results {
		if r.State == check.Wrong {
			wrong++
		}
	}
	f.Check = fmt.Sprintf("%d of %d are wrong, as of %s: mailstead check", wrong, len(round.Results), round.Time.UTC().Format(time.RFC3339))
}

func sessionFigures(name string, p serve.Figures) figures.Sessions {
	return figures.Sessions{
		Protocol: name, Open: p.Open, LoggedIn: p.LoggedIn, Accepted: p.Accepted,
		RefusedAddress: p.RefusedAddress, RefusedStrangers: p.RefusedStrangers, RefusedAccount: p.RefusedAccount,
	}
}

// mailFigures has what is counted by name in order.
func mailFigures(j journal.Figures) figures.Mail {
	m := figures.Mail{
		Received: []figures.Received{}, Copies: []figures.Copies{}, Refused: []figures.Refused{}, Verdicts: []figures.Verdict{},
		Abandoned: j.Abandoned, Delivered: j.Delivered, Deferred: j.Deferred, Failed: j.Failed, LostSteps: j.Dropped,
		LastHour: j.LastHour, LastDay: j.LastDay,
	}
	for name, n := range j.Copies {
		m.Copies = append(m.Copies, figures.Copies{Mailbox: name, Count: n})
	}
	slices.SortFunc(m.Copies, func(x, y figures.Copies) int { return strings.Compare(x.Mailbox, y.Mailbox) })
	for r, n := range j.Refusals {
		m.Refused = append(m.Refused, figures.Refused{Command: r.Command, Status: r.Status, Count: n})
	}
	slices.SortFunc(m.Refused, func(x, y figures.Refused) int {
		return cmp.Or(strings.Compare(x.Command, y.Command), strings.Compare(x.Status, y.Status))
	})
	for d, n := range j.Verdicts {
		m.Verdicts = append(m.Verdicts, figures.Verdict{Verdict: d.Verdict, Rule: d.Rule, Count: n})
	}
	slices.SortFunc(m.Verdicts, func(x, y figures.Verdict) int {
		return cmp.Or(strings.Compare(x.Verdict, y.Verdict), strings.Compare(x.Rule, y.Rule))
	})
	return m
}

func storeFigures(s mailbox.Figures) figures.Store {
	f := figures.Store{
		Accounts: s.Accounts, Messages: s.Messages, Size: s.Size,
		Last: uint64(s.Last), Applied: uint64(s.Applied), Indexed: uint64(s.Indexed), Pending: s.Pending,
		FlushSeconds: s.FlushTime.Seconds(), Commits: s.Commits, CommitSeconds: s.CommitTime.Seconds(),
		Segments: s.Segments, LogSize: s.LogSize, StateSize: s.StateSize, DerivedSize: s.DerivedSize, Live: s.Live,
		DiskSize: s.DiskSize, DiskFree: s.DiskFree, Full: s.Full,
		CleanedSegments: s.CleanedSegments, CleanedSize: s.CleanedSize, MovedSize: s.MovedSize,
	}
	for _, b := range s.Flushes {
		f.Flushes = append(f.Flushes, figures.Bucket{UpTo: b.UpTo.Seconds(), Count: b.Count})
	}
	return f
}

func certificateFigures(states []tls.State) []figures.Certificate {
	list := []figures.Certificate{}
	for _, s := range states {
		list = append(list, figures.Certificate{Name: s.Name, Issuer: s.Issuer, NotAfter: s.NotAfter, Problem: cmp.Or(s.Error, s.Addresses)})
	}
	return list
}

// processFigures asks the system what the process takes. What it does not tell is 0.
func processFigures() figures.Process {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	p := figures.Process{Goroutines: runtime.NumGoroutine(), Resident: residentSize()}
	if heap[0].Value.Kind() == metrics.KindUint64 {
		p.Heap = heap[0].Value.Uint64()
	}
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		p.OpenFiles = len(open) - 1 // the folder itself
	}
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		p.MaxFiles = uint64(files.Cur)
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		p.CPUSeconds = (time.Duration(used.Utime.Nano()) + time.Duration(used.Stime.Nano())).Seconds()
	}
	return p
}

// residentSize is the process's memory in octets, as Linux tells it (proc_pid_statm(5)).
func residentSize() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// metricsFront is the listener for Prometheus.
func (s *server) metricsFront() (front, error) {
	from, err := parseNetworks(s.settings.MetricsFrom)
	if err != nil {
		return front{}, err
	}
	return front{name: metricsName, plain: metricsName, apply: func(*manners) {}, server: figures.NewServer(figures.ServerOptions{
		Collect: s.figures, From: from, Logger: s.log,
	})}, nil
}

// metricsName is the name of that listener.
const metricsName = "metrics"

// checkMetricsAddress checks an address of that listener: it has no TLS and asks for no password, so that others on the
// network reach it only where somebody has said who they are.
func (s *settings) checkMetricsAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || len(s.MetricsFrom) > 0 || host == "localhost" {
		return err
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return fmt.Errorf("listen.metrics: %q is not on the loopback interface, where everybody else could read it: use 127.0.0.1, or name the networks that may ask in metrics_from", address)
	}
	return nil
}

// status tells how the server is doing, for people.
func (a *admin) status(ctx context.Context, _ nothing) (figures.Figures, error) {
	f := a.figures()
	recent, err := journal.Refusals(a.journalDir, refusalsTold)
	if err != nil {
		return f, err
	}
	for _, e := range recent {
		reason := e.Reply
		if len(e.Reasons) > 0 {
			reason = e.Verdict + ": " + strings.Join(e.Reasons, "; ")
		}
		to := e.To
		if to == nil {
			to = []string{}
		}
		f.Refusals = append(f.Refusals, figures.Refusal{At: e.At, From: e.From, To: to, Peer: e.Peer, Reason: reason})
	}
	if a.alone {
		f.Hostname, f.Logins, f.Process = a.hostname, []figures.Logins{}, figures.Process{}
		states, err := tls.Stored(ctx, newCertificateStore(a.store))
		if err != nil {
			return f, err
		}
		f.Certificates = certificateFigures(states)
		f.Warnings = f.Concerns()
	}
	return f, nil
}

// refusalsTold is how many of the last refusals `status --json` has.
const refusalsTold = 20
