package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/cmd/internal/web"
	"mailstead/imap"
	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/junk/training"
	"mailstead/pop3"
	"mailstead/smtp"
	"mailstead/smtp/dns"
	"mailstead/smtp/feedback"
	"mailstead/smtp/journal"
	"mailstead/smtp/keyring"
	"mailstead/smtp/local"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
	"mailstead/smtp/remote"
	reports "mailstead/smtp/report"
	"mailstead/smtp/route"
	"mailstead/tls"
	"mailstead/tls/serve"
)

// patience is how long a stopping server waits for commands, messages and
// deliveries that are under way.
const patience = 10 * time.Second

// server is all of mailstead, wired. The parts are made from the ground up:
// store, directory, couriers and queue, then what the world talks to.
type server struct {
	settings    settings                 // those of the start; what can be changed by reload is in present
	present     atomic.Pointer[settings] // do not change: a reload makes new ones
	reading     func() (settings, error) // reads them again; nil where no file has them
	reloading   sync.Mutex               // is held by who does
	importing   sync.Map                 // of admin
	serving     *servedListeners         // listeners; nil before run
	log         *slog.Logger
	store       *mailbox.Store
	directory   *directory.Directory
	queue       *queue.Queue
	routes      *route.Table      // of mail to other servers
	world       *remote.Courier   // there
	here        *local.Courier    // to our mailboxes
	replies     *local.Replies    // for who is away
	trainer     *training.Trainer // of the junk filter
	resolver    *dns.Resolver
	policies    *mtasts.Cache  // of other domains
	keys        *keyring.Ring  // for DKIM
	greylist    *smtp.Greylist // is asked where settings say so
	journal     *journal.Journal
	reports     *reports.Desk
	feedback    *feedback.Reporter // what others are told of their domains
	source      tls.Source
	certificate *tls.Issued // of our own making, for when there is no other
	files       operatorFiles
	known       *serve.Known // addresses of our users, of all fronts
	acme        *tls.ACME    // nil where no certificates are fetched
	renaming    sync.Mutex   // is held while certificates follow the domains
	process     *process     // nil where it is not the server's alone
	gates       []gate       // nil before they are opened
	restarter   restarter
	started     time.Time
	fronts      []front
}

// front is a protocol server with the listeners it is to serve.
type front struct {
	name     string
	protocol tls.Protocol
	server   interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
	}
	plain, implicit string         // endpoints, without and with implicit TLS
	apply           func(*manners) // for sessions that begin from then on
}

// newServer makes all parts. Nothing listens yet.
func newServer(s settings, log *slog.Logger) (*server, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the server's folder: %w", err)
	}
	srv := &server{settings: s, log: log, started: time.Now(), restarter: restarter{leave: make(chan struct{})}}
	srv.present.Store(&s)
	srv.journal = journal.Open(journalDir(s.Dir), journal.Options{Logger: log})
	if err := srv.open(); err != nil {
		return nil, errors.Join(err, srv.close())
	}
	return srv, nil
}

// open makes the parts, each of those before it.
func (s *server) open() (err error) {
	s.store, s.directory, err = openStore(&s.settings, s.log)
	if err != nil {
		return err
	}
	if s.reports, err = reports.Open(s.store, reports.Options{Ours: s.isOurs, Logger: s.log}); err != nil {
		return err
	}
	if err = s.openKeys(s.store); err != nil {
		return err
	}
	if s.here, err = s.openQueue(); err != nil {
		return err
	}
	// Where nothing is looked up, mail is tried out: it is filed for what the owner taught, not for what rules think of it.
	tried := len(s.settings.Resolvers) == 0
	s.trainer, err = training.Open(training.Options{Store: s.store, OnlyTaught: tried, Logger: s.log})
	if err != nil {
		return err
	}
	if s.greylist, err = smtp.OpenGreylist(s.store, s.log); err != nil {
		return err
	}
	if err := s.openCertificates(); err != nil {
		return err
	}
	return s.makeFronts()
}

// storeDir is where in the server's folder the store is.
func storeDir(dir string) string { return filepath.Join(dir, "store") }

// traceSize is what the store takes beyond the size that is announced: trace
// fields, and a Date and Message-ID that were missing, go in front of a message.
const traceSize = 64 << 10

// storeOptions are those of the store that s asks for.
func storeOptions(s *settings, log *slog.Logger) (mailbox.Options, error) {
	quota, err := s.newAccountQuota()
	if err != nil {
		return mailbox.Options{}, fmt.Errorf("quota: %w", err)
	}
	return mailbox.Options{MaxMessageSize: s.MaxMessageSize + traceSize, NewAccountQuota: quota, Retention: s.retention(), Program: version, Logger: log}, nil
}

// usualSending is what an account may send that has no limits of its own. Where mail is tried out nobody has stolen anything.
func (s *settings) usualSending() directory.Sending {
	if s.local {
		return directory.Sending{Messages: directory.Unlimited, Recipients: directory.Unlimited, Strangers: directory.Unlimited}
	}
	return directory.DefaultSending
}

func openStore(s *settings, log *slog.Logger) (*mailbox.Store, *directory.Directory, error) {
	o, err := storeOptions(s, log)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(storeDir(s.Dir), 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the store's folder: %w", err)
	}
	store, err := mailbox.Open(storeDir(s.Dir), o)
	if err != nil {
		return nil, nil, err
	}
	d, err := directory.Open(store, directory.Options{Sending: s.usualSending(), Logger: log})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return store, d, nil
}

// openQueue makes the queue with its couriers, and returns the one to our
// mailboxes, which also takes in what SMTP receives.
func (s *server) openQueue() (*local.Courier, error) {
	var err error
	s.resolver, err = dns.New(dns.Options{Servers: s.settings.Resolvers})
	if err != nil {
		return nil, fmt.Errorf("resolvers: %w", err)
	}
	s.policies, err = mtasts.Open(mtasts.Options{Store: s.store, Resolver: s.resolver, Own: s.ownAddress, Private: s.settings.local, Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.world, err = remote.New(remote.Options{
		Resolver: s.resolver, Hostname: s.settings.Hostname, MXPort: s.settings.MXPort, Own: s.ownAddress, Private: s.settings.local,
		MTASTS: s.policies.For, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	if s.routes, err = route.Open(s.store); err != nil {
		return nil, err
	}
	if err := s.openFeedback(); err != nil {
		return nil, err
	}
	s.replies, err = local.OpenReplies(local.RepliesOptions{
		Store: s.store, Directory: s.directory, Sign: s.keys.Sign, Journal: s.journal, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	here := local.New(local.Options{
		Store: s.store, Directory: s.directory, Journal: s.journal, Reports: s.reports, Replies: s.replies, Logger: s.log,
	})
	s.queue, err = queue.Open(s.store, queue.Options{
		Remote: s.feedback.Watch(s.world), Local: here, IsLocal: s.directory.IsLocal, Routes: s.routes.For,
		Disabled: len(s.settings.Resolvers) == 0, Hostname: s.settings.Hostname, Journal: s.journal, Logger: s.log,
		Sign: s.signNotice, Limits: queue.Limits{Grace: patience, Delay: time.Duration(s.settings.DelayNotice) * time.Hour},
	})
	if err != nil {
		return nil, err
	}
	here.UseQueue(s.queue)
	s.feedback.UseQueue(s.queue)
	return here, nil
}

// ownAddress reports whether mail that is sent to an address comes back to
// this server. In `local` nothing does: two instances on loopback may write to
// each other.
func (s *server) ownAddress(ip netip.Addr) bool {
	if s.settings.local {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		own, ok := netip.AddrFromSlice(n.IP)
		return ok && own.Unmap() == ip.Unmap()
	})
}

// names are those that the server's certificate is for.
func (s *server) names() []string {
	names := []string{s.settings.Hostname}
	if s.settings.local {
		names = tls.LoopbackNames()
	}
	for _, d := range s.directory.Domains() {
		names = append(names, tls.DomainNames(d.Name)...)
	}
	return names
}

// makeFronts makes the protocol servers.
func (s *server) makeFronts() error {
	s.known = serve.NewKnown()
	o, err := s.manners(&s.settings)
	if err != nil {
		return err
	}
	receiver, submission, imaps, pop3s, https := smtp.New(o.receiver), smtp.New(o.submission), imap.New(o.imap), pop3.New(o.pop3), web.New(o.web)
	s.fronts = []front{
		{name: "smtp", protocol: tls.SMTP, plain: "smtp", server: receiver, apply: func(o *manners) { receiver.Reconfigure(o.receiver) }},
		{name: "submission", protocol: tls.Submission, plain: "submission", implicit: "submissions", server: submission, apply: func(o *manners) { submission.Reconfigure(o.submission) }},
		{name: "imap", protocol: tls.IMAP, plain: "imap", implicit: "imaps", server: imaps, apply: func(o *manners) { imaps.Reconfigure(o.imap) }},
		{name: "pop3", protocol: tls.POP3, plain: "pop3", implicit: "pop3s", server: pop3s, apply: func(o *manners) { pop3s.Reconfigure(o.pop3) }},
		{name: "http", protocol: tls.HTTP, plain: "http", implicit: "https", server: https, apply: func(o *manners) { https.Reconfigure(o.web) }},
	}
	watched, err := s.metricsFront()
	s.fronts = append(s.fronts, watched)
	return err
}

// manners are the options of all fronts, made of the same settings.
type manners struct {
	receiver, submission smtp.Options
	imap                 imap.Options
	pop3                 pop3.Options
	web                  web.Options
}

// manners are those that settings ask for. The parts are the server's own.
func (s *server) manners(set *settings) (*manners, error) {
	checks, err := s.checks(set)
	if err != nil {
		return nil, err
	}
	base := smtp.Options{
		Hostname: set.Hostname, Directory: s.directory, Deliver: s.here, Journal: s.journal, Logger: s.log, Limits: set.limits(), Known: s.known,
	}
	receiver, submission := base, base
	receiver.Role, submission.Role = smtp.Receiver, smtp.Submission
	receiver.TLSConfig, submission.TLSConfig = tls.Config(s.source, tls.SMTP), tls.Config(s.source, tls.Submission)
	receiver.Checks, receiver.SigningKeys, submission.SigningKeys = checks, s.keys.Of, s.keys.Of
	submission.Wrote, submission.HasWritten, submission.OverSending = s.trainer.WroteTo, s.trainer.HasWritten, s.tellOverSending
	submission.CleartextAuth = set.local
	return &manners{
		receiver: receiver, submission: submission,
		imap: imap.Options{
			Store: s.store, Directory: s.directory, TLSConfig: tls.Config(s.source, tls.IMAP), AllowInsecureAuth: set.local,
			MaxMessageSize: set.MaxMessageSize, MaxPerAccount: set.SessionsPerAccount, Admin: set.Admin, Known: s.known, Logger: s.log,
		},
		pop3: pop3.Options{
			Store: s.store, Directory: s.directory, TLSConfig: tls.Config(s.source, tls.POP3), AllowInsecureAuth: set.local,
			MaxPerAccount: set.SessionsPerAccount, Known: s.known, Logger: s.log,
		},
		web: s.webOptions(set),
	}, nil
}

// run listens, serves until ctx ends or a listener fails, then stops
// everything. ready is called when every port listens, never earlier.
func (s *server) run(ctx context.Context, ready func() error) error {
	if err := s.makeKeys(ctx); err != nil {
		return errors.Join(err, closeGates(s.gates), s.close())
	}
	all, err := s.listen(ctx)
	if err != nil {
		return errors.Join(err, s.close())
	}
	var running sync.WaitGroup
	s.serving = &servedListeners{running: &running, failed: make(chan error, 1)}
	control, err := s.openControl()
	if err != nil {
		closeAll(all)
		return errors.Join(err, s.close())
	}
	s.serving.start(all)
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	running.Go(func() {
		s.queue.Run(working)
		s.world.Close()
	})
	running.Go(func() { s.policies.Run(working) })
	running.Go(func() { s.keys.Run(working) })
	running.Go(func() { s.directory.Run(working) })
	running.Go(func() { s.feedback.Run(working) })
	if s.acme != nil {
		running.Go(func() { s.acme.Run(working) })
	}
	running.Go(func() { s.greylist.Run(working) })
	running.Go(func() { s.trainer.Run(working) })
	running.Go(func() { s.replies.Run(working, s.queue) })
	running.Go(func() { s.sweepRejected(working) })
	if !s.settings.local || len(s.settings.Resolvers) > 0 {
		running.Go(func() { s.watch().Run(working) })
	}
	if interval := s.process.watchdogInterval(); interval > 0 {
		running.Go(func() { s.watchdog(working, interval, func() { s.store.Figures() }) })
	}
	unheard := s.reloadOnHangup()
	restart := false
	if err = ready(); err == nil {
		s.restarter.control.Store(control)
		restart, err = s.wait(ctx, s.serving.failed)
	}
	unheard()
	err = errors.Join(err, s.announceEnd(restart), s.closeControl(control, restart))
	s.shutdownFronts()
	stopWork()
	running.Wait()
	return s.handOn(ctx, restart, errors.Join(err, s.close()))
}

// listen gives each gate to its front; those that are not open yet are opened.
func (s *server) listen(ctx context.Context) (all []*bound, err error) {
	if s.gates == nil {
		if s.gates, err = openGates(ctx, &s.settings, nil); err != nil {
			return nil, err
		}
	}
	for _, d := range s.gates {
		for _, f := range s.fronts {
			if d.endpoint == f.plain || d.endpoint == f.implicit {
				all = append(all, s.bound(f, d))
			}
		}
	}
	return all, nil
}

// shutdownFronts ends all sessions, telling their clients.
func (s *server) shutdownFronts() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var stopping sync.WaitGroup
	for _, f := range s.fronts {
		stopping.Go(func() {
			if err := f.server.Shutdown(ctx); err != nil {
				s.log.Warn("sessions were cut off", "server", f.name, "error", err)
			}
		})
	}
	stopping.Wait()
}

// close gives back what newServer opened.
func (s *server) close() error {
	s.journal.Close()
	s.reports.Close()
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}
