package remote

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"

	"mailstead/mailbox/message"
	"mailstead/smtp/queue"
)

// A message with 8-bit text goes to a server without 8BITMIME in quoted-printable or base64 (RFC 6152 section 3), if it
// says of itself what may be encoded; else it is returned. docs/decisions/0020 has the reasons.

// maxPartHeader is the largest header that is written anew, in octets; the headers of parts have some hundred.
const maxPartHeader = 128 << 10

// errNotConvertible says that a message cannot be said in 7 bits without breaking it.
var errNotConvertible = errors.New("it cannot be converted to 7 bits")

// change is what becomes of a stretch of a message.
type change struct {
	start, size int64
	encoding    string // of a part's content, that is to be encoded; "" for a header
	names       string // in a header, the encoding that it names from now on
	whole       bool   // it is the header of a message, not of a part
}

// planSevenBit reads a message and gives the changes that make it one of 7 bits, in order.
func planSevenBit(open func() (io.ReadCloser, error)) ([]change, error) {
	var x message.Indexer
	if err := readThrough(open, &x); err != nil {
		return nil, err
	}
	view, err := message.Open(x.Finish().AppendTo(nil))
	if err != nil {
		return nil, err
	}
	parts := slices.Collect(view.Parts())
	f := eightBitFinder{parts: leafParts(parts)}
	if err := readThrough(open, &f); err != nil {
		return nil, err
	}
	if f.outside {
		return nil, fmt.Errorf("%w: a header has 8 bits", errNotConvertible)
	}
	return changesOf(parts, f.found)
}

func readThrough(open func() (io.ReadCloser, error), w io.Writer) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

func leafParts(parts []message.PartInfo) []message.PartInfo {
	return slices.DeleteFunc(slices.Clone(parts), func(p message.PartInfo) bool { return p.Kind != message.Leaf })
}

// eightBitFinder finds the parts whose content has octets above 127, by where they begin.
type eightBitFinder struct {
	parts   []message.PartInfo // leaves, in order
	at      int64
	found   map[int64]bool
	outside bool // something that is no content has such octets
}

// Write takes the next octets of the message. It never fails.
func (f *eightBitFinder) Write(b []byte) (int, error) {
	for i, c := range b {
		if c < 0x80 {
			continue
		}
		at := f.at + int64(i)
		for len(f.parts) > 0 && at >= f.parts[0].BodyStart+f.parts[0].BodySize {
			f.parts = f.parts[1:]
		}
		if len(f.parts) == 0 || at < f.parts[0].BodyStart {
			f.outside = true
			continue
		}
		if f.found == nil {
			f.found = make(map[int64]bool)
		}
		f.found[f.parts[0].BodyStart] = true
	}
	f.at += int64(len(b))
	return len(b), nil
}

// changesOf plans the changes of all parts. What is signed or encrypted as it stands, what may not be encoded (RFC
// 2046 section 5.2), and what says that it is encoded already, cannot be changed.
func changesOf(parts []message.PartInfo, eightBit map[int64]bool) ([]change, error) {
	var changes []change
	var sealed int64 // end of what is signed or encrypted
	for i, p := range parts {
		whole := i == 0 || parts[i-1].Kind == message.Message
		header := change{start: p.HeaderStart, size: p.HeaderSize, names: "7bit", whole: whole}
		content := p.Kind == message.Leaf && eightBit[p.BodyStart]
		wide := string(p.Encoding) == "8bit" || string(p.Encoding) == "binary"
		switch {
		case string(p.Type) == "multipart" && (string(p.Subtype) == "signed" || string(p.Subtype) == "encrypted"):
			sealed = max(sealed, p.BodyStart+p.BodySize)
		case content && (p.BodyStart < sealed || !encodable(p)):
			return nil, fmt.Errorf("%w: %s/%s", errNotConvertible, p.Type, p.Subtype)
		}
		switch {
		case content:
			header.names = encodingFor(p)
		case !wide, p.BodyStart < sealed:
			continue // nothing is said that is not true
		}
		if p.HeaderSize == 0 || p.HeaderSize > maxPartHeader {
			return nil, fmt.Errorf("%w: a header of %d octets", errNotConvertible, p.HeaderSize)
		}
		changes = append(changes, header)
		if content {
			changes = append(changes, change{start: p.BodyStart, size: p.BodySize, encoding: header.names})
		}
	}
	return changes, nil
}

// encodable tells whether a part may get another encoding.
func encodable(p message.PartInfo) bool {
	switch string(p.Encoding) {
	case "7bit", "8bit", "binary":
		return string(p.Type) != "message" && string(p.Type) != "multipart"
	}
	return false
}

func encodingFor(p message.PartInfo) string {
	if string(p.Type) == "text" {
		return "quoted-printable"
	}
	return "base64"
}

// sevenBit gives a message as a server without 8BITMIME gets it.
func sevenBit(m queue.Message) (queue.Message, error) {
	changes, err := planSevenBit(m.Open)
	if err != nil {
		return m, err
	}
	open, size := m.Open, m.Size
	m.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		return convert(r, size, changes), nil
	}
	m.EightBit, m.Size = false, 0 // how long it will be nobody knows
	return m, nil
}

// converting is a message that is converted while it is read.
type converting struct {
	*io.PipeReader
	ended chan struct{}
}

// Close ends the conversion.
func (c converting) Close() error {
	err := c.PipeReader.Close()
	<-c.ended
	return err
}

// convert makes the changes in a message of size octets, or more, and closes it in the end.
func convert(message io.ReadCloser, size int64, changes []change) io.ReadCloser {
	r, w := io.Pipe()
	c := converting{r, make(chan struct{})}
	go func() {
		defer close(c.ended)
		defer message.Close()
		out := bufio.NewWriterSize(w, blockSize)
		err := changeAll(out, bufio.NewReaderSize(message, blockSize), size, changes)
		if err == nil {
			err = out.Flush()
		}
		w.CloseWithError(err)
	}()
	return c
}

func changeAll(w *bufio.Writer, r *bufio.Reader, size int64, changes []change) error {
	at := int64(0)
	for _, c := range changes {
		if _, err := io.CopyN(w, r, c.start-at); err != nil {
			return cutShort(err)
		}
		if err := c.make(w, r); err != nil {
			return cutShort(err)
		}
		at = c.start + c.size
	}
	n, err := io.Copy(w, r)
	if err == nil && at+n < size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// cutShort makes an end where more was to come an error.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c change) make(w *bufio.Writer, r *bufio.Reader) error {
	if c.encoding == "" {
		header := make([]byte, c.size)
		if _, err := io.ReadFull(r, header); err != nil {
			return err
		}
		return c.rename(w, header)
	}
	var encoder io.WriteCloser
	if c.encoding == "base64" {
		encoder = base64.NewEncoder(base64.StdEncoding, &lineWriter{w: w})
	} else {
		encoder = quotedprintable.NewWriter(w)
	}
	if _, err := io.CopyN(encoder, r, c.size); err != nil {
		return err
	}
	return encoder.Close()
}

// rename writes a header with another Content-Transfer-Encoding, and with the MIME-Version without which
// that means nothing (RFC 2045 section 4).
func (c change) rename(w *bufio.Writer, header []byte) error {
	blank, version := 0, !c.whole
	for f := range message.Fields(header) {
		name := strings.ToLower(string(f.Name))
		version = version || name == "mime-version"
		blank += len(f.Raw)
		if name != "content-transfer-encoding" {
			w.Write(f.Raw)
		}
	}
	if !version {
		w.WriteString("MIME-Version: 1.0\r\n")
	}
	fmt.Fprintf(w, "Content-Transfer-Encoding: %s\r\n", c.names)
	end := header[blank:]
	if !bytes.HasSuffix(end, []byte("\n")) {
		end = []byte("\r\n") // a header that ends with the message
	}
	_, err := w.Write(end)
	return err
}

// lineWriter breaks base64 into lines of 76 (RFC 2045 section 6.8).
type lineWriter struct {
	w  *bufio.Writer
	at int
}

// Write takes encoded octets.
func (l *lineWriter) Write(b []byte) (int, error) {
	const width = 76
	n := len(b)
	for len(b) > 0 {
		if l.at == width {
			l.w.WriteString("\r\n")
			l.at = 0
		}
		k := min(len(b), width-l.at)
		if _, err := l.w.Write(b[:k]); err != nil {
			return 0, err
		}
		l.at, b = l.at+k, b[k:]
	}
	return n, nil
}
