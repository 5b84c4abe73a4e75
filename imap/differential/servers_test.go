package differential

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailstead/imap"
	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

const (
	user     = "ann@example.test"
	password = "secret"
)

// startOurs serves a new store until the test ends, and returns a session of its only account.
func startOurs(t *testing.T) *client {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := mailbox.Open(t.TempDir(), mailbox.Options{Logger: logger, Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(store.Check(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	accounts, err := directory.Open(store, directory.Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := accounts.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.AddAccount(t.Context(), user, password); err != nil {
		t.Fatal(err)
	}
	server := imap.New(imap.Options{Store: store, Directory: accounts, AllowInsecureAuth: true, Logger: logger})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, imap.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := newClient(t, "mailstead", conn, conn)
	c.must("LOGIN " + user + " " + password)
	return c
}

// dovecotIMAP is where Debian and most others put the program that speaks IMAP for one
// user. It is a whole server on its standard input and output, logged in from the start:
// there is no port, no daemon, and no user but the one who runs the test.
const dovecotIMAP = "/usr/lib/dovecot/imap"

// dovecotSettings is its configuration; %[1]s is a folder of the test's. Messages are to
// be kept as they come, with the ends of lines that they have.
const dovecotSettings = `
base_dir = %[1]s/run
log_path = %[1]s/log
mail_location = sdbox:%[1]s/mail
mail_save_crlf = yes
mail_fsync = never
stats_writer_socket_path =
namespace inbox {
  inbox = yes
  separator = /
}
`

// nobody is the user that Dovecot is when the test is root: it is no mail server for root.
const nobody = 65534

// startDovecot starts a Dovecot of version 2.3 that ends with the test. The test is skipped
// where there is none.
func startDovecot(t *testing.T) *client {
	t.Helper()
	version, err := exec.Command("dovecot", "--version").Output()
	if _, there := os.Stat(dovecotIMAP); err != nil || there != nil {
		t.Skip("Dovecot is not installed (Debian packages dovecot-core and dovecot-imapd)")
	}
	if !strings.HasPrefix(string(version), "2.3.") {
		t.Skipf("Dovecot is %s; its configuration and what it does are known of 2.3", strings.TrimSpace(string(version)))
	}
	dir, err := os.MkdirTemp("", "mailstead-dovecot-") // not t.TempDir, which nobody may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	settings := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(settings, fmt.Appendf(nil, dovecotSettings, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(dovecotIMAP, "-c", settings)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "USER=ann", "LOGNAME=ann", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return runDovecot(t, cmd, filepath.Join(dir, "log"))
}

// runDovecot starts the program. When the test ends its input ends, and then it ends itself.
func runDovecot(t *testing.T, cmd *exec.Cmd, logName string) *client {
	t.Helper()
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil || t.Failed() {
			log, _ := os.ReadFile(logName)
			t.Logf("Dovecot has ended: %v\n%s%s", err, complaints.Bytes(), log[max(0, len(log)-4096):])
		}
	})
	return newClient(t, "Dovecot", out, in)
}
