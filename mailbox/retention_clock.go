package mailbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A clock that is wrong must not purge mail. It is held against the time that
// has passed on the clock that only counts, and across restarts against the
// last time that was written down.
const (
	// clockJump is how far the clock may be from where it was expected, and for
	// how long a new time has to hold before anything is purged by it.
	clockJump = 24 * time.Hour
	// clockStored is how often the time is written down: often against clockJump.
	clockStored = time.Hour
)

// The room where the store keeps what is its own, and the key of the clock.
const (
	ownRoom  = "store"
	clockKey = "clock"
)

// clockState is what is known of the clock.
type clockState struct {
	Seen  int64 `json:"seen"`            // Unix seconds: what it said at the last look
	Since int64 `json:"since,omitempty"` // it jumped, and says so since then; 0 = it is trusted
}

// look returns what is known after a look at the clock, elapsed after the last
// one, and by how much it is away from where it was expected where that is a jump.
func (c clockState) look(now int64, elapsed time.Duration) (next clockState, jump time.Duration) {
	const hold = int64(clockJump / time.Second)
	away := now - c.Seen - int64(elapsed/time.Second)
	switch {
	case away > hold || away < -hold:
		// In whole seconds: a duration ends at 292 years.
		const most = int64(1<<63-1) / int64(time.Second)
		return clockState{Seen: now, Since: now}, time.Duration(min(max(away, -most), most)) * time.Second
	case c.Since != 0 && now-c.Since >= hold:
		c.Since = 0
	}
	c.Seen = now
	return c, 0
}

// beginRetention reads what an earlier run knew of the clock. Where there is
// something to purge and nothing known, the clock has to prove itself.
func (s *Store) beginRetention() error {
	r := &s.retention
	r.uptime = sinceBoot
	r.looked = r.uptime()
	now := s.now().Unix()
	value, ok, err := s.Room(ownRoom).Get(clockKey)
	if err != nil {
		return fmt.Errorf("reading the time that was written down: %w", err)
	}
	if ok {
		if err := json.Unmarshal(value, &r.stored); err != nil {
			return fmt.Errorf("reading the time that was written down: %w", err)
		}
		r.clock = r.stored
		return nil
	}
	some, err := s.disk.retains()
	if err != nil {
		return err
	}
	r.clock = clockState{Seen: now}
	if some {
		r.clock.Since = now
	}
	return nil
}

// lookAtClock reports whether retention may go by the clock. While something
// is retained the time is written down now and then.
func (s *Store) lookAtClock(ctx context.Context, some bool) (trusted bool, err error) {
	r := &s.retention
	was, up := r.clock, r.uptime()
	var jump time.Duration
	r.clock, jump = was.look(s.now().Unix(), up-r.looked)
	r.looked = up
	switch {
	case jump != 0:
		s.logger.Warn("the clock has jumped: no deleted mail is purged until it has held for a day", "by", jump)
	case was.Since != 0 && r.clock.Since == 0:
		s.logger.Info("the clock has held for a day: deleted mail is purged again when it is due")
	}
	aged := r.clock.Seen - r.stored.Seen
	if !some || r.clock.Since == r.stored.Since && aged >= 0 && aged < int64(clockStored/time.Second) {
		return r.clock.Since == 0, nil
	}
	value, err := json.Marshal(r.clock)
	if err != nil {
		return false, fmt.Errorf("writing down the time: %w", err)
	}
	if err := s.Change(ctx, RoomChange{Room: ownRoom, Key: clockKey, Value: value}); err != nil {
		return false, fmt.Errorf("writing down the time: %w", err)
	}
	r.stored = r.clock
	return r.clock.Since == 0, nil
}
