package transfer

import (
	"errors"
	"fmt"
	"strings"

	"mailstead/imap/wire"
)

// maxFileName bounds the name of a file or folder, as every file system we know does.
const maxFileName = 255

// errFileName says that a mailbox's name makes a file name that is too long.
var errFileName = errors.New("the name is too long for a file")

// A Maildir++ folder's name has dots between levels, each in modified UTF-7 (RFC 3501
// section 5.1.3) as Dovecot and Courier keep it. A dot within a level cannot be said
// there; we shift it, which strict readers take for no name of theirs.
const shiftedDot = "&AC4-"

// maildirFolder is the name of a mailbox's Maildir below the INBOX's.
func maildirFolder(name string) (string, error) {
	if name == inbox {
		return "", nil
	}
	folder := "." + maildirName(name)
	if len(folder) > maxFileName {
		return "", fmt.Errorf("%w: %d octets", errFileName, len(folder))
	}
	return folder, nil
}

// maildirName is a mailbox's name with dots between levels.
func maildirName(name string) string {
	var b []byte
	for level := range strings.SplitSeq(name, "/") {
		if b != nil {
			b = append(b, '.')
		}
		b = append(b, strings.ReplaceAll(string(wire.AppendUTF7(nil, level)), ".", shiftedDot)...)
	}
	return string(b)
}

// maildirLevel reads one level: what is no modified UTF-7 stands for itself.
func maildirLevel(level string) string {
	level = strings.ReplaceAll(level, shiftedDot, ".")
	decoded, err := wire.DecodeUTF7(level)
	if err != nil {
		decoded = level
	}
	return strings.ReplaceAll(decoded, "/", "_") // a slash is between levels
}

// maildirLevels reads the name of a Maildir++ folder, or of a subscription.
func maildirLevels(name string) string {
	levels := strings.Split(name, ".")
	for i, l := range levels {
		levels[i] = maildirLevel(l)
	}
	return strings.Join(levels, "/")
}

// mboxEndings are endings of names that mean something to those who read a tree of
// mboxes; a level of a mailbox's name with one of them gets its dot escaped.
var mboxEndings = []string{".sbd", ".mbox", ".mbx", ".msf", ".dat"}

// mboxLevel is one level of a mailbox's name as a file's name.
func mboxLevel(level string) string {
	level = strings.NewReplacer("%2E", "%252E", "%25", "%2525").Replace(level)
	if strings.HasPrefix(level, ".") {
		level = "%2E" + level[1:]
	}
	for _, end := range mboxEndings {
		if base, ok := strings.CutSuffix(level, end); ok {
			return base + "%2E" + end[1:]
		}
	}
	return level
}

// mboxFolder reads a level from a file's name.
func mboxFolder(file string) string {
	file = strings.TrimSuffix(strings.TrimSuffix(file, ".mbox"), ".mbx")
	level := strings.NewReplacer("%2E", ".", "%25", "%").Replace(file)
	if level == "" {
		return "unnamed"
	}
	return level
}
