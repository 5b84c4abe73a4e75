package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mailstead/mailbox/mailboxtest"
)

func TestSetCapabilities(t *testing.T) {
	store := mailboxtest.NewStore(t)
	d := openDirectory(t, store)
	if err := d.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	ann, err := d.AddAccount(t.Context(), "ann@example.test", "secret")
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, maxHidden)
	for i := range many {
		many[i] = "X" + strings.Repeat("Y", i%32) + string(rune('A'+i/32))
	}
	for _, step := range []struct {
		account    string
		hide, show []string
		want       []string
		err        error
	}{
		{"ann@example.test", []string{"sort", "COMPRESS=DEFLATE"}, nil, []string{"COMPRESS=DEFLATE", "SORT"}, nil},
		{"ann@example.test", []string{"Sort", "IDLE"}, []string{"compress=deflate", "MOVE"}, []string{"IDLE", "SORT"}, nil},
		{"ann@example.test", many, nil, []string{"IDLE", "SORT"}, ErrCapability},
		{"ann@example.test", []string{"IMAP4rev1"}, nil, []string{"IDLE", "SORT"}, ErrCapability},
		{"ann@example.test", []string{""}, nil, []string{"IDLE", "SORT"}, ErrCapability},
		{"ann@example.test", []string{"A B"}, nil, []string{"IDLE", "SORT"}, ErrCapability},
		{"ann@example.test", nil, []string{"A]"}, []string{"IDLE", "SORT"}, ErrCapability},
		{"nobody@example.test", []string{"IDLE"}, nil, []string{"IDLE", "SORT"}, ErrNoSuch},
		{"ann@example.test", nil, []string{"idle", "sort"}, nil, nil},
	} {
		if err := d.SetCapabilities(t.Context(), step.account, step.hide, step.show); !errors.Is(err, step.err) {
			t.Errorf("hide %q, show %q: %v, want %v", step.hide, step.show, err, step.err)
		}
		if got := d.HiddenCapabilities(ann.ID); !slices.Equal(got, step.want) {
			t.Errorf("hide %q, show %q: %q, want %q", step.hide, step.show, got, step.want)
		}
	}
	if err := d.SetCapabilities(t.Context(), "ann@example.test", []string{"X"}, nil); err != nil {
		t.Fatal(err)
	}
	if got := openDirectory(t, store).HiddenCapabilities(ann.ID); !slices.Equal(got, []string{"X"}) {
		t.Errorf("after a restart: %q", got)
	}
	if got := d.HiddenCapabilities(ann.ID + 100); got != nil {
		t.Errorf("of nobody: %q", got)
	}
}
