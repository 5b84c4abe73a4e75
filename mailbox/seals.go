package mailbox

import (
	"sync/atomic"
	"time"
)

const (
	// heldFor is how long a seal that held is believed: a disk that changes what it has is found after that, and a list of
	// messages that is fetched again does not pay for all checksums again, a quarter of what it costs.
	heldFor = 10 * time.Minute
	// heldBlocks is the number of blocks of 32 bodies that are remembered: a million bodies in 256 KB.
	heldBlocks = 1 << 15
)

// heldSeals remembers of which bodies the stored index was whole, lately. It may forget: two blocks with one place drive
// each other out. The zero value knows of none. All methods may be called concurrently.
type heldSeals struct {
	blocks [heldBlocks]atomic.Uint64 // whose block, and in which heldFor, 32 bits; the bodies of it, 32 bits
}

// of is the place of a body's block, what stands there for it now, and the body's bit.
func (h *heldSeals) of(id BodyID, now time.Time) (place *atomic.Uint64, whose uint64, bit uint64) {
	block := uint64(id) / 32
	age := uint64(now.Unix()) / uint64(heldFor/time.Second)
	return &h.blocks[block%heldBlocks], (block/heldBlocks*0x9e3779b1 + age + 1) << 32, 1 << (id % 32)
}

// has reports whether the seal of a body's index held within the last heldFor.
func (h *heldSeals) has(id BodyID, now time.Time) bool {
	place, whose, bit := h.of(id, now)
	is := place.Load()
	return is&^(1<<32-1) == whose && is&bit != 0
}

// add notes that it held.
func (h *heldSeals) add(id BodyID, now time.Time) {
	place, whose, bit := h.of(id, now)
	is := place.Load()
	if is&^(1<<32-1) != whose {
		is = whose
	}
	place.Store(is | bit) // who writes at the same time may forget the other's
}

// forget has all seals looked at again.
func (h *heldSeals) forget() {
	for i := range h.blocks {
		h.blocks[i].Store(0)
	}
}
