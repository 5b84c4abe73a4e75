package figures

import (
	"fmt"
	"time"

	"mailstead/cmd/internal/threshold"
)

// missingTold is how many names without a certificate are told of one by one.
const missingTold = 2

// Concerns are what somebody should look after, the worst first.
func (f *Figures) Concerns() []string {
	list := []string{}
	note := func(bad bool, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); bad && text != "" {
			list = append(list, text)
		}
	}
	s := &f.Store
	note(!f.Running, "no server is running")
	note(s.Full, "the disk is full: no mail is taken until something is deleted")
	note(!s.Full && s.DiskSize > 0 && s.DiskFree*100 < s.DiskSize*threshold.DiskShare, "the disk is nearly full: %s of %s are free", threshold.Size(s.DiskFree), threshold.Size(s.DiskSize))
	missing := 0
	for i := range f.Certificates {
		c := &f.Certificates[i]
		if c.Issuer == "" && c.Problem != "" {
			missing++
			note(missing <= missingTold, "%s has no certificate: %s", c.Name, c.Problem)
		}
		note(c.Issuer != "", "%s", c.ending(f.At))
	}
	note(missing > missingTold, "%d more names have no certificate: mailstead certificate list", missing-missingTold)
	oldest := f.At.Sub(f.Queue.Oldest)
	note(f.Queue.Waiting+f.Queue.Trying > 0 && !f.Queue.Oldest.IsZero() && oldest >= threshold.QueueLong, "mail waits in the queue for %s: mailstead queue destinations says why", span(oldest))
	note(s.Behind() > threshold.BehindMany, "the databases are %s records behind the log", number(s.Behind()))
	note(f.Backup.IsZero() && s.Messages > 0, "no backup is known of: mailstead backup FOLDER makes one")
	note(!f.Backup.IsZero() && f.At.Sub(f.Backup) > threshold.BackupOld, "the last backup is %s old", span(f.At.Sub(f.Backup)))
	p := &f.Process
	note(p.MaxFiles > 0 && uint64(p.OpenFiles)*100 > p.MaxFiles*threshold.FilesShare, "%d of %d files are open: more connections will be refused", p.OpenFiles, p.MaxFiles)
	note(f.Mail.LostSteps > 0, "%s steps are missing in the journal of messages: the disk was too slow", number(f.Mail.LostSteps))
	return list
}

// ending says that a certificate ends soon, or has; "" of any other.
func (c *Certificate) ending(now time.Time) string {
	left, why := c.NotAfter.Sub(now), ""
	if c.Problem != "" {
		why = ": " + c.Problem
	}
	switch {
	case left <= 0:
		return "the certificate of " + c.Name + " has ended" + why
	case left < threshold.CertificateSoon:
		return "the certificate of " + c.Name + " ends in " + span(left) + why
	}
	return ""
}
