package junk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"mailstead/mailbox/message"
)

// TestLearning is the short form of TestCorpus: after 50 generated letters others like them are told apart, and before,
// nobody's letters are taken for junk.
func TestLearning(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	server, account := NewServer(), NewAccount()
	var r Reader
	judge := func() (wrong, missed int) {
		for i := range 200 {
			class := Class(i % 2)
			isJunk := Classify(readLetter(t, &r, generate(rng, class), Facts{}), server, account).Score >= 0.9
			wrong += btoi(class == Good && isJunk)
			missed += btoi(class == Junk && !isJunk)
		}
		return wrong, missed
	}
	if wrong, missed := judge(); wrong > 0 || missed < 50 {
		t.Errorf("untrained: %d of 100 good letters taken for junk, %d of 100 missed", wrong, missed)
	}
	for i := range 50 {
		class := Class(i % 2)
		Train(readLetter(t, &r, generate(rng, class), Facts{}), server, account, class, 1)
	}
	if wrong, missed := judge(); wrong > 0 || missed > 5 {
		t.Errorf("after 50 letters: %d of 100 good letters taken for junk, %d of 100 missed", wrong, missed)
	}
	if junk, good := account.Letters(); junk != 25 || good != 25 {
		t.Errorf("%d and %d letters counted", junk, good)
	}
}

// TestCommonFeaturesCountLittle: what is in all letters has hardly a weight once that was counted, and what is in one class has nearly all of it.
func TestCommonFeaturesCountLittle(t *testing.T) {
	server := NewServer()
	var r Reader
	letter := func(class Class, n int) *Letter {
		word := [2]string{"meeting", "lottery"}[class]
		return readLetter(t, &r, fmt.Appendf(nil, "From: a%d@b.example\r\nSubject: x\r\n\r\ncommon %s\r\n", n, word), Facts{})
	}
	scaleOf := func(l *Letter, word string) float64 {
		server.weigh(l)
		for i, f := range l.features {
			if f.kind == kindWord && string(l.words(f)) == word {
				return l.clues[i].scale
			}
		}
		t.Fatalf("no word %q", word)
		return 0
	}
	if scale := scaleOf(letter(Junk, 0), "common"); scale != 1 {
		t.Errorf("before anything was counted, a word counts %v", scale)
	}
	for i := range 40 {
		class := Class(i % 2)
		Train(letter(class, i), server, nil, class, 1)
	}
	if common, clear := scaleOf(letter(Junk, 99), "common"), scaleOf(letter(Junk, 99), "lottery"); common > 0.11 || clear < 0.95 {
		t.Errorf("a word of all letters counts %v, one of junk alone %v", common, clear)
	}
	if scale := scaleOf(letter(Junk, 99), "common"); server.clue(feature{hash: 1, kind: kindPair}).scale != pairScale || scale <= 0 {
		t.Errorf("pairs count otherwise, or a word nothing: %v", scale)
	}
}

// TestUntrain takes lessons back in another order than they were taught: what remains is, bit by bit, the sum of the others.
func TestUntrain(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	server, account := NewServer(), NewAccount()
	var r Reader
	type lesson struct {
		letter  *Letter
		receipt Receipt
	}
	var lessons []lesson
	teach := func(class Class, weight float64) lesson {
		l := keepLetter(readLetter(t, &r, generate(rng, class), Facts{SPF: Pass}))
		return lesson{l, Train(l, server, account, class, weight)}
	}
	for i := range 40 {
		lessons = append(lessons, teach(Class(i%2), []float64{1, 0.2}[i%3/2]))
	}
	before := append(octets(server), octets(account)...)
	wrong := teach(Junk, 1)
	if bytes.Equal(before, append(octets(server), octets(account)...)) {
		t.Fatal("a lesson changed nothing")
	}
	if err := Untrain(wrong.letter, server, account, wrong.receipt); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, append(octets(server), octets(account)...)) {
		t.Error("the last lesson was not undone")
	}
	if err := Untrain(lessons[0].letter, server, account, lessons[1].receipt); !errors.Is(err, ErrOtherLetter) {
		t.Errorf("a receipt was taken for another letter: %v", err)
	}
	rng.Shuffle(len(lessons), func(i, j int) { lessons[i], lessons[j] = lessons[j], lessons[i] })
	for _, l := range lessons {
		if err := Untrain(l.letter, server, account, l.receipt); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(octets(server), octets(NewServer())) || !bytes.Equal(octets(account), octets(NewAccount())) {
		t.Error("models that unlearned everything know something")
	}
}

// TestWeight holds a hint to be weaker than a word, and to move the score the same way.
func TestWeight(t *testing.T) {
	var r Reader
	l := readLetter(t, &r, generate(rand.New(rand.NewPCG(1, 1)), Good), Facts{})
	score := func(weight float64) float64 {
		account := NewAccount()
		Train(l, nil, account, Junk, weight)
		return Classify(l, nil, account).Score
	}
	none, hint, word := score(0), score(0.2), score(1)
	if !(none < hint && hint < word) || none > Classify(l, nil, nil).Score {
		t.Errorf("scores %.3f, %.3f, %.3f after weights 0, 0.2, 1", none, hint, word)
	}
}

// TestOwnerDisagrees lets one account want what the server's others call junk.
func TestOwnerDisagrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	server, others, account := NewServer(), NewAccount(), NewAccount()
	var r Reader
	for i := range 60 {
		Train(readLetter(t, &r, generate(rng, Class(i%2)), Facts{}), server, others, Class(i%2), 1)
	}
	for range 10 {
		Train(readLetter(t, &r, generate(rng, Junk), Facts{}), nil, account, Good, 1)
	}
	// The account's lessons were taught without the server's model: now with it.
	for range 10 {
		Train(readLetter(t, &r, generate(rng, Junk), Facts{}), server, account, Good, 1)
	}
	l := readLetter(t, &r, generate(rng, Junk), Facts{})
	if mine, theirs := Classify(l, server, account).Score, Classify(l, server, others).Score; mine >= 0.5 || theirs <= mine {
		t.Errorf("score %.3f for who wants it, %.3f for who does not", mine, theirs)
	}
}

// TestReputation judges a letter that looks like junk by who wrote it.
func TestReputation(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	account := NewAccount()
	var r Reader
	for i := range 100 {
		Train(readLetter(t, &r, generate(rng, Class(i%2)), Facts{}), nil, account, Class(i%2), 1)
	}
	raw := generate(rng, Junk)
	for _, c := range []struct {
		name     string
		facts    Facts
		into     bool // Junk
		sameSums bool
	}{
		{"a stranger", Facts{}, true, true},
		{"written to", Facts{WrittenTo: true}, false, true},
		{"rescued", Facts{Rescued: true}, false, true},
		{"both", Facts{WrittenTo: true, Rescued: true}, false, true},
		{"in the name of a friend", Facts{WrittenTo: true, DMARC: Fail}, true, false},
		{"a friend, proved", Facts{WrittenTo: true, DMARC: Pass}, false, false},
	} {
		stranger := readLetter(t, &r, raw, Facts{}).sum()
		l := readLetter(t, &r, raw, c.facts)
		if v := Classify(l, nil, account); (v.Score >= 0.9) != c.into {
			t.Errorf("%s: score %.3f, %v", c.name, v.Score, v.Signals)
		}
		if same := l.sum() == stranger; same != c.sameSums {
			t.Errorf("%s: lessons depend on what they must not: %v", c.name, same)
		}
	}
}

// TestRules shows what each rule is about, and what a letter of which nothing was learned gets.
func TestRules(t *testing.T) {
	const plain = "From: A <a@one.example>\r\nTo: b@two.example\r\nSubject: Supper\r\nDate: Mon, 3 Aug 2026 10:00:00 +0200\r\nMessage-ID: <1@one.example>\r\n"
	const html = plain + "MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n"
	for _, c := range []struct {
		letter string
		facts  Facts
		words  string // of the rule
		least  float64
		most   float64
	}{
		{letter: plain + "\r\nShall we meet at seven?", words: "it is plain text without links", most: 0.1},
		{letter: plain + "In-Reply-To: <0@two.example>\r\n\r\nYes.", words: "it is an answer", most: 0.05},
		{letter: plain + "List-Id: <l.example>\r\n\r\nhttp://l.example/", words: "it came by a mailing list", most: 0.05},
		{letter: strings.Replace(plain, "Supper", "=?utf-8?q?Re=3A_Supper?=", 1) + "\r\nok", words: "the subject is one of an answer", most: 0.1},
		{letter: plain + "\r\nNo.\r\n> Shall we\r\n> meet?", words: "it quotes another letter", most: 0.1},
		{letter: "Subject: x\r\n\r\nhttp://a.example", words: "it has no sender", least: 0.4, most: 0.9},
		{letter: "Subject: x\r\n\r\nhttp://a.example", words: "it has no date", most: 0.9},
		{letter: "Subject: x\r\n\r\nhttp://a.example", words: "it has no Message-ID", most: 0.9},
		{letter: "Subject: x\r\n\r\nhttp://a.example", words: "it is addressed to nobody", most: 0.9},
		{letter: strings.Replace(plain, "Supper", "", 1) + "\r\nhi", words: "it has no subject", most: 0.5},
		{letter: strings.Replace(plain, "A <", "\"Support support@bank.example\" <", 1) + "\r\nhi", words: "the sender's name is somebody else's address", most: 0.9},
		{letter: plain + "Reply-To: x@three.example\r\n\r\nhi", words: "answers go to another domain", most: 0.5},
		{letter: strings.Replace(plain, "Supper", "EARN MONEY FAST", 1) + "\r\nhi", words: "the subject is in capitals", most: 0.9},
		{letter: strings.Replace(plain, "Supper", "Supper!", 1) + "\r\nhi", words: "the subject shouts", most: 0.5},
		{letter: strings.Replace(plain, "Supper", "Supper          x93k", 1) + "\r\nhi", words: "the subject has a number behind a gap", most: 0.9},
		{letter: html + "<p>hi", words: "it is HTML only", most: 0.5},
		{letter: html + "<img src=\"http://a.example/i.png\">", words: "it is a picture with few words", most: 0.9},
		{letter: html + "<a href=\"HTTP://192.0.2.1/x\">x</a>", words: "a link leads to a bare address", most: 0.9},
		{letter: html + "<a href=\"http://3221225985/x\">x</a>", words: "a link leads to a bare address", most: 0.9},
		{letter: html + "<a href=\"http://bank.example@x.example/\">x</a>", words: "a link hides where it leads", most: 0.9},
		{letter: html + "<a href=\"http://%78.example/\">x</a>", words: "a link hides where it leads", most: 0.9},
		{letter: html + "<div style=\"Display:None\">x</div>", words: "it has hidden text", most: 0.9},
		{letter: html + "<form action=x><input></form>", words: "it has a form or a program in it", most: 0.9},
		{letter: plain + "Content-Type: text/plain; charset=utf-8\r\n\r\npаypal аccount", words: "words are made of two alphabets", most: 0.9},
		{letter: plain + "\r\n" + strings.Repeat("GREAT offers here ", 10), words: "much of it is in capitals", most: 0.9},
		{letter: plain + "\r\n" + strings.Repeat("Wow!! ", 4), words: "it shouts", most: 0.9},
		{letter: plain + "\r\nhi", facts: Facts{DMARC: Fail}, words: "DMARC fails", most: 0.9},
		{letter: plain + "\r\nhi", facts: Facts{DMARC: Pass}, words: "DMARC passes", most: 0.1},
		{letter: plain + "\r\nhi", facts: Facts{SPF: Fail}, words: "SPF fails", most: 0.9},
		{letter: plain + "\r\nhi", facts: Facts{SPF: SoftFail}, words: "SPF says that the client may probably not send it", most: 0.5},
		{letter: plain + "\r\nhi", facts: Facts{DKIM: Pass}, words: "a DKIM signature is good", most: 0.1},
		{letter: plain + "\r\nhi", facts: Facts{IPRev: Fail}, words: "the client's names do not lead back to it", most: 0.5},
		{letter: plain + "\r\nhi", facts: Facts{Helo: true}, words: "the client's HELO is odd", most: 0.5},
		{letter: plain + "\r\nhi", facts: Facts{Blocked: true}, words: "the client is on a list of bad ones", least: 0.5, most: 0.9},
		{letter: plain + "\r\nhi", facts: Facts{Allowed: true}, words: "the client is on a list of good ones", most: 0.05},
		{letter: html + "<h1>Viagra</h1> Dear friend, act now! Order now! Risk free! Click here http://192.0.2.7/ to be removed", words: "it is HTML only", least: 0.9, most: 1},
	} {
		var r Reader
		l := readLetter(t, &r, []byte(c.letter), c.facts)
		if !slices.ContainsFunc(l.rules, func(r *rule) bool { return r.words == c.words }) {
			t.Errorf("%q holds not of %q", c.words, c.letter)
		}
		if s := Classify(l, nil, nil).Score; s < c.least || s > c.most {
			t.Errorf("score %.3f of %q, want %.2f to %.2f", s, c.letter, c.least, c.most)
		}
	}
}

// TestRulesSayOnce holds each rule to have words of its own: they are its feature.
func TestRulesSayOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.words] || r.weight == 0 {
			t.Errorf("rule %q: twice, or without weight", r.words)
		}
		seen[r.words] = true
	}
}

// TestFeatures reads letters and looks for what must be found in them.
func TestFeatures(t *testing.T) {
	const head = "From: \"Ada L.\" <ada@mail.One.example>\r\nTo: b@two.example\r\nSubject: =?utf-8?q?Caf=C3=A9?= tomorrow\r\n" +
		"Message-ID: <20260803.AB@mx.one.example>\r\nX-Mailer: Quill 2.17\r\nReceived: from secret.example\r\n"
	for _, c := range []struct {
		name, letter string
		facts        Facts
		want, never  []string
	}{
		{"header", head + "\r\n", Facts{}, []string{
			`"café" in the subject`, `"café tomorrow" in the subject`, `the sender "ada@mail.one.example"`,
			`the sender's domain "one.example"`, `the sender's domain "example"`, `"ada l" in the sender's name`,
			`the recipient "b@two.example"`, `a Message-ID with "like 0.x"`, `it has the field "x-mailer"`,
			`"quill 0" in the mail program's name`,
		}, []string{"secret", "received"}},
		{"words", head + "\r\nSend $1,500 TO well-known o'clock- now!!! or not\r\n", Facts{}, []string{
			`the word "$0"`, `the word "000"`, `the words "send $0"`, `the word "to"`, `the word "well-known"`, `the word "o'clock"`,
			`the words "now !"`,
		}, []string{"1,500", "clock-"}},
		{"charset", head + "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe =\r\naus K=F6ln",
			Facts{}, []string{`the words "grüße aus"`, `the word "köln"`, `its form: "charset iso-8859-1"`}, nil},
		{"no spaces", head + "Content-Type: text/plain; charset=utf-8\r\n\r\n発票代開", Facts{}, []string{`the words "発 票"`, `the words "代 開"`}, []string{`the word "票"`}},
		{"hidden", head + "Content-Type: text/plain; charset=utf-8\r\n\r\nvia\u200bg\u00adra", Facts{}, []string{`the word "viagra"`}, nil},
		{"html", head + "Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
			"PGZvbnQgQ29sb3I9IiNGRjAwMDAiIHNpemU9Nz5CdXkgPC9mb250PjxhIGhyZWY9J2h0dHBzOi8vd3d3LlNob3AuZXhhbXBsZTo4MDgwL2E/Yic+aXQ8L2E+",
			Facts{}, []string{`the HTML tag "font color #ff0000"`, `the HTML tag "font size 7"`, `a link to "www.shop.example"`,
				`a link to "shop.example"`, `its form: "link with a port"`, `the words "buy it"`}, []string{"href https"}},
		{"facts", head + "\r\n", Facts{SPF: Pass, DMARC: Fail, Domain: "one.example", Client: netip.MustParseAddr("::ffff:192.0.2.77"), Helo: true},
			[]string{`checked: "spf pass"`, `checked: "dmarc fail"`, `sent by "one.example"`, `from the network "192.0.2.0/24"`, `checked: "helo odd"`}, nil},
		{"IPv6", head + "\r\n", Facts{Client: netip.MustParseAddr("2001:db8:1:2::3")}, []string{`from the network "2001:db8:1::/48"`}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Reader
			l := readLetter(t, &r, []byte(c.letter), c.facts)
			var have []string
			for _, f := range l.features {
				have = append(have, l.describe(f))
			}
			for _, want := range c.want {
				if !slices.Contains(have, want) {
					t.Errorf("%s was not found in\n%s", want, strings.Join(have, "\n"))
				}
			}
			for _, never := range c.never {
				if strings.Contains(strings.Join(have, "\n"), never) {
					t.Errorf("%s was found", never)
				}
			}
		})
	}
}

// TestSignals tells an owner why.
func TestSignals(t *testing.T) {
	account := NewAccount()
	var r Reader
	junk := []byte("From: a@b.example\r\nSubject: casino\r\n\r\ncasino bonus http://192.0.2.9/\r\n")
	v := Classify(readLetter(t, &r, junk, Facts{}), nil, account)
	if len(v.Signals) < 5 || v.Signals[0].Words != "a link leads to a bare address" {
		t.Errorf("untrained: %v", v.Signals)
	}
	if !slices.ContainsFunc(v.Signals, func(s Signal) bool { return s.Words == `what junk says, like "casino"` }) {
		t.Errorf("untrained, no phrase: %v", v.Signals)
	}
	for range 5 {
		Train(readLetter(t, &r, generate(rand.New(rand.NewPCG(2, 2)), Good), Facts{}), nil, account, Junk, 1)
	}
	v = Classify(readLetter(t, &r, generate(rand.New(rand.NewPCG(2, 2)), Good), Facts{}), nil, account)
	if v.Score < 0.9 || len(v.Signals) != maxSignals {
		t.Errorf("trained: %v", v)
	}
	for i, s := range v.Signals {
		if i > 0 && math.Abs(s.Weight) > math.Abs(v.Signals[i-1].Weight) {
			t.Errorf("not in order: %v", v.Signals)
		}
	}
}

// octets are all parts of a model.
func octets(m *Model) (state []byte) {
	for part := range m.Parts() {
		state = m.AppendPart(state, part)
	}
	return state
}

// TestState writes models and reads them, and refuses what is none.
func TestState(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	server, account := NewServer(), NewAccount()
	var r Reader
	for i := range 20 {
		Train(readLetter(t, &r, generate(rng, Class(i%2)), Facts{}), server, account, Class(i%2), 1)
	}
	account.weights[0], account.weights[1], account.weights[len(account.weights)-1] = math.MinInt32, math.MaxInt32, 1
	for _, m := range []*Model{server, account} {
		again := NewAccount()
		if m == server {
			again = NewServer()
		}
		for part := range m.Parts() {
			if err := again.ReadPart(part, m.AppendPart(nil, part)); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(again.weights, m.weights) || !slices.Equal(again.counts, m.counts) || again.junk != m.junk || again.good != m.good {
			t.Error("read another model than was written")
		}
	}
	state := account.AppendPart(nil, 0)
	for i := range account.weights {
		account.weights[i] = math.MinInt32
	}
	full := NewServer()
	for i := range full.weights {
		full.weights[i] = math.MinInt32
	}
	for i := range full.counts {
		full.counts[i] = count{math.MaxUint16, math.MaxUint16}
	}
	if part := full.AppendPart(nil, 1); len(part) > MaxPart {
		t.Errorf("a full part has %d octets", len(part))
	}
	damaged := func(at int) []byte {
		d := slices.Clone(state)
		d[at] ^= 1
		return d
	}
	for name, c := range map[string]struct {
		state []byte
		want  error
	}{
		"nothing": {nil, ErrCorrupt}, "version": {damaged(0), ErrVersion}, "size": {damaged(1), ErrCorrupt}, "part": {damaged(2), ErrCorrupt},
		"checksum": {damaged(4), ErrCorrupt}, "weights": {damaged(len(state) - 1), ErrCorrupt}, "short": {state[:len(state)-1], ErrCorrupt},
		"server's": {server.AppendPart(nil, 0), ErrCorrupt}, "another": {account.AppendPart(nil, 1), ErrCorrupt}, "long": {make([]byte, MaxPart+1), ErrVersion},
	} {
		if err := NewAccount().ReadPart(0, c.state); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRedo repeats lessons on the parts that lack them, as after a crash that came while the parts were written.
func TestRedo(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	account, partly := NewAccount(), NewAccount()
	lacks := func(part int) bool { return part%2 == 1 }
	var r Reader
	for i := range 10 {
		l := readLetter(t, &r, generate(rng, Class(i%2)), Facts{})
		receipt := Train(l, nil, account, Class(i%2), 1)
		step := receipt.Step(false, false)
		partly.Redo(l, step, func(part int) bool { return !lacks(part) }) // what was written before the crash
		partly.Redo(l, step, lacks)
		if !receipt.Fits(l) {
			t.Error("the receipt does not fit its letter")
		}
	}
	if !bytes.Equal(octets(account), octets(partly)) {
		t.Error("lessons that were repeated make another model")
	}
}

// countingReader counts what is read of a letter.
type countingReader struct {
	r    io.ReaderAt
	read int
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.read += n
	return n, err
}

// TestBounds reads letters that are built to hurt.
func TestBounds(t *testing.T) {
	const html = "From: a@b.example\r\nContent-Type: text/html\r\n\r\n"
	var distinct strings.Builder
	for i := range 60000 {
		distinct.WriteString(strings.Repeat(string(rune('a'+i%26)), 1+i%39))
		distinct.WriteByte(byte('a' + i/26%26))
		distinct.WriteByte(byte('a' + i/676%26))
		distinct.WriteByte(' ')
	}
	var r Reader
	for name, raw := range map[string]string{
		"words":      "\r\n" + distinct.String(),
		"one word":   "\r\n" + strings.Repeat("x", 4<<20),
		"tags":       html + strings.Repeat("<", 4<<20),
		"attributes": html + "<a " + strings.Repeat("b='", 1<<20),
		"links":      html + strings.Repeat("http://", 1<<20),
		"hosts":      html + strings.Repeat("http://a.b.c.d.e.f.g.h.example/ ", 1<<17),
		"recipients": "To: " + strings.Repeat("a@b.example, ", 1<<15) + "\r\n\r\n",
		"fields":     strings.Repeat("X-Y: z\r\n", 1<<15) + "\r\n",
		"names":      "Subject: " + strings.Repeat("=?utf-8?q?=C3?= ", 1<<15) + "\r\n\r\n",
		"parts": "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
			strings.Repeat("--b\r\nContent-Type: text/plain; name=\""+strings.Repeat("n", 8<<10)+"\"\r\n\r\ntext\r\n", 1000),
		"nothing": "",
	} {
		v, err := message.Open(message.Parse([]byte(raw)).AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		counted := &countingReader{r: strings.NewReader(raw)}
		l, err := r.Read(counted, &v, Facts{})
		if err != nil {
			t.Fatal(err)
		}
		if counted.read > 2*maxRead || l.Features() > MaxFeatures {
			t.Errorf("%s: %d octets read, %d features", name, counted.read, l.Features())
		}
		checkVerdict(t, Classify(l, nil, nil))
	}
	own := cap(r.letter.features)*12 + cap(r.letter.text) + cap(r.letter.seen)*4 + cap(r.header) + cap(r.markup) + cap(r.chunk)
	if text := 256<<10 + 4*(32<<10); own+text > MaxReader { // text is what message.TextReader may keep
		t.Errorf("the reader keeps %d octets, and %d for text", own, text)
	}
	if all := ServerSize + MaxAccounts*AccountSize + MaxReaders*MaxReader; all > 8<<20 {
		t.Errorf("all together take %d octets", all)
	}
}

func checkVerdict(t *testing.T, v Verdict) {
	t.Helper()
	if !(v.Score >= 0 && v.Score <= 1) || len(v.Signals) > maxSignals {
		t.Errorf("score %v with %d signals", v.Score, len(v.Signals))
	}
	for _, s := range v.Signals {
		if !utf8.ValidString(s.Words) || strings.ContainsAny(s.Words, "\r\n\x00") {
			t.Errorf("signal %q", s.Words)
		}
	}
}

// failingReader cannot be read.
type failingReader struct{}

var errDisk = errors.New("the disk is gone")

func (failingReader) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

// TestReadError hands the disk's error on, instead of judging half a letter.
func TestReadError(t *testing.T) {
	v, err := message.Open(message.Parse([]byte("Subject: x\r\n\r\nhello")).AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	var r Reader
	if _, err := r.Read(failingReader{}, &v, Facts{}); !errors.Is(err, errDisk) {
		t.Errorf("error %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("From: a@b.example\r\nSubject: =?utf-8?q?x?=\r\n\r\nhttp://a.example/ now!!!\r\n"))
	f.Add([]byte("Content-Type: text/html\r\n\r\n<a href='http://u@%41.b:1/' style=\"display:none\">&amp;\u200b发票</a><!-- x -->"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nPGE+\r\n--b--"))
	var r Reader
	account := NewAccount()
	empty := octets(account)
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := readLetter(t, &r, raw, Facts{})
		before := Classify(l, nil, account)
		checkVerdict(t, before)
		receipt := Train(l, nil, account, Junk, 1)
		checkVerdict(t, Classify(l, nil, account))
		if err := Untrain(readLetter(t, &r, raw, Facts{}), nil, account, receipt); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(octets(account), empty) {
			t.Error("a lesson was not undone")
		}
	})
}

func FuzzReadPart(f *testing.F) {
	// A server's part is a 64th of it, so no whole server has to be made for each.
	fresh := func() *Model {
		return &Model{bits: serverBits, weights: make([]int32, 1<<partBits), counts: make([]count, 1<<countPartBits)}
	}
	m := fresh()
	f.Add(m.AppendPart(nil, 0))
	m.weights[3], m.weights[900], m.counts[7] = -5, 1<<30, count{1, 300}
	f.Add(m.AppendPart(nil, 0))
	f.Fuzz(func(t *testing.T, state []byte) {
		m, again := fresh(), fresh()
		if m.ReadPart(0, state) != nil {
			return
		}
		if err := again.ReadPart(0, m.AppendPart(nil, 0)); err != nil || !slices.Equal(again.weights, m.weights) || !slices.Equal(again.counts, m.counts) {
			t.Errorf("what was read is written differently: %v", err)
		}
	})
}

// BenchmarkJudge takes an ordinary letter apart and judges it, as a delivery does.
func BenchmarkJudge(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	var raw []byte
	raw = append(raw, generate(rng, Good)...)
	for len(raw) < 10<<10 {
		letter := generate(rng, Class(len(raw)%2))
		raw = append(raw, letter[bytes.Index(letter, []byte("\r\n\r\n")):]...)
	}
	v, err := message.Open(message.Parse(raw).AppendTo(nil))
	if err != nil {
		b.Fatal(err)
	}
	var r Reader
	server, account := NewServer(), NewAccount()
	source := bytes.NewReader(raw)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		l, err := r.Read(source, &v, Facts{SPF: Pass, DKIM: Pass, DMARC: Pass})
		if err != nil {
			b.Fatal(err)
		}
		Classify(l, server, account)
	}
	b.ReportMetric(float64(r.letter.Features()), "features")
}

// BenchmarkTrain teaches a letter that was taken apart.
func BenchmarkTrain(b *testing.B) {
	var r Reader
	l := readLetter(b, &r, generate(rand.New(rand.NewPCG(1, 1)), Junk), Facts{})
	server, account := NewServer(), NewAccount()
	b.ReportAllocs()
	for b.Loop() {
		if err := Untrain(l, server, account, Train(l, server, account, Junk, 1)); err != nil {
			b.Fatal(err)
		}
	}
}

// What a program for mailing lists puts into every letter is one thing learned, not many.
func TestListIsOneVoice(t *testing.T) {
	letter := func(fields, footer string) string {
		return "From: a@example.com\r\nTo: talk@lists.example.org\r\nReply-To: talk@lists.example.org\r\n" + fields +
			"Subject: Re: [talk] roses\r\n\r\nRed ones\r\nhttp://shop.example.net/ http://www.example.org/\r\n" + footer
	}
	const fields = "List-Id: Talk <talk.example.org>\r\nList-Unsubscribe: <mailto:x@example.org>\r\n"
	const footer = "____________________\r\nThis list is kind\r\n"
	of := func(raw string) string {
		var r Reader
		l := readLetter(t, &r, []byte(raw), Facts{})
		var all []string
		for _, f := range l.features {
			all = append(all, l.describe(f))
		}
		return strings.Join(all, "\n")
	}
	by, alone := of(letter(fields, footer)), of(letter("", footer))
	for _, voice := range []string{`"talk" in the subject`, `the recipient "talk@lists.example.org"`, `answers go to "lists.example.org"`,
		`a link to "www.example.org"`, `the word "kind"`, `it has the field "list-unsubscribe"`} {
		if strings.Contains(by, voice) {
			t.Errorf("of a letter that came by a list is learned: %s", voice)
		}
		if !strings.Contains(alone, voice) && !strings.Contains(voice, "list-unsubscribe") {
			t.Errorf("of a letter that came by none is not learned: %s", voice)
		}
	}
	for _, words := range []string{`the mailing list "talk <talk.example.org>"`, `"roses" in the subject`, `the word "red"`, `a link to "shop.example.net"`} {
		if !strings.Contains(by, words) {
			t.Errorf("of a letter that came by a list is not learned: %s", words)
		}
	}
}
