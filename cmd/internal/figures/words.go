package figures

import (
	"strconv"
	"time"
)

// number is n with commas between thousands.
func number[N int | int64 | uint64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// spanUnits are what a span is told in, the largest first.
var spanUnits = []struct {
	name string
	of   time.Duration
}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}

// span is a time in whole units of the largest that fits, and those of the next one below three of it.
func span(d time.Duration) string {
	d = max(d, 0)
	for i, u := range spanUnits {
		n := d / u.of
		if n == 0 && u.of > time.Second {
			continue
		}
		text := units(int64(n), u.name)
		if i+1 < len(spanUnits) && n < 3 {
			if rest := (d % u.of) / spanUnits[i+1].of; rest > 0 {
				text += " " + units(int64(rest), spanUnits[i+1].name)
			}
		}
		return text
	}
	return ""
}

// units is so many of something, in words.
func units(n int64, name string) string {
	if n != 1 {
		name += "s"
	}
	return number(n) + " " + name
}
