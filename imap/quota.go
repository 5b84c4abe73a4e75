package imap

import (
	"errors"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// quotaRoot names the one quota root of an account that has a quota: all its
// mailboxes are under it (RFC 9208 section 3.2).
const quotaRoot = ""

// storageUnit is what STORAGE counts in, in octets (RFC 9208 section 5.1).
const storageUnit = 1024

// getQuota is RFC 9208 section 4.1.1.
func (s *session) getQuota(*request) (reply, error) {
	s.dec.SP()
	root := s.dec.AString()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	quota, err := s.options.Store.Quota(s.account.ID)
	switch {
	case err != nil:
		return reply{}, err
	case root != quotaRoot, quota == mailbox.Quota{}:
		return reply{}, no(goimap.ResponseCodeNonExistent, "no such quota root")
	}
	return reply{}, s.tellQuota(quota)
}

// getQuotaRoot is RFC 9208 section 4.1.2; the mailbox need not be there. Without a
// quota there is no root, since a QUOTA response cannot be without a resource (section 7).
func (s *session) getQuotaRoot(*request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	quota, err := s.options.Store.Quota(s.account.ID)
	if err != nil {
		return reply{}, err
	}
	s.enc.Text("* QUOTAROOT ").Mailbox(name)
	if quota == (mailbox.Quota{}) {
		s.enc.CRLF()
		return reply{}, nil
	}
	s.enc.Text(" ").Str(quotaRoot).CRLF()
	return reply{}, s.tellQuota(quota)
}

// tellQuota writes a QUOTA response (RFC 9208 section 4.2.1). Where units hide the
// difference, less is left than the client is told, never more.
func (s *session) tellQuota(quota mailbox.Quota) error {
	usage, err := s.options.Store.Usage(s.account.ID)
	if err != nil {
		return err
	}
	s.enc.Text("* QUOTA ").Str(quotaRoot).Text(" (")
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
	m, err := s.options.Store.OpenMailbox(s.ctx, s.account.ID, info.Name)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return 0, nil // it went away just now
	}
	if err != nil {
		return 0, err
	}
	defer m.Close()
	return m.DeletedSize(), nil
}
