package mailbox

import "mailstead/mailbox/log"

// Format is a kind of file in the store's folder of which the bytes have a version. docs/STORAGE.md has the same table.
type Format struct {
	Name   string // what it is called in messages
	Files  string // where it is in the store's folder
	Writes int    // the version that this program writes
	Oldest int    // the oldest that it opens
	Older  string // what becomes of an older one at a start
	Newer  string // and of a newer one
}

// The names of formats.
const (
	segmentFormat = "segment of the log"
	recordFormat  = "record of the log"
	stateFormat   = stateFile
	derivedFormat = derivedFile
)

// Formats are those of a store. A release that changes what is written, a new operation of records included, gives state.db
// another version, so that a program of before refuses the store at its door and not somewhere within it.
func Formats() []Format {
	const refused = "refused"
	return []Format{
		{Name: segmentFormat, Files: "log/*.seg", Writes: log.FormatVersion, Oldest: 1, Older: "there is none", Newer: refused},
		{Name: recordFormat, Files: "in segments", Writes: codecVersion, Oldest: codecVersion, Older: "there is none", Newer: refused},
		{Name: stateFormat, Files: "state.db, checkpoints/*.db", Writes: stateSchema().version, Oldest: 1,
			Older: "copied to before-upgrade/, then brought up: 1 to 2 seals each value", Newer: refused},
		{Name: derivedFormat, Files: derivedFile, Writes: derivedSchema().version, Oldest: derivedSchema().version,
			Older: "made anew, while the server runs", Newer: "made anew, while the server runs"},
	}
}

// formatOf is the format of that name.
func formatOf(name string) Format {
	for _, f := range Formats() {
		if f.Name == name {
			return f
		}
	}
	return Format{Name: name}
}
