//go:build linux

package main

import (
	"bytes"
	cryptotls "crypto/tls"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mailstead/smtp/dns/dnstest"
)

var (
	// freshProgram has TestSetupFresh run: it needs root, and the binary.
	freshProgram = flag.String("fresh", "", "TestSetupFresh sets a server up with this program on a machine of its own")
	freshRoot    = flag.String("fresh.root", "/", "folder with the system of TestSetupFresh's and TestPackageFresh's machine, which is not changed")
	freshWrite   = flag.Bool("fresh.write", false, "TestSetupFresh and TestPackageFresh write their transcripts")
)

// insideFresh names, in the process that has namespaces of its own, the folder for its machine.
const insideFresh = "MAILSTEAD_INSIDE_FRESH"

// The machine, and the world that it is connected to: names of other servers, a resolver.
const (
	freshMachine  = "192.0.2.10"
	freshResolver = "192.0.2.53"
	freshOther    = "192.0.2.25"
	freshZone     = `
friend.test. MX 10 mx.friend.test.
friend.test. TXT "v=spf1 mx -all"
mx.friend.test. A 192.0.2.25
25.2.0.192.in-addr.arpa. PTR mx.friend.test.
ietf.org. MX 0 mail.ietf.org.
gmail-smtp-in.l.google.com. A 192.0.2.25
`
)

// freshQuestions is what setup asks: see docs/GUIDE.md for others' figures.
const freshQuestions = 4

// TestSetupFresh is a new owner's first hour without a package: one `mailstead setup` at a terminal of a machine that has nothing
// but the program, then a letter that comes, is read, and is answered. The machine is a root of its own in namespaces; systemctl is a
// stand-in that starts the unit's command as its user and with its capability.
func TestSetupFresh(t *testing.T) {
	if *freshProgram == "" {
		t.Skip("needs root: make setup-fresh")
	}
	onFreshMachine(t, func(w *freshWorld) {
		program, err := os.ReadFile(*freshProgram)
		w.must(err)
		w.write("/root/mailstead", string(program), 0o755)
		w.setUp("./mailstead", "setup", "example.org")
		w.compareTranscript(freshTranscript, "# ./mailstead setup example.org\n"+w.screen.String())
		w.exchangeLetters()
		w.again()
	})
}

// onFreshMachine has a test go on in a process with namespaces of its own.
func onFreshMachine(t *testing.T, do func(*freshWorld)) {
	t.Helper()
	if dir := os.Getenv(insideFresh); dir != "" {
		do(newFreshWorld(t, dir))
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, append(os.Args[1:], "-test.run=^"+t.Name()+"$")...)
	c.Env = append(os.Environ(), insideFresh+"="+t.TempDir()) // which is removed when what is mounted in it has gone with the namespace
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET}
	said, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Logf("%s", said)
}

// freshWorld is the machine with its terminal, and the world.
type freshWorld struct {
	t      *testing.T
	root   string // of the machine
	space  string // its network namespace
	dns    *dnstest.Server
	friend *mx
	screen lockedBuffer
	seen   int // octets of the screen that waitFor is done with

	commands, typed int // at the shell; answers

	password string // of ann@example.org, as setup has shown it

	keyboard *os.File
}

func newFreshWorld(t *testing.T, dir string) *freshWorld {
	w := &freshWorld{t: t, root: filepath.Join(dir, "root"), friend: &mx{}}
	w.makeRoot(filepath.Join(dir, "layers"))
	w.connect()
	var err error
	if w.dns, err = dnstest.StartAt(freshResolver+":53", freshZone); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.dns.Close)
	w.friend.serve(t, freshOther, 25)
	return w
}

// setUp types the command, answers its questions, and publishes the records.
func (w *freshWorld) setUp(words ...string) {
	w.t.Helper()
	end := w.begin(words...)
	w.answer("[mail.example.org]: ", "")
	w.answer("[postmaster@example.org]: ", "ann")
	w.answer("Password", "")
	w.answer("[ann@example.org]: ", "")
	w.waitFor("What the DNS has of them")
	w.waitFor("example.org\r\n")
	w.publish()
	w.waitFor("All records are there.")
	if err := end(); err != nil {
		w.t.Fatalf("%v\n%s", err, w.screen.String())
	}
	if w.typed != freshQuestions {
		w.t.Errorf("%d questions, not %d", w.typed, freshQuestions)
	}
	w.password = shownPassword.FindString(w.screen.String())
}

func (w *freshWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// tool runs a program of the test's own machine.
func (w *freshWorld) tool(name string, args ...string) {
	w.t.Helper()
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s %v: %v: %s", name, args, err, said)
	}
}

// makeRoot lays a folder for changes over a system, and makes what a running one has.
func (w *freshWorld) makeRoot(layers string) {
	w.t.Helper()
	w.must(os.Mkdir(layers, 0o755))
	w.must(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	w.must(syscall.Mount("tmpfs", layers, "tmpfs", 0, ""))
	upper, work := filepath.Join(layers, "upper"), filepath.Join(layers, "work")
	w.must(errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755), os.Mkdir(w.root, 0o755)))
	w.must(syscall.Mount("overlay", w.root, "overlay", 0, "lowerdir="+*freshRoot+",upperdir="+upper+",workdir="+work))
	w.must(syscall.Mount("proc", w.root+"/proc", "proc", 0, ""))
	for _, dir := range []string{"/run", "/tmp", "/dev"} {
		w.must(syscall.Mount("tmpfs", w.root+dir, "tmpfs", 0, "mode=755"))
	}
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		w.must(unix.Mknod(w.root+"/dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))))
		w.must(os.Chmod(w.root+"/dev/"+name, 0o666))
	}
	w.must(os.MkdirAll(w.root+"/dev/pts", 0o755))
	w.must(syscall.Mount("devpts", w.root+"/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666"))
	w.must(errors.Join(os.Symlink("pts/ptmx", w.root+"/dev/ptmx"), os.MkdirAll(w.root+"/run/systemd/system", 0o755)))
	for _, gone := range []string{"/etc/mailstead", "/var/lib/mailstead", freshWants, "/etc/systemd/system/mailstead.service", "/usr/local/bin/mailstead", "/etc/resolv.conf"} {
		w.must(os.RemoveAll(w.root + gone))
	}
	w.write("/etc/resolv.conf", "nameserver "+freshResolver+"\n", 0o644)
	w.write("/usr/bin/systemctl", standInSystemctl, 0o755) // in the system's place: apt has scripts look nowhere else
}

func (w *freshWorld) write(name, text string, mode os.FileMode) {
	w.t.Helper()
	w.must(errors.Join(os.MkdirAll(filepath.Dir(w.root+name), 0o755), os.WriteFile(w.root+name, []byte(text), mode), os.Chmod(w.root+name, mode)))
}

// freshWants is the link by which systemd starts the server with the machine.
const freshWants = "/etc/systemd/system/multi-user.target.wants/mailstead.service"

// standInSystemctl does what systemd does with a unit, as far as it matters here.
const standInSystemctl = `#!/bin/sh
wants=` + freshWants + `
for unit in /etc/systemd/system/mailstead.service /usr/lib/systemd/system/mailstead.service /lib/systemd/system/mailstead.service; do
  [ ! -e $unit ] || break
done
active() { [ -e /run/pid ] && readlink "/proc/$(cat /run/pid)/exe" >/dev/null; } # one that has ended has none, even if nobody has heard of it
stop() {
  active || return 0
  kill "$(cat /run/pid)"
  while active; do sleep 0.1; done
}
start() {
  active && return
  : >/run/log
  cap=$(sed -n 's/^AmbientCapabilities=CAP_//p' $unit | tr A-Z a-z)
  user=$(sed -n 's/^User=//p' $unit)
  setsid setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --inh-caps=-all,+$cap --ambient-caps=-all,+$cap \
    --bounding-set=-all,+$cap $(sed -n 's/^ExecStart=//p' $unit) >>/run/log 2>&1 </dev/null &
  echo $! >/run/pid
  until grep -q 'mailstead is ready' /run/log; do kill -0 "$(cat /run/pid)" || { cat /run/log; exit 1; }; sleep 0.1; done
}
while [ "${1#-}" != "$1" ]; do shift; done
action=$1
for unit_or_flag in "$@"; do [ "$unit_or_flag" != --now ] || now=yes; done
case "$action" in
daemon-reload) ;;
is-enabled) [ -e $wants ] && echo enabled ;;
is-active) active ;;
enable)
  mkdir -p "${wants%/*}"
  ln -sf $unit $wants
  [ -z "$now" ] || start ;;
stop) stop ;;
restart) stop; start ;;
try-restart) ! active || { stop; start; } ;;
*) echo "systemctl $*: not here" >&2; exit 1 ;;
esac
`

// connect gives the machine a network namespace, with a cable to the world, which is in the test's own.
func (w *freshWorld) connect() {
	w.t.Helper()
	holder := exec.Command("sleep", "infinity") // keeps the namespace, and ends with ours
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	w.must(holder.Start())
	w.t.Cleanup(func() {
		holder.Process.Kill()
		holder.Wait()
	})
	// /proc is that of the outer pid namespace until it is mounted again; the machine's has our numbers.
	w.space = fmt.Sprintf("%s/proc/%d/ns/net", w.root, holder.Process.Pid)
	w.tool("ip", "link", "add", "world", "type", "veth", "peer", "name", "eth0")
	w.must(syscall.Mount(w.root+"/proc", "/proc", "", syscall.MS_BIND, ""))
	w.tool("ip", "link", "set", "eth0", "netns", fmt.Sprint(holder.Process.Pid))
	w.tool("ip", "link", "set", "lo", "up")
	w.tool("ip", "addr", "add", freshResolver+"/24", "dev", "world")
	w.tool("ip", "addr", "add", freshOther+"/24", "dev", "world")
	w.tool("ip", "link", "set", "world", "up")
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", freshMachine + "/24", "dev", "eth0"}, {"link", "set", "eth0", "up"}} {
		w.tool("nsenter", append([]string{"--net=" + w.space, "ip"}, args...)...)
	}
}

// begin starts a command of the machine at a terminal of 80 columns, and gives what waits for its end.
func (w *freshWorld) begin(words ...string) (end func() error) {
	w.t.Helper()
	w.commands++
	master, err := os.OpenFile(w.root+"/dev/pts/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	w.must(err)
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	w.must(err)
	w.must(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	w.must(unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 80}))
	slave, err := os.OpenFile(fmt.Sprintf("%s/dev/pts/%d", w.root, number), os.O_RDWR|syscall.O_NOCTTY, 0)
	w.must(err)
	defer slave.Close()
	c := exec.Command("nsenter", append([]string{"--net=" + w.space, "chroot", w.root, "/usr/bin/env", "-i", "-C", "/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=xterm"}, words...)...)
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	w.must(c.Start())
	read := make(chan struct{})
	go func() { // ends with the terminal's last user
		defer close(read)
		for b := make([]byte, 4096); ; {
			n, err := master.Read(b)
			w.screen.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	w.keyboard = master
	return func() error {
		err := c.Wait()
		<-read
		return errors.Join(err, master.Close())
	}
}

// waitFor waits until something is on the screen, and takes what is before it off.
func (w *freshWorld) waitFor(text string) {
	w.t.Helper()
	eventually(w.t, text, func() bool {
		all := w.screen.String()[w.seen:]
		at := strings.Index(all, text)
		if at >= 0 {
			w.seen += at + len(text)
		}
		return at >= 0
	})
}

// answer types after a question.
func (w *freshWorld) answer(question, text string) {
	w.t.Helper()
	w.waitFor(question)
	w.typed++
	_, err := w.keyboard.WriteString(text + "\n")
	w.must(err)
}

// publish puts the zone file into the DNS, as its owner does, and has the provider name the address.
func (w *freshWorld) publish() {
	w.t.Helper()
	zone, err := os.ReadFile(w.root + "/etc/mailstead/example.org.zone")
	w.must(err)
	w.must(w.dns.SetZone(freshZone + string(zone) + "\n10.2.0.192.in-addr.arpa. PTR mail.example.org.\n"))
}

var (
	shownPassword = regexp.MustCompile(`[a-z2-7]{5}(-[a-z2-7]{5}){3}`)
	// unansweredRecord is one of which the machine's resolver said nothing in time, at the first look.
	unansweredRecord = regexp.MustCompile(`(?m)^  \?  (\S+ +\S+)  \(the DNS does not answer\)$`)

	drawnAgain  = regexp.MustCompile(`(?s)\x1b\[\d+A\x1b\[J.*\x1b\[\d+A\x1b\[J`)
	shownKey    = regexp.MustCompile(`p=[A-Za-z0-9+/=]{40,}`)
	shownID     = regexp.MustCompile(`id=[0-9a-f]{20}`)
	shownDigest = regexp.MustCompile(`[0-9a-f]{64}|[A-Za-z0-9+/]{43}=`)
)

// compareTranscript holds what was on the screen, without what is another one each time, against a transcript.
func (w *freshWorld) compareTranscript(transcript, screen string) {
	w.t.Helper()
	text := strings.ReplaceAll(screen, "\r\n", "\n")
	text = drawnAgain.ReplaceAllString(text, "\x1b[1A\x1b[J")
	text = regexp.MustCompile(`\x1b\[\d+A\x1b\[J`).ReplaceAllString(text, "\n    (as they appear)\n\n")
	text = unansweredRecord.ReplaceAllString(text, "  ✗  $1")
	text = shownPassword.ReplaceAllString(text, "abcde-fghij-klmno-pqrst")
	text = shownKey.ReplaceAllString(text, "p=...")
	text = shownID.ReplaceAllString(text, "id=...")
	text = shownDigest.ReplaceAllString(text, "...")
	if *freshWrite {
		w.must(os.WriteFile(transcript, []byte(text), 0o644))
	}
	want, err := os.ReadFile(transcript)
	w.must(err)
	// What a machine is warned of is the machine's: clock and disk are this one's.
	if different := cmp.Diff(withoutWarnings(string(want)), withoutWarnings(text)); different != "" {
		w.t.Errorf("the transcript is another one: %s", different)
	}
}

var aWarning = regexp.MustCompile(`(?m)^  ! .*\n(      .*\n)*`)

func withoutWarnings(text string) string { return aWarning.ReplaceAllString(text, "") }

// exchangeLetters has another server bring a letter, reads it, and answers.
func (w *freshWorld) exchangeLetters() {
	w.t.Helper()
	c, err := gosmtp.Dial(freshMachine + ":25")
	w.must(err)
	defer c.Close()
	w.must(c.Hello("mx.friend.test"))
	w.must(c.SendMail("bob@friend.test", []string{"ann@example.org"}, strings.NewReader("From: <bob@friend.test>\r\nTo: <ann@example.org>\r\nSubject: welcome\r\nDate: "+
		time.Now().Format(time.RFC1123Z)+"\r\nMessage-ID: <1@friend.test>\r\n\r\nHello.\r\n")))
	imap := w.inbox(2)
	imap.say("c UID FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "Subject: Your mail server is ready")
	imap.say("d UID FETCH 2 BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "Subject: welcome")

	smtp := w.dialTLS("465", "220 ")
	smtp.say("EHLO [192.0.2.77]", "250 ")
	smtp.say("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00ann@example.org\x00"+w.password)), "235 ")
	smtp.say("MAIL FROM:<ann@example.org>", "250 ")
	smtp.say("RCPT TO:<bob@friend.test>", "250 ")
	smtp.say("DATA", "354 ")
	smtp.say("From: <ann@example.org>\r\nTo: <bob@friend.test>\r\nSubject: thanks\r\n\r\nHello, Bob.\r\n.", "250 ")
	eventually(w.t, "the answer has arrived", func() bool { return w.friend.received()["thanks"] == 1 })
}

// inbox is a session of the owner, who finds so many letters.
func (w *freshWorld) inbox(letters int) *talk {
	w.t.Helper()
	imap := w.dialTLS("993", "* OK")
	imap.say("a LOGIN ann@example.org "+w.password, "a OK")
	imap.say("b SELECT INBOX", fmt.Sprintf("* %d EXISTS", letters))
	return imap
}

// dialTLS trusts whatever certificate there is: no authority is in this world.
func (w *freshWorld) dialTLS(port, greeting string) *talk {
	w.t.Helper()
	conn, err := cryptotls.Dial("tcp", net.JoinHostPort(freshMachine, port), &cryptotls.Config{InsecureSkipVerify: true})
	w.must(err)
	return newTalk(w.t, conn, greeting)
}

// again runs setup a second time, which finds everything there and asks nothing.
func (w *freshWorld) again() {
	w.t.Helper()
	config, err := os.ReadFile(w.root + "/etc/mailstead/mailstead.toml")
	w.must(err)
	w.seen = len(w.screen.String())
	if err := w.begin("mailstead", "setup", "example.org", "--no-watch")(); err != nil {
		w.t.Errorf("again: %v", err)
	}
	said := w.screen.String()[w.seen:]
	if strings.Contains(said, "]: ") || strings.Contains(said, " made") || !strings.Contains(said, "runs, and starts with the machine") {
		w.t.Errorf("again: %s", said)
	}
	w.cutOff()
	if after, err := os.ReadFile(w.root + "/etc/mailstead/mailstead.toml"); err != nil || !bytes.Equal(config, after) {
		w.t.Errorf("the configuration was changed: %v", err)
	}
}

// cutOff presses Ctrl-C where a password is asked for: nothing of the second domain is there afterwards, and the terminal echoes again.
func (w *freshWorld) cutOff() {
	w.t.Helper()
	w.seen = len(w.screen.String())
	end := w.begin("mailstead", "setup", "second.test")
	w.answer("[postmaster@second.test]: ", "eve")
	w.waitFor("Password")
	w.waitFor("]: ")
	eventually(w.t, "echo is off", func() bool { return !w.echoes() })
	_, err := w.keyboard.WriteString("\x03")
	w.must(err)
	w.waitFor("setup was cut off")
	if !w.echoes() {
		w.t.Error("the terminal was left without echo")
	}
	if err := end(); err == nil {
		w.t.Error("a setup that was cut off succeeds")
	}
	if _, err := os.Stat(w.root + "/etc/mailstead/second.test.zone"); err == nil {
		w.t.Error("a setup that was cut off at a question went on")
	}
}

// echoes tells whether the terminal shows what is typed.
func (w *freshWorld) echoes() bool {
	w.t.Helper()
	state, err := unix.IoctlGetTermios(int(w.keyboard.Fd()), unix.TCGETS)
	w.must(err)
	return state.Lflag&unix.ECHO != 0
}
