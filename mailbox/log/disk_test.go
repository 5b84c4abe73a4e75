package log

import (
	"math/rand/v2"

	"mailstead/mailbox/log/disktest"
)

// disk is a simulated disk under the log in folder "d".
type disk struct {
	*disktest.Disk
	cow bool // copy-on-write
}

func newDisk() *disk { return &disk{Disk: disktest.New("d")} }

func (d *disk) Create(name string) (File, error) { return opened(d.Disk.Create(name)) }

func (d *disk) Open(name string, _ bool) (File, error) { return opened(d.Disk.Open(name)) }

// opened is no file where there is an error.
func opened(f *disktest.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *disk) Space(string) (Space, error) {
	return Space{Total: d.Total, Free: d.Free(), CopyOnWrite: d.cow}, nil
}

// restart is the disk after a power cut, in which p of the unsynced sectors survived.
func (d *disk) restart(rng *rand.Rand, p float64) *disk {
	return &disk{Disk: d.Restart(rng, p), cow: d.cow}
}

// cutAfter has the power go in the n-th change from now on.
func (d *disk) cutAfter(n int) {
	d.Cut(false, func(string) bool {
		n--
		return n == 0
	})
}

// spoil changes the bytes from..to of a segment.
func (d *disk) spoil(number uint32, from, to int64) {
	d.Harm(segmentName("d", number), from, to, func(b []byte) {
		for i := range b {
			b[i] ^= 0x5a
		}
	})
}

func (d *disk) zero(number uint32, from, to int64) {
	d.Harm(segmentName("d", number), from, to, func(b []byte) { clear(b) })
}
