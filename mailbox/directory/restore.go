package directory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"mailstead/mailbox"
)

// removedRecord is a removed account as it is kept for as long as its mail is.
type removedRecord struct {
	accountRecord
	Removed time.Time `json:"removed"`
}

// RemovedAccount is an account that can be restored.
type RemovedAccount struct {
	Entry
	Removed time.Time `json:"removed"`
}

// RestoredAccount is an account that was restored.
type RestoredAccount struct {
	Entry
	LeftOut  []string `json:"left_out"` // addresses that somebody else has by now, or that are no more of a domain of this server
	Messages int      `json:"messages"`
}

func removedPath(id mailbox.AccountID) string {
	return removedKey + strconv.FormatUint(uint64(id), 10)
}

// keepRemoved is the change that keeps what is needed to restore an account.
func (d *Directory) keepRemoved(a *accountRecord) mailbox.RoomChange {
	return put(removedPath(a.ID), removedRecord{accountRecord: *a, Removed: d.now().UTC()})
}

// forgetRemoved ends that when the account's mail is past retention.
func (d *Directory) forgetRemoved(id mailbox.AccountID) []mailbox.RoomChange {
	return append(d.forgetMasked(id), remove(removedPath(id)), remove(sentPath(id)))
}

// removed returns the removed accounts, the one removed first first.
func (d *Directory) removed() ([]removedRecord, error) {
	var list []removedRecord
	err := d.store.Room(room).Each(removedKey, func(key string, value []byte) error {
		var r removedRecord
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("entry %q: %w", key, err)
		}
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read removed accounts: %w", err)
	}
	slices.SortFunc(list, func(a, b removedRecord) int {
		return cmp.Or(a.Removed.Compare(b.Removed), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// RemovedAccounts lists the accounts that can be restored, the one removed first first.
func (d *Directory) RemovedAccounts() ([]RemovedAccount, error) {
	list, err := d.removed()
	accounts := make([]RemovedAccount, len(list))
	for i := range list {
		accounts[i] = RemovedAccount{Entry: list[i].Entry, Removed: list[i].Removed}
	}
	return accounts, err
}

// RestoreAccount brings a removed account back under its name, the one removed
// last where several had it: with its mail, password and addresses. An address
// that cannot be had any more is left out, and where that is the name, the
// first of the others becomes it. Its place in aliases and catch-alls does not
// come back. ErrNoSuch, ErrExists or ErrNotLocal when no address is left; mailbox.ErrNoSpace.
func (d *Directory) RestoreAccount(ctx context.Context, name string) (RestoredAccount, error) {
	addr, err := parseAddress(name)
	if err != nil {
		return RestoredAccount{}, addressProblem(name)
	}
	d.change.Lock()
	defer d.change.Unlock()
	list, err := d.removed()
	if err != nil {
		return RestoredAccount{}, err
	}
	list = slices.DeleteFunc(list, func(r removedRecord) bool { return r.Name != addr.String() })
	if len(list) == 0 {
		return RestoredAccount{}, problem(ErrNoSuch, "no removed account that can be restored had the name %s; mailstead account list-deleted has them", addr)
	}
	record := list[len(list)-1].accountRecord
	leftOut, err := d.readdress(&record)
	if err != nil {
		return RestoredAccount{}, err
	}
	restored, err := d.store.RestoreAccount(ctx, record.ID, put(accountPath(record.ID), &record), remove(removedPath(record.ID)))
	if errors.Is(err, mailbox.ErrNoAccount) {
		return RestoredAccount{}, ErrNoSuch // its mail is past retention
	}
	if err != nil {
		return RestoredAccount{}, fmt.Errorf("restore account %s: %w", record.Name, err)
	}
	d.replace(&record)
	return RestoredAccount{Entry: record.Entry, LeftOut: leftOut, Messages: restored.Messages}, nil
}

// readdress gives a record those of its addresses that can be had, and returns the others.
func (d *Directory) readdress(record *accountRecord) (leftOut []string, err error) {
	had, leftOut := []string{}, []string{}
	for _, s := range append([]string{record.Name}, record.Addresses...) {
		if _, e := d.free(s); e != nil {
			leftOut, err = append(leftOut, s), e
			continue
		}
		had = append(had, s)
	}
	if len(had) == 0 {
		return nil, err
	}
	record.Name, record.Addresses = had[0], had[1:]
	return leftOut, nil
}
