package check

import (
	"context"
	"fmt"
	"time"

	"mailstead/cmd/internal/threshold"
)

// Limits of what is in order on the machine itself; those that `mailstead status` has, too, are in package threshold.
const (
	leastDisk      = 1 << 30             // octets: a mailbox that is imported fits
	leastForecast  = 30                  // days until the disk is full
	leastMemory    = 32 << 20            // octets that can be had
	leastFiles     = 1024                // descriptors: a connection takes one
	stuckTo        = 3                   // destinations at the same time: then it is not one of them that is down
	forecastWindow = 30 * 24 * time.Hour // of growth
	forecastLeast  = 7 * 24 * time.Hour  // less says nothing
)

// clock judges whether something keeps the machine's clock right. The kernel is asked, and no server of the network: it knows
// whether a time service steers it.
func clock(_ context.Context, v *visit) []Result {
	const subject = ""
	switch c := v.Host.Clock; {
	case !c.Known:
		return nil
	case !c.Synchronised:
		return []Result{wrong(subject, "timedatectl set-ntp true", "nothing keeps it right")}
	}
	return []Result{ok(subject, "a time service keeps it right")}
}

// disk judges the space that is left, and for how long it will do.
func disk(_ context.Context, v *visit) []Result {
	const subject = ""
	d := v.Host.Disk
	if !d.Known {
		return nil
	}
	days, known := d.forecast()
	space := fmt.Sprintf("%s of %s free", threshold.Size(d.Free), threshold.Size(d.Total))
	if known {
		space += fmt.Sprintf(", for %s at the present growth", daysOr(days))
	}
	const remedy = "make room, or move the folder to a larger disk; what takes the space:  mailstead account list"
	if d.Free < leastDisk || known && days < leastForecast {
		return []Result{wrong(subject, remedy, "%s", space)}
	}
	return []Result{ok(subject, "%s", space)}
}

// manyDays is what a forecast does not look beyond.
const manyDays = 3650

func daysOr(days int) string {
	if days >= manyDays {
		return "more than ten years"
	}
	return fmt.Sprintf("%d days", days)
}

// forecast is for how many days the free space will do if the store grows as it did between the first and the last sample of
// the last month; unknown without some days of them.
func (d Disk) forecast() (days int, known bool) {
	if len(d.Samples) < 2 {
		return 0, false
	}
	last := d.Samples[len(d.Samples)-1]
	first := last
	for _, s := range d.Samples {
		if last.Time.Sub(s.Time) <= forecastWindow {
			first = s
			break
		}
	}
	span := last.Time.Sub(first.Time)
	if span < forecastLeast {
		return 0, false
	}
	perDay := float64(last.Used-first.Used) / (span.Hours() / 24)
	if perDay <= 0 {
		return manyDays, true
	}
	return int(min(float64(d.Free)/perDay, manyDays)), true
}

func memory(_ context.Context, v *visit) []Result {
	const subject = ""
	m := v.Host.Memory
	if !m.Known {
		return nil
	}
	found := fmt.Sprintf("%s of %s can be had", threshold.Size(m.Available), threshold.Size(m.Total))
	if m.Server > 0 {
		found += ", the server has " + threshold.Size(m.Server)
	}
	if m.Available < leastMemory {
		return []Result{wrong(subject, "see what takes it:  ps aux --sort=-rss | head", "%s", found)}
	}
	return []Result{ok(subject, "%s", found)}
}

func files(_ context.Context, v *visit) []Result {
	const subject = ""
	f := v.Host.Files
	if !f.Known {
		return nil
	}
	if f.Limit < leastFiles || f.Open*100 > f.Limit*threshold.FilesShare {
		return []Result{wrong(subject, "in the service's unit:  LimitNOFILE=65536", "%d are open, and there may be %d", f.Open, f.Limit)}
	}
	return []Result{ok(subject, "%d of %d", f.Open, f.Limit)}
}

func backups(_ context.Context, v *visit) []Result {
	const subject = ""
	last := v.Host.Backup.Last
	age := v.Now().Sub(last)
	switch {
	case last.IsZero():
		return []Result{wrong(subject, "mailstead backup FOLDER  on another disk, once a day by a timer", "none was made yet")}
	case age > threshold.BackupOld:
		return []Result{wrong(subject, "mailstead backup FOLDER  and see why its timer does not run", "the last one is of %s, %d days ago", last.UTC().Format(time.DateOnly), int(age.Hours()/24))}
	}
	return []Result{ok(subject, "of %s", last.UTC().Format(time.DateOnly))}
}

// certificates judges the server's own name's certificate and those of its domains.
func certificates(_ context.Context, v *visit) (results []Result) {
	for _, c := range v.Host.Certificates {
		left := int(c.NotAfter.Sub(v.Now()).Hours() / 24)
		renew := "mailstead certificate renew " + c.Name
		switch {
		case c.Own:
			results = append(results, wrong(c.Name, `in the configuration file:  acme_email = "you@example.org"  and certificates are fetched`, "the certificate is of the server's own making: no mail program trusts it"))
		case c.Issuer == "" && c.Error == "":
			results = append(results, Result{Subject: c.Name, State: Unknown, Found: "a certificate is being fetched"})
		case c.Issuer == "":
			results = append(results, wrong(c.Name, renew+"  when that is mended", "there is no certificate: %s", c.Error))
		case !v.Now().Before(c.NotAfter):
			results = append(results, wrong(c.Name, renew, "the certificate has ended on %s%s", c.NotAfter.UTC().Format(time.DateOnly), because(c.Error)))
		case c.NotAfter.Sub(v.Now()) < threshold.CertificateSoon:
			results = append(results, wrong(c.Name, renew, "the certificate ends in %d days%s", left, because(c.Error)))
		default:
			results = append(results, ok(c.Name, "good for %d days", left))
		}
	}
	return results
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func outgoing(_ context.Context, v *visit) []Result {
	const subject = ""
	q := v.Host.Queue
	switch {
	case q.Waiting >= stuckTo:
		return []Result{wrong(subject, "see what other servers said:  mailstead queue destinations", "mail to %d destinations waits for more than %d hours, the oldest for %s", q.Waiting, int(threshold.QueueLong.Hours()), long(q.Oldest))}
	case q.Entries == 0:
		return []Result{ok(subject, "empty")}
	}
	return []Result{ok(subject, "%d waiting, the oldest for %s", q.Entries, long(q.Oldest))}
}

// long is a time in words that last.
func long(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func version(_ context.Context, v *visit) []Result {
	if v.Host.Version == "" {
		return nil
	}
	return []Result{ok("", "%s", v.Host.Version)}
}
