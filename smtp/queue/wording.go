package queue

import "strings"

// subject begins with the news, as a list of messages may show no more of it.
func (n *notice) subject() string {
	start, alone := "Not delivered: ", "Your message was not delivered"
	switch n.news {
	case ActionDelayed:
		start, alone = "Delayed: ", "Your message is delayed"
	case ActionDelivered:
		start, alone = "Delivered: ", "Your message was delivered"
	}
	if s := n.theirSubject(); s != "" {
		return start + s
	}
	return alone
}

// text is for people: what happened, to whom, and what can be done.
func (n *notice) text() string {
	var b strings.Builder
	b.WriteString("This is the mail server " + n.hostname + ".\r\n\r\n")
	wrap(&b, "", n.opening())
	for i := range n.recipients {
		n.recipients[i].tell(&b, n.news)
	}
	b.WriteString("\r\nThe message:\r\n")
	b.WriteString("  Received: " + n.received.Format(dateFormat) + "\r\n")
	if n.kind == toPostmaster {
		b.WriteString("  Sender:   <" + cleanAddress(n.from) + ">\r\n")
	}
	if s := n.theirSubject(); s != "" {
		b.WriteString("  Subject:  " + s + "\r\n")
	}
	b.WriteString("\r\n")
	wrap(&b, "", n.closing())
	return b.String()
}

// tell says of one recipient what happened, why, in whose words, and what can be done.
func (r *recipient) tell(b *strings.Builder, news Action) {
	const indent = "      "
	b.WriteString("\r\n  " + cleanAddress(r.Address) + "\r\n")
	switch news {
	case ActionDelivered:
		wrap(b, indent, r.success())
		return
	case ActionDelayed:
		wrap(b, indent, later(r.Last))
	default:
		wrap(b, indent, explain(r.Last))
	}
	if r.Last.Text != "" {
		wrap(b, indent, saying(r.Last))
	}
}

// success says what good has become of a recipient.
func (r *recipient) success() string {
	switch {
	case r.Done == ActionExpanded:
		return "This address stands for several. The message is on its way to all of them; you hear of each that fails."
	case r.Done == ActionRelayed && r.Last != nil && r.Last.Host != "":
		return "The message was handed to " + r.Last.Host + ", which does not report what becomes of it."
	case r.Done == ActionRelayed:
		return "The message was handed on to a server that does not report what becomes of it."
	}
	return "The message is in the mailbox. Whether it was read is not known."
}

func (n *notice) opening() string {
	whom := "to the following address."
	if len(n.recipients) > 1 {
		whom = "to the following addresses."
	}
	switch {
	case n.news == ActionDelivered:
		return "You asked to be told: your message was delivered " + whom
	case n.news == ActionDelayed:
		return "Your message could not be delivered yet " + whom + " You need not do anything, and should not send it again: it will be tried again and again until " +
			n.retryUntil.Format(dayFormat) + ". You will hear of it if that is in vain."
	case n.kind == toSender:
		return "Your message could not be delivered " + whom + " It will not be tried again."
	case n.about == toSender:
		return "A notice about a message that failed could not be delivered " + whom + " It will not be tried again."
	}
	return "A message from outside could not be passed on " + whom +
		" It will not be tried again. Its sender was not told, since the sender's address may be forged."
}

// dayFormat is a moment as people read it.
const dayFormat = "Monday, 2 January 2006, 15:04 -0700"

func (n *notice) closing() string {
	switch {
	case n.whole && n.kind == toSender:
		return "Attached are the technical details and your message."
	case n.whole:
		return "The whole message is attached. Nobody else has it any more: please decide what is to become of it."
	case n.header == nil:
		return "Nothing of the message could be attached."
	case n.kind == toSender:
		return "Attached are the technical details and the header of your message, without its text."
	}
	return "Attached are the technical details and the header of the message; it was too big to be attached whole."
}

// wording is what a status says in plain words, and what its reader can do.
type wording struct{ happened, advice string }

// wordings are those of the codes of RFC 3463, by subject and detail; a subject alone
// is for what has no words of its own.
var wordings = map[string]wording{
	"1.1":  {"There is no mailbox of this name.", "Please check how the address is spelt."},
	"1.2":  {"The domain behind the @ does not exist or takes no mail.", "Please check how it is spelt."},
	"1.3":  {"This is not a mail address that can be used.", "Please check how it is spelt."},
	"1.4":  {"This address could mean more than one mailbox.", "Please ask the recipient for another one."},
	"1.6":  {"The mailbox has moved and left no new address.", "Please ask the recipient for it in another way."},
	"1.7":  {"The recipient's server cannot use the address that the message is from.", "Please check the settings of your mail program."},
	"1.8":  {"The recipient's server cannot find the domain that the message is from.", "Please tell the postmaster of this server."},
	"1.10": {"The domain behind the @ says that it takes no mail.", "Please check how it is spelt, or ask the recipient for another address."},
	"2":    {"The recipient's mailbox could not take the message.", "Please tell the recipient in another way."},
	"2.1":  {"The mailbox is closed.", "Please tell the recipient in another way."},
	"2.2":  {"The mailbox is full.", "Please tell the recipient in another way, or try again later."},
	"2.3":  {"The message is too big for this mailbox.", "Please send less, or put large files where the recipient can fetch them."},
	"2.4":  {"The list behind this address could not pass the message on.", "Please tell those who run the list."},
	"3":    {"The recipient's server had trouble of its own.", "Please try again later."},
	"3.1":  {"The recipient's server has no room for more mail.", "Please try again later."},
	"3.2":  {"The recipient's server takes no mail now.", "Please try again later."},
	"3.4":  {"The message is too big for the recipient's server.", "Please send less, or put large files where the recipient can fetch them."},
	"4":    {"The way to the recipient's server is disturbed.", "Please try again later."},
	"4.1":  {"The recipient's server did not answer.", "Please try again later, or tell the recipient in another way."},
	"4.2":  {"The connection with the recipient's server was lost each time.", "Please try again later."},
	"4.3":  {"The recipient's server could not be found.", "Please check how the domain behind the @ is spelt, or try again later."},
	"4.4":  {"The recipient's server could not be found.", "Please check how the domain behind the @ is spelt."},
	"4.6":  {"The message would go round in circles.", "Please tell the postmaster of this server."},
	"4.7":  {"There was not enough time.", "Please try again later."},
	"5.3":  {"The message has too many recipients for the recipient's server.", "Please send it to fewer at a time."},
	"6":    {"The recipient's server cannot handle what the message contains.", "Please send it in another form."},
	"6.7":  {"The recipient's server does not know addresses with letters beyond ASCII.", "Please write from or to an address without them."},
	"6.9":  {"The recipient's server does not know headers with letters beyond ASCII.", "Please write from or to an address without them."},
	"7":    {"The recipient's server refused the message by its rules.", "What it said may tell you more."},
	"7.1":  {"The recipient's server does not take this message from you.", "What it said may tell you more; the recipient may have to let you in."},
	"7.2":  {"You may not write to this list.", "Please ask those who run it."},
	"7.5":  {"A secure connection between the mail servers was demanded, and could not be made.", "Please tell the recipient in another way; their postmaster can mend it."},
	"7.10": {"A secure connection between the mail servers was demanded, and could not be made.", "Please tell the recipient in another way; their postmaster can mend it."},
	"7.20": {"The recipient's server wants mail to be signed (DKIM), and found no signature that holds.", "Please tell the postmaster of this server."},
	"7.23": {"The recipient's server found that this server may not send for your domain (SPF).", "Please tell the postmaster of this server."},
	"7.25": {"The recipient's server found no name for this server's address (reverse DNS).", "Please tell the postmaster of this server."},
	"7.26": {"The recipient's server could not make sure that the message is from your domain (SPF, DKIM, DMARC).", "Please tell the postmaster of this server."},
	"7.30": {"You demanded that the message goes over secure connections only, and the recipient's server does not promise that.", "Please send it without that demand, or tell the recipient in another way."},
}

// words are those of a status code; of its subject, where the code has none.
func words(enhanced string) wording {
	_, code, _ := strings.Cut(enhanced, ".")
	if w, ok := wordings[code]; ok {
		return w
	}
	subject, _, _ := strings.Cut(code, ".")
	return wordings[subject]
}

// explain says in plain words why a recipient failed, or has not got the message yet, and what can be done.
func explain(f *failure) string {
	w := words(f.Enhanced)
	switch {
	case w.happened == "" && f.Code == 0:
		w.happened = "The message could not be sent."
	case w.happened == "":
		w.happened = "The recipient's server refused the message."
	case f.Code == 0 && strings.HasPrefix(f.Enhanced[1:], ".3.0"):
		w.happened = "The message could not be sent."
	}
	if f.Expired {
		w.happened += " It was tried again and again, for too long now."
	}
	return strings.TrimSpace(w.happened + " " + w.advice)
}

// later explains a delay: nothing has to be done about one.
func later(f *failure) string {
	if strings.HasSuffix(f.Enhanced, ".2.1") { // what a closed mailbox has for good is most often a limit for now
		return "The recipient's server takes no mail for this mailbox now."
	}
	if w := words(f.Enhanced); w.happened != "" {
		return w.happened
	}
	return "The recipient's server does not take the message now."
}

// saying quotes who refused.
func saying(f *failure) string {
	if f.Host == "" {
		return "Details: " + f.reply()
	}
	return f.String()
}
