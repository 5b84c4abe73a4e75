package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// recentBytes is how much of the end of a file is read for what happened last: some hundred steps.
const recentBytes = 128 << 10

// Refusals returns the last messages that were refused or told to come again, the newest first, n at most: the
// step that gives reasons, where there is one. It reads the ends of the last two files, and nothing where there
// is no journal; an error says that they could not be read.
func Refusals(dir string, n int) ([]Event, error) {
	files, err := (&shelf{dir: dir, name: refusedShelf}).files()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	slices.Reverse(files)
	var found []Event
	for _, f := range files[:min(len(files), 2)] {
		if len(found) >= n {
			break
		}
		steps, err := lastSteps(filepath.Join(dir, f.String()))
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		for _, e := range slices.Backward(steps) {
			found = appendRefusal(found, &e, n)
		}
	}
	return found, nil
}

// appendRefusal adds a step, older than those that are there, if it tells of a refusal that none of them tells of.
func appendRefusal(found []Event, e *Event, n int) []Event {
	if e.Step != Refused && e.Step != Judged {
		return found
	}
	i := slices.IndexFunc(found, func(f Event) bool { return e.ID != "" && f.ID == e.ID && f.Command != "RCPT" && e.Command != "RCPT" })
	if i < 0 {
		if len(found) < n {
			found = append(found, *e)
		}
		return found
	}
	if e.Step == Judged { // who and whom the refusal says, which came after it
		found[i].Verdict, found[i].Rule, found[i].Reasons = e.Verdict, e.Rule, e.Reasons
	}
	return found
}

// lastSteps are those at the end of a file. One that was just removed has none.
func lastSteps(name string) (steps []Event, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	end := make([]byte, min(size, recentBytes))
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil && err != io.EOF {
		return nil, err
	}
	if size > recentBytes { // what begins before is cut off
		_, end, _ = bytes.Cut(end, []byte("\n"))
	}
	for e := range read(bytes.NewReader(end)) {
		if e.Step != "" {
			steps = append(steps, e)
		}
	}
	return steps, nil
}
