package training

import (
	"strings"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
	"mailstead/mailbox/message"
)

// Opinion is what is thought of a letter in the eyes of one account.
type Opinion struct {
	junk.Verdict
	// Known says that the owner has written to the author, or taken mail of theirs out of Junk.
	Known bool
}

// MaxHead is how many octets of a letter Judge looks at: what is behind may be left out.
const MaxHead = maxHead

// Judge says what is thought of a letter, of which head are the first octets, in the eyes of each account. The account 0 stands for
// people elsewhere: the server's model is asked alone. Reputations among the facts are looked up here. A letter is not read where nothing
// was taught and Options.OnlyTaught says that this is no opinion: its verdict is the zero one.
func (t *Trainer) Judge(head []byte, facts junk.Facts, accounts []mailbox.AccountID) ([]Opinion, error) {
	author := authorOf(head)
	opinions := make([]Opinion, len(accounts))
	models := make([]*junk.Model, len(accounts))
	reputations := make([]byte, len(accounts))
	for i, a := range accounts {
		if a == everybody {
			continue
		}
		var err error
		if models[i], err = t.models.of(a); err != nil {
			return nil, err
		}
		value, _, err := t.room.Get(knownKey(a, author))
		if err != nil {
			return nil, err
		}
		reputations[i] = known(value).why
		opinions[i].Known = reputations[i] != 0
	}
	m := &t.models
	if t.o.OnlyTaught && !m.taught(models) {
		return opinions, nil
	}
	r := <-m.readers
	defer func() { m.readers <- r }()
	l, err := r.read(head[:min(len(head), maxHead)], facts)
	if err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for i := range accounts {
		if t.o.OnlyTaught && lessons(m.server, models[i]) == 0 {
			continue
		}
		l.SetReputation(reputations[i]&written != 0, reputations[i]&rescued != 0)
		opinions[i].Verdict = junk.Classify(l, m.server, models[i])
	}
	return opinions, nil
}

// Reads reports whether Judge reads letters to these accounts. It does not where nothing was taught and
// Options.OnlyTaught says that this is no opinion.
func (t *Trainer) Reads(accounts []mailbox.AccountID) bool {
	if !t.o.OnlyTaught {
		return true
	}
	models := make([]*junk.Model, 0, len(accounts))
	for _, a := range accounts {
		if a == everybody {
			continue
		}
		model, err := t.models.of(a)
		if err != nil {
			return true // Judge says what is wrong
		}
		models = append(models, model)
	}
	return t.models.taught(models)
}

// taught reports whether the server's model or one of these has learned anything.
func (m *models) taught(accounts []*junk.Model) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return lessons(m.server)+lessons(accounts...) > 0
}

// lessons is how many letters taught the models; nil is one that none has.
func lessons(models ...*junk.Model) (n int) {
	for _, m := range models {
		if m != nil {
			bad, good := m.Letters()
			n += bad + good
		}
	}
	return n
}

// authorOf is the address in a letter's From; empty for none.
func authorOf(head []byte) string {
	value, ok := message.FieldValue(head, "from")
	if !ok {
		return ""
	}
	for _, a := range message.ParseAddressList(value) {
		if a.Kind == message.Mailbox && a.Domain != "" {
			return strings.ToLower(a.Local + "@" + a.Domain)
		}
	}
	return ""
}
