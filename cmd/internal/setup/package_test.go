package setup

import (
	"context"
	"os"
	"strings"
	"testing"
)

// TestPackageMakesTheSameUser holds the Debian package's user against the one that setup makes.
func TestPackageMakesTheSameUser(t *testing.T) {
	var command []string
	s := &Setup{Options: Options{Places: UsualPlaces()}, Host: Host{
		Run: func(_ context.Context, program string, args ...string) error {
			command = append([]string{program}, args...)
			return nil
		},
		LookUp: func(string) (uid, gid int, err error) { return 900, 900, nil },
	}}
	if _, err := s.addUser(t.Context()); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../../../.ci/package/postinst")
	if err != nil {
		t.Fatal(err)
	}
	if line := strings.Replace(strings.Join(command, " "), "mail server", `"mail server"`, 1); !strings.Contains(string(script), " "+line+"\n") {
		t.Errorf("the package does not say\n%s", line)
	}
}
