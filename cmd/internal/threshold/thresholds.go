// Package threshold is what is measured alike wherever it is told of: how sizes are written, and from when on something is worth a word.
package threshold

import (
	"fmt"
	"time"
)

// From when on something is told of: by `mailstead status`, by `mailstead check` (package check), and by the rules of
// docs/grafana/alerts.yml, which a test holds to these.
const (
	// CertificateSoon is what is left of a certificate. Renewal is tried from 30 days on.
	CertificateSoon = 14 * 24 * time.Hour
	// QueueLong is how long mail on its way out waits at most where all is well: by then a server that was busy has taken it,
	// and senders are told of a delay.
	QueueLong = 4 * time.Hour
	// BackupOld is the age of the last backup: a daily one was left out.
	BackupOld = 2 * 24 * time.Hour
	// DiskShare of the disk is to be free, in hundredths.
	DiskShare = 10
	// FilesShare of the files that may be open, in hundredths.
	FilesShare = 80
	// BehindMany are records of the log, which the databases take in a second or two.
	BehindMany = 100_000
)

// Size is a number of octets with the prefix that leaves few digits: "1.5 MB" of 1,500,000.
func Size(n int64) string {
	const step, prefixes = 1000, "kMGTPE"
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, at := float64(n)/step, 0
	for value >= step && at < len(prefixes)-1 {
		value /= step
		at++
	}
	return fmt.Sprintf("%.1f %cB", value, prefixes[at])
}
