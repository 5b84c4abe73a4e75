package route

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"mailstead/mailbox"
)

const (
	roomName  = "routes" // the keys are names, the values kept in JSON
	maxRoutes = 1000     // all of them are looked at for each message
)

// kept is a route as the room has it, with its password.
type kept struct {
	To       []string            `json:"to,omitempty"`
	Accounts []mailbox.AccountID `json:"accounts,omitempty"`
	From     []string            `json:"from,omitempty"`
	After    int                 `json:"after,omitempty"`
	Hop      Hop                 `json:"hop,omitzero"`
	User     string              `json:"user,omitempty"`
	Password string              `json:"password,omitempty"`
	CA       string              `json:"ca,omitempty"`
	Pin      string              `json:"pin,omitempty"`
}

func (r Route) change() (mailbox.RoomChange, error) {
	value, err := json.Marshal(kept{
		To: r.To, Accounts: r.Accounts, From: r.From, After: r.After, Hop: r.Hop,
		User: r.Login.User, Password: r.Login.Password.Reveal(), CA: r.Trust.CA, Pin: r.Trust.Pin,
	})
	if err != nil {
		return mailbox.RoomChange{}, fmt.Errorf("route: keep %s: %w", r.Name, err)
	}
	return mailbox.RoomChange{Room: roomName, Key: r.Name, Value: value}, nil
}

func readKept(name string, value []byte) (Route, error) {
	var k kept
	if err := json.Unmarshal(value, &k); err != nil {
		return Route{}, fmt.Errorf("route: read %s: %w", name, err)
	}
	return Route{
		Name: name, To: k.To, Accounts: k.Accounts, From: k.From, After: k.After, Hop: k.Hop,
		Login: Login{k.User, Secret(k.Password)}, Trust: Trust{k.CA, k.Pin},
	}, nil
}

// Table has the routes of a server. Its methods may be called at the same time.
type Table struct {
	store *mailbox.Store
	edit  sync.Mutex // of whoever changes the routes
	all   atomic.Pointer[[]Route]
}

// Open reads the routes. One that cannot be read is an error: its mail would take a way that nobody wants.
func Open(s *mailbox.Store) (*Table, error) {
	t := &Table{store: s}
	var all []Route
	err := s.Room(roomName).Each("", func(name string, value []byte) error {
		r, err := readKept(name, value)
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("route: open: %w", err)
	}
	t.all.Store(&all)
	return t, nil
}

// For gives the way that a message takes now.
func (t *Table) For(m Mail) Route { return Choose(*t.all.Load(), m) }

// List gives the routes by their names. The slice is the caller's, what it holds is not to be changed.
func (t *Table) List() []Route { return slices.Clone(*t.all.Load()) }

// Get gives the route of a name. ErrNoSuch.
func (t *Table) Get(name string) (Route, error) {
	all := *t.all.Load()
	i, ok := find(all, name)
	if !ok {
		return Route{}, fmt.Errorf("%w: %.80q", ErrNoSuch, name)
	}
	return all[i], nil
}

func find(all []Route, name string) (at int, ok bool) {
	return slices.BinarySearchFunc(all, name, func(r Route, name string) int { return strings.Compare(r.Name, name) })
}

// Add makes a route, which counts and is durable when it returns. With replace it takes the place of one of its
// name, whose password it keeps if it has a user and no password of its own.
// ErrInvalid, ErrExists, ErrConflict, ErrTooMany.
func (t *Table) Add(ctx context.Context, r Route, replace bool) error {
	t.edit.Lock()
	defer t.edit.Unlock()
	all := t.List()
	i, exists := find(all, r.Name)
	if exists && replace && r.Login.Password == "" && r.Login.User == all[i].Login.User {
		r.Login.Password = all[i].Login.Password
	}
	r, err := r.normal()
	switch {
	case err != nil:
		return err
	case exists && !replace:
		return fmt.Errorf("%w: %s", ErrExists, r.Name)
	case !exists && len(all) >= maxRoutes:
		return fmt.Errorf("%w: a server has %d at most", ErrTooMany, maxRoutes)
	}
	for _, o := range all {
		if o.Name != r.Name && o.same(r) {
			return fmt.Errorf("%w: %s", ErrConflict, o.Name)
		}
	}
	if exists {
		all[i] = r
	} else {
		all = slices.Insert(all, i, r)
	}
	c, err := r.change()
	if err != nil {
		return err
	}
	return t.write(ctx, all, c)
}

// write makes changes durable, then has the routes be all.
func (t *Table) write(ctx context.Context, all []Route, changes ...mailbox.RoomChange) error {
	if len(changes) == 0 {
		return nil
	}
	if err := t.store.Change(ctx, changes...); err != nil {
		return fmt.Errorf("route: write: %w", err)
	}
	t.all.Store(&all)
	return nil
}

// Remove takes a route away. ErrNoSuch.
func (t *Table) Remove(ctx context.Context, name string) error {
	t.edit.Lock()
	defer t.edit.Unlock()
	all := t.List()
	i, ok := find(all, name)
	if !ok {
		return fmt.Errorf("%w: %.80q", ErrNoSuch, name)
	}
	return t.write(ctx, slices.Delete(all, i, i+1), mailbox.RoomChange{Room: roomName, Key: name})
}

// Forget takes an account out of all routes, and those away that were for it alone.
func (t *Table) Forget(ctx context.Context, id mailbox.AccountID) error {
	t.edit.Lock()
	defer t.edit.Unlock()
	var left []Route
	var changes []mailbox.RoomChange
	for _, r := range t.List() {
		if !slices.Contains(r.Accounts, id) {
			left = append(left, r)
			continue
		}
		r.Accounts = slices.DeleteFunc(slices.Clone(r.Accounts), func(a mailbox.AccountID) bool { return a == id })
		if len(r.Accounts) == 0 {
			changes = append(changes, mailbox.RoomChange{Room: roomName, Key: r.Name})
			continue
		}
		c, err := r.change()
		if err != nil {
			return err
		}
		left, changes = append(left, r), append(changes, c)
	}
	return t.write(ctx, left, changes...)
}
