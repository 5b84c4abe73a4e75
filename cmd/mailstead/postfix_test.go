package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// postfixMain is what every Postfix of these tests has in its main.cf: it has no names and boxes of its own machine, and asks
// nobody. %[1]s is its folder.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/lib
maillog_file = %[1]s/log/postfix.log
maillog_file_prefixes = %[1]s
mail_owner = postfix
setgid_group = postdrop
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
local_recipient_maps =
alias_maps =
alias_database =
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
`

// postfixMaster are the services in its master.cf, Debian's without those that nothing here asks for.
const postfixMaster = `pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
error     unix - - n - - error
retry     unix - - n - - error
smtp      unix - - n - - smtp
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`

// startPostfix runs a Postfix until the test ends, and waits until it takes mail at the address. It gets settings and services besides
// those above. All of its folder has to be open to others, as its processes are not root.
func startPostfix(t *testing.T, dir, address, settings, services string) {
	t.Helper()
	etc := filepath.Join(dir, "etc")
	err := errors.Join(peerFolders(dir, "etc", "queue", "lib", "log"),
		os.WriteFile(filepath.Join(etc, "main.cf"), fmt.Appendf(nil, postfixMain+"%[2]s", dir, settings), 0o644),
		os.WriteFile(filepath.Join(etc, "master.cf"), []byte(services+postfixMaster), 0o644),
		exec.Command("chown", "postfix", filepath.Join(dir, "lib")).Run())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if words, err := os.ReadFile(filepath.Join(dir, "log/postfix.log")); t.Failed() && err == nil {
			t.Logf("Postfix: %s", words)
		}
	})
	startDaemon(t, exec.Command("postfix", "-c", etc, "start-fg"), exec.Command("postfix", "-c", etc, "stop"))
	eventually(t, "Postfix listens", func() bool {
		c, err := net.Dial("tcp", address)
		return err == nil && c.Close() == nil
	})
}
