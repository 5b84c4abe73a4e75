package mailbox

import (
	"errors"
	"fmt"
	"testing"
)

// TestDeliveriesStartedInOrder: many deliveries that were begun before the first one was
// waited for are all stored, in their order; one without a target is stored nowhere.
func TestDeliveriesStartedInOrder(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	const n = 50
	var started []*Delivery
	for i := range n {
		b := s.NewBody()
		fmt.Fprintf(b, "Subject: %d\r\n\r\n", i)
		v, err := s.StartDelivery(t.Context(), b, []Target{{Account: a, Name: "INBOX"}, {Account: a, Name: "None"}})
		if err != nil {
			t.Fatal(err)
		}
		if v.Placed[0].Err != nil || int(v.Placed[0].UID) != i+1 || !errors.Is(v.Placed[1].Err, ErrNoMailbox) || !v.Stored() {
			t.Fatalf("message %d: %+v", i, v.Placed)
		}
		started = append(started, v)
	}
	for range 2 { // the second Wait does nothing
		for _, v := range started {
			if err := v.Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	info, err := s.Mailbox(a, "INBOX")
	if err != nil || info.Messages != n {
		t.Fatalf("%d messages, %v", info.Messages, err)
	}
	b := s.NewBody()
	defer b.Abort()
	fmt.Fprint(b, "x")
	v, err := s.StartDelivery(t.Context(), b, []Target{{Account: a, Name: "None"}})
	if err != nil || v.Stored() || v.Wait() != nil {
		t.Fatalf("without a target: %+v, %v", v, err)
	}
	placed, err := s.Deliver(t.Context(), b, []Target{{Account: a, Name: "INBOX"}}, nil)
	if err != nil || placed[0].Err != nil {
		t.Fatalf("the body that found no target: %+v, %v", placed, err)
	}
}
