package local

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/queue"
)

func to(account mailbox.AccountID) directory.Delivery {
	return directory.Delivery{Account: account, Name: fmt.Sprintf("u%d@a.test", account)}
}

func TestPlanReachesEverybodyOnce(t *testing.T) {
	detail := to(1)
	detail.Detail = "lists"
	got := planFor([]Recipient{
		{Address: "u1@a.test", Route: directory.Route{Local: []directory.Delivery{to(1)}}},
		{Address: "all@a.test", Route: directory.Route{Local: []directory.Delivery{detail, to(2)}, Remote: []string{"x@b.test", "y@b.test"}}},
		{Address: "u2@a.test", Route: directory.Route{Local: []directory.Delivery{to(2)}}},
		{Address: "x@b.test", Route: directory.Route{Remote: []string{"x@b.test"}}},
	})
	want := plan{local: []directory.Delivery{to(1), to(2)}, remote: []string{"x@b.test", "y@b.test"}}
	got.details = nil // see TestDetailsOfAPlan
	if d := cmp.Diff(want, got, cmp.AllowUnexported(plan{})); d != "" {
		t.Error(d)
	}
}

func TestJudge(t *testing.T) {
	full := &Refusal{452, "4.2.2", "Mailbox is full"}
	none := &Refusal{550, "5.1.1", "No such user here"}
	trouble := &Refusal{451, "4.3.0", "Local trouble, try again later"}
	gone, over, unknown := mailbox.ErrNoMailbox, fmt.Errorf("wrapped: %w", mailbox.ErrOverQuota), errors.New("disk on fire")
	elsewhere := []string{"x@b.test"}
	for _, tc := range []struct {
		name   string
		failed []error
		remote []string
		user   bool
		want   verdict
	}{
		{name: "all taken", failed: []error{nil, nil}},
		{name: "only elsewhere", remote: elsewhere},
		{name: "nobody at all", want: verdict{refuse: none}},
		{name: "all refuse for good", failed: []error{gone, gone}, want: verdict{refuse: none}},
		{name: "all fail for now", failed: []error{over, unknown}, want: verdict{refuse: trouble}},
		{name: "one for now, one for good", failed: []error{gone, over}, want: verdict{refuse: full}},
		{name: "one taken, one for now", failed: []error{nil, over}, want: verdict{queue: []string{"u2@a.test"}}},
		{name: "one taken, one for good", failed: []error{gone, nil}, want: verdict{divert: []directory.Delivery{to(1)}}},
		{name: "one taken, one for good, of a user", failed: []error{gone, nil}, user: true, want: verdict{queue: []string{"u1@a.test"}}},
		{name: "elsewhere, and one for now", failed: []error{over}, remote: elsewhere, want: verdict{queue: []string{"u1@a.test"}}},
		{name: "elsewhere, and one for good", failed: []error{gone}, remote: elsewhere, want: verdict{divert: []directory.Delivery{to(1)}}},
		{name: "of each", failed: []error{nil, over, gone}, want: verdict{queue: []string{"u2@a.test"}, divert: []directory.Delivery{to(3)}}},
	} {
		p := plan{remote: tc.remote}
		for i := range tc.failed {
			p.local = append(p.local, to(mailbox.AccountID(i+1)))
		}
		if d := cmp.Diff(tc.want, judge(p, tc.failed, tc.user), cmp.AllowUnexported(verdict{})); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
}

func TestOutcome(t *testing.T) {
	statuses := []queue.Status{}
	for _, err := range []error{nil, mailbox.ErrOverQuota, directory.ErrNoSuch, errors.New("odd")} {
		o := outcome("a@b.test", refusalOf(err))
		if o.Recipient != "a@b.test" || o.Code == 0 || o.Enhanced == "" || o.Text == "odd" {
			t.Errorf("%v: %+v", err, o)
		}
		statuses = append(statuses, o.Status)
	}
	if want := []queue.Status{queue.Delivered, queue.Temporary, queue.Permanent, queue.Temporary}; !slices.Equal(statuses, want) {
		t.Errorf("statuses %v, want %v", statuses, want)
	}
}
