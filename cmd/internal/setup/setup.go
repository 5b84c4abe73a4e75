// Package setup brings a server up on a machine: it asks what only the owner knows, does what is missing, step by
// step, and says what is left to do elsewhere. It can be run again at any time.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Settings are what setup wants to know of a configuration file.
type Settings struct {
	Hostname, Dir, Contact string
}

// Made is what Furnish found or made.
type Made struct {
	Domain, Account, Letter bool     // were made; otherwise they were there
	Postmaster              string   // whom postmaster@ and abuse@ lead to
	Records                 []Record // that the domain's owner is to publish
}

// Server is the server that is set up, by its store and by its socket where it runs already.
type Server interface {
	// ReadConfig reads a configuration file. fs.ErrNotExist.
	ReadConfig(name string) (Settings, error)
	// Accounts are those of a domain; none where there is no store yet.
	Accounts(ctx context.Context, domain string) ([]string, error)
	// Furnish makes the domain with its keys, the account, and puts a first letter into it. What is there stays.
	// An empty account is none.
	Furnish(ctx context.Context, a Answers) (Made, error)
	// Look asks the DNS which records are there, in the order of the list.
	Look(ctx context.Context, list []Record) []State
}

// Options are what the command line says.
type Options struct {
	Domain   string
	Places   Places
	DirGiven bool // Places.Dir was asked for, and is not the default

	Yes                bool   // takes each default instead of asking
	Hostname, Account  string // "" = asked for
	Password           string // "" = asked for, or generated
	Contact            string // "" = asked for
	NoCertificates     bool   // of an authority
	NoService, NoWatch bool
	Serve              bool // the caller runs the server afterwards
}

// Setup is one run.
type Setup struct {
	Options
	Terminal *Terminal
	Host     Host
	Server   Server
	Probe    Probe

	Answers    Answers
	configured bool     // there is a configuration
	accounts   []string // of the domain, that are there
	generated  bool     // the password is ours, and has been shown
	uid, gid   int      // of the user that the server runs as
	made       Made
	zone       string   // the file with the records
	kept       []string // is said below the step that is at work
}

// Run sets the server up. It returns nil when everything that can be done here is done, whether or not the DNS is.
// ErrBusy, ErrAnswer, ErrInputEnded.
func (s *Setup) Run(ctx context.Context) error {
	domain, err := ParseDomain(s.Domain)
	if err != nil {
		return err
	}
	s.Answers.Domain = domain
	unlock, err := s.enter()
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.readPresent(ctx); err != nil {
		return err
	}
	s.Terminal.say("mailstead setup: mail for %s\n", shown(domain))
	if err := s.answer(ctx); err != nil {
		return err
	}
	if s.Terminal.asked {
		s.Terminal.say("")
	}
	s.warn(ctx)
	if err := s.perform(ctx, s.steps()); err != nil {
		return fmt.Errorf("%w\nWhat was done stays; running setup again goes on from there", err)
	}
	s.tellRecords()
	s.tellPrograms()
	s.tellService()
	if !s.NoWatch {
		s.watch(ctx)
	}
	return nil
}

// enter makes the folder of the configuration, and keeps other setups out of it.
func (s *Setup) enter() (unlock func(), err error) {
	dir := filepath.Dir(s.Places.Config)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, s.mayNeedRoot(err)
	}
	unlock, err = lockFolder(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.Places.Config); !s.Host.Root && errors.Is(err, fs.ErrNotExist) {
		probe := File{Name: filepath.Join(dir, ".setup"), GID: -1}
		if err := errors.Join(probe.write(), os.Remove(probe.Name)); err != nil {
			unlock()
			return nil, s.mayNeedRoot(err)
		}
	}
	return unlock, nil
}

// mayNeedRoot adds to an error what somebody without root's rights can do about it.
func (s *Setup) mayNeedRoot(err error) error {
	if s.Host.Root || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w\nA server for the whole machine is set up by root:\n    sudo %s setup %s\nOne of your own goes into folders of yours: --config ~/mailstead/mailstead.toml --dir ~/mailstead/mail",
		err, shellWord(s.Host.Executable), shellWord(s.Domain))
}

// readPresent takes answers from what is there already.
func (s *Setup) readPresent(ctx context.Context) error {
	c, err := s.Server.ReadConfig(s.Places.Config)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w\nMend the file, or move it away to have setup write a new one", err)
	}
	s.configured = true
	if s.DirGiven && c.Dir != s.Places.Dir {
		return refuse("%s has another folder, %s", s.Places.Config, c.Dir)
	}
	s.Places.Dir, s.Answers.Hostname, s.Answers.Contact = c.Dir, c.Hostname, c.Contact
	s.accounts, err = s.Server.Accounts(ctx, s.Answers.Domain)
	return err
}

// answer has everything answered: by the command line, by what is there, by the owner.
func (s *Setup) answer(ctx context.Context) error {
	for _, q := range []func(context.Context) error{s.answerHostname, s.answerAccount, s.answerPassword, s.answerContact} {
		if err := q(ctx); err != nil {
			return err
		}
	}
	return nil
}

// question takes what the command line gave, the default with --yes, or asks.
func (s *Setup) question(ctx context.Context, words, given, def string, take func(string) error) error {
	switch {
	case given != "":
		return take(given)
	case s.Yes:
		return take(def)
	}
	return s.Terminal.ask(ctx, words, def, take)
}

func (s *Setup) answerHostname(ctx context.Context) error {
	if s.configured {
		if s.Hostname != "" {
			return s.sameAs("hostname", s.Hostname, s.Answers.Hostname)
		}
		return nil
	}
	return s.question(ctx, "Name of this machine, as other servers see it", s.Hostname, "mail."+s.Answers.Domain, func(text string) (err error) {
		s.Answers.Hostname, err = ParseHostname(text)
		if err == nil && shown(s.Answers.Hostname) != s.Answers.Hostname {
			s.Terminal.say("  %s", shown(s.Answers.Hostname))
		}
		return err
	})
}

// sameAs refuses a flag that says other than the configuration, which setup does not change.
func (s *Setup) sameAs(setting, given, present string) error {
	if strings.EqualFold(strings.TrimSuffix(given, "."), present) {
		return nil
	}
	return refuse("%s has %s = %q, and setup does not change it: edit the file", s.Places.Config, setting, present)
}

func (s *Setup) answerAccount(ctx context.Context) error {
	if s.Account == "" && len(s.accounts) > 0 {
		return nil // it has one
	}
	return s.question(ctx, "Your address", s.Account, defaultLocalPart()+"@"+s.Answers.Domain, func(text string) (err error) {
		s.Answers.Account, err = ParseAccount(text, s.Answers.Domain)
		return err
	})
}

// defaultLocalPart is the name of whoever runs setup; root is nobody.
func defaultLocalPart() string {
	for _, variable := range []string{"SUDO_USER", "LOGNAME", "USER"} {
		name := strings.ToLower(os.Getenv(variable))
		if _, err := ParseAccount(name, "example.org"); err == nil && name != "root" && !strings.Contains(name, "@") {
			return name
		}
	}
	return "postmaster"
}

func (s *Setup) answerPassword(ctx context.Context) (err error) {
	if s.Answers.Account == "" || slices.Contains(s.accounts, s.Answers.Account) {
		return nil
	}
	if s.Password != "" {
		s.Answers.Password = s.Password
		return CheckPassword(s.Password)
	}
	own := GeneratePassword()
	s.Answers.Password = own
	if !s.Yes {
		s.Answers.Password, err = s.Terminal.askPassword(ctx, own)
	}
	s.generated = s.Answers.Password == own
	return err
}

func (s *Setup) answerContact(ctx context.Context) error {
	if s.configured {
		if s.Contact != "" {
			return s.sameAs("acme_email", s.Contact, s.Answers.Contact)
		}
		return nil
	}
	if s.NoCertificates {
		return nil
	}
	def := s.Answers.Account
	if def == "" {
		def = "postmaster@" + s.Answers.Domain
	}
	if !s.Yes && s.Contact == "" {
		s.Terminal.say("Certificates come from Let's Encrypt, free of charge. An address for its notices\nagrees to its terms, %s; \"none\" does without.", Terms)
	}
	return s.question(ctx, "Address for notices", s.Contact, def, func(text string) (err error) {
		s.Answers.Contact, err = ParseContact(text)
		return err
	})
}
