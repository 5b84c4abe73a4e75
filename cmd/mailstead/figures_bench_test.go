package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailstead/cmd/internal/figures"
	"mailstead/mailbox"
)

// BenchmarkScrape is what Prometheus' question costs a server of 1,000 accounts and of 100 domains with six names each.
// Neither time nor memory may depend on how many messages there are.
func BenchmarkScrape(b *testing.B) {
	for _, messages := range []int{0, 20_000} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) {
			srv := manyAccounts(b, messages)
			certificates := manyCertificates()
			b.ReportAllocs()
			for b.Loop() {
				f := srv.figures()
				f.Certificates = certificates
				f.Warnings = f.Concerns()
				b.SetBytes(int64(len(f.Exposition())))
			}
		})
	}
}

// manyAccounts is a server with 1,000 accounts, which share the messages.
func manyAccounts(b *testing.B, messages int) *server {
	s, err := (&localCommand{Dir: filepath.Join(b.TempDir(), "s"), Domain: []string{"example.test"}, PortOffset: 10000, MXPort: 25}).settings()
	if err != nil {
		b.Fatal(err)
	}
	srv, err := newServer(s, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := srv.close(); err != nil {
			b.Error(err)
		}
	})
	var targets []mailbox.Target
	for range 1000 {
		id, err := srv.store.CreateAccount(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		targets = append(targets, mailbox.Target{Account: id, Name: "INBOX"})
	}
	for range messages / len(targets) {
		if err := deliverTo(b.Context(), srv.store, targets); err != nil {
			b.Fatal(err)
		}
	}
	return srv
}

func deliverTo(ctx context.Context, store *mailbox.Store, targets []mailbox.Target) error {
	body := store.NewBody()
	if _, err := body.Write([]byte("Subject: figures\r\n\r\n" + strings.Repeat("x", 70) + "\r\n")); err != nil {
		return err
	}
	_, err := store.Deliver(ctx, body, targets, nil)
	return err
}

// manyCertificates are those of the names of 100 domains.
func manyCertificates() (list []figures.Certificate) {
	for n := range 100 {
		for _, role := range []string{"", "mail.", "autoconfig.", "autodiscover.", "ua-auto-config.", "mta-sts."} {
			list = append(list, figures.Certificate{
				Name: fmt.Sprintf("%sd%d.example.test", role, n), Issuer: "Let's Encrypt", NotAfter: time.Now().AddDate(0, 2, 0),
			})
		}
	}
	return list
}
