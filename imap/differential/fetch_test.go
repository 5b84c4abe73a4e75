package differential

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fetchItems are asked of all messages.
var fetchItems = []string{
	"FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE",
	"BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] RFC822.HEADER",
	"BODY.PEEK[]<0.100> BODY.PEEK[]<100.1000000> BODY.PEEK[]<100000000.5> BODY.PEEK[TEXT]<5.7> BODY.PEEK[HEADER]<10.30> BODY.PEEK[TEXT]<0.1>",
	"BODY.PEEK[HEADER.FIELDS (From To Subject Date Message-ID X-Folded X-None)]",
	"BODY.PEEK[HEADER.FIELDS.NOT (Received From X-Eight X-None)]",
	"BODY.PEEK[HEADER.FIELDS (X-None)] BODY.PEEK[HEADER.FIELDS (subject)]<3.10>",
	"BODY.PEEK[1] BODY.PEEK[1]<1.5> BODY.PEEK[1.MIME] BODY.PEEK[2] BODY.PEEK[1.1] BODY.PEEK[99]",
}

// fetchWindow is how many messages one FETCH asks for.
const fetchWindow = 100

// pair are the two servers, with the same mailbox selected.
type pair struct {
	ours, theirs *client
	letters      []*letter // UID 1, 2, 3 …
	structures   [][2]value
}

// fetchBoth says a UID FETCH to both and returns what they say by UID, and their replies.
func (p *pair) fetchBoth(arguments string) (ours, theirs map[string]fetched, replies [2]string) {
	said := [2]map[string]fetched{{}, {}}
	for i, c := range []*client{p.ours, p.theirs} {
		replies[i] = c.command("UID FETCH "+arguments, func(response []byte) {
			if uid, items, ok := parseFetched(response); ok {
				said[i][uid] = items
			}
		})
	}
	return said[0], said[1], replies
}

// fetchAll compares what both say about all messages, and keeps their structures.
func (p *pair) fetchAll() (found []difference) {
	p.structures = make([][2]value, len(p.letters))
	for from := 1; from <= len(p.letters); from += fetchWindow {
		for _, items := range fetchItems {
			to := min(from+fetchWindow-1, len(p.letters))
			ours, theirs, replies := p.fetchBoth(fmt.Sprintf("%d:%d (%s)", from, to, items))
			if word(replies[0]) != word(replies[1]) {
				found = append(found, difference{where: "reply to " + items, ours: replies[0], theirs: replies[1]})
			}
			for i := from; i <= to; i++ {
				uid := strconv.Itoa(i)
				found = append(found, compareItems(p.letters[i-1], ours[uid], theirs[uid])...)
				if s, ok := ours[uid]["BODYSTRUCTURE"]; ok {
					p.structures[i-1] = [2]value{s, theirs[uid]["BODYSTRUCTURE"]}
				}
			}
		}
	}
	return found
}

// word is the first word of a reply: OK, NO or BAD.
func word(reply string) string {
	first, _, _ := strings.Cut(reply, " ")
	return first
}

// fetchSections compares the sections of all parts that one of the servers sees.
func (p *pair) fetchSections() (found []difference) {
	for i, m := range p.letters {
		parts := partPaths(p.structures[i][0], "", nil)
		for _, part := range partPaths(p.structures[i][1], "", nil) {
			if !slices.ContainsFunc(parts, func(q partPath) bool { return q.path == part.path }) {
				parts = append(parts, part)
			}
		}
		uid := strconv.Itoa(i + 1)
		whole := true
		for some := range slices.Chunk(parts, 8) { // a command may have 64 items
			ours, different := p.fetchBothOf(m, uid, "sections", sectionItems(some))
			found = append(found, different...)
			whole = whole && !slices.ContainsFunc(some, func(part partPath) bool { return part.isCutOff(ours) })
		}
		for _, part := range parts {
			// What BINARY makes of parts that have parts is nowhere said, and Dovecot ends a
			// session at base64 that is cut off, in whatever part of a message.
			if whole && part.encoding != "" {
				items := fmt.Sprintf("BINARY.PEEK[%[1]s] BINARY.SIZE[%[1]s]", part.path)
				ours, different := p.fetchBothOf(m, uid, "BINARY "+part.encoding, items)
				size := strconv.Itoa(len(ours["BINARY["+part.path+"]"].text))
				for i := range different {
					if d := &different[i]; strings.HasPrefix(d.where, "BINARY.SIZE") && d.ours == size {
						d.where += ", the octets of BINARY"
					}
				}
				found = append(found, different...)
			}
		}
	}
	return found
}

// isCutOff reports whether a part says that it is base64, and is not.
func (p *partPath) isCutOff(said fetched) bool {
	if p.encoding != "base64" {
		return false
	}
	_, err := base64.StdEncoding.DecodeString(said["BODY["+p.path+"]"].text)
	return err != nil
}

func sectionItems(parts []partPath) string {
	var items []string
	for _, part := range parts {
		items = append(items, fmt.Sprintf("BODY.PEEK[%[1]s] BODY.PEEK[%[1]s.MIME] BODY.PEEK[%[1]s]<3.9>", part.path))
		if part.message {
			items = append(items, fmt.Sprintf("BODY.PEEK[%[1]s.HEADER] BODY.PEEK[%[1]s.TEXT] BODY.PEEK[%[1]s.HEADER.FIELDS (Subject To)] BODY.PEEK[%[1]s.HEADER.FIELDS.NOT (From)]", part.path))
		}
	}
	return strings.Join(items, " ")
}

// fetchBothOf compares what both say about one message.
func (p *pair) fetchBothOf(m *letter, uid, what, items string) (said fetched, found []difference) {
	ours, theirs, replies := p.fetchBoth(uid + " (" + items + ")")
	if word(replies[0]) != word(replies[1]) {
		return ours[uid], []difference{{where: "reply to " + what, letter: m, ours: replies[0], theirs: replies[1]}}
	}
	return ours[uid], compareItems(m, ours[uid], theirs[uid])
}
