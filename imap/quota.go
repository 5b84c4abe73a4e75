package imap

import (
	"errors"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// quotaRoot names the one quota root of the client's own account, if that has a quota: all
// its mailboxes are under it (RFC 9208 section 3.2). That of another account has its name.
const quotaRoot = ""

// storageUnit is what STORAGE counts in, in octets (RFC 9208 section 5.1).
const storageUnit = 1024

// getQuota is RFC 9208 section 4.1.1.
func (s *session) getQuota(r *request) (reply, error) {
	s.dec.SP()
	root := s.dec.AString()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	owner := s.account.ID
	if root != quotaRoot {
		var ok bool
		if owner, ok = s.ownerOfRoot(root, r.needs()); !ok {
			return reply{}, errNoRoot
		}
	}
	quota, err := s.options.Store.Quota(owner)
	switch {
	case err != nil:
		return reply{}, err
	case quota == mailbox.Quota{}:
		return reply{}, errNoRoot
	}
	return reply{}, s.tellQuota(owner, root, quota)
}

var errNoRoot = no(goimap.ResponseCodeNonExistent, "no such quota root")

// ownerOfRoot finds the account that a quota root is of, if it shares a mailbox with the
// client.
func (s *session) ownerOfRoot(root string, n needs) (mailbox.AccountID, bool) {
	for _, info := range s.options.Store.Shared(s.account.ID) {
		if name, _ := s.options.Directory.NameOf(info.Account); name == root && n.allows(info.Rights) == nil {
			return info.Account, true
		}
	}
	return 0, false
}

// getQuotaRoot is RFC 9208 section 4.1.2; a mailbox of the client's own need not be there.
// Without a quota there is no root, since a QUOTA response cannot be without a resource
// (section 7).
func (s *session) getQuotaRoot(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	p, _, err := s.named(name, r.needs())
	if err != nil && (p.account != s.account.ID || !errors.Is(err, mailbox.ErrNoMailbox)) {
		return reply{}, err
	}
	quota, err := s.options.Store.Quota(p.account)
	if err != nil {
		return reply{}, s.unknown(p, err)
	}
	root := quotaRoot
	if p.account != s.account.ID {
		root, _ = s.options.Directory.NameOf(p.account)
	}
	s.enc.Text("* QUOTAROOT ").Mailbox(name)
	if quota == (mailbox.Quota{}) {
		s.enc.CRLF()
		return reply{}, nil
	}
	s.enc.Text(" ").Str(root).CRLF()
	return reply{}, s.tellQuota(p.account, root, quota)
}

// tellQuota writes a QUOTA response (RFC 9208 section 4.2.1). Where units hide the
// difference, less is left than the client is told, never more.
func (s *session) tellQuota(owner mailbox.AccountID, root string, quota mailbox.Quota) error {
	usage, err := s.options.Store.Usage(owner)
	if err != nil {
		return err
	}
	s.enc.Text("* QUOTA ").Str(root).Text(" (")
	if quota.Storage > 0 {
		s.enc.Text("STORAGE ").Number(uint64(usage.Size+storageUnit-1) / storageUnit)
		s.enc.Text(" ").Number(uint64(quota.Storage) / storageUnit)
	}
	if quota.Messages > 0 {
		if quota.Storage > 0 {
			s.enc.Text(" ")
		}
		s.enc.Text("MESSAGE ").Number(uint64(usage.Messages)).Text(" ").Number(uint64(quota.Messages))
	}
	s.enc.Text(")\r\n")
	return nil
}

// setQuota refuses what QUOTASET would announce (RFC 9208 section 4.1.3): limits are
// the administrator's.
func (s *session) setQuota(*request) (reply, error) {
	s.dec.SP()
	s.dec.AString()
	s.dec.SP()
	s.dec.List(func() {
		s.dec.Atom()
		s.dec.SP()
		s.dec.Number64()
	})
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	return reply{}, no(goimap.ResponseCodeNoPerm, "limits are set by the administrator")
}

// deletedStorage is what an EXPUNGE of the mailbox would free, in octets (RFC 9208
// section 4.1.4). It is counted for who asks, if there is anything to count.
func (s *session) deletedStorage(info *mailbox.Info) (int64, error) {
	if info.Deleted == 0 {
		return 0, nil
	}
	m, _, err := s.openNamed(info.Name, rightsOfCommands["STATUS"])
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return 0, nil // it went away just now
	}
	if err != nil {
		return 0, err
	}
	defer m.Close()
	return m.DeletedSize(), nil
}
