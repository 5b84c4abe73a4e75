package mailbox

import (
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
)

// rights gives a mailbox an access control list, but for entries of accounts that are
// not there: the records that made them are lost.
func (a *applying) rights(o opRights) error {
	m, err := a.find(o.Mailbox)
	if m == nil {
		return err
	}
	accounts := tableOf(a.tx, bucketAccounts)
	m.Grants = withoutAccounts(o.Grants, func(id AccountID) bool {
		if accounts.Get(idKey(id)) != nil {
			return false
		}
		a.missing("account with rights", uint64(id))
		return true
	})
	m.described = true
	return nil
}

// dropGrants takes an account that goes out of all access control lists, those of
// deleted mailboxes included.
func (a *applying) dropGrants(account AccountID) error {
	gone := func(id AccountID) bool { return id == account }
	shared, err := a.sharedWith(account)
	if err != nil {
		return err
	}
	for _, id := range shared {
		m, err := a.find(id)
		if err != nil {
			return err
		}
		m.Grants, m.described = withoutAccounts(m.Grants, gone), true
	}
	deleted := tableOf(a.tx, bucketGone)
	changed := make(map[ID][]byte)
	err = deleted.ForEach(func(key, value []byte) error {
		at, m, err := decodeGone(value)
		if err != nil {
			return fmt.Errorf("deleted mailbox %x: %w", key, err)
		}
		if hasGrant(m.Grants, account) {
			id, _ := keyID[ID](key)
			m.Grants = withoutAccounts(m.Grants, gone)
			changed[id] = appendGone(nil, at, &m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		if err := deleted.Put(idKey(id), changed[id]); err != nil {
			return err
		}
	}
	return nil
}

func hasGrant(grants []Grant, account AccountID) bool {
	return slices.ContainsFunc(grants, func(g Grant) bool { return g.Account == account })
}

// sharedWith returns the mailboxes with entries of an account, ascending.
func (a *applying) sharedWith(account AccountID) ([]ID, error) {
	ids, err := a.mailboxesThat(func(m *diskMailbox) bool { return hasGrant(m.Grants, account) })
	slices.Sort(ids)
	return ids, err
}

// mailboxesThat returns the mailboxes for which f reports true, by their descriptions,
// those of this transaction included.
func (a *applying) mailboxesThat(f func(*diskMailbox) bool) (ids []ID, err error) {
	for id, m := range a.mailboxes {
		if m != nil && f(&m.diskMailbox) {
			ids = append(ids, id)
		}
	}
	err = eachDescription(a.tx, func(id ID, m *diskMailbox) {
		if _, held := a.mailboxes[id]; !held && f(m) {
			ids = append(ids, id)
		}
	})
	return ids, err
}

// eachDescription calls f with the description of each mailbox.
func eachDescription(tx *bbolt.Tx, f func(ID, *diskMailbox)) error {
	return tableOf(tx, bucketMailboxes).ForEach(func(key, value []byte) error {
		id, err := keyID[ID](key)
		if err != nil {
			return err
		}
		var m diskMailbox
		if err := decodeDescription(&m, value); err != nil {
			return fmt.Errorf("mailbox %d: %w", id, err)
		}
		f(id, &m)
		return nil
	})
}
