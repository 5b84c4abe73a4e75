package transfer

import "fmt"

// ExportOptions say where files go. The folder is made if it is missing.
type ExportOptions struct {
	Dir string
	// Report, when not nil, hears of everything that is left out.
	Report func(Problem) error
	// Progress, when not nil, is called after each message.
	Progress func(Totals) error
}

// exporting is what all sinks that write files have.
type exporting struct {
	o      ExportOptions
	totals Totals
	named  int // messages that came without a name
}

// Problem counts and reports what was left out.
func (e *exporting) Problem(p Problem) error {
	e.totals.Failed++
	return e.report(p)
}

func (e *exporting) report(p Problem) error {
	if e.o.Report == nil {
		return nil
	}
	return e.o.Report(p)
}

func (e *exporting) progress() error {
	if e.o.Progress == nil {
		return nil
	}
	return e.o.Progress(e.totals)
}

// uniqueName is a file name for a message: the same each time it is exported, if it has a
// name, and in the order of arrival.
func (e *exporting) uniqueName(m *Message) string {
	name := m.Name
	if !isPlain(name) {
		e.named++
		name = fmt.Sprintf("N%010d", e.named)
	}
	return fmt.Sprintf("%010d.%s.mailstead", max(0, m.Date.Unix()), name)
}

// isPlain says whether a word has letters and digits only: it may come from another process.
func isPlain(word string) bool {
	for i := range len(word) {
		if c := word[i] | 0x20; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return word != "" && len(word) <= 64
}

// folderOf is the one folder that a message goes to.
func folderOf(m *Message) (string, error) {
	if len(m.Folders) != 1 {
		return "", fmt.Errorf("%s: %d folders; files are written for messages of one", m.Origin, len(m.Folders))
	}
	return folderName(m.Folders[0]), nil
}
