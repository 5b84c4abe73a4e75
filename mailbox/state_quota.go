package mailbox

import (
	"encoding/binary"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// storedAccount is the value of bucket accounts.
type storedAccount struct {
	made  log.LSN // of the record that made it
	quota Quota
}

// append leaves the quota out where there is none.
func (s storedAccount) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.made))
	if s.quota == (Quota{}) {
		return dst
	}
	dst = binary.AppendVarint(dst, s.quota.Storage)
	return binary.AppendVarint(dst, s.quota.Messages)
}

func decodeAccount(value []byte) (s storedAccount, err error) {
	r := fieldReader{rest: value}
	s.made = log.LSN(r.uint64())
	if len(r.rest) > 0 {
		s.quota = Quota{Storage: r.int64(), Messages: r.int64()}
	}
	return s, r.end("account")
}

// limits sets the quota of an account.
func (a *applying) limits(o opLimits) error {
	accounts := tableOf(a.tx, bucketAccounts)
	value := accounts.Get(idKey(o.Account))
	if value == nil {
		a.missing("account", uint64(o.Account))
		return nil
	}
	stored, err := decodeAccount(value)
	if err != nil {
		return err
	}
	stored.quota = o.Quota
	return accounts.Put(idKey(o.Account), stored.append(nil))
}

// readAccounts reads accounts and those quotas that there are.
func (h *diskHeaders) readAccounts(tx *bbolt.Tx) error {
	return tableOf(tx, bucketAccounts).ForEach(func(key, value []byte) error {
		id, err := keyID[AccountID](key)
		if err != nil {
			return err
		}
		stored, err := decodeAccount(value)
		if err != nil {
			return err
		}
		h.Accounts = append(h.Accounts, id)
		if stored.quota != (Quota{}) {
			if h.Quotas == nil {
				h.Quotas = make(map[AccountID]Quota)
			}
			h.Quotas[id] = stored.quota
		}
		return nil
	})
}
