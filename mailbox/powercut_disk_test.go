package mailbox

import (
	"math/rand/v2"
	"path/filepath"
	"strings"

	"mailstead/mailbox/log"
	"mailstead/mailbox/log/disktest"
)

// simDisk is a simulated disk under a whole store: the log, the databases
// (powercut_bolt_test.go), checkpoints and marks.
type simDisk struct{ *disktest.Disk }

func newSimDisk(root string) *simDisk {
	d := disktest.New(root)
	d.Kind = kindOf
	return &simDisk{d}
}

// kindOf names what a file is for: power cuts are counted by it.
func kindOf(name string) string {
	base := filepath.Base(name)
	switch {
	case strings.HasSuffix(base, ".seg"):
		return "segment"
	case strings.HasSuffix(base, ".aside"):
		return "aside"
	case strings.HasPrefix(base, "state-"):
		return "checkpoint"
	case base == checkpointTemp:
		return base
	case strings.HasSuffix(base, ".tmp"):
		return "spare"
	case filepath.Base(filepath.Dir(name)) == "big":
		return "big body"
	}
	return base
}

// copy is another disk with the same on it, all of it durable.
func (d *simDisk) copy() *simDisk { return &simDisk{d.Copy()} }

// restart is the disk after a power cut, in which p of the unsynced sectors survived.
func (d *simDisk) restart(rng *rand.Rand, p float64) *simDisk { return &simDisk{d.Restart(rng, p)} }

func (d *simDisk) Create(name string) (log.File, error) { return simOpened(d.Disk.Create(name)) }

func (d *simDisk) Open(name string, _ bool) (log.File, error) { return simOpened(d.Disk.Open(name)) }

// simOpened is no file where there is an error.
func simOpened(f *disktest.File, err error) (log.File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *simDisk) Space(string) (log.Space, error) {
	return log.Space{Total: 1 << 40, Free: 1 << 39}, nil
}
