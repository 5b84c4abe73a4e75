//go:build linux

package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// freshPackage has TestPackageFresh run: it needs root, and two Debian packages.
	freshPackage = flag.String("fresh.package", "", "TestPackageFresh installs this Debian package on a machine of its own")
	freshUpgrade = flag.String("fresh.upgrade", "", "the package that TestPackageFresh upgrades it to")
)

// packageCommands is what the owner types at the shell once the package is on the machine: see docs/GUIDE.md for others' figures.
const packageCommands = 2

// TestPackageFresh is the life of the Debian package on a machine of its own: installed, it starts nothing; one `mailstead setup`
// leads to a letter that comes, is read, and is answered; it is upgraded under a server that runs, removed, purged and installed
// again, and of the mail and the settings nothing is lost.
func TestPackageFresh(t *testing.T) {
	if *freshPackage == "" {
		t.Skip("needs root, dpkg and packages: make deb-fresh")
	}
	onFreshMachine(t, func(w *freshWorld) {
		w.makePackagesReady()
		installed := w.installFirst()
		w.setUp("mailstead", "setup", "example.org")
		w.compareTranscript(packageTranscript, w.withoutApt(installed))
		if w.commands != packageCommands {
			t.Errorf("%d commands, not %d", w.commands, packageCommands)
		}
		w.exchangeLetters()
		w.firstDay()
		settings := w.read("/etc/mailstead/mailstead.toml")
		w.upgrade()
		w.upgradeAgainstPolicy()
		w.upgradeWithFault()
		w.removeAndReturn()
		w.purgeAndReturn()
		w.loseAndRestore()
		if now := w.read("/etc/mailstead/mailstead.toml"); now != settings {
			t.Errorf("the settings have become %s", now)
		}
	})
}

// makePackagesReady copies the packages to the machine, whose apt has no network to ask.
func (w *freshWorld) makePackagesReady() {
	w.t.Helper()
	for _, name := range []string{*freshPackage, *freshUpgrade} {
		b, err := os.ReadFile(name)
		w.must(err)
		w.write("/root/"+filepath.Base(name), string(b), 0o644)
	}
	w.write("/etc/apt/apt.conf.d/zz-fresh", "APT::Install-Recommends false;\nAPT::Sandbox::User root;\nDpkg::Use-Pty false;\nBinary::apt::DPkg::Progress-Fancy false;\n", 0o644)
	for _, gone := range []string{"/usr/sbin/policy-rc.d", "/var/lib/man-db/auto-update"} { // a container's; and minutes of indexing the manual
		w.must(os.RemoveAll(w.root + gone))
	}
}

func (w *freshWorld) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.root + name)
	w.must(err)
	return string(b)
}

// do types a command that must succeed, and gives what it says.
func (w *freshWorld) do(words ...string) string {
	w.t.Helper()
	before := len(w.screen.String())
	err := w.begin(words...)()
	said := w.screen.String()[before:]
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", words, err, said)
	}
	w.seen = before + len(said)
	return said
}

// installFirst installs the package on a machine that never had it, and gives what is on the screen.
func (w *freshWorld) installFirst() (said string) {
	w.t.Helper()
	said = w.do("apt", "install", "--yes", "./"+filepath.Base(*freshPackage))
	if !strings.Contains(said, "mailstead: now run: mailstead setup YOUR-DOMAIN") {
		w.t.Errorf("what comes next is not said: %s", said)
	}
	if !strings.Contains(w.read("/etc/passwd"), "\nmailstead:") {
		w.t.Error("there is no system user")
	}
	if w.serverRuns() || w.isThere(freshWants) || w.isThere("/etc/mailstead") || w.isThere("/var/lib/mailstead") {
		w.t.Error("there is a server before anybody has set one up")
	}
	if conffiles, err := exec.Command("dpkg-query", "--root="+w.root, "-W", "-f=${Conffiles}", "mailstead").CombinedOutput(); err != nil || len(conffiles) > 0 {
		w.t.Errorf("the package has files that upgrades would ask about: %v %s", err, conffiles)
	}
	return said
}

// withoutApt is the screen with what is typed, and of apt's words what our package says.
func (w *freshWorld) withoutApt(installed string) string {
	text := "# apt install ./mailstead_0.1.0_amd64.deb\n"
	for line := range strings.Lines(installed) {
		if strings.HasPrefix(line, "mailstead: ") {
			text += line
		}
	}
	return text + "\n# mailstead setup example.org\n" + strings.TrimPrefix(w.screen.String(), installed)
}

func (w *freshWorld) isThere(name string) bool {
	_, err := os.Lstat(w.root + name)
	return err == nil
}

// server is the process of the server and its program; 0 if none runs.
func (w *freshWorld) server() (pid int, program string) {
	text, err := os.ReadFile(w.root + "/run/pid")
	if err != nil {
		return 0, ""
	}
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		return 0, ""
	}
	program, err = os.Readlink(fmt.Sprintf("%s/proc/%d/exe", w.root, pid))
	if err != nil {
		return 0, ""
	}
	return pid, program
}

func (w *freshWorld) serverRuns() bool {
	pid, _ := w.server()
	return pid != 0
}

var (
	// What is another one each time.
	aMoment   = regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:]+(Z|[+-]\d\d:\d\d)`)
	anID      = regexp.MustCompile(`(message |queued as )[0-9a-z.]+|<[A-Z2-7]{26}@`)
	aManifest = regexp.MustCompile(`\d{8}T\d{6}\.\d+Z-[0-9a-f]+\.json`)
	aCopy     = regexp.MustCompile(`\d+ files, [\d.]+ kB(; \d+ copied, [\d.]+ kB)?`)
	drawnOver = regexp.MustCompile(`(?m)^.*\x1b\[K\n?`)
)

// firstDay types what the guide shows of the day after, and holds what is said against its transcript.
func (w *freshWorld) firstDay() {
	w.t.Helper()
	story := ""
	eventually(w.t, "the journal knows what became of the answer", func() bool {
		story = w.do("mailstead", "log", "--to", "bob@friend.test")
		return strings.Contains(story, "delivered to")
	})
	text := "# mailstead log --to bob@friend.test\n" + story + "\n# mailstead queue list\n" + w.do("mailstead", "queue", "list")

	end := w.begin("mailstead", "account", "add", "bea@example.org")
	for _, prompt := range []string{"Password: ", "Once more: "} {
		w.answer(prompt, "correct horse battery staple")
	}
	w.must(end())
	text += "\n# mailstead account add bea@example.org\nPassword: \nOnce more: \n"

	for _, line := range []string{"mailstead backup /mnt/disk/mail", "mailstead verify /mnt/disk/mail"} {
		text += "\n# " + line + "\n" + w.do(strings.Fields(line)...)
	}
	text = aMoment.ReplaceAllString(text, "2026-11-23T03:02:45Z")
	text = anID.ReplaceAllStringFunc(text, func(id string) string {
		switch {
		case strings.HasPrefix(id, "message "):
			return "message mwsokifd.yz3j"
		case strings.HasPrefix(id, "queued as "):
			return "queued as 0660e8d3fe0cb1"
		}
		return "<4ANQZARZK62UVMY6PIORCRG5YC@"
	})
	text = aManifest.ReplaceAllString(text, "20261123T030246.646179175Z-a54f3e7d44bd26f4.json")
	text = aCopy.ReplaceAllStringFunc(text, func(line string) string {
		if strings.Contains(line, "copied") {
			return "6 files, 49.6 kB; 6 copied, 48.2 kB"
		}
		return "6 files, 49.6 kB"
	})
	w.compareTranscript(firstDayTranscript, drawnOver.ReplaceAllString(strings.ReplaceAll(text, "\r", ""), ""))
}

// outdated is what the kernel says of a program whose file another one has taken the place of.
const outdated = " (deleted)"

// upgrade installs the newer package: the process stays, with the new program and all mail.
func (w *freshWorld) upgrade() {
	w.t.Helper()
	before, _ := w.server()
	w.do("apt", "install", "--yes", "./"+filepath.Base(*freshUpgrade))
	after, program := w.server()
	if before == 0 || after != before || strings.HasSuffix(program, outdated) {
		w.t.Errorf("process %d became %d, of %s", before, after, program)
	}
	version := strings.TrimPrefix(strings.TrimSpace(w.do("mailstead", "version")), "mailstead ")
	if said := w.do("mailstead", "status"); !strings.Contains(version, "+next") || !strings.Contains(said, version) {
		w.t.Errorf("the server is not of version %q:\n%s", version, said)
	}
	w.inbox(2)
}

// upgradeAgainstPolicy installs once more where the machine's policy forbids packages to restart services.
func (w *freshWorld) upgradeAgainstPolicy() {
	w.t.Helper()
	const policy = "/usr/sbin/policy-rc.d"
	w.write(policy, "#!/bin/sh\nexit 101\n", 0o755)
	before, _ := w.server()
	w.do("dpkg", "-i", filepath.Base(*freshUpgrade))
	if after, program := w.server(); after != before || !strings.HasSuffix(program, outdated) {
		w.t.Errorf("process %d of the old program became %d of %s", before, after, program)
	}
	w.must(os.Remove(w.root + policy))
	w.do("dpkg", "-i", filepath.Base(*freshUpgrade))
	if after, program := w.server(); after != before || strings.HasSuffix(program, outdated) {
		w.t.Errorf("process %d became %d of %s", before, after, program)
	}
}

// upgradeWithFault installs while the configuration has a fault with which no server would start: the one that runs goes on.
func (w *freshWorld) upgradeWithFault() {
	w.t.Helper()
	const config = "/etc/mailstead/mailstead.toml"
	settings := w.read(config)
	w.must(os.WriteFile(w.root+config, []byte(settings+"colour = \"blue\"\n"), 0o640))
	before, _ := w.server()
	said := w.do("dpkg", "-i", filepath.Base(*freshUpgrade))
	if after, _ := w.server(); before == 0 || after != before || !strings.Contains(said, "is left as it is") || !strings.Contains(said, "colour") {
		w.t.Errorf("process %d became %d: %s", before, after, said)
	}
	w.inbox(2)
	w.must(os.WriteFile(w.root+config, []byte(settings), 0o640))
}

// stays looks for what no removal of the package may touch, and for its being said.
func (w *freshWorld) stays(said string) {
	w.t.Helper()
	if !strings.Contains(said, "mailstead: mail and settings stay, in /var/lib/mailstead and /etc/mailstead") {
		w.t.Errorf("where the mail is is not said: %s", said)
	}
	if w.serverRuns() || w.isThere("/usr/bin/mailstead") {
		w.t.Error("a removed server runs, or its program is there")
	}
	for _, name := range []string{"/var/lib/mailstead/store", "/etc/mailstead/mailstead.toml", "/etc/mailstead/example.org.zone"} {
		if !w.isThere(name) {
			w.t.Errorf("%s is gone", name)
		}
	}
}

// removeAndReturn removes the package and installs it again: the server starts, as it was to start with the machine.
func (w *freshWorld) removeAndReturn() {
	w.t.Helper()
	w.stays(w.do("dpkg", "-r", "mailstead"))
	said := w.do("dpkg", "-i", filepath.Base(*freshUpgrade))
	if !w.serverRuns() {
		w.t.Fatalf("the server does not run again: %s", said)
	}
	w.inbox(2)
}

// purgeAndReturn purges the package and installs it again: nothing starts until setup is told to, which finds everything.
func (w *freshWorld) purgeAndReturn() {
	w.t.Helper()
	w.stays(w.do("dpkg", "-P", "mailstead"))
	if w.isThere(freshWants) {
		w.t.Error("a purged server is still to start with the machine")
	}
	w.do("dpkg", "-i", filepath.Base(*freshUpgrade))
	if w.serverRuns() {
		w.t.Error("the server runs, though nobody has set it up since it was purged")
	}
	w.findsAll(w.do("mailstead", "setup", "example.org", "--no-watch"))
}

// findsAll reads what a setup says that had nothing to make and to ask, but a server to start.
func (w *freshWorld) findsAll(said string) {
	w.t.Helper()
	for _, want := range []string{"system user    mailstead is there", "/var/lib/mailstead is there", "mailstead.toml is there", "domain example.org is there", "started, and starts with the machine"} {
		if !strings.Contains(said, want) {
			w.t.Errorf("%q is missing in %s", want, said)
		}
	}
	if strings.Contains(said, "]: ") {
		w.t.Errorf("setup asks again: %s", said)
	}
	w.inbox(2)
}

// loseAndRestore goes through the guide's drill: all is lost but a backup.
func (w *freshWorld) loseAndRestore() {
	w.t.Helper()
	w.do("mailstead", "backup", "/mnt/disk/mail") // once more
	w.do("dpkg", "-P", "mailstead")
	for _, lost := range []string{"/var/lib/mailstead", "/etc/mailstead"} {
		w.must(os.RemoveAll(w.root + lost))
	}
	_, drill, found := strings.Cut(readPaper(w.t, "GUIDE.md"), "as you would after a fire:\n\n```sh\n")
	drill, _, _ = strings.Cut(drill, "```")
	if !found || strings.Count(drill, "\n") < 4 {
		w.t.Fatalf("the guide has another drill: %s", drill)
	}
	said := ""
	for line := range strings.Lines(strings.Replace(drill, "mailstead_0.1.0_amd64.deb", filepath.Base(*freshUpgrade), 1)) {
		line = strings.Replace(strings.TrimSpace(line), "apt install", "apt install --yes", 1)
		if strings.HasPrefix(line, "mailstead setup") {
			line += " --no-watch"
		}
		said = w.do("sh", "-c", line)
	}
	w.findsAll(said)
}
