package message

import (
	"unicode"
	"unicode/utf8"
)

// previewer makes the preview from the first text part that has any text (RFC 8970).
type previewer struct {
	on      bool
	done    bool
	part    int
	source  []byte
	decoder textDecoder
	decoded []byte
	text    []byte
}

func (v *previewer) reset() {
	v.on, v.done, v.source, v.text = false, false, v.source[:0], v.text[:0]
}

// begin decides whether the part that begins is the one.
func (v *previewer) begin(i int, typ, sub, encoding, charset []byte) {
	isHTML := string(sub) == "html"
	if v.done || string(typ) != "text" || !isHTML && string(sub) != "plain" {
		return
	}
	v.on, v.part, v.source = true, i, v.source[:0]
	v.decoder.reset(encoding, charset, isHTML)
}

// write takes octets of the body being read.
func (v *previewer) write(p []byte) {
	if !v.on {
		return
	}
	v.source = append(v.source, p[:min(len(p), maxPreviewSource-len(v.source))]...)
	if len(v.source) == maxPreviewSource {
		v.on = false
	}
}

// end closes part i, whose body has the given size.
func (v *previewer) end(i int, size int64) {
	if v.done || i != v.part || len(v.source) == 0 {
		return
	}
	v.on = false
	source := v.source[:min(int64(len(v.source)), size)]
	v.decoded = v.decoder.append(v.decoded[:0], source, size <= maxPreviewSource)
	v.text = appendPreview(v.text[:0], v.decoded)
	v.done = len(v.text) > 0
	v.source = v.source[:0]
}

// appendPreview appends the first characters of a text in one line: white space collapsed, control characters and the
// invisible ones that newsletters pad their previews with left out, quoted lines of replies too.
func appendPreview(dst, text []byte) []byte {
	start, count := len(dst), 0
	lineStart, quoted, space := true, false, false
	for i := 0; i < len(text) && count < maxPreview; {
		r, n := utf8.DecodeRune(text[i:])
		i += n
		if lineStart {
			quoted = r == '>'
		}
		lineStart = r == '\n'
		switch {
		case unicode.IsSpace(r):
			space = true
			continue
		case quoted || isInvisible(r):
			continue
		}
		if space && len(dst) > start {
			dst = append(dst, ' ')
			count++
		}
		space = false
		if count < maxPreview {
			dst = utf8.AppendRune(dst, r)
			count++
		}
	}
	return dst
}

func isInvisible(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	return r == 0xad || r == 0x34f || r == 0xfeff || r >= 0x2000 && r < 0x2070 && unicode.Is(unicode.Cf, r) ||
		unicode.Is(unicode.Cc, r)
}
