package transfer

import (
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// infoSeparators are what stands between the unique part of a name and its flags: a colon,
// and what takes its place where a file's name can have none.
var infoSeparators = []string{":2,", ";2,", "!2,"}

// splitInfo takes a file name of a Maildir apart; ok is false when it tells no flags.
func splitInfo(name string) (unique, flags string, ok bool) {
	at, size := -1, 0
	for _, s := range infoSeparators {
		if i := strings.LastIndex(name, s); i > at {
			at, size = i, len(s)
		}
	}
	if at < 0 {
		return name, "", false
	}
	return name[:at], name[at+size:], true
}

// infoFlags are the letters of flags, in the order in which they have to be.
var infoFlags = []struct {
	letter byte
	flag   goimap.Flag
}{
	{'D', goimap.FlagDraft},
	{'F', goimap.FlagFlagged},
	{'P', goimap.FlagForwarded}, // passed on
	{'R', goimap.FlagAnswered},
	{'S', goimap.FlagSeen},
	{'T', goimap.FlagDeleted}, // trashed
}

// maxLetters is the number of keywords that a Maildir folder of Dovecot's has letters for: a to z.
const maxLetters = 26

// flagsOf reads the letters of a file's name. keywords are the folder's, by their letter.
func flagsOf(letters string, keywords []string) []goimap.Flag {
	var list []goimap.Flag
	for i := range len(letters) {
		c := letters[i]
		if k := int(c) - 'a'; k >= 0 && k < len(keywords) && isKeyword(keywords[k]) {
			list = appendFlag(list, goimap.Flag(keywords[k]))
		}
		for _, f := range infoFlags {
			if f.letter == c {
				list = appendFlag(list, f.flag)
			}
		}
	}
	return list
}

func appendFlag(list []goimap.Flag, f goimap.Flag) []goimap.Flag {
	if slices.ContainsFunc(list, func(have goimap.Flag) bool { return strings.EqualFold(string(have), string(f)) }) {
		return list
	}
	return append(list, f)
}

// lettersOf is the reverse. letter gives a keyword its letter, 0 when there is none left.
func lettersOf(flags []goimap.Flag, letter func(keyword string) byte) string {
	var b []byte
	for _, f := range flags {
		for _, known := range infoFlags {
			if strings.EqualFold(string(known.flag), string(f)) {
				b = append(b, known.letter)
			}
		}
		if !strings.HasPrefix(string(f), `\`) {
			if c := letter(string(f)); c != 0 {
				b = append(b, c)
			}
		}
	}
	slices.Sort(b)
	return string(b)
}

// fileSize reads the octets that a file's name promises (",S=123"), or -1.
func fileSize(name string) int64 {
	_, rest, ok := strings.Cut(name, ",S=")
	var n int64
	if _, err := fmt.Sscanf(rest, "%d", &n); !ok || err != nil || n < 0 {
		return -1
	}
	return n
}

// parseKeywords reads a file dovecot-keywords: "0 $Forwarded" and so on, a line each.
func parseKeywords(text string) []string {
	keywords := make([]string, maxLetters)
	for line := range strings.Lines(text) {
		var k int
		var name string
		if n, _ := fmt.Sscanf(line, "%d %s", &k, &name); n == 2 && k >= 0 && k < maxLetters {
			keywords[k] = name
		}
	}
	return keywords
}

// parseSubscriptions reads Dovecot's list of subscriptions, of both versions: names with
// dots, or behind "V 2" with tabs between levels; and Courier's, where all begin with INBOX.
func parseSubscriptions(text string) map[string]bool {
	separator := "."
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
		case strings.HasPrefix(line, "V\t"):
			separator = "\t"
		case len(names) < maxTreeFolders:
			levels := strings.Split(line, separator)
			for i, l := range levels {
				levels[i] = maildirLevel(l)
			}
			names[folderName(strings.Join(levels, "/"))] = true
		}
	}
	return names
}
