package figures

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mailstead/cmd/internal/threshold"
)

var writeScreens = flag.Bool("write-screens", false, "write the golden screens anew")

// TestScreens holds each screen against its golden file.
func TestScreens(t *testing.T) {
	asked := func(change func(*Figures)) Figures {
		f := busy()
		change(&f)
		f.Warnings = f.Concerns()
		return f
	}
	wide := ScreenOptions{Columns: 200}
	for name, c := range map[string]struct {
		f Figures
		o ScreenOptions
	}{
		"busy":    {busy(), wide},
		"narrow":  {busy(), ScreenOptions{Columns: 60}},
		"colours": {busy(), ScreenOptions{Columns: 80, Colour: true}},
		"new": {asked(func(f *Figures) {
			*f = Figures{At: noon, Version: "1.2.3", Hostname: "mail.example.org", Running: true, Started: noon.Add(-3 * time.Second), Check: "31 good, 2 to mend"}
		}), wide},
		"stopped": {asked(func(f *Figures) {
			*f = Figures{At: noon, Version: "1.2.3", Queue: f.Queue, Store: f.Store, Certificates: f.Certificates[:1], Refusals: f.Refusals, Backup: f.Backup}
		}), wide},
		"trouble": {asked(func(f *Figures) {
			f.Store.DiskFree, f.Store.Applied, f.Backup = 1_000_000_000, 12, noon.Add(-9*24*time.Hour)
			f.Certificates[0].NotAfter, f.Certificates[0].Problem = noon.Add(5*24*time.Hour+time.Hour), "the authority says: too many requests"
			f.Queue.Oldest, f.Mail.LostSteps, f.Process.OpenFiles = noon.Add(-30*time.Hour), 12, 500_000
			for range 20 {
				f.Certificates = append(f.Certificates, f.Certificates[1])
			}
		}), wide},
	} {
		got := strings.Join(c.f.Screen(c.o), "\n") + "\n"
		file := filepath.Join("testdata", name+".screen")
		if *writeScreens {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != got {
			t.Errorf("%s, %v:\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

var styles = regexp.MustCompile(`\x1b\[\d*m`)

// pieces are what names in these tests are made of: wide and combining characters, right to left, what is no
// character, and what terminals act on.
var pieces = []string{"a", "mail", ".", "@", " ", "ü", "郵", "メール", "한", "🙂", "👩‍👩‍👧", "☎", "e\u0301", "\u202e", "שלום", "\x1b[2J", "\x07", "\n", "\r", "\t", "\xff", "\u200b", "\uFFFD", strings.Repeat("x", 90)}

// TestNoLineIsWider: whatever names and words there are, no line is wider than the screen, is no UTF-8, or does
// anything to the terminal.
func TestNoLineIsWider(t *testing.T) {
	chance := rand.New(rand.NewPCG(7, 8))
	word := func() string {
		var b strings.Builder
		for range chance.IntN(12) {
			b.WriteString(pieces[chance.IntN(len(pieces))])
		}
		return b.String()
	}
	for range 500 {
		f := busy()
		f.Hostname, f.Version, f.Check, f.Sessions[0].Protocol = word(), word(), word(), "smtp"
		f.Warnings = []string{word(), word()}
		for i := range f.Certificates {
			f.Certificates[i].Name, f.Certificates[i].Issuer, f.Certificates[i].Problem = word(), word(), word()
		}
		for i := range f.Refusals {
			f.Refusals[i] = Refusal{At: noon, From: word(), To: []string{word(), word()}, Peer: word(), Reason: word()}
		}
		f.Store.Size, f.Queue.Waiting, f.Sessions[0].Accepted = chance.Int64(), chance.IntN(1<<40), chance.Uint64()>>chance.IntN(64)>>1
		o := ScreenOptions{Columns: 30 + chance.IntN(80), Colour: chance.IntN(2) == 0}
		most := min(max(o.Columns, leastColumns), Columns)
		for _, line := range f.Screen(o) {
			checkLine(t, line, most, o.Colour)
		}
	}
}

func checkLine(t *testing.T, line string, most int, colour bool) {
	t.Helper()
	if !utf8.ValidString(line) {
		t.Errorf("no UTF-8: %q", line)
	}
	bare := styles.ReplaceAllString(line, "")
	if bare != line && (!colour || !strings.HasSuffix(line, reset)) {
		t.Errorf("colours: %q", line)
	}
	n := 0
	for _, r := range bare {
		switch {
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			t.Fatalf("%U in %q", r, line)
		case r >= 0x1100 && r < 0x2000 && unicode.Is(unicode.Hangul, r), r >= 0x2e80 && r < 0xfe00 && r != 0xfb2a, r >= 0x1f000:
			n += 2 // wider than most of them are
		default:
			n++
		}
	}
	if n > most {
		t.Errorf("%d columns, not %d: %q", n, most, bare)
	}
}

func TestConcerns(t *testing.T) {
	if got := busy(); len(got.Warnings) != 1 || !strings.HasPrefix(got.Warnings[0], "autoconfig.example.org has no certificate:") {
		t.Errorf("a busy server: %q", got.Warnings)
	}
	for name, c := range map[string]struct {
		change func(*Figures)
		want   string
	}{
		"stopped":           {func(f *Figures) { f.Running = false }, "no server is running"},
		"full":              {func(f *Figures) { f.Store.Full = true }, "the disk is full"},
		"nearly full":       {func(f *Figures) { f.Store.DiskFree = 7_999_999_999 }, "the disk is nearly full: 8.0 GB of 80.0 GB are free"},
		"ends":              {func(f *Figures) { f.Certificates[0].NotAfter = noon.Add(13 * 24 * time.Hour) }, "the certificate of mail.example.org ends in 13 days"},
		"ended":             {func(f *Figures) { f.Certificates[0].NotAfter = noon }, "the certificate of mail.example.org has ended"},
		"queue":             {func(f *Figures) { f.Queue.Oldest = noon.Add(-4 * time.Hour) }, "mail waits in the queue for 4 hours"},
		"behind":            {func(f *Figures) { f.Store.Applied = 812_344 }, "the databases are 100,001 records behind"},
		"no backup":         {func(f *Figures) { f.Backup = time.Time{} }, "no backup is known of"},
		"old backup":        {func(f *Figures) { f.Backup = noon.Add(-49 * time.Hour) }, "the last backup is 2 days 1 hour old"},
		"files":             {func(f *Figures) { f.Process.OpenFiles = 419431 }, "419431 of 524288 files are open"},
		"journal":           {func(f *Figures) { f.Mail.LostSteps = 1 }, "1 steps are missing"},
		"held mail is none": {func(f *Figures) { f.Queue = Queue{Held: 1, Oldest: noon.Add(-400 * time.Hour)} }, ""},
		"no mail no backup": {func(f *Figures) { f.Backup, f.Store.Messages = time.Time{}, 0 }, ""},
	} {
		f := busy()
		f.Certificates[1].Problem = ""
		c.change(&f)
		got := f.Concerns()
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		number(0): "0", number(999): "999", number(1000): "1,000", number(-1234567): "-1,234,567", number(uint64(12345)): "12,345",
		threshold.Size(0): "0 B", threshold.Size(1000): "1.0 kB", threshold.Size(1_500_000): "1.5 MB", threshold.Size(9_000_000_000_000_000_000): "9.0 EB",
		span(-time.Second): "0 seconds", span(time.Second): "1 second", span(time.Minute): "1 minute", span(61 * time.Second): "1 minute 1 second",
		span(179 * time.Minute): "2 hours 59 minutes", span(3 * time.Hour): "3 hours", span(25 * time.Hour): "1 day 1 hour", span(80 * 24 * time.Hour): "80 days",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
