package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

// TestPage: people get the page in their language, and it needs nothing but its own style.
func TestPage(t *testing.T) {
	f := start(t, testOptions())
	for accepted, want := range map[string]string{
		"": "en", "de-CH,de;q=0.9,en;q=0.5": "de", "fr, en;q=0.1": "en", "en-GB, de;q=0.9": "en", ";;;q=x": "en", strings.Repeat("de,", 2000): "",
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://mail.example.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Language", accepted)
		got := f.do(req)
		lang := got.header.Get("Content-Language")
		if want == "" && got.status == 200 && lang != "" {
			continue // however long, it is answered in one of them
		}
		if got.status != 200 || lang != want || !strings.Contains(got.body, `<html lang="`+want+`">`) {
			t.Errorf("%.40q: %d in %q, want %q", accepted, got.status, lang, want)
		}
		for _, part := range []string{"mail.example.test</code>", "<td>993</td><td>SSL/TLS</td>", "<td>587</td><td>STARTTLS</td>", "example.test</p>"} {
			if !strings.Contains(got.body, part) {
				t.Errorf("%q is missing in %s", part, got.body)
			}
		}
		if strings.Contains(got.body, "<script") || strings.Contains(got.body, "http:") || strings.Contains(got.body, "ZgotmplZ") {
			t.Errorf("it needs more than itself: %s", got.body)
		}
		checkStyle(t, got)
	}
	for url, status := range map[string]int{"http://mail.example.test/": 308, "https://mail.example.test/x": 404, "https://other.test/": 421} {
		if got := f.ask("GET", url, ""); got.status != status {
			t.Errorf("%s: %d, want %d", url, got.status, status)
		}
	}
	if got := f.ask("PROPFIND", "https://example.test/", ""); got.status != 405 {
		t.Errorf("PROPFIND: %d", got.status)
	}
}

// checkStyle holds the style that a page has against the one that its policy lets a browser use.
func checkStyle(t *testing.T, page answer) {
	t.Helper()
	_, style, _ := strings.Cut(page.body, "<style>")
	style, _, found := strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if policy := page.header.Get("Content-Security-Policy"); !found || !strings.Contains(policy, base64.StdEncoding.EncodeToString(sum[:])) || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("policy %q", policy)
	}
}
