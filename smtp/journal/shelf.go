package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The shelves, as the names of their files begin.
const (
	mailShelf    = "mail"
	refusedShelf = "refused"
	saidShelf    = "said"
)

// shelfNames are those of all shelves.
var shelfNames = []string{mailShelf, refusedShelf, saidShelf}

// shelf is a series of files, NAME-DAY-NUMBER.jsonl. Several programs may read
// it; one writes.
type shelf struct {
	dir, name string
	budget    int64 // octets of all its files
	fileSize  int64 // octets of one, about

	spare []byte // a buffer to be used again
	lost  int    // steps that could not be written, and nobody was told yet
	file  *os.File
	of    fileName
	size  int64
	rest  time.Time // until then nothing is tried, as it failed just before
}

// fileName is a file of a shelf. Names sort by age.
type fileName struct {
	shelf  string
	day    string // of UTC, YYYYMMDD
	number int    // on that day, from 1
}

const (
	dayFormat  = "20060102"
	fileEnding = ".jsonl"
)

func (f fileName) String() string {
	return fmt.Sprintf("%s-%s-%04d%s", f.shelf, f.day, f.number, fileEnding)
}

// parseFileName reads a name; what else lies in the folder is none.
func parseFileName(s string) (f fileName, ok bool) {
	base, ok := strings.CutSuffix(s, fileEnding)
	parts := strings.Split(base, "-")
	if !ok || len(parts) != 3 || !slices.Contains(shelfNames, parts[0]) {
		return f, false
	}
	_, err := time.Parse(dayFormat, parts[1])
	n, err2 := strconv.ParseUint(parts[2], 10, 31)
	return fileName{parts[0], parts[1], int(n)}, err == nil && err2 == nil
}

// restAfter is how long nothing is tried after a failure: the disk is full, most
// often, and finding that out takes time.
const restAfter = 10 * time.Second

// errResting says that nothing is tried for now.
var errResting = errors.New("journal: writing failed a moment ago")

// write writes a batch, with a line about what was lost before. What cannot be
// written is lost.
func (s *shelf) write(b *batch, now time.Time) error {
	defer func() { s.spare = b.lines }()
	if b.steps == 0 && s.lost == 0 {
		return nil
	}
	if now.Before(s.rest) && s.rest.Sub(now) <= restAfter { // a clock that is set back ends the rest
		s.lost += b.steps
		return errResting
	}
	steps, lost := b.steps, s.lost
	if lost > 0 {
		b.put(&Event{At: now, Step: Lost, Count: lost})
	}
	if err := s.append(b.lines, now); err != nil {
		s.lost += steps
		s.rest = now.Add(restAfter)
		s.close()
		return err
	}
	s.lost -= lost
	return nil
}

// maxSpare is the largest buffer that is kept for the next lines, in octets.
const maxSpare = 64 << 10

// takeSpare is an empty buffer for lines, which nobody else has.
func (s *shelf) takeSpare() []byte {
	spare := s.spare
	s.spare = nil
	if cap(spare) > maxSpare {
		return nil
	}
	return spare[:0]
}

// append writes lines into a file of today.
func (s *shelf) append(lines []byte, now time.Time) error {
	if err := s.open(now); err != nil {
		return err
	}
	n, err := s.file.Write(lines)
	s.size += int64(n)
	return err
}

// open gets a file of today that has room.
func (s *shelf) open(now time.Time) error {
	day := now.UTC().Format(dayFormat)
	if s.file != nil && s.of.day == day && s.size < s.fileSize {
		return nil
	}
	s.close()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := s.tidy(now, s.fileSize); err != nil {
		return err
	}
	last, size, err := s.last(day)
	if err != nil {
		return err
	}
	if last.number == 0 || size >= s.fileSize {
		last.number++
	}
	return s.goOn(last)
}

// last is the newest file of a day; its number is 0 when there is none.
func (s *shelf) last(day string) (fileName, int64, error) {
	f, size := fileName{s.name, day, 0}, int64(0)
	all, err := s.files()
	for _, other := range all {
		if other.day == day {
			f, size = other.fileName, other.size
		}
	}
	return f, size, err
}

// goOn opens a file to go on in it. A line that a kill has cut off is ended
// first, so that it takes no other with it.
func (s *shelf) goOn(of fileName) error {
	f, err := os.OpenFile(filepath.Join(s.dir, of.String()), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 {
		last := []byte{0}
		if _, err = f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			_, err = f.WriteString("\n")
		}
	}
	if err != nil {
		f.Close()
		return err
	}
	s.file, s.of, s.size = f, of, size
	return nil
}

func (s *shelf) close() {
	if s.file != nil {
		s.file.Close() // nothing was promised of what is in it
		s.file = nil
	}
}

// sizedFile is a file with its octets.
type sizedFile struct {
	fileName
	size int64
}

// files lists the shelf, the oldest first. A folder that is not there has none.
func (s *shelf) files() (all []sizedFile, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f, ok := parseFileName(e.Name())
		if !ok || f.shelf != s.name {
			continue
		}
		if info, err := e.Info(); err == nil {
			all = append(all, sizedFile{f, info.Size()})
		}
	}
	slices.SortFunc(all, func(x, y sizedFile) int { return x.compare(y.fileName) })
	return all, nil
}

func (f fileName) compare(g fileName) int {
	if c := strings.Compare(f.day, g.day); c != 0 {
		return c
	}
	if c := strings.Compare(f.shelf, g.shelf); c != 0 {
		return c
	}
	return f.number - g.number
}

// tidy removes files of days that are over, and the oldest until there is room
// for so many octets more.
func (s *shelf) tidy(now time.Time, room int64) error {
	all, err := s.files()
	if err != nil {
		return err
	}
	total := room
	for _, f := range all {
		total += f.size
	}
	first := now.UTC().AddDate(0, 0, -Days).Format(dayFormat)
	for _, f := range all {
		if f.day >= first && total <= s.budget {
			break
		}
		if s.file != nil && f.fileName == s.of {
			s.close()
		}
		if err := os.Remove(filepath.Join(s.dir, f.String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.size
	}
	return nil
}
