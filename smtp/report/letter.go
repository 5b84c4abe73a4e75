package report

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"

	"mailstead/mailbox/message"
)

// Read finds the report in a letter of so many octets. ErrNone, or an error of
// reading.
func Read(letter io.ReaderAt, size int64) (*Report, error) {
	if size > maxLetter {
		return nil, fmt.Errorf("%w: a letter of %d octets", ErrNone, size)
	}
	raw := make([]byte, size)
	if _, err := letter.ReadAt(raw, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("report: reading the letter: %w", err)
	}
	stored := message.Parse(raw).AppendTo(nil)
	v, err := message.Open(stored)
	if err != nil {
		return nil, fmt.Errorf("report: indexing the letter: %w", err)
	}
	tried, why := 0, ErrNone
	for p := range v.Parts() {
		if p.Kind != message.Leaf || !mayBeReport(&p, raw) {
			continue
		}
		if tried++; tried > maxParts {
			break
		}
		r, err := parsePart(&p, raw)
		if err == nil {
			r.Sender = author(raw)
			return r, nil
		}
		why = err
	}
	return nil, why
}

// reportTypes are the media types under which reports travel, in the wild, too.
var reportTypes = append([]string{
	"application/octet-stream", "application/xml", "text/xml", "application/json", "application/tlsrpt", "application/x-compressed",
}, packed...)

// mayBeReport reports whether a part may hold one, by its type or its file name.
func mayBeReport(p *message.PartInfo, raw []byte) bool {
	media := string(p.Type) + "/" + string(p.Subtype)
	if slices.Contains(reportTypes, media) {
		return true
	}
	if p.HeaderStart+p.HeaderSize > int64(len(raw)) {
		return false
	}
	name := strings.ToLower(message.FileName(raw[p.HeaderStart : p.HeaderStart+p.HeaderSize]))
	return slices.ContainsFunc([]string{".xml", ".xml.gz", ".zip", ".json", ".json.gz"}, func(end string) bool { return strings.HasSuffix(name, end) })
}

// parsePart reads the report in a part.
func parsePart(p *message.PartInfo, raw []byte) (*Report, error) {
	if p.BodyStart < 0 || p.BodySize < 0 || p.BodyStart+p.BodySize > int64(len(raw)) {
		return nil, ErrNone
	}
	t, _ := message.NewTransfer(p.Encoding)
	content, err := unpack(t.Append(nil, raw[p.BodyStart:p.BodyStart+p.BodySize]))
	if err != nil {
		return nil, err
	}
	return parse(content)
}

// parse reads a report as it is after unpacking.
func parse(content []byte) (*Report, error) {
	content = bytes.TrimLeft(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case bytes.HasPrefix(content, []byte("<")):
		return parseDMARC(content)
	case bytes.HasPrefix(content, []byte("{")):
		return parseTLS(content)
	}
	return nil, fmt.Errorf("%w: neither XML nor JSON", ErrNone)
}

// unpack undoes what its first octets say a report is packed with. Nothing is
// unpacked twice.
func unpack(b []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrNone, err)
		}
		return inflate(z, len(b))
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return unzip(b)
	}
	return b, nil
}

func unzip(b []byte) ([]byte, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(z.File) > maxEntries {
		return nil, fmt.Errorf("%w: an archive of its own kind: %v", ErrNone, err)
	}
	for _, f := range z.File {
		if f.FileInfo().IsDir() || f.UncompressedSize64 > maxInflated {
			continue
		}
		name := strings.ToLower(f.Name)
		if len(z.File) > 1 && !strings.HasSuffix(name, ".xml") && !strings.HasSuffix(name, ".json") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrNone, err)
		}
		defer r.Close()
		return inflate(r, len(b))
	}
	return nil, fmt.Errorf("%w: an archive without one", ErrNone)
}

// inflate reads what n octets unpack to, within bounds: what grows beyond them
// was made to hurt.
func inflate(r io.Reader, n int) ([]byte, error) {
	limit := int64(min(maxInflated, freeRatio+n*maxRatio))
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNone, err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%w: more than %d octets packed into %d", ErrNone, limit, n)
	}
	return content, nil
}

// author is the domain of a letter's From field; "" where it has none of its own.
func author(raw []byte) string {
	value, _ := message.FieldValue(raw[:headerSize(raw)], "From")
	for _, a := range message.ParseAddressList(value[:min(len(value), maxField)]) {
		if a.Kind == message.Mailbox {
			return domain(a.Domain)
		}
	}
	return ""
}

// headerSize is where the header of a letter ends.
func headerSize(raw []byte) int {
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		return i + 2
	}
	return len(raw)
}
