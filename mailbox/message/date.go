package message

import (
	"bytes"
	"time"
)

// maxDate bounds the octets of a date that are read; comments included, dates have about 40.
const maxDate = 200

// ParseDate reads the value of a Date field (RFC 5322 section 3.3) with its obsolete forms (section 4.3: two-digit
// years, zone names, comments anywhere) and what broken programs write: no seconds, no zone (taken as UTC), no day of
// the week or a wrong one, full month names, "2006-01-02 15:04:05", asctime. The time has a fixed zone with the offset
// that the field names; ok is false if there is no date in it.
func ParseDate(value []byte) (t time.Time, ok bool) {
	d, ok := parseDate(value)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(d.unix, 0).In(time.FixedZone("", d.offset)), true
}

// date is a moment and the offset of its zone in seconds east of UTC.
type date struct {
	unix   int64
	offset int
}

// dateParts collects what the words of a date say.
type dateParts struct {
	year, month, day  int
	hour, minute, sec int
	offset            int
	haveTime, haveDay bool
	haveZone          bool
}

func parseDate(value []byte) (date, bool) {
	var buf [maxDate]byte
	rest := plainDate(buf[:0], value[:min(len(value), maxDate)])
	p := dateParts{year: -1}
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, ' ')
		if end < 0 {
			end = len(rest)
		}
		if end > 0 {
			p.take(rest[:end])
		}
		rest = rest[min(end+1, len(rest)):]
	}
	return p.date()
}

// plainDate appends a date without comments and commas, with spaces for other white space, and none around colons
// (RFC 5322 appendix A.6.3 shows why).
func plainDate(dst, value []byte) []byte {
	depth := 0
	for _, c := range value {
		switch {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0:
		case isSpace(c) || c == ',':
			if n := len(dst); n > 0 && dst[n-1] != ':' && dst[n-1] != ' ' {
				dst = append(dst, ' ')
			}
		case c == ':':
			dst = append(bytes.TrimRight(dst, " "), c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func (p *dateParts) take(w []byte) {
	switch {
	case !p.haveTime && bytes.IndexByte(w, ':') > 0:
		p.takeTime(w)
	case w[0] == '+' || w[0] == '-':
		p.takeOffset(w)
	case isDigit(w[0]):
		p.takeDigits(w)
	default:
		p.takeName(w)
	}
}

// takeTime reads "15:04", "15:04:05", with a fraction, or with the zone or an AM/PM that hangs on it.
func (p *dateParts) takeTime(w []byte) {
	if t := bytes.IndexByte(w, 'T'); t >= 8 { // ISO 8601: 2006-01-02T15:04:05Z
		p.takeDigits(w[:t])
		w = w[t+1:]
	}
	hour, rest, ok := leadingNumber(w)
	if !ok || len(rest) == 0 || rest[0] != ':' {
		return
	}
	minute, rest, ok := leadingNumber(rest[1:])
	if !ok {
		return
	}
	sec := 0
	if len(rest) > 1 && rest[0] == ':' {
		sec, rest, _ = leadingNumber(rest[1:])
	}
	if len(rest) > 1 && rest[0] == '.' {
		_, rest, _ = leadingNumber(rest[1:])
	}
	p.hour, p.minute, p.sec, p.haveTime = hour, minute, sec, true
	if len(rest) > 0 {
		p.take(rest)
	}
}

// takeDigits reads a day, a year, or both with a month between them: "02-Jan-2006", "2006-01-02".
func (p *dateParts) takeDigits(w []byte) {
	n, rest, ok := leadingNumber(w)
	if !ok {
		return
	}
	digits := len(w) - len(rest)
	if len(rest) > 1 && (rest[0] == '-' || rest[0] == '/') {
		p.takeJoined(n, digits, rest)
		return
	}
	switch {
	case !p.haveDay && digits <= 2:
		p.day, p.haveDay = n, true
	case p.year < 0 && digits >= 2:
		p.year = fullYear(n, digits)
	}
}

func (p *dateParts) takeJoined(n, digits int, rest []byte) {
	middle, last, found := bytes.Cut(rest[1:], rest[:1])
	if !found {
		return
	}
	if m := monthOf(middle); m > 0 {
		p.month = m
	} else if m, _, ok := leadingNumber(middle); ok {
		p.month = m
	}
	end, tail, ok := leadingNumber(last)
	if !ok {
		return
	}
	if digits == 4 {
		p.year, p.day, p.haveDay = n, end, true
		return
	}
	p.day, p.haveDay, p.year = n, true, fullYear(end, len(last)-len(tail))
}

// fullYear completes short years as RFC 5322 section 4.3 says.
func fullYear(n, digits int) int {
	switch {
	case digits == 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

func (p *dateParts) takeOffset(w []byte) {
	if p.haveZone || len(w) < 3 {
		return
	}
	n, rest, ok := leadingNumber(w[1:])
	switch digits := len(w) - 1 - len(rest); {
	case !ok || digits > 4:
		return
	case digits <= 2:
		minutes := 0
		if len(rest) > 1 && rest[0] == ':' { // "+02:00"
			minutes, rest, _ = leadingNumber(rest[1:])
		}
		n = n*100 + minutes
	}
	if len(rest) > 0 {
		return
	}
	if n%100 > 59 || n > 2400 {
		return
	}
	p.offset, p.haveZone = (n/100*60+n%100)*60, true
	if w[0] == '-' {
		p.offset = -p.offset
	}
}

// takeName reads a month, a zone or AM/PM. Names of days say nothing that the date does not.
func (p *dateParts) takeName(w []byte) {
	if m := monthOf(w); m > 0 && p.month == 0 {
		p.month = m
		return
	}
	var name [8]byte
	for i, c := range w[:min(len(w), len(name))] {
		name[i] = upperASCII(c)
	}
	upper := name[:min(len(w), len(name))]
	switch string(upper) {
	case "PM":
		if p.hour < 12 {
			p.hour += 12
		}
		return
	case "AM":
		p.hour %= 12
		return
	}
	if i := bytes.IndexAny(w, "+-"); i > 0 { // GMT+0200
		p.takeOffset(w[i:])
		return
	}
	if hours, known := zoneHours[string(upper)]; known && !p.haveZone {
		p.offset, p.haveZone = hours*3600, true
	}
}

// zoneHours are the zone names of RFC 5322 section 4.3 and the unambiguous ones of Europe. Single letters were defined
// wrongly in RFC 822 and mean UTC.
var zoneHours = map[string]int{
	"UT": 0, "GMT": 0, "UTC": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
	"PDT": -7, "WET": 0, "WEST": 1, "CET": 1, "MEZ": 1, "CEST": 2, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9,
}

const monthNames = "janfebmaraprmayjunjulaugsepoctnovdec"

// monthOf returns the month that a name begins with, or 0.
func monthOf(w []byte) int {
	if len(w) < 3 {
		return 0
	}
	for m := range 12 {
		if equalFoldASCII(w[:3], monthNames[3*m:3*m+3]) {
			return m + 1
		}
	}
	return 0
}

func (p *dateParts) date() (date, bool) {
	if !p.haveDay || p.month < 1 || p.month > 12 || p.year < 1900 || p.year > 9999 {
		return date{}, false
	}
	if day := time.Date(p.year, time.Month(p.month), p.day, 0, 0, 0, 0, time.UTC); day.Day() != p.day {
		return date{}, false // a month has as many days as it has (RFC 5322 section 3.3)
	}
	if p.hour > 23 || p.minute > 59 || p.sec > 60 { // 60: a leap second
		return date{}, false
	}
	t := time.Date(p.year, time.Month(p.month), p.day, p.hour, p.minute, p.sec, 0, time.UTC)
	return date{unix: t.Unix() - int64(p.offset), offset: p.offset}, true
}

// leadingNumber reads up to nine digits.
func leadingNumber(b []byte) (n int, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < 9 && isDigit(b[i]) {
		n = 10*n + int(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
