package local

import (
	"context"
	"fmt"
	"slices"

	"mailstead/mailbox"
)

// ForgetReplies takes out of a store whom an account has answered, and the replies that are due: for one that is removed.
func ForgetReplies(ctx context.Context, s *mailbox.Store, a mailbox.AccountID) error {
	const together = 256 // changes in a record
	var changes []mailbox.RoomChange
	for _, kind := range []string{toldKey, dueKey} {
		err := s.Room(replyRoom).Each(keyFor(kind, a, ""), func(key string, _ []byte) error {
			changes = append(changes, mailbox.RoomChange{Room: replyRoom, Key: key})
			return nil
		})
		if err != nil {
			return fmt.Errorf("local: forget replies: %w", err)
		}
	}
	for some := range slices.Chunk(changes, together) {
		if err := s.Change(ctx, some...); err != nil {
			return fmt.Errorf("local: forget replies: %w", err)
		}
	}
	return nil
}
