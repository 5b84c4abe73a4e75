package report

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// whole checks what every report that is taken promises.
func whole(t *testing.T, r *Report, err error) {
	t.Helper()
	if err != nil {
		return
	}
	if len(r.Rows) > keptRows || len(r.Policies) > keptPolicy || !r.checkTimes() || r.Domain == "" || r.Rest < 0 {
		t.Errorf("%+v", r)
	}
	for _, s := range []string{r.Org, r.ID, r.Domain, r.Sender} {
		if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x1b\x7f") {
			t.Errorf("%q is kept", s)
		}
	}
	for _, row := range r.Rows {
		if row.Count < 0 || row.Source == "" {
			t.Errorf("%+v", row)
		}
	}
	value, err := json.Marshal(r)
	if err != nil || len(value) > 100<<10 {
		t.Errorf("%d octets, %v", len(value), err)
	}
}

func FuzzXML(f *testing.F) {
	f.Add(sample(f, "rfc7489.xml"))
	f.Add(sample(f, "rfc9990.xml"))
	f.Add([]byte("<feedback><record/></feedback>"))
	f.Add([]byte("<?xml version='1.0' encoding='utf-16'?><feedback a='&lt;'><![CDATA[x]]></feedback>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseDMARC(data)
		whole(t, r, err)
	})
}

func FuzzJSON(f *testing.F) {
	f.Add(sample(f, "rfc8460.json"))
	f.Add([]byte(`{"policies":[{"failure-details":[{"failed-session-count":1e3}]}],"date-range":{"start-datetime":"x"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseTLS(data)
		whole(t, r, err)
	})
}

// FuzzUnpack: whatever is unpacked is not larger than it may be.
func FuzzUnpack(f *testing.F) {
	f.Add(gzipped(f, []byte("<feedback/>")))
	f.Add(zipped(f, "a.xml", "<feedback/>"))
	f.Add(zipped(f, "a", "", "b.json", "{}", "c/", ""))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		content, err := unpack(data)
		if err == nil && len(content) > min(maxInflated, freeRatio+len(data)*maxRatio) {
			t.Errorf("%d octets of %d", len(content), len(data))
		}
	})
}

// FuzzLetter reads whole letters.
func FuzzLetter(f *testing.F) {
	f.Add(letter("text/xml", "r.xml", sample(f, "rfc7489.xml")))
	f.Add(letter("application/tlsrpt+gzip", "r.json.gz", gzipped(f, sample(f, "rfc8460.json"))))
	f.Add([]byte("Content-Type: application/zip\n\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		Recognize(data)
		r, err := Read(bytes.NewReader(data), int64(len(data)))
		whole(t, r, err)
	})
}
