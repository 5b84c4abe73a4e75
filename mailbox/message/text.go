package message

import (
	"bytes"
	"fmt"
	"io"
)

// Scope says what of a message is searched. Scopes can be or'ed.
type Scope uint8

// The scopes.
const (
	// ScopeHeader is the message's own header, "Name: value" decoded, and the MIME headers of its parts.
	ScopeHeader Scope = 1 << iota
	// ScopeBody is all text of the body, decoded: the text parts, HTML without tags, reports, the headers of attached
	// messages, file names of attachments. SEARCH BODY.
	ScopeBody
	// ScopeText is both: SEARCH TEXT.
	ScopeText = ScopeHeader | ScopeBody
)

// textChunk is how much of a part is read and decoded at a time.
const textChunk = 32 << 10

// TextReader reads the text of messages as their readers see it. The zero value is ready; it keeps its buffers from one
// message to the next and is not safe for concurrent use.
type TextReader struct {
	decoder textDecoder
	chunk   []byte
	text    []byte
	params  paramReader
	finder  finder
}

// Read calls emit with the text of a message in UTF-8, in chunks of bounded size that hold whole characters, until emit
// returns false. first marks the beginning of a piece: a header field, a file name, a part; nothing in a text goes
// across two pieces. The chunk is valid during the call only. Errors are those of r; a message shorter than v says is
// read as far as it goes.
func (t *TextReader) Read(r io.ReaderAt, v *View, scope Scope, emit func(text []byte, first bool) bool) error {
	attached := false // the part is the root of an attached message
	for p := range v.Parts() {
		more, err := t.readPart(r, &p, scope, attached, emit)
		if err != nil {
			return fmt.Errorf("message: reading text: %w", err)
		}
		if !more {
			return nil
		}
		attached = p.Kind == Message
	}
	return nil
}

func (t *TextReader) readPart(r io.ReaderAt, p *PartInfo, scope Scope, attached bool, emit func([]byte, bool) bool) (more bool, err error) {
	if scope&ScopeBody == 0 && attached {
		return true, nil // the header of an attached message is text of the body
	}
	limit := int64(maxPartHeader)
	if p.index == 0 {
		limit = MaxHeader
	}
	header, err := t.readAt(r, p.HeaderStart, min(p.HeaderSize, limit))
	if err != nil {
		return false, err
	}
	if scope&ScopeHeader != 0 || attached {
		if !t.emitHeader(header, string(p.Charset), emit) {
			return false, nil
		}
	}
	if scope&ScopeBody == 0 {
		return true, nil
	}
	if name := t.fileName(header); len(name) > 0 && !emit(name, true) {
		return false, nil
	}
	if isText := string(p.Type) == "text" || string(p.Type) == "message"; p.Kind != Leaf || !isText {
		return true, nil
	}
	return t.emitBody(r, p, emit)
}

// readAt reads size octets at off into the chunk buffer, less where the message ends before.
func (t *TextReader) readAt(r io.ReaderAt, off, size int64) ([]byte, error) {
	if int64(cap(t.chunk)) < size {
		t.chunk = make([]byte, max(size, textChunk))
	}
	n, err := r.ReadAt(t.chunk[:size], off)
	if err == io.EOF {
		err = nil
	}
	return t.chunk[:n], err
}

func (t *TextReader) emitHeader(header []byte, legacy string, emit func([]byte, bool) bool) bool {
	n := 0
	for f := range Fields(header) {
		if n++; n > MaxHeaderFields {
			break
		}
		t.text = t.text[:0]
		value := f.Raw // of a line that is no field
		if f.Name != nil {
			t.text, value = append(append(t.text, toUTF8(f.Name, legacy)...), ": "...), f.Value
		}
		t.text = append(t.text, decodeHeader(value, legacy)...)
		if !emit(t.text, true) {
			return false
		}
	}
	return true
}

func (t *TextReader) emitBody(r io.ReaderAt, p *PartInfo, emit func([]byte, bool) bool) (more bool, err error) {
	t.decoder.reset(p.Encoding, p.Charset, string(p.Subtype) == "html")
	first := true
	for done := int64(0); done < p.BodySize; {
		want := min(textChunk, p.BodySize-done)
		src, err := t.readAt(r, p.BodyStart+done, want)
		if err != nil {
			return false, err
		}
		done += want
		last := done == p.BodySize || int64(len(src)) < want
		t.text = t.decoder.append(t.text[:0], src, last)
		if len(t.text) > 0 {
			if !emit(t.text, first) {
				return false, nil
			}
			first = false
		}
		if last {
			break
		}
	}
	return true, nil
}

// fileName returns the name that a part's header gives its content, decoded; empty if it has none.
func (t *TextReader) fileName(header []byte) []byte {
	if !namesContent(header) {
		return nil
	}
	return t.readName(header)
}

// readName is fileName for any header.
func (t *TextReader) readName(header []byte) []byte {
	for _, from := range [...]struct{ field, param string }{{"content-disposition", "filename"}, {"content-type", "name"}} {
		value, ok := FieldValue(header, from.field)
		if !ok {
			continue
		}
		if from.field == "content-type" {
			t.params.mediaType(value)
		} else {
			t.params.disposition(value)
		}
		if name := t.params.value(from.param); len(name) > 0 {
			return decodeHeader(name, "") // RFC 2047 words do not belong here and are everywhere
		}
	}
	return nil
}

// namesContent reports whether a header may have a parameter called name or filename, or a piece of one (RFC 2231
// section 3). Most have none, and are seen to at a glance.
func namesContent(header []byte) bool {
	const name = "name"
	for i := 0; ; i++ {
		n := bytes.IndexByte(header[i:], '=')
		if n < 0 {
			return false
		}
		i += n
		before := bytes.TrimRight(header[:i], "*0123456789 \t\r\n")
		if len(before) > 0 && before[len(before)-1] == ')' { // the end of a comment
			return true
		}
		if len(before) >= len(name) && equalFoldASCII(before[len(before)-len(name):], name) {
			return true
		}
	}
}

// FileName returns the file name that a part's raw MIME header gives its content (RFC 2183 section 2.3, RFC 2231, or the
// name parameter of old), decoded to UTF-8; empty if there is none. It may hold path separators: never use it as a path.
func FileName(header []byte) string {
	var t TextReader
	return string(t.fileName(header))
}

// Contains reports whether the text of a message within the scope contains a needle that was folded with [Fold]. The
// empty needle is in every message. Memory is constant; see [TextReader.Read] for the errors.
func (t *TextReader) Contains(r io.ReaderAt, v *View, scope Scope, foldedNeedle []byte) (bool, error) {
	if len(foldedNeedle) == 0 {
		return true, nil
	}
	t.finder.reset(foldedNeedle)
	found := false
	err := t.Read(r, v, scope, func(text []byte, first bool) bool {
		found = t.finder.find(text, first)
		return !found
	})
	return found, err
}

// Contains is [TextReader.Contains] with a reader of its own.
func Contains(r io.ReaderAt, v *View, scope Scope, foldedNeedle []byte) (bool, error) {
	var t TextReader
	return t.Contains(r, v, scope, foldedNeedle)
}

// HeaderContains reports whether a field called name in a raw header contains the folded needle in its decoded value
// (SEARCH HEADER, FROM, SUBJECT …). The empty needle is in every such field, whatever its value (RFC 3501 section 6.4.4).
func HeaderContains(header []byte, name string, foldedNeedle []byte) bool {
	for f := range Fields(header) {
		if !equalFoldASCII(f.Name, name) || len(f.Name) == 0 {
			continue
		}
		if len(foldedNeedle) == 0 || bytes.Contains(Fold(nil, decodeHeader(f.Value, "")), foldedNeedle) {
			return true
		}
	}
	return false
}
