package junk

import (
	"bytes"
	"flag"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox/message"
)

var corpusDir = flag.String("corpus", "", "folder of the SpamAssassin public corpus, see .ci/corpus; empty = none")

// specimen is a letter of the corpus, taken apart.
type specimen struct {
	name   string
	class  Class
	hard   bool // good, but like junk in many respects
	came   time.Time
	letter *Letter
}

// TestCorpus measures the filter with real letters next to a plain naive Bayes filter: make junk.
func TestCorpus(t *testing.T) {
	if *corpusDir == "" {
		t.Skip("no corpus: run make junk, which fetches it")
	}
	all := readCorpus(t, *corpusDir)
	slices.SortStableFunc(all, func(a, b specimen) int { return a.came.Compare(b.came) })
	t.Logf("%d letters, %d of them junk, %s to %s", len(all), countJunk(all), all[0].came.Format(time.DateOnly),
		all[len(all)-1].came.Format(time.DateOnly))

	t.Log("untrained:")
	report(t, "rules alone", judgeAll(all, newFilter()))

	t.Log("ten-fold, each letter judged by what the nine tenths without it taught:")
	var folded []judged
	for round := range foldRounds {
		once := tenFold(all, round, func() learner { return newFilter() })
		report(t, fmt.Sprintf("this filter, order %d", round+1), once)
		folded = append(folded, once...)
	}
	report(t, "this filter, all orders", folded)
	report(t, "  of letters never tuned with", only(folded, func(s *specimen) bool { return keptOut(s.name) }))
	report(t, "  without the hard collection", only(folded, func(s *specimen) bool { return !s.hard }))
	report(t, "plain Bayes, words", tenFold(all, 0, func() learner { return newBayes(true) }))
	report(t, "plain Bayes, all features", tenFold(all, 0, func() learner { return newBayes(false) }))

	t.Log("in the order of time, each letter judged and then learned:")
	report(t, "this filter", inTime(all, newFilter()))
	report(t, "plain Bayes, words", inTime(all, newBayes(true)))
	report(t, "plain Bayes, all features", inTime(all, newBayes(false)))

	t.Log("after a few letters, mean of 20 draws; the rest is judged:")
	for _, n := range []int{10, 20, 50, 100, 200, 500, 1000} {
		few := afterFew(all, n, func() learner { return newFilter() })
		report(t, fmt.Sprintf("this filter after %d", n), few)
		report(t, "  without the hard collection", only(few, func(s *specimen) bool { return !s.hard }))
		report(t, fmt.Sprintf("plain Bayes after %d", n), afterFew(all, n, func() learner { return newBayes(true) }))
	}
	t.Log("after 100 letters of junk and as many good ones as stand beside them, mean of 20 draws:")
	for _, beside := range []int{0, 1} {
		taught := afterJunk(all, 100, beside)
		report(t, fmt.Sprintf("this filter, %d beside each", beside), taught)
		report(t, "  without the hard collection", only(taught, func(s *specimen) bool { return !s.hard }))
	}
	logMistakes(t, folded[:len(all)])
	if f := mistakes(folded, 0.9); f.falseRate() > mostFalse || f.missedRate() > mostMissed {
		t.Errorf("ten-fold: %.2f %% of the good letters in Junk and %.2f %% of junk missed", 100*f.falseRate(), 100*f.missedRate())
	}
}

// What the ten-fold runs must not exceed.
const (
	mostFalse  = 0.001
	mostMissed = 0.03
)

// keptOut are the letters that nothing was ever chosen by: a third.
func keptOut(name string) bool { return crc32.ChecksumIEEE([]byte(name))%3 == 0 }

func only(all []judged, is func(*specimen) bool) []judged {
	return slices.DeleteFunc(slices.Clone(all), func(j judged) bool { return !is(j.specimen) })
}

// afterJunk is for an owner who moves junk and says nothing of the rest, where so many good letters are taught beside each.
func afterJunk(all []specimen, n, beside int) []judged {
	var out []judged
	for draw := range 20 {
		var of [2][]*specimen
		for _, at := range rand.New(rand.NewPCG(uint64(draw), 77)).Perm(len(all)) {
			s := &all[at]
			of[s.class] = append(of[s.class], s)
		}
		by := newFilter()
		for i := range n {
			by.learn(of[Junk][i].letter, Junk)
			for k := range beside {
				by.learn(of[Good][i*beside+k].letter, Good)
			}
		}
		for _, s := range append(of[Good][n*beside:], of[Junk][n:]...) {
			out = append(out, judged{s, by.score(s.letter)})
		}
	}
	return out
}

// learner is a filter under test.
type learner interface {
	score(l *Letter) float64
	learn(l *Letter, class Class)
}

// filter is this package's, as a server with one account has it.
type filter struct{ server, account *Model }

func newFilter() filter { return filter{NewServer(), NewAccount()} }

func (f filter) score(l *Letter) float64      { return Classify(l, f.server, f.account).Score }
func (f filter) learn(l *Letter, class Class) { Train(l, f.server, f.account, class, 1) }

// bayes is the naive Bayes filter of the textbooks: the presence of words, Laplace's correction, no more.
type bayes struct {
	counts  [2][]float64
	letters [2]float64
	words   bool // words of text and subject only
}

func newBayes(words bool) *bayes {
	return &bayes{counts: [2][]float64{make([]float64, 1<<20), make([]float64, 1<<20)}, words: words}
}

func (b *bayes) uses(f feature) bool { return !b.words || f.kind == kindWord || f.kind == kindSubject }

func (b *bayes) learn(l *Letter, class Class) {
	b.letters[class]++
	for _, f := range l.features {
		if b.uses(f) {
			b.counts[class][f.hash>>12]++
		}
	}
}

func (b *bayes) score(l *Letter) float64 {
	z := math.Log((b.letters[Junk] + 1) / (b.letters[Good] + 1))
	for _, f := range l.features {
		if i := f.hash >> 12; b.uses(f) {
			z += math.Log((b.counts[Junk][i] + 1) / (b.letters[Junk] + 2) / ((b.counts[Good][i] + 1) / (b.letters[Good] + 2)))
		}
	}
	return sigmoid(z)
}

// judged is a letter with the score it got.
type judged struct {
	*specimen
	score float64
}

func judgeAll(all []specimen, by learner) []judged {
	out := make([]judged, len(all))
	for i := range all {
		out[i] = judged{&all[i], by.score(all[i].letter)}
	}
	return out
}

// foldRounds is in how many orders the letters are taught ten-fold: which letters come last makes a difference as large as
// what the aims are apart.
const foldRounds = 20

func tenFold(all []specimen, round int, fresh func() learner) []judged {
	order := rand.New(rand.NewPCG(1, uint64(2+round))).Perm(len(all))
	var out []judged
	for fold := range 10 {
		by := fresh()
		for i, at := range order {
			if i%10 != fold {
				by.learn(all[at].letter, all[at].class)
			}
		}
		for i, at := range order {
			if i%10 == fold {
				out = append(out, judged{&all[at], by.score(all[at].letter)})
			}
		}
	}
	return out
}

func inTime(all []specimen, by learner) []judged {
	out := make([]judged, len(all))
	for i := range all {
		out[i] = judged{&all[i], by.score(all[i].letter)}
		by.learn(all[i].letter, all[i].class)
	}
	return out
}

func afterFew(all []specimen, n int, fresh func() learner) []judged {
	var out []judged
	for draw := range 20 {
		order := rand.New(rand.NewPCG(uint64(draw), uint64(n))).Perm(len(all))
		by := fresh()
		for _, at := range order[:n] {
			by.learn(all[at].letter, all[at].class)
		}
		for _, at := range order[n:] {
			out = append(out, judged{&all[at], by.score(all[at].letter)})
		}
	}
	return out
}

// figures count the mistakes at a threshold.
type figures struct{ good, junk, wrong, missed int }

func (f figures) falseRate() float64  { return float64(f.wrong) / float64(max(f.good, 1)) }
func (f figures) missedRate() float64 { return float64(f.missed) / float64(max(f.junk, 1)) }

func mistakes(all []judged, threshold float64) figures {
	var f figures
	for _, j := range all {
		isJunk := j.score >= threshold
		switch {
		case j.class == Junk:
			f.junk++
			f.missed += btoi(!isJunk)
		default:
			f.good++
			f.wrong += btoi(isJunk)
		}
	}
	return f
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// report prints what a filter did at the threshold for Junk, and what it would miss at the one with which exactly one
// good letter in a thousand is taken for junk.
func report(t *testing.T, name string, all []judged) {
	t.Helper()
	f := mistakes(all, 0.9)
	good := []float64{}
	for _, j := range all {
		if j.class == Good {
			good = append(good, j.score)
		}
	}
	slices.Sort(good)
	strict := mistakes(all, math.Nextafter(good[len(good)-1-len(good)/1000], 2))
	t.Logf("  %-30s in Junk though good %5d of %6d = %6.3f %%; missed %5d of %5d = %6.2f %%; at 0.1 %%: missed %6.2f %%", name,
		f.wrong, f.good, 100*f.falseRate(), f.missed, f.junk, 100*f.missedRate(), 100*strict.missedRate())
}

// logMistakes names the good letters that were taken for junk.
func logMistakes(t *testing.T, all []judged) {
	for _, j := range all {
		if j.class == Good && j.score >= 0.9 {
			t.Logf("  taken for junk: %s %.3f", j.name, j.score)
		}
	}
}

func countJunk(all []specimen) (n int) {
	for _, s := range all {
		n += btoi(s.class == Junk)
	}
	return n
}

// readCorpus reads the letters below dir.
func readCorpus(t *testing.T, dir string) []specimen {
	t.Helper()
	var all []specimen
	var r Reader
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".txt" {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		folder := filepath.Base(filepath.Dir(name))
		s := specimen{name: folder + "/" + filepath.Base(name), hard: strings.HasPrefix(folder, "hard")}
		if strings.HasPrefix(folder, "spam") {
			s.class = Junk
		}
		raw, s.came = cutEnvelope(raw)
		s.letter = keepLetter(readLetter(t, &r, raw, Facts{}))
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// cutEnvelope takes off the line that mboxes have in front of a letter, and finds out when it came: from that line, else by the
// last server's Received field, else from Date.
func cutEnvelope(raw []byte) ([]byte, time.Time) {
	var came time.Time
	if bytes.HasPrefix(raw, []byte("From ")) {
		line, rest, _ := bytes.Cut(raw, []byte("\n"))
		raw = rest
		if words := strings.Fields(string(line)); len(words) >= 7 {
			came, _ = time.Parse("Jan 2 15:04:05 2006", strings.Join(words[len(words)-4:], " "))
		}
	}
	if received, ok := message.FieldValue(raw, "received"); ok && came.IsZero() {
		came, _ = message.ParseDate(received[bytes.LastIndexByte(received, ';')+1:])
	}
	if date, ok := message.FieldValue(raw, "date"); ok && came.IsZero() {
		came, _ = message.ParseDate(date)
	}
	return raw, came
}

// readLetter takes a letter apart.
func readLetter(t testing.TB, r *Reader, raw []byte, facts Facts) *Letter {
	t.Helper()
	v, err := message.Open(message.Parse(raw).AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.Read(bytes.NewReader(raw), &v, facts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// keepLetter copies a letter, so that its reader can read another.
func keepLetter(l *Letter) *Letter {
	kept := *l
	kept.features, kept.text, kept.rules, kept.seen = slices.Clone(l.features), slices.Clone(l.text), slices.Clone(l.rules), nil
	return &kept
}

// BenchmarkCorpus takes the corpus's letters apart and judges them: what a delivery of real mail costs.
func BenchmarkCorpus(b *testing.B) {
	if *corpusDir == "" {
		b.Skip("no corpus: run make junk, which fetches it")
	}
	raws, views := rawCorpus(b, *corpusDir)
	var r Reader
	server, account := NewServer(), NewAccount()
	var times []time.Duration
	i, octets := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		l, err := r.Read(bytes.NewReader(raws[i]), &views[i], Facts{})
		if err != nil {
			b.Fatal(err)
		}
		Classify(l, server, account)
		times = append(times, time.Since(began))
		octets += len(raws[i])
		i = (i + 1) % len(raws)
	}
	slices.Sort(times)
	b.ReportMetric(float64(octets)/float64(b.N), "octets/letter")
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "median-µs")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "99%-µs")
}

// rawCorpus reads a tenth of the letters below dir.
func rawCorpus(b *testing.B, dir string) (raws [][]byte, views []message.View) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "*.txt"))
	if err != nil || len(names) == 0 {
		b.Fatalf("no letters below %s: %v", dir, err)
	}
	for i := 0; i < len(names); i += 10 {
		raw, err := os.ReadFile(names[i])
		if err != nil {
			b.Fatal(err)
		}
		v, err := message.Open(message.Parse(raw).AppendTo(nil))
		if err != nil {
			b.Fatal(err)
		}
		raws, views = append(raws, raw), append(views, v)
	}
	return raws, views
}
