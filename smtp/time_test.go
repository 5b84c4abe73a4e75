package smtp

import (
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/mailbox/mailboxtest"
)

// TestDialoguesOfTime plays what limits of time end, on a clock that goes on only while nobody has anything to do: what a busy
// machine is late with is not the client's silence.
func TestDialoguesOfTime(t *testing.T) {
	serverTLS() // of the time outside
	for folder, limits := range map[string]Limits{
		"receiver-idle":    {Idle: 5 * time.Minute, Session: time.Hour},
		"receiver-session": {Idle: time.Hour, Session: 30 * time.Minute},
	} {
		files, err := filepath.Glob("testdata/" + folder + "/*.dialog")
		if err != nil || len(files) == 0 {
			t.Fatalf("no dialogue in %s: %v", folder, err)
		}
		for _, file := range files {
			t.Run(folder+"/"+filepath.Base(file), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := newHouse(t).options(Receiver)
					o.Limits = limits
					l := mailboxtest.NewPipes()
					serveUntilTheEnd(t, o, l)
					mailboxtest.Player{Dial: func(int) (net.Conn, error) { return l.Dial() }, Timeout: 2 * time.Hour}.Play(t, file)
				})
			})
		}
	}
}
