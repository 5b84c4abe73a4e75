package main

import (
	cryptotls "crypto/tls"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"mailstead/cmd/internal/web"
)

// TestAccess: programs are told the ports that others reach.
func TestAccess(t *testing.T) {
	s := defaultSettings()
	s.Hostname = "mail.example.test"
	s.Listen.IMAP, s.Listen.POP3 = []string{"127.0.0.1:143", "[::1]:143"}, nil
	s.Listen.Submission = []string{"[::1]:587", "192.0.2.1:2587"}
	want := web.Access{Host: "mail.example.test", IMAPS: 993, POP3S: 995, Submissions: 465, Submission: 2587}
	if got := s.access(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestWebFront asks a running server what a mail program would.
func TestWebFront(t *testing.T) {
	s := startTrial(t, t.TempDir(), "--account", "a@example.test:pass")
	s.waitReady()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &cryptotls.Config{RootCAs: s.authority(), ServerName: "localhost"}}}
	get := func(scheme string, port int, host, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", scheme+"://"+s.address(port)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		got, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		return got.StatusCode, string(text)
	}
	for scheme, port := range map[string]int{"http": 80, "https": 443} {
		status, text := get(scheme, port, "autoconfig.example.test", "/mail/config-v1.1.xml?emailaddress=a%40example.test")
		for _, want := range []int{993, 143, 995, 110, 465, 587} {
			if status != 200 || !strings.Contains(text, "<port>"+strconv.Itoa(s.offset+want)+"</port>") || !strings.Contains(text, "<hostname>localhost<") {
				t.Errorf("%s, port %d: %d, %s", scheme, want, status, text)
			}
		}
	}
}
