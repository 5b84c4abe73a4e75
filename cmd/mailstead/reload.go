package main

import (
	"context"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"syscall"

	"mailstead/tls"
)

// reloadCommand is `mailstead reload`.
type reloadCommand struct {
	place
}

func (c reloadCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	r, err := call[reloaded](ctx, c.place, log, "reload", nothing{})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(std.out, r.text())
	return err
}

// reloaded is what a reload has changed.
type reloaded struct {
	Changed []string `json:"changed"` // settings that count from now on
	Waiting []string `json:"waiting"` // that are read at the start only
}

// text is the answer for people.
func (r reloaded) text() string {
	var b strings.Builder
	if len(r.Changed) > 0 {
		fmt.Fprintf(&b, "These settings count from now on: %s.\n", strings.Join(r.Changed, ", "))
	}
	if len(r.Waiting) > 0 {
		fmt.Fprintf(&b, "These count after `mailstead restart`: %s.\n", strings.Join(r.Waiting, ", "))
	}
	if b.Len() == 0 {
		return "Nothing has changed.\n"
	}
	return b.String()
}

func (a *admin) reloadSettings(ctx context.Context, _ nothing) (reloaded, error) {
	if a.reload == nil {
		return reloaded{}, errors.New("no server is running; it reads its configuration when it starts")
	}
	return a.reload(ctx)
}

// reloadOnHangup has SIGHUP read the configuration again, where there is one, until what it returns is called.
func (s *server) reloadOnHangup() (end func()) {
	if s.reading == nil {
		return func() {}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	var working sync.WaitGroup
	working.Go(func() {
		for range signals {
			err := notifyReloading("reading the configuration")
			if _, failed := s.reload(context.Background()); failed != nil {
				s.log.Error("the configuration was not reloaded; nothing has changed", "error", failed)
			}
			if err = errors.Join(err, notifySystemd("READY=1")); err != nil {
				s.log.Warn("the service manager does not hear of the reload", "error", err)
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
		working.Wait()
	}
}

// reload reads the settings again and has everything follow them, or nothing: what can fail is done first. Sessions that are under
// way go on as they began.
func (s *server) reload(ctx context.Context) (reloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.reading == nil {
		return reloaded{}, errors.New("this server has no configuration file")
	}
	next, err := s.reading()
	if err != nil {
		return reloaded{}, err
	}
	r := s.merge(&next)
	if err := next.check(); err != nil {
		return reloaded{}, fmt.Errorf("with settings that are read at the start only as they were (%s): %w", strings.Join(r.Waiting, ", "), err)
	}
	if err := s.follow(ctx, &next); err != nil {
		return reloaded{}, err
	}
	if len(r.Changed)+len(r.Waiting) > 0 {
		s.log.Info("the configuration was reloaded", "changed", r.Changed, "waiting_for_a_start", r.Waiting)
	}
	return r, nil
}

// merge says what is new in next, and takes back there what is read at the start only.
func (s *server) merge(next *settings) reloaded {
	r := reloaded{Changed: []string{}, Waiting: []string{}}
	now := s.present.Load()
	next.local, next.acmePoll, next.acmeDelay, next.keyTimes = now.local, now.acmePoll, now.acmeDelay, now.keyTimes
	for _, k := range settingTable() {
		switch {
		case reflect.DeepEqual(k.value(now).Interface(), k.value(next).Interface()):
		case k.fixed:
			r.Waiting = append(r.Waiting, k.name)
			k.value(next).Set(k.value(now))
		default:
			r.Changed = append(r.Changed, k.name)
		}
	}
	return r
}

// follow has everything follow next.
func (s *server) follow(ctx context.Context, next *settings) error {
	now := s.present.Load()
	options, err := storeOptions(next, s.log)
	if err != nil {
		return err
	}
	o, err := s.manners(next)
	if err != nil {
		return err
	}
	newPair := next.Certificate != now.Certificate || next.Key != now.Key
	if newPair && next.Certificate != "" {
		if _, err := cryptotls.LoadX509KeyPair(next.Certificate, next.Key); err != nil {
			return fmt.Errorf("certificate and key: %w", err)
		}
	}
	open, dropped := s.serving.change(next.Listen)
	opened, err := s.openAll(ctx, open)
	if err != nil {
		return err
	}
	// From here on nothing fails.
	s.present.Store(next)
	if newPair {
		s.files.use(next.Certificate, next.Key, tls.Options{Logger: s.log})
	}
	for _, f := range s.fronts {
		f.apply(o)
	}
	s.store.SetRetention(options.Retention)
	s.store.SetNewAccountQuota(options.NewAccountQuota)
	s.feedback.SetOff(!next.SendReports)
	s.serving.start(opened)
	s.serving.drop(dropped)
	if newPair {
		if err := s.renameCertificate(); err != nil { // an authority may fetch what the files do not have any more, or need not what they have
			s.log.Error("the names of certificates are as before", "error", err)
		}
	}
	return nil
}

// openAll opens listeners, or none.
func (s *server) openAll(ctx context.Context, list []endpoint) (all []*bound, err error) {
	for _, e := range list {
		for _, address := range e.addresses {
			b, err := s.bind(ctx, e.name, address)
			if err != nil {
				closeAll(all)
				if errors.Is(err, syscall.EADDRINUSE) {
					err = fmt.Errorf("listen.%w; if it is this server's own, `mailstead restart` moves it", err)
				}
				return nil, err
			}
			all = append(all, b)
		}
	}
	return all, nil
}
