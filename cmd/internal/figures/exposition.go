package figures

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ContentType is that of Exposition: Prometheus' text format.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// The types of metrics.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// metric is one metric: its name with the unit at the end, what it is, and its samples.
type metric struct {
	name, kind, help string
	samples          func(f *Figures, add addSample)
}

// addSample adds a sample with labels, name and value by turns.
type addSample func(value float64, labels ...string)

// one is a metric of one sample.
func one(value func(f *Figures) float64) func(*Figures, addSample) {
	return func(f *Figures, add addSample) { add(value(f)) }
}

// eachSession has a sample for each protocol.
func eachSession(value func(s *Sessions) float64) func(*Figures, addSample) {
	return func(f *Figures, add addSample) {
		for i := range f.Sessions {
			add(value(&f.Sessions[i]), "protocol", f.Sessions[i].Protocol)
		}
	}
}

// metrics is the table of all of them. A name that was released once keeps its meaning; docs/OPERATIONS.md has each.
var metrics = []metric{
	{"mailstead_build_info", gauge, "The version that runs; always 1.", func(f *Figures, add addSample) { add(1, "version", f.Version) }},
	{"mailstead_start_time_seconds", gauge, "When the server was started, in Unix time.", one(func(f *Figures) float64 { return unix(f.Started) })},

	{"mailstead_sessions", gauge, "Connections that are open, by protocol and whether somebody is logged in.", func(f *Figures, add addSample) {
		for _, s := range f.Sessions {
			add(float64(s.Open-s.LoggedIn), "protocol", s.Protocol, "login", "no")
			add(float64(s.LoggedIn), "protocol", s.Protocol, "login", "yes")
		}
	}},
	{"mailstead_connections_total", counter, "Connections that were accepted.", eachSession(func(s *Sessions) float64 { return float64(s.Accepted) })},
	{"mailstead_connections_refused_total", counter, "Connections, or logins on them, that were one too many, by the limit: of an address, of all strangers, of an account.", func(f *Figures, add addSample) {
		for _, s := range f.Sessions {
			add(float64(s.RefusedAddress), "protocol", s.Protocol, "limit", "address")
			add(float64(s.RefusedStrangers), "protocol", s.Protocol, "limit", "strangers")
			add(float64(s.RefusedAccount), "protocol", s.Protocol, "limit", "account")
		}
	}},
	{"mailstead_logins_total", counter, "Logins, by protocol and result.", func(f *Figures, add addSample) {
		for _, l := range f.Logins {
			add(float64(l.Accepted), "protocol", l.Protocol, "result", "accepted")
			add(float64(l.Refused), "protocol", l.Protocol, "result", "refused")
		}
	}},

	{"mailstead_messages_received_total", counter, "Messages that were accepted from other servers (smtp) and from users (submission).", func(f *Figures, add addSample) {
		for _, r := range f.Mail.Received {
			add(float64(r.Messages), "protocol", r.Protocol)
		}
	}},
	{"mailstead_copies_filed_total", counter, "Copies of messages that were filed into mailboxes of accounts, by the mailbox.", func(f *Figures, add addSample) {
		for _, c := range f.Mail.Copies {
			add(float64(c.Count), "mailbox", c.Mailbox)
		}
	}},
	{"mailstead_refusals_total", counter, "Refused senders (MAIL), recipients (RCPT) and messages (DATA), by the status code of the reply.", func(f *Figures, add addSample) {
		for _, r := range f.Mail.Refused {
			add(float64(r.Count), "command", r.Command, "status", r.Status)
		}
	}},
	{"mailstead_verdicts_total", counter, "Decisions on messages from outside, by the rule that made them.", func(f *Figures, add addSample) {
		for _, v := range f.Mail.Verdicts {
			add(float64(v.Count), "verdict", v.Verdict, "rule", v.Rule)
		}
	}},
	{"mailstead_messages_abandoned_total", counter, "Messages that were not sent to the end.", one(func(f *Figures) float64 { return float64(f.Mail.Abandoned) })},
	{"mailstead_journal_lost_steps_total", counter, "Steps of messages that the journal could not write down.", one(func(f *Figures) float64 { return float64(f.Mail.LostSteps) })},

	{"mailstead_outgoing_recipients_total", counter, "Recipients of mail from the queue, by what an attempt came to.", func(f *Figures, add addSample) {
		add(float64(f.Mail.Delivered), "result", "delivered")
		add(float64(f.Mail.Deferred), "result", "deferred")
		add(float64(f.Mail.Failed), "result", "failed")
	}},
	{"mailstead_queue_entries", gauge, "Entries of the queue, by state.", func(f *Figures, add addSample) {
		add(float64(f.Queue.Waiting), "state", "waiting")
		add(float64(f.Queue.Trying), "state", "trying")
		add(float64(f.Queue.Held), "state", "held")
		add(float64(f.Queue.Disabled), "state", "disabled")
	}},
	{"mailstead_queue_oldest_age_seconds", gauge, "Age of the oldest entry of the queue; 0 when it is empty.", one(func(f *Figures) float64 {
		if f.Queue.Oldest.IsZero() {
			return 0
		}
		return max(0, f.At.Sub(f.Queue.Oldest).Seconds())
	})},

	{"mailstead_store_accounts", gauge, "Accounts.", one(func(f *Figures) float64 { return float64(f.Store.Accounts) })},
	{"mailstead_store_messages", gauge, "Messages in mailboxes.", one(func(f *Figures) float64 { return float64(f.Store.Messages) })},
	{"mailstead_store_messages_bytes", gauge, "Sizes of these messages, as quotas count them.", one(func(f *Figures) float64 { return float64(f.Store.Size) })},
	{"mailstead_log_flush_seconds", histogram, "What it took to write a group of records and to sync it.", nil},
	{"mailstead_log_records", gauge, "Number of the newest record of the log.", one(func(f *Figures) float64 { return float64(f.Store.Last) })},
	{"mailstead_log_unapplied_records", gauge, "Records of the log that the databases do not have yet.", one(func(f *Figures) float64 { return float64(f.Store.Behind()) })},
	{"mailstead_log_unapplied_bytes", gauge, "Memory that these records take; writers wait at 32 MiB.", one(func(f *Figures) float64 { return float64(f.Store.Pending) })},
	{"mailstead_search_unindexed_records", gauge, "Records of the log that the full-text index has not read yet.", one(func(f *Figures) float64 { return float64(f.Store.Unindexed()) })},
	{"mailstead_commits_total", counter, "Commits of the databases.", one(func(f *Figures) float64 { return float64(f.Store.Commits) })},
	{"mailstead_commit_seconds_total", counter, "Time that these commits took.", one(func(f *Figures) float64 { return f.Store.CommitSeconds })},
	{"mailstead_log_segments", gauge, "Segments of the log.", one(func(f *Figures) float64 { return float64(f.Store.Segments) })},
	{"mailstead_store_bytes", gauge, "What the store takes on the disk, by part; large messages have files of their own and are not in it.", func(f *Figures, add addSample) {
		add(float64(f.Store.LogSize), "part", "log")
		add(float64(f.Store.StateSize), "part", "state")
		add(float64(f.Store.DerivedSize), "part", "derived")
	}},
	{"mailstead_store_live_bytes", gauge, "What messages take that somebody holds, at the last look of cleaning; 0 before the first.", one(func(f *Figures) float64 { return float64(f.Store.Live) })},
	{"mailstead_cleaned_segments_total", counter, "Segments of the log that cleaning has removed.", one(func(f *Figures) float64 { return float64(f.Store.CleanedSegments) })},
	{"mailstead_cleaned_bytes_total", counter, "Space that cleaning has given back.", one(func(f *Figures) float64 { return float64(f.Store.CleanedSize) })},
	{"mailstead_moved_bytes_total", counter, "What cleaning has written once more for that.", one(func(f *Figures) float64 { return float64(f.Store.MovedSize) })},
	{"mailstead_disk_size_bytes", gauge, "Size of the file system that the store is on.", one(func(f *Figures) float64 { return float64(f.Store.DiskSize) })},
	{"mailstead_disk_free_bytes", gauge, "What of it is free.", one(func(f *Figures) float64 { return float64(f.Store.DiskFree) })},
	{"mailstead_disk_full", gauge, "1 while no mail is taken for lack of space.", one(func(f *Figures) float64 { return truth(f.Store.Full) })},

	{"mailstead_certificate_not_after_seconds", gauge, "When the certificate of a name ends, in Unix time; 0 where there is none.", func(f *Figures, add addSample) {
		for i, c := range f.Certificates {
			if f.isFirst(i) {
				add(unix(c.NotAfter), "name", c.Name)
			}
		}
	}},
	{"mailstead_certificate_problem", gauge, "1 where the certificate of a name cannot be had, or not be renewed.", func(f *Figures, add addSample) {
		for i, c := range f.Certificates {
			if f.isFirst(i) {
				add(truth(c.Problem != ""), "name", c.Name)
			}
		}
	}},
	{"mailstead_backup_time_seconds", gauge, "As of when the last backup is that this server knows of, in Unix time; 0 when it knows of none.", one(func(f *Figures) float64 { return unix(f.Backup) })},

	{"mailstead_goroutines", gauge, "Goroutines.", one(func(f *Figures) float64 { return float64(f.Process.Goroutines) })},
	{"mailstead_heap_bytes", gauge, "Objects on the heap.", one(func(f *Figures) float64 { return float64(f.Process.Heap) })},
	{"mailstead_resident_bytes", gauge, "Memory of the process, with what of mapped files is in it; 0 where that is not known.", one(func(f *Figures) float64 { return float64(f.Process.Resident) })},
	{"mailstead_open_files", gauge, "Open file descriptors.", one(func(f *Figures) float64 { return float64(f.Process.OpenFiles) })},
	{"mailstead_max_files", gauge, "How many may be open; 0 where that is not known.", one(func(f *Figures) float64 { return float64(f.Process.MaxFiles) })},
	{"mailstead_cpu_seconds_total", counter, "Time of processors that was used.", one(func(f *Figures) float64 { return f.Process.CPUSeconds })},
}

// isFirst reports whether a certificate is the first of its name: no name has two samples.
func (f *Figures) isFirst(i int) bool {
	name := f.Certificates[i].Name
	return !slices.ContainsFunc(f.Certificates[:i], func(c Certificate) bool { return c.Name == name })
}

// unix is a time in seconds since 1970; 0 of none.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Exposition is the figures in Prometheus' text format.
func (f *Figures) Exposition() []byte {
	var b bytes.Buffer
	for i := range metrics {
		m := &metrics[i]
		b.WriteString("# HELP " + m.name + " " + m.help + "\n# TYPE " + m.name + " " + m.kind + "\n")
		if m.kind == histogram {
			writeHistogram(&b, m.name, f.Store.Flushes, f.Store.FlushSeconds)
			continue
		}
		m.samples(f, func(value float64, labels ...string) { writeSample(&b, m.name, value, labels...) })
	}
	return b.Bytes()
}

// writeHistogram writes buckets, each with all that are in those before it, and their sum.
func writeHistogram(b *bytes.Buffer, name string, buckets []Bucket, sum float64) {
	all := uint64(0)
	for i, u := range buckets {
		all += u.Count
		bound := math.Inf(1)
		if i < len(buckets)-1 {
			bound = u.UpTo
		}
		writeSample(b, name+"_bucket", float64(all), "le", formatValue(bound))
	}
	if len(buckets) == 0 {
		writeSample(b, name+"_bucket", 0, "le", formatValue(math.Inf(1)))
	}
	writeSample(b, name+"_sum", sum)
	writeSample(b, name+"_count", float64(all))
}

func writeSample(b *bytes.Buffer, name string, value float64, labels ...string) {
	b.WriteString(name)
	before := "{"
	for i := 0; i+1 < len(labels); i += 2 {
		b.WriteString(before + labels[i] + `="` + labelEscapes.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD")) + `"`)
		before = ","
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
	b.WriteString(" " + formatValue(value) + "\n")
}

// labelEscapes are those that values of labels need.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func formatValue(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
