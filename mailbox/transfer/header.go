package transfer

import (
	"bytes"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/message"
)

// noted is what programs that keep mail in files note of a message in its header.
type noted struct {
	flags    []goimap.Flag
	labels   []string  // Gmail's
	labelled bool      // there is a field of labels, be it empty
	gone     bool      // deleted, and only its octets are still there
	arrived  time.Time // by the first Received field, or else Date
	length   int64     // Content-Length; -1 = none
}

// stateFields are the fields that are state, not message, and what they say.
var stateFields = map[string]func(n *noted, value string){
	"status":            (*noted).status,
	"x-status":          (*noted).status,
	"x-keywords":        (*noted).keywords,
	"x-mozilla-status":  (*noted).mozilla,
	"x-mozilla-status2": func(*noted, string) {},
	"x-mozilla-keys":    (*noted).keywords,
	"x-gmail-labels":    (*noted).gmail,
	"x-uid":             func(*noted, string) {},
}

// ownFields are what [MboxSink] puts in front of each header, in this order, so that
// fields of these names that a message really has stay what they are.
var ownFields = []string{"status", "x-status", "x-keywords"}

// noteHeader reads a raw header. It returns it without the fields of state.
func noteHeader(header []byte) (n noted, rest []byte) {
	n.length = -1
	rest = make([]byte, 0, len(header))
	at, own := 0, true
	end := 0
	for f := range message.Fields(header) {
		name := strings.ToLower(string(f.Name))
		own = own && (at >= len(ownFields) || name == ownFields[at])
		at++
		end += len(f.Raw)
		take := stateFields[name]
		if take != nil && own && at > len(ownFields) && slices.Contains(ownFields, name) {
			take = nil // the message's own
		}
		if take != nil {
			take(&n, unfold(f.Value))
			continue
		}
		n.note(name, f.Value)
		rest = append(rest, f.Raw...)
	}
	return n, append(rest, header[end:]...)
}

// note reads fields that stay in the message.
func (n *noted) note(name string, value []byte) {
	switch name {
	case "received":
		if n.arrived.IsZero() {
			if i := bytes.LastIndexByte(value, ';'); i >= 0 {
				n.arrived, _ = message.ParseDate(value[i+1:])
			}
		}
	case "date":
		if n.arrived.IsZero() {
			n.arrived, _ = message.ParseDate(value)
		}
	case "content-length":
		if v, err := strconv.ParseInt(unfold(value), 10, 64); err == nil && v >= 0 {
			n.length = v
		}
	}
}

func unfold(value []byte) string {
	return strings.TrimSpace(strings.NewReplacer("\r\n", "", "\n", "").Replace(string(value)))
}

func (n *noted) add(flags ...goimap.Flag) {
	for _, f := range flags {
		if !slices.Contains(n.flags, f) && len(n.flags) < maxFlags {
			n.flags = append(n.flags, f)
		}
	}
}

// status reads the letters of Status and X-Status.
func (n *noted) status(value string) {
	for _, c := range value {
		switch c {
		case 'R':
			n.add(goimap.FlagSeen)
		case 'A':
			n.add(goimap.FlagAnswered)
		case 'F':
			n.add(goimap.FlagFlagged)
		case 'T':
			n.add(goimap.FlagDraft)
		case 'D':
			n.add(goimap.FlagDeleted)
		}
	}
}

func (n *noted) keywords(value string) {
	for word := range strings.FieldsSeq(value) {
		if isKeyword(word) {
			n.add(goimap.Flag(word))
		}
	}
}

// The bits of X-Mozilla-Status.
const (
	mozillaRead      = 0x0001
	mozillaReplied   = 0x0002
	mozillaMarked    = 0x0004
	mozillaExpunged  = 0x0008
	mozillaForwarded = 0x1000
)

// mozilla reads X-Mozilla-Status: Thunderbird's flags in four hexadecimal digits.
func (n *noted) mozilla(value string) {
	bits, err := strconv.ParseUint(value, 16, 16)
	if err != nil {
		return
	}
	for bit, flag := range map[uint64]goimap.Flag{
		mozillaRead: goimap.FlagSeen, mozillaReplied: goimap.FlagAnswered,
		mozillaMarked: goimap.FlagFlagged, mozillaForwarded: goimap.FlagForwarded,
	} {
		if bits&bit != 0 {
			n.add(flag)
		}
	}
	n.gone = n.gone || bits&mozillaExpunged != 0
}

// gmail reads X-Gmail-Labels as Google Takeout writes it: names between commas, those
// with a comma in quotes, the whole as encoded words where it is not ASCII.
func (n *noted) gmail(value string) {
	n.labelled = true
	if decoded, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
		value = decoded
	}
	var label strings.Builder
	quoted := false
	end := func() {
		if l := strings.TrimSpace(label.String()); l != "" {
			n.labels = append(n.labels, l)
		}
		label.Reset()
	}
	for _, r := range value {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			end()
		default:
			label.WriteRune(r)
		}
	}
	end()
}

// folders makes of Gmail's labels the folders that the message is in; labels that are
// state become flags.
func (n *noted) folders() []string {
	var list []string
	unread := false
	for _, l := range n.labels {
		switch keyword, imap := strings.CutPrefix(l, "IMAP_"); {
		case l == "Unread":
			unread = true
		case l == "Starred":
			n.add(goimap.FlagFlagged)
		case l == "Important":
			n.add(goimap.FlagImportant)
		case imap && isKeyword(keyword):
			n.add(goimap.Flag(keyword))
		case l == "Archived", l == "Opened", l == "Muted", strings.HasPrefix(l, "Category "):
		case len(list) < maxFolders:
			list = append(list, l)
		}
	}
	if !unread {
		n.add(goimap.FlagSeen)
	}
	if len(list) == 0 {
		return []string{"Archive"}
	}
	return list
}
