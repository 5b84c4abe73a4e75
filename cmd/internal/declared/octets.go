package declared

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// prefixes of octets, a thousand times more each.
var prefixes = []string{"", "k", "M", "G", "T", "P"}

// ParseOctets reads a number of octets as people write it: digits, and a prefix with or without a B, as in 500MB; 0 and more.
func ParseOctets(text string) (int64, error) {
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	prefix := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text[len(digits):])), "b")
	n, err := strconv.ParseInt(digits, 10, 64)
	power := 0
	for power < len(prefixes) && strings.ToLower(prefixes[power]) != prefix {
		power++
	}
	if err != nil || n < 0 || power == len(prefixes) {
		return 0, fmt.Errorf("%.40q is no size like 500MB or 5GB", text)
	}
	for range power {
		if n > math.MaxInt64/1000 {
			return 0, fmt.Errorf("%.40q is too large", text)
		}
		n *= 1000
	}
	return n, nil
}

// octets writes a number of octets so that ParseOctets reads it again, none as people say it.
func octets(n int64) string {
	if n == 0 {
		return none
	}
	power := 0
	for ; n%1000 == 0 && power < len(prefixes)-1; power++ {
		n /= 1000
	}
	return fmt.Sprintf("%d%sB", n, prefixes[power])
}

// none is a quota that is no limit.
const none = "none"
