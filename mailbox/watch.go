package mailbox

import "sync"

// watcher is somebody who wants to know that something became durable. Its
// signals coalesce: a full channel needs none.
type watcher struct {
	c chan<- struct{}
	f func() // instead of c
}

func (w *watcher) signal() {
	if w.f != nil {
		w.f()
		return
	}
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// Watch has c signalled, without blocking (so give it a buffer of one),
// whenever something of the mailbox became durable, until stop is called.
func (m *Mailbox) Watch(c chan<- struct{}) (stop func()) { return m.watch(&watcher{c: c}) }

// WatchFunc is Watch for who can do with a call what a goroutine of its own would cost a
// stack for: f must neither wait nor call the store, which holds locks meanwhile.
func (m *Mailbox) WatchFunc(f func()) (stop func()) { return m.watch(&watcher{f: f}) }

func (m *Mailbox) watch(w *watcher) (stop func()) {
	b := m.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers == nil {
		b.watchers = make(map[*watcher]struct{})
	}
	b.watchers[w] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, w)
	}
}

// accountWatchers are those of whole accounts, and of the whole store.
type accountWatchers struct {
	mu    sync.Mutex
	watch map[AccountID]map[*watcher]struct{}
}

// WatchAccount has c signalled (without blocking, so give it a buffer of one)
// whenever anything of account a became durable, until stop is called.
func (s *Store) WatchAccount(a AccountID, c chan<- struct{}) (stop func()) {
	return s.watchers.add(a, &watcher{c: c})
}

// WatchAccountFunc is WatchAccount with a call, as WatchFunc is Watch.
func (s *Store) WatchAccountFunc(a AccountID, f func()) (stop func()) {
	return s.watchers.add(a, &watcher{f: f})
}

func (ws *accountWatchers) add(a AccountID, w *watcher) (stop func()) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.watch[a] == nil {
		ws.watch[a] = make(map[*watcher]struct{})
	}
	ws.watch[a][w] = struct{}{}
	return func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		delete(ws.watch[a], w)
		if len(ws.watch[a]) == 0 {
			delete(ws.watch, a)
		}
	}
}

// signal tells the watchers of the accounts.
func (ws *accountWatchers) signal(accounts []AccountID) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, a := range accounts {
		for w := range ws.watch[a] {
			w.signal()
		}
	}
}
