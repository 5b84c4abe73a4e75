package smtp

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"mailstead/mailbox/directory"
	"mailstead/smtp/local"
)

// maySendTo counts a recipient to whom a user's message leaves, and refuses one that is beyond what the account
// may send in a day: who has stolen a password is stopped early, and the owner hears of it.
func (s *session) maySendTo(address string, route directory.Route) error {
	said := func(r local.Recipient) bool { return r.Address == address }
	if s.account.ID == 0 || len(route.Remote) == 0 || slices.ContainsFunc(s.tx.Recipients, said) {
		return nil
	}
	n := s.tx.sending
	n.Messages = 1
	n.Recipients++
	if route.Remote[0] == address && !s.hasWrittenTo(address) {
		n.Strangers++
	}
	if err := s.server.o.Directory.CheckSending(s.ctx(), s.account.ID, n); err != nil {
		return s.overSending(err)
	}
	s.tx.sending = n
	return nil
}

func (s *session) hasWrittenTo(address string) bool {
	return s.server.o.HasWritten != nil && s.server.o.HasWritten(s.account.ID, address)
}

// countSending counts the whole message, before it is ours: others of the account may have come meanwhile.
func (s *session) countSending() error {
	if s.tx.sending == (directory.Sending{}) {
		return nil
	}
	change, err := s.server.o.Directory.CountSending(s.account.ID, s.tx.sending)
	if err != nil {
		s.tx.sending = directory.Sending{} // there is nothing to take back
		return s.overSending(err)
	}
	s.tx.Changes = append(s.tx.Changes, change)
	return nil
}

// uncountSending takes that back for a message that nobody has taken.
func (s *session) uncountSending() {
	if s.tx.sending != (directory.Sending{}) {
		s.server.o.Directory.Unsend(s.account.ID, s.tx.sending)
	}
}

// overSending says a limit in words; other errors stay.
func (s *session) overSending(err error) error {
	o, ok := errors.AsType[*directory.OverSending](err)
	if !ok {
		return err
	}
	if o.Tell && s.server.o.OverSending != nil {
		s.server.o.OverSending(s.account.ID, o)
	}
	what := map[string]string{"strangers": "recipients it has not written to before"}[o.What]
	if what == "" {
		what = o.What
	}
	text := "Your account may send " + strconv.Itoa(o.Limit) + " " + what + " a day"
	if o.What != "messages" {
		text = "Your account may send to " + strconv.Itoa(o.Limit) + " " + what + " a day"
	}
	if o.Wait == 0 {
		return say(550, "5.7.1", text)
	}
	return say(450, "4.7.1", text+" and has done so; try again in "+inWords(o.Wait))
}

// inWords is a time to wait, never too short: 3 hours, 20 minutes.
func inWords(d time.Duration) string {
	n, unit := int(d/time.Minute)+1, "minute"
	if n >= 60 {
		n, unit = int(d/time.Hour)+1, "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprint(n, " ", unit)
}
