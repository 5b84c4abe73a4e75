package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dialog is a file of testdata: a delivery, what the servers say to it, and what
// it comes to. Lines before the first server:
//
//	# why this is here
//	zone RECORD          domain NAME (default example.test)
//	servfail NAME        from ADDRESS        to ADDRESS
//	message 8bit|utf8|size=N
//
// Then "server IP" and its script for each conversation, in order, and at last
// "=> RECIPIENT STATUS CODE ENHANCED [tls] [HOST] | TEXT" for each recipient,
// and "dialed IP..." where the connections that were tried matter.
type dialog struct {
	zone, servfail []string
	domain         string
	message        queue.Message
	servers        []served
	outcomes       []string
	dialed         string
}

type served struct {
	ip string
	script
}

func parseDialog(text string) (d dialog, err error) {
	d.domain = "example.test"
	d.message.From = "sender@us.test"
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		word, arg, _ := strings.Cut(line, " ")
		switch word {
		case "", "#":
		case "zone":
			d.zone = append(d.zone, arg)
		case "servfail":
			d.servfail = append(d.servfail, arg)
		case "domain":
			d.domain = arg
		case "from":
			d.message.From = strings.Trim(arg, "<>")
		case "to":
			d.message.Recipients = append(d.message.Recipients, strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(arg))
		case "message":
			err = d.describe(arg)
		case "server":
			d.servers = append(d.servers, served{ip: arg})
		case "=>":
			d.outcomes = append(d.outcomes, arg)
		case "dialed":
			d.dialed = arg
		default:
			if len(d.servers) == 0 {
				err = fmt.Errorf("line %q", line)
				break
			}
			last := &d.servers[len(d.servers)-1]
			last.script = append(last.script, line)
		}
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *dialog) describe(what string) (err error) {
	switch word, n, _ := strings.Cut(what, "="); word {
	case "8bit":
		d.message.EightBit = true
	case "utf8":
		d.message.UTF8 = true
	case "size":
		d.message.Size, err = strconv.ParseInt(n, 10, 64)
	default:
		err = fmt.Errorf("message %q", what)
	}
	return err
}

var statuses = map[queue.Status]string{
	queue.Delivered: "delivered", queue.Temporary: "temporary", queue.Permanent: "permanent",
}

// describe writes an outcome as the dialogues do.
func describe(o queue.Outcome) string {
	s := fmt.Sprintf("%q %s %d %s", o.Recipient, statuses[o.Status], o.Code, o.Enhanced)
	if o.TLS {
		s += " tls"
	}
	if o.Host != "" {
		s += " " + o.Host
	}
	return strings.Replace(s+" | "+o.Text, `"`+o.Recipient+`"`, o.Recipient, 1)
}

func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.dialog")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".dialog"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d, err := parseDialog(string(text))
			if err != nil {
				t.Fatal(err)
			}
			d.run(t)
		})
	}
}

func (d dialog) run(t *testing.T) {
	w := newWorld(t, strings.Join(d.zone, "\n"))
	for _, name := range d.servfail {
		w.zone.SetFault(name, dnstest.Fault{ServFail: true})
	}
	for _, s := range d.servers {
		w.scripts[s.ip] = append(w.scripts[s.ip], s.script)
	}
	d.message.Open = w.open
	outcomes := w.courier().Deliver(t.Context(), d.domain, d.message)
	if len(outcomes) != len(d.outcomes) {
		t.Errorf("%d outcomes, want %d", len(outcomes), len(d.outcomes))
	}
	for i, o := range outcomes {
		if got := describe(o); i >= len(d.outcomes) || !matches(got, d.outcomes[i]) {
			t.Errorf("outcome %d is\n\t%s", i, got)
		}
		if o.Recipient != d.message.Recipients[i] {
			t.Errorf("outcome %d is of %q", i, o.Recipient)
		}
	}
	if got := strings.Join(w.dialed, " "); d.dialed != "" && got != d.dialed {
		t.Errorf("dialed %s, want %s", got, d.dialed)
	}
}
