package keyring

import (
	"context"
	"crypto"
	"fmt"
	"slices"
	"strconv"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/mailauth"
)

// Each domain signs with two keys: one that every receiver knows, and one whose
// signatures are small (RFC 8463 section 3). The selectors say which is which; those of
// later keys have the day of their making behind it.
var kinds = []struct {
	selector string
	make     func() (crypto.Signer, error)
}{
	{"mailstead-rsa", mailauth.NewRSAKey},
	{"mailstead-ed25519", mailauth.NewEd25519Key},
}

// Ensure makes the keys of a domain that has none. They sign at once: nothing was signed before them that would
// be worth waiting for.
func (r *Ring) Ensure(ctx context.Context, domain string) error {
	r.change.Lock()
	defer r.change.Unlock()
	domain = Domain(domain)
	if slices.ContainsFunc(r.entries(domain), func(e entry) bool { return e.State != Retired }) {
		return nil
	}
	entries, err := r.add(domain, r.entries(domain), Signing)
	if err != nil {
		return err
	}
	return r.write(ctx, domain, entries, nil)
}

// Rotate begins to exchange the keys of a domain: new ones wait until Run has seen their records in the DNS, sign
// from then on, and the others are old. While some wait already, nothing is added. At once makes those that
// wait sign now: receivers that do not find their records will not know the domain's mail until they do. ErrNoKeys.
func (r *Ring) Rotate(ctx context.Context, domain string, atOnce bool) error {
	r.change.Lock()
	defer r.change.Unlock()
	domain = Domain(domain)
	entries := r.entries(domain)
	if len(r.Of(domain)) == 0 {
		return ErrNoKeys
	}
	var err error
	if !waits(entries) {
		if entries, err = r.add(domain, entries, Waiting); err != nil {
			return err
		}
	}
	if atOnce {
		entries = r.exchanged(entries)
	}
	if err := r.write(ctx, domain, entries, nil); err != nil {
		return err
	}
	r.wake()
	return nil
}

// add makes a pair of keys beside those that are there.
func (r *Ring) add(domain string, entries []entry, state State) ([]entry, error) {
	entries = slices.Clone(entries)
	end := r.ending(entries)
	for _, k := range kinds {
		private, err := k.make()
		if err != nil {
			return nil, fmt.Errorf("make a key for %s: %w", domain, err)
		}
		der, err := mailauth.MarshalPrivateKey(private)
		if err != nil {
			return nil, fmt.Errorf("make a key for %s: %w", domain, err)
		}
		entries = append(entries, entry{
			kept: kept{State: state, Since: r.today(), Key: der}, domain: domain, selector: k.selector + end, private: private,
		})
	}
	return entries, nil
}

// today is the time to the second, as it is kept.
func (r *Ring) today() time.Time { return r.o.Now().UTC().Truncate(time.Second) }

// ending is what new selectors end in: nothing for the first keys, else the day and, if need be, a number.
func (r *Ring) ending(entries []entry) string {
	if len(entries) == 0 {
		return ""
	}
	day := "-" + r.today().Format("20060102")
	end := day
	for n := 2; taken(entries, end); n++ {
		end = day + "-" + strconv.Itoa(n)
	}
	return end
}

func taken(entries []entry, end string) bool {
	return slices.ContainsFunc(entries, func(e entry) bool {
		return e.selector == kinds[0].selector+end || e.selector == kinds[1].selector+end
	})
}

func waits(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return e.State == Waiting })
}

// exchanged are entries after those that wait have taken over.
func (r *Ring) exchanged(entries []entry) []entry {
	entries = slices.Clone(entries)
	now := r.today()
	for i := range entries {
		switch e := &entries[i]; e.State {
		case Waiting:
			e.State, e.Since = Signing, now
		case Signing:
			e.State, e.Since, e.Until = Old, now, now.Add(r.o.Times.Flight+r.o.Times.Margin)
		}
	}
	return entries
}

// write makes the entries of a domain durable, and then current. Gone are those that are dropped.
func (r *Ring) write(ctx context.Context, domain string, entries, gone []entry) error {
	var changes []mailbox.RoomChange
	for _, e := range entries {
		changes = append(changes, e.put())
	}
	for _, e := range gone {
		changes = append(changes, e.drop())
	}
	if err := r.store.Change(ctx, changes...); err != nil {
		return fmt.Errorf("keep the keys of %s: %w", domain, err)
	}
	r.set(domain, entries)
	return nil
}
