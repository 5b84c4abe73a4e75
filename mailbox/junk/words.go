package junk

import (
	"unicode"
	"unicode/utf8"
)

// words cuts text into words and adds them, with the pairs that they make, to a letter. A word is a run of letters, digits and
// their marks, in lower case, and so is a run of exclamation marks. Of a script without spaces each character is one, but only pairs are
// added: one of them says as little as one letter.
// Numbers are known by their length only. No word goes across two pieces of text, nor does a pair.
type words struct {
	letter                    *Letter
	word, pair                kind
	current                   [maxWord]byte
	size                      int // of current; more than maxWord once it is too long
	digits, capitals, letters int
	latin, other              bool    // alphabets seen in the current word
	before                    spelled // the last word
	count                     textCount
}

// spelled is a word with its hash.
type spelled struct {
	hash uint64
	size int
	text [maxWord]byte
}

// textCount is what rules want to know of a text.
type textCount struct {
	words, capitals, long int // words; those all in capitals; those that are too long
	exclaimed             int // runs of exclamation marks
	hidden                int // characters that nobody sees, within words
	mixed                 int // words of two alphabets
	quoted                int // lines that begin with >
}

func (w *words) begin(l *Letter, word, pair kind) {
	w.letter, w.word, w.pair = l, word, pair
	w.count = textCount{}
	w.restart()
}

// restart begins a piece of text.
func (w *words) restart() {
	w.clear()
	w.before.size = 0
}

func (w *words) clear() {
	w.size, w.digits, w.capitals, w.letters, w.latin, w.other = 0, 0, 0, 0, false, false
}

// write takes the next characters, valid UTF-8.
func (w *words) write(text []byte) {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			i++
			w.ascii(c)
			if c == '!' {
				for i < len(text) && text[i] == '!' {
					i++
				}
			} else if c == '\n' && i < len(text) && text[i] == '>' {
				w.count.quoted++
			}
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		i += n
		w.char(r)
	}
}

func (w *words) ascii(c byte) {
	switch {
	case 'a' <= c && c <= 'z':
		w.letters++
		w.latin = true
	case 'A' <= c && c <= 'Z':
		w.letters++
		w.capitals++
		w.latin = true
		c += 'a' - 'A'
	case '0' <= c && c <= '9':
		w.digits++
	case c == '$' || c == '%':
		// part of a price or a discount
	case (c == '\'' || c == '-') && w.size > 0:
		// within a word; trimmed at its end
	case c == '!':
		w.end()
		w.count.exclaimed++
		w.emit([]byte{'!'})
		return
	default:
		w.end()
		return
	}
	if w.size < maxWord {
		w.current[w.size] = c
	}
	w.size++
}

// char takes a character above ASCII.
func (w *words) char(r rune) {
	switch {
	case isHidden(r):
		if w.size > 0 {
			w.count.hidden++
		}
		return
	case 0x2e80 <= r && r < 0xa000: // Chinese, Japanese
		w.end()
		c := utf8.AppendRune(w.current[:0], r)
		w.follow(hashOf(c), c)
		w.clear()
		return
	case unicode.IsLetter(r):
		w.letters++
		if unicode.IsUpper(r) {
			w.capitals++
			r = unicode.ToLower(r)
		}
		if r < 0x250 {
			w.latin = true
		} else {
			w.other = true
		}
	case unicode.IsDigit(r):
		w.digits++
	case unicode.Is(unicode.Sc, r), unicode.IsMark(r) && w.size > 0:
	default:
		w.end()
		return
	}
	if n := utf8.RuneLen(r); w.size+n <= maxWord {
		utf8.EncodeRune(w.current[w.size:], r)
	}
	w.size += utf8.RuneLen(r)
}

// isHidden reports the characters that take no room, with which words are hidden from filters.
func isHidden(r rune) bool {
	return r == 0xad || 0x200b <= r && r <= 0x200d || r == 0x2060 || r == 0xfeff
}

// end adds the current word, if there is one.
func (w *words) end() {
	size := w.size
	if size == 0 {
		return
	}
	if size > maxWord {
		w.count.long++
		w.restart()
		return
	}
	if w.letters >= 3 && w.letters == w.capitals {
		w.count.capitals++
	}
	if w.latin && w.other {
		w.count.mixed++
	}
	word := w.current[:size]
	for len(word) > 1 && (word[len(word)-1] == '-' || word[len(word)-1] == '\'') {
		word = word[:len(word)-1]
	}
	if w.letters == 0 && w.digits > 0 {
		word = shape(word)
	}
	w.emit(word)
	w.clear()
}

// shape replaces a number by its length, in place: what is around the digits stays.
func shape(word []byte) []byte {
	out, digits := word[:0], 0
	for _, c := range word {
		if '0' <= c && c <= '9' {
			if digits++; digits > 9 {
				continue
			}
			c = '0'
		}
		out = append(out, c)
	}
	return out
}

// emit adds a word and its pairs.
func (w *words) emit(word []byte) {
	h := hashOf(word)
	w.letter.addWord(w.word, h, word)
	w.follow(h, word)
}

// follow adds the pair that a word makes with the last one.
func (w *words) follow(h uint64, word []byte) {
	w.count.words++
	if w.before.size > 0 {
		w.letter.addPair(w.pair, w.before, h, word)
	}
	w.before.hash, w.before.size = h, copy(w.before.text[:], word)
}
