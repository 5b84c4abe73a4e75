package imap

import (
	"cmp"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// status is RFC 3501 section 6.3.10, with the items of RFC 7162, 7889, 8438, 8474
// and 9208.
func (s *session) status(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.SP()
	items := s.statusItems()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if items.HighestModSeq {
		s.enableCondstore() // RFC 7162 section 3.1: asking for it enables it
	}
	_, info, err := s.named(name, r.needs())
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.tellStatus(&info, items)
}

// statusItems are what a STATUS asks for.
type statusItems struct {
	goimap.StatusOptions
	MailboxID bool // RFC 8474 section 4.3
}

// statusItems reads a list of status items, at least one.
func (s *session) statusItems() *statusItems {
	o := &statusItems{}
	n := 0
	s.dec.List(func() {
		n++
		s.statusItem(o)
	})
	if n == 0 {
		s.dec.Fail("expected a status item")
	}
	return o
}

func (s *session) statusItem(o *statusItems) {
	switch s.dec.Word() {
	case "MESSAGES":
		o.NumMessages = true
	case "RECENT":
		if s.rev2 {
			s.dec.Fail("RECENT is not in IMAP4rev2") // RFC 9051 appendix E, 12
		}
		o.NumRecent = true
	case "UIDNEXT":
		o.UIDNext = true
	case "UIDVALIDITY":
		o.UIDValidity = true
	case "UNSEEN":
		o.NumUnseen = true
	case "DELETED":
		o.NumDeleted = true
	case "DELETED-STORAGE":
		o.DeletedStorage = true
	case "SIZE":
		o.Size = true
	case "APPENDLIMIT":
		o.AppendLimit = true
	case "HIGHESTMODSEQ":
		o.HighestModSeq = true
	case "MAILBOXID":
		o.MailboxID = true
	default:
		s.dec.Fail("unknown status item")
	}
}

// tellStatus writes one STATUS response.
func (s *session) tellStatus(info *mailbox.Info, o *statusItems) error {
	var deletedStorage int64
	if o.DeletedStorage {
		var err error
		if deletedStorage, err = s.deletedStorage(info); err != nil {
			return err
		}
	}
	s.enc.Text("* STATUS ").Mailbox(info.Name).Text(" (")
	separator := ""
	item := func(asked bool, name string, value uint64) {
		if asked {
			s.enc.Text(separator, name, " ").Number(value)
			separator = cmp.Or(separator, " ")
		}
	}
	item(o.NumMessages, "MESSAGES", uint64(info.Messages))
	item(o.NumRecent, "RECENT", uint64(info.Recent))
	item(o.UIDNext, "UIDNEXT", uint64(info.UIDNext))
	item(o.UIDValidity, "UIDVALIDITY", uint64(info.UIDValidity))
	item(o.NumUnseen, "UNSEEN", uint64(info.Unseen))
	item(o.NumDeleted, "DELETED", uint64(info.Deleted))
	item(o.DeletedStorage, "DELETED-STORAGE", uint64(deletedStorage))
	item(o.Size, "SIZE", uint64(info.Size))
	item(o.AppendLimit, "APPENDLIMIT", uint64(s.options.MaxMessageSize))
	item(o.HighestModSeq, "HIGHESTMODSEQ", uint64(info.HighestModSeq))
	if o.MailboxID {
		s.enc.Text(separator, "MAILBOXID (", mailboxID(info), ")")
	}
	s.enc.Text(")\r\n")
	return nil
}
