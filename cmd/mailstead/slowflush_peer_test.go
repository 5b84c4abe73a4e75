//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dovecotSettings: %[1]s is its folder, %[2]d the port of IMAP, %[3]d of LMTP, %[4]d the
// user that owns mail. Processes are reused, which is its mode for many logins.
const dovecotSettings = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap lmtp
listen = 127.0.0.1
instance_name = mailstead-bench
ssl = no
disable_plaintext_auth = no
auth_username_format = %%Ln
mail_location = sdbox:~/sdbox
default_process_limit = 1000
default_client_limit = 5000
first_valid_uid = 1
passdb {
  driver = static
  args = password=pass
}
userdb {
  driver = static
  args = uid=%[4]d gid=%[4]d home=%[1]s/mail/%%n allow_all_users=yes
}
namespace inbox {
  inbox = yes
  separator = /
}
service imap-login {
  inet_listener imap {
    port = %[2]d
  }
  inet_listener imaps {
    port = 0
  }
  service_count = 0
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[3]d
  }
  process_min_avail = 2
}
`

// peerMain is what Postfix has besides postfixMain: %d is Dovecot's port of LMTP. Limits for one address
// are off, as all of the load comes from one.
const peerMain = `myhostname = mx.example.test
mynetworks =
virtual_mailbox_domains = example.test
virtual_mailbox_maps = static:OK
virtual_transport = lmtp:inet:127.0.0.1:%d
default_transport = error:nothing leaves this machine
relay_transport = error:nothing leaves this machine
lmtp_dns_support_level = disabled
lmtp_host_lookup = native
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = none
lmtp_tls_security_level = none
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
`

// peerMaster is what its master.cf has besides postfixMaster; %d is the port of SMTP.
const peerMaster = `127.0.0.1:%d inet n - n - - smtpd
lmtp      unix - - n - - lmtp
`

// mailUser owns the peer's mail: nobody, as it is no mail server for root.
const mailUser = 65534

// startPeer starts Postfix with Dovecot (sdbox, by LMTP) on the disk, until the test
// ends, or says why not.
func startPeer(t *testing.T, disk *slowDisk) (taker slowTaker, why string) {
	t.Helper()
	for _, name := range []string{"postfix", "dovecot"} {
		if _, err := exec.LookPath(name); err != nil {
			return taker, err.Error() + " (Debian packages postfix, dovecot-imapd and dovecot-lmtpd)"
		}
	}
	version, err := exec.Command("dovecot", "--version").Output()
	if err != nil || !strings.HasPrefix(string(version), "2.3.") {
		return taker, fmt.Sprintf("its settings are those of Dovecot 2.3; this is %s (%v)", strings.TrimSpace(string(version)), err)
	}
	offset := freeOffset(t)
	imap, lmtp, smtp := offset+143, offset+110, offset+25
	dovecot, postfix := filepath.Join(disk.dir, "dovecot"), filepath.Join(disk.dir, "postfix")
	err = errors.Join(peerFolders(dovecot, "run", "state", "mail"),
		os.Chown(filepath.Join(dovecot, "mail"), mailUser, mailUser),
		os.WriteFile(filepath.Join(dovecot, "dovecot.conf"), fmt.Appendf(nil, dovecotSettings, dovecot, imap, lmtp, mailUser), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	startDaemon(t, exec.Command("dovecot", "-F", "-c", filepath.Join(dovecot, "dovecot.conf")), nil)
	for _, port := range []int{imap, lmtp} {
		if err := awaitPort(port); err != nil {
			log, _ := os.ReadFile(filepath.Join(dovecot, "log"))
			t.Fatalf("the peer did not start: %v\n%s", err, log)
		}
	}
	local := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	startPostfix(t, postfix, local(smtp), fmt.Sprintf(peerMain, lmtp), fmt.Sprintf(peerMaster, smtp))
	return serverTaker(peerName, local(smtp), local(imap), "a0@example.test"), ""
}

func peerFolders(dir string, names ...string) error {
	err := os.Mkdir(dir, 0o755)
	for _, name := range names {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	return err
}

// startDaemon runs a server until the test ends: stop, or SIGTERM, has it end then.
func startDaemon(t *testing.T, c, stop *exec.Cmd) {
	t.Helper()
	words := new(lockedBuffer)
	c.Stdout, c.Stderr = words, words
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if stop != nil {
			if err := stop.Run(); err != nil {
				t.Logf("%s: %v", stop, err)
				c.Process.Signal(syscall.SIGTERM)
			}
		} else {
			c.Process.Signal(syscall.SIGTERM)
		}
		c.Wait() // what it says of the signal is no news
		if t.Failed() {
			t.Logf("%s: %s", c.Path, words)
		}
	})
}

// awaitPort waits until somebody listens.
func awaitPort(port int) (err error) {
	for end := time.Now().Add(faultLimit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var conn net.Conn
		if conn, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return conn.Close()
		}
	}
	return err
}
