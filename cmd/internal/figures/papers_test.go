package figures

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/cmd/internal/threshold"
)

// dashboardExpressions are what the panels ask for. Each panel has a title, a place of its own and a question.
func dashboardExpressions(t *testing.T) (list []string) {
	t.Helper()
	var d struct {
		Title  string
		UID    string
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	decoder := json.NewDecoder(strings.NewReader(readDocument(t, "grafana/mailstead.json")))
	if err := decoder.Decode(&d); err != nil || d.Title == "" || d.UID == "" || len(d.Panels) == 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if p.Title == "" || p.Type == "" || ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if at[0] >= 24 || taken[at] != "" {
					t.Fatalf("%s is over %q at %v", p.Title, taken[at], at)
				}
				taken[at] = p.Title
			}
		}
		for _, target := range p.Targets {
			list = append(list, target.Expr)
		}
	}
	return list
}

var ruleExpr = regexp.MustCompile(`(?m)^ +expr: (.+)$`)

// ruleExpressions are the conditions of the alert rules. The file is YAML of one form: a list of rules, each
// with its name, condition, time, severity and words.
func ruleExpressions(t *testing.T) (list []string) {
	t.Helper()
	text := readDocument(t, "grafana/alerts.yml")
	if strings.Contains(text, "\t") {
		t.Error("YAML has no tabs")
	}
	_, rules, ok := strings.Cut(text, "    rules:\n")
	if !ok {
		t.Fatal("no rules")
	}
	each := regexp.MustCompile(`(?s)^ expr: [^\n]+\n(?:        for: \d+[mhd]\n)?        labels: \{severity: (?:warning|critical)\}\n        annotations:\n          summary: [^\n]+\n$`)
	for rule := range strings.SplitSeq(rules, "      - alert: ") {
		if strings.HasPrefix(strings.TrimSpace(rule), "#") || strings.TrimSpace(rule) == "" {
			continue
		}
		name, rest, _ := strings.Cut(rule, "\n       ")
		rest, _, _ = strings.Cut(rest, "\n\n")
		if !strings.HasSuffix(rest, "\n") {
			rest += "\n"
		}
		if !regexp.MustCompile(`^Mailstead\w+$`).MatchString(name) || !each.MatchString(rest) {
			t.Errorf("the rule %q has another form:\n%s", name, rest)
		}
	}
	for _, m := range ruleExpr.FindAllStringSubmatch(rules, -1) {
		list = append(list, m[1])
	}
	return list
}

// TestRulesHaveTheThresholds: Prometheus tells of something from the same moment on as the screen and the checks.
func TestRulesHaveTheThresholds(t *testing.T) {
	const day = 24 * time.Hour
	rules := ruleExpressions(t)
	for _, want := range []string{
		fmt.Sprintf("mailstead_certificate_not_after_seconds - time() < %d * 86400", threshold.CertificateSoon/day),
		fmt.Sprintf("mailstead_queue_oldest_age_seconds > %d * 3600 ", threshold.QueueLong/time.Hour),
		fmt.Sprintf("time() - mailstead_backup_time_seconds > %d * 86400 ", threshold.BackupOld/day),
		fmt.Sprintf("mailstead_disk_free_bytes < %g * mailstead_disk_size_bytes", threshold.DiskShare/100.),
		fmt.Sprintf("mailstead_log_unapplied_records > %d", threshold.BehindMany),
		fmt.Sprintf("mailstead_open_files > %g * mailstead_max_files ", threshold.FilesShare/100.),
	} {
		if !slices.ContainsFunc(rules, func(rule string) bool { return strings.Contains(rule+" ", want) }) {
			t.Errorf("no rule has %q", want)
		}
	}
}
