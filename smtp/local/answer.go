package local

import (
	"bytes"
	"slices"
	"strings"

	"mailstead/mailbox/directory"
	"mailstead/mailbox/message"
)

// maxAnsweredHeader bounds what is read of a header to decide on an automatic reply, in octets. One that is
// longer is not written by hand.
const maxAnsweredHeader = 64 << 10

// Why there is no automatic reply.
const (
	toNobody     = "it has no sender"
	toProgram    = "its sender is a program"
	toOneself    = "its sender is the recipient"
	toAutomatic  = "it was sent by a program"
	toList       = "it came by a list"
	toBulk       = "it is bulk mail"
	toUnwanted   = "it asks for no automatic reply"
	toJunk       = "it is junk"
	notAddressed = "it is not addressed to the recipient"
	toLong       = "its header is too long"
)

// answerTo decides whether a message is answered automatically (RFC 3834 section 2, RFC 5230 sections 4.5 and 4.6):
// by the address that it was sent to, or why not. from is the reverse-path.
func answerTo(from string, header []byte, away directory.Away) (by, why string) {
	switch local, _, ok := cutAddress(from); {
	case !ok:
		return "", toNobody
	case isProgram(local):
		return "", toProgram
	case len(header) >= maxAnsweredHeader:
		return "", toLong
	}
	if slices.ContainsFunc(away.Own, func(own string) bool { return directory.SameAddress(from, own) }) {
		return "", toOneself
	}
	for f := range message.Fields(header) {
		if why := refrains(strings.ToLower(string(f.Name)), f.Value); why != "" {
			return "", why
		}
	}
	return addressed(header, away)
}

func cutAddress(address string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	if at <= 0 {
		return "", "", false
	}
	return strings.ToLower(address[:at]), address[at+1:], true
}

// Senders that nobody reads (RFC 5230 section 4.6, RFC 2142): names, and what begins or ends others.
var (
	programNames   = []string{"mailer-daemon", "postmaster", "listserv", "majordomo", "nobody", "news", "uucp", "root", "daemon", "owner"}
	programStarts  = []string{"owner-", "noreply", "no-reply", "no_reply", "no.reply", "donotreply", "do-not-reply", "do_not_reply", "bounce-", "bounce+", "bounces-", "bounces+", "mailer-daemon"}
	programEndings = []string{"-owner", "-request", "-bounces", "-bounce", "-relay", "-noreply", "-no-reply", "+noreply", "-errors"}
)

// isProgram reports whether the local part of a sender, in lower case, is that of no person. In a return address of
// mail that was handed on, the sender's stands at the end.
func isProgram(local string) bool {
	local = strings.Trim(local, `"`)
	if strings.HasPrefix(local, "srs0") || strings.HasPrefix(local, "srs1") {
		local = local[strings.LastIndexByte(local, '=')+1:]
	}
	return slices.Contains(programNames, local) || local == "bounce" || local == "bounces" ||
		slices.ContainsFunc(programStarts, func(s string) bool { return strings.HasPrefix(local, s) }) ||
		slices.ContainsFunc(programEndings, func(s string) bool { return strings.HasSuffix(local, s) })
}

// refrains says why a message with this field is not answered; "" where the field says nothing.
func refrains(name string, value []byte) string {
	word := firstWord(value)
	switch {
	case strings.HasPrefix(name, "list-"): // RFC 2369, RFC 2919
		return toList
	case name == "auto-submitted" && word != "no": // RFC 3834 section 5
		return toAutomatic
	case name == "precedence" && slices.Contains([]string{"bulk", "list", "junk", "auto_reply"}, word):
		return toBulk
	case name == "x-auto-response-suppress" && suppresses(value), name == "x-autoreply" && word != "no", name == "x-autorespond":
		return toUnwanted
	case name == "content-type" && word == "multipart/report": // of a notice, or a receipt
		return toAutomatic
	case name == "x-junk", name == "x-spam-flag" && word == "yes":
		return toJunk
	}
	return ""
}

// firstWord is what stands in front of a comment or a parameter, in lower case.
func firstWord(value []byte) string {
	word := strings.TrimSpace(strings.ToLower(string(value)))
	if end := strings.IndexAny(word, " \t\r\n;("); end >= 0 {
		word = word[:end]
	}
	return word
}

// suppresses reports whether the field with which Exchange asks for silence means replies of this kind.
func suppresses(value []byte) bool {
	for word := range bytes.SplitSeq(bytes.ToLower(value), []byte(",")) {
		switch string(bytes.TrimSpace(word)) {
		case "all", "oof", "autoreply":
			return true
		}
	}
	return false
}

// addressed finds the owner's address among the recipients in the header (RFC 5230 section 4.5): who is not named there had
// the message by a list or a hidden copy. The address is one of the account: of further ones the account's name speaks.
func addressed(header []byte, away directory.Away) (by, why string) {
	further := false
	for f := range message.Fields(header) {
		switch strings.ToLower(string(f.Name)) {
		case "to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc":
		default:
			continue
		}
		for _, a := range message.ParseAddressList(f.Value) {
			if a.Kind != message.Mailbox || a.Domain == "" {
				continue
			}
			is := func(own string) bool { return directory.SameAddress(a.Local+"@"+a.Domain, own) }
			if i := slices.IndexFunc(away.Own, is); i >= 0 {
				return away.Own[i], ""
			}
			further = further || slices.ContainsFunc(away.Addresses, is)
		}
	}
	if further {
		return away.Own[0], ""
	}
	return "", notAddressed
}
