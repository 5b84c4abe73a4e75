package directory

import (
	"slices"
	"testing"
)

func TestLoginsAreCountedByProtocol(t *testing.T) {
	var d Directory
	for _, s := range []struct {
		protocol string
		right    bool
	}{{"imap", true}, {"imap", true}, {"imap", false}, {"submission", false}, {"web", true}, {"", false}} {
		d.judged.note(s.protocol, s.right)
	}
	want := []LoginFigures{{"imap", 2, 1}, {"pop3", 0, 0}, {"submission", 0, 1}, {"other", 1, 1}}
	if got := d.Figures(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
