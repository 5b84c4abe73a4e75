package differential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Fields of letters whose order is said by a standard, however unusual they look: encoded
// words (RFC 2047), folded lines, groups and no addresses at all (RFC 5322 section 3.4).
var (
	orderedAddresses = []string{
		"Ann <ann@example.org>", "=?utf-8?Q?J=C3=BCrgen?= <juergen@example.org>", "=?iso-8859-1?B?SvxyZ2Vu?= <juergen@example.org>",
		"\"Example, Zoe\"\r\n <zoe@example.org>", "bob@example.net", "=?utf-8?B?w4Vrc3VuZA==?= <aksund@example.org>",
		"Mallory\r\n\t<mallory@example.org>, Ann <ann@example.org>", "<carol@example.org>", "=?utf-8?Q?Anna?= =?utf-8?Q?bel?= <bel@example.org>",
		"friends: dave@example.org, Eve <eve@example.org>;", "undisclosed-recipients:;", "",
	}
	orderedSubjects = []string{
		"hello", "Re: hello", "=?utf-8?Q?hello?=", "=?utf-8?Q?Re:_hello?=", "=?utf-8?B?UmU6?= hello", "Fwd: [list] hello", "hel\r\n lo", "Re:\r\n hello",
		"=?utf-8?Q?gr=C3=BC=C3=9Fe?=", "=?iso-8859-1?Q?Gr=FC=DFe?=", "Re: =?utf-8?Q?gr=C3=BC?=\r\n =?utf-8?Q?=C3=9Fe?=", "apple", "Apple pie", "", "Zebra",
		"=?utf-8?Q?=C3=A9tude?=", "etude", "hello (fwd)", "[list] hello", "=?utf-8?Q?=5Blist=5D?= Re: hello",
	}
	orderedDates = []string{
		"Mon, 6 Jul 2020 10:00:00 +0200", "Mon, 6 Jul 2020 08:00:00 +0000", "Mon, 6 Jul 2020 03:00:00 -0500", "Mon, 6 Jul 2020\r\n 08:00:01 +0000",
		"6 Jul 2020 09:00 +0000", "Sun, 5 Jul 2020 23:30:00 -0900", "Tue, 7 Jul 2020 00:30:00 +0900", "Sat, 1 Jan 2000 00:00:00 +0000",
		"Fri, 31 Dec 2027 23:59:59 +0000", "",
	}
)

// ordered makes n letters of such fields that answer one another. Some have the Message-ID
// of another one, some none, and some refer to what is not there.
func ordered(n int, seed uint64) (letters []*letter) {
	for i := range n {
		w := oddWriter{r: rand.New(rand.NewPCG(seed, uint64(i)))}
		for _, name := range []string{"From", "To", "Cc"} {
			if value := pick(&w, orderedAddresses); !w.chance(8) {
				w.line("%s: %s", name, value)
			}
		}
		if value := pick(&w, orderedSubjects); !w.chance(8) {
			w.line("Subject: %s", value)
		}
		if value := pick(&w, orderedDates); value != "" {
			w.line("Date: %s", value)
		}
		id := func(i int) string { return fmt.Sprintf("<%d@ordered.example>", i) }
		switch {
		case i > 0 && w.chance(6):
			w.line("Message-ID: %s", id(w.r.IntN(i)))
		case !w.chance(10):
			w.line("Message-ID: %s", id(i))
		}
		var others []string
		for range w.r.IntN(4) {
			others = append(others, id(w.r.IntN(n+n/10)))
		}
		switch {
		case len(others) == 1 && w.chance(2):
			w.line("In-Reply-To: %s", others[0])
		case len(others) > 0:
			w.line("References: %s", strings.Join(others, "\r\n "))
		}
		w.line("")
		w.line("letter %d", i)
		letters = append(letters, &letter{name: fmt.Sprintf("ordered/%d", i), raw: slices.Clone(w.b.Bytes()), ordered: true})
	}
	return letters
}
