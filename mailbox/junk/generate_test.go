package junk

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// vocabulary are the words of generated letters: what both kinds use, and what mostly one does.
var vocabulary = struct{ both, good, junk []string }{
	both: strings.Fields(`the and of to in is you that it he was for on are with as his they at be this have from or one had by
		word but not what all were we when your can said there use an each which she do how their if will up other about out
		many then them these so some her would make like him into time has look two more write go see number no way could`),
	good: strings.Fields(`meeting draft minutes garden supper compiler patch kernel review train children school recipe bicycle
		holiday grandmother library branch commit thesis chapter rehearsal violin choir repair invoice tomatoes ladder paint`),
	junk: strings.Fields(`pills replica watches winner prize discount luxury rolex pharmacy prescription bonus casino jackpot
		investment profit guarantee cheap degree diploma enlarge miracle slim inkjet cartridges refinance lender approved`),
}

// generate writes a letter of a class.
func generate(rng *rand.Rand, class Class) []byte {
	own, from, host := vocabulary.good, "neighbour", "village.example"
	if class == Junk {
		own, from, host = vocabulary.junk, "offers", "bargain.example"
	}
	var text []string
	for range 40 + rng.IntN(80) {
		words := vocabulary.both
		if rng.IntN(5) == 0 {
			words = own
			if rng.IntN(12) == 0 { // each kind uses a word of the other now and then
				words = vocabulary.good
				if class == Good {
					words = vocabulary.junk
				}
			}
		}
		text = append(text, words[rng.IntN(len(words))])
	}
	id := rng.IntN(1 << 30)
	return fmt.Appendf(nil, "From: %s %d <%s%d@%s>\r\nTo: owner@home.example\r\nSubject: %s\r\nMessage-ID: <%d@%s>\r\n"+
		"Date: Mon, 3 Aug 2026 10:00:00 +0200\r\n\r\n%s\r\nhttp://%s/%d\r\n", from, rng.IntN(9), from, rng.IntN(40), host,
		strings.Join(text[:4], " "), id, host, strings.Join(text, " "), host, id)
}
