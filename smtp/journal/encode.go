package journal

import (
	"encoding/json"
	"strconv"
	"time"
)

// appendLine writes an event as a line. It is written out, as encoding/json would take
// most of the time of taking a step down: TestEncode holds both together.
func appendLine(b []byte, e *Event) []byte {
	e.bound()
	b = append(b, `{"at":`...)
	b = appendTime(b, e.At)
	b = appendText(b, "step", string(e.Step))
	b = appendText(b, "id", e.ID)
	b = appendText(b, "message_id", e.MessageID)
	b = appendText(b, "queue", e.Queue)
	b = appendText(b, "peer", e.Peer)
	b = appendText(b, "helo", e.Helo)
	b = appendText(b, "user", e.User)
	b = appendText(b, "from", e.From)
	b = appendTexts(b, "to", e.To)
	b = appendNumber(b, "size", e.Size)
	b = appendText(b, "command", e.Command)
	b = appendTexts(b, "found", e.Found)
	b = appendText(b, "verdict", e.Verdict)
	b = appendText(b, "rule", e.Rule)
	b = appendTexts(b, "reasons", e.Reasons)
	b = appendText(b, "mailbox", e.Mailbox)
	b = appendNumber(b, "attempt", int64(e.Attempt))
	b = appendText(b, "host", e.Host)
	if e.TLS {
		b = append(appendKey(b, "tls"), "true"...)
	}
	b = appendText(b, "reply", e.Reply)
	if !e.Next.IsZero() {
		b = appendTime(appendKey(b, "next"), e.Next)
	}
	b = appendNumber(b, "count", int64(e.Count))
	b = appendTexts(b, "said", e.Said)
	return append(b, "}\n"...)
}

func appendKey(b []byte, key string) []byte {
	return append(append(append(b, `,"`...), key...), `":`...)
}

// appendTime writes a time; one that no calendar of ours has, from a clock gone mad,
// as the last that it has.
func appendTime(b []byte, t time.Time) []byte {
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendText(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(appendKey(b, key), s)
}

func appendTexts(b []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(appendKey(b, key), '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func appendNumber(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), n, 10)
}

// appendString writes a string; what is not plain ASCII is left to encoding/json.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				quoted = []byte(`""`) // strings always can be
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
