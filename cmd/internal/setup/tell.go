package setup

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// tellPrograms says what to type into a mail program.
func (s *Setup) tellPrograms() {
	account := s.Answers.Account
	if account == "" {
		if len(s.accounts) == 0 {
			return
		}
		account = s.accounts[0]
	}
	t := s.Terminal
	t.say("\nOnce the records are there, Thunderbird or a phone wants this and nothing else:")
	t.say("    address   %s", account)
	switch {
	case s.made.Account && s.generated:
		t.say("    password  %s   (shown this once: keep it)", s.Answers.Password)
	case s.made.Account:
		t.say("    password  the one that you chose")
	default:
		t.say("    password  as it was set (`mailstead account password %s` sets another)", shellWord(account))
	}
	t.say("By hand: server %s, IMAP port 993, SMTP port 465,\nboth with SSL/TLS; the user name is the whole address.", s.Answers.Hostname)
}

// tellService says what is left to do here.
func (s *Setup) tellService() {
	t := s.Terminal
	switch {
	case s.Serve:
	case !s.Host.Root:
		t.say("\nWithout root's rights neither a system user nor a service was made. The server is started with")
		t.say("    %s serve --config %s", shellWord(s.Host.Executable), shellWord(s.Places.Config))
		t.say("It needs leave to open ports below 1024:\n    sudo setcap cap_net_bind_service=+ep %s", shellWord(s.Host.Executable))
	case s.NoService || !s.Host.HasSystemd:
		if !s.NoService {
			t.say("\nThere is no systemd here, so no service was made.")
		}
		t.say("\nThe server is started, as user %s, with\n    %s", s.Places.User, s.runCommand())
	}
	t.say("\nNext: `mailstead check` says whether all is in order, and how to mend what is not;\n`mailstead backup FOLDER` copies everything while the server runs.")
}

// runCommand is this setup once more, which then serves.
func (s *Setup) runCommand() string {
	words := []string{"mailstead", "setup", s.Answers.Domain, "--run"}
	if s.Places.Config != usualConfig {
		words = append(words, "--config", shellWord(s.Places.Config))
	}
	if s.Places.User != usualUser {
		words = append(words, "--user", shellWord(s.Places.User))
	}
	return strings.Join(words, " ")
}

// Letter is the first letter of a new account: what is where, and what to do next.
func Letter(account, hostname string, now time.Time) string {
	_, domain, _ := strings.Cut(account, "@")
	var b strings.Builder
	fmt.Fprintf(&b, "From: mailstead <postmaster@%[1]s>\r\nTo: <%[2]s>\r\nSubject: Your mail server is ready\r\nDate: %[3]s\r\nMessage-ID: <setup.%[4]d@%[1]s>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n", domain, account, now.Format(time.RFC1123Z), now.UnixNano())
	fmt.Fprintf(&b, `This is the first letter in your new mailbox.

Reading and writing
  Mail programs and phones want your address and password, and find the rest
  by themselves once the DNS records are published. By hand:
    IMAP  %[2]s  port 993  SSL/TLS
    SMTP  %[2]s  port 465  SSL/TLS
  The user name is the whole address, %[1]s.

The server
  mailstead check                is all in order?
  mailstead domain show %[3]s    the DNS records, and which are there
  mailstead log --to %[1]s       where is my mail?
  mailstead account add ADDRESS  one more account
  mailstead backup FOLDER        everything, while the server runs
  Letters to postmaster and abuse come to you.

Junk
  Move what is junk into Junk, and what is none out of it: the filter learns.
`, account, hostname, domain)
	head, text, _ := strings.Cut(b.String(), "\r\n\r\n")
	return head + "\r\n\r\n" + strings.ReplaceAll(text, "\n", "\r\n")
}

// warn says what of the machine is not as it should be; nothing of it keeps setup from going on.
func (s *Setup) warn(ctx context.Context) {
	if s.Probe == nil {
		return
	}
	facts := s.Probe(ctx, Asked{Hostname: s.Answers.Hostname, Dir: s.Places.Dir})
	list := judge(facts, s.Answers)
	for _, w := range list {
		s.Terminal.say("  %s %s", s.Terminal.sign(signWarning), w.what)
		s.Terminal.paragraph(w.why, w.remedy)
	}
	if len(list) > 0 {
		s.Terminal.say("")
	}
}
