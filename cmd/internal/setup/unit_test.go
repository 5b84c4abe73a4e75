package setup

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestUnit(t *testing.T) {
	if Unit(UsualPlaces()) != unit {
		t.Error("at the usual places the unit is not the file's text")
	}
	odd := Unit(Places{Program: "/opt/mail stead/bin/mailstead", Config: "/etc/100%/m.toml", Dir: "/srv/mail", User: "post"})
	for _, want := range []string{
		`ExecStart="/opt/mail stead/bin/mailstead" serve --config /etc/100%%/m.toml` + "\n", "\nUser=post\n", "\nGroup=post\n", "\nReadWritePaths=/srv/mail\n", "\nProtectHome=yes\n",
	} {
		if !strings.Contains(odd, want) {
			t.Errorf("%q is missing in:\n%s", want, odd)
		}
	}
	if strings.Contains(odd, "StateDirectory") {
		t.Error("systemd would make a folder that is not the server's")
	}
	if home := Unit(Places{Program: usualProgram, Config: usualConfig, Dir: "/home/ann/mail", User: "ann"}); !strings.Contains(home, "\nProtectHome=no\n") {
		t.Errorf("a folder below /home is hidden from the server:\n%s", home)
	}
}

// mostExposure is what `systemd-analyze security` may say of the unit at most, 10 being no protection at all.
const mostExposure = 2.5

// TestUnitIsHardened asks systemd-analyze.
func TestUnitIsHardened(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: ", err)
	}
	name := filepath.Join(t.TempDir(), UnitName)
	if err := os.WriteFile(name, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(tool, "security", "--offline=true", "--no-pager", name).CombinedOutput()
	found := regexp.MustCompile(`Overall exposure level for \S+: ([\d.]+)`).FindSubmatch(said)
	if found == nil {
		t.Fatalf("%v: %s", err, said)
	}
	if level, err := strconv.ParseFloat(string(found[1]), 64); err != nil || level > mostExposure {
		t.Errorf("the exposure is %s, %v", found[1], err)
	}
}
