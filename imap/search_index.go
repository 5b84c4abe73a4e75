package imap

import (
	"mailstead/mailbox"
	"mailstead/mailbox/search"
)

// maxIndexedTexts bounds the texts of one search that the full-text index is asked for: what it says takes memory for
// each. Those behind are looked for in the messages, as others are when the index does not exclude them.
const maxIndexedTexts = 256

// textFilter returns what the full-text index says of the texts that are looked for, and gives each of them its number
// there. nil when none is long enough for the index to say anything.
func (k *searchKey) textFilter(store *mailbox.Store) *mailbox.TextFilter {
	var texts [][]search.Needle
	k.collectTexts(&texts)
	if len(texts) == 0 {
		return nil
	}
	return store.TextFilter(texts)
}

func (k *searchKey) collectTexts(texts *[][]search.Needle) {
	k.text = 0 // of an earlier run of the same program
	for i := range k.kids {
		k.kids[i].collectTexts(texts)
	}
	if len(*texts) == maxIndexedTexts {
		return
	}
	if needles := k.needles(); len(needles) > 0 {
		*texts = append(*texts, needles)
		k.text = len(*texts)
	}
}

// needles are what a message has to have one of to match the key; none when that cannot be said.
func (k *searchKey) needles() (list []search.Needle) {
	var scopes []search.Scope
	switch k.kind {
	case keyHeader:
		scopes = []search.Scope{mailbox.FieldScope(k.field)}
	case keyBody:
		scopes = []search.Scope{search.Body}
	case keyText:
		scopes = []search.Scope{search.Header, search.Body}
	}
	for _, scope := range scopes {
		n, ok := search.NewNeedle(scope, k.needle)
		if !ok {
			return nil
		}
		list = append(list, n)
	}
	return list
}
