package setup

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeGolden has the golden files written anew.
var writeGolden = flag.Bool("write-golden", false, "write the golden files")

// world is a machine with a server on it, all of a test's own, below one folder.
type world struct {
	t       *testing.T
	dir     string
	in      []string // lines that are typed
	secrets []string
	out     bytes.Buffer
	width   int
	height  int

	runs    []string         // programs that were run
	fail    map[string]error // of programs, by the words they begin with
	users   map[string]bool
	active  bool
	systemd bool

	domains  map[string]bool
	accounts map[string]string // with passwords
	broken   error             // of Furnish
	states   [][]State         // answers of Look, the last one for ever
	facts    Facts
	pressed  int // Pause says at this call that Enter was pressed; 0 = never
	pauses   int
}

func newWorld(t *testing.T) *world {
	t.Setenv("SUDO_USER", "ann") // whose name the first account has unless another one is answered
	return &world{t: t, dir: t.TempDir(), systemd: true, fail: map[string]error{}, users: map[string]bool{}, domains: map[string]bool{},
		accounts: map[string]string{}, states: [][]State{{There, There, There}}, width: 80, height: 24}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// run is one `mailstead setup example.org` with changes of its options.
func (w *world) run(change ...func(*Setup)) error {
	s := w.setup()
	for _, c := range change {
		c(s)
	}
	return s.Run(w.t.Context())
}

func (w *world) setup() *Setup {
	return &Setup{
		Options: Options{Domain: "example.org", Places: Places{w.path("bin/mailstead"), w.path("etc/mailstead/mailstead.toml"), w.path("var/mailstead"), "mailstead"}},
		Terminal: &Terminal{
			Out:        &w.out,
			ReadLine:   func(context.Context) (string, error) { return take(&w.in) },
			ReadSecret: func(context.Context) (string, error) { return take(&w.secrets) },
			Pause: func(context.Context, time.Duration) bool {
				w.pauses++
				return w.pauses == w.pressed
			},
			Size: func() (int, int) { return w.width, w.height },
		},
		Host: Host{
			Root: true, HasSystemd: w.systemd, Run: w.program, Chown: os.Chown,
			LookUp: func(name string) (int, int, error) {
				if !w.users[name] {
					return 0, 0, ErrNoUser
				}
				if os.Geteuid() == 0 {
					return 12345, 12345, nil
				}
				return os.Geteuid(), os.Getegid(), nil // whose files nobody else can make
			},
			UnitDirs: []string{w.path("etc/systemd/system"), w.path("usr/lib/systemd/system")}, Executable: w.path("home/mailstead"),
			ProgramDirs: []string{w.path("bin")}, ProgramDir: w.path("bin"),
		},
		Server: w,
		Probe:  func(context.Context, Asked) Facts { return w.facts },
	}
}

func take(list *[]string) (string, error) {
	if len(*list) == 0 {
		return "", ErrInputEnded
	}
	line := (*list)[0]
	*list = (*list)[1:]
	return line, nil
}

func (w *world) program(_ context.Context, name string, args ...string) error {
	line := strings.Join(append([]string{name}, args...), " ")
	w.runs = append(w.runs, line)
	for start, err := range w.fail {
		if strings.HasPrefix(line, start) {
			return err
		}
	}
	switch {
	case name == "useradd":
		w.users[args[len(args)-1]] = true
	case strings.HasPrefix(line, "systemctl enable"):
		w.active = true
	case strings.HasPrefix(line, "systemctl is-") && !w.active:
		return errors.New("no")
	}
	return nil
}

func (w *world) ReadConfig(name string) (Settings, error) {
	text, there, err := present(name)
	if err != nil || !there {
		return Settings{}, errors.Join(err, fs.ErrNotExist)
	}
	s := Settings{Dir: usualDir}
	for line := range strings.Lines(text) {
		fmt.Sscanf(line, "hostname = %q", &s.Hostname)
		fmt.Sscanf(line, "acme_email = %q", &s.Contact)
		fmt.Sscanf(line, "dir = %q", &s.Dir)
	}
	if s.Hostname == "" {
		return s, errors.New("configuration: hostname must be set")
	}
	return s, nil
}

func (w *world) Accounts(context.Context, string) (names []string, err error) {
	for name := range w.accounts {
		names = append(names, name)
	}
	return names, nil
}

func (w *world) Furnish(_ context.Context, a Answers) (Made, error) {
	if w.broken != nil {
		return Made{}, w.broken
	}
	_, had := w.accounts[a.Account]
	m := Made{Domain: !w.domains[a.Domain], Account: a.Account != "" && !had, Letter: a.Account != "" && !had, Postmaster: a.Account, Records: []Record{
		{Name: a.Hostname, Type: "A", Text: "192.0.2.1", Zone: a.Hostname + ". IN A 192.0.2.1"},
		{Name: a.Domain, Type: "MX", Text: "10 " + a.Hostname + ".", Zone: a.Domain + ". IN MX 10 " + a.Hostname + "."},
		{Name: "192.0.2.1", Type: "PTR", Text: a.Hostname + ".", Note: "your provider sets it"},
	}}
	w.domains[a.Domain] = true
	if m.Account {
		w.accounts[a.Account] = a.Password
	}
	return m, nil
}

func (w *world) Look(context.Context, []Record) []State {
	s := w.states[0]
	if len(w.states) > 1 {
		w.states = w.states[1:]
	}
	return s
}

// prepare puts the program where the new owner has unpacked it.
func (w *world) prepare() *world {
	w.t.Helper()
	if err := errors.Join(os.MkdirAll(w.path("home"), 0o755), os.WriteFile(w.path("home/mailstead"), []byte("program"), 0o755)); err != nil {
		w.t.Fatal(err)
	}
	return w
}

// files is everything that setup has made, with modes.
func (w *world) files() (list []string) {
	err := filepath.WalkDir(w.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || name == w.dir {
			return err
		}
		text := ""
		if !d.IsDir() {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text = string(b)
		}
		list = append(list, fmt.Sprintf("%v %s %q", info.Mode(), strings.TrimPrefix(name, w.dir), text))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

var generatedPassword = regexp.MustCompile(`[a-z2-7]{5}(-[a-z2-7]{5}){3}`)

// anonymous takes out of what was said what is another one each time.
func (w *world) anonymous() string {
	text := strings.ReplaceAll(w.out.String(), w.dir, "")
	return generatedPassword.ReplaceAllString(text, "PASSWORD")
}

func (w *world) golden(name string) {
	w.t.Helper()
	file := filepath.Join("testdata", name)
	if *writeGolden {
		if err := os.WriteFile(file, []byte(w.anonymous()), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.anonymous(); got != string(want) {
		w.t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func TestSetup(t *testing.T) {
	w := newWorld(t).prepare()
	w.in = []string{"", "", ""}
	w.secrets = []string{""}
	w.states = [][]State{{Missing, Missing, Unknown}, {There, Differs, Unknown}, {There, There, There}}
	w.facts = Facts{Taken: []Taken{{25, "exim4"}}, Resolver: Yes, DNSSEC: No, Memory: 1 << 30, Disk: 10 << 30, Own: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	if err := w.run(); err != nil {
		t.Fatalf("%v\n%s", err, w.out.String())
	}
	w.golden("fresh.txt")
	if len(w.in)+len(w.secrets) > 0 {
		t.Error("a question was not asked")
	}
	if p := w.accounts["ann@example.org"]; len(p) < 20 {
		t.Errorf("the password is %q", p)
	}
	for name, mode := range map[string]fs.FileMode{"etc/mailstead/mailstead.toml": 0o640, "var/mailstead": fs.ModeDir | 0o700, "etc/systemd/system/mailstead.service": 0o644, "bin/mailstead": 0o755} {
		if info, err := os.Stat(w.path(name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	before, runs := w.files(), len(w.runs)
	w.out.Reset()
	if err := w.run(); err != nil { // asks nothing
		t.Fatal(err)
	}
	w.golden("again.txt")
	if after := w.files(); !slices.Equal(before, after) {
		t.Errorf("the second run changed\n%q\nto\n%q", before, after)
	}
	for _, r := range w.runs[runs:] {
		if !strings.HasPrefix(r, "systemctl is-") {
			t.Errorf("the second run did %s", r)
		}
	}
}

// TestSetupKeepsWhatWasEdited edits everything that setup has written.
func TestSetupKeepsWhatWasEdited(t *testing.T) {
	w := newWorld(t).prepare()
	if err := w.run(func(s *Setup) { s.Yes = true }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc/mailstead/mailstead.toml", "etc/systemd/system/mailstead.service", "etc/mailstead/example.org.zone"} {
		text, _, err := present(w.path(name))
		text = "# mine\n" + text + "greylist = true\n"
		if err := errors.Join(err, os.WriteFile(w.path(name), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	before := w.files()
	w.out.Reset()
	if err := w.run(); err != nil {
		t.Fatal(err)
	}
	w.golden("edited.txt")
	if after := w.files(); !slices.Equal(before, after) {
		t.Errorf("what was edited was changed:\n%q\n%q", before, after)
	}
	if err := w.run(func(s *Setup) { s.Hostname = "other.example.org" }); !errors.Is(err, ErrAnswer) {
		t.Errorf("another host name than the configuration's: %v", err)
	}
}

// TestSetupCutOff has each thing that setup does fail once, with a full disk and by the end of the context, and runs it again.
func TestSetupCutOff(t *testing.T) {
	whole := newWorld(t).prepare()
	if err := whole.run(func(s *Setup) { s.Yes, s.Password = true, "secret" }); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole.setup().steps()) {
		w := newWorld(t).prepare()
		s := w.setup()
		s.Yes, s.Password = true, "secret"
		ctx, cancel := context.WithCancel(t.Context())
		done := false
		steps := cutOff(s.stepsFor(t, ctx), n, func() { done = true; cancel() })
		if err := s.perform(ctx, steps); err == nil || !done {
			t.Fatalf("step %d: %v", n, err)
		}
		w.out.Reset()
		if err := w.run(func(s *Setup) { s.Yes, s.Password = true, "secret" }); err != nil {
			t.Errorf("after a cut in step %d: %v\n%s", n, err, w.out.String())
		}
		strip := func(list []string, dir string) string { return strings.ReplaceAll(strings.Join(list, "\n"), dir, "") }
		if got, want := strip(w.files(), w.dir), strip(whole.files(), whole.dir); got != want {
			t.Errorf("after a cut in step %d:\n%s\nwant\n%s", n, got, want)
		}
		if !w.active || len(w.accounts) != 1 {
			t.Errorf("after a cut in step %d: active %t, accounts %v", n, w.active, w.accounts)
		}
	}
}

// stepsFor answers all questions, as Run does, and gives the steps.
func (s *Setup) stepsFor(t *testing.T, ctx context.Context) []step {
	t.Helper()
	s.Answers.Domain = "example.org"
	unlock, err := s.enter()
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := errors.Join(s.readPresent(ctx), s.answer(ctx)); err != nil {
		t.Fatal(err)
	}
	return s.steps()
}

// cutOff has the n-th step fail after what it did, and the context end.
func cutOff(steps []step, n int, cut func()) []step {
	did := steps[n].do
	steps[n].do = func(ctx context.Context) (string, error) {
		_, err := did(ctx)
		cut()
		return "", errors.Join(err, syscall.ENOSPC)
	}
	return steps
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct{ in, want, says string }{
		{"example.org", "example.org", ""},
		{" Example.ORG. ", "example.org", ""},
		{"müller.example", "xn--mller-kva.example", ""},
		{"", "", "empty"},
		{"org", "", "like example.org"},
		{"https://example.org/", "", "address of the web"},
		{"ann@example.org", "", "mail address"},
		{"192.0.2.1", "", "IP address"},
		{"::1", "", "IP address"},
		{"exa mple.org", "", "like example.org"},
		{"under_score.org", "", "like example.org"},
		{"-a.org", "", "like example.org"},
		{"a..org", "", "like example.org"},
		{"\xff.org", "", "like example.org"},
		{strings.Repeat("a", 64) + ".org", "", "like example.org"},
	} {
		got, err := ParseDomain(c.in)
		if got != c.want || (err != nil) != (c.says != "") || err != nil && (!errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("domain %q: %q, %v", c.in, got, err)
		}
	}
	for _, c := range []struct{ in, want string }{
		{"ann", "ann@example.org"}, {"Ann@Example.org", "ann@example.org"}, {"ann.bell", "ann.bell@example.org"}, {"zoë", "zoë@example.org"},
		{"", ""}, {"ann bell", ""}, {`"ann bell"@example.org`, ""}, {"ann'@other.org", ""}, {"a\"b", ""}, {"ann@", ""}, {"@example.org", ""}, {"a\x00b", ""}, {"a+b", ""},
	} {
		if got, err := ParseAccount(c.in, "example.org"); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("account %q: %q, %v", c.in, got, err)
		}
	}
	for in, want := range map[string]string{"none": "", "None": "", "a@b.example": "a@b.example"} {
		if got, err := ParseContact(in); got != want || err != nil {
			t.Errorf("contact %q: %q, %v", in, got, err)
		}
	}
	for p, ok := range map[string]bool{"secret": true, "with space and \"quotes\"": true, "пароль": true, "": false, "\xff\xfe": false, "a\x00b": false, "a\x07b": false, strings.Repeat("x", 2000): false} {
		if err := CheckPassword(p); (err == nil) != ok {
			t.Errorf("password %q: %v", p, err)
		}
	}
}

func TestGeneratePassword(t *testing.T) {
	a, b := GeneratePassword(), GeneratePassword()
	if a == b || len(a) < 20 || CheckPassword(a) != nil {
		t.Errorf("%q, %q", a, b)
	}
}

// TestQuestionsAgain answers wrongly first.
func TestQuestionsAgain(t *testing.T) {
	w := newWorld(t).prepare()
	w.in = []string{"mail", "müller", "mail.müller.example", "two words", "ann", "no address", "none"}
	w.secrets = []string{"\xff", "one", "two", "right", "right"}
	if err := w.run(); err != nil {
		t.Fatalf("%v\n%s", err, w.out.String())
	}
	w.golden("questions.txt")
	if w.accounts["ann@example.org"] != "right" {
		t.Errorf("accounts: %v", w.accounts)
	}
	config, _, err := present(w.path("etc/mailstead/mailstead.toml"))
	if err != nil || !strings.Contains(config, "\nhostname = \"mail.xn--mller-kva.example\"\n") || strings.Contains(config, "\nacme_email") {
		t.Errorf("%v: %s", err, config)
	}
}

// TestSetupStops has what setup cannot mend.
func TestSetupStops(t *testing.T) {
	yes := func(s *Setup) { s.Yes = true }
	for _, c := range []struct {
		name  string
		world func(*world)
		run   func(*Setup)
		says  string
	}{
		{"nobody answers", nil, func(s *Setup) { s.Yes = false }, "input ended"},
		{"wrong domain", nil, func(s *Setup) { s.Domain = "exämple_" }, "like example.org"},
		{"a password that is none", nil, func(s *Setup) { s.Password = "\xff" }, "the password is not UTF-8"},
		{"a broken configuration", func(w *world) { w.put("etc/mailstead/mailstead.toml", "x = 1\n") }, nil, "Mend the file"},
		{"other things in the folder", func(w *world) { w.put("var/mailstead/photos/cat.jpg", "") }, nil, "has other things in it (photos)"},
		{"a file for the folder", func(w *world) { w.put("var/mailstead", "") }, nil, "is no folder"},
		{"no useradd", func(w *world) { w.fail["useradd"] = errors.New("useradd: not found") }, nil, "make a system user mailstead"},
		{"a server that does not start", func(w *world) { w.fail["systemctl enable"] = errors.New("failed") }, nil, "journalctl -u mailstead"},
		{"a full disk", func(w *world) { w.broken = syscall.ENOSPC }, nil, "no space left on device"},
		{"another folder than the configuration's", func(w *world) { w.put("etc/mailstead/mailstead.toml", "hostname = \"mail.example.org\"\n") }, func(s *Setup) { s.DirGiven = true }, "has another folder, " + usualDir},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t).prepare()
			if c.world != nil {
				c.world(w)
			}
			run := c.run
			if run == nil {
				run = func(*Setup) {}
			}
			err := w.run(yes, run)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func (w *world) put(name, text string) {
	w.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(w.path(name)), 0o755), os.WriteFile(w.path(name), []byte(text), 0o600)); err != nil {
		w.t.Fatal(err)
	}
}

func TestTwoSetups(t *testing.T) {
	w := newWorld(t).prepare()
	unlock, err := w.setup().enter()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.run(func(s *Setup) { s.Yes = true }); !errors.Is(err, ErrBusy) {
		t.Errorf("beside another: %v", err)
	}
	unlock()
	if err := w.run(func(s *Setup) { s.Yes = true }); err != nil {
		t.Errorf("after the other: %v", err)
	}
}

// TestWithoutServiceManager tells of the command instead.
func TestWithoutServiceManager(t *testing.T) {
	w := newWorld(t).prepare()
	w.systemd = false
	if err := w.run(func(s *Setup) { s.Yes = true }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.out.String(), "\n    mailstead setup example.org --run --config ") || slices.ContainsFunc(w.runs, func(r string) bool { return strings.HasPrefix(r, "systemctl") }) {
		t.Errorf("%q\n%s", w.runs, w.out.String())
	}
}

// TestWithoutRoot leaves out what needs it, and says so.
func TestWithoutRoot(t *testing.T) {
	w := newWorld(t).prepare()
	if err := w.run(func(s *Setup) { s.Yes, s.Host.Root = true, false }); err != nil {
		t.Fatal(err)
	}
	if len(w.runs) > 0 || !strings.Contains(w.out.String(), "Without root's rights") {
		t.Errorf("%q\n%s", w.runs, w.out.String())
	}
}

// TestWatch ends when everything is there, and when Enter is pressed.
func TestWatch(t *testing.T) {
	for _, c := range []struct {
		name          string
		states        [][]State
		width, height int
		pressed       int
		golden        string
	}{
		{"drawn again", [][]State{{Missing, Unknown, Differs}, {There, There, There}}, 80, 24, 0, "watch-drawn.txt"},
		{"lines in a low window", [][]State{{Missing, Missing, There}, {There, Missing, There}, {There, There, There}}, 80, 4, 0, "watch-lines.txt"},
		{"ended by Enter", [][]State{{Missing, Missing, Missing}}, 80, 24, 2, "watch-ended.txt"},
		{"one look without a terminal", [][]State{{Missing, Missing, Missing}}, 0, 0, 0, "watch-once.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.states, w.width, w.height, w.pressed = c.states, c.width, c.height, c.pressed
			s := w.setup()
			s.Answers = Answers{Domain: "example.org", Hostname: "mail.example.org"}
			s.made, _ = w.Furnish(t.Context(), s.Answers)
			s.watch(t.Context())
			w.golden(c.golden)
		})
	}
}

func TestTable(t *testing.T) {
	long := strings.Repeat("k", 100)
	got := table([]Record{{Name: "example.org", Type: "MX", Text: "10 mail.example.org."}, {Name: "x._domainkey.example.org", Type: "TXT", Text: long, Note: "of a new key"}}, 50)
	want := "NAME                      TYPE   VALUE\n" +
		"example.org               MX\n10 mail.example.org.\n" +
		"x._domainkey.example.org  TXT\n" + long + "\n   (of a new key)\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWarnings(t *testing.T) {
	mine, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.99")
	sound := Facts{Memory: 1 << 30, Disk: 10 << 30, Resolver: Yes, DNSSEC: Yes, Outgoing: Yes, Own: []netip.Addr{mine}, HostnameIPs: []netip.Addr{mine}}
	for _, c := range []struct {
		name   string
		change func(*Facts, *Answers)
		want   []string
	}{
		{"sound", func(*Facts, *Answers) {}, nil},
		{"nothing is known", func(f *Facts, _ *Answers) { *f = Facts{} }, nil},
		{"ports", func(f *Facts, _ *Answers) { f.Taken = []Taken{{25, "mailstead"}, {443, "nginx"}, {993, ""}} }, []string{"Port 443 is taken by nginx.", "Port 993 is taken by another program."}},
		{"blocked", func(f *Facts, _ *Answers) { f.Outgoing = No }, []string{"Port 25 to other mail servers seems to be blocked."}},
		{"no resolver", func(f *Facts, _ *Answers) { f.Resolver, f.HostnameIPs = No, nil }, []string{"No DNS resolver answers."}},
		{"no DNSSEC", func(f *Facts, _ *Answers) { f.DNSSEC = No }, []string{"The resolver proves nothing with DNSSEC."}},
		{"no DNS yet", func(f *Facts, _ *Answers) { f.HostnameIPs = nil }, []string{"The DNS has no address for mail.example.org yet."}},
		{"leads elsewhere", func(f *Facts, _ *Answers) { f.HostnameIPs = []netip.Addr{other} }, []string{"mail.example.org leads to 192.0.2.99, which is not this machine."}},
		{"behind NAT", func(f *Facts, _ *Answers) { f.Own = nil }, nil},
		{"a name of nobody's", func(_ *Facts, a *Answers) { a.Hostname = "mail.home.arpa" }, []string{"mail.home.arpa is no name of the public DNS."}},
		{"memory", func(f *Facts, _ *Answers) { f.Memory = 256 << 20 }, []string{"There are 256 MB of memory."}},
		{"disk", func(f *Facts, _ *Answers) { f.Disk = 100 << 20 }, []string{"The disk has 100 MB free."}},
		{"clock", func(f *Facts, _ *Answers) { f.ClockLoose = true }, []string{"Nobody keeps the clock right."}},
		{"clock far off", func(f *Facts, _ *Answers) { f.ClockLoose, f.ClockWrong = true, true }, []string{"The clock is far behind."}},
	} {
		f, a := sound, Answers{Hostname: "mail.example.org"}
		c.change(&f, &a)
		var got []string
		for _, w := range judge(f, a) {
			got = append(got, w.what)
			if w.why == "" || w.remedy == "" || strings.Contains(w.why+w.remedy, "\n") {
				t.Errorf("%s: a line each for why and what to do: %+v", c.name, w)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// TestDifference leaves comments out.
func TestDifference(t *testing.T) {
	got := difference("# a\nx = 1\n\ny = 2\n", "# b\nx = 1\nz = 3\n")
	if !slices.Equal(got, []string{"- y = 2", "+ z = 3"}) {
		t.Errorf("%q", got)
	}
}

func TestWriteLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	f := File{Name: filepath.Join(dir, "f"), Text: "new", Mode: 0o640, GID: -1}
	// What a killed run left is no obstacle.
	if err := errors.Join(os.WriteFile(f.Name, []byte("old"), 0o600), os.WriteFile(filepath.Join(dir, ".f.new"), []byte("half of something longer"), 0o600), f.write()); err != nil {
		t.Fatal(err)
	}
	text, _, err := present(f.Name)
	left, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || text != "new" || len(left) > 0 {
		t.Errorf("%q, %v, %v", text, err, left)
	}
	if err := os.Mkdir(filepath.Join(dir, ".f.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.Text = "newer"
	if err := f.write(); err == nil {
		t.Error("written through a folder")
	}
	if text, _, _ := present(f.Name); text != "new" {
		t.Errorf("a write that failed left %q", text)
	}
}

func FuzzParseAccount(f *testing.F) {
	for _, s := range []string{"ann", "ann@example.org", "\"a b\"@example.org", "@", "müller", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := ParseAccount(s, "example.org"); err == nil {
			if again, err := ParseAccount(a, "example.org"); err != nil || again != a {
				t.Errorf("%q is %q, and that is %q, %v", s, a, again, err)
			}
		}
	})
}
