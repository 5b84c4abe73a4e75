package smtp

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailstead/smtp/journal"
)

// outcomes are the dialogues that show what the policy decides, by action and rule: what the
// client hears is in the dialogue, and watchOutcome holds why.
var outcomes = map[string]string{
	"receiver-judged/spf-alone-proves-the-author":                "accept default",
	"receiver-judged/dns-trouble-refuses-nobody":                 "accept default",
	"receiver-judged/spf-fail-alone-is-taken":                    "accept default",
	"receiver-judged/override-lets-in":                           "accept override",
	"receiver-judged/override-files-into-junk":                   "junk override",
	"receiver-judged/override-refuses":                           "refuse override",
	"receiver-judged/no-author-is-refused":                       "refuse from",
	"receiver-judged/two-from-fields-are-refused":                "refuse from",
	"receiver-relayed/two-from-fields-by-a-relay-are-taken":      "junk from",
	"receiver-judged/dmarc-quarantine-is-taken":                  "junk dmarc",
	"receiver-judged/dmarc-reject-of-a-mailing-list-is-taken":    "junk dmarc",
	"receiver-relayed/a-relay-is-not-refused":                    "junk dmarc",
	"receiver-judged/dmarc-reject-is-refused-in-words":           "refuse dmarc",
	"receiver-judged/open-proof-of-a-strict-domain-is-deferred":  "defer open",
	"receiver-blocked/a-listed-client-is-refused":                "refuse list",
	"receiver-listed-known/a-listed-correspondent-is-taken":      "junk list",
	"receiver-listed-known/a-proven-correspondent-is-not-listed": "accept default",
	"receiver-allowed/a-list-of-good-ones-knows-better":          "accept default",
	"receiver-filtered/junk-is-taken-when-its-sender-is-proven":  "junk junk",
	"receiver-filtered/junk-of-nobody-is-refused-in-words":       "refuse junk",
	"receiver-judged/oddities-together-are-taken-as-junk":        "junk signals",
	"receiver-greylist/a-suspicious-stranger-comes-twice":        "defer signals",
	"receiver-greylist/a-proven-stranger-is-let-in":              "accept default",
	"receiver-senders/a-blocked-author-is-refused":               "refuse sender",
	"receiver-senders/a-blocked-author-by-a-forwarder-is-taken":  "junk sender",
	"receiver-conduct/too-many-messages-are-deferred":            "defer limit",
}

// onwardOutcomes are outcomes for the dialogues about aliases and accounts that hand mail on, which the receiver decides
// by itself, beside the policy.
var onwardOutcomes = map[string]string{
	"receiver-onward/a-forward-that-comes-back-is-refused":     "refuse loop",
	"receiver-onward/a-member-writes-to-all":                   "accept default",
	"receiver-onward/a-stranger-is-no-member":                  "refuse members",
	"receiver-onward/an-author-who-is-no-member-is-refused":    "refuse members",
	"receiver-onward/junk-for-an-account-that-forwards-only":   "refuse forward",
	"receiver-onward/junk-for-an-account-with-copies-is-taken": "junk junk",
	"receiver-onward/our-name-without-proof-goes-nowhere":      "refuse forward",
	"receiver-onward/too-many-stations-are-a-loop":             "refuse loop",
}

// toldBy are outcomes that are known by what is replied, as there is nothing to be judged.
var toldBy = []struct{ reply, outcome string }{
	{"450 4.7.0 Too many ", "defer limit"},
	{"550 5.7.2 Only members ", "refuse members"},
	{"554 5.4.6 Message is in a loop: ", "refuse loop"},
}

// watchOutcome is a journal for the server of a dialogue, which has to tell of its outcome.
func watchOutcome(t *testing.T, folder string) *journal.Journal {
	dialogue := folder + "/" + filepath.Base(t.Name())
	want := outcomes[dialogue] + onwardOutcomes[dialogue]
	if want == "" {
		return nil
	}
	dir := filepath.Join(t.TempDir(), "journal")
	j := journal.Open(dir, journal.Options{})
	t.Cleanup(func() {
		j.Close()
		var told []string
		for e, err := range journal.Events(dir) {
			must(t, err)
			if e.Step == journal.Judged {
				told = append(told, e.Verdict+" "+e.Rule)
			}
			for _, r := range toldBy {
				if e.Step == journal.Refused && strings.HasPrefix(e.Reply, r.reply) {
					told = append(told, r.outcome)
				}
			}
		}
		if !slices.Contains(told, want) {
			t.Errorf("%s: the outcome is %q, want %q", dialogue, told, want)
		}
	})
	return j
}

// TestEachOutcomeHasItsDialogue: each action of each rule that the table of the policy has is also what
// some dialogue shows, and each of those dialogues is there.
func TestEachOutcomeHasItsDialogue(t *testing.T) {
	table, err := os.ReadFile("mailauth/policy_test.go")
	must(t, err)
	shown := map[string]bool{}
	for dialogue, outcome := range outcomes {
		shown[outcome] = true
		if _, err := os.Stat("testdata/" + dialogue + ".dialog"); err != nil {
			t.Error(err)
		}
	}
	decided := map[string]bool{}
	for _, m := range regexp.MustCompile(`"(accept|junk|defer|refuse) ([a-z]+)[" ]`).FindAllStringSubmatch(string(table), -1) {
		decided[fmt.Sprintf("%s %s", m[1], m[2])] = true
	}
	if len(decided) < 15 {
		t.Fatalf("the table has %v", decided)
	}
	for outcome := range decided {
		if !shown[outcome] {
			t.Errorf("no dialogue shows %q", outcome)
		}
	}
	for outcome := range shown {
		if !decided[outcome] {
			t.Errorf("a dialogue shows %q, which the policy does not decide", outcome)
		}
	}
}

// TestEachRefusalToHandOnHasItsDialogue: each rule by which mail is not handed on, and each way to find a loop, is shown by a
// dialogue that is there.
func TestEachRefusalToHandOnHasItsDialogue(t *testing.T) {
	source, err := os.ReadFile("onward.go")
	must(t, err)
	decided := []string{"refuse loop"}
	for _, m := range regexp.MustCompile(`e\.refuse\("([a-z]+)"`).FindAllStringSubmatch(string(source), -1) {
		decided = append(decided, "refuse "+m[1])
	}
	if len(decided) < 3 {
		t.Fatalf("onward.go decides %v", decided)
	}
	shown := map[string]bool{}
	for dialogue, outcome := range onwardOutcomes {
		shown[outcome] = true
		if _, err := os.Stat("testdata/" + dialogue + ".dialog"); err != nil {
			t.Error(err)
		}
	}
	for _, outcome := range decided {
		if !shown[outcome] {
			t.Errorf("no dialogue shows %q", outcome)
		}
	}
}
