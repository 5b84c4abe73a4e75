package transfer

import (
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/client"
	"mailstead/imap/wire"
)

// Gmail shows a message in a mailbox for each of its labels, and in one of all mail. With
// its extension (X-GM-EXT-1) it tells the labels of each message, so that it is fetched
// once, from there, and comes into a mailbox for each label. Junk and trash are not in all
// mail, and are fetched on their own. What has no label is what Gmail calls archived.

// labelSeparator is in no label: control characters are not allowed there.
const labelSeparator = "\x00"

func joinLabels(labels []string) string {
	list := slices.Clone(labels)
	slices.Sort(list)
	return strings.Join(list, labelSeparator)
}

// isGmailSource says whether a mailbox is one that messages are fetched from.
func isGmailSource(m *client.Mailbox) bool {
	return m.Has(goimap.MailboxAttrAll) || m.Has(goimap.MailboxAttrJunk) || m.Has(goimap.MailboxAttrTrash)
}

func (p *pulling) isSource(box *pulledBox) bool {
	return !p.gmail || isGmailSource(&box.Mailbox) && (box.Has(goimap.MailboxAttrAll) || p.isChosen(box.Name))
}

// gmailLabels are the labels of Gmail's own that are mailboxes, by the mark of these.
var gmailLabels = map[string]goimap.MailboxAttr{
	`\sent`: goimap.MailboxAttrSent, `\draft`: goimap.MailboxAttrDrafts, `\drafts`: goimap.MailboxAttrDrafts,
	`\junk`: goimap.MailboxAttrJunk, `\spam`: goimap.MailboxAttrJunk, `\trash`: goimap.MailboxAttrTrash,
}

// noteUse remembers which mailbox a label of Gmail's own means.
func (p *pulling) noteUse(m *client.Mailbox) {
	for label, use := range gmailLabels {
		if m.Has(use) {
			p.rename[label] = m.Name
		}
	}
}

// labelled are the folders of a message: those of its labels that are wanted. Of the label
// for starred mail the flag tells already, and importance is a guess of Gmail's.
func (p *pulling) labelled(box *pulledBox, labels []string) []string {
	if !box.Has(goimap.MailboxAttrAll) {
		return []string{box.Name}
	}
	var list []string
	some := false
	for _, label := range labels {
		name := p.labelName(label)
		if name == "" {
			continue
		}
		some = true
		if p.isChosen(name) && !slices.Contains(list, name) && len(list) < maxFolders {
			list = append(list, name)
		}
	}
	if !some && p.isChosen(box.Name) {
		list = append(list, box.Name)
	}
	return list
}

// labelName is the folder of a label, "" for none.
func (p *pulling) labelName(label string) string {
	lower := strings.ToLower(label)
	switch {
	case lower == `\inbox`:
		return inbox
	case strings.HasPrefix(lower, `\`):
		return p.rename[lower]
	case label == "":
		return ""
	}
	if decoded, err := wire.DecodeUTF7(label); err == nil {
		label = decoded
	}
	return folderName(label)
}

// wantsLabels says whether a message goes anywhere.
func (p *pulling) wantsLabels(box *pulledBox, labels []string) bool {
	return len(p.labelled(box, labels)) > 0
}
