package mailbox

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mailstead/mailbox/message"
	"mailstead/mailbox/search"
)

// searchFields are the header fields that can be looked for by themselves; names in lower case.
var searchFields = map[string]search.Scope{
	"from": search.From, "to": search.To, "cc": search.Cc, "bcc": search.Bcc, "subject": search.Subject,
}

// FieldScope is where the index has the values of a header field: a scope of its own, or that of all fields.
func FieldScope(name string) search.Scope {
	if scope, ok := searchFields[strings.ToLower(name)]; ok {
		return scope
	}
	return search.Header
}

// gramReader takes the grams of messages. It belongs to one goroutine.
type gramReader struct {
	text      message.TextReader
	collector search.Collector
	view      message.View
	stored    []byte // what view shows
	header    []byte
	folded    []byte
}

// read returns the grams of a body. They are those of everything that a search compares with: what message.TextReader
// reads, and the values of header fields as message.HeaderContains sees them.
func (g *gramReader) read(s *Store, id BodyID) (search.Grams, error) {
	err := s.Indexes([]Message{{Body: id}}, func(_ int, v message.View) error {
		g.view, g.stored = v.CloneTo(g.stored[:0])
		return nil
	})
	if err != nil {
		return search.Grams{}, err
	}
	b, err := s.OpenBody(id)
	if err != nil {
		return search.Grams{}, err
	}
	defer b.Close()
	whole, err := g.readHeader(b)
	if err == nil && whole {
		err = g.text.Read(b, &g.view, message.ScopeBody, func(text []byte, first bool) bool {
			g.take(search.Body, text, first)
			whole = !g.collector.Full()
			return whole
		})
	}
	grams := g.collector.Finish()
	if err != nil {
		return search.Grams{}, fmt.Errorf("reading the text of body %d: %w", id, err)
	}
	if !whole {
		return search.Grams{Anything: true}, nil
	}
	return grams, nil
}

// take takes the grams of a chunk of text.
func (g *gramReader) take(scope search.Scope, text []byte, first bool) {
	if first {
		g.collector.Begin(scope)
	}
	g.folded = message.Fold(g.folded[:0], text)
	g.collector.Add(g.folded)
}

// readHeader takes the grams of the header. It reports false for one that is larger than what a text reader reads of it.
func (g *gramReader) readHeader(b io.ReaderAt) (whole bool, err error) {
	size := g.view.HeaderSize()
	if size > message.MaxHeader {
		return false, nil
	}
	fields := 0
	err = g.text.Read(b, &g.view, message.ScopeHeader, func(text []byte, first bool) bool {
		g.take(search.Header, text, first)
		fields++
		return true
	})
	if err != nil || fields >= message.MaxHeaderFields {
		return false, err
	}
	if int64(cap(g.header)) < size {
		g.header = make([]byte, size)
	}
	n, err := b.ReadAt(g.header[:size], 0)
	if err != nil && err != io.EOF {
		return false, err
	}
	for f := range message.Fields(g.header[:n]) {
		g.takeField(&f)
	}
	return true, nil
}

// takeField takes the grams of a field's value, as a search of that field compares it.
func (g *gramReader) takeField(f *message.Field) {
	scope := FieldScope(string(f.Name))
	// A value in no charset that is named is read in that of the message's text for one kind of search, and in the most
	// common one for the other.
	if scope != search.Header || !utf8.Valid(f.Value) {
		g.take(scope, []byte(message.DecodeHeader(f.Value)), true)
		if scope != search.Header {
			return
		}
	}
}
