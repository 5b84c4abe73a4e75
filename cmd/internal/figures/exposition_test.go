package figures

import (
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailstead/smtp/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// busy is a server with some of everything.
func busy() Figures {
	f := Figures{
		At: noon, Version: "1.2.3", Hostname: "mail.example.org", Running: true, Started: noon.Add(-51 * time.Hour),
		Sessions: []Sessions{
			{Protocol: "smtp", Open: 3, Accepted: 12345, RefusedAddress: 2, RefusedStrangers: 1},
			{Protocol: "submission", Open: 1, LoggedIn: 1, Accepted: 210},
			{Protocol: "imap", Open: 14, LoggedIn: 12, Accepted: 1800, RefusedAccount: 1},
			{Protocol: "pop3"},
		},
		Logins: []Logins{{"imap", 1200, 3}, {"pop3", 0, 0}, {"submission", 180, 4321}, {"other", 0, 0}},
		Mail: Mail{
			Received: []Received{{"smtp", 840}, {"submission", 180}},
			Copies:   []Copies{{"INBOX", 700}, {"Junk", 95}, {"other", 30}},
			Refused:  []Refused{{"RCPT", "5.1.1", 410}, {"DATA", "5.7.1", 22}},
			Verdicts: []Verdict{{"accept", "default", 790}, {"refuse", "dmarc", 22}}, Abandoned: 7,
			Delivered: 200, Deferred: 31, Failed: 2,
			LastHour: journal.Traffic{Filed: 12, Refused: 8, Delivered: 3},
			LastDay:  journal.Traffic{Filed: 340, Refused: 205, Delivered: 81, Failed: 1},
		},
		Queue: Queue{Waiting: 3, Trying: 1, Held: 2, Oldest: noon.Add(-135 * time.Minute)},
		Store: Store{
			Accounts: 4, Messages: 48211, Size: 7_312_000_000, Last: 912_345, Applied: 912_340, Indexed: 912_345, Pending: 4096,
			Flushes: []Bucket{{0.0001, 10}, {0.001, 2000}, {0.01, 30}, {0, 1}}, FlushSeconds: 1.25, Commits: 900, CommitSeconds: 4.5,
			Segments: 220, LogSize: 7_380_000_000, StateSize: 41_000_000, DerivedSize: 310_000_000, Live: 7_200_000_000,
			DiskSize: 80_000_000_000, DiskFree: 41_000_000_000, CleanedSegments: 3, CleanedSize: 99_000_000, MovedSize: 1_200_000,
		},
		Certificates: []Certificate{
			{Name: "mail.example.org", Issuer: "Let's Encrypt", NotAfter: noon.Add(67 * 24 * time.Hour)},
			{Name: "autoconfig.example.org", Problem: "autoconfig.example.org has no address in the DNS"},
		},
		Backup:  noon.Add(-7 * time.Hour),
		Process: Process{Goroutines: 83, Heap: 14_000_000, Resident: 58_000_000, OpenFiles: 61, MaxFiles: 524288, CPUSeconds: 911.25},
		Refusals: []Refusal{
			{At: noon.Add(-3 * time.Minute), From: "offer@spam.test", To: []string{"ann@example.org"}, Peer: "192.0.2.7",
				Reason: "refuse: Refused by the DMARC policy of spam.test: neither SPF nor a DKIM signature shows that it is its own"},
			{At: noon.Add(-2 * 24 * time.Hour), From: "<>", To: []string{"nobody@example.org", "noone@example.org"}, Reason: "550 5.1.1 No such user here"},
		},
	}
	f.Warnings = f.Concerns()
	return f
}

// exposed is what a strict reader finds in an exposition.
type exposed struct {
	kinds   map[string]string  // of each metric
	samples map[string]float64 // by name and labels as they are written
}

var (
	metricName = regexp.MustCompile(`^mailstead_[a-z0-9]+(_[a-z0-9]+)*$`)
	sampleLine = regexp.MustCompile(`^([a-z_0-9]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (\S+)$`)
	oneLabel   = regexp.MustCompile(`([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)`)
)

// readExposition reads Prometheus' text format, and nothing that only a tolerant reader would take.
func readExposition(text string) (e exposed, err error) {
	e = exposed{map[string]string{}, map[string]float64{}}
	if !strings.HasSuffix(text, "\n") {
		return e, fmt.Errorf("no line end behind the last line")
	}
	name, helped := "", ""
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		wrong := func(what string) (exposed, error) { return e, fmt.Errorf("line %d, %s: %s", n+1, what, line) }
		fields := strings.SplitN(line, " ", 4)
		switch {
		case strings.HasPrefix(line, "# HELP "):
			if len(fields) < 4 || fields[3] == "" || !metricName.MatchString(fields[2]) {
				return wrong("no help")
			}
			helped = fields[2]
		case strings.HasPrefix(line, "# TYPE "):
			if len(fields) != 4 || fields[2] != helped || !slices.Contains([]string{counter, gauge, histogram}, fields[3]) {
				return wrong("no type")
			}
			name = fields[2]
			if _, twice := e.kinds[name]; twice {
				return wrong("a second time")
			}
			e.kinds[name] = fields[3]
		default:
			m := sampleLine.FindStringSubmatch(line)
			if m == nil {
				return wrong("no sample")
			}
			suffix, ok := strings.CutPrefix(m[1], name)
			if !ok || suffix != "" && (e.kinds[name] != histogram || !slices.Contains([]string{"_bucket", "_sum", "_count"}, suffix)) {
				return wrong("not below its type")
			}
			value, err := strconv.ParseFloat(m[3], 64)
			if err != nil || math.IsNaN(value) {
				return wrong("no value")
			}
			if key := m[1] + "{" + m[2] + "}"; !addOnce(e.samples, key, value) {
				return wrong("a second time")
			}
			if !distinctLabels(m[2]) {
				return wrong("a label twice")
			}
		}
	}
	return e, nil
}

func addOnce(m map[string]float64, key string, value float64) bool {
	if _, there := m[key]; there {
		return false
	}
	m[key] = value
	return true
}

func distinctLabels(labels string) bool {
	seen := map[string]bool{}
	for _, m := range oneLabel.FindAllStringSubmatch(labels, -1) {
		if seen[m[1]] {
			return false
		}
		seen[m[1]] = true
	}
	return true
}

// TestExpositionIsWellFormed: of a busy server, of one without anything, and of one whose names are odd.
func TestExpositionIsWellFormed(t *testing.T) {
	odd := busy()
	odd.Version = "a\"b\\c\nd\xff{}"
	odd.Certificates = append(odd.Certificates, Certificate{Name: "ünï\n\"", Issuer: "x"}, odd.Certificates[0])
	for name, f := range map[string]Figures{"busy": busy(), "new": {At: noon}, "odd": odd} {
		e, err := readExposition(string(f.Exposition()))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for m, kind := range e.kinds {
			if strings.HasSuffix(m, "_total") != (kind == counter) {
				t.Errorf("%s is a %s", m, kind)
			}
		}
		checkHistogram(t, &f, e)
	}
	f := busy()
	text := string(f.Exposition())
	for _, want := range []string{
		`mailstead_build_info{version="1.2.3"} 1`, `mailstead_sessions{protocol="imap",login="yes"} 12`,
		`mailstead_refusals_total{command="RCPT",status="5.1.1"} 410`, `mailstead_log_unapplied_records 5`,
		`mailstead_queue_oldest_age_seconds 8100`, `mailstead_certificate_not_after_seconds{name="autoconfig.example.org"} 0`,
		`mailstead_certificate_problem{name="autoconfig.example.org"} 1`, `mailstead_log_flush_seconds_bucket{le="0.001"} 2010`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

// checkHistogram: buckets hold those before them, and the last one all.
func checkHistogram(t *testing.T, f *Figures, e exposed) {
	t.Helper()
	last, bounds := 0.0, 0
	for _, b := range f.Store.Flushes {
		le := formatValue(b.UpTo)
		if b.UpTo == 0 {
			le = "+Inf"
		}
		n, ok := e.samples[`mailstead_log_flush_seconds_bucket{le="`+le+`"}`]
		if !ok || n < last {
			t.Errorf("up to %s: %v after %v", le, n, last)
		}
		last, bounds = n, bounds+1
	}
	if count := e.samples["mailstead_log_flush_seconds_count{}"]; count != last {
		t.Errorf("%v flushes, %v in %d buckets", count, last, bounds)
	}
}

// TestReaderIsStrict feeds the reader of these tests what it must not take.
func TestReaderIsStrict(t *testing.T) {
	const top = "# HELP mailstead_x X.\n# TYPE mailstead_x gauge\n"
	if _, err := readExposition(top + "mailstead_x{a=\"\\\"\"} 1\n"); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", top + "mailstead_x 1", "mailstead_x 1\n", top + "mailstead_y 1\n", top + "mailstead_x 1\nmailstead_x 2\n", top + top,
		top + "mailstead_x{a=\"\"\"} 1\n", top + "mailstead_x{a=\"\\t\"} 1\n", top + "mailstead_x{a=\"1\",a=\"2\"} 1\n", top + "mailstead_x NaN\n",
		top + "mailstead_x_bucket{le=\"1\"} 1\n", top + "mailstead_x one\n", "# TYPE mailstead_x gauge\n", top + "\n",
	} {
		if _, err := readExposition(text); err == nil {
			t.Errorf("taken: %q", text)
		}
	}
}

// TestCountersGrow: what is a counter is never less where more was done, and one that stands still is none.
func TestCountersGrow(t *testing.T) {
	before := busy()
	after := busy()
	for i := range after.Sessions {
		s := &after.Sessions[i]
		s.Open, s.LoggedIn, s.Accepted, s.RefusedAddress = 0, 0, s.Accepted+1, s.RefusedAddress+1
		s.RefusedAccount, s.RefusedStrangers = s.RefusedAccount+1, s.RefusedStrangers+1
	}
	for i := range after.Logins {
		after.Logins[i].Accepted++
		after.Logins[i].Refused++
	}
	m := &after.Mail
	m.Received[0].Messages, m.Received[1].Messages = 9999, 9999
	m.Copies, m.Refused, m.Verdicts = slices.Clone(m.Copies), slices.Clone(m.Refused), slices.Clone(m.Verdicts)
	for i := range m.Copies {
		m.Copies[i].Count++
	}
	for i := range m.Refused {
		m.Refused[i].Count++
	}
	for i := range m.Verdicts {
		m.Verdicts[i].Count++
	}
	m.Abandoned, m.LostSteps, m.Delivered, m.Deferred, m.Failed = 99, 99, 999, 999, 999
	s := &after.Store
	s.Commits, s.CommitSeconds, s.CleanedSegments, s.CleanedSize, s.MovedSize = 9e9, 9e9, 9e9, 9e12, 9e12
	after.Process.CPUSeconds = 9e9
	x, err := readExposition(string(before.Exposition()))
	if err != nil {
		t.Fatal(err)
	}
	y, err := readExposition(string(after.Exposition()))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range x.samples {
		name, _, _ := strings.Cut(key, "{")
		if x.kinds[name] == counter && y.samples[key] <= value {
			t.Errorf("%s: from %v to %v", key, value, y.samples[key])
		}
	}
}

const docs = "../../../docs/"

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(docs + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var named = regexp.MustCompile(`\bmailstead_[a-z0-9_]+`)

// released are the names of all series, as others may ask for them.
func released() map[string]bool {
	names := map[string]bool{}
	for _, m := range metrics {
		if m.kind != histogram {
			names[m.name] = true
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			names[m.name+suffix] = true
		}
	}
	return names
}

// TestEveryMetricIsInThePaper holds the table against docs/OPERATIONS.md, both ways.
func TestEveryMetricIsInThePaper(t *testing.T) {
	text := readDocument(t, "OPERATIONS.md")
	known := map[string]bool{}
	for _, m := range metrics {
		known[m.name] = true
		if !strings.Contains(text, "| `"+m.name+"` |") {
			t.Errorf("%s has no row", m.name)
		}
	}
	for _, name := range named.FindAllString(text, -1) {
		if !known[name] && !released()[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestWhatGrafanaAsksForIsThere: every series of the dashboard and of the alert rules exists.
func TestWhatGrafanaAsksForIsThere(t *testing.T) {
	names := released()
	for file, expressions := range map[string][]string{
		"grafana/mailstead.json": dashboardExpressions(t),
		"grafana/alerts.yml":     ruleExpressions(t),
	} {
		used := map[string]bool{}
		for _, e := range expressions {
			if strings.Count(e, "(") != strings.Count(e, ")") || strings.Count(e, "{") != strings.Count(e, "}") {
				t.Errorf("%s: brackets of %s", file, e)
			}
			found := named.FindAllString(e, -1)
			if len(found) == 0 {
				t.Errorf("%s: %s asks for nothing of ours", file, e)
			}
			for _, name := range found {
				used[name] = true
				if !names[name] {
					t.Errorf("%s: there is no %s", file, name)
				}
			}
		}
		if len(used) < 6 {
			t.Errorf("%s: only %v", file, slices.Sorted(maps.Keys(used)))
		}
	}
}
