package wire

import (
	"time"
)

// DateTimeLayout is the form of date-time in RFC 3501 section 9, for AppendFormat.
const DateTimeLayout = `"_2-Jan-2006 15:04:05 -0700"`

// DateTime expects a quoted date-time, as APPEND has it.
func (d *Decoder) DateTime() time.Time {
	if d.Peek() != '"' {
		d.expected("a date and time")
		return time.Time{}
	}
	s := d.quoted()
	if d.err != nil {
		return time.Time{}
	}
	for _, layout := range []string{"_2-Jan-2006 15:04:05 -0700", "2-Jan-2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	d.Fail("malformed date and time %s", quoteStart([]byte(s)))
	return time.Time{}
}

// Date expects a date, quoted or not, as SEARCH has it: the start of that day in
// UTC, which stands for no zone here (RFC 3501 section 6.4.4: disregarding time and
// timezone).
func (d *Decoder) Date() time.Time {
	var s string
	if d.Peek() == '"' {
		s = d.quoted()
	} else {
		s = string(d.take(atomChar, "a date"))
	}
	if d.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006", s)
	if err != nil {
		d.Fail("malformed date %s", quoteStart([]byte(s)))
	}
	return t
}
